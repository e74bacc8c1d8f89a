//! A source being read. In: what was read ahead of it, then what it gives. Out: events in the heap, and how the source
//! stands. Guarantee: a source has at most its share of reads, and none without room for what it may give, so a flooding source
//! neither starves the rest nor loses anything here.

use std::io::{Cursor, Read};

use super::heap::{Heap, READ_RECORDS};
use crate::event::Gone;
use crate::merge::source::{Sources, Unread};
use crate::press::decode::RECORD_BYTES;
use crate::press::stamp::{ReadClock, Stamps};
use crate::press::stream::Stream;
use crate::press::waits::{Late, Waits};
use crate::time::{KernelTime, Micros};

/// The clocks of one read.
pub(crate) struct Clock<'a, L> {
    pub(crate) pass: KernelTime,
    pub(crate) read: KernelTime,
    pub(crate) waits: &'a Waits,
    pub(crate) late: L,
}

impl<L: Fn() -> Late> ReadClock for Clock<'_, L> {
    fn pass(&self) -> KernelTime {
        self.pass
    }

    fn read(&self) -> KernelTime {
        self.read
    }

    fn ran_late_us(&self) -> Micros {
        (self.late)().excuse_us()
    }

    fn empty_until(&self) -> KernelTime {
        self.waits.since(|| (self.late)().counted_us())
    }
}

/// A source that has a slot.
#[derive(Debug)]
pub(super) struct Slot<F> {
    pub(super) fd: F,
    pub(super) stream: Stream,
    /// What was read before the source came here.
    pub(super) read_ahead: Cursor<Vec<u8>>,
    /// It is named once when something comes (edge-triggered): true until a read said that there is nothing more.
    pub(super) ready: bool,
}

/// What a source has after a pass.
pub(super) enum Drained {
    Empty,
    More,
    Gone(Gone),
}

/// The reads that a pass has left.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) left: usize,
    pub(super) max: usize,
}

impl<F> Slot<F> {
    /// Whether its stamps come from elsewhere, so that it can show something older than others have.
    pub(super) fn is_stamped(&self) -> bool {
        self.stream.stamps() != Stamps::Receipt
    }

    /// Reads until the source is empty, gone, or has had its share.
    pub(super) fn drain<S: Sources<Fd = F>>(
        &mut self,
        (pass, waits): (KernelTime, &Waits),
        sources: &mut S,
        reads: &mut Reads,
        heap: &mut Heap,
    ) -> Drained {
        let stamped = self.is_stamped();
        let mut bytes = [0; READ_RECORDS * RECORD_BYTES];
        // Where many have much to say, each still has two: what it says, and that there is no more.
        for _ in 0..reads.left.max(2).min(reads.max) {
            if !heap.has_room() {
                return Drained::More;
            }
            reads.left = reads.left.saturating_sub(1);
            let Self { fd, stream, .. } = self;
            let read = match next(&mut self.read_ahead, fd, sources, &mut bytes) {
                Ok(0) => return Drained::Gone(stream.finish().map_or_else(Gone::Garbage, |()| Gone::Closed)),
                Ok(read) => read,
                Err(Unread::Empty) => return Drained::Empty,
                Err(Unread::Gone(gone)) => return Drained::Gone(gone),
            };
            let at = sources.clock_behind(fd, read);
            let clock = Clock { pass, read: at, waits, late: || sources.late() };
            if let Err(garbage) = stream.feed(&bytes[..read], &clock, &mut |event| heap.push(event, stamped))
            {
                return Drained::Gone(Gone::Garbage(garbage));
            }
            if stream.needs_resync() {
                match sources.key_state(fd) {
                    Ok(actual) => {
                        stream.resync(&actual, sources.now(), &mut |event| heap.push(event, stamped));
                    }
                    Err(gone) => return Drained::Gone(gone),
                }
            }
        }
        Drained::More
    }
}

/// The next bytes of a source.
fn next<S: Sources>(
    read_ahead: &mut Cursor<Vec<u8>>,
    fd: &S::Fd,
    sources: &mut S,
    bytes: &mut [u8],
) -> Result<usize, Unread> {
    match read_ahead.read(bytes) {
        Ok(read @ 1..) => Ok(read),
        _ => {
            *read_ahead = Cursor::default();
            sources.read(fd, bytes)
        }
    }
}
