//! What one device's records should be, told by the rules and not by the program. In: the script's frames as they were
//! read, and the clocks of the reads. Out: every press and release that is due, with time, flags and interval.
//! Guarantee: shares no code with the program; where the script knows the truth (when a contact moved), that counts.

use std::collections::{BTreeMap, VecDeque};

use buzzer_core::press::stamp::{KEPT_BYTES_MAX, Stamps};

use super::node::{Item, Node};
use super::script::Said;

/// The clocks of one read, as the reader would see them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) pass: u64,
    pub(crate) read: u64,
    pub(crate) ran_late_us: u64,
    /// Since it went to sleep, it lost time that nothing counts.
    pub(crate) robbed: bool,
}

/// A press that must be in the log.
#[derive(Clone, Debug)]
pub(crate) struct Press {
    pub(crate) at: u64,
    pub(crate) rank: u32,
    pub(crate) stale: bool,
    pub(crate) recovered: bool,
    /// The frame's own stamp.
    own: u64,
    /// That stamp is from before the frame: the kernel's one defect.
    borrowed: bool,
    pub(crate) suspect: bool,
    /// By how much its interval is longer than the device's longest delay.
    pub(crate) back_us: u64,
    /// With a receipt stamp: by how much its source's longest silence, and the read, reach beyond its time.
    pub(crate) reach_us: Option<[u64; 2]>,
    /// When the contact moved, if the script knows, and when the kernel took note.
    pub(crate) physical: Option<u64>,
    pub(crate) made: u64,
    /// It could be read within W of its stamp by a reader that reads: it must not be late.
    pub(crate) prompt: bool,
}

/// A release that must be in the log, behind so many presses of its button.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    pub(crate) at: u64,
    pub(crate) behind: usize,
}

/// One button.
#[derive(Debug, Default)]
pub(crate) struct Button {
    state: Know,
    /// When the contact opened for the last time, if that is known: by its frame's stamp, and as it was ordered.
    open_since: Option<(u64, u64)>,
    /// The press before was counted; `None` before the first edge and after a gap.
    counted: Option<bool>,
    proved: bool,
    /// In a dropped frame it was seen going down, though it was down before.
    pressed_again: bool,
    pub(crate) presses: VecDeque<Press>,
    pub(crate) pressed: usize,
    pub(crate) releases: VecDeque<Release>,
    pub(crate) ignored: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Know {
    #[default]
    Up,
    Down,
    /// Down before a gap.
    Unsure,
}

/// One device.
#[derive(Debug)]
pub(crate) struct Truth {
    stamps: Stamps,
    settle_us: u64,
    debounce_us: u64,
    handed: u64,
    pub(crate) buttons: Vec<Button>,
    edges: Vec<(u16, bool, bool)>,
    dropping: bool,
    pub(crate) gap: bool,
    /// Everything stamped before is known to have been read.
    drained: u64,
    /// For how many passes it has had more to read.
    backlog: Option<u32>,
    /// In one of them nobody waited for it.
    is_behind: bool,
    /// What was there at this time has been read; that is said next of this pass, when so many bytes are read.
    flushed: u64,
    flushing: (u64, usize),
    /// The latest stamp of a frame that moved no key.
    noted: u64,
    last: u64,
    /// Whether that was a true stamp.
    last_is_own: bool,
    rank: u32,
    pressed_at: Option<u64>,
    /// Intervals in which presses may be missing.
    pub(crate) gaps: Vec<(u64, u64)>,
    pub(crate) stalls: Vec<u64>,
    pub(crate) stale_reports: u64,
    /// Frames of which presses were lost: when the kernel took note of them, or when it showed them if that was later than
    /// anybody reckons with.
    pub(crate) lost: Vec<u64>,
    /// Why it is read no longer.
    pub(crate) end: Option<String>,
    pub(crate) certain: bool,
}

impl Truth {
    pub(crate) fn new(node: &Node, settle_us: u64) -> Self {
        let life = &node.life;
        let button = |key| {
            let held = life.held >> key & 1 == 1;
            Button { state: if held { Know::Down } else { Know::Up }, ..Button::default() }
        };
        Self {
            stamps: life.stamps,
            settle_us,
            debounce_us: life.debounce_us,
            handed: 0,
            buttons: (0..life.keys).map(button).collect(),
            edges: Vec::new(),
            dropping: false,
            gap: false,
            drained: life.since,
            backlog: None,
            is_behind: false,
            flushed: life.since,
            flushing: (life.since, KEPT_BYTES_MAX),
            noted: life.since,
            last: life.since,
            last_is_own: true,
            rank: 0,
            pressed_at: None,
            gaps: Vec::new(),
            stalls: Vec::new(),
            stale_reports: 0,
            lost: Vec::new(),
            end: None,
            certain: true,
        }
    }

    /// The reader has it from this pass on, which is given back.
    pub(crate) const fn be_handed(&mut self, pass: u64) -> u64 {
        self.handed = pass;
        pass
    }

    /// It is read no longer for this reason, the first there is.
    pub(crate) fn end(&mut self, reason: &str) {
        self.end.get_or_insert_with(|| reason.to_owned());
    }

    /// Delays between stamp and visibility that nobody needs to explain.
    pub(crate) fn slack_us(&self) -> u64 {
        self.settle_us.max(2000)
    }

    /// These records were read. `excused`: the reader could not keep to W (its memory was full).
    pub(crate) fn read(&mut self, node: &Node, items: &[Item], bytes: usize, clocks: Clocks, excused: bool) {
        self.flushing.1 = self.flushing.1.saturating_sub(bytes);
        if self.flushing.1 == 0 {
            (self.flushed, self.flushing) = (self.flushing.0, (clocks.pass, KEPT_BYTES_MAX));
        }
        let excused = excused || self.is_behind;
        for item in items {
            match item.said {
                Said::Key(key, value @ (0 | 1)) => self.key(key, value == 1),
                Said::Key(..) => {}
                Said::Dropped => {
                    self.dropping = true;
                    self.take_back();
                    for button in &mut self.buttons {
                        if button.state == Know::Down {
                            button.state = Know::Unsure;
                        }
                    }
                }
                Said::Report => {
                    if !std::mem::take(&mut self.dropping) {
                        self.report(node, item.frame, clocks, excused);
                    } else if self.stamps == Stamps::Kernel {
                        self.gap = true;
                    } else {
                        // Who attached starts over with all keys up.
                        self.resync(0, clocks.read);
                    }
                    self.edges.clear();
                }
                Said::Nonsense => return,
            }
        }
    }

    fn key(&mut self, key: u16, down: bool) {
        let button = &mut self.buttons[usize::from(key)];
        if self.dropping {
            button.pressed_again |= down && button.state == Know::Unsure;
            return;
        }
        let edge = match (button.state, down) {
            (Know::Unsure, _) => Some(true),
            (Know::Up, true) | (Know::Down, false) => Some(false),
            (Know::Up, false) | (Know::Down, true) => None,
        };
        if let Some(after_gap) = edge {
            button.state = if down { Know::Down } else { Know::Up };
            button.pressed_again = false;
            self.edges.push((key, down, after_gap));
        }
    }

    fn report(&mut self, node: &Node, frame: usize, clocks: Clocks, excused: bool) {
        let frame = node.frame(frame);
        if self.edges.is_empty() {
            if frame.stamp <= clocks.read {
                self.noted = self.noted.max(frame.stamp);
            }
            return;
        }
        let mut press = self.judge(frame.stamp, clocks);
        (self.last, self.last_is_own, self.rank) = (press.at, !press.stale, press.rank);
        let presses = self.edges.iter().filter(|(_, down, _)| *down).count();
        let several = presses > 1 || presses == 1 && self.pressed_at == Some(frame.stamp);
        // What an attachment says in two frames is never one report.
        if presses > 0 && self.stamps == Stamps::Kernel {
            self.pressed_at = Some(frame.stamp);
        }
        press.made = frame.made;
        // A stamp that is false and yet believed (its sender made it up; the kernel's is younger than what could be told)
        // has no truth.
        let is_false = frame.odd || (self.stamps == Stamps::Kernel && frame.stamp != frame.made);
        let is_late = frame.visible > frame.made + self.slack_us();
        // Both at once, a false stamp and shown late, leave nothing to reckon with.
        let known = if press.stale { !(is_false && is_late) } else { !is_false };
        press.physical = known.then_some(frame.physical);
        if self.stamps == Stamps::Receipt {
            // Whatever it says, it was written when it was; 1 ms of the longest delay is the reader's, not the sender's. What
            // the reader lost and nothing counts, nobody can know of.
            let [min_us, max_us] = node.life.delay.us;
            let sender_us = (frame.made - frame.physical).min(max_us - (max_us - min_us).min(1000));
            press.physical = (!clocks.robbed).then_some(frame.visible - sender_us);
        }
        // While there is one device nothing is held, so what a second one saw before the reader had it can be late.
        let is_seen = self.handed <= press.at && frame.visible <= press.at + self.settle_us;
        let is_prompt = self.stamps == Stamps::Receipt || is_seen;
        press.prompt = is_prompt && !press.stale && !excused;
        let mut counts = false;
        for (key, down, after_gap) in std::mem::take(&mut self.edges) {
            counts |= self.edge(key, down, after_gap, several, &press);
        }
        self.stale_reports += u64::from(press.stale && counts);
    }

    /// What the device's stamp is worth.
    fn judge(&mut self, own: u64, clocks: Clocks) -> Press {
        let clean = Press {
            at: own,
            rank: 0,
            stale: false,
            recovered: false,
            own,
            borrowed: false,
            suspect: false,
            back_us: 0,
            reach_us: None,
            physical: None,
            made: 0,
            prompt: false,
        };
        let at = clocks.read.max(self.last);
        let rank = if at == self.last { self.rank + 1 } else { 0 };
        // Its stamp may also be true and have been shown late, by up to 50 ms: its interval says so.
        let known = self.known_up_to();
        let from = if own < known && known - own <= 50_000 { own } else { known };
        let stale = Press { at, rank, stale: true, back_us: at.saturating_sub(from), ..clean.clone() };
        // It follows what has no true stamp, in a stream whose order is certain.
        let passed = own < self.last.max(self.noted) || own == self.last && !self.last_is_own;
        match self.stamps {
            Stamps::Receipt => {
                let at = clocks.pass.max(self.last);
                let rank = if self.last == at { self.rank + 1 } else { 0 };
                // It came behind what was read, and before the end of its own read.
                let reach_us = Some([at - self.drained, clocks.read.saturating_sub(at)]);
                Press { at, rank, reach_us, ..clean }
            }
            Stamps::Sender if own > clocks.read || passed => stale,
            Stamps::Sender if own == self.last => Press { rank: self.rank + 1, ..clean },
            Stamps::Sender => clean,
            Stamps::Kernel => {
                let age = clocks.pass.saturating_sub(own);
                let borrowed = !passed && (at - own > 50_000 || known > own + 50_000);
                if own < self.known_up_to() || passed {
                    return Press { borrowed, ..stale };
                }
                if age > 50_000 && self.backlog.is_none() {
                    if clocks.ran_late_us + 50_000 < age {
                        return Press { borrowed, ..stale };
                    }
                    self.stalls.push(own);
                }
                clean
            }
        }
    }

    /// What was made before was read, if it became visible as fast as anything does.
    fn known_up_to(&self) -> u64 {
        self.drained.saturating_sub(self.slack_us())
    }

    /// Whether the edge is in the log by itself.
    fn edge(&mut self, key: u16, down: bool, after_gap: bool, several: bool, press: &Press) -> bool {
        let debounce_us = self.debounce_us;
        let button = &mut self.buttons[usize::from(key)];
        if down {
            // For how long it was open, the senders' clocks know; a clock that does not go on says nothing.
            let moved = if press.borrowed { press.at } else { press.own };
            let open_us = |(own, at)| if own > 0 && moved > own { moved - own } else { press.at - at };
            let bounces = !after_gap && button.open_since.is_some_and(|since| open_us(since) < debounce_us);
            button.counted = Some(!bounces);
            if bounces {
                button.ignored += 1;
                return false;
            }
            let suspect = several && !button.proved && !press.recovered;
            button.presses.push_back(Press { suspect, ..press.clone() });
            button.pressed += 1;
            return true;
        }
        // What was asked for may have been open for long.
        button.open_since = (!press.recovered).then_some((press.own, press.at));
        let counted = button.counted.filter(|_| !after_gap);
        if counted == Some(false) {
            button.ignored += 1;
            return false;
        }
        button.proved |= counted == Some(true);
        button.releases.push_back(Release { at: press.at, behind: button.pressed });
        true
    }

    /// What half a frame has said is not known, for its other half is lost.
    fn take_back(&mut self) {
        for (key, down, after_gap) in std::mem::take(&mut self.edges).into_iter().rev() {
            let button = &mut self.buttons[usize::from(key)];
            button.pressed_again = after_gap && down;
            button.state = match (after_gap, down) {
                (true, _) => Know::Unsure,
                (false, true) => Know::Up,
                (false, false) => Know::Down,
            };
        }
    }

    /// The keys that are down after a gap (a bit each), known at `now`.
    pub(crate) fn resync(&mut self, down: u16, now: u64) {
        self.gap = false;
        // Half a frame: to ask has taken its other half.
        self.take_back();
        let at = now.max(self.last);
        let known = self.known_up_to();
        self.gaps.push((known, at));
        let rank = if at == self.last { self.rank + 1 } else { 0 };
        (self.last, self.last_is_own, self.rank) = (at, false, rank);
        let back_us = at.saturating_sub(known);
        let press = Press {
            at,
            rank,
            stale: false,
            recovered: true,
            own: 0,
            borrowed: false,
            suspect: false,
            back_us,
            reach_us: None,
            physical: None,
            made: 0,
            prompt: false,
        };
        for key in 0..self.buttons.len() as u16 {
            let button = &mut self.buttons[usize::from(key)];
            let is = down >> key & 1 == 1;
            let was = button.state != Know::Up;
            let again = std::mem::take(&mut button.pressed_again) && button.state == Know::Unsure;
            button.state = if is { Know::Down } else { Know::Up };
            if was != is || (again && is) {
                self.edge(key, is, true, false, &press);
            }
        }
    }

    pub(crate) fn set_drained(&mut self, pass: u64) {
        self.drained = self.drained.max(pass);
        (self.backlog, self.is_behind) = (None, false);
    }

    pub(crate) fn set_backlog(&mut self, pass: u64, short: u64) {
        let passes = self.backlog.unwrap_or(0) + 1;
        self.backlog = Some(passes);
        // For who is read slower than it sends nobody waits longer than W, and three passes; but for all that was there when
        // the reader was short.
        let known = self.drained.max(self.flushed).max(self.last.max(self.noted) - 1);
        self.is_behind |= passes > 3 && pass > known + self.settle_us && known >= short;
    }

    /// Buttons by number.
    pub(crate) fn by_number(self, first: u16) -> (BTreeMap<u16, Button>, Self) {
        let mut rest = self;
        let buttons = std::mem::take(&mut rest.buttons);
        ((first..).zip(buttons).collect(), rest)
    }
}
