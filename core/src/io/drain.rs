//! A source being read. In: what its descriptor gives. Out: events in the reader's heap, and how the source stands.
//! Guarantee: at most [`READS_MAX`] reads a pass and none without room for what it may give, so a flooding source neither
//! starves the rest nor loses anything here.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::decode::RECORD_BYTES;
use crate::event::{Event, Gone, Kind};
use crate::io::reader_stats::ReaderStats;
use crate::io::run_delay::RunDelay;
use crate::io::sys;
use crate::order::Order;
use crate::stamp::{ReadClock, Stamps};
use crate::stream::Stream;
use crate::time::{KernelTime, Micros};

/// Records one read takes at most.
const READ_RECORDS: usize = 64;
/// Reads from one source in one pass.
const READS_MAX: usize = 64;

/// The clocks of one read.
pub(super) struct Clock<'a> {
    pub(super) pass: KernelTime,
    pub(super) read: KernelTime,
    pub(super) run_delay: &'a RunDelay,
}

impl ReadClock for Clock<'_> {
    fn pass(&self) -> KernelTime {
        self.pass
    }

    fn read(&self) -> KernelTime {
        self.read
    }

    fn ran_late_us(&self) -> Micros {
        self.run_delay.since_mark()
    }
}

/// A source that the reader has.
pub(super) struct Source {
    pub(super) fd: OwnedFd,
    pub(super) stream: Stream,
    /// epoll is edge-triggered: true until a read said that there is nothing more.
    pub(super) ready: bool,
}

/// Where a source's events go.
pub(super) struct Out {
    pub(super) order: Order,
    pub(super) stats: Arc<ReaderStats>,
}

/// What a source has after a pass.
pub(super) enum Drained {
    Empty,
    /// It may have more, none of it stamped before that.
    More(KernelTime),
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

    /// Whether a read's worth of events has room, and the few that the reader adds itself.
    pub(super) fn has_room(&self) -> bool {
        self.order.room() > 16 * READ_RECORDS
    }
}

/// Reads a source until it is empty, gone, or has had its share.
pub(super) fn drain(source: &mut Source, pass: KernelTime, run_delay: &RunDelay, out: &mut Out) -> Drained {
    let Source { fd, stream, .. } = source;
    let stamped = stream.stamps() != Stamps::Receipt;
    let mut bytes = [0; READ_RECORDS * RECORD_BYTES];
    for _ in 0..READS_MAX {
        if !out.has_room() {
            return Drained::More(stream.read_up_to());
        }
        let read = match rustix::io::read(&*fd, &mut bytes) {
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
        let clock = Clock { pass, read: sys::now(), run_delay };
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
    Drained::More(stream.read_up_to())
}
