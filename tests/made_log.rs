//! Writes a log directory of an evening that never took place, to try commands on or to measure them. In: a directory, how
//! many records, a seed. Out: segments. `cargo run --release -p buzzer-tests --example made-log -- DIR RECORDS [SEED]`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

use std::path::PathBuf;

use buzzer_tests::Session;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "made-log DIR RECORDS [SEED]";
    let dir: PathBuf = arguments.next().expect(usage).into();
    let records = arguments.next().and_then(|text| text.parse().ok()).expect(usage);
    let seed = arguments.next().map_or(1, |text| text.parse().expect(usage));
    std::fs::create_dir_all(&dir).expect("the directory");
    let segments = Session::new(seed).write(&dir, records).expect("the segments");
    println!("{} segments in {}", segments.len(), dir.display());
}
