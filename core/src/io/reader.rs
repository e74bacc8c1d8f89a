//! The reader thread: from ready descriptors to the ring. In: sources ([`Attachment`](crate::io::reader::source::Attachment)) handed
//! over by other threads, and what their descriptors give. Out: events in the ring, and one wake-up per batch. Guarantee: the
//! thread sleeps only in `poll`, without a timeout; nothing here opens a device, writes a file or knows a client, and nothing
//! here decides: what is read, held and let go is the business of [`crate::merge::pass`].
//!
//! The clock of a pass is read behind the wait and before the first source. Where a source has no stamps of its own, the clock
//! is read before each wait too, and a look that does not sleep precedes one that may ([`crate::press::waits`]).

pub mod reader_stats;
pub mod run_delay;
pub mod source;
pub mod timer;

use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::io::Errno;
use rustix::thread::sched_getcpu;

use crate::event::{Event, Gone};
use crate::io::mailbox::Mailbox;
use crate::io::reader::reader_stats::ReaderStats;
use crate::io::reader::run_delay::RunDelay;
use crate::io::reader::source::ReaderRequest;
use crate::io::reader::timer::Timer;
use crate::io::sys;
use crate::merge::order::Command;
use crate::merge::pass::{Pass, READS_MAX};
use crate::merge::ring::Sender;
use crate::merge::source::{Sink, Sources, Unread};
use crate::press::keys::KeyBits;
use crate::press::waits::{Late, Wait};
use crate::time::{KernelTime, Micros};

/// Requests that can wait for the reader.
const REQUESTS_MAX: usize = 1024;
/// Commands and timers that can; a client that asks for more is not read from.
const COMMANDS_MAX: usize = 1024;
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
    /// Where to post commands and timers. They come back through the ring, in their place.
    pub commands: Mailbox<Command>,
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
    let requests = Mailbox::new(REQUESTS_MAX, Arc::clone(&waker));
    let commands = Mailbox::new(COMMANDS_MAX, waker);
    let (own_requests, own_commands) = (requests.clone(), commands.clone());
    let timer = Timer::new(poll.registry(), TIMER)?;
    let reader = move |run_delay| Reader {
        pass: Pass::new(settle_us, READS_MAX),
        descriptors: Descriptors { poll, requests: own_requests, commands: own_commands, run_delay },
        outlet: Outlet { ring, wake_server, stats },
        timer,
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
    Ok(Running { requests, commands, thread, lacks })
}

struct Reader {
    /// A slot's number is its mio token.
    pass: Pass<OwnedFd>,
    descriptors: Descriptors,
    outlet: Outlet,
    timer: Timer,
}

struct Descriptors {
    poll: Poll,
    requests: Mailbox<ReaderRequest>,
    commands: Mailbox<Command>,
    run_delay: RunDelay,
}

struct Outlet {
    ring: Sender,
    wake_server: Arc<Waker>,
    stats: Arc<ReaderStats>,
}

impl Reader {
    fn run(mut self) {
        let mut events = Events::with_capacity(READY_MAX);
        let mut busy = false;
        loop {
            let (began, slept) = self.descriptors.wait(&mut events, busy, self.pass.must_look());
            let complete = events.iter().count() < READY_MAX;
            let wait = Wait { began, pass: sys::now(), slept, complete };
            let core = u32::try_from(sched_getcpu()).unwrap_or(0);
            self.outlet.stats.core.store(core, Ordering::Relaxed);
            for event in &events {
                match event.token() {
                    // Requests are taken in every pass; a look into an empty box is one lock.
                    WAKE => {}
                    TIMER => self.timer.acknowledge(),
                    // An unplug comes as an error without `is_readable`: every event means "read".
                    Token(slot) => self.pass.set_ready(slot),
                }
            }
            let next = self.pass.pass(wait, &mut self.descriptors, &mut self.outlet);
            self.outlet.stats.passes.fetch_add(1, Ordering::Relaxed);
            if next.is_over || self.outlet.ring.is_abandoned() {
                return;
            }
            self.timer.arm(next.due);
            busy = next.again;
        }
    }
}

impl Descriptors {
    /// Waits for something to do, unless it is `busy`: the clock before, and whether it slept though it had found nothing to
    /// read in a look behind that clock.
    fn wait(&mut self, events: &mut Events, busy: bool, must_look: bool) -> (KernelTime, bool) {
        let began = sys::now();
        let looks = busy || must_look;
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
}

impl Sources for Descriptors {
    type Fd = OwnedFd;

    fn take_request(&mut self, may: impl FnOnce(&ReaderRequest) -> bool) -> Option<ReaderRequest> {
        self.requests.take_if(may)
    }

    fn take_command(&mut self) -> Option<Command> {
        self.commands.take_if(|_| true)
    }

    fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    fn watch(&mut self, fd: &OwnedFd, slot: usize) -> Result<(), Gone> {
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&sys::raw(fd)), Token(slot), Interest::READABLE).map_err(gone)
    }

    fn close(&mut self, fd: OwnedFd) {
        // It may never have been registered; closing the descriptor takes it out of epoll anyway.
        let _ = self.poll.registry().deregister(&mut SourceFd(&sys::raw(&fd)));
    }

    fn read(&mut self, fd: &OwnedFd, bytes: &mut [u8]) -> Result<usize, Unread> {
        loop {
            match rustix::io::read(fd, &mut *bytes) {
                Err(Errno::INTR) => {}
                read => {
                    return read.map_err(|errno| match errno {
                        Errno::AGAIN => Unread::Empty,
                        Errno::CONNRESET => Unread::Gone(Gone::Closed),
                        errno => Unread::Gone(gone(errno.into())),
                    });
                }
            }
        }
    }

    fn clock_behind(&mut self, _fd: &OwnedFd, _read: usize) -> KernelTime {
        sys::now()
    }

    fn key_state(&mut self, fd: &OwnedFd) -> Result<KeyBits, Gone> {
        sys::key_state(fd).map_err(gone)
    }

    fn now(&mut self) -> KernelTime {
        sys::now()
    }

    fn late(&self) -> Late {
        self.run_delay.since_mark()
    }

    fn mark(&mut self) -> Late {
        self.run_delay.mark()
    }
}

/// Why a source can be read no longer.
fn gone(error: io::Error) -> Gone {
    match error.raw_os_error() {
        Some(errno) if errno == Errno::NODEV.raw_os_error() => Gone::Unplugged,
        errno => Gone::Failed(errno.unwrap_or(0)),
    }
}

impl Sink for Outlet {
    fn push(&mut self, event: Event, pass: KernelTime) -> bool {
        let has_room = self.ring.push(event);
        if has_room {
            self.stats.count(event, pass);
        }
        has_room
    }

    fn wake(&mut self) {
        if self.ring.must_wake() {
            // Fails only if the eventfd's counter is full, which is a pending wake-up too.
            let _ = self.wake_server.wake();
        }
    }

    fn ring_is_full(&mut self) {
        self.stats.ring_full.fetch_add(1, Ordering::Relaxed);
    }

    fn heap_is_full(&mut self) {
        self.stats.heap_full.fetch_add(1, Ordering::Relaxed);
    }
}
