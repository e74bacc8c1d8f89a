//! What was pressed and did not count. In: a window, its presses, and when they were. Out: each button that moved and has no place because
//! of it, with the reason. Guarantee: of a window that has one of these nobody says that one button alone was pressed.

use serde::Serialize;

use super::evidence::Decisive;
use super::places::Place;
use super::window::{Entry, Window};
use super::words::{label, ms};
use crate::record::pool_id::PoolId;
use crate::record::{Fact, Record};

/// Presses of one button that did not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncounted {
    /// The record that says so.
    pub seq: u64,
    /// The pool.
    pub pool: PoolId,
    /// The buzzer.
    pub buzzer: u16,
    /// How many presses; or edges, if the contact only bounced.
    pub times: u32,
    /// The first of them, from the first press that counts on, µs; `None`: another boot, or no press counts.
    pub to_first_us: Option<i64>,
    /// Why they did not count.
    pub why: String,
    /// The contact moved, and was not seen to close as a press does.
    pub is_bounce: bool,
}

/// When what a record tells began: a sum comes up to a second after its first stamp.
pub fn began_us(record: &Record) -> u64 {
    match &record.fact {
        Fact::Uncounted { since_us, .. } | Fact::Ignored { since_us, .. } => *since_us,
        _ => record.at_us,
    }
}

/// All of a window, the nearest to its first press first.
pub fn of(window: &Window, decisive: Option<&Decisive>, places: &[Place]) -> Vec<Uncounted> {
    let mut uncounted: Vec<Uncounted> =
        window.entries.iter().filter_map(|entry| one(entry, decisive, places)).collect();
    uncounted.sort_by_key(|one| one.to_first_us.map_or(u64::MAX, i64::unsigned_abs));
    uncounted
}

fn one(entry: &Entry, decisive: Option<&Decisive>, places: &[Place]) -> Option<Uncounted> {
    let began_us = began_us(&entry.record).cast_signed();
    let to_first_us = decisive
        .filter(|decisive| decisive.boot == entry.boot)
        .map(|decisive| began_us - decisive.first_us.cast_signed());
    let (pool, buzzer, times, why, is_bounce) = match &entry.record.fact {
        Fact::Uncounted { pool, buzzer, presses, reason, .. } => {
            let why = match reason.as_str() {
                "not_connected" => format!("pool {pool} was not connected"),
                other => other.replace('_', " "),
            };
            (pool, *buzzer, *presses, why, false)
        }
        // The bounce of a button that has a place is a part of its press.
        Fact::Ignored { pool, buzzer, edges, .. }
            if !places.iter().any(|place| (&place.pool, place.buzzer) == (pool, *buzzer)) =>
        {
            let why = "by its stamps its contact had not been open for the debounce time".to_owned();
            (pool, *buzzer, *edges, why, true)
        }
        _ => return None,
    };
    let (seq, pool) = (entry.record.seq, pool.clone());
    Some(Uncounted { seq, pool, buzzer, times, to_first_us, why, is_bounce })
}

impl Uncounted {
    /// In words; `first` is the button that was first.
    pub fn sentence(&self, first: Option<&str>) -> String {
        let when = match (self.to_first_us, first) {
            (Some(us @ ..0), Some(first)) => format!(" {} before {first}", ms(us.unsigned_abs())),
            (Some(0), Some(first)) => format!(" at the very time of {first}"),
            (Some(us), Some(first)) => format!(" {} behind {first}", ms(us.unsigned_abs())),
            _ => String::new(),
        };
        let (name, times) = (label(&self.pool, self.buzzer), self.times);
        let did = match (self.is_bounce, times) {
            (false, 1) => format!("pressed{when}"),
            (false, _) => format!("pressed {times} times, first{when}"),
            (true, 1) => format!("moved{when}"),
            (true, _) => format!("moved {times} times, first{when}"),
        };
        let did = did.strip_suffix(", first").unwrap_or(&did);
        format!("{name} {did} (seq {}): it did not count, because {}.", self.seq, self.why)
    }
}
