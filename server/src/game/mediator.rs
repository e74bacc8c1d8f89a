//! The mediator: events and requests in, records, news and answers out. In: events from the ring, reports on hardware,
//! clients' requests, the time. Out: [`Output`]s, in the order in which they take effect. Guarantee: pure (no clock,
//! no descriptor, no thread, no text of a protocol), so a test is a loop and a replay is a run; news follow from a record that
//! stands before them in the output, and the shell must have appended that record before it tells anybody.

mod asked;
mod devices;
mod notes;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use buzzer_core::device::claim::SlotId;
use buzzer_core::device::delay::models::Curve;
use buzzer_core::event::{Buzzer, Event, EventKind, Flags};
use buzzer_core::merge::order::Command;
use buzzer_core::time::{KernelTime, Micros};

use self::asked::Asked;
pub use self::devices::Announced;
use self::notes::Notes;
use crate::game::connects::Connects;
use crate::game::group::{Group, Ordered, Placed};
use crate::game::photo;
use crate::game::photo::{Photo, Photos};
use crate::game::pool::{PoolSpec, Pools};
use crate::game::state::{News, State};
use crate::game::{Answer, ClientId};
use crate::record::pool_id::PoolId;
use crate::record::{Fact, Record};

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Append this before doing anything that follows.
    Record(Record),
    /// Tell this to all clients but these.
    TellAll(News, Vec<ClientId>),
    /// Answer one client's request.
    Tell(ClientId, Answer),
    /// Open this slot's device, now and whenever it returns.
    Want(SlotId),
    /// Leave this slot's device alone.
    Unwant(SlotId),
    /// The reader lost this device of a slot.
    Ended(u32),
    /// Stop reading this device.
    Detach(u32),
    /// Have this take its place among the events: it comes back with them.
    Command(Command),
}

/// The state machine.
#[derive(Debug)]
pub struct Mediator {
    state: State,
    pools: Pools,
    announced: BTreeMap<u32, Announced>,
    group: Group,
    photos: Photos,
    /// Of the attached devices that were measured.
    curves: BTreeMap<u32, &'static Curve>,
    /// What is on its way to its place.
    asked: Asked,
    connects: Connects,
    /// What is told as a sum.
    notes: Notes,
    /// The latest time of an event that has left the reader.
    latest: KernelTime,
    out: VecDeque<Output>,
}

impl Mediator {
    /// A mediator that goes on from `state` (the fold of the log) with the `start` record of this process.
    pub fn new(state: State, specs: Vec<PoolSpec>, start: Fact, now: KernelTime) -> Self {
        let mut mediator = Self {
            state,
            pools: Pools::new(specs),
            announced: BTreeMap::new(),
            curves: BTreeMap::new(),
            group: Group::default(),
            photos: Photos::default(),
            asked: Asked::default(),
            connects: Connects::default(),
            notes: Notes::default(),
            latest: KernelTime::ZERO,
            out: VecDeque::new(),
        };
        mediator.record(now, start);
        mediator.forget_pools(now);
        let specs: Vec<PoolSpec> = mediator.pools.iter().cloned().collect();
        for spec in specs {
            // Nothing is older than this process, so each is in its place.
            if spec.autoconnect && !mediator.state.is_connected(&spec.id) {
                mediator.connect_always(&spec.id, now, now);
            }
            mediator.want_connected(&spec);
        }
        mediator
    }

    /// The state as the log tells it.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The pools of this box.
    pub const fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Mediator::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<KernelTime> {
        let stuck = self.state.buttons().stuck_at_us().map(KernelTime::from_us);
        [self.asked.due(), self.connects.due(), self.notes.next_due(), stuck].into_iter().flatten().min()
    }

    /// An event left the ring. `seed`: 8 random bytes, for a draw.
    pub fn handle_event(&mut self, event: Event, seed: impl FnOnce() -> [u8; 8]) {
        self.latest = self.latest.max(event.at);
        // Never between the events of one stamp (`order.rs`).
        if let EventKind::Command { id, .. } | EventKind::Timer { id, .. } = event.kind {
            return self.handle_place(id, event.at);
        }
        let (state, announced) = (&self.state, &self.announced);
        let pool_of = |event: &Event| {
            let device = event.device.get();
            // A press may carry the very stamp of its device's attachment, which is in the same group then.
            let coming = || announced.get(&device).map(|announced| &announced.pool);
            state.pool_of(device).or_else(coming).filter(|pool| state.is_connected(pool)).cloned()
        };
        if let Some(group) = self.group.push(event, pool_of, seed) {
            self.handle_group(group);
        }
    }

    fn handle_group(&mut self, group: Ordered) {
        for event in group.uncounted {
            if let EventKind::Press { buzzer, .. } = event.kind {
                self.notes.add_uncounted((event.device.get(), buzzer.0), event.at);
            }
        }
        group.before.into_iter().for_each(|event| self.handle_other(event));
        let mut draw = None;
        if let (Some(seed), Some(first)) = (group.seed, group.presses.first()) {
            let seed = format!("{:016x}", u64::from_be_bytes(seed));
            let presses = group.presses.iter().filter(|press| press.tied).count();
            let presses = u32::try_from(presses).unwrap_or(u32::MAX);
            draw = Some(self.record(first.event.at, Fact::Draw { seed, presses }));
        }
        let mut late = Vec::new();
        for placed in group.presses {
            let (at, device, pool) = (placed.event.at, placed.entrant.device, placed.entrant.pool.clone());
            let (flags, back_us, early_us) = match placed.event.kind {
                EventKind::Press { flags, back_us, early_us, .. } => (flags, back_us, early_us),
                _ => (Flags::NONE, 0, 0),
            };
            let press = self.press(placed, flags, (back_us, early_us), draw);
            if flags.has(Flags::LATE) {
                // What has a stamp, and is ordered by the time it was read, was late by that stamp.
                let back_us = if flags.is_without_stamp() { back_us } else { 0 };
                let behind_us = self.latest.since(at - Micros::from_us(back_us.into())).as_us();
                late.push((at, Fact::Late { device, pool, press, behind_us }));
            }
        }
        // Behind all of them, so that the presses of a draw stand together.
        for (at, fact) in late {
            self.record(at, fact);
        }
        group.after.into_iter().for_each(|event| self.handle_other(event));
    }

    /// Tells a press and gives its `seq`.
    fn press(&mut self, placed: Placed, flags: Flags, off_us: (u32, u32), draw: Option<u64>) -> u64 {
        let (at, device, frame) = (placed.event.at, placed.entrant.device, placed.entrant.frame);
        let delay = self.state.delay(device);
        let own_us = delay.of_press(at.as_us(), flags.is_without_stamp(), off_us);
        let curve = self.curves.get(&device).copied();
        let press = photo::Press { at_us: at.as_us(), device, frame, delay, own_us, curve };
        let Photo { rivals: photo, more } = self.photos.of(&press);
        let fact = Fact::Press {
            pool: placed.entrant.pool,
            buzzer: placed.entrant.buzzer,
            device,
            delay_us: own_us,
            final_at_us: self.state.final_at_us(at.as_us(), own_us),
            flags: flags.into(),
            photo,
            photo_more: more,
            tie: draw.filter(|_| placed.tied),
            frame,
        };
        let seq = self.record(at, fact);
        self.photos.tell(seq, press);
        seq
    }

    /// Everything that is no press.
    fn handle_other(&mut self, event: Event) {
        let (at, device) = (event.at, event.device.get());
        match event.kind {
            EventKind::Attached => return self.handle_attached(device, at),
            EventKind::Detached(gone) => return self.handle_detached(device, gone, at),
            EventKind::RingFull { waiting_max } => return self.note(at, Fact::RingFull { waiting_max }),
            EventKind::HeapFull { full_us } => {
                return self.note(at, Fact::HeapFull { full_us: full_us.into() });
            }
            EventKind::Held { buzzer } => return self.handle_held(device, buzzer.0, at),
            _ => {}
        }
        let Some(pool) = self.state.pool_of(device).filter(|pool| self.state.is_connected(pool)).cloned()
        else {
            return;
        };
        match event.kind {
            EventKind::Release { buzzer: Buzzer(buzzer) } => {
                let button = self.state.buttons().get((device, buzzer));
                // A key held since before the connect proves nothing: it was not seen going down.
                let proves = button.is_some_and(|button| !button.proved && button.pressed);
                self.record(at, Fact::Release { pool: pool.clone(), buzzer, device });
                if proves {
                    self.record(at, Fact::Proved { pool, buzzer, device });
                }
            }
            EventKind::ReaderStall { late_us } => {
                let late_us = late_us.into();
                self.note(at, Fact::ReaderStall { device, pool, late_us, times: 1, since_us: None });
            }
            EventKind::StaleStamp { stamp } => {
                let stamp_us = stamp.as_us();
                self.note(at, Fact::StaleStamp { device, pool, stamp_us, times: 1, since_us: None });
            }
            EventKind::Ignored { buzzer, down } => self.notes.add_ignored((device, buzzer.0), at, down),
            EventKind::Gap { since } => self.note(at, Fact::Gap { device, pool, since_us: since.as_us() }),
            _ => {}
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: KernelTime) {
        self.tell_notes(now);
        for (device, buzzer) in self.state.buttons().newly_stuck(now.as_us()) {
            if let Some(pool) = self.state.pool_of(device).cloned() {
                self.record(now, Fact::Stuck { pool, buzzer, device });
            }
        }
        self.time_out(now);
        self.settle(now, false);
    }

    /// The process has to do without something that it asked the kernel for.
    pub fn handle_degraded(&mut self, what: &str, reason: String, now: KernelTime) {
        self.record(now, Fact::Degraded { what: what.to_owned(), reason });
    }

    /// The process ends because it was asked to.
    pub fn handle_stop(&mut self, now: KernelTime) {
        self.end_notes(now);
        self.record(now, Fact::Stop {});
    }

    /// What the configuration has no more is connected no longer. A pool that no configuration names comes with its
    /// device: it may only be unplugged.
    fn forget_pools(&mut self, now: KernelTime) {
        let is_gone =
            |pool: &&PoolId| self.pools.get(pool.as_str()).is_none() && !self.pools.may_appear(pool);
        let gone: Vec<PoolId> = self.state.connected().filter(is_gone).cloned().collect();
        for pool in gone {
            self.record(now, Fact::Disconnect { pool, by: "configuration".to_owned() });
        }
    }

    /// What is connected, from before or because it always is, is opened without being asked.
    fn want_connected(&mut self, spec: &PoolSpec) {
        if self.state.is_connected(&spec.id) {
            self.out.extend(spec.slots.iter().flatten().map(|slot| Output::Want(*slot)));
        }
    }

    fn record(&mut self, at: KernelTime, fact: Fact) -> u64 {
        self.record_for(at, fact, &[])
    }

    /// Makes a record, folds it into the state, and tells its news to all but `askers`.
    fn record_for(&mut self, at: KernelTime, fact: Fact, askers: &[ClientId]) -> u64 {
        let seq = self.state.seq() + 1;
        let record = Record { seq, at_us: at.as_us(), fact };
        let mut news: Vec<News> = Vec::new();
        self.state.apply(&record, |item| news.push(item));
        self.out.push_back(Output::Record(record));
        self.out.extend(news.into_iter().map(|item| Output::TellAll(item, askers.to_vec())));
        seq
    }
}
