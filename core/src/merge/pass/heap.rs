//! What waits to leave, and the places that are kept. In: events of the sources. Out: the same events, in order
//! ([`Order`]). Guarantee: a read, or a new source, begins only with room for all it can give; the end of every source and the
//! pass's own words have a place.

use crate::event::Event;
use crate::merge::order::{Command, Order, Released, WAITING_MAX};
use crate::press::decode::FRAME_EVENTS_MAX;
use crate::press::keys::KEY_COUNT;
use crate::time::{KernelTime, Micros};

/// Records one read takes at most.
pub(super) const READ_RECORDS: usize = 64;
/// Events that a read makes at most: the release of every key in a gap, the edges of a frame that was begun before, and two
/// for a record (an edge and its release in a gap, or what is wrong with a frame's time).
const READ_EVENTS_MAX: usize = KEY_COUNT + FRAME_EVENTS_MAX + 2 * READ_RECORDS + 2;
/// Events that a new source makes at most: its beginning, every key held, its end.
const SOURCE_EVENTS_MAX: usize = KEY_COUNT + 2;
/// Places kept for the pass's own words: the ring was full, the heap was full.
const OWN_EVENTS_MAX: usize = 2;

/// The events that wait.
#[derive(Debug)]
pub(super) struct Heap {
    order: Order,
    /// Sources whose end is still to be told.
    pub(super) sources: usize,
}

impl Heap {
    pub(super) fn new(settle_us: Micros) -> Self {
        Self { order: Order::new(settle_us), sources: 0 }
    }

    /// An event on its way. `stamped`: it may be older than what other sources gave.
    pub(super) fn push(&mut self, event: Event, stamped: bool) {
        self.order.push(event, stamped);
    }

    /// A command on its way.
    pub(super) fn push_command(&mut self, command: Command) {
        self.order.push_command(command);
    }

    /// Whether a command has room, and an attachment of any size behind it.
    pub(super) fn has_room_for_command(&self) -> bool {
        self.order.has_room_for_command(self.sources + OWN_EVENTS_MAX + SOURCE_EVENTS_MAX)
    }

    /// Whether nothing waits but timers.
    pub(super) fn is_idle(&self) -> bool {
        self.order.is_idle()
    }

    /// See [`Order::release`].
    pub(super) fn release(&mut self, drained: KernelTime, emit: impl FnMut(Event) -> bool) -> Released {
        self.order.release(drained, emit)
    }

    pub(super) fn waiting(&self) -> usize {
        self.order.waiting()
    }

    /// Whether there is room again for good: a flood would make a record of every other pass else.
    pub(super) fn has_ample_room(&self) -> bool {
        self.order.waiting() < WAITING_MAX / 2
    }

    /// Whether a read's worth of events has room.
    pub(super) fn has_room(&self) -> bool {
        self.room() >= READ_EVENTS_MAX
    }

    /// Whether so many events have room.
    pub(super) fn has_room_for(&self, events: usize) -> bool {
        self.room() >= events
    }

    /// Whether the pass has room for a word of its own.
    pub(super) fn has_room_for_own(&self) -> bool {
        self.order.room() > self.sources
    }

    /// Places that are kept for nothing.
    fn room(&self) -> usize {
        self.order.room().saturating_sub(self.sources + OWN_EVENTS_MAX)
    }
}
