//! The answer. In: what a pass over the log found. Out: the [`Story`]: a verdict or why there is none, the places, what else
//! happened, and what the log itself is worth. Guarantee: no verdict is given where a press may be missing or a time cannot be
//! compared; what is known is told all the same.

use serde::Serialize;

use super::evidence::{self, Decisive, Evidence};
use super::places::{self, Place, Tie};
use super::roster::{DeviceThen, DownThen, PoolThen};
use super::uncounted::{self, Uncounted};
use super::verdict::{self, Ruling};
use super::window::{Basis, Damage, Found, Window};
use crate::record::pool_id::PoolId;

/// What the reader of the log knows of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The last line: its `seq`.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// That, to be spoken.
    pub fingerprint: String,
    /// The first line that was there to be read.
    pub first_seq: u64,
    /// Bytes of a last line that has no end.
    pub incomplete_bytes: u64,
    /// Whether a daemon writes this log.
    pub is_written: bool,
}

impl Chain {
    /// The next line.
    pub const fn see(&mut self, seq: u64) {
        if self.first_seq == 0 {
            self.first_seq = seq;
        }
        self.seq = seq;
    }
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Story {
    /// Who was first.
    pub verdict: Option<Ruling>,
    /// Why that is not certain, or why there is no verdict.
    pub why: Vec<String>,
    /// The first and last record that it is about.
    pub seqs: Option<(u64, u64)>,
    /// Every press, in the order that was told.
    pub places: Vec<Place>,
    /// The draws.
    pub ties: Vec<Tie>,
    /// Presses that did not count.
    pub uncounted: Vec<Uncounted>,
    /// Further presses or records that were not looked at.
    pub omitted: u64,
    /// What else happened.
    pub happened: Vec<Evidence>,
    /// The pools that were connected at the first press, with their devices.
    pub pools: Vec<PoolThen>,
    /// Where it was recorded.
    pub origin: Option<Basis>,
    /// The log.
    pub chain: Chain,
    /// Damage, wherever it is.
    pub damages: Vec<Damage>,
    /// How much of it there is.
    pub damages_count: u64,
}

impl Story {
    /// Tells what was found. `now_us`: the time, if the log's last start is of the boot that runs.
    pub fn tell(found: Found, chain: Chain, now_us: Option<u64>) -> Self {
        let known = (found.latest.0, now_us.unwrap_or(0).max(found.latest.1));
        let Found { damages, damages_count, .. } = found;
        let mut story = match &found.window {
            Some(window) => Self::of_window(window, known),
            None => Self { why: vec![found.nothing], ..Self::default() },
        };
        story.origin = story.origin.or_else(|| found.origin.as_deref().cloned());
        Self { chain, damages, damages_count, ..story }
    }

    fn of_window(window: &Window, known: (u32, u64)) -> Self {
        let decisive = Decisive::of(window);
        let places = places::of(window, known);
        let ties = places::ties(window, &places);
        let happened = evidence::of(window, decisive.as_ref());
        let uncounted = uncounted::of(window, decisive.as_ref(), &places);
        let bars = verdict::bars(window, &places, &ties, &happened, &uncounted);
        let pools = pools(window, decisive.as_ref());
        let (verdict, doubts) = match (bars.is_empty(), places.split_first()) {
            (true, Some((first, rest))) => {
                let (verdict, doubts) = Ruling::of(window, &pools, first, rest);
                (Some(verdict), doubts)
            }
            _ => (None, Vec::new()),
        };
        let entries = &window.entries;
        Self {
            verdict,
            why: if bars.is_empty() { doubts } else { bars },
            seqs: entries.first().zip(entries.last()).map(|(a, b)| (a.record.seq, b.record.seq)),
            places,
            ties,
            uncounted,
            omitted: window.omitted,
            happened,
            pools,
            origin: window.origin.as_deref().cloned(),
            ..Self::default()
        }
    }
}

fn pools(window: &Window, decisive: Option<&Decisive>) -> Vec<PoolThen> {
    let down = |device: u32| {
        let own = window.down.iter().filter(move |((of, _), _)| *of == device);
        own.filter_map(|((_, buzzer), button)| {
            let since = button.held_since_us?;
            let at_us = decisive.map_or(since, |decisive| decisive.first_us);
            Some(DownThen { buzzer: *buzzer, for_us: at_us.saturating_sub(since), stuck: button.stuck })
        })
    };
    let devices = |pool: &PoolId| {
        let own = window.roster.iter().filter(|(_, device)| device.pool == *pool);
        let then = own.map(|(number, device)| DeviceThen {
            device: number,
            seen: device.clone(),
            down: down(number).collect(),
        });
        then.collect()
    };
    window.connected.iter().map(|pool| PoolThen { pool: pool.clone(), devices: devices(pool) }).collect()
}
