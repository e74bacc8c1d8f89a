//! Two verifiers. In: a log directory, or a file. Out: what `buzzerd log verify` and LOG.md's verify.py say of it. Guarantee:
//! the Python program is the text that LOG.md prints.

use std::path::Path;
use std::process::Command;

use super::log_command::log;

const LOG_MD: &str = include_str!("../../server/LOG.md");

/// The verifier as LOG.md prints it.
///
/// # Panics
/// If it prints none.
pub fn printed_verifier() -> &'static str {
    LOG_MD.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Python")
}

/// Why verify.py cannot be run here; nothing, if it can.
pub fn no_python() -> Option<String> {
    let output = Command::new("python3").arg("--version").output();
    output.err().map(|error| format!("python3: {error}"))
}

/// What a verifier said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// It found nothing wrong.
    pub is_good: bool,
    /// The first line that it named: its file's name, and its number.
    pub line: Option<(String, u64)>,
    /// All that it said.
    pub said: String,
}

/// What both say: buzzerd, then Python.
///
/// # Panics
/// If one of them cannot be run.
pub fn both(log_path: &Path) -> [Judgement; 2] {
    let ours = log(&["verify"], log_path);
    let theirs = Command::new("python3").args(["-c", printed_verifier()]).arg(log_path).output();
    let theirs = theirs.expect("python3 runs");
    let judgement = |is_good: bool, said: String| {
        let line = (!is_good).then(|| named(&said)).flatten();
        Judgement { is_good, line, said }
    };
    [
        judgement(ours.code == 0, ours.stdout + &ours.stderr),
        judgement(
            theirs.status.success(),
            String::from_utf8_lossy(&[theirs.stdout, theirs.stderr].concat()).into_owned(),
        ),
    ]
}

/// `…/000001-1.jsonl: line 7: …`
fn named(said: &str) -> Option<(String, u64)> {
    let (before, behind) = said.split_once(": line ")?;
    let name = before.rsplit(['/', ' ', '\n']).next()?.to_owned();
    let digits = behind.split(|char: char| !char.is_ascii_digit()).next()?;
    Some((name, digits.parse().ok()?))
}
