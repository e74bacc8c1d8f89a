//! Texts that somebody else chose. In: the log of a stranger, who forged it with care, and names that reach a real daemon. Out:
//! everything that buzzerd prints of them. Guarantee: no command shows a character raw that moves a cursor, ends a line or
//! turns the direction of reading; as JSON the text is the same all the same.

use std::fs;

use buzzer_server::log::{ChainHash, encode};
use buzzer_server::record::{DeviceDelay, Fact, Flags, Record};
use buzzer_tests::{Attachment, Home, log};
use serde_json::Value;

/// Clears the screen, begins a line, turns the text, is one line more for Unicode, and ends with blanks.
const TEXT: &str = "\u{1b}[2J\r\nNO  forged\t\u{9b}31m\u{202e}\u{2028}\u{e0001}  ";

/// What may not reach a terminal. A line's end is judged by the number of lines.
fn is_raw(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{2028}' | '\u{202e}' | '\u{e0001}')
}

#[track_caller]
fn assert_plain(what: &str, text: &str) {
    let text = text.replace("\r\n", "\n");
    assert!(!text.contains(is_raw), "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("NO  forged")), "{what}: a line of its own: {text:?}");
}

fn facts() -> Vec<Fact> {
    let text = || TEXT.to_owned();
    let pool = || "desk".parse().expect("an id");
    let attach = |device, name: String| Fact::Attach {
        device,
        pool: pool(),
        name,
        place: text(),
        stamps: TEXT.into(),
        buzzers: vec![1, 2],
        delay: DeviceDelay {
            delay_us: [0, 3],
            delay_basis: text(),
            model: Some(text()),
            ..DeviceDelay::default()
        },
    };
    let press = |buzzer, flags| Fact::Press {
        pool: pool(),
        buzzer,
        device: 1,
        delay_us: [0, 0],
        final_at_us: 0,
        flags,
        photo: vec![],
        photo_more: false,
        tie: None,
        frame: 0,
    };
    vec![
        Fact::Start {
            log: text(),
            boot: text(),
            version: text(),
            wall_us: 1,
            settle_us: 2000,
            realtime: true,
        },
        Fact::Config { part: 1, parts: 1, settings: vec![text()] },
        Fact::Anchor { wall_us: 1_700_000_000_000_000, bracket_us: 1, synced: None },
        Fact::Roster { pool: pool(), name: text(), place: text() },
        attach(1, text()),
        Fact::Connect { pool: pool(), by: text(), asked_us: None },
        Fact::Refuse { pool: text(), by: text(), message: text(), times: 2, since_us: Some(1) },
        Fact::Uncounted {
            pool: pool(),
            buzzer: 2,
            device: 1,
            presses: 1,
            since_us: 1,
            reason: text(),
            others: 1,
        },
        press(1, Flags(vec![TEXT.into()])),
        press(2, Flags::default()),
        Fact::Degraded { what: text(), reason: text() },
        Fact::Storage { what: text(), errno: None, file: text(), first_seq: 1, last_seq: 2, done: text() },
        Fact::Recovered { segment: text(), bytes: 1, sha256: text(), last_good_seq: 1, file: text() },
        Fact::Damage { segment: text(), line: 1, why: text() },
        Fact::Expired {
            first_segment: text(),
            last_segment: text(),
            last_seq: 1,
            last_hash: text(),
            boot: Some(text()),
            connected: vec![pool()],
            part: 1,
            parts: 1,
        },
        Fact::Detach { device: 1, pool: pool(), reason: text(), certain: true },
        attach(2, text()),
        Fact::Disconnect { pool: pool(), by: text() },
    ]
}

/// A log without a flaw in its chain: those facts, then lines that no buzzerd writes.
fn forged() -> Vec<u8> {
    let (mut head, mut lines) = (ChainHash::START, Vec::new());
    let facts = facts();
    for (fact, seq) in facts.iter().zip(1..) {
        encode(&Record { seq, at_us: 1000 * seq, fact: fact.clone() }, &mut head, &mut lines);
    }
    let text = serde_json::to_string(TEXT).expect("text");
    for (rest, seq) in [
        format!("\"kind\":\"later\",\"pool\":{text},{text}:{text}"),
        format!("\"kind\":{text},\"x\":1"),
        format!("\"kind\":\"connect\",\"pool\":{text},\"by\":\"x\""),
        format!("\"kind\":\"detach\",\"device\":{text}"),
        format!("\"kind\":\"press\",{text}:1,{text}:2"),
    ]
    .iter()
    .zip(facts.len() as u64 + 1..)
    {
        let body = format!("{{\"v\":1,\"seq\":{seq},\"at_us\":{},{rest}", 1000 * seq);
        head = head.of_next(body.as_bytes());
        lines.extend_from_slice(format!("{body},\"h\":\"{head}\"}}\n").as_bytes());
    }
    lines.extend_from_slice(TEXT.as_bytes());
    lines
}

#[test]
fn the_log_of_a_stranger_cannot_speak_to_a_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("000001-1.jsonl"), forged()).expect("a log");
    fs::write(dir.path().join(format!("x{}.jsonl", TEXT.replace('/', ""))), "x").expect("a file");
    let kinds = ["show", "explain", "export", "verify", "fingerprint"];
    let mut all: Vec<Vec<&str>> = kinds.iter().map(|kind| vec![*kind]).collect();
    all.extend([
        vec!["show", "--json"],
        vec!["show", "-n", "3"],
        vec!["show", "--kind", "later"],
        vec!["explain", "--json"],
        vec!["explain", "--seq", "1..17"],
        vec!["explain", "--seq", "1..17", "--json"],
        vec!["export", "--format", "json"],
        vec!["verify", "--json"],
        vec!["fingerprint", "--json"],
    ]);
    for arguments in all {
        let said = log(&arguments, dir.path());
        assert_plain(&format!("{arguments:?}, stdout"), &said.stdout);
        assert_plain(&format!("{arguments:?}, stderr"), &said.stderr);
        assert!(!(said.stdout.clone() + &said.stderr).is_empty());
    }
    let shown = log(&["show", "--json"], dir.path());
    let records: Vec<Value> =
        shown.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(records[4]["name"], TEXT, "the same text, only spelt with care");
    let export = dir.path().join("export");
    let exported = log(&["export", "--dir", &export.display().to_string()], dir.path());
    assert_plain("export --dir", &exported.stderr);
    assert_plain("log.csv", &fs::read_to_string(export.join("log.csv")).expect("a table"));
    let table = fs::read_to_string(export.join("log.csv")).expect("a table");
    assert_eq!(table.lines().count(), table.matches("\r\n").count(), "a row is a line: {table:?}");
}

#[test]
fn what_a_program_calls_itself_is_shown_with_care() {
    // Controls are refused; what only turns the text, or hides in it, may stand in a name.
    const NAME: &str = "=evil\u{202e}gnp\u{2066}  ";
    let home = Home::desk("autoconnect = true");
    let daemon = home.serve();
    let mut client = daemon.client();
    client.ask(&serde_json::json!({"command": "connect", "pool": TEXT}).to_string());
    let mut desk = Attachment::open(&home.socket("desk"), NAME, &[1, 2]);
    home.journal().wait_attached(1);
    desk.hit(1);
    home.journal().wait_presses(1);
    let ended = daemon.stop();
    assert_plain("the daemon", &ended.stderr);
    for arguments in [&["show"][..], &["show", "--json"], &["explain"], &["explain", "--json"], &["export"]] {
        let said = log(arguments, home.journal().dir());
        assert!(said.stdout.contains("evil"), "{arguments:?}: {said:?}");
        assert_plain(&format!("{arguments:?}"), &(said.stdout + &said.stderr));
    }
}
