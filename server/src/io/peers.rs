//! Everybody on a TCP port. In: listening sockets, readiness, and what the mediator has to say. Out: requests, and who
//! is gone. Guarantee: every connection has a bound in number, bytes and time; the trouble of one touches no other;
//! in one turn at most 64 are read from and 64 are sent to, so that nothing else waits longer than that takes.

mod arrival;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;

use buzzer_core::time::{KernelTime, Micros};
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use slab::Slab;
use tungstenite::Utf8Bytes;
use tungstenite::protocol::frame::coding::CloseCode;

use super::client::{Client, Incoming, Standing};
use super::handshake::{Handshake, Page};
use crate::http::{Access, Route};
use crate::outbox::{ClientId, Outbox};
use crate::v1::{self, Request};

/// Clients at once; a further one is answered with 503.
pub const CLIENTS_MAX: usize = 8192;
/// A peer that is to close has this long.
const CLOSE_US: Micros = Micros::from_ms(2000);
/// A client whose socket takes nothing for so long is dropped.
const BLOCKED_US: Micros = Micros::from_ms(2000);
/// Clients read from, and clients sent to, in one turn: about 0.3 ms of sending.
const TURN: usize = 64;

/// All connections.
#[derive(Debug)]
pub struct Peers {
    registry: Registry,
    first_token: usize,
    listeners: Vec<TcpListener>,
    access: Access,
    peers: Slab<Peer>,
    clients: HashMap<ClientId, usize>,
    client_ids: u64,
    handshakes: usize,
    /// When something must be done about a peer.
    deadlines: BTreeSet<(KernelTime, usize)>,
    to_read: VecDeque<usize>,
    to_serve: VecDeque<usize>,
    gone: Vec<ClientId>,
    outbox: Outbox<Utf8Bytes>,
    closed: bool,
    /// A client whose socket takes nothing is waited for.
    patient: bool,
}

#[derive(Debug)]
struct Peer {
    speaks: Speaks,
    deadline: Option<KernelTime>,
    /// It stands in `to_read`, in `to_serve`.
    reading: bool,
    serving: bool,
}

#[derive(Debug)]
enum Speaks {
    Http(Handshake, String),
    WebSocket(Box<Client>, ClientId),
    /// Between two states.
    Nothing,
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
            peers: Slab::new(),
            clients: HashMap::new(),
            client_ids: 0,
            handshakes: 0,
            deadlines: BTreeSet::new(),
            to_read: VecDeque::new(),
            to_serve: VecDeque::new(),
            gone: Vec::new(),
            outbox: Outbox::default(),
            closed: false,
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

    /// Whether every client has been sent all there is, or cannot take it.
    pub fn all_served(&self) -> bool {
        self.to_serve.is_empty()
    }

    /// Whether every client was told everything: nothing waits for one, not even one that cannot take it now.
    pub fn all_told(&self) -> bool {
        self.peers.iter().all(|(_, peer)| match &peer.speaks {
            Speaks::WebSocket(client, _) => client.is_closing() || client.is_told(&self.outbox),
            Speaks::Http(..) | Speaks::Nothing => true,
        })
    }

    /// Whether there is work for the next turn.
    pub fn is_busy(&self) -> bool {
        !self.to_read.is_empty() || !self.to_serve.is_empty()
    }

    /// When [`Peers::handle_deadlines`] wants to be called.
    pub fn next_deadline(&self) -> Option<KernelTime> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Clients that are gone since the last call.
    pub fn take_gone(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.gone)
    }

    /// A token of ours is ready.
    pub fn handle_ready(
        &mut self,
        token: Token,
        writable: bool,
        now: KernelTime,
        page: impl Fn(&Route) -> Page,
    ) {
        let place = token.0 - self.first_token;
        if place < self.listeners.len() {
            return self.accept(place, now);
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
            Some(Speaks::Http(..)) => self.advance(key, now, page),
            Some(Speaks::Nothing) | None => {}
        }
    }

    /// Reads from up to 64 clients and gives what they ask for.
    pub fn read(&mut self, now: KernelTime, mut asked: impl FnMut(ClientId, &str, Request)) {
        for _ in 0..TURN.min(self.to_read.len()) {
            let Some(key) = self.to_read.pop_front() else { return };
            let Some(peer) = self.peers.get_mut(key) else { continue };
            peer.reading = false;
            let Speaks::WebSocket(client, id) = &mut peer.speaks else { continue };
            let (id, address) = (*id, client.peer().to_owned());
            let standing = client.read(|message| {
                let request = match message {
                    Incoming::Text(text) => v1::parse(&text),
                    Incoming::Binary(text) => v1::bad_json(&text),
                };
                asked(id, &address, request);
            });
            self.stand(key, standing, now);
        }
    }

    /// Tells all clients but these.
    pub fn tell_all(&mut self, text: String, except: Vec<ClientId>) {
        self.outbox.tell_all(text.into(), except);
    }

    /// After [`Peers::tell_all`]: there is something for every client.
    pub fn queue_all(&mut self) {
        for (key, peer) in &mut self.peers {
            if let (Speaks::WebSocket(..), false) = (&peer.speaks, peer.serving) {
                peer.serving = true;
                self.to_serve.push_back(key);
            }
        }
    }

    /// Tells one client.
    pub fn tell(&mut self, id: ClientId, text: String) {
        let Some(key) = self.clients.get(&id).copied() else { return };
        if let Speaks::WebSocket(client, _) = &mut self.peers[key].speaks {
            self.outbox.tell(client.cursor(), text.into());
            self.queue_serve(key);
        }
    }

    /// Ends one client.
    pub fn close(&mut self, id: ClientId, code: CloseCode, reason: &str, now: KernelTime) {
        let Some(key) = self.clients.get(&id).copied() else { return };
        if let Speaks::WebSocket(client, _) = &mut self.peers[key].speaks {
            let standing = client.close(code, reason);
            self.stand(key, standing, now);
        }
    }

    /// Accepts nobody any more and ends everybody.
    pub fn close_all(&mut self, now: KernelTime) {
        self.end_all(CloseCode::Away, "buzzerd is stopping", now);
    }

    /// The same, with another reason.
    pub fn end_all(&mut self, code: CloseCode, reason: &str, now: KernelTime) {
        self.closed = true;
        for listener in &mut self.listeners {
            let _ = self.registry.deregister(listener);
        }
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in ids {
            self.close(id, code, reason, now);
        }
    }

    /// Sends to up to 64 clients what waits for them.
    pub fn serve(&mut self, now: KernelTime) {
        for _ in 0..TURN.min(self.to_serve.len()) {
            let Some(key) = self.to_serve.pop_front() else { return };
            let Some(peer) = self.peers.get_mut(key) else { continue };
            peer.serving = false;
            let Speaks::WebSocket(client, _) = &mut peer.speaks else { continue };
            if client.is_blocked() {
                continue;
            }
            let standing = client.serve(&self.outbox);
            self.stand(key, standing, now);
        }
    }

    /// Does what was due at this time, which is from before readiness was asked for.
    pub fn handle_deadlines(&mut self, now: KernelTime) {
        while let Some((_, key)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.set_deadline(key, None);
            match std::mem::replace(&mut self.peers[key].speaks, Speaks::Nothing) {
                Speaks::Http(handshake, peer) => self.step(key, handshake.time_out(), peer, now),
                Speaks::WebSocket(mut client, id) => {
                    if !client.is_closing() {
                        ::log::warn!("{}: dropped: its socket took nothing for 2 s", client.peer());
                        client.close(CloseCode::Again, "too slow");
                    }
                    self.peers[key].speaks = Speaks::WebSocket(client, id);
                    self.remove(key);
                }
                Speaks::Nothing => self.remove(key),
            }
        }
    }

    /// Draws the consequence of a client's standing.
    fn stand(&mut self, key: usize, standing: Standing, now: KernelTime) {
        match standing {
            // A deadline that runs goes on running.
            Standing::Idle if self.is_ending(key) => {}
            Standing::Idle => self.set_deadline(key, None),
            Standing::More => self.queue_read(key),
            Standing::Blocked if self.patient => self.set_deadline(key, None),
            Standing::Blocked => self.set_deadline(key, Some(now + BLOCKED_US)),
            Standing::Lost => {
                if let Speaks::WebSocket(client, _) = &mut self.peers[key].speaks {
                    ::log::warn!(
                        "{}: dropped: more waits for it than a client may keep waiting",
                        client.peer()
                    );
                    let standing = client.close(CloseCode::Again, "too slow");
                    self.stand(key, standing, now);
                }
            }
            Standing::Closing => {
                if self.peers[key].deadline.is_none() {
                    self.set_deadline(key, Some(now + CLOSE_US));
                }
                self.queue_read(key);
            }
            Standing::Gone => self.remove(key),
        }
    }

    fn is_ending(&self, key: usize) -> bool {
        let Speaks::WebSocket(client, _) = &self.peers[key].speaks else { return false };
        client.is_closing() || client.is_blocked()
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
        if let Speaks::WebSocket(_, id) = self.peers.remove(key).speaks {
            self.clients.remove(&id);
            self.gone.push(id);
        }
    }
}
