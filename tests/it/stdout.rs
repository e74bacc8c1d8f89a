//! What commands print, to who does not take it. In: every command, a full disk and a pipe whose reader is gone. Out: a sentence
//! and exit code 1, or a quiet end. Guarantee: no command is left out, and none aborts.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use buzzer_tests::Home;
use buzzer_tests::harness::daemon::binary;
use rustix::pipe::{PipeFlags, pipe_with};

/// Every command that prints a result, and ends.
const COMMANDS: [&[&str]; 17] = [
    &["--help"],
    &["-h"],
    &["--version"],
    &["help", "log"],
    &["serve", "--help"],
    &["demo", "--seconds", "1"],
    &["devices", "--help"],
    &["check", "buzzerd.toml"],
    &["doctor"],
    &["doctor", "--json"],
    &["log", "verify", "$LOG"],
    &["log", "verify", "$LOG", "--json"],
    &["log", "explain", "$LOG"],
    &["log", "show", "$LOG"],
    &["log", "export", "$LOG"],
    &["log", "fingerprint", "$LOG"],
    &["log", "fingerprint", "$LOG", "--json"],
];

fn run(arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let home = Home::new("");
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1/demo").display().to_string();
    let mut command = Command::new(binary());
    command.args(arguments.iter().map(|argument| argument.replace("$LOG", &log)));
    for name in ["JOURNAL_STREAM", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "BUZZERD_LOG"] {
        command.env_remove(name);
    }
    command.env("HOME", home.path()).env("TMPDIR", home.path()).current_dir(home.path());
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let output = command.spawn().expect("buzzerd runs").wait_with_output().expect("it ends");
    let left: Vec<_> = std::fs::read_dir(home.path())
        .expect("its folder")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["buzzerd.toml"], "{arguments:?} leaves nothing behind");
    output
}

fn full() -> File {
    File::options().write(true).open("/dev/full").expect("/dev/full")
}

#[test]
fn a_full_disk_is_a_sentence_and_exit_code_1() {
    for arguments in COMMANDS {
        let output = run(arguments, full());
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.starts_with("buzzerd: the result cannot be written: No space left"),
            "{arguments:?}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    for arguments in COMMANDS {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        drop(reader);
        let output = run(arguments, writer);
        let said = String::from_utf8(output.stderr).expect("text");
        // What a doctor finds is found, whoever reads it.
        let is_verdict = arguments[0] == "doctor";
        assert!(
            output.status.code() == Some(0) || is_verdict && output.status.code() == Some(1),
            "{arguments:?}: {said}"
        );
        assert_eq!(said, "", "{arguments:?}");
    }
}

#[test]
fn damage_is_exit_code_1_though_nobody_reads_of_it() {
    let home = Home::new("");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1/demo/000001-1.jsonl");
    let text = std::fs::read_to_string(golden).expect("a log").replace("\"buzzer\":2", "\"buzzer\":3");
    std::fs::write(home.path().join("000001-1.jsonl"), text).expect("another log");
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    drop(reader);
    let mut command = Command::new(binary());
    command
        .args(["log", "verify"])
        .arg(home.path())
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null());
    assert_eq!(command.status().expect("it runs").code(), Some(1));
}

#[test]
fn a_demo_warns_of_nothing_and_leaves_nothing_behind() {
    let output = run(&["demo", "--seconds", "1"], Stdio::piped());
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    assert!(String::from_utf8_lossy(&output.stdout).contains("pool \"demo\""));
}

#[test]
fn the_version_is_that_of_the_program() {
    let output = run(&["--version"], Stdio::piped());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("buzzerd {}\n", env!("CARGO_PKG_VERSION")));
}
