//! What else happened, and what it means for the order. In: a window and when its presses were. Out: [`Evidence`]s in the
//! log's order. Guarantee: what may have cost a press in the time that decides is said to bar a verdict; what is harmless
//! is said to be harmless, so that nobody has to guess.

use serde::Serialize;

use super::roster::Roster;
use super::window::{Began, Entry, Window};
use super::words::{label, list, ms, quoted};
use crate::counted::{counted, more};
use crate::judge::sentence;
use crate::record::pool_id::PoolId;
use crate::record::{Fact, Record, Stamps};

/// Presses that a device had not handed over when it went were made at most so long before, µs. The reader takes a press within a
/// millisecond and the slowest radio hands it over within 40 ms.
const UNREAD_US: u64 = 100_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Its record.
    pub seq: u64,
    /// When, µs of CLOCK_MONOTONIC.
    pub at_us: u64,
    /// The same by the wall clock, µs since 1970, if there is an anchor.
    pub wall_us: Option<u64>,
    /// When, in the boot of the first press, from that press on, µs.
    pub to_first_us: Option<i64>,
    /// What.
    pub what: String,
    /// What it means for the order.
    pub means: String,
    /// Whether nobody can say because of it who was first.
    pub bars: bool,
}

/// When it was decided: from the beginning of the quiet to the last press.
#[derive(Clone, Copy, Debug)]
pub struct Decisive {
    /// The boot of the first press, counted.
    pub boot: u32,
    /// The first press, µs.
    pub first_us: u64,
    /// When the quiet before it begins.
    pub from_us: u64,
    /// The last press.
    pub to_us: u64,
    /// The first and the last press.
    pub seqs: (u64, u64),
}

impl Decisive {
    /// The time that decides, if anybody pressed.
    pub fn of(window: &Window) -> Option<Self> {
        let mut presses =
            window.entries.iter().filter(|entry| matches!(entry.record.fact, Fact::Press { .. }));
        let first = presses.next()?;
        let own = presses.clone().filter(|entry| entry.boot == first.boot);
        let last = presses.next_back().unwrap_or(first);
        // Without a race the window begins where it was asked to.
        let opened = window.entries.iter().find(|entry| entry.boot == first.boot).unwrap_or(first);
        let from_us = match window.lead_us {
            Some(lead_us) => first.record.at_us.saturating_sub(lead_us),
            None => opened.record.at_us.min(first.record.at_us),
        };
        Some(Self {
            boot: first.boot,
            first_us: first.record.at_us,
            from_us,
            to_us: own.map(|entry| entry.record.at_us).fold(first.record.at_us, u64::max),
            seqs: (first.record.seq, last.record.seq),
        })
    }

    /// Whether a press made between these times would have been among those that decide.
    fn touches(&self, entry: &Entry, since_us: u64) -> bool {
        entry.boot == self.boot && since_us <= self.to_us && entry.record.at_us >= self.from_us
    }
}

/// Everything in the window that is no press.
pub fn of(window: &Window, decisive: Option<&Decisive>) -> Vec<Evidence> {
    let mut roster = window.roster.clone();
    // The roster is that at the first press; who went before it is not in it any more.
    for entry in &window.entries {
        if let Fact::Attach { .. } = entry.record.fact {
            roster.apply(&entry.record);
        }
    }
    let judged = window.entries.iter().map(|entry| Judged { entry, roster: &roster, decisive });
    judged.filter_map(|judged| judged.finding()).collect()
}

/// One button, or as many as one sum has.
fn buttons(pool: &PoolId, buzzer: u16, others: u32) -> String {
    let one = label(pool, buzzer);
    if others == 0 { one } else { format!("{one} and {} of its device", more(others.into(), "button")) }
}

/// When something was, if it took time at all.
fn up_to_here(at_us: u64, since_us: u64) -> String {
    match at_us.saturating_sub(since_us) {
        0 => String::new(),
        span_us => format!(" in the {} up to here", ms(span_us)),
    }
}

const NOT_COUNTING: &str = "its pool was not connected: its presses did not count";

/// A record in its window.
struct Judged<'a> {
    entry: &'a Entry,
    roster: &'a Roster,
    decisive: Option<&'a Decisive>,
}

impl Judged<'_> {
    fn finding(&self) -> Option<Evidence> {
        let Entry { record, wall_us, boot, .. } = self.entry;
        let what = self.what()?;
        let (means, bars) = (self.means().to_owned(), self.bars());
        let own = self.decisive.filter(|decisive| decisive.boot == *boot);
        let to_first_us =
            own.map(|own| record.at_us.cast_signed().saturating_sub(own.first_us.cast_signed()));
        let (seq, at_us, wall_us) = (record.seq, record.at_us, *wall_us);
        Some(Evidence { seq, at_us, wall_us, to_first_us, what, means, bars })
    }

    fn device_name(&self, device: u32) -> String {
        match self.roster.get(device) {
            Some(known) => format!("{} ({})", quoted(&known.name), known.place),
            None => format!("device {device}"),
        }
    }

    fn touches(&self, since_us: u64) -> bool {
        self.decisive.is_some_and(|decisive| decisive.touches(self.entry, since_us))
    }

    /// Whether it stands between the first and the last press.
    fn is_between(&self) -> bool {
        let seq = self.entry.record.seq;
        self.decisive.is_some_and(|decisive| decisive.seqs.0 < seq && seq < decisive.seqs.1)
    }

    /// Whether nobody can say because of it who was first.
    fn bars(&self) -> bool {
        let Record { seq, at_us, fact } = &self.entry.record;
        match fact {
            Fact::Damage { .. } | Fact::Lost { .. } => true,
            Fact::Start { .. } if self.entry.began == Some(Began::Restart) => {
                self.is_between() || self.decisive.is_some_and(|decisive| *seq < decisive.seqs.0)
            }
            Fact::Start { .. } => self.is_between(),
            Fact::Detach { certain: false, .. } => {
                self.entry.counts && self.touches(at_us.saturating_sub(UNREAD_US))
            }
            Fact::Gap { since_us, .. } => self.entry.counts && self.touches(*since_us),
            _ => false,
        }
    }

    /// What happened, a row for each kind. `None`: it has no part in a dispute.
    fn what(&self) -> Option<String> {
        let at_us = self.entry.record.at_us;
        Some(match &self.entry.record.fact {
            Fact::Press { .. } | Fact::Draw { .. } | Fact::Release { .. } | Fact::Proved { .. } => {
                return None;
            }
            Fact::Anchor { .. } | Fact::Config { .. } | Fact::Roster { .. } => return None,
            Fact::Expired { .. } => return None,
            Fact::Connect { .. } if self.entry.counts => return None,
            Fact::Start { version, .. } => match self.entry.began {
                Some(Began::Restart) => format!("buzzerd was started anew (version {version})"),
                Some(Began::Boot) | None if self.is_between() => {
                    format!("the machine was started anew, and buzzerd {version}")
                }
                _ => format!("buzzerd {version} was started"),
            },
            Fact::Storage { what, file, .. } => {
                format!("the storage of the log: {}: {}", quoted(file), quoted(what))
            }
            fact @ (Fact::Recovered { .. }
            | Fact::Damage { .. }
            | Fact::Lost { .. }
            | Fact::Stop {}
            | Fact::Degraded { .. }
            | Fact::HeapFull { .. }
            | Fact::RingFull { .. }
            | Fact::Refuse { .. }) => sentence::of(fact),
            Fact::Attach { pool, buzzers, device, .. } => {
                let name = self.device_name(*device);
                format!("pool {pool}: {name} came, with buzzers {}", list(buzzers))
            }
            Fact::Detach { device, pool, reason, .. } => {
                format!("pool {pool}: {} went: {reason}", self.device_name(*device))
            }
            Fact::Connect { pool, by, .. } => format!("pool {pool} was connected (by {by})"),
            Fact::Disconnect { pool, by } => format!("pool {pool} was disconnected (by {by})"),
            Fact::Uncounted { pool, buzzer, presses, others, .. } => {
                let (whose, presses) = (buttons(pool, *buzzer, *others), counted((*presses).into(), "press"));
                format!("{whose}: {presses} while its pool was not connected")
            }
            Fact::Held { pool, buzzer, .. } => {
                format!("{} was down already when its device came", label(pool, *buzzer))
            }
            Fact::Stuck { pool, buzzer, .. } => {
                format!("{} has been down for more than 10 s", label(pool, *buzzer))
            }
            Fact::Ignored { pool, buzzer, edges, since_us, others, .. } => {
                let within = match at_us.saturating_sub(*since_us) {
                    span_us @ 1.. if *edges != 1 => format!(" within {}", ms(span_us)),
                    _ => String::new(),
                };
                let (whose, edges) = (buttons(pool, *buzzer, *others), counted((*edges).into(), "edge"));
                format!("{whose}: {edges}{within} did not count")
            }
            Fact::Chattering { pool, buzzer, .. } => {
                format!("{} chatters: it makes more edges than a sound contact", label(pool, *buzzer))
            }
            Fact::Gap { device, since_us, .. } => {
                let within = up_to_here(at_us, *since_us);
                format!("the kernel dropped events of {}{within}", self.device_name(*device))
            }
            Fact::ReaderStall { device, late_us, .. } => {
                let (late, name) = (ms(*late_us), self.device_name(*device));
                format!("the reader was kept from running for {late}; it read {name} late")
            }
            Fact::Late { press, behind_us, .. } => {
                format!("the press with seq {press} came {} behind what had been told", ms(*behind_us))
            }
            Fact::StaleStamp { device, times: times @ 2.., since_us: Some(since_us), .. } => {
                let within = up_to_here(at_us, *since_us);
                format!("{} gave {times} stamps that cannot be true{within}", self.device_name(*device))
            }
            Fact::StaleStamp { device, stamp_us, .. } => {
                let side = if at_us < *stamp_us { "ahead of" } else { "behind" };
                let (name, off) = (self.device_name(*device), ms(at_us.abs_diff(*stamp_us)));
                format!("{name} gave a stamp that cannot be true, {off} {side} the time it was read")
            }
        })
    }

    /// What it means for the order, a row for each kind.
    fn means(&self) -> &str {
        match &self.entry.record.fact {
            Fact::Press { .. } | Fact::Draw { .. } | Fact::Release { .. } | Fact::Proved { .. } => "",
            Fact::Anchor { .. } | Fact::Config { .. } | Fact::Roster { .. } | Fact::Expired { .. } => "",
            Fact::Start { .. } => match self.entry.began {
                Some(Began::Restart) => "presses made while it did not run are not in the log",
                Some(Began::Again) => "presses made while it did not run are in no log",
                _ if self.is_between() => {
                    "there are presses of two boots, and their times cannot be compared"
                }
                _ => "what was pressed before it is in no log",
            },
            // One of our own texts.
            Fact::Storage { done, .. } => done,
            Fact::Recovered { .. } => "what was told last before the machine lost power may be missing",
            Fact::Damage { .. } => "what the log says before this record is not proved",
            Fact::Lost { .. } => "presses may be missing",
            Fact::Stop {} => "nothing was read from here on",
            Fact::Degraded { .. } => "the order is not touched; more may come late under load",
            Fact::HeapFull { .. } => "if the kernel had to drop something, a record says so",
            Fact::RingFull { .. } => "the order is not touched",
            Fact::Detach { certain: true, .. } => "every press that it made was read",
            Fact::Attach { .. } | Fact::Detach { .. } | Fact::Gap { .. } if !self.entry.counts => {
                NOT_COUNTING
            }
            Fact::Attach { .. } | Fact::Connect { .. } => "its presses count from here on",
            Fact::Detach { .. } if self.bars() => "presses that it had not handed over are lost",
            Fact::Detach { .. } => {
                "presses that it had not handed over are lost; none of them was before the last press here"
            }
            Fact::Gap { .. } if self.bars() => "presses made in that time may be missing",
            Fact::Gap { .. } => {
                "presses made in that time may be missing; all presses here are of another time"
            }
            Fact::Disconnect { .. } => "its presses do not count from here on",
            Fact::Refuse { .. } => "it changed nothing",
            Fact::Uncounted { .. } => "they did not count",
            Fact::Held { .. } => "it counts only after it was released",
            Fact::Stuck { .. } => "stuck, or sat on: it cannot press again before it is released",
            Fact::Ignored { .. } => {
                "bounce or a flickering contact: by its stamps it had not been open for the debounce time"
            }
            Fact::Chattering { .. } => "a worn button; presses that count are listed above",
            Fact::ReaderStall { device, .. } if self.is_receipt(*device) => {
                "its presses have the time of the read; each says between when it can have been made"
            }
            Fact::ReaderStall { .. } => {
                "the stamps are the kernel's and true; a press that came too late for its place is marked late"
            }
            Fact::Late { .. } => "it was told at once and marked late; what had been told stays",
            Fact::StaleStamp { .. } => "what it said then is ordered by the time it was read, and marked",
        }
    }

    fn is_receipt(&self, device: u32) -> bool {
        self.roster.get(device).is_some_and(|device| device.stamps == Stamps::Receipt)
    }
}
