//! Everybody on a TCP port. In: listening sockets, readiness, and what the mediator has to say. Out: requests, and who
//! is gone. Guarantee: every connection has a bound in number, bytes and time; the trouble of one touches no other;
//! each kind of work (accepting, heads, reading, sending, deadlines) has a share of a turn, so that nothing else waits longer;
//! what waits for all of them together has one bound, and where it is reached the one that most waits for goes.

mod arrival;
mod talk;
mod waiting;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::IpAddr;

use buzzer_core::time::{KernelTime, Micros};
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use slab::Slab;
use tungstenite::protocol::frame::coding::CloseCode;

use self::waiting::Waiting;
use super::accepting::{AGAIN_US, Accepting, Who};
use super::client::{Client, Scratch, Standing};
use super::handshake::Handshake;
use crate::game::ClientId;
use crate::io::share::Share;
use crate::wire::admission::Admission;
use crate::wire::http::Access;
use crate::wire::outbox::Outbox;
use crate::wire::outgoing::Latest;

/// A peer that is to close has this long.
const CLOSE_US: Micros = Micros::from_ms(2000);
/// A client whose socket takes nothing for so long is dropped.
const BLOCKED_US: Micros = Micros::from_ms(2000);
/// All connections.
#[derive(Debug)]
pub struct Peers {
    registry: Registry,
    first_token: usize,
    listeners: Vec<TcpListener>,
    access: Access,
    admission: Admission,
    peers: Slab<Peer>,
    clients: HashMap<ClientId, usize>,
    client_ids: u64,
    /// When something must be done about a peer.
    deadlines: BTreeSet<(KernelTime, usize)>,
    waiting: Waiting,
    accepting: Accepting,
    to_advance: VecDeque<usize>,
    to_read: VecDeque<usize>,
    to_serve: VecDeque<usize>,
    /// How many of `to_serve` were there when all were told something last.
    to_serve_first: usize,
    gone: Vec<ClientId>,
    outbox: Outbox,
    latest: Latest,
    scratch: Scratch,
    /// Nobody is to stay: why.
    ended: Option<(CloseCode, Cow<'static, str>)>,
    /// A client whose socket takes nothing is waited for.
    patient: bool,
}

#[derive(Debug)]
struct Peer {
    speaks: Speaks,
    address: IpAddr,
    deadline: Option<KernelTime>,
    /// Its deadline is that of its end, and is not moved.
    ending: bool,
    /// It stands in `to_read` or `to_advance`, in `to_serve`.
    reading: bool,
    serving: bool,
}

#[derive(Debug)]
enum Speaks {
    Http(Handshake, String),
    WebSocket(Box<Client>, ClientId),
}

impl Peers {
    /// Takes over listening sockets. Tokens from `first_token` on belong to it: first the listeners', then peers'.
    ///
    /// # Errors
    /// What epoll answered.
    pub fn new(
        registry: Registry,
        first_token: usize,
        mut listeners: Vec<TcpListener>,
        access: Access,
    ) -> io::Result<Self> {
        for (listener, token) in listeners.iter_mut().zip(first_token..) {
            registry.register(listener, Token(token), Interest::READABLE)?;
        }
        Ok(Self {
            registry,
            first_token,
            listeners,
            access,
            admission: Admission::default(),
            peers: Slab::new(),
            clients: HashMap::new(),
            client_ids: 0,
            deadlines: BTreeSet::new(),
            waiting: Waiting::default(),
            accepting: Accepting::new(Who::Connections),
            to_advance: VecDeque::new(),
            to_read: VecDeque::new(),
            to_serve: VecDeque::new(),
            to_serve_first: 0,
            gone: Vec::new(),
            outbox: Outbox::default(),
            latest: Latest::default(),
            scratch: Scratch::default(),
            ended: None,
            patient: false,
        })
    }

    /// Waits for clients whose sockets take nothing, however long. Whoever asks for this tells nothing more until
    /// [`Peers::all_told`], or they fall behind the outbox and are lost all the same.
    pub const fn be_patient(&mut self) {
        self.patient = true;
    }

    /// The addresses that are listened on, ports filled in.
    pub fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Whether every client was sent what was told to all last, or cannot take it. Answers that came later do not count.
    pub const fn all_served(&self) -> bool {
        self.to_serve_first == 0
    }

    /// Whether every client was told everything: nothing waits for one, not even one that cannot take it now.
    pub fn all_told(&self) -> bool {
        self.peers.iter().all(|(_, peer)| match &peer.speaks {
            Speaks::WebSocket(client, _) => client.is_closing() || client.is_told(&self.outbox),
            Speaks::Http(..) => true,
        })
    }

    /// Whether there is something to send.
    pub fn has_unsent(&self) -> bool {
        !self.to_serve.is_empty()
    }

    /// Whether there is work for the next turn.
    pub fn is_busy(&self) -> bool {
        self.accepting.is_busy()
            || !self.to_advance.is_empty()
            || !self.to_read.is_empty()
            || self.has_unsent()
    }

    /// When [`Peers::handle_deadlines`] wants to be called.
    pub fn next_deadline(&self) -> Option<KernelTime> {
        let first = self.deadlines.first().map(|(deadline, _)| *deadline);
        first.into_iter().chain(self.accepting.deadline()).min()
    }

    /// Clients that are gone since the last call.
    pub fn take_gone(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.gone)
    }

    /// A token of ours is ready. It is only noted: the work has its turn.
    pub fn handle_ready(&mut self, token: Token, writable: bool) {
        let place = token.0 - self.first_token;
        if place < self.listeners.len() {
            return self.accepting.set_ready(place);
        }
        let key = place - self.listeners.len();
        // A slot can be taken anew within one batch of events: a stranger's readiness is only a look in vain.
        match self.peers.get_mut(key).map(|peer| &mut peer.speaks) {
            Some(Speaks::WebSocket(client, _)) => {
                client.set_readable();
                // In time, however late it is looked at: the machine may have slept, or this process was stopped.
                let has_taken = writable && client.unblock() && !client.is_closing();
                if has_taken {
                    self.set_deadline(key, None);
                }
                self.queue_read(key);
                self.queue_serve(key);
            }
            Some(Speaks::Http(..)) => self.queue_advance(key),
            None => {}
        }
    }

    /// Does what was due at this time, which is from before readiness was asked for.
    pub fn handle_deadlines(&mut self, asked: KernelTime) {
        self.accepting.handle_deadline(asked);
        let mut share = Share::default();
        while let Some((_, key)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= asked)
            && share.has_time()
        {
            self.set_deadline(key, None);
            let peer = &mut self.peers[key];
            match &mut peer.speaks {
                // What it sent in time may not have been looked at yet.
                Speaks::Http(handshake, _) if peer.reading && handshake.is_asking() => {
                    self.set_deadline(key, Some(asked + AGAIN_US));
                }
                Speaks::Http(handshake, _) => {
                    let step = handshake.time_out();
                    self.step(key, step, asked);
                }
                Speaks::WebSocket(client, _) => {
                    if !client.is_closing() {
                        ::log::warn!("{}: dropped: its socket took nothing for 2 s", client.peer());
                    }
                    self.remove(key);
                }
            }
        }
    }

    /// Draws the consequence of a client's standing.
    fn stand(&mut self, key: usize, standing: Standing, now: KernelTime) {
        let Speaks::WebSocket(client, _) = &mut self.peers[key].speaks else { return };
        let is_closing = client.is_closing();
        if is_closing && !std::mem::replace(&mut self.peers[key].ending, true) {
            self.set_deadline(key, Some(now + CLOSE_US));
            // The close frame.
            self.queue_serve(key);
        }
        match standing {
            Standing::Idle | Standing::Blocked if is_closing => {}
            Standing::Idle if self.is_blocked(key) => {}
            Standing::Idle => self.set_deadline(key, None),
            Standing::More | Standing::Closing => self.queue_read(key),
            Standing::Unsent => self.queue_serve(key),
            Standing::Blocked if self.patient => self.set_deadline(key, None),
            Standing::Blocked => self.set_deadline(key, Some(now + BLOCKED_US)),
            Standing::Lost => return self.give_up(key, "too slow", now),
            Standing::Gone => return self.remove(key),
        }
        self.weigh(key);
    }

    /// Ends a client that costs too much.
    fn give_up(&mut self, key: usize, reason: &'static str, now: KernelTime) {
        let Speaks::WebSocket(client, _) = &mut self.peers[key].speaks else { return self.remove(key) };
        if client.is_closing() {
            return self.remove(key);
        }
        ::log::warn!("{}: dropped: more waits for it than may", client.peer());
        let standing = client.close_deaf(CloseCode::Again, reason.into());
        self.stand(key, standing, now);
    }

    fn is_blocked(&self, key: usize) -> bool {
        matches!(&self.peers[key].speaks, Speaks::WebSocket(client, _) if client.is_blocked())
    }

    fn queue_advance(&mut self, key: usize) {
        if !std::mem::replace(&mut self.peers[key].reading, true) {
            self.to_advance.push_back(key);
        }
    }

    fn queue_read(&mut self, key: usize) {
        if !std::mem::replace(&mut self.peers[key].reading, true) {
            self.to_read.push_back(key);
        }
    }

    fn queue_serve(&mut self, key: usize) {
        if !std::mem::replace(&mut self.peers[key].serving, true) {
            self.to_serve.push_back(key);
        }
    }

    fn set_deadline(&mut self, key: usize, deadline: Option<KernelTime>) {
        let peer = &mut self.peers[key];
        if let Some(old) = peer.deadline {
            self.deadlines.remove(&(old, key));
        }
        peer.deadline = deadline;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key));
        }
    }

    /// Forgets a peer; its socket is closed, which takes it out of epoll too.
    fn remove(&mut self, key: usize) {
        self.set_deadline(key, None);
        self.waiting.set(key, 0);
        self.accepting.set_free();
        let peer = self.peers.remove(key);
        match peer.speaks {
            Speaks::WebSocket(_, id) => {
                self.clients.remove(&id);
                self.admission.part(peer.address);
                self.gone.push(id);
            }
            Speaks::Http(..) => self.admission.leave(key),
        }
        self.trim();
    }
}
