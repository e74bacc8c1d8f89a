//! `buzzerd log verify` on the logs of real daemons, whole and spoilt. In: bytes that are changed, removed, repeated, moved or
//! brought from elsewhere; fingerprints and checkpoints that left the box before. Out: exit code, and the line that is named.
//! Guarantee: what is spoilt was written by a daemon first.

use std::fs;
use std::io::Write;
use std::path::Path;

use buzzer_core::io::sys;
use buzzer_server::io::store::log_proof;
use buzzer_server::log::{ChainHash, Fingerprint, Line, SegmentName};
use buzzer_server::record::{Fact, Record};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::log_command::written;
use buzzer_tests::{Attachment, Daemon, Home, log};
use serde_json::{Value, json};

fn home() -> Home {
    Home::desk("autoconnect = true\ndebounce_us = 0")
}

/// Hits until so many presses are in the log.
fn play(home: &Home, desk: &mut Attachment, presses: usize) {
    for n in 0..presses {
        desk.hit(1 + (n % 4) as u16);
    }
    home.journal().wait_until("presses", |records| {
        let found = records.iter().filter(|record| matches!(record.fact, Fact::Press { .. })).count();
        (found >= presses).then_some(())
    });
}

/// A daemon with a log of some presses.
fn running() -> (Home, Daemon, Attachment) {
    let home = home();
    let daemon = home.serve();
    let mut desk = home.attach(4);
    home.journal().wait_attached(1);
    play(&home, &mut desk, 12);
    home.journal().wait_checkpoints(1);
    (home, daemon, desk)
}

/// A log that is finished.
fn finished() -> Home {
    let (home, daemon, _desk) = running();
    daemon.stop();
    home
}

fn json_of(arguments: &[&str], path: &Path) -> (i32, Value) {
    let said = log(&[arguments, &["--json"]].concat(), path);
    let json = serde_json::from_str(&said.stdout);
    (said.code, json.unwrap_or_else(|error| panic!("{error}: {}{}", said.stdout, said.stderr)))
}

/// The lines of a finished log, with their newlines.
fn lines_of(home: &Home) -> Vec<Vec<u8>> {
    let bytes = home.journal().bytes();
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn first_segment(first_seq: u64) -> String {
    SegmentName { number: 1, first_seq }.to_string()
}

#[test]
fn a_daemons_log_is_whole_beside_it_and_after_it() {
    let (home, daemon, _desk) = running();
    let dir = home.journal().dir().to_owned();
    for more in [&["verify"][..], &["verify", "--replay"]] {
        let (code, found) = json_of(more, &dir);
        assert_eq!(
            (code, &found["good"], &found["being_written"]),
            (0, &json!(true), &json!(true)),
            "{found}"
        );
        let presses = home.journal().presses().len() as u64;
        assert!(found["records"].as_u64() >= Some(presses), "the journal is read too: {found}");
        assert_eq!(found["checkpoints"].as_array().map(Vec::len), Some(1), "that of the start: {found}");
    }
    daemon.stop();
    let records = home.journal().records();
    let (code, found) = json_of(&["verify", "--replay"], &dir);
    assert_eq!((code, &found["being_written"]), (0, &json!(false)));
    assert_eq!(found["last_seq"], records.len());
    assert_eq!(found["records"], records.len());
    assert_eq!(found["checkpoints"].as_array().map(Vec::len), Some(2), "and that of the end: {found}");
    let last = lines_of(&home).pop().expect("a line");
    let head = Line::parse(last.trim_ascii_end()).expect("a line").hash;
    assert_eq!(found["fingerprint"], Fingerprint::of(&head).to_string());
    // The page says it to people.
    let page = log(&["verify"], &dir).good();
    assert!(page.contains(&format!("{}@{}", Fingerprint::of(&head), records.len())), "{page}");
    assert!(!page.lines().any(|line| line.starts_with("NO")), "{page}");
}

#[test]
fn the_first_line_that_is_not_the_one_that_was_written_is_named() {
    let home = finished();
    let lines = lines_of(&home);
    let other = lines_of(&finished());
    let spoilt = tempfile::tempdir().expect("a directory");
    let path = spoilt.path().join(first_segment(1));
    let named = |lines: Vec<Vec<u8>>, want: usize, what: &str| {
        fs::write(&path, lines.concat()).expect("the segment");
        for more in [&["verify"][..], &["verify", "--replay"]] {
            let said = log(more, spoilt.path());
            let first = said.stdout.lines().next().unwrap_or_default();
            assert_eq!(said.code, 1, "{what}: {}{}", said.stdout, said.stderr);
            assert!(
                first.starts_with("NO  ") && first.contains(&format!(": line {want}: ")),
                "{what}: {first}"
            );
            assert!(first.ends_with("<- the first line that is wrong"), "{what}: {first}");
        }
    };
    for at in [0, 1, 9, lines.len() - 3] {
        let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut lines = lines.clone();
            change(&mut lines);
            lines
        };
        for byte in [3, 9, 30, lines[at].len() / 2, lines[at].len() - 10, lines[at].len() - 2] {
            named(with(&|lines| lines[at][byte] ^= 1), at + 1, "a flipped byte");
        }
        named(with(&|lines| drop(lines.remove(at))), at + 1, "deleted");
        named(with(&|lines| lines.swap(at, at + 1)), at + 1, "swapped");
        named(with(&|lines| lines.insert(at, lines[at].clone())), at + 2, "duplicated");
        // The first line follows from nothing: there the second one tells.
        named(with(&|lines| lines[at] = other[at].clone()), at.max(1) + 1, "from another log");
        named(with(&|lines| lines.insert(at, b"x\n".to_vec())), at + 1, "inserted");
    }
    // From here on all is from another log, whose own chain holds.
    named([&lines[..6], &other[6..]].concat(), 7, "spliced");
    fs::write(&path, lines.concat()).expect("the segment");
    log(&["verify"], spoilt.path()).good();
}

#[test]
fn an_incomplete_last_line_is_being_written_as_long_as_somebody_writes() {
    let (home, daemon, _desk) = running();
    let dir = home.journal().dir().to_owned();
    // Everything is in the segment, and the daemon has nothing to write.
    daemon.wait_healthz("the disk has all", |page| page["durable_seq"] == page["seq"]);
    let seq = home.journal().records().len() as u64 + 1;
    let mut segment =
        fs::OpenOptions::new().append(true).open(home.journal().segment()).expect("the segment");
    let torn = format!("{{\"v\":1,\"seq\":{seq},\"at_us\":1");
    segment.write_all(torn.as_bytes()).expect("half a line");
    let (code, found) = json_of(&["verify"], &dir);
    assert_eq!((code, &found["good"], &found["being_written"]), (0, &json!(true), &json!(true)), "{found}");
    assert_eq!(found["incomplete_bytes"], torn.len());
    let page = log(&["verify"], &dir).good();
    assert!(page.contains("being written"), "{page}");
    daemon.kill();
    let (code, found) = json_of(&["verify"], &dir);
    assert_eq!((code, &found["good"], &found["incomplete_bytes"]), (1, &json!(false), &json!(torn.len())));
    let said = log(&["verify"], &dir);
    said.refused(1, "NO  ");
    assert!(!said.stdout.contains("being written"), "{}", said.stdout);
}

#[test]
fn what_left_the_box_before_finds_a_cut_at_the_end_of_a_line_too() {
    let home = finished();
    let lines = lines_of(&home);
    let dir = home.journal().dir().to_owned();
    let noted = log(&["fingerprint"], &dir).good().trim().to_owned();
    let (fingerprint, _) = noted.split_once('@').expect("a seq");
    let hash = Line::parse(lines[lines.len() - 1].trim_ascii_end()).expect("a line").hash.to_string();
    let checkpoints = log_proof::checkpoints(&dir).expect("checkpoints");
    let checkpoint = checkpoints.last().expect("that of the end").display().to_string();
    // As somebody may have written it down.
    let by_hand = noted.to_lowercase().replace('0', "o").replace('1', "l");
    let (digits, number) = (by_hand.split('@').next().expect("it"), noted.split('@').nth(1).expect("a seq"));
    let by_hand = format!("{digits}@{number}");
    for against in [&*noted, fingerprint, &hash, &checkpoint, &by_hand] {
        let (code, found) = json_of(&["verify", "--against", against], &dir);
        assert_eq!((code, &found["against"][0]["met"]), (0, &json!(lines.len())), "{against}: {found}");
    }
    // The log alone, its last line cut off: nothing in it tells.
    let cut = tempfile::tempdir().expect("a directory");
    fs::write(cut.path().join(first_segment(1)), lines[..lines.len() - 1].concat()).expect("the segment");
    log(&["verify"], cut.path()).good();
    for (against, why) in [
        (&*noted, "its end was cut off"),
        (fingerprint, "no record of this log has it"),
        (&hash, "no record of this log has it"),
        (&checkpoint, "its end was cut off"),
        (&by_hand, "its end was cut off"),
    ] {
        let said = log(&["verify", "--against", against], cut.path());
        said.refused(1, why);
        assert!(said.stdout.lines().any(|line| line.starts_with("NO  ")), "{}", said.stdout);
    }
    // Where its checkpoints are, they find it without being named.
    fs::write(home.journal().segment(), lines[..lines.len() - 1].concat()).expect("the segment");
    log(&["verify"], &dir).refused(1, "its end was cut off");
    for nonsense in ["7K3Q-9MZT", "nowhere.txt", "7K3Q-9MZT-2WXA-H04U@12"] {
        log(&["verify", "--against", nonsense], &dir).refused(2, "nor is it the file of a checkpoint");
    }
}

#[test]
fn a_log_that_was_written_anew_as_a_whole_is_found_by_what_was_noted() {
    let home = finished();
    let dir = &home.journal().dir().to_owned();
    let noted = log(&["fingerprint", "--seq", "8"], dir).good().trim().to_owned();
    // Whoever has the program and time makes a chain without a flaw.
    let mut facts: Vec<(u64, Fact)> =
        home.journal().records().into_iter().map(|record| (record.at_us, record.fact)).collect();
    let press = facts.iter().position(|(_, fact)| matches!(fact, Fact::Press { .. })).expect("a press");
    facts[press].0 += 1;
    assert!(press < 8, "before what was noted");
    let forged = written(&facts);
    log(&["verify"], forged.path()).good();
    log(&["verify", "--against", &noted], forged.path()).refused(1, "seq 8 is another record in this log");
}

#[test]
fn a_checkpoint_counts_only_with_the_signature_of_the_box() {
    let home = finished();
    let dir = home.journal().dir().to_owned();
    let path = log_proof::checkpoints(&dir).expect("checkpoints").remove(0);
    let text = fs::read_to_string(&path).expect("a checkpoint");
    // Changed, although what it says of the log still holds.
    let changed = text.replace("wall: 20", "wall: 21");
    assert_ne!(changed, text);
    fs::write(&path, &changed).expect("a checkpoint");
    log(&["verify"], &dir).refused(1, &path.display().to_string());
    log(&["verify", "--against", &path.display().to_string()], &dir).refused(1, "signature");
    fs::write(&path, &text).expect("a checkpoint");
    log(&["verify"], &dir).good();
    // With the key that the organiser has of another box.
    let other = finished();
    let key = other.journal().dir().join("key.pub").display().to_string();
    log(&["verify", "--key", &key], &dir).refused(1, "checkpoints");
    for name in ["key.pub", "allowed_signers"] {
        let key = dir.join(name).display().to_string();
        log(&["verify", "--key", &key], &dir).good();
    }
    let nowhere = other.path().join("nowhere").display().to_string();
    log(&["verify", "--key", &nowhere], &dir).refused(2, &nowhere);
}

#[test]
fn a_verdict_that_does_not_follow_is_found_by_replay_only() {
    let home = Home::desk("stamps = \"sender\"\nautoconnect = true\n[order]\nsettle_us = 100000");
    let daemon = home.serve();
    let open = |buzzer| Attachment::open(&home.socket("desk"), "desk", &[buzzer]);
    let mut desks = [1, 2, 3].map(open);
    home.journal().wait_attached(3);
    let now = sys::now();
    for (desk, buzzer) in desks.iter_mut().zip(1..) {
        desk.send(&frame(now, key(buzzer), true));
    }
    home.journal().wait_until("three presses", |records| {
        (records.iter().filter(|record| matches!(record.fact, Fact::Press { .. })).count() == 3).then_some(())
    });
    daemon.stop();
    let mut facts: Vec<(u64, Fact)> =
        home.journal().records().into_iter().map(|Record { at_us, fact, .. }| (at_us, fact)).collect();
    log(&["verify", "--replay"], written(&facts).path()).good();
    // Somebody makes the second of a draw the first.
    let draw = facts.iter().position(|(_, fact)| matches!(fact, Fact::Draw { .. })).expect("a draw");
    facts.swap(draw + 1, draw + 2);
    let forged = written(&facts);
    log(&["verify"], forged.path()).good();
    let said = log(&["verify", "--replay"], forged.path());
    said.refused(1, &format!("seq {}", draw + 2));
    assert!(said.stdout.starts_with("NO  "), "{}", said.stdout);
    let (_, found) = json_of(&["verify", "--replay"], forged.path());
    assert_ne!(found["discrepancies"], 0);
}

#[test]
fn a_log_whose_key_is_gone_or_another_one_is_checked_all_the_same() {
    let home = finished();
    let dir = &home.journal().dir().to_owned();
    let keep = |name: &str| fs::read(dir.join(name)).expect("a key");
    let (key, signers) = (keep("key.pub"), keep("allowed_signers"));
    let other = fs::read(finished().journal().dir().join("key.pub")).expect("a key");
    let whole = |more: &str| {
        let said = log(&["verify"], dir);
        assert!(said.stdout.contains("each as it was written"), "{more}: {}{}", said.stdout, said.stderr);
        said
    };
    // It is written down twice.
    fs::remove_file(dir.join("key.pub")).expect("it");
    whole("one of two").good();
    fs::remove_file(dir.join("allowed_signers")).expect("it");
    whole("none").refused(1, "2 checkpoints cannot be checked");
    fs::write(dir.join("key.pub"), "no key\n").expect("it");
    whole("no key").refused(1, "2 checkpoints cannot be checked");
    fs::write(dir.join("key.pub"), other).expect("it");
    whole("another").refused(1, "NO  ");
    // One damaged line is named beside it.
    let mut bytes = home.journal().segment_bytes();
    bytes[40] ^= 1;
    fs::write(home.journal().segment(), &bytes).expect("the segment");
    log(&["verify"], dir).refused(1, ": line 1: ");
    bytes[40] ^= 1;
    fs::write(home.journal().segment(), bytes).expect("the segment");
    fs::write(dir.join("key.pub"), key).expect("it");
    fs::write(dir.join("allowed_signers"), signers).expect("it");
    whole("as it was").good();
}

#[test]
fn a_known_kind_that_cannot_be_read_is_no_kind_of_later() {
    let start = r#""at_us":1,"kind":"start","log":"0","boot":"b","version":"0","wall_us":1,"settle_us":0"#;
    for (rest, why) in [
        (r#""at_us":5,"kind":"stop","x":1,"x":2"#, "comes twice"),
        (r#""at_us":5,"kind":"stop","seq":2"#, "comes twice"),
        (r#""at_us":5,"kind":"ring_full","waiting_max":1.5"#, "expected an integer"),
        (r#""at_us":5,"kind":"press","pool":"desk"}{"#, "cannot be read"),
        (r#""at_us":5,"kind":"press","pool":"desk","buzzer":1"#, "says that it is of kind press"),
        (r#""at_us":5,"kind":"lost","first_seq":1"#, "says that it is of kind lost"),
        (r#""at_us":5,"kind":"lost","first_seq":1,"last_seq":1"#, "said that 1 to 1 are lost"),
        (r#""at_us":5,"kind":"lost","first_seq":2,"last_seq":1"#, "said that 2 to 1 are lost"),
        (r#""at_us":5,"kind":"lost","first_seq":2,"last_seq":3"#, "said that 2 to 3 are lost"),
        (r#""at_us":5"#, "no kind"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut head = ChainHash::START;
        let lines: String = (1..)
            .zip([start, rest, r#""at_us":9,"kind":"later","x":[1]"#])
            .map(|(seq, rest)| {
                let body = format!(r#"{{"v":1,"seq":{seq},{rest}"#);
                head = head.of_next(body.as_bytes());
                format!("{body},\"h\":\"{head}\"}}\n")
            })
            .collect();
        fs::write(dir.path().join(first_segment(1)), lines).expect("a segment");
        // The bytes are in order.
        log(&["verify"], dir.path()).good();
        let said = log(&["verify", "--replay"], dir.path());
        said.refused(1, why);
        assert!(said.stdout.starts_with("NO  seq 2: "), "{rest}: {}", said.stdout);
        assert!(
            said.stdout.contains("does not know: 1 record; the first is seq 3, \"later\""),
            "{}",
            said.stdout
        );
    }
}

#[test]
fn older_segments_may_be_elsewhere_if_that_is_said() {
    let home = finished();
    let lines = lines_of(&home);
    let dir = tempfile::tempdir().expect("a directory");
    let (first, second) = (dir.path().join(first_segment(1)), dir.path().join("000002-11.jsonl"));
    fs::write(&first, lines[..10].concat()).expect("a segment");
    fs::write(&second, lines[10..].concat()).expect("a segment");
    log(&["verify"], dir.path()).good();
    // A file each, in their order and not.
    let both = |one: &Path, two: &Path| log(&["verify", &one.display().to_string()], two);
    both(&first, &second).good();
    both(&second, &first).refused(1, "NO  ");
    fs::remove_file(&first).expect("it is there");
    log(&["verify"], dir.path()).refused(1, "seq 11");
    let (code, found) = json_of(&["verify", "--begins", "11"], dir.path());
    assert_eq!((code, &found["first_seq"], &found["records"]), (0, &json!(11), &json!(lines.len() - 10)));
    let noted = log(&["fingerprint", "--seq", "3"], home.journal().dir()).good();
    log(&["verify", "--begins", "11", "--against", noted.trim()], dir.path())
        .refused(2, "name the older segments too");
}
