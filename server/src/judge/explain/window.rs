//! The part of the log that is asked about. In: what [`super::scan`] found. Out: records, and the state of the world before
//! them. Guarantee: a window has what is needed to judge its records, damage around them included.

use std::sync::Arc;

use serde::Serialize;

use super::roster::Roster;
use crate::game::button::{Button, ButtonId};
use crate::judge::span::Spans;
use crate::record::Record;
use crate::record::pool_id::PoolId;

/// What is asked.
#[derive(Debug, Default)]
pub enum Asked {
    /// The last race.
    #[default]
    LastRace,
    /// The race that this record belongs to: it runs, has just ended or is about to begin. If there is none, what
    /// was around it.
    Around(u64),
    /// The records with these numbers, the first and the last.
    Seqs(u64, u64),
    /// Everything of a span of wall time; the last one, if it comes every day.
    Span(Spans),
}

/// A `start` record: where a process began to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Basis {
    /// Its `seq`.
    pub seq: u64,
    /// The id of the log that it began.
    pub log: String,
    /// The boot.
    pub boot: String,
    /// The version of buzzerd.
    pub version: String,
    /// The settle window, µs.
    pub settle_us: u64,
}

/// A record of the window, and what holds where it stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// Which boot of the log, counted.
    pub boot: u32,
    /// Whether the pool that it is about was connected.
    pub counts: bool,
    /// It is a `start`, and this is how.
    pub began: Option<Began>,
    /// When it was by the wall clock, µs since 1970, as the last anchor before it tells.
    pub wall_us: Option<u64>,
}

/// How a process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// With the machine: nobody was playing.
    Boot,
    /// Long after an earlier one of this boot was stopped on purpose.
    Again,
    /// Behind an earlier one of this boot that broke off, or was stopped shortly before: perhaps in the middle of a race.
    Restart,
}

/// A place where the log is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// File and line.
    pub place: String,
    /// What is wrong there.
    pub why: String,
    /// The last good record before it; 0: none.
    pub after_seq: u64,
}

/// The part of the log that is asked about.
#[derive(Clone, Debug)]
pub struct Window {
    /// The start that held when it began.
    pub origin: Option<Arc<Basis>>,
    /// The devices when it began.
    pub roster: Roster,
    /// The pools that were connected when it began.
    pub connected: Vec<PoolId>,
    /// Buttons that were down when it began.
    pub down: Vec<(ButtonId, Button)>,
    /// Its records.
    pub entries: Vec<Entry>,
    /// Further records that were not kept.
    pub omitted: u64,
    /// Damage between its start record and its end.
    pub damages: Vec<Damage>,
    /// Its quiet begins so long before the first press, µs; `None`: where it was asked to.
    pub lead_us: Option<u64>,
    /// A press behind its end that may in truth precede one in it.
    pub cut: Option<u64>,
    /// The first records in it of a kind that is not known, with what they call it.
    pub unknown: Vec<(u64, String)>,
}

impl Asked {
    /// What it means that nothing like it was found.
    pub fn nothing(&self) -> String {
        match self {
            Self::LastRace => "nobody has pressed a buzzer in this log".to_owned(),
            Self::Around(seq) => {
                format!("seq {seq} is where the log is damaged, or of a kind that is not known")
            }
            Self::Seqs(first, last) => format!("the log has no readable record from seq {first} to {last}"),
            Self::Span(_) => "the log has nothing of that time".to_owned(),
        }
    }
}

/// What a pass over the log found.
#[derive(Debug, Default)]
pub struct Found {
    /// The window; `None`: the log has nothing like it.
    pub window: Option<Window>,
    /// What it means if the log has nothing like it.
    pub nothing: String,
    /// All damage that was met.
    pub damages: Vec<Damage>,
    /// How often, if there was more than is named.
    pub damages_count: u64,
    /// The first and the last record; `None`: there is none.
    pub seqs: Option<(u64, u64)>,
    /// Which boot was the last, counted, and the latest time in it.
    pub latest: (u32, u64),
    /// The last start.
    pub origin: Option<Arc<Basis>>,
}
