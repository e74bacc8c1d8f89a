//! What a log must say. In: sessions of the real mediator, and the same sessions with one claim changed and the chain
//! made anew. Out: no discrepancy, and one.

use buzzer_server::log::audit::{Audit, Discrepancy};
use buzzer_server::log::{Verifier, decode};
use buzzer_server::record::Record;
use buzzer_tests::Session;

fn records(seed: u64, count: u64) -> Vec<Record> {
    let mut lines = Vec::new();
    Session::new(seed).play(count, &mut lines);
    let mut verifier = Verifier::new();
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            verifier.check(line).unwrap();
            decode(line).unwrap()
        })
        .collect()
}

fn audit(records: &[Record]) -> Vec<Discrepancy> {
    let (mut audit, mut found) = (Audit::default(), Vec::new());
    records.iter().for_each(|record| audit.take(record, &mut found));
    audit.finish(&mut found);
    found
}

#[test]
fn what_the_mediator_decided_follows_from_what_it_logged() {
    for seed in 0..20 {
        let records = records(seed, 5_000);
        let found = audit(&records);
        if let Some(first) = found.first() {
            let at = records.iter().position(|record| record.seq == first.seq).unwrap();
            panic!(
                "seed {seed}: {first}, {} in all\n{:#?}",
                found.len(),
                &records[at.saturating_sub(6)..=at]
            );
        }
    }
}
