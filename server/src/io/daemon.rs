//! The server thread: one mio loop that moves things between the sockets, the ring, the log and the mediator. In:
//! readiness. Out: nothing but effects. Guarantee: no decision of the quiz is made here; records are appended before
//! anything that follows from them is sent; no client, however slow, is waited for; the loop sleeps only in `poll`, and
//! without a timeout unless a deadline is due.
//!
//! One turn: poll, sockets, reports, requests, up to 256 events from the ring, log, then frames for up to 64 clients. A
//! fan-out to thousands takes many turns, and what comes meanwhile is taken between them. But events are taken only
//! up to 256 before every client had its turn; beyond that they wait in the ring, in order.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use buzzer_core::event::{DeviceId, Kind};
use buzzer_core::io::mailbox::Mailbox;
use buzzer_core::io::reader::{self, Lacks, ReaderStats};
use buzzer_core::io::source::{Attachment, ReaderRequest};
use buzzer_core::io::sys;
use buzzer_core::keys::KeyBits;
use buzzer_core::ring::{self, RING_EVENTS, Receiver};
use buzzer_core::stamp::Stamps;
use buzzer_core::time::{KernelTime, Micros};
use mio::{Events, Interest, Poll, Token, Waker};
use sd_notify::NotifyState;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use tungstenite::protocol::frame::coding::CloseCode;

use super::attachments::{Attached, Attachments};
use super::cpu_latency::{CPU_LATENCY_PATH, CpuLatency};
use super::event_log::{EventLog, Opened};
use super::follow::Follower;
use super::hardware::{self, Hardware};
use super::host;
use super::listen::{self, ListenError};
use super::peers::Peers;
use super::vitals::{Vitals, index};
use super::wall_clock::WallClock;
use crate::config::settings::settings;
use crate::config::{Config, PoolSource, VirtualStamps};
use crate::http::Route;
use crate::mediator::{Announced, Mediator, Output};
use crate::record::{Fact, Record};

/// Events taken from the ring before every client has had its turn.
const EVENTS_MAX: usize = 256;
/// Clients have this long to answer the close frame when the daemon stops.
const STOP_US: Micros = Micros::from_ms(2000);
/// Turns with unserved clients, each of which serves 64, before the writer is woken all the same.
const TURNS_UNWRITTEN_MAX: u32 = 16;
/// Bytes of settings in one `config` record, as JSON: with the rest it stays a short line.
const SETTINGS_BYTES_MAX: usize = 6000;

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
    ring: Receiver,
    /// Events taken since every client had its turn.
    taken: usize,
    device_ids: Arc<AtomicU32>,
    mediator: Mediator,
    log: EventLog,
    /// What is to be appended next.
    records: Vec<Record>,
    clock: WallClock,
    /// What follows from logged records and is still to be done.
    told: VecDeque<Output>,
    vitals: Vitals,
    cpu_latency: CpuLatency,
    follower: Option<Follower>,
    /// Turns since the writer was woken.
    turns_unwritten: u32,
    stopping: Option<KernelTime>,
}

impl Daemon {
    /// Opens every socket, starts the threads, records the start.
    ///
    /// # Errors
    /// [`DaemonError`]; the process should end then.
    pub fn start(config: &Config, opened: Opened) -> Result<Self, DaemonError> {
        let Opened { log, state, notes } = opened;
        let poll = Poll::new()?;
        let registry = poll.registry();
        let listeners: Result<Vec<_>, _> =
            config.server.listen.iter().map(|address| listen::tcp(*address)).collect();
        let origins = config.server.allowed_origins.clone();
        let peers = Peers::new(registry.try_clone()?, PEERS, listeners?, origins)?;
        let attachments = Attachments::new(registry.try_clone()?, ATTACHMENTS, &config.pools)?;
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        registry.register(&mut signals, SIGNAL, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(registry, WAKE)?);
        log.wake_server(Arc::clone(&waker));
        let clock = WallClock::new(registry, CLOCK)?;
        let (sender, ring) = ring::ring(RING_EVENTS);
        let reader_stats = Arc::new(ReaderStats::default());
        let settle_us = config.order.settle_us;
        let running = reader::spawn(settle_us, sender, Arc::clone(&waker), Arc::clone(&reader_stats))?;
        let (reader, reader_thread, lacks) = (running.requests, running.thread, running.lacks);
        let device_ids = Arc::new(AtomicU32::new(1));
        let hardware = Hardware::start(config, &waker, &reader, &device_ids)?;
        let start = sys::now();
        let fact = Fact::Start {
            log: log.id().to_owned(),
            boot: log.boot().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wall_us: host::wall_us(),
            settle_us: settle_us.as_us(),
            realtime: lacks.realtime.is_none(),
        };
        let mut mediator = Mediator::new(state, hardware::pools(config), fact, start);
        notes.into_iter().chain(configuration(config)).for_each(|note| mediator.handle_note(note, start));
        let mut daemon = Self {
            poll,
            signals,
            peers,
            attachments,
            hardware,
            reader,
            reader_thread,
            ring,
            taken: 0,
            device_ids,
            mediator,
            log,
            records: Vec::new(),
            clock,
            told: VecDeque::new(),
            follower: Follower::new(&reader_stats, lacks.realtime.is_none()),
            vitals: Vitals::new(start, settle_us, reader_stats),
            cpu_latency: CpuLatency::new(Path::new(CPU_LATENCY_PATH), config.server.cpu_dma_latency_us),
            turns_unwritten: 0,
            stopping: None,
        };
        daemon.tell_lacks(&lacks, start);
        daemon.obey(start);
        daemon.checkpoint();
        Ok(daemon)
    }

    /// The addresses that are listened on, ports filled in.
    pub fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.peers.addresses()
    }

    /// Works until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// [`DaemonError`], if epoll fails or the log's last lines cannot be synced.
    pub fn run(mut self) -> Result<(), DaemonError> {
        let mut events = Events::with_capacity(1024);
        // Twice as often as asked for; without a watchdog there is no timeout at all.
        let watchdog = sd_notify::watchdog_enabled().map(|period| period / 2);
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        loop {
            match self.poll.poll(&mut events, self.timeout(watchdog)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                _ => self.ring.awake(),
            }
            let now = sys::now();
            for event in &events {
                self.handle_ready(event.token(), event.is_writable(), now);
            }
            self.hardware.report(&mut self.mediator, now);
            self.peers.handle_deadlines(now);
            self.attachments.handle_deadlines(now);
            let mediator = &mut self.mediator;
            self.peers.read(now, |client, by, request| mediator.handle_request(client, by, request, now));
            for client in self.peers.take_gone() {
                self.mediator.handle_client_gone(client);
            }
            self.take_events(now);
            if let Some(warning) = self.vitals.late_warning(now) {
                ::log::warn!("{warning}");
            }
            if self.mediator.poll_timeout().is_some_and(|due| due <= now) {
                self.mediator.handle_timeout(now);
            }
            self.obey(now);
            self.peers.serve(now);
            // Behind the frames: nobody waits for what the writer does. With thousands of clients, not behind all of them.
            if self.peers.all_served() || self.turns_unwritten >= TURNS_UNWRITTEN_MAX {
                self.turns_unwritten = 0;
                self.log.wake_writer();
            } else {
                self.turns_unwritten += 1;
            }
            if watchdog.is_some() {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            if let Some(follower) = &mut self.follower {
                follower.follow();
            }
            if self.stopping.is_some_and(|deadline| deadline <= now || self.peers.clients() == 0) {
                return self.finish();
            }
        }
    }

    /// How long there is nothing to do but wait; no time at all if there is work, for ever if there is no deadline.
    fn timeout(&self, watchdog: Option<Duration>) -> Option<Duration> {
        // The ring is asked last: from then on the reader knows that it must wake us.
        if self.peers.is_busy() || !self.told.is_empty() || !self.ring.may_sleep() {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.peers.next_deadline(),
            self.attachments.next_deadline(),
            self.mediator.poll_timeout(),
            self.stopping,
        ];
        let next = deadlines.into_iter().flatten().min();
        next.map(|next| Duration::from_micros(next.since(sys::now()).as_us()))
            .into_iter()
            .chain(watchdog)
            .min()
    }

    fn handle_ready(&mut self, token: Token, writable: bool, now: KernelTime) {
        match token {
            // The ring and the reports are looked at in every turn.
            WAKE => {}
            SIGNAL => {
                if self.signals.pending().next().is_some() && self.stopping.is_none() {
                    self.stop(now);
                }
            }
            CLOCK => {
                let (at, anchor) = self.clock.handle_set();
                self.mediator.handle_note(anchor, at);
            }
            Token(PEERS..) => {
                let (vitals, mediator, log) = (&self.vitals, &self.mediator, &self.log);
                let clients = self.peers.clients();
                self.peers.handle_ready(token, writable, now, |route| match route {
                    Route::Health => vitals.page(mediator, log, clients, now),
                    _ => index(),
                });
            }
            Token(_) => {
                if let Some(attached) = self.attachments.handle_ready(token, now) {
                    self.attach(attached, now);
                }
            }
        }
    }

    fn attach(&mut self, attached: Attached, now: KernelTime) {
        let Attached { pool, greeting, fd, read_ahead } = attached;
        let PoolSource::Virtual { socket, stamps, uncertainty_us } = &pool.source else { return };
        let (stamps, stamps_name) = match stamps {
            VirtualStamps::Receipt => (Stamps::Receipt, "receipt"),
            VirtualStamps::Sender => (Stamps::Sender, "sender"),
        };
        let device = self.device_ids.fetch_add(1, Ordering::Relaxed);
        let announced = Announced {
            pool: pool.id,
            name: greeting.name,
            place: socket.display().to_string(),
            stamps: stamps_name,
            buzzers: greeting.keys.buzzers().iter().map(|buzzer| buzzer.0).collect(),
            uncertainty_us: uncertainty_us.as_us(),
        };
        self.mediator.handle_announced(device, announced);
        let attachment = Attachment {
            device: DeviceId::new(device),
            fd,
            stamps,
            since: now,
            keys: greeting.keys,
            debounce_us: pool.debounce_us,
            held: KeyBits::NONE,
            read_ahead,
        };
        if self.reader.post(ReaderRequest::Attach(attachment)).is_err() {
            ::log::error!("an attachment was dropped: the reader takes no requests");
            self.attachments.forget_one();
        }
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
                // Whoever opened it reported that before the reader could say so.
                Kind::Attached => self.hardware.report(&mut self.mediator, now),
                Kind::Detached(_) if !self.hardware.owns(event.device) => self.attachments.forget_one(),
                _ => {}
            }
            self.mediator.handle_event(event, host::random);
        }
    }

    /// Takes what the mediator says: records for the log, the rest in its order. Whether some pool's devices may be others
    /// now.
    fn take_outputs(&mut self) -> bool {
        let mut changed = false;
        while let Some(output) = self.mediator.poll_output() {
            match output {
                Output::Record(record) => {
                    changed |= matches!(
                        record.fact,
                        Fact::Attach { .. } | Fact::Detach { .. } | Fact::Connect { .. }
                    );
                    self.records.push(record);
                }
                output => self.told.push_back(output),
            }
        }
        changed
    }

    /// Says what the reader has to do without: on stderr for now, in the log for later.
    fn tell_lacks(&mut self, lacks: &Lacks, now: KernelTime) {
        if let Some(error) = &lacks.realtime {
            ::log::warn!(
                "the reader has no real-time priority ({error}): order is not touched, delays may grow under load; \
                 under systemd set LimitRTPRIO=20, by hand run as root or with `ulimit -r 20`"
            );
        }
        let all = [
            ("realtime", &lacks.realtime),
            ("timer_slack", &lacks.timer_slack),
            ("run_delay", &lacks.run_delay),
        ];
        for (what, error) in all {
            if let Some(error) = error {
                self.mediator.handle_degraded(what, error.to_string(), now);
            }
        }
    }

    /// Does what the mediator says: first every record into the log, then the rest in its order.
    /// A burst is told in parts, each after every client had its turn: a few events can make thousands of messages, more
    /// than may wait for a client that reads as fast as it can.
    fn obey(&mut self, now: KernelTime) {
        let burst = !self.told.is_empty();
        self.log_all(now);
        if burst && !self.peers.all_served() {
            return;
        }
        let mut all = 0;
        while all < EVENTS_MAX {
            let Some(output) = self.told.pop_front() else { break };
            match output {
                Output::TellAll(text, except) => {
                    self.peers.tell_all(text, except);
                    all += 1;
                }
                Output::Tell(client, text) => self.peers.tell(client, text),
                Output::Close(client, reason) => self.peers.close(client, CloseCode::Policy, reason, now),
                Output::Detach(device) => {
                    // A full box means a stuck reader; the device then stays open and its presses count for nothing.
                    let _ = self.reader.post(ReaderRequest::Detach(DeviceId::new(device)));
                }
                Output::Want(_) | Output::Unwant(_) | Output::Ended(_) => self.hardware.obey(&output),
                Output::Record(_) => {}
            }
        }
        if all > 0 {
            self.peers.queue_all();
        }
    }

    /// Appends all records, and those that the log itself gives reason for.
    fn log_all(&mut self, now: KernelTime) {
        loop {
            if self.take_outputs()
                && let Err(reason) = self.cpu_latency.follow(self.mediator.state().is_played())
            {
                ::log::warn!(
                    "the processors may sleep deeply while a pool is connected ({reason}): presses may be stamped later by what \
                     waking takes"
                );
                self.mediator.handle_degraded("cpu_dma_latency", reason, now);
                self.take_outputs();
            }
            let hole = self.log.hole();
            self.log.append(&self.records);
            let is_due = !self.records.is_empty() && self.clock.is_due(now);
            self.records.clear();
            // Each can give reason for another, but not for itself: its kind of news is told by then.
            if let Some(hole) = hole.and_then(|_| self.log.hole()) {
                let lost = Fact::Lost { first_seq: hole.first_seq, last_seq: self.mediator.state().seq() };
                self.mediator.handle_note(lost, now);
                if let Some(Output::Record(lost)) = self.mediator.poll_output() {
                    self.log.end_hole(&lost);
                }
                continue;
            }
            if is_due {
                let (at, anchor) = self.clock.anchor();
                self.mediator.handle_note(anchor, at);
                continue;
            }
            let news = self.log.news();
            if news.is_empty() {
                return;
            }
            news.into_iter().for_each(|fact| self.mediator.handle_note(fact, now));
        }
    }

    /// Begins to end: nobody new, a close frame for everybody.
    fn stop(&mut self, now: KernelTime) {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        self.stopping = Some(now + STOP_US);
        self.attachments.close();
        self.peers.close_all(now);
    }

    /// Ends: what the reader still has, the last record, the disk.
    fn finish(mut self) -> Result<(), DaemonError> {
        self.hardware.stop();
        let _ = self.reader.post(ReaderRequest::Stop);
        // It hands over what waits and ends; a reader that died instead would have ended the process.
        while !self.reader_thread.is_finished() {
            self.drain();
            std::thread::yield_now();
        }
        self.drain();
        self.mediator.handle_stop(sys::now());
        self.obey(sys::now());
        let last_seq = self.mediator.state().seq();
        self.checkpoint();
        self.log.finish(last_seq).map_err(DaemonError::NotDurable)
    }

    /// Has it signed where the log stands.
    fn checkpoint(&self) {
        self.log.sign_when_durable(self.mediator.state().seq());
    }

    fn drain(&mut self) {
        while let Some(event) = self.ring.pop() {
            self.mediator.handle_event(event, host::random);
        }
        self.obey(sys::now());
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("mediator", &self.mediator).finish_non_exhaustive()
    }
}

/// The configuration, in as many records as it takes.
fn configuration(config: &Config) -> Vec<Fact> {
    let mut parts: Vec<Vec<String>> = vec![Vec::new()];
    let mut bytes = 0;
    for setting in settings(config) {
        // As JSON, where one character can take six bytes.
        let more = json!(setting).to_string().len() + 1;
        if bytes + more > SETTINGS_BYTES_MAX {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        parts.last_mut().into_iter().for_each(|part| part.push(setting.clone()));
    }
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let record = |(settings, part)| Fact::Config { part, parts: count, settings };
    parts.into_iter().zip(1..).map(record).collect()
}
