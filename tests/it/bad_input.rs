//! Bad input at every door but the network's (which is in `websocket`). In: bad configurations, taken ports, garbage on
//! a pool's socket. Out: a refusal that says what to do, or one attachment ended. Guarantee: the daemon beside it lives.

use std::net::TcpListener;

use buzzer_core::io::sys;
use buzzer_core::press::decode::{FRAME_EVENTS_MAX, Record as Input};
use buzzer_server::record::Fact;
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::client::connected;
use buzzer_tests::{Attachment, Home};

#[test]
fn a_bad_configuration_is_refused_with_file_line_key_and_what_was_expected() {
    for (config, line, key, expected) in [
        ("[server]\nlisten = \"127.0.0.1:7400\"\n", 2, "server.listen: ", "expected a list of addresses"),
        ("[server]\nlisten = [\"localhost:7400\"]\n", 2, "server.listen[1]: ", "expected an IP address"),
        ("[server]\nlsten = []\n", 2, "server.lsten: ", "did you mean listen?"),
        ("\n\n[sever]\n", 3, "sever: ", "expected one of server, log, order, pool"),
        ("[log]\ndir = \"log\"\n", 2, "log.dir: ", "expected the absolute path"),
        ("[order]\nsettle_us = -1\n", 2, "order.settle_us: ", "expected a whole number of microseconds"),
        ("[order]\ndebounce_us = \"15 ms\"\n", 2, "order.debounce_us: ", "expected a whole number"),
        ("[[pool]]\nid = \"x\"\n", 1, "pool[1]: ", "expected exactly one of"),
        ("[[pool]]\nid = \"x\"\nsocket = \"x.sock\"\n", 3, "pool[1].socket: ", "expected the absolute path"),
        ("[[pool]]\nid = \"\"\nsocket = \"/x\"\n", 2, "pool[1].id: ", "expected a pool id of 1 to 64"),
        (
            "[[pool]]\nid = \"x\"\nsocket = \"/a\"\n[[pool]]\nid = \"x\"\nsocket = \"/b\"\n",
            5,
            "pool[2].id: ",
            "expected an id of its own",
        ),
        (
            "[[pool]]\nid = \"x\"\nmatch = { vendor = \"054c\" }\nbuzzers = { \"1\" = \"KEY_NONSENSE\" }\n",
            4,
            "pool[1].buzzers.1: ",
            "expected the name of a key",
        ),
        ("[server\n", 1, "", "found"),
    ] {
        let home = Home::with_config(config);
        let ended = home.refused();
        assert_eq!(ended.code, Some(2), "{config}\n{}", ended.stderr);
        let place = format!("buzzerd: {}:{line}: {key}", home.config().display());
        assert!(ended.stderr.starts_with(&place), "{place}\n{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{expected}\n{}", ended.stderr);
        assert!(!home.path().join("log").exists(), "refused before anything was opened");
    }
}

#[test]
fn a_configuration_that_is_not_there_and_wrong_usage_are_exit_code_2() {
    let home = Home::with_config("");
    std::fs::remove_file(home.config()).unwrap();
    let ended = home.refused();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(&home.config().display().to_string()), "{}", ended.stderr);
    for arguments in [&["sreve"][..], &["serve", "--prot"], &["serve", "extra"]] {
        let output = home.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_taken_port_says_who_to_look_for() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::with_config(&format!("[server]\nlisten = [\"{address}\"]\n[log]\ndir = \"$DIR/log\"\n"));
    let ended = home.refused();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let want = format!(
        "{address} is taken by another program; `ss -ltnp 'sport = :{}'` shows which",
        address.port()
    );
    assert!(ended.stderr.contains(&want), "{}", ended.stderr);
}

#[test]
fn a_pools_socket_is_taken_over_from_the_dead_only() {
    let home = Home::desk("");
    let socket = home.socket("desk");
    std::fs::write(&socket, "no socket").unwrap();
    let ended = home.refused();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is there and is no socket"), "{}", ended.stderr);
    assert_eq!(std::fs::read(&socket).unwrap(), b"no socket", "left alone");
    std::fs::remove_file(&socket).unwrap();

    let living = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ended = home.refused();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("another program listens here; `ss -lxp"), "{}", ended.stderr);
    drop(living); // The file stays, as after a crash.
    // A child that another test has just forked has it open until it becomes another program.
    while std::os::unix::net::UnixStream::connect(&socket).is_ok() {
        std::thread::yield_now();
    }
    assert!(socket.exists());
    let daemon = home.serve();
    let mut client = daemon.desk();
    let _desk = home.attach(1);
    client.expect(&connected(1));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    client.close();
    assert_eq!(daemon.stop().code, Some(0));
    assert!(!socket.exists(), "taken away by who made it");
}

#[test]
fn a_bad_greeting_is_answered_with_its_reason() {
    let home = Home::desk("");
    let daemon = home.serve();
    let long = format!("{{\"name\":\"{}\",\"buzzers\":{{\"704\":1}}}}\n", "x".repeat(129));
    for (greeting, reason) in [
        (&b"\n"[..], "expected"),
        (b"hello\n", "expected"),
        (b"{\"name\":\"x\"}\n", "buzzers: there is none"),
        (b"{\"name\":\"x\",\"buzzers\":{}}\n", "there is none"),
        (b"{\"name\":\"x\",\"buzzers\":{\"768\":1}}\n", "\\\"768\\\" is no key"),
        (b"{\"name\":\"x\",\"buzzers\":{\"704\":65536}}\n", "65536"),
        (b"{\"name\":\"x\",\"buzzers\":[1]}\n", "expected"),
        (b"{\"name\":\"\xff\",\"buzzers\":{\"704\":1}}\n", "expected"),
        (long.as_bytes(), "at most 128 characters"),
    ] {
        let mut attachment = Attachment::connect(&home.socket("desk"));
        attachment.send(greeting);
        let answer = attachment.line();
        assert!(answer.starts_with(r#"{"ok":false,"message":""#), "{answer}");
        assert!(answer.contains(reason), "{reason}: {answer}");
        attachment.wait_closed();
    }
    // Longer than any greeting, and endless.
    let mut endless = Attachment::connect(&home.socket("desk"));
    while endless.try_send(&[b'x'; 4096]) {}
    let answer = endless.line();
    assert!(answer.contains("the greeting is longer than 64 KiB"), "{answer}");
    // Gone in the middle of it: nobody is left to be answered, so it is said. It is the first of its kind, and said at once.
    assert_eq!(daemon.stop().code, Some(0));
    let mut daemon = home.serve();
    Attachment::connect(&home.socket("desk")).send(b"{\"name\":");
    daemon.wait_said("closed before its greeting was complete");
    let mut client = daemon.desk();
    let _desk = home.attach(1);
    client.expect(&connected(1));
}

#[test]
fn garbage_ends_that_attachment_only_and_leaves_a_record() {
    let home = Home::desk("debounce_us = 0");
    let mut daemon = home.serve();
    let mut client = daemon.desk();
    let socket = home.socket("desk");
    let mut good = Attachment::open(&socket, "good", &[1]);
    client.expect(&connected(1));
    let now = sys::now();
    let report = Input::report(now);
    let bytes = |record: Input| [record.to_bytes(), report.to_bytes()].concat();
    let press = Input::key(now, key(2), true);
    let noise = Input { kind: 3, ..press }.to_bytes();
    for (bytes, reason) in [
        (bytes(Input { kind: 0x20, ..press }), "garbage: event type 0x20 is above 0x1f"),
        (bytes(Input { code: 0x300, ..press }), "garbage: key code 0x300 is above 0x2ff"),
        (bytes(Input { usec: 1_000_000, ..press }), "garbage: the record's time is no time"),
        (bytes(Input { usec: -1, ..press }), "garbage: the record's time is no time"),
        (bytes(Input { sec: -1, ..press }), "garbage: the record's time is no time"),
        (bytes(Input { value: 3, ..press }), "garbage: key value 3 is not 0, 1 or 2"),
        (bytes(Input { value: -1, ..press }), "garbage: key value -1 is not 0, 1 or 2"),
        (noise.repeat(FRAME_EVENTS_MAX + 1), "garbage: more than 64 events without a SYN_REPORT"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3), "garbage: "),
        (vec![0xff; 100_000], "garbage: "),
    ] {
        let mut bad = Attachment::open(&socket, "bad", &[2]);
        client.expect(&connected(2));
        // What came before the garbage counts.
        bad.send(&[frame(now, key(2), true), frame(now, key(2), false)].concat());
        client.expect_buzz(2);
        bad.try_send(&bytes);
        bad.wait_closed();
        client.expect(r#"{"event":"disconnected","pool":"desk","buzzer":2}"#);
        assert_detached(&home, reason);
        good.hit(1);
        client.expect_buzz(1);
        daemon.assert_alive();
    }
    // A stream that ends inside a record, and one that ends between two.
    for (cut, reason) in [(30, "garbage: the stream ended inside"), (48, "closed by its sender")] {
        let mut bad = Attachment::open(&socket, "bad", &[2]);
        client.expect(&connected(2));
        bad.send(&bytes(press)[..cut]);
        bad.finish();
        bad.wait_closed();
        if cut == 48 {
            client.expect_buzz(2);
        }
        client.expect(r#"{"event":"disconnected","pool":"desk","buzzer":2}"#);
        assert_detached(&home, reason);
    }
    // Exactly 64 events are a frame.
    good.send(&[noise.repeat(FRAME_EVENTS_MAX - 1), frame(now, key(1), true)].concat());
    client.expect_buzz(1);
}

fn assert_detached(home: &Home, want: &str) {
    let last = home.journal().records().into_iter().rev().find_map(|record| match record.fact {
        Fact::Detach { reason, certain, .. } => Some((reason, certain)),
        _ => None,
    });
    let (reason, certain) = last.expect("a record of the end");
    assert!(reason.starts_with(want) && certain, "{reason} ({certain})");
}

#[test]
fn events_that_a_sender_says_were_dropped_are_a_gap_in_the_log() {
    let home = Home::desk("debounce_us = 0");
    let daemon = home.serve();
    let mut client = daemon.desk();
    let mut desk = home.attach(2);
    client.expect(&connected(1));
    client.expect(&connected(2));
    let now = sys::now();
    desk.press(1);
    client.expect_buzz(1);
    desk.records(&[Input::dropped(now), Input::key(now, key(2), true), Input::report(now)]);
    desk.press(1); // Its sender starts over with all keys up.
    client.expect_buzz(1);
    client.expect_nothing();
    home.journal().wait_for("the gap", |fact| matches!(fact, Fact::Gap { .. }));
    assert_eq!(home.journal().presses(), [1, 1]);
}
