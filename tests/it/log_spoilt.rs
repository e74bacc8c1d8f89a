//! Any bytes as a log, a fixed number of them. In: the seeds of `tests/fuzz`, and changes of them. Out: no panic, nothing lost,
//! nothing believed that is no log. Guarantee: the same inputs on every run; `tests/fuzz/run` looks for others.
//!
//! `BUZZERD_SLOW=1`: fifty times as many.

use std::fs;
use std::path::Path;

use buzzer_tests::harness::sim_disk::Dice;
use buzzer_tests::harness::spoilt::{Bench, files, spoil};
use buzzer_tests::is_slow;

fn seeds() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let entries = fs::read_dir(dir).expect("the seeds").map(|entry| entry.expect("an entry"));
    let mut seeds: Vec<_> = entries
        .map(|entry| {
            (entry.file_name().into_string().expect("text"), fs::read(entry.path()).expect("a seed"))
        })
        .collect();
    seeds.sort();
    assert!(seeds.len() > 15);
    seeds
}

#[test]
fn whatever_lies_in_a_log_directory_a_start_copes_with_it() {
    let times = if is_slow() { 100_000 } else { 2_000 };
    let (bench, seeds) = (Bench::default(), seeds());
    for (name, seed) in &seeds {
        eprintln!("{name}");
        bench.check(seed);
    }
    for n in 0..times {
        let mut dice = Dice(n);
        let (name, seed) = &seeds[dice.below(seeds.len())];
        let other = &seeds[dice.below(seeds.len())].1;
        // Several times over, so that what one change leaves is changed again.
        let mut input = seed.clone();
        for _ in 0..=dice.below(3) {
            input = spoil(&input, other, &mut dice);
        }
        // Shown if the test fails.
        eprintln!("Dice({n}) on {name}");
        bench.check(&input);
    }
}

#[test]
fn an_input_names_its_files() {
    let found = files(b"a\n# 0.journal\nb\n# 000002-7.jsonl\nc\n# no.name\n");
    let found: Vec<(&str, &[u8])> = found.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    assert_eq!(
        found,
        [("0.journal", &b"b\n"[..]), ("000001-1.jsonl", b"a\n"), ("000002-7.jsonl", b"c\n# no.name\n")]
    );
    // A chain is made right over all files, and a line of both has one hash.
    let seed = seeds().into_iter().find(|(name, _)| name == "kinds").expect("it").1;
    let text = String::from_utf8(seed).expect("text");
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let torn = text.replace("\"h\":\"0", "\"h\":\"1") + "# 0.journal\n" + lines[lines.len() - 1] + "\n";
    let found = files(torn.as_bytes());
    let log = &found["000001-1.jsonl"];
    assert!(log.ends_with(&found["0.journal"]));
    assert_eq!(buzzer_tests::harness::journal::records(log).len(), lines.len());
}
