//! What a log must say. In: sessions of the real mediator, and the same sessions with one claim changed and the chain
//! made anew. Out: no discrepancy, and one at that claim. Guarantee: what can be forged here is a log without a flaw in its
//! chain, as somebody would make it who has the program and a lot of time.

use std::collections::BTreeMap;

use buzzer_server::judge::audit::{Audit, Discrepancy};
use buzzer_server::log::{Verifier, decode};
use buzzer_server::record::Rival;
use buzzer_server::record::{DeviceDelay, Fact, Flag, Record, Stamps};
use buzzer_tests::Session;

fn records(seed: u64, count: u64) -> Vec<Record> {
    let mut lines = Vec::new();
    Session::new(seed).play(count, &mut lines);
    let mut verifier = Verifier::from_seq(1);
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

/// Whether nothing is found in them; ends at the first that is.
fn passes(records: &[Record]) -> bool {
    let (mut audit, mut found) = (Audit::default(), Vec::new());
    records.iter().all(|record| {
        audit.take(record, &mut found);
        found.is_empty()
    })
}

#[test]
fn what_the_mediator_decided_follows_from_what_it_logged() {
    for seed in 0..8 {
        let records = records(seed, 3_000);
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

/// Whoever forges a log makes its numbers dense again, and what refers to them.
fn renumber(log: &mut [Record]) {
    let mut new: BTreeMap<u64, u64> = BTreeMap::new();
    for (record, seq) in log.iter_mut().zip(1..) {
        new.entry(record.seq).or_insert(seq);
        record.seq = seq;
    }
    for record in log {
        if let Fact::Press { photo, tie, .. } = &mut record.fact {
            photo
                .iter_mut()
                .map(|rival| &mut rival.seq)
                .chain(tie)
                .for_each(|seq| *seq = new.get(seq).copied().unwrap_or(*seq));
        }
    }
}

/// Logs that are tried for one kind of forgery.
const TRIED_MAX: u32 = 16;

/// Changes the records that `forge` takes, one at a time, and counts how many of these logs still pass.
fn forged(what: &str, forge: impl Fn(&mut Vec<Record>, usize) -> bool, accepted_max: usize) {
    let original = records(77, 2_000);
    let (mut tried, mut accepted) = (0, Vec::new());
    for at in 0..original.len() {
        let mut log = original.clone();
        if !forge(&mut log, at) {
            continue;
        }
        renumber(&mut log);
        tried += 1;
        if tried > TRIED_MAX {
            break;
        }
        if passes(&log) {
            accepted.push(original[at].clone());
        }
    }
    assert!(tried >= 2, "{what}: only {tried} such records");
    assert!(accepted.len() <= accepted_max, "{what}: {} of {tried}: {accepted:#?}", accepted.len());
}

/// The delay of the device of a press.
fn delay_of(log: &[Record], at: usize) -> Option<&DeviceDelay> {
    let Fact::Press { device: of, .. } = log[at].fact else { return None };
    log[..at].iter().rev().find_map(|record| match &record.fact {
        Fact::Attach { device, delay, .. } if *device == of => Some(delay),
        _ => None,
    })
}

#[test]
fn a_claim_that_does_not_follow_is_found() {
    let press = |record: &Record| matches!(record.fact, Fact::Press { .. });
    forged(
        "a press by another buzzer in a draw",
        |log, at| match &mut log[at].fact {
            Fact::Press { buzzer, tie: Some(_), .. } => {
                *buzzer += 100;
                true
            }
            _ => false,
        },
        0,
    );
    forged(
        "two drawn presses of different devices change places",
        |log, at| {
            let tied = |at: usize| match &log.get(at)?.fact {
                Fact::Press { tie: Some(tie), device, buzzer, pool, .. } => {
                    Some((*tie, *device, (pool.clone(), *buzzer), log[at].at_us))
                }
                _ => None,
            };
            let (Some(one), Some(other)) = (tied(at), tied(at + 1)) else { return false };
            // Two devices may serve one buzzer: it does not matter which of them was first.
            if one.0 != other.0 || one.1 == other.1 || one.2 == other.2 || one.3 != other.3 {
                return false;
            }
            log.swap(at, at + 1);
            true
        },
        0,
    );
    forged(
        "a draw that is gone",
        |log, at| {
            let is_draw = matches!(log[at].fact, Fact::Draw { .. });
            is_draw.then(|| log.remove(at)).is_some()
        },
        0,
    );
    forged(
        "a photo finish that is hidden",
        |log, at| match &mut log[at].fact {
            Fact::Press { photo, flags, .. } if !photo.is_empty() => {
                photo.clear();
                // A late press may stand in a group of another stamp, and which one that is no record says.
                flags.is_empty()
            }
            _ => false,
        },
        0,
    );
    forged(
        "a photo finish that was none",
        |log, at| match &mut log[at].fact {
            Fact::Press { photo, .. } if photo.is_empty() => {
                photo.push(Rival { seq: 3, chance_permille: None });
                true
            }
            _ => false,
        },
        0,
    );
    forged(
        "a press that is surer than its device",
        |log, at| {
            // One whose stamp is worth less has a span of its own on top, which only the reader knew.
            let usual_us = delay_of(log, at).map(|delay| delay.delay_us[1].cast_signed());
            match &mut log[at].fact {
                Fact::Press { delay_us, .. } if delay_us[1] > 0 && Some(delay_us[1]) == usual_us => {
                    delay_us[1] -= 1;
                    true
                }
                _ => false,
            }
        },
        0,
    );
    forged(
        "a press that may be later than its stamp",
        |log, at| {
            let kernel = log[..at].iter().any(|record| match (&record.fact, &log[at].fact) {
                (Fact::Attach { device, stamps, .. }, Fact::Press { device: of, .. }) => {
                    device == of && *stamps != Stamps::Receipt
                }
                _ => false,
            });
            match &mut log[at].fact {
                Fact::Press { delay_us, final_at_us, .. } if kernel => {
                    delay_us[0] -= 1;
                    *final_at_us += 1;
                    true
                }
                _ => false,
            }
        },
        0,
    );
    forged(
        "a press that is final too early",
        |log, at| match &mut log[at].fact {
            Fact::Press { final_at_us, .. } => {
                *final_at_us -= 1;
                true
            }
            _ => false,
        },
        0,
    );
    forged(
        "a late press without its mark",
        |log, at| match &mut log[at].fact {
            Fact::Press { flags, .. } if flags.has(&Flag::Late) => {
                flags.0.retain(|flag| *flag != Flag::Late);
                // One that follows no later stamp needs no mark.
                let at_us = log[at].at_us;
                let before = log[..at].iter().rev();
                let mut before = before.take_while(|record| !matches!(record.fact, Fact::Start { .. }));
                before.any(|record| press(record) && record.at_us > at_us)
            }
            _ => false,
        },
        0,
    );
    forged(
        "a press of a device that is not there",
        |log, at| match &mut log[at].fact {
            Fact::Press { device, .. } => {
                *device += 1000;
                true
            }
            _ => false,
        },
        0,
    );
    forged(
        "a late press of which no record says by how much",
        |log, at| {
            let is_late = matches!(log[at].fact, Fact::Late { .. });
            is_late.then(|| log.remove(at)).is_some()
        },
        0,
    );
    forged(
        "a button that chatters and is not said to",
        |log, at| {
            let is_chattering = matches!(log[at].fact, Fact::Chattering { .. });
            is_chattering.then(|| log.remove(at)).is_some()
        },
        0,
    );
    forged(
        "a button that was proved and is not said to be",
        |log, at| {
            let is_proved = matches!(log[at].fact, Fact::Proved { .. });
            is_proved.then(|| log.remove(at)).is_some()
        },
        0,
    );
    forged(
        "a button that is said to be proved twice",
        |log, at| {
            let is_proved = matches!(log[at].fact, Fact::Proved { .. });
            is_proved.then(|| log.insert(at, log[at].clone())).is_some()
        },
        0,
    );
}

#[test]
fn a_draw_was_made_with_the_seed_that_is_logged() {
    let original = records(77, 700);
    let draws = original.iter().enumerate().filter(|(_, record)| matches!(record.fact, Fact::Draw { .. }));
    let (mut tried, mut kept) = (0, 0);
    for (at, _) in draws {
        let mut log = original.clone();
        // Another seed keeps the order of two every second time, so some are tried.
        let is_found = (1..40u64).any(|other| {
            let Fact::Draw { seed, .. } = &mut log[at].fact else { return false };
            *seed = format!("{other:016x}");
            !passes(&log)
        });
        tried += 1;
        kept += u32::from(!is_found);
    }
    // Between the buttons of one socket, or two devices of one buzzer, nothing shows.
    assert!(tried > 20 && kept * 5 < tried, "{kept} of {tried} draws fit every seed");
}
