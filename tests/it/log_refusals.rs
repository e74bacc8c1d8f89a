//! What `buzzerd log` cannot read. In: files that are no log, of a later form, empty, missing or not to be read; records that are
//! not there. Out: exit code 2 and a sentence that says what it is. Guarantee: every command gives the same answer, and prints
//! no result.

use std::fs;
use std::path::{Path, PathBuf};

use buzzer_server::log::ChainHash;
use buzzer_server::record::Fact;
use buzzer_tests::harness::daemon::binary;
use buzzer_tests::harness::log_command::written;
use buzzer_tests::{Home, log};

/// Every command, with what it cannot do without.
const COMMANDS: [&[&str]; 8] = [
    &["verify"],
    &["verify", "--replay"],
    &["show"],
    &["explain"],
    &["export"],
    &["export", "--format", "json"],
    &["fingerprint"],
    &["replay", "--listen", "127.0.0.1:0", "--now"],
];

#[track_caller]
fn refused_by_all(path: &Path, why: &str) {
    for command in COMMANDS {
        let said = log(command, path);
        assert_eq!(said.code, 2, "{command:?}: {}{}", said.stdout, said.stderr);
        assert!(said.stderr.contains(why), "{command:?}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{command:?}");
        assert!(!said.stderr.contains("listening"), "{command:?}: {}", said.stderr);
    }
}

/// A line of this version of the form, chained to the one before it.
fn line(version: u64, seq: u64, head: &mut ChainHash) -> String {
    let body =
        format!("{{\"v\":{version},\"seq\":{seq},\"at_us\":5,\"kind\":\"ring_full\",\"waiting_max\":9");
    *head = head.of_next(body.as_bytes());
    format!("{body},\"h\":\"{head}\"}}\n")
}

#[test]
fn what_is_no_log_is_refused_by_every_command() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    };
    let noise: Vec<u8> = (0..40_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (name, bytes) in [
        ("letter.txt", &b"What a day.\nWe won.\n"[..]),
        ("word.txt", b"What a day."),
        ("other.jsonl", b"{\"seq\":1,\"kind\":\"press\"}\n{\"seq\":2}\n"),
        ("binary", b"\x7fELF\x02\x01\x01\0\0\0\0"),
        ("noise", &noise),
        ("long", &[b'x'; 100_000]),
        ("lines", &b"x\n".repeat(5000)),
    ] {
        refused_by_all(&file(name, bytes), "not a log of buzzerd: ");
    }
    refused_by_all(&file("empty.jsonl", b""), "the log is empty");
    let nothing = dir.path().join("nothing");
    refused_by_all(&nothing, "cannot be read: No such file");
    fs::create_dir(&nothing).expect("a directory");
    refused_by_all(&nothing, "no log is here");
    // A directory with a segment's name is no segment.
    let unreadable = dir.path().join("unreadable");
    fs::create_dir_all(unreadable.join("000001-1.jsonl")).expect("a directory");
    refused_by_all(&unreadable, "no log is here");
}

#[test]
fn a_log_of_a_later_form_is_left_to_the_buzzerd_that_knows_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("000001-1.jsonl");
    let mut head = ChainHash::START;
    fs::write(&path, line(2, 1, &mut head) + &line(2, 2, &mut head)).expect("a file");
    let why = "format version 2 is newer than this buzzerd knows (1): use the buzzerd that wrote it, or a later one";
    refused_by_all(&path, why);
    // The machine was updated in the middle of the log, and the older program is asked.
    let mut head = ChainHash::START;
    fs::write(&path, line(1, 1, &mut head) + &line(1, 2, &mut head) + &line(2, 3, &mut head))
        .expect("a file");
    for command in COMMANDS {
        let said = log(command, dir.path());
        said.refused(2, why);
        said.refused(2, "line 3: ");
    }
    // That a version was made of one bit of damage is told as damage.
    let mut head = ChainHash::START;
    let flipped = line(1, 1, &mut head) + &line(1, 2, &mut head).replace("\"v\":1", "\"v\":3");
    fs::write(&path, flipped).expect("a file");
    log(&["verify"], dir.path()).refused(1, "line 2: ");
    log(&["show"], dir.path()).refused(1, "line 2: ");
}

#[test]
fn records_that_are_not_there_are_named_with_those_that_are() {
    let facts: Vec<_> = (1..=7).map(|n| (n, Fact::RingFull { waiting_max: 1 })).collect();
    let dir = written(&facts);
    for (command, why) in [
        (&["show", "--seq", "8.."][..], "the log has seq 1 to 7"),
        (&["show", "--seq", "9"], "the log has seq 1 to 7"),
        (&["explain", "--around", "8"], "seq 8 is not in this log, which holds seq 1 to 7"),
        (&["fingerprint", "--seq", "8"], "the log has seq 1 to 7"),
        (&["replay", "--listen", "127.0.0.1:0", "--now", "--seq", "8.."], "the log holds seq 1 to 7"),
        (&["show", "--seq", "7..3"], "the smaller first"),
        (&["show", "--seq", "x"], "expected a seq like 1200"),
        (&["explain", "--seq", "8.."], "the log has seq 1 to 7"),
        (&["show", "--kind", "presses"], "there is no such kind; there are start, "),
        (&["show", "--from", "19:45", "--to", "19:30"], "--from 19:45:00 is not before --to 19:30:00"),
        (&["explain", "--from", "2026-02-02", "--to", "2026-02-01"], "is not before"),
        (&["export", "--from", "2026-02-02", "--to", "2026-02-02"], "is not before"),
        (&["export", "--seq", "1..2", "--dir", "x"], "cannot be used with"),
    ] {
        let said = log(command, dir.path());
        said.refused(2, why);
        assert_eq!(said.stdout, "", "{command:?}");
    }
    // Nothing that fits is an answer, and says of what.
    for command in [
        &["show", "--pool", "nowhere"][..],
        &["show", "--kind", "press"],
        &["export", "--seq", "90.."],
        &["show", "--from", "2001-01-01", "--to", "2001-01-02"],
    ] {
        let said = log(command, dir.path());
        assert_eq!(said.code, 0, "{command:?}: {}", said.stderr);
        assert!(said.stderr.contains("nothing fits; the log has seq 1 to 7"), "{command:?}: {}", said.stderr);
    }
    let rows = log(&["export", "--seq", "2..3"], dir.path()).good();
    assert_eq!(rows.lines().count(), 3, "{rows}");
    let out = log(&["show", "--seq", "7..99"], dir.path()).good();
    assert_eq!(out.lines().count(), 1);
}

#[test]
fn without_a_path_the_configured_log_is_read() {
    let home = Home::desk("autoconnect = true");
    home.serve().stop();
    let run = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.stdout(std::process::Stdio::piped()).output().expect("buzzerd runs")
    };
    let found = run(&["log", "fingerprint"]);
    assert_eq!(String::from_utf8_lossy(&found.stdout), log(&["fingerprint"], home.journal().dir()).good());
    let mut command = std::process::Command::new(binary());
    let nowhere = home.path().join("nowhere");
    let output = command.args(["log", "verify", "--config"]).arg(&nowhere).output().expect("buzzerd runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&nowhere.display().to_string()));
}
