//! Who comes. In: listening sockets that are ready, and connections that have not said yet what they want. Out: clients, or an
//! answer and an end. Guarantee: a head has 5 s; where all places are taken the oldest goes ([`Admission`]), and a newcomer that
//! cannot be accepted now waits ([`Accepting`]).
//!
//! [`Admission`]: crate::wire::admission::Admission
//! [`Accepting`]: crate::io::net::accepting::Accepting

use std::net::SocketAddr;

use buzzer_core::time::{KernelTime, Micros};
use mio::net::TcpStream;
use mio::{Interest, Token};

use super::{CLOSE_US, Peer, Peers, Speaks};
use crate::game::ClientId;
use crate::io::net::client::Client;
use crate::io::net::handshake::{Handshake, HandshakeStep, HttpPage};
use crate::io::net::listen;
use crate::io::share::Share;
use crate::wire::http::{Refusal, Route};
use crate::wire::session::Session;
use crate::wire::v1::V1;

/// A request head must come within this time.
const HEAD_US: Micros = Micros::from_ms(5000);

impl Peers {
    /// Accepts who has come.
    pub fn accept(&mut self, now: KernelTime) {
        let mut share = Share::default();
        while let Some((_, (stream, address))) =
            self.accepting
                .next(now, self.peers.len(), &mut share, |listener| self.listeners[listener].accept())
        {
            self.admit(stream, address, now);
        }
    }

    fn admit(&mut self, stream: TcpStream, address: SocketAddr, now: KernelTime) {
        let ip = address.ip().to_canonical();
        if let Some(replaced) = self.admission.replaced(ip) {
            if let Speaks::Http(handshake, _) = &mut self.peers[replaced].speaks {
                // A few bytes into a fresh socket fit; a peer that is still talking may see a reset.
                handshake.replace();
            }
            self.remove(replaced);
        }
        listen::tune(&stream, self.patient);
        let mut handshake = Handshake::new(stream);
        let key = self.peers.vacant_key();
        let token = Token(self.first_token + self.listeners.len() + key);
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(handshake.stream(), token, both) {
            ::log::warn!("{address}: cannot be watched: {error}");
            return;
        }
        let speaks = Speaks::Http(handshake, address.to_string());
        let (deadline, ending, reading, serving) = (None, false, false, false);
        self.peers.insert(Peer { speaks, address: ip, deadline, ending, reading, serving });
        self.admission.arrive(key, ip);
        self.set_deadline(key, Some(now + HEAD_US));
    }

    /// Goes on with connections that are no clients yet and are ready.
    pub fn advance(&mut self, now: KernelTime, page: impl Fn(&Route) -> HttpPage) {
        let mut share = Share::default();
        for _ in 0..self.to_advance.len() {
            let Some(key) = share.take(&mut self.to_advance) else { return };
            self.advance_one(key, now, &page);
        }
    }

    fn advance_one(&mut self, key: usize, now: KernelTime, page: impl Fn(&Route) -> HttpPage) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Speaks::Http(handshake, name) = &mut peer.speaks else { return };
        peer.reading = false;
        let refused = |refusal: &Refusal| {
            if refusal.is_notable {
                ::log::warn!("{name}: {}", refusal.message);
            }
        };
        let full = match self.ended {
            None => self.admission.may_join(peer.address),
            Some(_) => Err("buzzerd is stopping"),
        };
        let step = handshake.advance(&self.access, full, page, refused);
        self.step(key, step, now);
    }

    pub(super) fn step(&mut self, key: usize, step: HandshakeStep, now: KernelTime) {
        match step {
            HandshakeStep::Wait => {}
            HandshakeStep::Again => self.queue_advance(key),
            HandshakeStep::Linger => {
                self.set_deadline(key, Some(now + CLOSE_US));
                self.queue_advance(key);
            }
            HandshakeStep::Done => return self.remove(key),
            HandshakeStep::WebSocket(tail) => self.welcome(key, &tail),
        }
        self.weigh(key);
    }

    /// A connection becomes a client.
    fn welcome(&mut self, key: usize, tail: &[u8]) {
        self.set_deadline(key, None);
        let peer = self.peers.remove(key);
        let Speaks::Http(handshake, name) = peer.speaks else { return };
        self.client_ids += 1;
        let id = ClientId(self.client_ids);
        let client = Client::new(handshake.into_stream(), tail, Session::new(id, &V1, &self.outbox), name);
        self.admission.leave(key);
        self.admission.join(peer.address);
        let speaks = Speaks::WebSocket(Box::new(client), id);
        // A vacant slot is given again at once, so this is the same key.
        let same = self.peers.insert(Peer { speaks, ..peer });
        debug_assert_eq!(same, key);
        self.clients.insert(id, key);
        self.queue_read(key);
    }
}
