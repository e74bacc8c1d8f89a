//! A source being read. In: what was read ahead of it, then what its descriptor gives. Out: events in the reader's heap, and
//! how the source stands. Guarantee: at most [`READS_MAX`] reads a pass, fewer where many have much to say, and none without
//! room for what it may give, so a flooding source neither starves the rest nor loses anything here. A place in the heap
//! is kept for the end of every source.

use std::io::{Cursor, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::decode::{FRAME_EVENTS_MAX, RECORD_BYTES};
use crate::event::{Event, Gone, Kind};
use crate::io::reader_stats::ReaderStats;
use crate::io::run_delay::RunDelay;
use crate::io::sys;
use crate::keys::KEY_COUNT;
use crate::order::Order;
use crate::stamp::{ReadClock, Stamps};
use crate::stream::Stream;
use crate::time::{KernelTime, Micros};
use crate::waits::Waits;

/// Records one read takes at most.
const READ_RECORDS: usize = 64;
/// Reads from one source in one pass.
const READS_MAX: usize = 64;
/// Reads in one pass, of all sources together. Beyond that each has two: what it says, and that there is no more.
const PASS_READS_MAX: usize = 512;
/// Events that a read makes at most: the release of every key in a gap, the edges of a frame that was begun before, and two
/// for a record (an edge and its release in a gap, or what is wrong with a frame's time).
const READ_EVENTS_MAX: usize = KEY_COUNT + FRAME_EVENTS_MAX + 2 * READ_RECORDS + 2;
/// Places kept for what the reader says of itself: the ring was full, the heap was full.
const OWN_EVENTS_MAX: usize = 2;

/// The clocks of one read.
pub(super) struct Clock<'a> {
    pub(super) pass: KernelTime,
    pub(super) read: KernelTime,
    pub(super) run_delay: &'a RunDelay,
    pub(super) waits: &'a Waits,
}

impl ReadClock for Clock<'_> {
    fn pass(&self) -> KernelTime {
        self.pass
    }

    fn read(&self) -> KernelTime {
        self.read
    }

    fn ran_late_us(&self) -> Micros {
        self.run_delay.since_mark().excuse_us()
    }

    fn empty_until(&self) -> KernelTime {
        self.waits.since(|| self.run_delay.since_mark().counted_us())
    }
}

/// A source that the reader has.
pub(super) struct Source {
    pub(super) fd: OwnedFd,
    pub(super) stream: Stream,
    /// What was read before the source came here.
    pub(super) read_ahead: Cursor<Vec<u8>>,
    /// epoll is edge-triggered: true until a read said that there is nothing more.
    pub(super) ready: bool,
}

/// Where a source's events go.
pub(super) struct Out {
    pub(super) order: Order,
    pub(super) stats: Arc<ReaderStats>,
    /// Sources whose end is still to be told.
    pub(super) sources: usize,
}

/// What a source has after a pass.
pub(super) enum Drained {
    Empty,
    More,
    Gone(Gone),
}

impl Out {
    /// An event on its way. `stamped`: it may be older than what other sources gave.
    pub(super) fn push(&mut self, event: Event, stamped: bool) {
        if let Kind::Gap { .. } = event.kind {
            self.stats.gaps.fetch_add(1, Ordering::Relaxed);
        }
        self.order.push(event, stamped);
    }

    /// Whether a read's worth of events has room.
    pub(super) fn has_room(&self) -> bool {
        self.room() >= READ_EVENTS_MAX
    }

    /// Whether a source with so many keys held down has room: its beginning, these keys, its end.
    pub(super) fn has_room_for_source(&self, held: usize) -> bool {
        self.room() > 1 + held
    }

    /// Whether the reader has room for a word of its own.
    pub(super) fn has_room_for_own(&self) -> bool {
        self.order.room() > self.sources
    }

    /// Places that are kept for nothing.
    fn room(&self) -> usize {
        self.order.room().saturating_sub(self.sources + OWN_EVENTS_MAX)
    }
}

/// The reads that a pass has.
#[derive(Debug)]
pub(super) struct Reads {
    left: usize,
}

impl Reads {
    pub(super) const fn of_a_pass() -> Self {
        Self { left: PASS_READS_MAX }
    }

    /// The share of the next source.
    fn share(&self) -> usize {
        self.left.clamp(2, READS_MAX)
    }
}

/// Reads a source until it is empty, gone, or has had its share.
pub(super) fn drain(
    source: &mut Source,
    pass: KernelTime,
    (run_delay, waits): (&RunDelay, &Waits),
    reads: &mut Reads,
    out: &mut Out,
) -> Drained {
    let Source { fd, stream, read_ahead, .. } = source;
    let stamped = stream.stamps() != Stamps::Receipt;
    let mut bytes = [0; READ_RECORDS * RECORD_BYTES];
    for _ in 0..reads.share() {
        if !out.has_room() {
            return Drained::More;
        }
        reads.left = reads.left.saturating_sub(1);
        let read = match next(read_ahead, fd, &mut bytes) {
            Ok(0) => {
                return Drained::Gone(match stream.finish() {
                    Ok(()) => Gone::Closed,
                    Err(garbage) => Gone::Garbage(garbage),
                });
            }
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return Drained::Empty,
            Err(Errno::NODEV) => return Drained::Gone(Gone::Unplugged),
            Err(Errno::CONNRESET) => return Drained::Gone(Gone::Closed),
            Err(errno) => return Drained::Gone(Gone::Failed(errno.raw_os_error())),
        };
        let clock = Clock { pass, read: sys::now(), run_delay, waits };
        if let Err(garbage) = stream.feed(&bytes[..read], &clock, &mut |event| out.push(event, stamped)) {
            return Drained::Gone(Gone::Garbage(garbage));
        }
        if stream.needs_resync() {
            match sys::key_state(&*fd) {
                Ok(actual) => stream.resync(&actual, sys::now(), &mut |event| out.push(event, stamped)),
                Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => {
                    return Drained::Gone(Gone::Unplugged);
                }
                Err(error) => return Drained::Gone(Gone::Failed(error.raw_os_error().unwrap_or(0))),
            }
        }
    }
    Drained::More
}

/// The next bytes of a source.
fn next(read_ahead: &mut Cursor<Vec<u8>>, fd: &OwnedFd, bytes: &mut [u8]) -> Result<usize, Errno> {
    match read_ahead.read(bytes) {
        Ok(read @ 1..) => Ok(read),
        _ => {
            *read_ahead = Cursor::default();
            rustix::io::read(fd, bytes)
        }
    }
}
