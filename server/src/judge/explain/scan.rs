//! Finding a window. In: what is asked, and every record in the log's order. Out: the [`Window`]. Guarantee: one pass, and no
//! more is kept than the window needs, however long the log; a race never runs over the start of another boot, because
//! stamps of two boots cannot be compared.
//!
//! A **race** begins with the first press after a quiet gap and ends when nobody has pressed for as long. The quiet
//! before it belongs to the window: only because nobody pressed then is the first press the first, so a fault there
//! matters as much as one between two presses.

use std::collections::VecDeque;
use std::sync::Arc;

use super::roster::Roster;
use super::uncounted::began_us;
use super::window::{Asked, Basis, Began, Damage, Entry, Found, Window};
use super::words::label;
use crate::counted::counted;
use crate::game::state::State;
use crate::judge::span::Where;
use crate::judge::wall::WallClock;
use crate::record::{Fact, Record};

/// The quiet gap between two races if nobody says otherwise, µs. NAQT's rules give 3 s to buzz after the last word, and nobody hits on for
/// longer once a light shows the first; reading the next question takes more.
pub const GAP_US: u64 = 3_000_000;
/// Records kept of one window. A race of 20 buzzers has about a hundred.
pub const ENTRIES_MAX: usize = 4096;
/// Records kept of the quiet before a race.
const LEAD_MAX: usize = 1024;
/// Places of damage that are named.
const DAMAGES_MAX: usize = 16;
/// Records of unknown kinds that are named.
const UNKNOWN_MAX: usize = 4;

/// A pass over the log.
#[derive(Debug, Default)]
pub struct Scan {
    asked: Asked,
    gap_us: u64,
    state: State,
    roster: Roster,
    wall: WallClock,
    /// What was found so far; a window that is not asked for among it.
    found: Found,
    last_press_us: Option<u64>,
    /// When the process stopped, if that was the last record.
    stopped_us: Option<u64>,
    lead: VecDeque<Entry>,
    lead_omitted: u64,
    /// The window still grows.
    open: bool,
    /// The window is the one that is asked for; no later race takes its place.
    locked: bool,
    /// When the record that is asked for was, if nobody had pressed shortly before it.
    quiet_us: Option<u64>,
    /// The first of the damages since the last start.
    damages_since: usize,
    /// Presses that did not count, and who made the last of them.
    in_vain: Option<(u64, String)>,
}

impl Scan {
    /// A pass that looks for this.
    pub fn new(asked: Asked, gap_us: u64) -> Self {
        Self { asked, gap_us, ..Self::default() }
    }

    /// The next record.
    pub fn feed(&mut self, record: Record) {
        let began = self.enter(&record);
        self.stopped_us = matches!(record.fact, Fact::Stop {}).then_some(record.at_us);
        if let Fact::Uncounted { pool, buzzer, presses, reason, .. } = &record.fact {
            let before = self.in_vain.as_ref().map_or(0, |(presses, _)| *presses);
            let why = if reason == "not_connected" { "its pool was not connected" } else { reason };
            let last = format!("{} (seq {}): {why}", label(pool, *buzzer), record.seq);
            self.in_vain = Some((before + u64::from(*presses), last));
        }
        let at_us = record.at_us;
        self.see(record.seq);
        let Found { latest: (boot, latest_us), .. } = &mut self.found;
        *latest_us = at_us.max(*latest_us);
        let counts = record.fact.subject().pool().is_none_or(|pool| self.state.is_connected(pool));
        self.wall.take(&record);
        let wall_us = self.wall.wall_us(at_us);
        let entry = Entry { record, boot: *boot, counts, began, wall_us };
        match &mut self.asked {
            Asked::LastRace => self.race(&entry),
            &mut Asked::Around(seq) => self.around(seq, &entry),
            &mut Asked::Seqs(first, last) => {
                let seq = entry.record.seq;
                let found = match (first..=last).contains(&seq) {
                    true if self.open => Where::In,
                    true => Where::Begins,
                    false if self.locked => Where::Behind,
                    false => Where::Out,
                };
                self.open &= seq <= last;
                self.span(found, &entry);
            }
            Asked::Span(spans) => {
                if let Some(found) = wall_us.map(|wall_us| spans.see(wall_us)) {
                    self.span(found, &entry);
                }
            }
        }
        let record = &entry.record;
        self.state.apply(record, |_| {});
        self.roster.apply(record);
        if is_press(record) {
            self.last_press_us = self.last_press_us.max(Some(at_us));
        } else if !matches!(record.fact, Fact::Release { .. } | Fact::Proved { .. }) {
            self.lead.push_back(entry);
        }
        self.prune(at_us);
    }

    /// A line that is no record, or does not follow from the one before it.
    pub fn damage(&mut self, damage: Damage) {
        let Found { window, damages, damages_count, .. } = &mut self.found;
        *damages_count += 1;
        // The last places matter most: the last race is what is asked for.
        if damages.len() == DAMAGES_MAX {
            damages.remove(DAMAGES_MAX / 2);
            self.damages_since = self.damages_since.min(DAMAGES_MAX / 2);
        }
        if let (Some(window), true) = (window, self.open)
            && window.damages.len() < DAMAGES_MAX
        {
            window.damages.push(damage.clone());
        }
        damages.push(damage);
    }

    /// A record of a kind that is not known.
    pub fn unknown(&mut self, seq: u64, kind: String) {
        self.see(seq);
        if let (Some(window), true) = (&mut self.found.window, self.open)
            && window.unknown.len() < UNKNOWN_MAX
        {
            window.unknown.push((seq, kind));
        }
    }

    /// The log ends here.
    pub fn finish(self) -> Found {
        let is_last = matches!(self.asked, Asked::LastRace);
        let nothing = match self.in_vain {
            Some((presses, last)) if is_last => {
                let (presses, were) = (counted(presses, "press"), if presses == 1 { "was" } else { "were" });
                format!("no press counts in this log; {presses} {were} made that did not, the last by {last}")
            }
            _ => self.asked.nothing(),
        };
        let window = self.found.window.filter(|_| self.locked || is_last);
        Found { window, nothing, ..self.found }
    }

    fn see(&mut self, seq: u64) {
        let (first, _) = self.found.seqs.unwrap_or((seq, 0));
        self.found.seqs = Some((first, seq));
    }

    /// What a `start` changes, before anything else looks at it.
    fn enter(&mut self, record: &Record) -> Option<Began> {
        let Fact::Start { log, boot, version, settle_us, .. } = &record.fact else { return None };
        let long_stopped =
            self.stopped_us.is_some_and(|at_us| record.at_us.saturating_sub(at_us) > self.gap_us);
        let began = match &self.found.origin {
            Some(origin) if origin.boot == *boot && long_stopped => Began::Again,
            Some(origin) if origin.boot == *boot => Began::Restart,
            _ => Began::Boot,
        };
        if began == Began::Boot {
            self.found.latest = (self.found.latest.0 + 1, 0);
            self.last_press_us = None;
            self.lead.clear();
            if !matches!(self.asked, Asked::Span(_) | Asked::Seqs(..)) {
                self.open = false;
            }
        }
        self.damages_since = self.found.damages.len();
        self.found.origin = Some(Arc::new(Basis {
            seq: record.seq,
            log: log.clone(),
            boot: boot.clone(),
            version: version.clone(),
            settle_us: *settle_us,
        }));
        Some(began)
    }

    fn race(&mut self, entry: &Entry) {
        if is_press(&entry.record) && !self.is_near_press(entry.record.at_us) {
            self.open(entry, Some(self.gap_us));
        } else if self.is_running(began_us(&entry.record)) {
            self.push(entry);
        } else {
            self.open = false;
        }
    }

    fn around(&mut self, seq: u64, entry: &Entry) {
        let at_us = entry.record.at_us;
        if !self.locked {
            self.race(entry);
            if entry.record.seq == seq {
                self.locked = true;
                if !self.open {
                    self.open(entry, Some(self.gap_us));
                    self.quiet_us = Some(at_us);
                }
            }
        } else if self.open {
            let near = self.quiet_us.is_some_and(|quiet_us| at_us <= quiet_us.saturating_add(self.gap_us));
            if near || self.is_running(began_us(&entry.record)) {
                self.push(entry);
            } else {
                self.open = false;
            }
        }
    }

    fn span(&mut self, found: Where, entry: &Entry) {
        match found {
            Where::Begins => {
                self.open(entry, None);
                self.locked = true;
            }
            Where::In => self.push(entry),
            Where::Behind => {
                if let (Fact::Press { photo, .. }, Some(window)) =
                    (&entry.record.fact, &mut self.found.window)
                    && photo.iter().any(|rival| window.entries.iter().any(|own| own.record.seq == rival.seq))
                {
                    window.cut = Some(entry.record.seq);
                }
                // A sum that came behind the end may tell of what was before it.
                let last = self.found.window.iter().filter_map(|window| window.entries.last()).next_back();
                let is_of_it = last.is_some_and(|last| {
                    last.boot == entry.boot && began_us(&entry.record) <= last.record.at_us
                });
                if is_of_it && matches!(entry.record.fact, Fact::Uncounted { .. }) {
                    self.push(entry);
                }
            }
            Where::Out => self.open = false,
        }
    }

    fn is_near_press(&self, at_us: u64) -> bool {
        self.last_press_us.is_some_and(|last_us| at_us <= last_us.saturating_add(self.gap_us))
    }

    fn is_running(&self, at_us: u64) -> bool {
        self.open && self.is_near_press(at_us)
    }

    fn open(&mut self, first: &Entry, lead_us: Option<u64>) {
        let down = self.state.buttons().troubled().filter(|(_, button)| button.held_since_us.is_some());
        let mut window = Window {
            origin: self.found.origin.clone(),
            roster: self.roster.clone(),
            connected: self.state.connected().cloned().collect(),
            down: down.map(|(id, button)| (id, button.clone())).collect(),
            entries: Vec::new(),
            omitted: 0,
            damages: self.found.damages[self.damages_since..].to_vec(),
            lead_us,
            cut: None,
            unknown: Vec::new(),
        };
        if let Some(lead_us) = lead_us {
            let from_us = first.record.at_us.saturating_sub(lead_us);
            let lead = self.lead.iter().filter(|entry| entry.record.at_us >= from_us);
            window.entries.extend(lead.cloned());
            window.omitted = self.lead_omitted;
        }
        self.found.window = Some(window);
        self.open = true;
        self.push(first);
    }

    fn push(&mut self, entry: &Entry) {
        let Some(window) = &mut self.found.window else { return };
        if window.entries.len() < ENTRIES_MAX {
            window.entries.push(entry.clone());
        } else {
            window.omitted += 1;
        }
    }

    fn prune(&mut self, at_us: u64) {
        while self.lead.front().is_some_and(|entry| entry.record.at_us.saturating_add(self.gap_us) < at_us) {
            self.lead.pop_front();
            self.lead_omitted = 0;
        }
        if self.lead.len() > LEAD_MAX {
            self.lead.pop_front();
            self.lead_omitted += 1;
        }
    }
}

fn is_press(record: &Record) -> bool {
    matches!(record.fact, Fact::Press { .. })
}
