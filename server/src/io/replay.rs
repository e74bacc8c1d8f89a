//! A recording served over WebSocket. In: records, a listening address, a pace. Out: what the live server sent then, to whoever
//! connects now. Guarantee: the sockets are the live server's own ([`crate::io::net::peers`]), so are bounds and close codes; at full
//! speed nobody is dropped for being slow: the next record waits until all have the last; the log is only read.

use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

use buzzer_core::io::sys;
use buzzer_core::time::{KernelTime, Micros};
use mio::{Events, Interest, Poll, Token};
use serde_json::json;
use signal_hook_mio::v1_0::Signals;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::game::mediator::Output;
use crate::io::machine::{host, signals};
use crate::io::net::handshake::HttpPage;
use crate::io::net::listen::{self, ListenError};
use crate::io::net::peers::Peers;
use crate::judge::replay::{Player, ReplayClock, Speed};
use crate::record::Record;
use crate::wire::http::Access;

/// Messages for all that are told before every client has had its turn, as live.
const TOLD_MAX: usize = 256;
/// Records that are taken in one turn: many are news to nobody.
const RECORDS_MAX: usize = 1024;
/// Clients have this long to answer the close frame.
const END_US: Micros = Micros::from_ms(2000);
/// Progress is said so often at most.
const SAY_US: Micros = Micros::from_ms(1000);

const SIGNAL: Token = Token(0);
const PEERS: usize = 0x10;

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError<E> {
    /// Nothing to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// epoll or a signal handler could not be made, or epoll failed.
    #[error("the kernel refused what a replay cannot do without: {0}")]
    Kernel(#[from] io::Error),
    /// The recording could not be read on.
    #[error("{0}")]
    Read(E),
}

/// How it is to be played.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How fast.
    pub speed: Speed,
    /// Without waiting for a first client.
    pub at_once: bool,
    /// The last record, for the progress.
    pub last_seq: u64,
}

/// A replay that listens.
pub struct Replay<R> {
    poll: Poll,
    signals: Signals,
    peers: Peers,
    player: Player,
    options: Options,
    records: R,
    /// None until it begins.
    clock: Option<ReplayClock>,
    /// The next record, and when it is due.
    next: Option<(Record, KernelTime)>,
    is_over: bool,
    said: KernelTime,
    stopping: Option<KernelTime>,
}

impl<E, R: Iterator<Item = Result<Record, E>>> Replay<R> {
    /// Listens. `records` are those to be played; what was before them `player` has folded already.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn start(
        address: SocketAddr,
        player: Player,
        records: R,
        options: Options,
    ) -> Result<Self, ReplayError<E>> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        let access = Access { hosts: host::full_names(), origins: Vec::new() };
        let mut peers = Peers::new(registry.try_clone()?, PEERS, vec![listen::tcp(address)?], access)?;
        if options.speed == Speed::Max {
            peers.be_patient();
        }
        let mut signals = signals::ending()?;
        registry.register(&mut signals, SIGNAL, Interest::READABLE)?;
        Ok(Self {
            poll,
            signals,
            peers,
            player,
            options,
            records,
            clock: None,
            next: None,
            is_over: false,
            said: KernelTime::ZERO,
            stopping: None,
        })
    }

    /// The address that is listened on, port filled in.
    pub fn address(&self) -> Option<SocketAddr> {
        self.peers.addresses().first().copied()
    }

    /// Plays until the end, or until a signal ends it ([`signals::ending`]); a second one ends it without waiting for clients.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn run(mut self) -> Result<(), ReplayError<E>> {
        let mut events = Events::with_capacity(256);
        loop {
            let asked = sys::now();
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            let now = sys::now();
            for event in &events {
                self.handle_ready(event.token(), event.is_writable(), now);
            }
            self.peers.handle_deadlines(asked);
            self.peers.accept(now);
            let (seq, clients) = (self.player.state().seq(), self.peers.clients());
            self.peers.advance(now, |_| page(seq, clients));
            let player = &mut self.player;
            self.peers.read(now, |client, by, request| player.handle_request(client, by, request, now));
            for client in self.peers.take_gone() {
                self.player.handle_client_gone(client);
            }
            if self.player.poll_timeout().is_some_and(|due| due <= now) {
                self.player.handle_timeout(now);
            }
            if self.stopping.is_none() {
                self.play(now)?;
            }
            self.tell();
            self.peers.serve(now);
            if self.stopping.is_some_and(|deadline| deadline <= now || self.peers.clients() == 0) {
                return Ok(());
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if self.peers.is_busy() || self.may_go_on() && (self.player.outputs() > 0 || self.is_starving()) {
            return Some(Duration::ZERO);
        }
        let due = self.next.as_ref().map(|(_, due)| *due).filter(|_| self.may_go_on());
        let deadlines = [due, self.peers.next_deadline(), self.player.poll_timeout(), self.stopping];
        let next = deadlines.into_iter().flatten().min()?;
        Some(Duration::from_micros(next.since(sys::now()).as_us()))
    }

    /// Whether the next record, or the end, can be looked at without waiting for a time.
    fn is_starving(&self) -> bool {
        let is_played = self.is_over && !self.peers.all_told();
        let has_begun = self.clock.is_some() || self.may_begin();
        self.stopping.is_none() && has_begun && self.next.is_none() && !is_played
    }

    /// Whether somebody watches, or nobody has to.
    fn may_begin(&self) -> bool {
        self.options.at_once || self.peers.clients() > 0
    }

    /// Whether clients are ready for more.
    fn may_go_on(&self) -> bool {
        match self.options.speed {
            Speed::Max => self.peers.all_told(),
            Speed::Times(_) => self.peers.all_served(),
        }
    }

    fn handle_ready(&mut self, token: Token, writable: bool, now: KernelTime) {
        if token == SIGNAL {
            match (self.signals.pending().count(), self.stopping) {
                (0, _) => {}
                (_, None) => self.end(CloseCode::Away, "the replay was stopped", now),
                (_, Some(_)) => self.stopping = Some(now),
            }
            return;
        }
        self.peers.handle_ready(token, writable);
    }

    /// Takes records that are due, as long as clients are ready for more.
    fn play(&mut self, now: KernelTime) -> Result<(), ReplayError<E>> {
        if self.clock.is_none() {
            if !self.may_begin() {
                return Ok(());
            }
            ::log::info!("replay: begins, {}", self.options.speed);
            self.clock = Some(ReplayClock::new(self.options.speed, now));
        }
        let may_go_on = self.player.outputs() == 0 && self.may_go_on();
        let Some(clock) = self.clock.as_mut().filter(|_| may_go_on) else { return Ok(()) };
        for _ in 0..RECORDS_MAX {
            if self.next.is_none() && !self.is_over {
                match self.records.next().transpose().map_err(ReplayError::Read)? {
                    Some(record) => {
                        let due = clock.due(&record);
                        self.next = Some((record, due));
                    }
                    None => {
                        self.is_over = true;
                        self.player.handle_end();
                    }
                }
            }
            let Some((record, _)) = self.next.take_if(|(_, due)| *due <= now) else { break };
            self.player.play(&record);
            if self.said + SAY_US <= now {
                self.said = now;
                ::log::info!("replay: seq {} of {}", record.seq, self.options.last_seq);
            }
            if self.player.outputs() >= TOLD_MAX {
                break;
            }
        }
        if self.is_over && self.player.outputs() == 0 && self.peers.all_told() {
            ::log::info!("replay: has ended, seq {}", self.player.state().seq());
            self.end(CloseCode::Normal, "the recording has ended", now);
        }
        Ok(())
    }

    fn tell(&mut self) {
        let may_go_on = self.may_go_on();
        let mut all = 0;
        // One record can make thousands of messages: they are told in parts, too.
        let may_tell =
            |output: &Output, all| (all < TOLD_MAX && may_go_on) || !matches!(output, Output::TellAll(..));
        while let Some(output) = self.player.poll_output_if(|output| may_tell(output, all)) {
            match output {
                Output::TellAll(news, except) => {
                    self.peers.tell_all(news, except);
                    all += 1;
                }
                Output::Tell(client, answer) => self.peers.tell(client, &answer),
                _ => {}
            }
        }
        if all > 0 {
            self.peers.queue_all();
        }
    }

    fn end(&mut self, code: CloseCode, reason: &'static str, now: KernelTime) {
        self.stopping = Some(now + END_US);
        self.peers.end_all(code, reason);
    }
}

impl<R> fmt::Debug for Replay<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("player", &self.player).finish_non_exhaustive()
    }
}

fn page(seq: u64, clients: usize) -> HttpPage {
    let body = json!({"status": "replay", "seq": seq, "clients": clients});
    ("200 OK", "application/json", format!("{body}\n"))
}
