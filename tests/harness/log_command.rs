//! `buzzerd log`, run. In: arguments, a log. Out: exit code, stdout, stderr. Guarantee: the program as people run it; times are
//! in UTC, and no configuration is read.

use std::path::Path;
use std::process::{Command, Stdio};

use buzzer_server::log::{ChainHash, SegmentName, encode};
use buzzer_server::record::{Fact, Record};
use serde_json::Value;
use tempfile::TempDir;

use super::daemon::binary;

/// What a command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Its result.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

/// A command that reads this log, not started yet.
pub fn log_command(arguments: &[&str], log: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("log").args(arguments).arg(log).env("TZ", "UTC").env_remove("RUNTIME_DIRECTORY");
    command.stdin(Stdio::null());
    command
}

/// Runs `buzzerd log` with these arguments on this log.
pub fn log(arguments: &[&str], log: &Path) -> Said {
    let output = log_command(arguments, log).output().expect("buzzerd runs");
    Said {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Said {
    /// It must have ended with 0; gives its result.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// It must have ended like this and said so, on stdout or on stderr.
    #[track_caller]
    pub fn refused(&self, code: i32, why: &str) {
        assert_eq!(self.code, code, "{why}: {}{}", self.stdout, self.stderr);
        assert!(
            self.stdout.contains(why) || self.stderr.contains(why),
            "{why}: {}{}",
            self.stdout,
            self.stderr
        );
    }

    /// Its result, a JSON object a line.
    pub fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// A log of these facts at these times, µs, in one segment of a directory of its own.
pub fn written(facts: &[(u64, Fact)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut head, mut lines) = (ChainHash::START, Vec::new());
    for ((at_us, fact), seq) in facts.iter().zip(1..) {
        encode(&Record { seq, at_us: *at_us, fact: fact.clone() }, &mut head, &mut lines);
    }
    let name = SegmentName { number: 1, first_seq: 1 }.to_string();
    std::fs::write(dir.path().join(name), lines).expect("the segment");
    dir
}
