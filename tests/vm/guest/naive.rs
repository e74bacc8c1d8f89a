//! How most programs read several input devices: whatever is read first counts as first.
//!
//! Enters the nodes that `buzzerd` reads as well; leaves each press with its kernel stamp, in the order in which this reader
//! came across it. It has the same real-time priority as the daemon's reader, so that the difference is the method's.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use buzzer_core::io::sys;
use buzzer_core::press::decode::{RECORD_BYTES, Record};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::deadline::{Outcome, Why, until};

const FIFO_PRIORITY: i32 = 20;

/// In which order it reads the devices when it is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// All of them, in the order in which they were opened: a loop over `poll` or `select`.
    InTurn,
    /// Those that epoll names, in its order.
    AsNamed,
}

/// A press: which device, and the kernel's stamp in µs.
pub(crate) type Seen = (usize, i64);

/// A reader that runs.
#[derive(Debug)]
pub(crate) struct Naive {
    count: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Vec<Seen>>>,
}

impl Naive {
    pub(crate) fn start(nodes: &[&Path], reads: Reads) -> Outcome<Self> {
        let poll = Poll::new().why("epoll")?;
        let mut devices = Vec::new();
        for node in nodes {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let device = rustix::fs::open(*node, flags, Mode::empty()).why(node.display())?;
            sys::set_clock_monotonic(&device).why("EVIOCSCLOCKID")?;
            let token = Token(devices.len());
            let mut source = SourceFd(&device.as_raw_fd());
            poll.registry().register(&mut source, token, Interest::READABLE).why("epoll")?;
            devices.push(device);
        }
        let (count, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (own_count, own_enough) = (Arc::clone(&count), Arc::clone(&enough));
        let thread = thread::spawn(move || {
            sys::set_fifo(FIFO_PRIORITY).why("priority")?;
            read(poll, &devices, reads, &own_count, &own_enough)
        });
        Ok(Self { count, enough, thread })
    }

    /// Until it has come across so many presses.
    pub(crate) fn wait(&self, presses: usize) -> Outcome {
        until("what a naive reader reads", || {
            (self.count.load(Ordering::Acquire) >= presses || self.thread.is_finished()).then_some(())
        })
    }

    pub(crate) fn stop(self) -> Outcome<Vec<Seen>> {
        self.enough.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|_| Err("a naive reader panicked".to_owned()))
    }
}

fn read(
    mut poll: Poll,
    devices: &[OwnedFd],
    reads: Reads,
    count: &AtomicUsize,
    enough: &AtomicBool,
) -> Outcome<Vec<Seen>> {
    let mut seen = Vec::new();
    let mut events = Events::with_capacity(256);
    while !enough.load(Ordering::Acquire) {
        match poll.poll(&mut events, Some(Duration::from_millis(100))) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other.why("epoll")?,
        }
        match reads {
            Reads::InTurn => (0..devices.len()).try_for_each(|index| drain(devices, index, &mut seen))?,
            Reads::AsNamed => {
                events.iter().try_for_each(|event| drain(devices, event.token().0, &mut seen))?;
            }
        }
        count.store(seen.len(), Ordering::Release);
    }
    Ok(seen)
}

fn drain(devices: &[OwnedFd], index: usize, seen: &mut Vec<Seen>) -> Outcome {
    let mut bytes = [0; 64 * RECORD_BYTES];
    loop {
        let read = match rustix::io::read(&devices[index], &mut bytes) {
            Ok(read) => read,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(format!("a naive read: {error}")),
        };
        for record in bytes[..read].as_chunks::<RECORD_BYTES>().0 {
            let Record { sec, usec, kind, code, value } = Record::from_bytes(record);
            match (kind, code, value) {
                (0, 3, _) => return Err("a naive reader lost presses: its queue was full".to_owned()),
                (1, _, 1) => seen.push((index, sec * 1_000_000 + usec)),
                _ => {}
            }
        }
    }
}

/// How far an order is from that of the stamps: presses given out behind one of a later stamp, and the longest that such a
/// one was behind, in µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Inversions {
    pub(crate) count: usize,
    pub(crate) worst_us: i64,
}

pub(crate) fn inversions(stamps: impl Iterator<Item = i64>) -> Inversions {
    let mut found = Inversions::default();
    let mut latest = i64::MIN;
    for stamp in stamps {
        if stamp < latest {
            found.count += 1;
            found.worst_us = found.worst_us.max(latest - stamp);
        }
        latest = latest.max(stamp);
    }
    found
}
