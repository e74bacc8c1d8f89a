//! What was not tested, and why. In: a test's name and a reason. Out: a line on stderr and in `target/left-out.txt`,
//! which `tests/run` prints at its end. Guarantee: visible even though libtest keeps the output of tests that pass:
//! that catches the print macros only, not what is written to stderr itself.

use std::fs::OpenOptions;
use std::io::Write;

use super::daemon::profile_dir;

/// Says that a test, or a part of one, was left out.
pub fn left_out(test: &str, why: &str) {
    let line = format!("left out: {test}: {why}\n");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
    let profile_dir = profile_dir();
    let path = profile_dir.parent().unwrap_or(&profile_dir).join("left-out.txt");
    let file = OpenOptions::new().create(true).append(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}
