//! Does the log say what it must? In: records whose lines were verified, in order. Out: each [`Discrepancy`] between what a
//! record claims and what follows from the records before it. Guarantee: everything that can be derived is derived again,
//! with the code that decided it: who was connected, delays, draws, photo finishes, marks, proved and stuck buttons. So
//! a log that was forged as a whole, chain and all, has to tell a story without a contradiction.

mod group;

use std::collections::{BTreeSet, VecDeque};

use buzzer_core::quote::listed;
use group::{Group, Told};
use serde::Serialize;

use crate::game::button::STUCK_US;
use crate::game::draw::Entrant;
use crate::game::photo::{self, Photos};
use crate::game::state::State;
use crate::record::pool_id::PoolId;
use crate::record::{Fact, Flag, Record, Rival, Subject};

/// A claim that does not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seq {seq}: {what}")]
pub struct Discrepancy {
    /// The record that claims it.
    pub seq: u64,
    /// What is wrong, in words.
    pub what: String,
}

/// What was derived once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Derived {
    /// Records behind the first `start`.
    pub records: u64,
    /// Presses: whether they counted, delays, when they are final, photo finishes.
    pub presses: u64,
    /// Those of them that name a press which they may precede.
    #[serde(rename = "photo_finishes")]
    pub photos: u64,
    /// Draws.
    pub draws: u64,
    /// Late presses.
    pub late: u64,
    /// What was said of a button: proved, stuck, chattering.
    #[serde(rename = "button_marks")]
    pub marks: u64,
}

impl Derived {
    const fn take(&mut self, fact: &Fact) {
        self.records += 1;
        match fact {
            Fact::Press { photo, .. } => {
                self.presses += 1;
                self.photos += !photo.is_empty() as u64;
            }
            Fact::Draw { .. } => self.draws += 1,
            Fact::Late { .. } => self.late += 1,
            Fact::Proved { .. } | Fact::Stuck { .. } | Fact::Chattering { .. } => self.marks += 1,
            _ => {}
        }
    }
}

/// Folds a log and compares.
#[derive(Debug, Default)]
pub struct Audit {
    state: State,
    photos: Photos,
    /// Presses that came late and have to be said so behind their group.
    late: VecDeque<u64>,
    group: Group,
    /// The latest stamp of a press in this start.
    latest_us: u64,
    /// A button of which too many edges did not count: the next record has to say so.
    chatters: Option<(u32, u16)>,
    /// A release that showed a button to work: the next record has to say so.
    proves: Option<(u32, u16)>,
    has_started: bool,
    /// The log lacks its beginning, and nothing has said yet which pools were connected then.
    is_cut: bool,
    /// The pools that the parts of an `expired` record have named so far.
    connected: BTreeSet<PoolId>,
    found: Vec<Discrepancy>,
    derived: Derived,
    /// The record before.
    last_seq: u64,
}

impl Audit {
    /// The state after the last record.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// How much was derived so far.
    pub const fn derived(&self) -> Derived {
        self.derived
    }

    /// Takes the next record; what does not follow is added to `found`.
    pub fn take(&mut self, record: &Record, found: &mut Vec<Discrepancy>) {
        let seq = record.seq;
        let before = std::mem::replace(&mut self.last_seq, seq);
        self.is_cut |= self.state.seq() == 0 && seq > 1;
        if !self.has_started && !matches!(record.fact, Fact::Start { .. }) {
            // A log without its beginning: what was attached and connected is not known before the next start.
            self.state.apply(record, |_| {});
            return;
        }
        self.derived.take(&record.fact);
        if !matches!(record.fact, Fact::Press { .. }) {
            let wrong = self.group.end();
            wrong.into_iter().for_each(|(seq, what)| self.say(seq, what));
        }
        self.check_marks(record);
        self.check_late(record);
        self.check(record, before);
        self.state.apply(record, |_| {});
        found.append(&mut self.found);
    }

    /// Checks what one record claims; `before`: the number of the last one.
    fn check(&mut self, record: &Record, before: u64) {
        let seq = record.seq;
        match record.fact.subject() {
            // The first begins what the others have, and the sums of the other two may come when it has ended.
            _ if matches!(
                record.fact,
                Fact::Attach { .. } | Fact::Uncounted { .. } | Fact::Chattering { .. }
            ) => {}
            Subject::Device(pool, device) => self.check_device(seq, device, pool),
            Subject::Button(pool, device, buzzer) => self.check_button(seq, device, buzzer, pool),
            Subject::Whole | Subject::Pool(_) => {}
        }
        match &record.fact {
            Fact::Start { boot, .. } => self.begin(seq, boot),
            Fact::Expired { boot: Some(boot), connected, part, parts, .. } => {
                self.check_expired(seq, boot, connected, (*part, *parts));
            }
            Fact::Attach { device, .. } if self.state.pool_of(*device).is_some() => {
                self.say(seq, format!("device {device} is attached already"));
            }
            Fact::Draw { seed, presses } => self.group.begin(seq, seed, *presses),
            Fact::Press { .. } => self.check_press(record),
            Fact::Disconnect { pool, .. } if !self.is_cut && !self.state.is_connected(pool) => {
                self.say(seq, format!("pool {pool} was not connected"));
            }
            Fact::Connect { asked_us, .. } => self.check_since(record, asked_us.unwrap_or(0)),
            Fact::Gap { since_us, .. } => self.check_since(record, *since_us),
            Fact::Lost { first_seq, last_seq } => self.check_lost(seq, before, *first_seq, *last_seq),
            Fact::Refuse { times, since_us, .. }
            | Fact::StaleStamp { times, since_us, .. }
            | Fact::ReaderStall { times, since_us, .. } => self.check_sum(record, *times, *since_us),
            Fact::Release { buzzer, device, .. } => {
                let button = self.state.buttons().get((*device, *buzzer));
                let proves = button.is_some_and(|button| !button.proved && button.pressed);
                self.proves = proves.then_some((*device, *buzzer));
            }
            Fact::Stuck { buzzer, device, .. } => {
                let button = self.state.buttons().get((*device, *buzzer));
                let since = button.and_then(|button| button.held_since_us);
                if since.is_none_or(|since| since.saturating_add(STUCK_US) > record.at_us) {
                    self.say(seq, "this button has not been down for long enough to be stuck".to_owned());
                }
            }
            Fact::Ignored { device, buzzer, edges, since_us, others, .. } => {
                self.check_since(record, *since_us);
                let (id, span_us) = ((*device, *buzzer), record.at_us.saturating_sub(*since_us));
                let is_new = *others == 0 && self.state.buttons().is_new_chatter(id, *edges, span_us);
                self.chatters = is_new.then_some(id);
            }
            _ => {}
        }
    }

    /// Another start. Of what was before only the state counts, and nobody is connected when another boot begins.
    fn begin(&mut self, seq: u64, boot: &str) {
        let (state, found) = (std::mem::take(&mut self.state), std::mem::take(&mut self.found));
        let is_other = !state.boot().is_empty() && state.boot() != boot;
        let (is_cut, derived) = (self.is_cut && !is_other, self.derived);
        *self = Self { state, found, derived, last_seq: seq, has_started: true, is_cut, ..Self::default() };
    }

    /// A record that is no matter for this: of a kind that is not known, or one that says nothing.
    pub const fn pass_over(&mut self, seq: u64) {
        self.last_seq = seq;
    }

    /// The log has no more records.
    pub fn finish(&mut self, found: &mut Vec<Discrepancy>) {
        // A group may still be on its way in a log that is being written.
        self.group = Group::default();
        found.append(&mut self.found);
    }

    fn say(&mut self, seq: u64, what: String) {
        self.found.push(Discrepancy { seq, what });
    }

    fn check_device(&mut self, seq: u64, device: u32, pool: &PoolId) {
        match self.state.pool_of(device) {
            Some(known) if known == pool => {}
            Some(known) => {
                let what = format!("device {device} serves pool {known}, not {pool}");
                self.say(seq, what);
            }
            None => self.say(seq, format!("no device {device} is attached")),
        }
    }

    fn check_button(&mut self, seq: u64, device: u32, buzzer: u16, pool: &PoolId) {
        self.check_device(seq, device, pool);
        if self.state.pool_of(device).is_some() && self.state.buttons().get((device, buzzer)).is_none() {
            self.say(seq, format!("device {device} has no buzzer {buzzer}"));
        }
    }

    /// `proved` follows the release that showed it, and `chattering` the `ignored` record, at once and nothing else.
    fn check_marks(&mut self, record: &Record) {
        let seq = record.seq;
        let (proved, chattering) = match &record.fact {
            Fact::Proved { device, buzzer, .. } => (Some((*device, *buzzer)), None),
            Fact::Chattering { device, buzzer, .. } => (None, Some((*device, *buzzer))),
            _ => (None, None),
        };
        let (proves, chatters) = (self.proves.take(), self.chatters.take());
        let name = |(device, buzzer)| format!("buzzer {buzzer} of device {device}");
        match proves.map(name) {
            _ if proves == proved => {}
            Some(name) => {
                self.say(seq, format!("{name} was proved by the release before, and no record says so"));
            }
            None => self.say(seq, "the record before this one does not prove the button".to_owned()),
        }
        match (chatters.map(name), chattering.map(name)) {
            _ if chatters == chattering => {}
            (Some(name), _) => self.say(seq, format!("{name} chatters, and no record says so")),
            (None, name) => self.say(seq, format!("{} does not chatter", name.unwrap_or_default())),
        }
    }

    /// A loss names the numbers between the record before and its own, and no other.
    fn check_lost(&mut self, seq: u64, before: u64, first_seq: u64, last_seq: u64) {
        if before.checked_add(1) != Some(first_seq)
            || last_seq.checked_add(1) != Some(seq)
            || first_seq > last_seq
        {
            self.say(
                seq,
                format!(
                    "said that {first_seq} to {last_seq} are lost, but seq {before} stands directly before it"
                ),
            );
        }
    }

    fn check_since(&mut self, record: &Record, since_us: u64) {
        if since_us > record.at_us {
            self.say(record.seq, format!("it began {} µs after its own time", since_us - record.at_us));
        }
    }

    /// The state that it says is the one that follows, or all that is known of it.
    fn check_expired(&mut self, seq: u64, boot: &str, connected: &[PoolId], (part, parts): (u32, u32)) {
        if part == 1 {
            self.connected =
                if self.is_cut { BTreeSet::new() } else { self.state.connected().cloned().collect() };
        }
        let is_all_known = connected.iter().all(|pool| self.is_cut || self.connected.remove(pool));
        let is_whole = part < parts || self.connected.is_empty();
        if boot != self.state.boot() || !is_all_known || !is_whole || self.state.devices().next().is_some() {
            self.say(
                seq,
                "the state that it says is not the one that follows from the records before it".to_owned(),
            );
        }
        self.is_cut &= part < parts;
    }

    fn check_sum(&mut self, record: &Record, times: u32, since_us: Option<u64>) {
        if (times > 1) != since_us.is_some() || times == 0 {
            self.say(
                record.seq,
                "a sum says how often and since when, and what happened once neither".to_owned(),
            );
        }
        self.check_since(record, since_us.unwrap_or(0));
    }

    /// A `late` record for each such press of a group, in their order, behind the group.
    fn check_late(&mut self, record: &Record) {
        match &record.fact {
            Fact::Press { .. } => {}
            Fact::Late { press, behind_us, .. } => {
                if self.late.pop_front() != Some(*press) {
                    self.say(record.seq, format!("seq {press} is no press that came late here"));
                }
                // The latest that had left may be no press.
                let least_us = self.latest_us.saturating_sub(record.at_us);
                if *behind_us < least_us {
                    let what =
                        format!("said to be {behind_us} µs behind, but it is {least_us} µs behind a press");
                    self.say(record.seq, what);
                }
            }
            _ => {
                if let Some(press) = self.late.pop_front() {
                    self.late.clear();
                    self.say(record.seq, format!("seq {press} came late, and no record says by how much"));
                }
            }
        }
    }

    fn check_press(&mut self, record: &Record) {
        let Record { seq, at_us, ref fact } = *record;
        let Fact::Press { pool, buzzer, device, delay_us, final_at_us, flags, photo, photo_more, tie, frame } =
            fact
        else {
            return;
        };
        let (buzzer, device, frame) = (*buzzer, *device, *frame);
        if !self.is_cut && !self.state.is_connected(pool) {
            self.say(seq, format!("pool {pool} is not connected, its presses do not count"));
        }
        let (is_late, without_stamp) = (flags.has(&Flag::Late), flags.is_without_stamp());
        let delay = self.state.delay(device);
        let ([min_us, max_us], own_us) = (*delay_us, [delay.min_us, delay.max_us]);
        // Without a stamp of its own it may be older, and with a receipt stamp also younger, by a span that the log does not
        // name.
        let is_receipt = self.state.is_receipt(device);
        let is_wrong = |more_us: i64, may: bool| more_us < 0 || (more_us > 0 && !may);
        if is_wrong(delay.min_us.saturating_sub(min_us), is_receipt && !without_stamp)
            || is_wrong(max_us.saturating_sub(delay.max_us), is_receipt || without_stamp)
        {
            self.say(seq, format!("a delay of {delay_us:?} µs, but its device has {own_us:?} µs"));
        }
        let due_us = self.state.final_at_us(at_us, *delay_us);
        if !self.is_cut && *final_at_us != due_us {
            self.say(seq, format!("said to be final at {final_at_us} µs, but that is {due_us} µs"));
        }
        if at_us < self.latest_us && !is_late {
            self.say(seq, format!("told after a press of {} µs, and not marked late", self.latest_us));
        }
        self.latest_us = self.latest_us.max(at_us);
        let entrant = Entrant { pool: pool.clone(), buzzer, device, frame };
        let told = Told { seq, at_us, without_stamp, is_late, tie: *tie, entrant };
        if let Some(what) = self.group.take(told) {
            self.say(seq, what);
        }
        let press = photo::Press { at_us, device, frame, delay, own_us: *delay_us, curve: None };
        self.check_photo(seq, press, photo, *photo_more);
        if is_late {
            self.late.push_back(seq);
        }
    }

    fn check_photo(&mut self, seq: u64, press: photo::Press, said: &[Rival], said_more: bool) {
        let expected = self.photos.of(&press);
        // A chance comes from a table that the log does not hold; what is certain, the log proves.
        let fits = |(rival, expected): (&Rival, &Rival)| {
            let is_chance = rival.chance_permille.is_none_or(|chance| (1..=1000).contains(&chance));
            let is_sure = |rival: &Rival| rival.chance_permille == Some(1000);
            rival.seq == expected.seq && is_chance && is_sure(rival) == is_sure(expected)
        };
        let count = said.len() == expected.rivals.len() && said_more == expected.more;
        if !count || !said.iter().zip(&expected.rivals).all(fits) {
            let words = |rival: &Rival| match rival.chance_permille {
                Some(1000) => format!("{} (reversed)", rival.seq),
                _ => rival.seq.to_string(),
            };
            let list = |rivals: &[Rival], more| {
                format!("[{}]{}", listed(rivals.iter().map(words)), if more { " and more" } else { "" })
            };
            let (said, expected) = (list(said, said_more), list(&expected.rivals, expected.more));
            self.say(seq, format!("said to be in a photo finish with {said}, but that is with {expected}"));
        }
        self.photos.tell(seq, press);
    }
}
