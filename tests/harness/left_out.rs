//! What was not tested, and why. In: a test's name and a reason. Out: a line on stderr and in `$BUZZERD_LEFT_OUT`, else
//! `target/left-out.txt`, which `tests/run` prints at its end. Guarantee: visible even though libtest keeps the output of tests that pass:
//! that catches the print macros only, not what is written to stderr itself.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use super::daemon::profile_dir;

/// Whether campaigns are to be long: `BUZZERD_SLOW=1`.
pub fn is_slow() -> bool {
    std::env::var_os("BUZZERD_SLOW").is_some_and(|slow| slow == "1")
}

/// Says that a test, or a part of one, was left out.
pub fn left_out(test: &str, why: &str) {
    let line = format!("left out: {test}: {why}\n");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
    let path = std::env::var_os("BUZZERD_LEFT_OUT").map_or_else(
        || profile_dir().parent().expect("the target directory").join("left-out.txt"),
        PathBuf::from,
    );
    let file = OpenOptions::new().create(true).append(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}
