//! The reader thread: from ready descriptors to the ring. In: sources ([`Attachment`]) handed over by other threads,
//! and whatever their descriptors give. Out: events in the ring, in kernel-time order, and one wake-up per batch.
//! Guarantee: the thread sleeps only in `poll`, without a timeout; nothing here opens a device, writes a file or
//! knows a client. Per pass it takes at most 64 reads from a source, so a flooding one cannot starve the rest.
//!
//! A pass: read the clock (T), drain the sources, let go of what is due at T - W ([`crate::order`]), arm the timer
//! for the next due stamp. The clock is read *before* draining; the order's proof stands on that.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::io::Errno;
use rustix::thread::sched_getcpu;

use crate::decode::RECORD_BYTES;
use crate::event::{DeviceId, Event, Flags, Gone, Kind};
use crate::io::mailbox::Mailbox;
use crate::io::run_delay::RunDelay;
use crate::io::source::{Attachment, ReaderRequest};
use crate::io::sys;
use crate::io::timer::Timer;
use crate::order::{Order, Released, WAITING_MAX};
use crate::ring::Sender;
use crate::stamp::{ReadClock, Stamps};
use crate::stream::{Stream, StreamOptions};
use crate::time::{KernelTime, Micros};

/// Records one read takes at most.
const READ_RECORDS: usize = 64;
/// Reads from one source in one pass.
const READS_MAX: usize = 64;
/// Requests that can wait for the reader.
const REQUESTS_MAX: usize = 1024;
/// With a full ring there is nothing to wait for but time: the server is draining it.
const RETRY_US: Micros = Micros::from_ms(1);

/// Below the interrupt threads of PREEMPT_RT (50), above everything that is not real-time.
const FIFO_PRIORITY: i32 = 20;

const WAKE: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// What the reader counts, for `/healthz`.
#[derive(Debug, Default)]
pub struct ReaderStats {
    /// Presses handed over.
    pub presses: AtomicU64,
    /// Presses that came later than the settle window allows.
    pub late: AtomicU64,
    /// The greatest age that one of them had when it left, µs: a settle window of this length would have held the others
    /// back for it.
    pub late_us_max: AtomicU64,
    /// Presses whose stamp could not be true.
    pub stale: AtomicU64,
    /// Gaps (`SYN_DROPPED`).
    pub gaps: AtomicU64,
    /// Times the ring was full.
    pub ring_full: AtomicU64,
    /// Times the reader's own memory was full too, and it stopped reading.
    pub heap_full: AtomicU64,
    /// The core on which the reader last ran.
    pub core: AtomicU32,
}

/// A running reader.
#[derive(Debug)]
pub struct Running {
    /// Where to post requests.
    pub requests: Mailbox<ReaderRequest>,
    /// Its thread.
    pub thread: JoinHandle<()>,
    /// What it has to do without.
    pub lacks: Lacks,
}

/// What the kernel refused to the reader. Order does not suffer from any of it.
#[derive(Debug)]
pub struct Lacks {
    /// Real-time priority: without it delay grows under load, and the risk of an overflow.
    pub realtime: Option<io::Error>,
    /// Exact timers: without them a press may wait 50 µs longer than the settle window.
    pub timer_slack: Option<io::Error>,
    /// Its own run delay: without it a reader that was kept from running takes old but true stamps for stale ones.
    pub run_delay: Option<io::Error>,
}

/// Starts the thread. `wake_server` is used when the server sleeps and events were published.
///
/// # Errors
/// What the kernel answered when epoll, timerfd or the thread could not be made.
pub fn spawn(
    settle_us: Micros,
    ring: Sender,
    wake_server: Arc<Waker>,
    stats: Arc<ReaderStats>,
) -> io::Result<Running> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
    let requests = Mailbox::new(REQUESTS_MAX, waker);
    let own_requests = requests.clone();
    let timer = Timer::new(poll.registry(), TIMER)?;
    let reader = move |run_delay| Reader {
        poll,
        requests: own_requests,
        timer,
        settle_us,
        sources: Vec::new(),
        first: 0,
        out: Out { order: Order::new(settle_us), stats },
        ring,
        wake_server,
        pass: KernelTime::ZERO,
        ring_full: None,
        heap_full: None,
        run_delay,
        stopping: false,
    };
    let (tell, told) = mpsc::channel();
    let body = move || {
        // Timers of an ordinary thread may be 50 µs late (`timer_slack_ns`).
        let timer_slack = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let realtime = sys::set_fifo(FIFO_PRIORITY);
        // Made on its own thread: the run delay is a thread's.
        let (run_delay, not_counted) = RunDelay::new();
        let timer_slack = timer_slack.err().map(Into::into);
        let _ = tell.send(Lacks { realtime: realtime.err(), timer_slack, run_delay: not_counted });
        reader(run_delay).run();
    };
    let thread = thread::Builder::new().name("reader".into()).spawn(body)?;
    let lacks = told.recv().map_err(|_| io::Error::other("the reader ended at its start"))?;
    Ok(Running { requests, thread, lacks })
}

struct Reader {
    poll: Poll,
    requests: Mailbox<ReaderRequest>,
    timer: Timer,
    settle_us: Micros,
    /// A slot's number is its mio token; a free slot is reused.
    sources: Vec<Option<Source>>,
    /// The slot whose turn it is to be read first.
    first: usize,
    out: Out,
    ring: Sender,
    wake_server: Arc<Waker>,
    /// The clock of this pass; rises with every pass, so that two passes never stamp alike.
    pass: KernelTime,
    /// While the ring is full: whose event found no room, and the most that waited.
    ring_full: Option<(DeviceId, usize)>,
    /// While the heap is full, until half of it is free again: the first device that was not read, and since when.
    heap_full: Option<(DeviceId, KernelTime)>,
    run_delay: RunDelay,
    stopping: bool,
}

/// The clocks of one read.
struct Clock<'a> {
    pass: KernelTime,
    read: KernelTime,
    run_delay: &'a RunDelay,
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

struct Source {
    fd: OwnedFd,
    stream: Stream,
    /// epoll is edge-triggered: true until a read said that there is nothing more.
    ready: bool,
}

/// Where a source's events go.
struct Out {
    order: Order,
    stats: Arc<ReaderStats>,
}

/// What a source has after a pass.
enum Drained {
    Empty,
    /// It may have more, none of it stamped before that.
    More(KernelTime),
    Gone(Gone),
}

impl Reader {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut busy = false;
        loop {
            let timeout = busy.then_some(std::time::Duration::ZERO);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Only a broken descriptor table can do this; nothing could be read any more.
                Err(error) => panic!("reader: epoll failed: {error}"),
                Ok(()) => {}
            }
            self.pass = sys::now().max(self.pass + Micros::from_us(1));
            let core = u32::try_from(sched_getcpu()).unwrap_or(0);
            self.out.stats.core.store(core, Ordering::Relaxed);
            for event in &events {
                match event.token() {
                    // Requests are collected in every pass; a look into an empty box is one lock.
                    WAKE => {}
                    TIMER => self.timer.acknowledge(),
                    // An unplug comes as an error without `is_readable`: every event means "read".
                    Token(slot) => {
                        if let Some(Some(source)) = self.sources.get_mut(slot) {
                            source.ready = true;
                        }
                    }
                }
            }
            self.take_requests();
            busy = self.pass();
            if !busy && self.has_kernel_stamps() {
                // Behind the wake-up of the server, because after an idle time this takes as long as a press (13 µs
                // with cold caches).
                self.run_delay.mark();
            }
            if (self.stopping && self.out.order.waiting() == 0) || self.ring.is_abandoned() {
                return;
            }
        }
    }

    fn has_kernel_stamps(&self) -> bool {
        self.sources.iter().flatten().any(|source| source.stream.stamps() == Stamps::Kernel)
    }

    fn take_requests(&mut self) {
        for request in self.requests.collect() {
            match request {
                ReaderRequest::Attach(attachment) => self.attach(attachment),
                ReaderRequest::Detach(device) => {
                    let slot = self.sources.iter().position(|source| {
                        source.as_ref().is_some_and(|source| source.stream.device() == device)
                    });
                    if let Some(slot) = slot {
                        self.detach(slot, Gone::Released);
                    }
                }
                ReaderRequest::Stop => {
                    self.stopping = true;
                    for slot in 0..self.sources.len() {
                        if self.sources[slot].is_some() {
                            self.detach(slot, Gone::Released);
                        }
                    }
                }
            }
        }
    }

    fn attach(&mut self, attachment: Attachment) {
        let Attachment { device, fd, stamps, since, keys, debounce_us, held, read_ahead } = attachment;
        let settle_us = self.settle_us;
        let held_buzzers: Vec<_> =
            keys.pairs().filter(|(key, _)| held.has(*key)).map(|(_, buzzer)| buzzer).collect();
        let mut stream =
            Stream::new(&StreamOptions { device, stamps, since, keys, held, debounce_us, settle_us });
        let stamped = stamps != Stamps::Receipt;
        self.out.push(Event { at: since, device, more: false, kind: Kind::Attached }, stamped);
        let slot = self.sources.iter().position(Option::is_none).unwrap_or(self.sources.len());
        let registered =
            self.poll.registry().register(&mut SourceFd(&sys::raw(&fd)), Token(slot), Interest::READABLE);
        for buzzer in held_buzzers {
            self.out.push(Event { at: since, device, more: false, kind: Kind::Held { buzzer } }, stamped);
        }
        let clock = Clock { pass: self.pass, read: sys::now(), run_delay: &self.run_delay };
        let fed = stream.feed(&read_ahead, &clock, &mut |event| self.out.push(event, stamped));
        let gone = match (registered, fed) {
            (Ok(()), Ok(())) => None,
            (Ok(()), Err(garbage)) => Some(Gone::Garbage(garbage)),
            (Err(error), _) => Some(Gone::Failed(error.raw_os_error().unwrap_or(0))),
        };
        if slot == self.sources.len() {
            self.sources.push(None);
        }
        // Edge-triggered: what came before the registration is found by reading once.
        self.sources[slot] = Some(Source { fd, stream, ready: true });
        if let Some(gone) = gone {
            self.detach(slot, gone);
        }
    }

    fn detach(&mut self, slot: usize, gone: Gone) {
        let Some(source) = self.sources[slot].take() else { return };
        // It may never have been registered; closing the descriptor takes it out of epoll anyway.
        let _ = self.poll.registry().deregister(&mut SourceFd(&sys::raw(&source.fd)));
        let stamped = source.stream.stamps() != Stamps::Receipt;
        // Behind everything the device ever said.
        let at = sys::now().max(source.stream.read_up_to());
        let device = source.stream.device();
        self.out.push(Event { at, device, more: false, kind: Kind::Detached(gone) }, stamped);
    }

    /// One pass; whether another must follow at once.
    fn pass(&mut self) -> bool {
        // A stamp from elsewhere may be older than another's that epoll named first, so all of these are drained; the
        // reader's own stamps cannot, so of those only the ones that have something.
        let mut drained_at = self.pass;
        let mut busy = false;
        let mut unread = None;
        for slot in (self.first..self.sources.len()).chain(0..self.first) {
            let Some(source) = &mut self.sources[slot] else { continue };
            let stamped = source.stream.stamps() != Stamps::Receipt;
            if !stamped && !source.ready {
                continue;
            }
            if !self.out.has_room() {
                unread = unread.or(Some((slot, source.stream.device())));
            }
            match drain(source, self.pass, &self.run_delay, &mut self.out) {
                Drained::Empty => {
                    source.ready = false;
                    source.stream.set_drained(self.pass);
                }
                Drained::More(up_to) => {
                    source.ready = true;
                    source.stream.set_backlog();
                    busy = true;
                    if stamped {
                        // What it has not shown yet may still carry that very stamp.
                        drained_at = drained_at.min(up_to - Micros::from_us(1));
                    }
                }
                Drained::Gone(gone) => self.detach(slot, gone),
            }
        }
        if let Some((slot, device)) = unread {
            if self.heap_full.is_none() {
                self.out.stats.heap_full.fetch_add(1, Ordering::Relaxed);
                self.heap_full = Some((device, self.pass));
            }
            // A full heap must not wait for what it keeps from being read: it lets go of all it has, and what was still
            // unread comes late and says so. Who was not read is the first to be read when there is room.
            self.first = slot;
            drained_at = self.pass + self.settle_us;
        } else if self.out.order.waiting() < WAITING_MAX / 2
            && let Some((device, since)) = self.heap_full.take()
        {
            // Not before there is room again for good, or a flood would make a record of every other pass.
            let full_us = u32::try_from(self.pass.since(since).as_us()).unwrap_or(u32::MAX);
            let kind = Kind::HeapFull { full_us };
            self.out.push(Event { at: self.pass, device, more: false, kind }, false);
        }
        // A full heap is waited out with the timer, not by spinning.
        busy & self.release(drained_at)
    }

    /// Lets go of what is due, wakes the server, arms the timer. Whether there was room for all of it.
    fn release(&mut self, drained_at: KernelTime) -> bool {
        let mut published = false;
        let mut waiting_for_room = None;
        let (ring, stats, pass) = (&mut self.ring, &self.out.stats, self.pass);
        let released = self.out.order.release(drained_at, |event| {
            if !ring.push(event) {
                waiting_for_room = Some(event.device);
                return false;
            }
            published = true;
            count(stats, event, pass);
            true
        });
        if published && self.ring.must_wake() {
            // Fails only if the eventfd's counter is full, which is a pending wake-up too.
            let _ = self.wake_server.wake();
        }
        match released {
            Released::AllDue(due) => {
                if let Some((device, waiting_max)) = self.ring_full.take() {
                    let waiting_max = u32::try_from(waiting_max).unwrap_or(u32::MAX);
                    let kind = Kind::RingFull { waiting_max };
                    self.out.push(Event { at: self.pass, device, more: false, kind }, false);
                    self.timer.arm(Some(self.pass));
                } else {
                    self.timer.arm(due);
                }
                true
            }
            Released::NoRoom => {
                let waiting = self.out.order.waiting();
                match (&mut self.ring_full, waiting_for_room) {
                    (Some((_, waiting_max)), _) => *waiting_max = waiting.max(*waiting_max),
                    (none, Some(device)) => {
                        self.out.stats.ring_full.fetch_add(1, Ordering::Relaxed);
                        *none = Some((device, waiting));
                    }
                    (None, None) => {}
                }
                self.timer.arm(Some(sys::now() + RETRY_US));
                false
            }
        }
    }
}

impl Out {
    fn push(&mut self, event: Event, stamped: bool) {
        if let Kind::Gap { .. } = event.kind {
            self.stats.gaps.fetch_add(1, Ordering::Relaxed);
        }
        self.order.push(event, stamped);
    }

    /// Whether a read's worth of events has room, and the few that the reader adds itself.
    fn has_room(&self) -> bool {
        self.order.room() > 16 * READ_RECORDS
    }
}

fn count(stats: &ReaderStats, event: Event, pass: KernelTime) {
    let Kind::Press { flags, .. } = event.kind else { return };
    stats.presses.fetch_add(1, Ordering::Relaxed);
    if flags.has(Flags::LATE) {
        stats.late.fetch_add(1, Ordering::Relaxed);
        stats.late_us_max.fetch_max(pass.since(event.at).as_us(), Ordering::Relaxed);
    }
    if flags.has(Flags::STALE_STAMP) {
        stats.stale.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads a source until it is empty, gone, or has had its share.
fn drain(source: &mut Source, pass: KernelTime, run_delay: &RunDelay, out: &mut Out) -> Drained {
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
