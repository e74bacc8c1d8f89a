//! The reader thread: from ready descriptors to the ring. In: sources ([`Attachment`]) handed over by other threads,
//! and whatever their descriptors give. Out: events in the ring, in kernel-time order, and one wake-up per batch.
//! Guarantee: the thread sleeps only in `poll`, without a timeout; nothing here opens a device, writes a file or
//! knows a client. Per pass it takes at most 64 reads from a source, and requests only while there is room for what they
//! make, so a flooding source cannot starve the rest; what it has not been read of
//! holds up the rest for W at most, or three passes, or until that is read which the kernel kept while the reader was short
//! ([`crate::stamp::is_short`]).
//!
//! A pass: read the clock (T), drain the sources, let go of what is due at T - W ([`crate::order`]), arm the timer
//! for the next due stamp. The clock is read *before* draining; the order's proof stands on that. Where a source has no stamps
//! of its own, the clock is read before each wait too, and a look that does not sleep precedes one that may ([`crate::waits`]).

use std::io::{self, Cursor};
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::thread::sched_getcpu;

use crate::event::{DeviceId, Event, Gone, Kind};
use crate::io::drain::{Drained, Out, Reads, Source, drain};
use crate::io::mailbox::Mailbox;
use crate::io::reader_stats::ReaderStats;
use crate::io::run_delay::RunDelay;
use crate::io::source::{Attachment, ReaderRequest};
use crate::io::sys;
use crate::io::timer::Timer;
use crate::order::{Order, Released, WAITING_MAX};
use crate::ring::Sender;
use crate::stamp::{Stamps, is_short};
use crate::stream::{Stream, StreamOptions};
use crate::time::{KernelTime, Micros};
use crate::waits::{Wait, Waits};

/// Requests that can wait for the reader.
const REQUESTS_MAX: usize = 1024;
/// Requests taken in one pass: each costs as much as some reads.
const PASS_REQUESTS_MAX: usize = 64;
/// With a full ring there is nothing to wait for but time: the server is draining it.
const RETRY_US: Micros = Micros::from_ms(1);

/// Sources that one wait can name.
const READY_MAX: usize = 256;

/// Below the interrupt threads of PREEMPT_RT (50), above everything that is not real-time.
const FIFO_PRIORITY: i32 = 20;

const WAKE: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

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
        out: Out { order: Order::new(settle_us), stats, sources: 0 },
        ring,
        wake_server,
        pass: KernelTime::ZERO,
        ring_full: None,
        heap_full: None,
        short: false,
        waits: Waits::default(),
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
    /// Until this pass it could not read as it should.
    short: bool,
    waits: Waits,
    run_delay: RunDelay,
    stopping: bool,
}

impl Reader {
    fn run(mut self) {
        let mut events = Events::with_capacity(READY_MAX);
        let mut busy = false;
        loop {
            let (began, slept) = self.wait(&mut events, busy);
            let last = self.pass;
            self.pass = sys::now().max(last + Micros::from_us(1));
            let complete = events.iter().count() < READY_MAX;
            self.waits.end(Wait { began, pass: self.pass, slept, complete });
            let has_room = self.ring_full.is_none() && self.heap_full.is_none();
            self.short = is_short(self.pass.since(last), has_room);
            let core = u32::try_from(sched_getcpu()).unwrap_or(0);
            self.out.stats.core.store(core, Ordering::Relaxed);
            for event in &events {
                match event.token() {
                    // Requests are taken in every pass; a look into an empty box is one lock.
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
            let shared_out = self.take_requests();
            busy = self.pass();
            // A request that found no room waits for the events that have it, hence for the timer.
            let may_go_on = shared_out || self.out.order.waiting() == 0;
            busy |= may_go_on && !self.stopping && !self.requests.is_empty();
            if !busy && self.has(|stamps| stamps != Stamps::Sender) {
                // Behind the wake-up of the server, because after an idle time this takes as long as a press (13 µs
                // with cold caches).
                let late = self.run_delay.mark();
                self.waits.settle(late.counted_us());
            }
            if (self.stopping && self.out.order.waiting() == 0) || self.ring.is_abandoned() {
                return;
            }
        }
    }

    fn has(&self, of: impl Fn(Stamps) -> bool) -> bool {
        self.sources.iter().flatten().any(|source| of(source.stream.stamps()))
    }

    /// Waits for something to do, if there is nothing: the clock before, and whether it slept though it had found nothing to
    /// read in a look behind that clock.
    fn wait(&mut self, events: &mut Events, busy: bool) -> (KernelTime, bool) {
        let began = sys::now();
        let looks = busy || self.has(|stamps| stamps == Stamps::Receipt);
        if looks {
            self.poll(events, Some(Duration::ZERO));
            if busy || !events.is_empty() {
                return (began, false);
            }
        }
        if !self.poll(events, None) {
            self.run_delay.interrupt();
            // Read at once what came meanwhile: only for that is the stop an excuse.
            self.poll(events, Some(Duration::ZERO));
        }
        (began, looks)
    }

    /// Whether it ended by itself.
    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> bool {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            // Only a broken descriptor table can do this; nothing could be read any more.
            Err(error) => panic!("reader: epoll failed: {error}"),
            Ok(()) => true,
        }
    }

    /// Takes requests while they have room; whether the pass has had its share of them.
    fn take_requests(&mut self) -> bool {
        for _ in 0..PASS_REQUESTS_MAX {
            if self.stopping {
                return false;
            }
            let out = &self.out;
            // The end of a source has its place already.
            let request = self.requests.take_if(|request| match request {
                ReaderRequest::Attach(attachment) => {
                    out.has_room_for_source(attachment.held_buzzers().count())
                }
                ReaderRequest::Detach(_) | ReaderRequest::Stop => true,
            });
            match request {
                None => return false,
                Some(ReaderRequest::Attach(attachment)) => self.attach(attachment),
                Some(ReaderRequest::Detach(device)) => {
                    let slot = self.sources.iter().position(|source| {
                        source.as_ref().is_some_and(|source| source.stream.device() == device)
                    });
                    if let Some(slot) = slot {
                        self.detach(slot, Gone::Released);
                    }
                }
                Some(ReaderRequest::Stop) => {
                    self.stopping = true;
                    for slot in 0..self.sources.len() {
                        self.detach(slot, Gone::Released);
                    }
                }
            }
        }
        true
    }

    fn attach(&mut self, attachment: Attachment) {
        let stamped = attachment.stamps != Stamps::Receipt;
        let (device, since, drained) = (attachment.device, attachment.since, attachment.drained);
        let event = |kind| Event { at: since, device, more: false, kind };
        self.out.push(event(Kind::Attached), stamped);
        for buzzer in attachment.held_buzzers() {
            self.out.push(event(Kind::Held { buzzer }), stamped);
        }
        self.out.sources += 1;
        let Attachment { fd, stamps, keys, debounce_us, held, read_ahead, .. } = attachment;
        let settle_us = self.settle_us;
        let options = StreamOptions { device, stamps, since, drained, keys, held, debounce_us, settle_us };
        let stream = Stream::new(&options);
        let slot = self.sources.iter().position(Option::is_none).unwrap_or(self.sources.len());
        let registered =
            self.poll.registry().register(&mut SourceFd(&sys::raw(&fd)), Token(slot), Interest::READABLE);
        if slot == self.sources.len() {
            self.sources.push(None);
        }
        // Edge-triggered: what came before the registration is found by reading once.
        self.sources[slot] = Some(Source { fd, stream, read_ahead: Cursor::new(read_ahead), ready: true });
        if let Err(error) = registered {
            self.detach(slot, Gone::Failed(error.raw_os_error().unwrap_or(0)));
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
        self.out.sources -= 1;
        self.out.push(Event { at, device, more: false, kind: Kind::Detached(gone) }, stamped);
    }

    /// One pass; whether another must follow at once.
    fn pass(&mut self) -> bool {
        // A stamp from elsewhere may be older than another's that epoll named first, so all of these are drained; the
        // reader's own stamps cannot, so of those only the ones that have something.
        let mut drained_at = self.pass;
        let mut busy = false;
        let mut unread = None;
        let mut reads = Reads::of_a_pass();
        for slot in (self.first..self.sources.len()).chain(0..self.first) {
            let Some(source) = &mut self.sources[slot] else { continue };
            let stamped = source.stream.stamps() != Stamps::Receipt;
            if !stamped && !source.ready {
                continue;
            }
            if !self.out.has_room() {
                unread = unread.or(Some((slot, source.stream.device())));
            }
            if self.short {
                source.stream.set_short(self.pass);
            }
            match drain(source, self.pass, (&self.run_delay, &self.waits), &mut reads, &mut self.out) {
                Drained::Empty => {
                    source.ready = false;
                    source.stream.set_drained(self.pass);
                }
                Drained::More => {
                    source.ready = true;
                    source.stream.set_backlog();
                    busy = true;
                    if stamped && let Some(up_to) = source.stream.holds_at(self.pass, self.settle_us) {
                        drained_at = drained_at.min(up_to);
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
            stats.count(event, pass);
            true
        });
        if published && self.ring.must_wake() {
            // Fails only if the eventfd's counter is full, which is a pending wake-up too.
            let _ = self.wake_server.wake();
        }
        match released {
            Released::AllDue(due) => {
                if self.out.has_room_for_own()
                    && let Some((device, waiting_max)) = self.ring_full.take()
                {
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
