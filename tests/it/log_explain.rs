//! `buzzerd log explain` on logs that real sessions made, and on such logs with damage. In: presses with stamps that the test
//! chooses. Out: verdict, reasons and exit code, as a judge and as a program see them. Guarantee: what is damaged is made
//! from what was really written.

use std::path::Path;
use std::process::{Command, Output};

use buzzer_core::io::sys;
use buzzer_core::press::decode::Record as Input;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::log::{ChainHash, SegmentName};
use buzzer_server::record::Fact;
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::daemon::binary;
use buzzer_tests::harness::log_command::written;
use buzzer_tests::{Attachment, Home};
use serde_json::{Value, json};

/// A home whose attachments stamp their presses themselves, each up to 5 ms late. Every edge counts. A busy machine has a
/// long time to see what belongs together.
fn home() -> Home {
    let pool = "stamps = \"sender\"\nautoconnect = true\ndelay_us = [0, 5000]\ndebounce_us = 0";
    Home::desk(&format!("{pool}\n[order]\nsettle_us = {SETTLE_US}"))
}

const SETTLE_US: u64 = 100_000;
/// A press is final so long after its stamp.
const FINAL_US: Micros = Micros::from_us(SETTLE_US + 5000);

fn explain(log: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["log", "explain"]).args(more).arg(log).env("TZ", "UTC").output().expect("buzzerd runs")
}

/// The exit code, and the answer as JSON.
fn answer(log: &Path, more: &[&str]) -> (i32, Value) {
    let output = explain(log, &[more, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).expect("text");
    let json = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("an exit code"), json)
}

/// `(exit code, who was first and how sure, the reasons)`.
fn short(log: &Path, more: &[&str]) -> (i32, String, Vec<String>) {
    let (code, json) = answer(log, more);
    let verdict = &json["verdict"];
    let first = match verdict {
        Value::Null => "none".to_owned(),
        _ => format!("{} by {}, certain {}", verdict["buzzer"], verdict["lead_us"], verdict["certain"]),
    };
    let why =
        json["why"].as_array().expect("reasons").iter().map(|why| why.as_str().expect("text").to_owned());
    (code, first, why.collect())
}

/// Presses of several attachments, `(attachment, buzzer, µs after the first)`, all visible at once.
fn race(attachments: &mut [Attachment], presses: &[(usize, u16, u64)]) {
    let base = sys::now();
    let last = presses.iter().map(|(.., after)| *after).max().unwrap_or(0);
    wait_until(base + Micros::from_us(last));
    for (at, attachment) in attachments.iter_mut().enumerate() {
        let own = presses.iter().filter(|(of, ..)| *of == at);
        let bytes: Vec<u8> =
            own.flat_map(|(_, buzzer, after)| press(base + Micros::from_us(*after), *buzzer)).collect();
        attachment.send(&bytes);
    }
}

/// Waits until it is so late: a stamp in the future, or from before the attachment, would be none.
fn wait_until(at: KernelTime) {
    while sys::now() < at {
        std::thread::yield_now();
    }
}

fn press(at: KernelTime, buzzer: u16) -> Vec<u8> {
    [frame(at, key(buzzer), true), frame(at, key(buzzer), false)].concat()
}

fn attach(home: &Home, buzzers: &[&[u16]]) -> Vec<Attachment> {
    let open = |(at, buzzers): (usize, &&[u16])| {
        Attachment::open(&home.socket("desk"), &format!("desk {at}"), buzzers)
    };
    let attachments = buzzers.iter().enumerate().map(open).collect();
    home.journal().wait_attached(buzzers.len());
    attachments
}

fn wait_presses(home: &Home, count: usize) {
    home.journal().wait_until("presses", |records| {
        let presses = records.iter().filter(|record| matches!(record.fact, Fact::Press { .. }));
        (presses.count() >= count).then_some(())
    });
}

#[test]
fn a_photo_finish_is_told_both_ways_and_beside_a_daemon_that_runs() {
    let home = home();
    let daemon = home.serve();
    let mut desks = attach(&home, &[&[1], &[2], &[3]]);
    race(&mut desks, &[(0, 1, 0), (1, 2, 1200), (2, 3, 9000)]);
    wait_presses(&home, 3);
    // The daemon still runs and has nothing to record: the clock says that they are final.
    wait_until(sys::now() + FINAL_US);
    let why = "photo finish: desk 2 may in truth have been before desk 1, how likely is not known: of \"desk 1\" the \
               shortest and the longest delay are known, no more; the host decides";
    let log = home.journal().dir().to_owned();
    assert_eq!(short(&log, &[]), (0, "1 by 1200, certain false".into(), vec![why.into()]));
    let (_, json) = answer(&log, &[]);
    let seqs: Vec<u64> =
        json["places"].as_array().unwrap().iter().map(|place| place["seq"].as_u64().unwrap()).collect();
    let doubts = |key: &str| -> Vec<Value> {
        json["places"].as_array().unwrap().iter().map(|place| place[key].clone()).collect()
    };
    let rival = |seq: &u64| json!({ "seq": seq, "chance_permille": null });
    assert_eq!(doubts("photo"), [json!([]), json!([rival(&seqs[0])]), json!([])]);
    assert_eq!(doubts("photo_by"), [json!([rival(&seqs[1])]), json!([]), json!([])]);
    assert_eq!(doubts("to_first_us"), [0, 1200, 9000]);
    assert_eq!(json["chain"]["is_written"], true);
    let text = String::from_utf8(explain(&log, &[]).stdout).unwrap();
    assert!(text.contains("VERDICT  desk 1 was first, 1.200 ms before desk 2.\n"), "{text}");
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains(&format!("Not certain: {why}.")), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100 || line.contains("printf")), "{text}");
    drop(daemon);
}

#[test]
fn a_tie_can_be_drawn_again_with_sha256sum() {
    let home = home();
    let daemon = home.serve();
    let mut desks = attach(&home, &[&[1], &[2], &[3]]);
    race(&mut desks, &[(0, 1, 0), (1, 2, 0), (2, 3, 0)]);
    wait_presses(&home, 3);
    daemon.stop();
    let log = home.journal().dir().to_owned();
    let drawn = home.journal().presses();
    let (code, first, _) = short(&log, &[]);
    assert_eq!((code, first), (0, format!("{} by 0, certain false", drawn[0])));
    // The page's own commands, run by a shell.
    let text = String::from_utf8(explain(&log, &[]).stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut places: Vec<Vec<(String, u16)>> = Vec::new();
    for pair in lines.windows(2) {
        if pair[0].starts_with("  place ") {
            places.push(Vec::new());
        }
        if !pair[0].contains("sha256sum") {
            continue;
        }
        let output = Command::new("sh").arg("-c").arg(pair[0].trim()).output().expect("a shell");
        let hash = String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned();
        let (said, buzzer) = pair[1].trim().split_once("  desk ").unwrap();
        assert_eq!(hash, said);
        places.last_mut().unwrap().push((hash, buzzer.parse::<u16>().unwrap()));
    }
    assert!(places.iter().all(|lots| lots.is_sorted()), "{places:?}");
    let [first, second] = &places[..] else { panic!("the last place is not drawn: {places:?}") };
    assert_eq!([first[0].1, second[0].1, second[1].1], drawn[..]);
}

#[test]
fn a_late_press_and_a_stale_stamp_are_told_in_words() {
    let home = home();
    let daemon = home.serve();
    let mut desks = attach(&home, &[&[1], &[2]]);
    wait_until(sys::now() + Micros::from_ms(20));
    race(&mut desks[..1], &[(0, 1, 0)]);
    wait_presses(&home, 1);
    let first = home.journal().wait_for("the press", |fact| matches!(fact, Fact::Press { .. }));
    // Stamped before the one that was told already.
    desks[1].send(&frame(KernelTime::from_us(first.at_us - 1500), key(2), true));
    wait_presses(&home, 2);
    // And one from the future.
    desks[0].send(&press(sys::now() + Micros::from_ms(60_000), 1));
    wait_presses(&home, 3);
    daemon.stop();
    let why = "desk 2 has an earlier stamp, but came when desk 1 had been told already: the host decides";
    let log = home.journal().dir().to_owned();
    assert_eq!(short(&log, &[]), (0, "1 by -1500, certain false".into(), vec![why.into()]));
    let text = String::from_utf8(explain(&log, &[]).stdout).unwrap();
    assert!(
        text.contains("VERDICT  desk 1 was told first; the stamp of desk 2 is 1.500 ms earlier.\n"),
        "{text}"
    );
    assert!(text.contains("photo finish, late"), "{text}");
    assert!(
        text.contains("its own stamp could not be true: it is ordered by the time it was read"),
        "{text}"
    );
}

fn facts_of(home: &Home) -> Vec<(u64, Fact)> {
    home.journal().records().into_iter().map(|record| (record.at_us, record.fact)).collect()
}

/// A real session of four presses.
fn session() -> Home {
    let home = home();
    let daemon = home.serve();
    let mut desks = attach(&home, &[&[1], &[2]]);
    race(&mut desks, &[(0, 1, 0), (1, 2, 9000)]);
    wait_presses(&home, 2);
    race(&mut desks, &[(1, 2, 0), (0, 1, 9000)]);
    wait_presses(&home, 4);
    daemon.stop();
    home
}

#[test]
fn a_device_that_went_with_unread_presses_bars_the_verdict() {
    let home = session();
    let mut facts = facts_of(&home);
    let press = |fact: &(u64, Fact)| matches!(fact.1, Fact::Press { .. });
    let last = facts.iter().rposition(press).expect("a press");
    assert_eq!(short(home.journal().dir(), &[]).0, 0, "the session itself has a verdict");
    let (at_us, pool) = (facts[last].0, "desk".parse().expect("a pool"));
    let unplugged = Fact::Detach { device: 2, pool, reason: "unplugged".into(), certain: false };
    facts.insert(last, (at_us - 1, unplugged));
    let dir = written(&facts);
    let (code, first, why) = short(dir.path(), &[]);
    assert_eq!((code, &*first, why.len()), (1, "none", 1));
    assert!(why[0].contains("went: unplugged") && why[0].ends_with("not handed over are lost"), "{why:?}");
    let text = String::from_utf8(explain(dir.path(), &[]).stdout).expect("text");
    assert!(text.contains("NO VERDICT.") && text.contains("What is known all the same:"), "{text}");
}

#[test]
fn two_boots_are_never_one_race() {
    let mut home = home();
    for (boot, buzzer) in [("aaaa", 1), ("bbbb", 2)] {
        home.set_boot(boot);
        let daemon = home.serve();
        let before = home.journal().presses().len();
        let mut desk = Attachment::open(&home.socket("desk"), "desk", &[1, 2]);
        home.journal().wait_attached(before + 1);
        desk.hit(buzzer);
        wait_presses(&home, before + 1);
        wait_until(sys::now() + FINAL_US);
        daemon.stop();
    }
    let log = home.journal().dir().to_owned();
    assert_eq!(short(&log, &[]), (0, "2 by null, certain true".into(), vec![]));
    let (code, first, why) = short(&log, &["--from", "2000-01-01"]);
    assert_eq!((code, &*first), (1, "none"));
    assert!(why[0].contains("two boots, and their times cannot be compared"), "{why:?}");
    let (_, json) = answer(&log, &["--from", "2000-01-01"]);
    assert_eq!(json["places"][1]["to_first_us"], Value::Null);
}

#[test]
fn damage_before_in_and_behind_the_window() {
    // An evening, and another boot with the same.
    let home = session();
    let mut facts = facts_of(&home);
    let second = facts.clone();
    let press = |fact: &(u64, Fact)| matches!(fact.1, Fact::Press { .. });
    let length = facts.len() as u64;
    for (at_us, fact) in &second {
        let fact = match fact.clone() {
            Fact::Start { log, version, wall_us, settle_us, realtime, .. } => {
                let (boot, wall_us) = ("another".into(), wall_us + 60_000_000);
                Fact::Start { log, boot, version, wall_us, settle_us, realtime }
            }
            fact => fact,
        };
        facts.push((*at_us, without_seqs(fact)));
    }
    let first = facts.iter().rposition(press).expect("a press") as u64 + 1;
    let dir = written(&facts);
    let file = dir.path().join(SegmentName { number: 1, first_seq: 1 }.to_string());
    let whole = std::fs::read(&file).expect("the segment");
    let around = first.to_string();
    assert_eq!(short(dir.path(), &["--around", &around]).0, 0);
    let damaged = |seq: u64| {
        let mut lines: Vec<Vec<u8>> =
            whole.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let line = &mut lines[seq as usize - 1];
        let digit = line.len() / 2;
        line[digit] ^= 1;
        std::fs::write(&file, lines.concat()).expect("the segment");
        short(dir.path(), &["--around", &around])
    };
    // In the evening before: this race stands on a start of its own. The log is damaged all the same.
    let (code, verdict, _) = damaged(2);
    assert!(code == 1 && verdict != "none", "{verdict}");
    // Since that start, and in the race.
    for seq in [length + 2, first - 1, first] {
        let (code, verdict, why) = damaged(seq);
        assert_eq!((code, &*verdict), (1, "none"), "seq {seq}");
        assert!(why.iter().any(|why| why.contains("damaged")), "seq {seq}: {why:?}");
    }
    let text = String::from_utf8(explain(dir.path(), &[]).stdout).expect("text");
    assert!(text.contains("chain        DAMAGED"), "{text}");
}

/// Seqs of another place in the log mean nothing.
fn without_seqs(mut fact: Fact) -> Fact {
    if let Fact::Press { photo, tie, .. } = &mut fact {
        photo.clear();
        *tie = None;
    }
    fact
}

#[test]
fn what_cannot_be_answered_is_said_with_exit_code_2() {
    let home = home();
    home.serve().stop();
    let log = home.journal().dir().to_owned();
    assert_eq!(short(&log, &[]), (1, "none".into(), vec!["nobody has pressed a buzzer in this log".into()]));
    let empty = tempfile::tempdir().expect("a directory");
    let name = empty.path().join(SegmentName { number: 1, first_seq: 1 }.to_string());
    std::fs::write(&name, "").expect("the segment");
    let text = empty.path().join("text");
    std::fs::write(&text, "What a day.\n").expect("a file");
    let newer = empty.path().join("newer");
    let body = r#"{"v":2,"seq":1"#;
    let hash = ChainHash::START.of_next(body.as_bytes());
    std::fs::write(&newer, format!("{body},\"h\":\"{hash}\"}}\n")).expect("a file");
    let nowhere = empty.path().join("nowhere");
    for (path, more, want) in [
        (log.as_path(), &["--around", "999"][..], "seq 999 is not in this log, which holds seq 1 to "),
        (&log, &["--gap", "0"], "expected 0.001 to 3600 seconds"),
        (&log, &["--around", "1", "--from", "19:30"], "cannot be used with"),
        (&name, &[], "the log is empty"),
        (&text, &[], "not a log of buzzerd: "),
        (&newer, &[], "newer"),
        (nowhere.as_path(), &[], "nowhere: cannot be read: No such file"),
        (home.path(), &[], "no log is here"),
    ] {
        let output = explain(path, more);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{want}: {stderr}");
        assert!(stderr.contains(want), "{want}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_held_and_a_bouncing_button_are_told() {
    let home = Home::desk("stamps = \"sender\"\nautoconnect = true");
    let daemon = home.serve();
    let mut desks = attach(&home, &[&[1], &[2]]);
    desks[1].records(&[Input::key(sys::now(), key(2), true), Input::report(sys::now())]);
    wait_presses(&home, 1);
    let now = sys::now();
    let bounce: Vec<u8> = (0..3).flat_map(|n| press(now + Micros::from_us(n), 1)).collect();
    desks[0].send(&bounce);
    wait_presses(&home, 2);
    daemon.stop();
    let (code, json) = answer(home.journal().dir(), &["--gap", "0.001"]);
    assert_eq!(code, 0);
    // With the smallest gap the second press is a race of its own, and buzzer 2 is down when it begins.
    let down: Vec<&Value> = json["pools"][0]["devices"]
        .as_array()
        .expect("devices")
        .iter()
        .map(|device| &device["down"])
        .collect();
    let text = format!("{:?}", down);
    assert!(text.contains("2"), "{json}");
    let happened = json["happened"].to_string();
    assert!(happened.contains("desk 1: 4 edges") || happened.contains("desk 1: 5 edges"), "{happened}");
}
