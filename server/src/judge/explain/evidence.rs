//! What else happened, and what it means for the order. In: a window and when its presses were. Out: [`Evidence`]s in the
//! log's order. Guarantee: what may have cost a press in the time that decides is said to bar a verdict; what is harmless
//! is said to be harmless, so that nobody has to guess.

use serde::Serialize;

use super::roster::Roster;
use super::window::{Began, Entry, Window};
use super::words::{label, list, ms, quoted};
use crate::counted::{at_most, counted, more};
use crate::record::pool_id::PoolId;
use crate::record::{Fact, Stamps};

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

/// Which device, pool or button did what, what that means for the order, and whether it bars a verdict.
type Said<'a> = (String, &'a str, bool);

const NOT_COUNTING: &str = "its pool was not connected: its presses did not count";

/// A record in its window.
struct Judged<'a> {
    entry: &'a Entry,
    roster: &'a Roster,
    decisive: Option<&'a Decisive>,
}

impl<'a> Judged<'a> {
    fn finding(&self) -> Option<Evidence> {
        let (what, means, bars) = match &self.entry.record.fact {
            Fact::Press { .. } | Fact::Draw { .. } | Fact::Release { .. } | Fact::Proved { .. } => {
                return None;
            }
            Fact::Anchor { .. } | Fact::Config { .. } | Fact::Roster { .. } | Fact::Expired { .. } => {
                return None;
            }
            Fact::Start { version, .. } => Some(self.start(version)),
            Fact::Storage { .. } | Fact::Recovered { .. } | Fact::Damage { .. } | Fact::Lost { .. } => {
                self.log()
            }
            Fact::Stop {} | Fact::Degraded { .. } | Fact::HeapFull { .. } | Fact::RingFull { .. } => {
                self.log()
            }
            Fact::Attach { .. } | Fact::Detach { .. } | Fact::Refuse { .. } => self.pool(),
            Fact::Connect { .. } | Fact::Disconnect { .. } => self.pool(),
            Fact::Uncounted { .. } | Fact::Held { .. } | Fact::Stuck { .. } => self.button(),
            Fact::Ignored { .. } | Fact::Chattering { .. } => self.button(),
            Fact::Gap { .. } | Fact::ReaderStall { .. } => self.reading(),
            Fact::Late { .. } | Fact::StaleStamp { .. } => self.reading(),
        }?;
        let at_us = self.entry.record.at_us;
        let own = self.decisive.filter(|decisive| decisive.boot == self.entry.boot);
        let to_first_us =
            own.map(|decisive| at_us.cast_signed().saturating_sub(decisive.first_us.cast_signed()));
        let (seq, wall_us, means) = (self.entry.record.seq, self.entry.wall_us, means.to_owned());
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

    fn start(&self, version: &str) -> Said<'a> {
        let seq = self.entry.record.seq;
        let between = self.decisive.is_some_and(|decisive| seq > decisive.seqs.0 && seq < decisive.seqs.1);
        let before = self.decisive.is_some_and(|decisive| seq < decisive.seqs.0);
        match self.entry.began {
            Some(Began::Restart) => {
                let what = format!("buzzerd was started anew (version {version})");
                (what, "presses made while it did not run are not in the log", between || before)
            }
            Some(Began::Again) => (
                format!("buzzerd {version} was started"),
                "presses made while it did not run are in no log",
                between,
            ),
            _ if between => {
                let what = format!("the machine was started anew, and buzzerd {version}");
                (what, "there are presses of two boots, and their times cannot be compared", true)
            }
            _ => (format!("buzzerd {version} was started"), "what was pressed before it is in no log", false),
        }
    }

    /// Of the log and its daemon.
    fn log(&self) -> Option<Said<'a>> {
        Some(match &self.entry.record.fact {
            Fact::Storage { what, file, done, .. } => {
                let what = format!("the storage of the log: {}: {}", quoted(file), quoted(what));
                // `done` is one of our own texts.
                (what, done, false)
            }
            Fact::Recovered { bytes, file, .. } => {
                let (bytes, file) = (counted(*bytes, "byte"), quoted(file));
                let what = format!("no lines were at the end of the log, but {bytes}: kept in {file}");
                (what, "what was told last before the machine lost power may be missing", false)
            }
            Fact::Damage { segment, line, why } => {
                let what = format!("damage in {}, line {line}: {}", quoted(segment), quoted(why));
                (what, "what the log says before this record is not proved", true)
            }
            Fact::Lost { first_seq, last_seq } => {
                let what =
                    format!("records {first_seq} to {last_seq} are lost: neither disk nor memory took them");
                (what, "presses may be missing", true)
            }
            Fact::Stop {} => ("buzzerd was stopped".into(), "nothing was read from here on", false),
            Fact::Degraded { what, reason } => {
                let what = format!("buzzerd had to do without {what}: {reason}");
                (what, "the order is not touched; more may come late under load", false)
            }
            Fact::HeapFull { full_us } => {
                let what =
                    format!("the reader could read no faster than the log was written, for {}", ms(*full_us));
                (
                    what,
                    "what came meanwhile may be late; if the kernel had to drop something, a record says so",
                    false,
                )
            }
            Fact::RingFull { waiting_max } => {
                let what = format!(
                    "the way to the log was full; {} waited",
                    at_most((*waiting_max).into(), "event")
                );
                (what, "they waited in order and none was lost", false)
            }
            _ => return None,
        })
    }

    /// Of devices and pools.
    fn pool(&self) -> Option<Said<'a>> {
        Some(match &self.entry.record.fact {
            Fact::Attach { pool, buzzers, device, .. } => {
                let what = format!(
                    "pool {pool}: {} came, with buzzers {}",
                    self.device_name(*device),
                    list(buzzers)
                );
                (what, if self.entry.counts { "its presses count from here on" } else { NOT_COUNTING }, false)
            }
            Fact::Detach { device, pool, reason, certain } => {
                let what = format!("pool {pool}: {} went: {reason}", self.device_name(*device));
                match (certain, self.entry.counts) {
                    (true, _) => (what, "every press that it made was read", false),
                    (false, false) => (what, NOT_COUNTING, false),
                    (false, true) if self.touches(self.entry.record.at_us.saturating_sub(UNREAD_US)) => {
                        (what, "presses that it had not handed over are lost", true)
                    }
                    (false, true) => (
                        what,
                        "presses that it had not handed over are lost; none of them was before the last press here",
                        false,
                    ),
                }
            }
            Fact::Connect { pool, by, .. } if !self.entry.counts => {
                (format!("pool {pool} was connected (by {by})"), "its presses count from here on", false)
            }
            Fact::Disconnect { pool, by } => (
                format!("pool {pool} was disconnected (by {by})"),
                "its presses do not count from here on",
                false,
            ),
            Fact::Refuse { pool, by, message, times, .. } => {
                let often = if *times == 1 { String::new() } else { format!(" ({times} times)") };
                let what = format!("{by} could not connect pool {}{often}: {message}", quoted(pool));
                (what, "it changed nothing", false)
            }
            _ => return None,
        })
    }

    /// Of a button.
    fn button(&self) -> Option<Said<'a>> {
        Some(match &self.entry.record.fact {
            Fact::Uncounted { pool, buzzer, presses, others, .. } => {
                let whose = buttons(pool, *buzzer, *others);
                let what = format!(
                    "{whose}: {} while its pool was not connected",
                    counted((*presses).into(), "press")
                );
                (what, "they did not count", false)
            }
            Fact::Held { pool, buzzer, .. } => {
                let what = format!("{} was down already when its device came", label(pool, *buzzer));
                (what, "it counts only after it was released", false)
            }
            Fact::Stuck { pool, buzzer, .. } => {
                let what = format!("{} has been down for more than 10 s", label(pool, *buzzer));
                (what, "stuck, or sat on: it cannot press again before it is released", false)
            }
            Fact::Ignored { pool, buzzer, edges, since_us, others, .. } => {
                let within = match self.entry.record.at_us.saturating_sub(*since_us) {
                    0 => String::new(),
                    _ if *edges == 1 => String::new(),
                    span_us => format!(" within {}", ms(span_us)),
                };
                let (whose, edges) = (buttons(pool, *buzzer, *others), counted((*edges).into(), "edge"));
                let what = format!("{whose}: {edges}{within} did not count");
                (
                    what,
                    "bounce or a flickering contact: by its stamps it had not been open for the debounce time",
                    false,
                )
            }
            Fact::Chattering { pool, buzzer, .. } => {
                let what =
                    format!("{} chatters: it makes more edges than a sound contact", label(pool, *buzzer));
                (what, "a worn button; presses that count are listed above", false)
            }
            _ => return None,
        })
    }

    /// Of how a device was read.
    fn reading(&self) -> Option<Said<'a>> {
        Some(match &self.entry.record.fact {
            Fact::Gap { device, since_us, .. } => {
                let within = up_to_here(self.entry.record.at_us, *since_us);
                let what = format!("the kernel dropped events of {}{within}", self.device_name(*device));
                match self.entry.counts {
                    false => (what, NOT_COUNTING, false),
                    true if self.touches(*since_us) => {
                        (what, "presses made in that time may be missing", true)
                    }
                    true => (
                        what,
                        "presses made in that time may be missing; all presses here are of another time",
                        false,
                    ),
                }
            }
            Fact::ReaderStall { device, late_us, .. } => {
                let what = format!(
                    "the reader was kept from running for {}; it read {} late",
                    ms(*late_us),
                    self.device_name(*device)
                );
                if self.roster.get(*device).is_some_and(|device| device.stamps == Stamps::Receipt) {
                    let means =
                        "its presses have the time of the read; each says between when it can have been made";
                    return Some((what, means, false));
                }
                (
                    what,
                    "the stamps are the kernel's and true; a press that came too late for its place is marked late",
                    false,
                )
            }
            Fact::Late { press, behind_us, .. } => {
                let what =
                    format!("the press with seq {press} came {} behind what had been told", ms(*behind_us));
                (what, "it was told at once and marked late; what had been told stays", false)
            }
            Fact::StaleStamp { device, times: times @ 2.., since_us: Some(since_us), .. } => {
                let (device, within) =
                    (self.device_name(*device), up_to_here(self.entry.record.at_us, *since_us));
                let what = format!("{device} gave {times} stamps that cannot be true{within}");
                (what, "what it said then is ordered by the time it was read, and marked", false)
            }
            Fact::StaleStamp { device, stamp_us, .. } => {
                let off_us = self.entry.record.at_us.cast_signed().saturating_sub(stamp_us.cast_signed());
                let side = if off_us < 0 { "ahead of" } else { "behind" };
                let what = format!(
                    "{} gave a stamp that cannot be true, {} {side} the time it was read",
                    self.device_name(*device),
                    ms(off_us.unsigned_abs())
                );
                (what, "what it said then is ordered by the time it was read, and marked", false)
            }
            _ => return None,
        })
    }
}
