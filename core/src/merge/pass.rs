//! One pass over all sources. In: the clocks of the wait before it, the sources that it named, requests and commands. Out: events in the
//! sink, in kernel-time order, one wake-up per batch, and what comes next ([`Next`]). Guarantee: a source has at most
//! [`READS_MAX`] reads a pass, and requests and commands are taken only while there is room for what they make, so a flooding source
//! cannot starve the rest; what it has not been read of holds up the rest for W at most, or three passes, or until that is
//! read which the kernel kept while the reader was short ([`crate::press::stamp::is_short`]). Nothing is allocated but for an attachment.
//!
//! A pass: take commands and requests, drain the sources, let go of what is due at T - W ([`crate::merge::order`]), where T is the clock read
//! *before* draining; the order's proof stands on that.

mod heap;
mod slot;

use std::io::Cursor;

use crate::event::{DeviceId, Event, EventKind, Gone};
use crate::merge::order::Released;
use crate::merge::source::{NewSource, PassRequest, Sink, Sources};
use crate::press::stamp::{Stamps, is_short};
use crate::press::stream::{Stream, StreamOptions};
use crate::press::waits::{Wait, Waits};
use crate::time::{KernelTime, Micros};
use heap::Heap;
pub(crate) use slot::Clock;
use slot::{Drained, Reads, Slot};

/// Reads from one source in one pass.
pub const READS_MAX: usize = 64;
/// Reads in one pass, of all sources together.
const PASS_READS_MAX: usize = 512;
/// Requests taken in one pass: each costs as much as some reads.
const PASS_REQUESTS_MAX: usize = 64;
/// With a full ring there is nothing to wait for but time: the server is draining it.
const RETRY_US: Micros = Micros::from_ms(1);

/// What to do after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Another pass must follow at once.
    pub again: bool,
    /// One must follow at this time.
    pub due: Option<KernelTime>,
    /// It was the last one: it was asked to stop and nothing waits but timers.
    pub is_over: bool,
}

/// What is known between two passes.
#[derive(Debug)]
pub struct Pass<F> {
    settle_us: Micros,
    reads_max: usize,
    /// A free slot is reused.
    slots: Vec<Option<Slot<F>>>,
    /// The slot whose turn it is to be read first.
    first: usize,
    heap: Heap,
    /// The clock of this pass; rises with every pass, so that two passes never stamp alike.
    now: KernelTime,
    /// While the ring is full: whose event found no room, and the most that waited.
    ring_full: Option<(DeviceId, usize)>,
    /// While the heap is full, until half of it is free again: the first device that was not read, and since when.
    heap_full: Option<(DeviceId, KernelTime)>,
    /// Until this pass it could not read as it should.
    short: bool,
    waits: Waits,
    stopping: bool,
}

impl<F> Pass<F> {
    /// Without sources, with the settle window W. `reads_max`: as many reads has a source in a pass ([`READS_MAX`]).
    pub fn new(settle_us: Micros, reads_max: usize) -> Self {
        Self {
            settle_us,
            reads_max,
            slots: Vec::new(),
            first: 0,
            heap: Heap::new(settle_us),
            now: KernelTime::ZERO,
            ring_full: None,
            heap_full: None,
            short: false,
            waits: Waits::default(),
            stopping: false,
        }
    }

    /// The source of this slot has something to read.
    pub fn set_ready(&mut self, slot: usize) {
        if let Some(Some(source)) = self.slots.get_mut(slot) {
            source.ready = true;
        }
    }

    /// How many events wait.
    pub fn waiting(&self) -> usize {
        self.heap.waiting()
    }

    /// Whether a wait that may sleep must be preceded by a look that does not ([`crate::press::waits`]).
    pub fn must_look(&self) -> bool {
        self.has(|stamps| stamps == Stamps::Receipt)
    }

    fn has(&self, of: impl Fn(Stamps) -> bool) -> bool {
        self.slots.iter().flatten().any(|source| of(source.stream.stamps()))
    }

    /// One pass, behind that wait.
    pub fn pass<S: Sources<Fd = F>>(&mut self, wait: Wait, sources: &mut S, sink: &mut impl Sink) -> Next {
        let last = self.now;
        self.now = wait.pass.max(last + Micros::from_us(1));
        self.waits.end(Wait { pass: self.now, ..wait });
        let has_room = self.ring_full.is_none() && self.heap_full.is_none();
        self.short = is_short(self.now.since(last), has_room);
        let shared_out = self.take_commands(sources) | self.take_requests(sources);
        let (busy, drained_at) = self.drain(sources, sink);
        let (had_room, due) = self.release(drained_at, sources, sink);
        // A full heap is waited out with the timer, not by spinning; and a request that found no room waits for the events
        // that have it, hence for the timer.
        let may_go_on = (shared_out || self.heap.is_idle()) && !self.stopping;
        let may_take = sources.has_requests() || self.heap.has_room_for_command() && sources.has_commands();
        let again = busy && had_room || may_go_on && may_take;
        if !again && self.has(|stamps| stamps != Stamps::Sender) {
            // Behind the wake-up of the server, because after an idle time this takes as long as a press (13 µs with cold
            // caches).
            self.waits.settle(sources.mark().counted_us());
        }
        Next { again, due, is_over: self.stopping && self.heap.is_idle() }
    }

    /// Takes commands while they have room; whether the pass has had its share of them.
    fn take_commands(&mut self, sources: &mut impl Sources) -> bool {
        for _ in 0..PASS_REQUESTS_MAX {
            if self.stopping || !self.heap.has_room_for_command() {
                return false;
            }
            let Some(command) = sources.take_command() else { return false };
            self.heap.push_command(command);
        }
        true
    }

    /// Takes requests while they have room; whether the pass has had its share of them.
    fn take_requests<S: Sources<Fd = F>>(&mut self, sources: &mut S) -> bool {
        for _ in 0..PASS_REQUESTS_MAX {
            if self.stopping {
                return false;
            }
            let heap = &self.heap;
            // The end of a source has its place already.
            let request = sources.take_request(|request| match request {
                PassRequest::Attach(attachment) => heap.has_room_for(attachment.events()),
                PassRequest::Adopt(all) => {
                    heap.has_room_for(all.iter().map(|(source, _)| source.events()).sum())
                }
                PassRequest::Detach(_) | PassRequest::Stop => true,
            });
            match request {
                None => return false,
                Some(PassRequest::Attach(attachment)) => self.attach(attachment, None, sources),
                Some(PassRequest::Adopt(all)) => {
                    all.into_iter().for_each(|(source, until)| self.attach(source, Some(until), sources));
                }
                Some(PassRequest::Detach(device)) => {
                    let is_it = |slot: &Option<Slot<F>>| {
                        slot.as_ref().is_some_and(|source| source.stream.device() == device)
                    };
                    if let Some(slot) = self.slots.iter().position(is_it) {
                        self.detach(slot, Gone::Released, sources);
                    }
                }
                Some(PassRequest::Stop) => {
                    self.stopping = true;
                    for slot in 0..self.slots.len() {
                        self.detach(slot, Gone::Released, sources);
                    }
                }
            }
        }
        true
    }

    /// `kept`: until when nobody read it, though it was open.
    fn attach<S: Sources<Fd = F>>(
        &mut self,
        attachment: NewSource<F>,
        kept: Option<KernelTime>,
        sources: &mut S,
    ) {
        let stamped = attachment.stamps != Stamps::Receipt;
        let (device, since, drained) = (attachment.device, attachment.since, attachment.drained);
        let event = |kind| Event { at: since, device, more: false, kind };
        self.heap.push(event(EventKind::Attached), stamped);
        for buzzer in attachment.held_buzzers() {
            self.heap.push(event(EventKind::Held { buzzer }), stamped);
        }
        self.heap.sources += 1;
        let NewSource { fd, stamps, keys, debounce_us, held, read_ahead, .. } = attachment;
        let settle_us = self.settle_us;
        let options = StreamOptions { device, stamps, since, drained, keys, held, debounce_us, settle_us };
        let mut stream = Stream::new(&options);
        kept.into_iter().for_each(|until| stream.set_kept(until));
        let slot = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        let watched = sources.watch(&fd, slot);
        // What came before it is watched is found by reading once.
        self.slots[slot] = Some(Slot { fd, stream, read_ahead: Cursor::new(read_ahead), ready: true });
        if let Err(gone) = watched {
            self.detach(slot, gone, sources);
        }
    }

    fn detach<S: Sources<Fd = F>>(&mut self, slot: usize, gone: Gone, sources: &mut S) {
        let Some(source) = self.slots[slot].take() else { return };
        let stamped = source.is_stamped();
        // Behind everything the device ever said.
        let at = sources.now().max(source.stream.read_up_to());
        let device = source.stream.device();
        sources.close(source.fd);
        self.heap.sources -= 1;
        self.heap.push(Event { at, device, more: false, kind: EventKind::Detached(gone) }, stamped);
    }

    /// Reads the sources. Whether there is more to read, and up to when all are known.
    fn drain<S: Sources<Fd = F>>(&mut self, sources: &mut S, sink: &mut impl Sink) -> (bool, KernelTime) {
        let mut drained_at = self.now;
        let mut busy = false;
        let mut unread = None;
        let mut reads = Reads { left: PASS_READS_MAX, max: self.reads_max };
        for slot in (self.first..self.slots.len()).chain(0..self.first) {
            let Some(source) = &mut self.slots[slot] else { continue };
            let stamped = source.is_stamped();
            // A stamp from elsewhere may be older than another's that was named first, so all of these are drained; the
            // reader's own stamps cannot, so of those only the ones that have something.
            if !stamped && !source.ready {
                continue;
            }
            if !self.heap.has_room() {
                unread = unread.or(Some((slot, source.stream.device())));
            }
            if self.short {
                source.stream.set_short(self.now);
            }
            match source.drain((self.now, &self.waits), sources, &mut reads, &mut self.heap) {
                Drained::Empty => {
                    source.ready = false;
                    source.stream.set_drained(self.now);
                }
                Drained::More => {
                    source.ready = true;
                    source.stream.set_backlog();
                    busy = true;
                    if stamped && let Some(up_to) = source.stream.holds_at(self.now, self.settle_us) {
                        drained_at = drained_at.min(up_to);
                    }
                }
                Drained::Gone(gone) => self.detach(slot, gone, sources),
            }
        }
        if let Some((slot, device)) = unread {
            if self.heap_full.is_none() {
                sink.heap_is_full();
                self.heap_full = Some((device, self.now));
            }
            // A full heap must not wait for what it keeps from being read: it lets go of all it has, and what was still
            // unread comes late and says so. Who was not read is the first to be read when there is room.
            self.first = slot;
            drained_at = self.now + self.settle_us;
        } else if self.heap.has_ample_room()
            && let Some((device, since)) = self.heap_full.take()
        {
            let full_us = u32::try_from(self.now.since(since).as_us()).unwrap_or(u32::MAX);
            self.say(device, EventKind::HeapFull { full_us });
        }
        (busy, drained_at)
    }

    /// A word of the pass itself.
    fn say(&mut self, device: DeviceId, kind: EventKind) {
        self.heap.push(Event { at: self.now, device, more: false, kind }, false);
    }

    /// Lets go of what is due and wakes the server. Whether there was room for all of it, and when the next is due.
    fn release(
        &mut self,
        drained_at: KernelTime,
        sources: &mut impl Sources,
        sink: &mut impl Sink,
    ) -> (bool, Option<KernelTime>) {
        let mut published = false;
        let mut waiting_for_room = None;
        let released = self.heap.release(drained_at, |event| {
            let has_room = sink.push(event, self.now);
            if has_room {
                published = true;
            } else {
                waiting_for_room = Some(event.device);
            }
            has_room
        });
        if published {
            sink.wake();
        }
        match released {
            Released::AllDue(due) => {
                if self.heap.has_room_for_own()
                    && let Some((device, waiting_max)) = self.ring_full.take()
                {
                    let waiting_max = u32::try_from(waiting_max).unwrap_or(u32::MAX);
                    self.say(device, EventKind::RingFull { waiting_max });
                    return (true, Some(self.now));
                }
                (true, due)
            }
            Released::NoRoom => {
                let waiting = self.heap.waiting();
                match (&mut self.ring_full, waiting_for_room) {
                    (Some((_, waiting_max)), _) => *waiting_max = waiting.max(*waiting_max),
                    (none, Some(device)) => {
                        sink.ring_is_full();
                        *none = Some((device, waiting));
                    }
                    (None, None) => {}
                }
                (false, Some(sources.now() + RETRY_US))
            }
        }
    }
}
