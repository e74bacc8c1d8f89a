//! Many devices, one order. In: events of every device, each device's in its own order, with the time that counts.
//! Out: one stream in kernel-time order. Guarantee: if every event became visible within the settle window W of its
//! stamp, what leaves is sorted by stamp and not by the order of the reads; an event that comes later than that leaves at
//! once, flagged `late`, and what has left is never changed. No event is overtaken by what is pushed more than
//! 4 × [`WAITING_MAX`] events later, however old its stamp says it is. Events of one stamp leave as one group. A device counts
//! from when it was pushed as attached: with one device nothing is held, so what a second one saw while it was being opened
//! (a few ms) may be late.
//!
//! A command is ordered by the time at which it was asked for, a timer by its deadline, both before the presses of that µs.
//! Presses never wait for one that may still come: if something later has left already, it takes that time, and is never late.
//! It is let go of like a press that any open device may precede, a timer also when there is none; what is stamped behind it
//! waits with it. It never stands inside of a group. What the reader itself says of a device (that it is attached, which keys are
//! held then, that it is gone) takes the time of what has left in the same way.
//!
//! Why W is needed: the kernel stamps a frame before it makes it readable (`evdev_events` against
//! `evdev_pass_values`), so a device on another CPU may show a later stamp first. Proof of the guarantee: `release`
//! lets go of stamps up to T - W, where T was read before every device was drained; an event with such a stamp was
//! visible by T, hence was read in this pass or an earlier one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::event::{DeviceId, Event, EventKind, Flags};
use crate::time::{KernelTime, Micros};

/// Events that can wait here: for the window to pass or for room in the ring. 1.5 MiB, all of it resident.
pub const WAITING_MAX: usize = 32_768;
/// Events of one group at most, which the server has to keep until it is whole. What a sender says beyond that with the
/// same stamp is late.
const GROUP_MAX: usize = WAITING_MAX;

/// What waits can be overtaken by so many events that come later, and not by more than twice as many.
const OVERTAKEN_MAX: usize = 2 * WAITING_MAX;

/// Commands and timers that can wait at once.
const COMMANDS_MAX: usize = 1024;

/// What goes behind the group that is leaving, among what has its stamp; an event; what goes before. Above the arrival's number.
const BEHIND_GROUP: u64 = 2 << 62;
const EVENT: u64 = 1 << 62;
const BEFORE: u64 = 0;

/// The k-way merge.
#[derive(Debug)]
pub struct Order {
    settle_us: Micros,
    waiting: BinaryHeap<Reverse<Waiting>>,
    arrivals: u64,
    /// Attached devices whose stamps come from elsewhere: only they can show an earlier stamp later.
    stamped: usize,
    /// The latest stamp that has left; that of a command or timer.
    last: KernelTime,
    last_command: KernelTime,
    /// Commands and timers that wait, and the timers among them.
    commands: usize,
    timers: usize,
    /// The latest turn so far, as it was when [`OVERTAKEN_MAX`] events were last counted, and one such count before.
    latest: [KernelTime; 3],
    /// The stamp of the group that is leaving: more of it waits.
    open: Option<KernelTime>,
    /// How many events of it have left.
    open_events: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    /// The event's stamp; or, if that is later, the latest turn of those that came long before.
    turn: KernelTime,
    event: Event,
    /// Its place among what has its turn, twice its number, and one if it is stamped.
    arrival: u64,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Arrival only keeps each device's own stream together: within a stamp the order of devices means nothing,
        // and a tie is drawn by the server.
        (self.turn, self.arrival).cmp(&(other.turn, other.arrival))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A command, or a timer, on its way to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its number.
    pub id: u64,
    /// When it was asked for; the deadline of a timer.
    pub at: KernelTime,
    /// A timer is let go of when the clock is W past its deadline, a command when no device can precede it.
    pub is_timer: bool,
}

/// Why [`Order::release`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Everything that was due has left; the rest is due at that time, or nothing waits.
    AllDue(Option<KernelTime>),
    /// There was no room where it should go.
    NoRoom,
}

impl Order {
    /// An order with settle window W = `settle_us`.
    pub fn new(settle_us: Micros) -> Self {
        Self {
            settle_us,
            waiting: touched_heap(),
            arrivals: 0,
            stamped: 0,
            last: KernelTime::ZERO,
            last_command: KernelTime::ZERO,
            commands: 0,
            timers: 0,
            latest: [KernelTime::ZERO; 3],
            open: None,
            open_events: 0,
        }
    }

    /// How many events can still be pushed.
    pub fn room(&self) -> usize {
        WAITING_MAX - self.waiting.len()
    }

    /// How many events wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a command or a timer can be pushed, with as many places left as others need.
    pub fn has_room_for_command(&self, others: usize) -> bool {
        self.commands < COMMANDS_MAX && self.room() > others
    }

    /// Whether nothing waits but timers.
    pub fn is_idle(&self) -> bool {
        self.waiting.len() == self.timers
    }

    /// Takes a command that was asked for at this time, or a timer with this deadline.
    pub fn push_command(&mut self, command: Command) {
        let Command { id, at, is_timer } = command;
        debug_assert!(self.has_room_for_command(0), "there is room for what is taken");
        self.commands += 1;
        self.timers += usize::from(is_timer);
        let moved_us = 0;
        let kind =
            if is_timer { EventKind::Timer { id, moved_us } } else { EventKind::Command { id, moved_us } };
        let event = Event { at, device: DeviceId::NONE, more: false, kind };
        let (turn, place) = match self.open {
            Some(group) if at <= group => (group, BEHIND_GROUP),
            _ => (at, BEFORE),
        };
        self.waiting.push(Reverse(Waiting { turn, event, arrival: place | self.arrivals << 1 }));
        // Not counted among the arrivals that may overtake: a deadline says nothing of what comes before it.
        self.arrivals += 1;
    }

    /// Takes an event. `stamped`: its device's stamps come from elsewhere (the kernel or a sender), not from the
    /// reader's own clock.
    pub fn push(&mut self, event: Event, stamped: bool) {
        debug_assert!(self.room() > 0, "there is room for what is read");
        if event.kind == EventKind::Attached {
            self.stamped += usize::from(stamped);
        }
        let [latest, before, long_before] = &mut self.latest;
        if self.arrivals.is_multiple_of(OVERTAKEN_MAX as u64) {
            (*before, *long_before) = (*latest, *before);
        }
        // A sender that says an old stamp over and over could keep a full ring to itself.
        let turn = event.at.max(*long_before);
        *latest = turn.max(*latest);
        let arrival = EVENT | self.arrivals << 1 | u64::from(stamped);
        self.waiting.push(Reverse(Waiting { turn, event, arrival }));
        self.arrivals += 1;
    }

    /// Gives every event that is due. `drained`: each device was read until empty in a pass that began then or
    /// later. `emit` answers `false`, and takes nothing, if there is no room.
    pub fn release(&mut self, drained: KernelTime, mut emit: impl FnMut(Event) -> bool) -> Released {
        while let Some(Reverse(head)) = self.waiting.peek() {
            let Waiting { mut event, arrival, .. } = *head;
            let stamped = arrival & 1 == 1;
            let is_command = arrival & (EVENT | BEHIND_GROUP) != EVENT;
            let is_timer = matches!(event.kind, EventKind::Timer { .. });
            let left = self.last.max(self.last_command);
            // Held only for what another device might still show, or the rest of a report that the kernel cut: the parts
            // become readable one after the other, and between two a reader of higher priority can read the first.
            let others = self.stamped.saturating_sub(usize::from(stamped));
            let due = event.at + self.settle_us;
            // A command that has been passed has nothing to wait for.
            let is_held = is_timer || (others > 0 && !(is_command && event.at < left)) || event.more;
            if self.open.is_none() && is_held && due > drained {
                return Released::AllDue(Some(due));
            }
            if is_command {
                if !emit(moved(event, left)) {
                    return Released::NoRoom;
                }
                self.waiting.pop();
                self.last_command = left.max(event.at);
                self.commands -= 1;
                self.timers -= usize::from(is_timer);
                continue;
            }
            let passed = event.at < left;
            let reopened = event.at == self.last && self.open != Some(event.at);
            if let EventKind::Press { flags, .. } = &mut event.kind
                && (passed || reopened)
            {
                *flags = flags.with(Flags::LATE);
            }
            // A late event that comes between the parts of a group does not end it.
            let group = self.open.unwrap_or(event.at);
            let is_whole = self.next_at() != Some(group) || self.open_events >= GROUP_MAX;
            event.more = group != event.at || !is_whole;
            let stamp = event.at;
            // What the reader itself says is never late, as no command is: only a press can be, or what follows from one.
            if matches!(event.kind, EventKind::Attached | EventKind::Detached(_) | EventKind::Held { .. }) {
                event.at = event.at.max(left);
            }
            if !emit(event) {
                return Released::NoRoom;
            }
            self.waiting.pop();
            self.open = event.more.then_some(group);
            self.open_events = if event.more { self.open_events + 1 } else { 0 };
            self.last = self.last.max(stamp);
            if stamped && matches!(event.kind, EventKind::Detached(_)) {
                self.stamped -= 1;
            }
        }
        Released::AllDue(None)
    }

    /// The stamp of the event behind the head, unless that is a command: a group has none behind it.
    fn next_at(&self) -> Option<KernelTime> {
        // The second smallest of a binary heap is one of the root's children.
        let rest = self.waiting.as_slice();
        [rest.get(1), rest.get(2)]
            .into_iter()
            .flatten()
            .max()
            .filter(|Reverse(next)| next.event.device != DeviceId::NONE)
            .map(|Reverse(next)| next.event.at)
    }
}

/// The command or timer, at the time that it takes where `left` is the latest that has left.
fn moved(event: Event, left: KernelTime) -> Event {
    let at = event.at.max(left);
    let moved = u32::try_from(at.since(event.at).as_us()).unwrap_or(u32::MAX);
    let kind = match event.kind {
        EventKind::Timer { id, .. } => EventKind::Timer { id, moved_us: moved },
        EventKind::Command { id, .. } => EventKind::Command { id, moved_us: moved },
        kind => kind,
    };
    Event { at, kind, ..event }
}

/// An empty heap whose memory is there: a page fault in the middle of a flood would cost more than a press.
fn touched_heap() -> BinaryHeap<Reverse<Waiting>> {
    let none =
        Event { at: KernelTime::ZERO, device: DeviceId::new(0), more: false, kind: EventKind::Attached };
    let mut memory = vec![Reverse(Waiting { turn: none.at, event: none, arrival: 1 }); WAITING_MAX];
    memory.clear();
    memory.into()
}

#[cfg(test)]
mod tests;
