//! What commands print, to who does not take it. In: every command, a full disk and a pipe whose reader is gone. Out: a sentence
//! and exit code 1, or a quiet end. Guarantee: no command is left out, and none aborts.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use buzzer_tests::Home;
use buzzer_tests::harness::daemon::binary;
use buzzer_tests::harness::machine::Machine;
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

/// What has no result: all that it says is on stderr, and what becomes of stdout is no matter.
const REPLAY: &[&str] = &["log", "replay", "--listen", "127.0.0.1:0", "--now", "--speed", "max", "$LOG"];

fn run(arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    run_by(&[], arguments, stdout)
}

/// Runs it through another command.
fn run_by(wrapper: &[String], arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let home = Home::new("");
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1/demo").display().to_string();
    let mut words = wrapper.to_vec();
    words.push(binary().display().to_string());
    words.extend(arguments.iter().map(|argument| argument.replace("$LOG", &log)));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
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
        let output = run(arguments, dead_pipe());
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

fn dead_pipe() -> OwnedFd {
    pipe_with(PipeFlags::CLOEXEC).expect("a pipe").1
}

#[test]
fn a_list_of_devices_that_is_not_taken_is_said_too() {
    let Some(machine) = Machine::new("a_list_of_devices_that_is_not_taken_is_said_too", "pedal") else {
        return;
    };
    for arguments in [&["devices"][..], &["devices", "--json"]] {
        let output = run_by(&machine.wrapper(), arguments, full());
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert_eq!(said, "buzzerd: the result cannot be written: No space left on device\n", "{arguments:?}");
        let output = run_by(&machine.wrapper(), arguments, dead_pipe());
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_replay_needs_no_stdout() {
    for output in [run(REPLAY, full()), run(REPLAY, dead_pipe())] {
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("replay: has ended, seq 43"), "{said}");
    }
}

#[test]
fn damage_is_exit_code_1_though_nobody_reads_of_it() {
    let home = Home::new("");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1/demo/000001-1.jsonl");
    let text = std::fs::read_to_string(golden).expect("a log").replace("\"buzzer\":2", "\"buzzer\":3");
    std::fs::write(home.path().join("000001-1.jsonl"), text).expect("another log");
    let mut command = Command::new(binary());
    command
        .args(["log", "verify"])
        .arg(home.path())
        .stdin(Stdio::null())
        .stdout(dead_pipe())
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
