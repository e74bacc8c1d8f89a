//! Logs of earlier versions, kept for ever. In: the directories under `tests/golden/v1`, each a log and what it was found
//! to say when it was put there. Out: the same, found again, by buzzerd and by the Python verifier. Guarantee: every kind of
//! record that this version writes is in one of them.
//!
//! A new kind needs a new directory; old ones are never changed. `BUZZERD_GOLDEN=NAME cargo test -p buzzer-tests --test it
//! golden` makes `tests/golden/v1/NAME` from a session and from [`rare`], to which kinds are added that no session has; with
//! `BUZZERD_GOLDEN_FROM=FILE` from a log, as `cat *.jsonl` gives it. Then LOG.md gets a section with an example line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use buzzer_server::game::state::State;
use buzzer_server::io::store::log_reader::LogReader;
use buzzer_server::judge::audit::Audit;
use buzzer_server::log::{self, ChainHash, Fingerprint, Line, Verifier};
use buzzer_server::record::{Fact, Record};
use buzzer_server::wire::v1;
use buzzer_tests::harness::daemon::binary;
use buzzer_tests::{Session, left_out};

const RECORD_RS: &str = include_str!("../../server/src/record.rs");
const LOG_MD: &str = include_str!("../../server/LOG.md");
const VERIFY_PY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/src/log/verify.py");

/// Records of kinds that no session of the mediator alone can have.
fn rare() -> Vec<Fact> {
    let text = str::to_owned;
    vec![
        Fact::Degraded { what: text("realtime"), reason: text("Operation not permitted (os error 1)") },
        Fact::Uncounted {
            pool: "desk".parse().unwrap(),
            buzzer: 4,
            device: 2,
            presses: 3,
            since_us: 19_000_000,
            reason: text("not_connected"),
            others: 0,
        },
        Fact::Disconnect { pool: "left desk".parse().unwrap(), by: text("configuration") },
        Fact::Anchor { wall_us: 1_795_500_000_000_000, bracket_us: 1, synced: Some(true) },
        Fact::Config { part: 1, parts: 1, settings: vec![text("order.settle_us = 2000")] },
        Fact::Roster {
            pool: "stage".parse().unwrap(),
            name: text("Logitech Logitech Buzz(tm) Controller V1"),
            place: text("event4, usb-0000:00:14.0-1/input0"),
        },
        Fact::Storage {
            what: text("fdatasync failed"),
            errno: Some(5),
            file: text("000003-90112.jsonl"),
            first_seq: 90_400,
            last_seq: 90_412,
            done: text("written again to a fresh segment"),
        },
        Fact::Recovered {
            segment: text("000003-90112.jsonl"),
            bytes: 120,
            sha256: "0f".repeat(32),
            last_good_seq: 90_411,
            file: text("000003-90112.jsonl.torn-1"),
        },
        Fact::Damage {
            segment: text("000002-45056.jsonl"),
            line: 17,
            why: text("its hash does not follow from the line before it"),
        },
        // Its numbers follow from where it stands.
        Fact::Lost { first_seq: 0, last_seq: 0 },
        Fact::Expired {
            first_segment: text("000001-1.jsonl"),
            last_segment: text("000001-1.jsonl"),
            last_seq: 45_055,
            last_hash: "a5".repeat(32),
            boot: None,
            connected: Vec::new(),
            part: 1,
            parts: 1,
        },
    ]
}

/// Every kind that this version writes, from the vocabulary itself.
fn kinds() -> BTreeSet<String> {
    let body = RECORD_RS.split("pub enum Fact {").nth(1).unwrap().split("\n}").next().unwrap();
    let variant = |line: &str| {
        let name = line.strip_prefix("    ")?.split([' ', '{']).next()?;
        name.starts_with(|char: char| char.is_ascii_uppercase()).then(|| snake(name))
    };
    let kinds: BTreeSet<String> = body.lines().filter_map(variant).collect();
    assert!(kinds.contains("press") && kinds.contains("reader_stall"), "{kinds:?}");
    kinds
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
    }
    snake
}

fn logs() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1");
    let mut logs: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.sort_unstable();
    assert!(!logs.is_empty());
    logs
}

/// What a log is found to say: its fingerprint, and the frames that it is to the world.
fn found(dir: &Path) -> (String, String) {
    let mut reader = LogReader::open(&[dir.to_owned()]).unwrap();
    let (mut verifier, mut audit) = (Verifier::from_seq(1), Audit::default());
    let (mut state, mut frames, mut discrepancies) = (State::default(), String::new(), Vec::new());
    while let Some(raw) = reader.next_line().unwrap() {
        let line = verifier.check(&raw.bytes).unwrap_or_else(|fault| panic!("{}: {fault}", dir.display()));
        let record = line.record().unwrap();
        audit.take(&record, &mut discrepancies);
        state.apply(&record, |news| frames += &(v1::event(&news) + "\n"));
    }
    assert_eq!(discrepancies, [], "{}", dir.display());
    let fingerprint = Fingerprint::of(verifier.head().unwrap());
    (format!("{fingerprint}@{}\n", verifier.next_seq() - 1), frames)
}

fn shown(dir: &Path) -> String {
    let mut show = Command::new(binary());
    let output = show.args(["log", "show", "--utc", "--json"]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn make(name: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(name);
    assert!(!dir.exists(), "{}: golden logs are never changed", dir.display());
    let log = match std::env::var("BUZZERD_GOLDEN_FROM") {
        Ok(path) => fs::read(path).unwrap(),
        Err(_) => from_session(),
    };
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("000001-1.jsonl"), log).unwrap();
    let (fingerprint, frames) = found(&dir);
    fs::write(dir.join("fingerprint.txt"), fingerprint).unwrap();
    fs::write(dir.join("frames.txt"), frames).unwrap();
    fs::write(dir.join("show.txt"), shown(&dir)).unwrap();
}

/// The shortest session that has every kind, with the rare ones behind it.
fn from_session() -> Vec<u8> {
    let rare = rare();
    let lines = (0..1500).map(|seed| {
        let mut lines = Vec::new();
        Session::eventful(seed).play(300, &mut lines);
        lines
    });
    let missing = |lines: &[u8]| {
        let mut missing = kinds();
        let all = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for line in all {
            missing.remove(Line::parse(line).unwrap().kind().unwrap());
        }
        missing
    };
    let mut best = lines.min_by_key(|lines| (missing(lines).len(), lines.len())).unwrap();
    let last = best.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    let last = Line::parse(last).unwrap();
    let (mut head, mut seq, at_us) = (last.hash, last.seq, last.record().unwrap().at_us);
    for mut fact in rare {
        seq += 1;
        if let Fact::Lost { first_seq, last_seq } = &mut fact {
            (*first_seq, *last_seq) = (seq, seq + 9);
            seq += 10;
        }
        log::encode(&Record { seq, at_us, fact }, &mut head, &mut best);
    }
    assert_eq!(missing(&best), BTreeSet::new(), "add these to `rare`");
    best
}

#[test]
fn logs_of_version_1_say_the_same_for_ever() {
    if let Ok(name) = std::env::var("BUZZERD_GOLDEN") {
        make(&name);
    }
    let mut seen = BTreeSet::new();
    for dir in logs() {
        let expected = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        let (fingerprint, frames) = found(&dir);
        assert_eq!(fingerprint, expected("fingerprint.txt"), "{}", dir.display());
        assert_eq!(frames, expected("frames.txt"), "{}", dir.display());
        assert_eq!(shown(&dir), expected("show.txt"), "{}", dir.display());
        // With its checkpoints, where it has some.
        let verified = Command::new(binary()).args(["log", "verify", "--replay"]).arg(&dir).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        let text = expected("000001-1.jsonl");
        seen.extend(
            text.lines().map(|line| Line::parse(line.as_bytes()).unwrap().kind().unwrap().to_owned()),
        );
    }
    let missing: Vec<_> = kinds().difference(&seen).cloned().collect();
    assert!(missing.is_empty(), "no golden log has {missing:?}: see the head of this file");
}

#[test]
fn log_md_names_every_kind_and_its_examples_are_from_golden_logs() {
    let heading = |line: &str| Some(line.strip_prefix("### `")?.strip_suffix('`')?.to_owned());
    let described: BTreeSet<String> = LOG_MD.lines().filter_map(heading).collect();
    assert_eq!(described, kinds());
    let golden: String =
        logs().iter().map(|dir| fs::read_to_string(dir.join("000001-1.jsonl")).unwrap()).collect();
    let golden: BTreeSet<&str> = golden.lines().collect();
    for section in LOG_MD.split("### `").skip(1) {
        let kind = section.split('`').next().unwrap();
        let example = section.lines().find(|line| line.starts_with(r#"{"v":1,"#));
        let example = example.unwrap_or_else(|| panic!("{kind}: no example"));
        assert!(golden.contains(example), "{kind}: in no golden log: {example}");
        assert_eq!(Line::parse(example.as_bytes()).unwrap().kind(), Some(kind));
    }
    let verifier = fs::read_to_string(VERIFY_PY).unwrap();
    assert!(LOG_MD.contains(&verifier), "server/LOG.md has another verifier than server/src/log/verify.py");
}

/// The steps of LOG.md, as they stand there, on an export of a daemon's log.
#[test]
fn a_log_is_checked_by_following_log_md() {
    for tool in ["python3", "ssh-keygen", "sha256sum"] {
        if let Err(error) = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output() {
            return left_out("the steps of LOG.md", &format!("{tool}: {error}"));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = logs().into_iter().find(|dir| dir.ends_with("demo")).unwrap();
    let export = dir.path().join("export");
    let exported =
        Command::new(binary()).args(["log", "export"]).arg(&demo).arg("--dir").arg(&export).output().unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let steps: String =
        LOG_MD.split("```sh\n").skip(1).map(|step| step.split("```").next().unwrap()).collect();
    let steps = steps.replace("/tmp/", &format!("{}/", dir.path().display()));
    let output = Command::new("sh").args(["-e", "-c", &steps]).current_dir(&export).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let fingerprint = fs::read_to_string(demo.join("fingerprint.txt")).unwrap();
    assert_eq!(said.matches(fingerprint.trim()).count(), 1, "{said}");
    assert_eq!(said.matches("Good \"buzzerd-checkpoint\" signature for buzzerd").count(), 2, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.iter().filter(|line| **line == "1").count(), 2, "each head is in the log: {said}");
    let by_hand = lines.iter().position(|line| line.ends_with("  -")).unwrap();
    assert_eq!(
        lines[by_hand].split(' ').next(),
        lines.get(by_hand + 1).and_then(|line| line.get(..64)),
        "{said}"
    );
}

/// Buzzerd and the Python verifier on one file: whether it is whole, and which line is named.
fn judged(path: &Path) -> [(bool, Option<u64>); 2] {
    let number = |text: &str| {
        let digits = text.split(": line ").nth(1)?.split(|char: char| !char.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    let ours = Command::new(binary()).args(["log", "verify"]).arg(path).output().unwrap();
    let theirs = Command::new("python3").arg(VERIFY_PY).arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&ours.stdout).into_owned() + &String::from_utf8_lossy(&ours.stderr);
    let named = number(&said).filter(|_| !ours.status.success());
    [
        (ours.status.success(), named),
        (theirs.status.success(), number(&String::from_utf8_lossy(&theirs.stderr))),
    ]
}

#[test]
fn buzzerd_and_the_python_verifier_agree() {
    if let Err(error) = Command::new("python3").arg("--version").output() {
        return left_out("the Python verifier", &format!("python3: {error}"));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut text = Vec::new();
    Session::new(5).play(60, &mut text);
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let mut vectors: Vec<(String, Vec<u8>, bool)> = vec![("whole".into(), text.clone(), true)];
    let mut bad = |what: &str, bytes: Vec<u8>| vectors.push((what.to_owned(), bytes, false));
    for at in [0, 1, 30, lines.len() - 2] {
        let with = |line: &[&[u8]], skip: usize| {
            [&lines[..at].concat(), &line.concat(), &lines[at + skip..].concat()]
                .map(|part| &part[..])
                .concat()
        };
        bad("removed", with(&[], 1));
        bad("repeated", with(&[lines[at], lines[at]], 1));
        bad("swapped", with(&[lines[at + 1], lines[at]], 2));
        bad("inserted", with(&[b"\n"], 0));
        bad("garbage", with(&[b"{\"v\":1,\"seq\":2}\n"], 0));
        for (byte, bit) in [(5, 1), (12, 0), (40, 3), (lines[at].len() - 1, 4), (lines[at].len() - 20, 2)] {
            let mut line = lines[at].to_vec();
            line[byte] ^= 1 << bit;
            bad("flipped", with(&[&line], 1));
        }
    }
    bad("cut", text[..text.len() - 9].to_vec());
    bad("empty", Vec::new());
    // With a chain of its own, which only numbers give away.
    let line = |head: &mut ChainHash, seq: u64, rest: &str| {
        let body = format!(r#"{{"v":1,"seq":{seq},"at_us":1,{rest}"#);
        *head = head.of_next(body.as_bytes());
        format!("{body},\"h\":\"{head}\"}}\n")
    };
    let chain = |records: &[(u64, &str)]| {
        let mut head = ChainHash::START;
        records.iter().map(|(seq, rest)| line(&mut head, *seq, rest)).collect::<String>().into_bytes()
    };
    let stop = r#""kind":"stop""#;
    bad("a number left out", chain(&[(1, stop), (3, stop)]));
    bad("not from 1", chain(&[(2, stop), (3, stop)]));
    bad("another loss", chain(&[(1, stop), (5, r#""kind":"lost","first_seq":3,"last_seq":4"#)]));
    let backwards = r#""kind":"lost","first_seq":3,"last_seq":1"#;
    bad("a loss that runs backwards", chain(&[(1, stop), (2, stop), (2, backwards), (3, stop)]));
    bad("long", chain(&[(1, stop), (2, &format!(r#""kind":"stop","x":"{}""#, "x".repeat(8200)))]));
    let lost = chain(&[(1, stop), (5, r#""kind":"lost","first_seq":2,"last_seq":4"#), (6, stop)]);
    vectors.push(("a loss that the log names".into(), lost, true));
    vectors.push((
        "a kind of a later version".into(),
        chain(&[(1, stop), (2, r#""kind":"new","x":[1]"#)]),
        true,
    ));
    for (at, (what, bytes, is_whole)) in vectors.iter().enumerate() {
        let path = dir.path().join(format!("{at}.jsonl"));
        fs::write(&path, bytes).unwrap();
        let [ours, theirs] = judged(&path);
        assert_eq!((ours.0, theirs.0), (*is_whole, *is_whole), "{at}: {what}");
        if what != "empty" {
            assert_eq!(ours.1, theirs.1, "{at}: {what}: the line that is named");
        }
    }
}
