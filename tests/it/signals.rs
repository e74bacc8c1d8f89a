//! Signals. In: all that a terminal, a limit or a stranger may send to a daemon. Out: an end in good order, or nothing at all.
//! Guarantee: every signal that ends a process by default, and that a process can be spared, is sent here.

use buzzer_server::record::Fact;
use buzzer_tests::harness::client::connected;
use buzzer_tests::{Daemon, Home};
use rustix::process::{Pid, Signal};

fn assert_stopped(home: &Home, daemon: Daemon, what: &str) {
    let ended = daemon.wait();
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
    let last = home.journal().records().pop();
    assert!(matches!(last, Some(record) if matches!(record.fact, Fact::Stop {})), "{what}");
}

#[test]
fn a_hang_up_ends_it_in_good_order() {
    for signal in [Signal::HUP, Signal::QUIT] {
        let mut home = Home::desk("");
        // A shell ignores some of them for what it starts in the background, these tests for instance.
        home.set_wrapper(&["env", "--default-signal"]);
        let daemon = home.serve();
        daemon.signal(signal);
        assert_stopped(&home, daemon, &format!("{signal:?}"));
    }
}

#[test]
fn a_hang_up_that_was_to_be_ignored_is() {
    let mut home = Home::desk("debounce_us = 0");
    home.set_wrapper(&["nohup"]);
    let daemon = home.serve();
    daemon.signal(Signal::HUP);
    let mut client = daemon.desk();
    let mut desk = home.attach(1);
    client.expect(&connected(1));
    daemon.signal(Signal::HUP);
    desk.hit(1);
    client.expect_buzz(1);
    client.close();
    daemon.signal(Signal::TERM);
    assert_stopped(&home, daemon, "SIGTERM");
}

#[test]
fn what_strangers_send_ends_and_stops_nothing() {
    let home = Home::desk("debounce_us = 0");
    let mut daemon = home.serve();
    let mut client = daemon.desk();
    let mut desk = home.attach(1);
    client.expect(&connected(1));
    let strays = [
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::PIPE,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::POWER,
        Signal::STKFLT,
        Signal::XCPU,
        Signal::XFSZ,
        Signal::TTIN,
        Signal::TTOU,
        Signal::WINCH,
        Signal::URG,
        Signal::CHILD,
        Signal::CONT,
    ];
    for signal in strays {
        daemon.signal(signal);
    }
    // Real-time signals have numbers and no names.
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    for number in [34, 50, 64] {
        let sent = std::process::Command::new("kill").arg(format!("-{number}")).arg(pid.to_string()).status();
        assert!(sent.expect("kill runs").success());
    }
    desk.hit(1);
    client.expect_buzz(1);
    daemon.assert_alive();
    client.close();
    daemon.signal(Signal::TERM);
    assert_stopped(&home, daemon, "SIGTERM");
}

/// Who asks again does not want to wait for a client that does not say goodbye; the last record is written all the same.
#[test]
fn a_second_sigterm_waits_for_no_client() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut deaf = buzzer_tests::Raw::websocket(daemon.address());
    daemon.signal(Signal::TERM);
    assert_eq!(deaf.close_code(), 1001);
    daemon.signal(Signal::TERM);
    assert_stopped(&home, daemon, "twice");
}
