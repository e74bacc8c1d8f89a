//! `buzzerd log replay`, and that a replay is a run. In: a real session, watched by a client from before its first event. Out: the
//! same bytes from the fold of its log, and from a replay over WebSocket, every time. Guarantee: what is compared is what a
//! client received, frame by frame.

use std::process::Command;
use std::thread;

use buzzer_core::io::sys;
use buzzer_core::time::Micros;
use buzzer_server::game::state::State;
use buzzer_server::log::decode;
use buzzer_server::record::{Fact, Record};
use buzzer_server::wire::v1;
use buzzer_tests::harness::daemon::binary;
use buzzer_tests::{Client, Daemon, Home, log};
use rustix::process::Signal;

/// A session with everything that is news, and what its viewer was told.
fn session() -> (Home, Vec<String>) {
    let home = Home::desk("debounce_us = 0");
    let daemon = home.serve();
    // It asks for nothing, and sees everything.
    let mut viewer = daemon.client();
    viewer.expect_nothing();
    let mut first = home.attach(3);
    home.journal().wait_attached(1);
    let mut host = daemon.desk();
    first.hit(2);
    first.hit(1);
    host.expect_buzz(2);
    host.expect_buzz(1);
    let mut second = home.attach(4);
    home.journal().wait_attached(2);
    second.hit(4);
    drop(second);
    home.journal().wait_for("a detachment", |fact| matches!(fact, Fact::Detach { .. }));
    // Of one report: a draw.
    let now = sys::now();
    let key = buzzer_tests::harness::attachment::key;
    let down = |buzzer| buzzer_core::press::decode::Record::key(now, key(buzzer), true);
    first.records(&[down(1), down(2), down(3), buzzer_core::press::decode::Record::report(now)]);
    home.journal().wait_for("a draw", |fact| matches!(fact, Fact::Draw { .. }));
    drop(first);
    home.journal().wait_until("two detachments", |records| {
        let gone = records.iter().filter(|record| matches!(record.fact, Fact::Detach { .. }));
        (gone.count() == 2).then_some(())
    });
    daemon.stop();
    let told = viewer.rest();
    assert!(told.len() == 12, "{told:?}");
    (home, told)
}

fn replay(home: &Home, more: &[&str]) -> Daemon {
    let mut command = Command::new(binary());
    command.args(["log", "replay", "--listen", "127.0.0.1:0"]).args(more).arg(home.journal().dir());
    Daemon::spawn(command)
}

/// Everything that a client is told that joins before the first record, and how that ends.
fn watch(daemon: Daemon) -> Vec<String> {
    let told = daemon.client().rest();
    let ended = daemon.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("replay: has ended"), "{}", ended.stderr);
    told
}

#[test]
fn the_same_log_gives_the_same_state_and_the_same_frames_every_time() {
    let (home, told) = session();
    let records = home.journal().records();
    let fold = || {
        let (mut state, mut frames) = (State::default(), Vec::new());
        for record in &records {
            state.apply(record, |news| frames.push(v1::event(&news)));
        }
        (state, frames)
    };
    let (state, frames) = fold();
    assert_eq!(frames, told, "the fold of the log");
    assert_eq!((&state, &frames), (&fold().0, &fold().1));
    // Through the bytes of its lines again.
    let bytes = home.journal().bytes();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let again: Vec<Record> = lines.map(|line| decode(line).unwrap()).collect();
    assert_eq!(again, records);
    for speed in ["max", "max", "1000", "20"] {
        assert_eq!(watch(replay(&home, &["--speed", speed])), told, "--speed {speed}");
    }
    assert_eq!(home.journal().bytes(), bytes, "nothing was written");
}

#[test]
fn a_client_of_a_replay_is_answered_from_the_recording() {
    let (home, told) = session();
    let records = home.journal().records();
    let seq = |like: fn(&Fact) -> bool| {
        records.iter().find(|record| like(&record.fact)).map(|record| record.seq).unwrap()
    };
    // From behind the connect on, slowly enough that nothing more comes before the answers.
    let connected = seq(|fact| matches!(fact, Fact::Connect { .. }));
    let from = format!("{}..", connected + 1);
    let daemon = replay(&home, &["--speed", "0.001", "--seq", &from]);
    let mut client = daemon.client();
    // The first records of the range are due at once.
    let mut ask = |text: &str| {
        let mut answer = client.ask(text);
        while answer.starts_with(r#"{"event""#) {
            answer = client.text();
        }
        answer
    };
    assert_eq!(ask(r#"{"list":"pools"}"#), r#"{"response":"pools","pools":["desk"]}"#);
    let buzzers = r#"{"response":"buzzers","pools":[{"pool":"desk","buzzers":[1,2,3]}]}"#;
    assert_eq!(ask(r#"{"list":"buzzers"}"#), buzzers);
    let result = r#"{"result":"connect","pool":"desk","buzzers":[1,2,3]}"#;
    assert_eq!(ask(r#"{"command":"connect","pool":"desk"}"#), result);
    let error = r#"{"error":"connect","message":"no such pool in this recording; known: desk","cause":null}"#;
    assert_eq!(ask(r#"{"command":"connect","pool":"x"}"#), error);
    // It can be ended like a daemon.
    daemon.signal(Signal::TERM);
    assert_eq!(client.close_frame().reason.as_str(), "the replay was stopped");
    client.rest();
    let ended = daemon.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Only what is in the range is told.
    let last = told.iter().filter(|text| text.contains("buzz\"")).count();
    let daemon = replay(&home, &["--speed", "max", "--seq", &from]);
    let texts = watch(daemon);
    assert_eq!(texts.iter().filter(|text| text.contains("\"buzz\"")).count(), last);
    assert_eq!(texts, told[told.len() - texts.len()..]);
}

#[test]
fn a_time_is_replayed_like_the_records_of_that_time() {
    let (home, told) = session();
    let dir = &home.journal().dir().to_owned();
    let all = log(&["show", "--json"], dir).lines();
    let wall = |seq: usize| all[seq - 1]["wall"].as_str().expect("a time").to_owned();
    let of_kind = |kind: &str| all.iter().position(|line| line["kind"] == kind).expect("one") + 1;
    let (from, to) = (of_kind("press"), of_kind("detach"));
    // By its records, and by its times: with a date, and of the last day.
    let seqs = format!("{from}..{}", to - 1);
    let want = watch(replay(&home, &["--speed", "max", "--seq", &seqs]));
    assert!(want.len() > 2 && want.len() < told.len(), "{want:?}");
    let (from, to) = (wall(from), wall(to));
    assert_eq!(watch(replay(&home, &["--speed", "max", "--from", &from, "--to", &to])), want);
    let daily = |wall: &str| wall[11..26].to_owned();
    let daily = ["--speed", "max", "--utc", "--from", &daily(&from), "--to", &daily(&to)];
    assert_eq!(watch(replay(&home, &daily)), want);
    // One end alone.
    let to_end = watch(replay(&home, &["--speed", "max", "--from", &from]));
    assert_eq!(to_end, told[told.len() - to_end.len()..]);
    assert!(to_end.len() > want.len());
    let from_start = watch(replay(&home, &["--speed", "max", "--to", &to]));
    assert_eq!(from_start, told[..from_start.len()]);
    let refused = |more: &[&str]| log(&[&["replay", "--listen", "127.0.0.1:0", "--now"], more].concat(), dir);
    refused(&["--from", "2001-01-01", "--to", "2001-01-02"]).refused(2, "the log has nothing of that time");
    refused(&["--from", "noon"]).refused(2, "expected 19:30");
    refused(&["--from", "19:30", "--seq", "1"]).refused(2, "cannot be used with");
}

#[test]
fn at_full_speed_a_client_that_does_not_read_is_waited_for() {
    // Far more than the outbox keeps for one client, and than its socket takes.
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let daemon = home.serve();
    let mut desk = home.attach(1);
    home.journal().wait_attached(1);
    const HITS: usize = 5_000;
    for _ in 0..HITS {
        desk.hit(1);
    }
    home.journal().wait_presses(HITS as u64);
    daemon.stop();
    let mut daemon = replay(&home, &["--speed", "max"]);
    let mut client = daemon.client();
    client.keep_bytes(4096);
    daemon.wait_said("replay: begins");
    // A second one talks for longer than the live server, and the kernel for it, wait for a client that takes nothing.
    let mut eager = daemon.client();
    for _ in 0..110 {
        let next = sys::now() + Micros::from_ms(100);
        while sys::now() < next {
            thread::yield_now();
        }
        eager.send(r#"{"list":"pools"}"#);
        while !eager.text().starts_with(r#"{"response""#) {}
    }
    // It goes on reading, or it would be the one that is waited for.
    let eager = thread::spawn(move || eager.rest());
    let mut buzzes = 0;
    for text in client.rest() {
        buzzes += usize::from(text.contains("\"buzz\""));
    }
    assert_eq!(buzzes, HITS);
    eager.join().unwrap();
    assert_eq!(daemon.wait().code, Some(0));
}

#[test]
fn a_close_frame_says_that_it_has_ended() {
    let (home, _) = session();
    let daemon = replay(&home, &["--speed", "max"]);
    let mut client: Client = daemon.client();
    let frame = client.close_frame();
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1000, "the recording has ended"));
    client.rest();
    assert_eq!(daemon.wait().code, Some(0));
}

#[test]
fn what_cannot_be_replayed_is_refused_before_it_listens() {
    let (home, _) = session();
    let refused = |more: &[&str]| {
        let mut command = Command::new(binary());
        let output =
            command.args(["log", "replay", "--listen", "127.0.0.1:0"]).args(more).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let log = home.journal().dir().display().to_string();
    let nowhere = home.path().join("nowhere").display().to_string();
    for (more, code, want) in [
        (&["--seq", "900..", &log][..], 2, "--seq: the log holds seq 1 to "),
        (&["--seq", "5..3", &log], 2, "the smaller first"),
        (&["--speed", "fast", &log], 2, "or max"),
        (&[nowhere.as_str()], 2, nowhere.as_str()),
    ] {
        let (ended, stderr) = refused(more);
        assert_eq!(ended, Some(code), "{stderr}");
        assert!(stderr.contains(want) && !stderr.contains("listening"), "{stderr}");
    }
    // Damage: nothing of it is served, but what comes before it is.
    let journal = home.journal();
    let mut bytes = journal.bytes();
    let third = bytes.split_inclusive(|byte| *byte == b'\n').take(3).map(<[u8]>::len).sum::<usize>() - 40;
    bytes[third] ^= 1;
    std::fs::write(journal.segment(), bytes).expect("the log");
    let (code, stderr) = refused(&[&log]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("line 3") && stderr.contains("--seq ..2"), "{stderr}");
    let (code, stderr) = refused(&["--seq", "..2", "--now", &log]);
    assert_eq!(code, Some(0), "{stderr}");
}
