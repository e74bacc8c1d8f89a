//! Files that somebody put beside a log, or changed as a whole. In: the log of a real daemon, cut into segments. Out: a start that
//! goes on behind the last record that can be read, and names what is no part of the log. Guarantee checked: neither the
//! length nor the name of a stray file makes it the log.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use buzzer_server::log::{ChainHash, Line, encode};
use buzzer_server::record::Fact;
use buzzer_tests::harness::journal::records;
use buzzer_tests::harness::verifiers::{both, no_python};
use buzzer_tests::{Ended, Home, left_out, log};

/// A log of three segments, and its lines; the daemon has stopped.
fn three_segments() -> (Home, Vec<Vec<u8>>) {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let daemon = home.serve();
    let mut desk = home.attach(1);
    home.journal().wait_attached(1);
    (0..30).for_each(|_| desk.hit(1));
    home.journal().wait_presses(30);
    home.journal().wait_checkpoints(1);
    assert_eq!(daemon.stop().code, Some(0));
    let path = home.journal().segment();
    let bytes = fs::read(&path).expect("the segment");
    let lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    fs::remove_file(path).expect("it goes");
    let third = lines.len() / 3;
    for (number, from, to) in [(1, 0, third), (2, third, 2 * third), (3, 2 * third, lines.len())] {
        put(&home, number, from as u64 + 1, &lines[from..to]);
    }
    (home, lines)
}

fn path(home: &Home, number: u32, first_seq: u64) -> PathBuf {
    home.journal().dir().join(format!("{number:06}-{first_seq}.jsonl"))
}

fn put(home: &Home, number: u32, first_seq: u64, lines: &[Vec<u8>]) {
    fs::write(path(home, number, first_seq), lines.concat()).expect("a segment");
}

/// These lines with another text in one kind of record, and every hash made right.
fn forged(lines: &[Vec<u8>], from: usize) -> Vec<Vec<u8>> {
    let mut head = match from.checked_sub(1) {
        Some(before) => Line::parse(lines[before].trim_ascii_end()).expect("a line").hash,
        None => ChainHash::START,
    };
    let forge = |line: &Vec<u8>| {
        let mut record = Line::parse(line.trim_ascii_end()).expect("a line").record().expect("a record");
        record.at_us += 1;
        let mut line = Vec::new();
        encode(&record, &mut head, &mut line);
        line
    };
    lines[from..].iter().map(forge).collect()
}

/// Starts once more, and gives what it said; all old lines are there as they were, and the numbers go on.
fn goes_on(home: &Home, lines: &[Vec<u8>], what: &str) -> Ended {
    let daemon = home.serve();
    daemon.wait_healthz("durable", |page| page["durable_seq"] == page["seq"]);
    let health = daemon.try_healthz().expect("health");
    let said = daemon.stop();
    let all = home.journal().segment_bytes();
    assert!(all.starts_with(&lines.concat()), "{what}: the log is as it was\n{}", said.stderr);
    let all = records(&all);
    let seqs: Vec<u64> = all.iter().map(|record| record.seq).collect();
    assert_eq!(seqs, (1..=all.len() as u64).collect::<Vec<_>>(), "{what}");
    let aside = all.iter().any(
        |record| matches!(&record.fact, Fact::Recovered { file, .. } if file.contains(".aside-") && record.seq > lines.len() as u64),
    );
    assert!(aside, "{what}: a record names the stray\n{}", said.stderr);
    assert!(said.stderr.contains(".aside-1"), "{what}: {}", said.stderr);
    assert!(health["storage"].as_str().is_some_and(|text| text.contains(".aside-1")), "{what}: {health}");
    said
}

/// What it is, its number and first seq, and its lines.
type Stray = (&'static str, u32, u64, fn(&[Vec<u8>], usize) -> Vec<Vec<u8>>);

#[test]
fn a_stray_file_is_not_the_log() {
    let (_, all) = three_segments();
    let third = all.len() / 3;
    let names: &[Stray] = &[
        ("a copy of the first", 4, 1, |lines, third| lines[..third].to_vec()),
        ("a copy of the first, far beyond", 999_999, 1, |lines, third| lines[..third].to_vec()),
        ("a copy of the middle one", 4, 0, |lines, third| lines[third..2 * third].to_vec()),
        ("a copy of the first two", 9, 1, |lines, third| lines[..2 * third].to_vec()),
        ("a forged first one", 4, 1, |lines, _| forged(lines, 0)),
        ("a forged middle one that is longer", 5, 0, |lines, third| {
            let mut longer = forged(lines, third);
            longer.extend(longer.clone());
            longer
        }),
        ("half of a rewrite", 4, 0, |lines, third| lines[third..third + 3].to_vec()),
        ("nothing of a log", 4, 1, |_, _| vec![b"a film\n".to_vec()]),
        ("a line of another place", 4, 77, |lines, _| lines[4..5].to_vec()),
    ];
    for (what, number, first_seq, make) in names {
        let (home, lines) = three_segments();
        let third = if lines.len() == all.len() { third } else { lines.len() / 3 };
        let first_seq = if *first_seq == 0 { third as u64 + 1 } else { *first_seq };
        put(&home, *number, first_seq, &make(&lines, third));
        goes_on(&home, &lines, what);
    }
}

#[test]
fn a_copy_of_the_last_segment_and_a_strangers_log_are_set_aside() {
    let (home, lines) = three_segments();
    let from = 2 * (lines.len() / 3);
    put(&home, 7, from as u64 + 1, &lines[from..]);
    goes_on(&home, &lines, "a copy of the last");
    let (home, lines) = three_segments();
    let (_, other) = three_segments();
    put(&home, 4, 1, &other);
    goes_on(&home, &lines, "a stranger's log");
}

#[test]
fn what_the_key_signed_decides_before_the_number_does() {
    let (home, lines) = three_segments();
    // The true one has the higher number: forged from the third line on, before anything was signed at the end.
    let third = lines.len() / 3;
    fs::rename(path(&home, 2, third as u64 + 1), path(&home, 3, third as u64 + 1)).expect("renamed");
    let last = 2 * third as u64 + 1;
    fs::rename(path(&home, 3, last), path(&home, 4, last)).expect("renamed");
    let mut longer = forged(&lines, third);
    longer.extend(forged(&lines, third));
    put(&home, 2, third as u64 + 1, &longer);
    goes_on(&home, &lines, "forged under a lower number");
}

/// What it is, its name, and how it is made.
type Strange = (&'static str, &'static str, fn(&Path));

#[test]
fn what_is_called_like_a_part_of_the_log_and_is_none_is_passed_over_and_named() {
    let cases: &[Strange] = &[
        ("a folder", "000004-7.jsonl", |path| fs::create_dir(path).expect("it")),
        ("a FIFO", "000004-7.jsonl", |path| {
            assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
        }),
        ("a FIFO in between", "000002-7.jsonl", |path| {
            assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
        }),
        ("a socket", "000004-7.jsonl", |path| drop(UnixListener::bind(path).expect("it"))),
        ("a dangling link", "000004-7.jsonl", |path| symlink("nowhere", path).expect("it")),
        ("a link to itself", "000004-7.jsonl", |path| symlink(path, path).expect("it")),
        ("a link to a device", "999999-7.jsonl", |path| symlink("/dev/zero", path).expect("it")),
        ("number 0", "000000-1.jsonl", |path| fs::write(path, "x\n").expect("it")),
        ("a copy", "backup.jsonl", |path| fs::write(path, "x\n").expect("it")),
        ("a FIFO called otherwise", "x.JSONL", |path| {
            assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
        }),
    ];
    for (what, name, make) in cases {
        let (home, lines) = three_segments();
        let dir = home.journal().dir().to_owned();
        make(&dir.join(name));
        let daemon = home.serve();
        daemon.wait_healthz("durable", |page| page["durable_seq"] == page["seq"]);
        let health = daemon.try_healthz().expect("health");
        let said = daemon.stop();
        assert_eq!(said.code, Some(0), "{what}: {}", said.stderr);
        assert!(said.stderr.contains(name), "{what}: {}", said.stderr);
        assert!(said.stderr.contains("move it out of the directory"), "{what}: {}", said.stderr);
        assert!(health["storage"].as_str().is_some_and(|text| text.contains(name)), "{what}: {health}");
        log(&["verify"], &dir).refused(1, name);
        log(&["show"], &dir).good();
        fs::rename(dir.join(name), home.path().join("out")).expect("moved out");
        let found = home.journal().segment_bytes();
        assert!(found.starts_with(&lines.concat()), "{what}: the log is as it was");
        let named = |record: &buzzer_server::record::Record| matches!(&record.fact, Fact::Storage { what, file, .. } if what.contains("strange file") && file.contains(name));
        assert_eq!(records(&found).into_iter().filter(named).count(), 1, "{what}: a record names it");
        log(&["verify"], &dir).good();
    }
}

/// What is gone of a directory of three segments: files that are removed.
type Gone = (&'static str, fn(&str) -> bool);

#[test]
fn numbers_go_on_behind_the_newest_checkpoint_when_segments_are_gone() {
    let cases: &[Gone] = &[
        ("all segments", |name| name.ends_with(".jsonl")),
        ("every file", |_| true),
        ("all but the keys", |name| !name.contains("key")),
        ("the last", |name| name.starts_with("000003-")),
        ("the last two", |name| name.starts_with("000002-") || name.starts_with("000003-")),
    ];
    for (what, is_gone) in cases {
        let (home, lines) = three_segments();
        let dir = home.journal().dir().to_owned();
        for entry in fs::read_dir(&dir).expect("the directory").flatten() {
            let name = entry.file_name().into_string().expect("text");
            if entry.path().is_file() && is_gone(&name) {
                fs::remove_file(entry.path()).expect("it goes");
            }
        }
        let left = records(&home.journal().segment_bytes()).len() as u64;
        let last_seq = lines.len() as u64;
        let daemon = home.serve();
        daemon.wait_healthz("durable", |page| page["durable_seq"] == page["seq"]);
        log(&["show"], &dir).good();
        let health = daemon.try_healthz().expect("health");
        let sentence = format!("records of seq {} to {last_seq} are not there", left + 1);
        assert!(health["storage"].as_str().is_some_and(|text| text.contains(&sentence)), "{what}: {health}");
        let said = daemon.kill();
        assert!(said.stderr.contains(&sentence), "{what}: {}", said.stderr);
        // Once more, after a crash: nothing more is lost.
        let said = home.serve().stop();
        assert!(!said.stderr.contains("are not there"), "{what}: {}", said.stderr);
        let found = records(&home.journal().segment_bytes());
        assert!(
            found.iter().any(|record| {
                record.seq == last_seq + 1 && record.fact == Fact::Lost { first_seq: left + 1, last_seq }
            }),
            "{what}: the first record behind the loss"
        );
        assert!(found.iter().all(|record| record.seq <= left || record.seq > last_seq), "{what}");
        if let Some(why) = no_python() {
            return left_out("two verifiers on a log that lost its segments", &why);
        }
        // The checkpoints know of what is gone; without them the log is one that says what it lost.
        let [ours, theirs] = both(&dir);
        assert!(!ours.is_good && !theirs.is_good, "{what}: {}\n{}", ours.said, theirs.said);
        fs::rename(dir.join("checkpoints"), home.path().join("checkpoints")).expect("moved");
        let [ours, theirs] = both(&dir);
        assert!(ours.is_good && theirs.is_good, "{what}: {}\n{}", ours.said, theirs.said);
        assert!(log(&["verify", "--replay"], &dir).good().contains("lost"), "{what}");
    }
}

#[test]
fn a_blank_line_at_the_end_of_a_segment_costs_nothing() {
    for number in 1..=3 {
        let (home, lines) = three_segments();
        let paths = home.journal().segments();
        let mut bytes = fs::read(&paths[number - 1]).expect("a segment");
        bytes.push(b'\n');
        fs::write(&paths[number - 1], bytes).expect("a segment");
        let said = home.serve().stop();
        let names = home.journal().names();
        assert!(!names.iter().any(|name| name.contains(".torn-")), "{names:?}\n{}", said.stderr);
        let found = home.journal().segment_bytes();
        assert!(found.starts_with(&lines.concat()), "segment {number}");
        let recovered = |record: &buzzer_server::record::Record| {
            matches!(record.fact, Fact::Recovered { .. } | Fact::Damage { .. })
        };
        assert!(!records(&found).iter().any(recovered), "segment {number}");
        log(&["verify"], home.journal().dir()).good();
    }
}

fn change(home: &Home, change: impl Fn(&str) -> Vec<u8>) {
    for path in home.journal().segments() {
        let text = fs::read_to_string(&path).expect("text");
        fs::write(&path, change(&text)).expect("changed");
    }
}

fn last_seq(dir: &Path) -> u64 {
    let names = fs::read_dir(dir).expect("the directory").map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<PathBuf> =
        names.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect();
    segments.sort();
    let bytes = fs::read(segments.last().expect("a segment")).expect("it");
    let first = bytes.split(|byte| *byte == b'\n').next().expect("a line");
    Line::parse(first).expect("a line of this start").seq
}

/// The words that name a change, and the change.
type Change<'a> = (&'static str, &'a dyn Fn(&str) -> Vec<u8>);

#[test]
fn numbers_go_on_behind_a_log_that_an_editor_has_changed_and_the_change_is_named() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let changes: &[Change<'_>] = &[
        ("CR LF", &|text| text.replace('\n', "\r\n").into_bytes()),
        ("they are CR", &|text| text.replace('\n', "\r").into_bytes()),
        ("BOM", &|text| format!("\u{feff}{text}").into_bytes()),
        ("BOM", &|text| format!("\u{feff}{text}").replace('\n', "\r\n").into_bytes()),
        ("UTF-16", &wide),
        ("written anew", &|text| text.replace("\":", "\": ").into_bytes()),
    ];
    for (words, how) in changes {
        let (home, lines) = three_segments();
        change(&home, how);
        let daemon = home.serve();
        daemon.wait_healthz("durable", |page| page["durable_seq"] == page["seq"]);
        let health = daemon.try_healthz().expect("health");
        let said = daemon.stop().stderr;
        assert!(said.contains(words), "{words}: {said}");
        assert!(health["storage"].as_str().is_some_and(|text| text.contains(words)), "{words}: {health}");
        assert_eq!(last_seq(home.journal().dir()), lines.len() as u64 + 1, "{words}: {said}");
        // Once more: what the first start wrote is as any log.
        let before = home.journal().segments().len();
        assert_eq!(home.serve().stop().code, Some(0));
        assert!(home.journal().segments().len() >= before);
    }
}
