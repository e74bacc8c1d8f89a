//! The reader allocates nothing once it runs. In: presses, releases, impossible stamps, gaps, a full ring and a full heap,
//! through real descriptors. Out: the number of allocations meanwhile, which must be 0. Guarantee: a process of its own with
//! no other thread than this one, which writes bytes made before and takes events from the ring; so every allocation
//! that is counted is the reader's, and one that is known to happen (an attachment) shows that it is counted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

use std::alloc::System;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloc_tracker::{Allocator, Session};
use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind};
use buzzer_core::io::mailbox::Mailbox;
use buzzer_core::io::reader;
use buzzer_core::io::reader::reader_stats::ReaderStats;
use buzzer_core::io::reader::source::{Attachment, ReaderRequest};
use buzzer_core::io::sys;
use buzzer_core::merge::order::WAITING_MAX;
use buzzer_core::merge::ring;
use buzzer_core::merge::ring::Receiver;
use buzzer_core::press::decode::Record;
use buzzer_core::press::keys::{KeyBits, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_tests::harness::attachment::{frame, key};
use mio::{Events, Poll, Token, Waker};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

/// Small, so that it is full all the time.
const RING_EVENTS: usize = 64;
const HITS: usize = 2000;

/// The server's end.
struct Server {
    poll: Poll,
    events: Events,
    ring: Receiver,
    requests: Mailbox<ReaderRequest>,
    stats: Arc<ReaderStats>,
    seen: Seen,
}

/// What came.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    presses: usize,
    releases: usize,
    gaps: usize,
    stale: usize,
    ring_full: usize,
    heap_full: usize,
    attached: usize,
}

impl Server {
    /// Takes events until `enough`.
    fn take(&mut self, enough: impl Fn(&Seen) -> bool) {
        while !enough(&self.seen) {
            match self.ring.pop() {
                Some(event) => self.seen.note(event),
                None if self.ring.may_sleep() => {
                    self.poll.poll(&mut self.events, Some(Duration::from_secs(20))).expect("epoll");
                    self.ring.awake();
                    assert!(!self.events.is_empty(), "the reader says nothing");
                }
                None => {}
            }
        }
    }

    /// Writes all of it, taking no event before the reader has stopped reading.
    fn write(&mut self, to: &mut UnixStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match to.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if self.stats.heap_full.load(Ordering::Relaxed) == 0 {
                        std::thread::yield_now();
                        continue;
                    }
                    while let Some(event) = self.ring.pop() {
                        self.seen.note(event);
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Seen {
    fn note(&mut self, event: Event) {
        match event.kind {
            EventKind::Press { .. } => self.presses += 1,
            EventKind::Release { .. } => self.releases += 1,
            EventKind::Gap { .. } => self.gaps += 1,
            EventKind::StaleStamp { .. } => self.stale += 1,
            EventKind::RingFull { .. } => self.ring_full += 1,
            EventKind::HeapFull { .. } => self.heap_full += 1,
            EventKind::Attached => self.attached += 1,
            // The machine has other things to do.
            EventKind::ReaderStall { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn source(device: u32, stamps: Stamps) -> (UnixStream, Attachment) {
    let (read, write) = UnixStream::pair().expect("a pair");
    read.set_nonblocking(true).expect("non-blocking");
    write.set_nonblocking(true).expect("non-blocking");
    let attachment = Attachment {
        device: DeviceId::new(device),
        fd: OwnedFd::from(read),
        stamps,
        since: sys::now(),
        drained: sys::now(),
        keys: KeyMap::new((1..=10).map(|n| (key(n), Buzzer(n)))),
        debounce_us: Micros::ZERO,
        held: KeyBits::NONE,
        read_ahead: Vec::new(),
    };
    (write, attachment)
}

/// So many presses and releases of one key, all with this time.
fn hits(at: KernelTime, count: usize) -> Vec<u8> {
    let hit = [frame(at, key(1), true), frame(at, key(1), false)].concat();
    hit.repeat(count)
}

fn main() {
    let poll = Poll::new().expect("epoll");
    let waker = Arc::new(Waker::new(poll.registry(), Token(0)).expect("eventfd"));
    let (sender, ring) = ring::ring(RING_EVENTS);
    let stats = Arc::new(ReaderStats::default());
    let running =
        reader::spawn(Micros::from_us(2000), sender, waker, Arc::clone(&stats)).expect("the reader");
    let (events, seen) = (Events::with_capacity(4), Seen::default());
    let mut server = Server { poll, events, ring, requests: running.requests, stats, seen };
    let mut sources: Vec<UnixStream> = Vec::new();
    for (device, stamps) in [(1, Stamps::Kernel), (2, Stamps::Sender), (3, Stamps::Receipt)] {
        let (write, attachment) = source(device, stamps);
        server.requests.post(ReaderRequest::Attach(attachment)).expect("room");
        server.take(|seen| seen.attached == device as usize);
        sources.push(write);
    }
    let session = Session::new().no_stdout().no_file();
    let count = |name: &str| {
        let report = session.to_report();
        let found = report.operations().find(|(operation, _)| *operation == name);
        let (_, operation) = found.expect("it was measured");
        (operation.total_allocations_count(), operation.total_bytes_allocated())
    };

    let now = sys::now();
    let some = hits(now, HITS);
    // Two events a hit; more than ring and heap hold together.
    let flood = hits(now, WAITING_MAX);
    let gap = [Record::dropped(now).to_bytes(), Record::report(now).to_bytes()].concat();
    let future = hits(now + Micros::from_ms(3_600_000), 10);
    let play = session.operation("play");
    let span = play.measure_process().iterations(1);
    for source in &mut sources {
        server.write(source, &some);
    }
    server.take(|seen| seen.presses == 3 * HITS && seen.releases == 3 * HITS);
    server.write(&mut sources[1], &future);
    server.write(&mut sources[1], &gap);
    server.take(|seen| seen.gaps == 1 && seen.stale > 0);
    server.write(&mut sources[2], &flood);
    let presses = 3 * HITS + 10 + WAITING_MAX;
    server.take(|seen| seen.presses == presses && seen.ring_full > 0 && seen.heap_full > 0);
    drop(span);
    assert_eq!(server.seen.heap_full, 1, "one flood, one word");
    let (allocations, bytes) = count("play");
    println!("{:?}: {allocations} allocations of {bytes} bytes", server.seen);
    assert_eq!(allocations, 0, "the reader allocates");

    let (_write, attachment) = source(4, Stamps::Receipt);
    let attach = session.operation("attach");
    let span = attach.measure_process().iterations(1);
    server.requests.post(ReaderRequest::Attach(attachment)).expect("room");
    server.take(|seen| seen.attached == 4);
    drop(span);
    let (_, bytes) = count("attach");
    // Its contacts, made by the reader.
    assert!(bytes > 0, "an attachment's memory was not counted");

    server.requests.post(ReaderRequest::Stop).expect("room");
    while !running.thread.is_finished() {
        while server.ring.pop().is_some() {}
        std::thread::yield_now();
    }
    running.thread.join().expect("the reader ends");
}
