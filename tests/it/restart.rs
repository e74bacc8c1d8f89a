//! The log over several starts. In: daemons that are stopped, killed and started again on one home. Out: what is kept,
//! set aside or refused. Guarantee: a log that a test damages is compared byte for byte afterwards.

use buzzer_server::record::{Fact, Record};
use buzzer_tests::harness::client::connected;
use buzzer_tests::{Daemon, Home};
use rustix::process::Signal;

const NO_BUZZERS: &str = r#"{"response":"buzzers","pools":[]}"#;

#[test]
fn sigterm_closes_every_client_with_1001_syncs_the_log_and_exits_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::desk("debounce_us = 0");
        let daemon = home.serve();
        let mut clients = [daemon.desk(), daemon.client(), daemon.client()];
        let mut desk = home.attach(1);
        for client in &mut clients {
            client.expect(&connected(1));
        }
        desk.hit(1);
        for client in &mut clients {
            client.expect_buzz(1);
        }
        daemon.signal(signal);
        for client in &mut clients {
            let frame = client.close_frame();
            assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1001, "buzzerd is stopping"));
            assert!(client.rest().is_empty());
        }
        let ended = daemon.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        desk.wait_closed();
        let records = home.journal().records();
        assert!(matches!(records.last().unwrap().fact, Fact::Stop {}), "{:?}", records.last());
        assert!(home.journal().bytes().ends_with(b"\n"));
    }
}

#[test]
fn sigterm_without_clients_ends_at_once_and_with_a_deaf_one_soon() {
    let home = Home::desk("");
    assert_eq!(home.serve().stop().code, Some(0));
    let daemon = home.serve();
    let _deaf = daemon.client(); // Never reads, so never answers the close frame.
    let _talking = daemon.raw();
    assert_eq!(daemon.stop().code, Some(0));
    let _again = home.serve();
}

#[test]
fn a_second_daemon_on_one_log_is_refused_with_the_first_ones_pid() {
    let home = Home::desk("");
    let mut first = home.serve();
    let ended = home.refused();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let want = format!("another buzzerd (pid {}) writes its log here", first.pid());
    assert!(ended.stderr.contains(&want), "{}", ended.stderr);
    first.assert_alive();
    let mut client = first.desk();
    let mut desk = home.attach(1);
    client.expect(&connected(1));
    desk.hit(1);
    client.expect_buzz(1);
    drop(client);
    first.kill();
    let _second = home.serve(); // A lock dies with its process.
}

#[test]
fn a_connected_pool_stays_connected_over_a_restart_but_not_over_a_boot() {
    let mut home = Home::desk("debounce_us = 0");
    home.set_boot("monday");
    let end: [fn(Daemon); 2] =
        [|daemon| assert_eq!(daemon.stop().code, Some(0)), |daemon| assert_eq!(daemon.kill().code, None)];
    drop(home.serve().desk());
    for end in end {
        let daemon = home.serve();
        let mut client = daemon.client();
        assert_eq!(client.ask(r#"{"list":"buzzers"}"#), NO_BUZZERS, "all attachments are gone");
        let mut desk = home.attach(1);
        client.expect(&connected(1)); // Nobody asked in this process.
        desk.hit(1);
        client.expect_buzz(1);
        client.close();
        end(daemon);
    }
    home.set_boot("tuesday");
    let daemon = home.serve();
    let mut client = daemon.client();
    let mut desk = home.attach(1);
    home.journal().wait_attached(3);
    desk.hit(1);
    assert_eq!(client.ask(r#"{"list":"buzzers"}"#), NO_BUZZERS, "a new boot is a new evening");
    assert_eq!(
        client.ask(r#"{"command":"connect","pool":"desk"}"#),
        r#"{"result":"connect","pool":"desk","buzzers":[1]}"#
    );
    desk.hit(1);
    client.expect_buzz(1);
    // Numbers go on, and every start has a name of its own; `records` itself checks that they are dense.
    let records = home.journal().records();
    let mut logs: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Start { log, .. } => Some(log),
            _ => None,
        })
        .collect();
    assert_eq!(logs.len(), 4);
    logs.sort_unstable();
    logs.dedup();
    assert_eq!(logs.len(), 4);
}

#[test]
fn a_torn_last_line_is_set_aside_and_the_log_goes_on() {
    let home = Home::desk("");
    assert_eq!(home.serve().stop().code, Some(0));
    let journal = home.journal();
    let whole = journal.bytes();
    let last = whole.split_inclusive(|byte| *byte == b'\n').next_back().unwrap();
    for (cut, n) in [1, last.len() / 2, last.len() - 1].into_iter().zip(1..) {
        let before = journal.bytes();
        std::fs::write(journal.segment(), [&before[..], &last[..cut]].concat()).unwrap();
        let mut daemon = home.serve();
        daemon.assert_alive();
        let aside = format!("{}.torn-{n}", journal.segment().display());
        assert_eq!(std::fs::read(aside).unwrap(), &last[..cut]);
        let after = journal.bytes();
        assert!(after.starts_with(&before) && after.len() > before.len());
        let recovered = |record: &&Record| match &record.fact {
            Fact::Recovered { bytes, file, .. } => {
                *bytes == cut as u64 && file.ends_with(&format!(".torn-{n}"))
            }
            _ => false,
        };
        assert_eq!(journal.records().iter().filter(recovered).count(), 1);
        let ended = daemon.stop();
        assert_eq!(ended.code, Some(0), "find {n}: {}", ended.stderr);
        assert!(ended.stderr.contains("no lines; kept in"), "{}", ended.stderr);
    }
}

#[test]
fn damage_in_the_middle_is_left_as_it_is_and_the_log_goes_on_behind_it() {
    let home = Home::desk("");
    assert_eq!(home.serve().stop().code, Some(0));
    let journal = home.journal();
    let (first, whole) = (journal.segment(), journal.bytes());
    let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 20;
    let mut damaged = whole.clone();
    damaged[second] ^= 1;
    std::fs::write(&first, &damaged).unwrap();
    let ended = home.serve().stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(std::fs::read(&first).unwrap(), damaged, "left as it is");
    let segments = journal.segments();
    assert_eq!(segments.len(), 2, "it goes on in a new one");
    let goes_on = std::fs::read(&segments[1]).unwrap();
    std::fs::write(&first, &whole).unwrap();
    // With the bit put right again, the whole is a log without a gap.
    let records = journal.records();
    assert!(journal.bytes().ends_with(&goes_on));
    assert!(records.iter().any(|record| match &record.fact {
        Fact::Damage { segment, line, .. } => first.ends_with(segment) && *line == 2,
        _ => false,
    }));
}

#[test]
fn a_log_of_a_newer_buzzerd_stops_the_start_with_its_line() {
    let home = Home::desk("");
    assert_eq!(home.serve().stop().code, Some(0));
    let journal = home.journal();
    let newer = [&journal.bytes()[..], b"{\"v\":2,\"seq\":2}\n"].concat();
    let line = newer.split_inclusive(|byte| *byte == b'\n').count();
    std::fs::write(journal.segment(), &newer).unwrap();
    let ended = home.refused();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let place = format!("000001-1.jsonl: line {line}: format version 2 is newer");
    assert!(ended.stderr.contains(&place), "{place}\n{}", ended.stderr);
    assert_eq!(std::fs::read(journal.segment()).unwrap(), newer, "left as it is");
    assert!(!home.socket("desk").exists(), "nothing was listened on");
}

#[test]
fn a_log_directory_that_cannot_be_made_is_named() {
    let home = Home::with_config("[server]\nlisten = [\"127.0.0.1:0\"]\n[log]\ndir = \"$DIR/file/log\"\n");
    std::fs::write(home.path().join("file"), "").unwrap();
    let ended = home.refused();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("file/log: cannot make the log directory"), "{}", ended.stderr);
}
