//! The server thread: one mio loop that moves things between the sockets, the ring, the log and the mediator. In:
//! readiness. Out: nothing but effects. Guarantee: no decision of the quiz is made here; records are appended before
//! anything that follows from them is sent; no client, however slow, is waited for; the loop sleeps only in `poll`, and
//! without a timeout unless a deadline is due.
//!
//! One turn: poll, then every kind of work (deadlines, attachments, newcomers, heads, requests) has its share, and between two of
//! them there is a beat: up to 256 events from the ring, log, and a share of frames for clients. A fan-out to thousands takes
//! many beats, and what comes meanwhile is taken between them. But events are taken only up to 256 before every client had
//! its turn; beyond that they wait in the ring, in order.

mod end;
mod start;
mod tell;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use buzzer_core::event::{DeviceId, EventKind};
use buzzer_core::io::mailbox::{Full, Mailbox};
use buzzer_core::io::reader::source::{Attachment, ReaderRequest};
use buzzer_core::io::sys;
use buzzer_core::merge::order::Command;
use buzzer_core::merge::ring::Receiver;
use buzzer_core::press::keys::KeyBits;
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::KernelTime;
use mio::{Events, Poll, Token};
use sd_notify::NotifyState;
use signal_hook_mio::v1_0::Signals;

use crate::config::{PoolSource, VirtualStamps};
use crate::game::mediator::{Announced, Mediator, Output};
use crate::io::attach::attachments::{Attached, Attachments};
use crate::io::machine::cpu_latency::CpuLatency;
use crate::io::machine::follow::Follower;
use crate::io::machine::hardware::Hardware;
use crate::io::machine::host;
use crate::io::machine::watchdog::Watchdog;
use crate::io::net::listen::ListenError;
use crate::io::net::peers::Peers;
use crate::io::net::vitals::Vitals;
use crate::io::store::event_log::EventLog;
use crate::io::store::wall_clock::AnchorClock;
use crate::record::{DeviceDelay, Record};
use crate::wire::http::Route;

/// Sockets that one look finds ready.
const READY_MAX: usize = 1024;
/// Events taken from the ring before every client has had its turn.
const EVENTS_MAX: usize = 256;
/// A full mailbox is tried again after so long, if nothing else comes before.
const FULL_WAIT: Duration = Duration::from_millis(10);
/// Turns with unserved clients before the writer is woken all the same.
const TURNS_UNWRITTEN_MAX: u32 = 16;

const WAKE: Token = Token(0);
const SIGNAL: Token = Token(1);
const CLOCK: Token = Token(2);
/// More tokens than virtual pools and attachments can need lie between the two.
const ATTACHMENTS: usize = 0x1_0000;
const PEERS: usize = 0x10_0000;

/// Why the daemon cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Nothing to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A thread, epoll or a signal handler could not be made, or epoll failed.
    #[error("the kernel refused what buzzerd cannot do without: {0}")]
    Kernel(#[from] io::Error),
    /// The log's last lines are not on the disk.
    #[error("{0}")]
    NotDurable(String),
}

/// Everything that runs.
pub struct Daemon {
    poll: Poll,
    signals: Signals,
    peers: Peers,
    attachments: Attachments,
    hardware: Hardware,
    reader: Mailbox<ReaderRequest>,
    reader_thread: JoinHandle<()>,
    commands: Mailbox<Command>,
    /// Requests to the reader that found its box full; at most two for each device.
    unposted: VecDeque<ReaderRequest>,
    /// Commands that found theirs full. No client is read until they are posted.
    unposted_commands: VecDeque<Command>,
    ring: Receiver,
    /// Events taken since every client had its turn.
    taken: usize,
    device_ids: Arc<AtomicU32>,
    mediator: Mediator,
    log: EventLog,
    /// What is to be appended next.
    records: Vec<Record>,
    clock: AnchorClock,
    /// What follows from logged records and is still to be done.
    told: VecDeque<Output>,
    vitals: Vitals,
    cpu_latency: CpuLatency,
    follower: Option<Follower>,
    /// None: nobody asks for one, and there is no timeout.
    watchdog: Option<Watchdog>,
    /// Turns since the writer was woken.
    turns_unwritten: u32,
    stopping: Option<KernelTime>,
}

impl Daemon {
    /// The addresses that are listened on, ports filled in.
    pub fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.peers.addresses()
    }

    /// Works until a signal ends it ([`crate::io::machine::signals::ending`]).
    ///
    /// # Errors
    /// [`DaemonError`], if epoll fails or the log's last lines cannot be synced.
    pub fn run(mut self) -> Result<(), DaemonError> {
        let mut events = Events::with_capacity(READY_MAX);
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        loop {
            let asked = sys::now();
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                _ => self.ring.awake(),
            }
            let now = sys::now();
            for event in &events {
                self.handle_ready(event.token(), event.is_writable(), now);
            }
            self.post_waiting();
            self.beat();
            // A peer that was in time was seen, even if this process stood still between the look and now; unless there was
            // more than one look could take.
            if events.iter().count() < READY_MAX {
                self.peers.handle_deadlines(asked);
                self.attachments.handle_deadlines(asked);
                self.attachments.note_look(asked);
                self.beat();
            }
            self.work();
            if let Some(warning) = self.vitals.late_warning(now) {
                ::log::warn!("{warning}");
            }
            if self.mediator.poll_timeout().is_some_and(|due| due <= now) {
                self.mediator.handle_timeout(now);
                self.beat();
            }
            // Behind the frames: nobody waits for what the writer does. With thousands of clients, not behind all of them.
            if !self.peers.has_unsent() || self.turns_unwritten >= TURNS_UNWRITTEN_MAX {
                self.turns_unwritten = 0;
                self.log.wake_writer();
            } else {
                self.turns_unwritten += 1;
            }
            self.log.watch(self.peers.clients() > 0 && self.mediator.state().is_played());
            if let Some(watchdog) = &mut self.watchdog
                && watchdog.look(self.vitals.passes(), now)
            {
                self.reader.knock();
            }
            if let Some(follower) = &mut self.follower {
                follower.follow();
            }
            if self.stopping.is_some_and(|deadline| deadline <= now || self.peers.clients() == 0) {
                return self.finish();
            }
        }
    }

    /// What clients and programs at sockets have caused: a share of each kind, with presses in between.
    fn work(&mut self) {
        if self.attachments.is_busy() {
            for attached in self.attachments.work(sys::now()) {
                self.attach(attached, sys::now());
            }
            self.beat();
        }
        self.peers.accept(sys::now());
        self.beat();
        let (now, clients) = (sys::now(), self.peers.clients());
        let (vitals, mediator, log) = (&self.vitals, &self.mediator, &self.log);
        self.peers.advance(now, |route| {
            let first = if let Route::Health(first) = route { *first } else { None };
            vitals.page(mediator, log, clients, first, now)
        });
        self.beat();
        // A reader that takes no command, because it has no room, has no room for what clients ask for next.
        if self.unposted_commands.is_empty() {
            let mediator = &mut self.mediator;
            self.peers.read(sys::now(), |client, by, request| {
                mediator.handle_request(client, by, request, sys::now());
            });
        }
        self.beat();
    }

    /// What the hardware and the reader have, in the log and on its way to clients.
    fn beat(&mut self) {
        let now = sys::now();
        self.hardware.report(&mut self.mediator, now);
        for client in self.peers.take_gone() {
            self.mediator.handle_client_gone(client);
        }
        self.take_events(now);
        self.obey(now);
        self.peers.serve(now);
    }

    /// How long there is nothing to do but wait; no time at all if there is work, for ever if there is no deadline.
    fn timeout(&self) -> Option<Duration> {
        // The ring is asked last: from then on the reader knows that it must wake us.
        if self.peers.is_busy()
            || self.attachments.is_busy()
            || !self.told.is_empty()
            || !self.ring.may_sleep()
        {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.peers.next_deadline(),
            self.attachments.next_deadline(),
            self.mediator.poll_timeout(),
            self.watchdog.as_ref().map(Watchdog::due),
            self.stopping,
        ];
        let next = deadlines.into_iter().flatten().min();
        next.map(|next| Duration::from_micros(next.since(sys::now()).as_us()))
            .into_iter()
            .chain(self.has_unposted().then_some(FULL_WAIT))
            .min()
    }

    fn handle_ready(&mut self, token: Token, writable: bool, now: KernelTime) {
        match token {
            // The ring and the reports are looked at in every turn.
            WAKE => {}
            SIGNAL => {
                match (self.signals.pending().count(), self.stopping) {
                    (0, _) => {}
                    (_, None) => self.stop(now),
                    // Asked again: no client is waited for any more. The last record and the disk are.
                    (_, Some(_)) => self.stopping = Some(now),
                }
            }
            CLOCK => {
                let (at, anchor) = self.clock.handle_set();
                self.mediator.handle_note(anchor, at);
            }
            Token(PEERS..) => self.peers.handle_ready(token, writable),
            Token(_) => self.attachments.handle_ready(token),
        }
    }

    fn attach(&mut self, attached: Attached, now: KernelTime) {
        let Attached { pool, greeting, fd, drained, read_ahead } = attached;
        let PoolSource::Virtual { socket, stamps, delay } = &pool.source else { return };
        let stamps = match stamps {
            VirtualStamps::Receipt => Stamps::Receipt,
            VirtualStamps::Sender => Stamps::Sender,
        };
        let device = self.device_ids.fetch_add(1, Ordering::Relaxed);
        let announced = Announced {
            pool: pool.id,
            name: greeting.name,
            place: socket.display().to_string(),
            stamps: stamps.into(),
            buzzers: greeting.keys.buzzers().iter().map(|buzzer| buzzer.0).collect(),
            delay: DeviceDelay::from(delay),
            curve: delay.curve,
        };
        self.mediator.handle_announced(device, announced);
        let attachment = Attachment {
            device: DeviceId::new(device),
            fd,
            stamps,
            since: now,
            drained,
            keys: greeting.keys,
            debounce_us: pool.debounce_us,
            held: KeyBits::NONE,
            read_ahead,
        };
        self.ask_reader(ReaderRequest::Attach(attachment));
    }

    /// Posts a request to the reader, behind those that found its box full.
    fn ask_reader(&mut self, request: ReaderRequest) {
        self.unposted.push_back(request);
        self.post_waiting();
    }

    fn post_waiting(&mut self) {
        post_all(&mut self.unposted, &self.reader);
        post_all(&mut self.unposted_commands, &self.commands);
    }

    fn has_unposted(&self) -> bool {
        !self.unposted.is_empty() || !self.unposted_commands.is_empty()
    }

    /// Takes events, as long as every client has had its turn.
    fn take_events(&mut self, now: KernelTime) {
        if self.peers.all_served() {
            self.taken = 0;
        }
        while self.taken < EVENTS_MAX && self.told.is_empty() {
            let Some(event) = self.ring.pop() else { return };
            self.taken += 1;
            match event.kind {
                // The devices thread reports an opening before the reader can deliver its first event.
                EventKind::Attached => self.hardware.report(&mut self.mediator, now),
                EventKind::Detached(_) if !self.hardware.owns(event.device) => self.attachments.forget_one(),
                _ => {}
            }
            self.mediator.handle_event(event, host::random);
        }
    }
}

/// Posts what waits, in order, as far as there is room.
fn post_all<T>(waiting: &mut VecDeque<T>, mailbox: &Mailbox<T>) {
    while let Some(letter) = waiting.pop_front() {
        if let Err(Full(letter)) = mailbox.post(letter) {
            return waiting.push_front(letter);
        }
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("mediator", &self.mediator).finish_non_exhaustive()
    }
}
