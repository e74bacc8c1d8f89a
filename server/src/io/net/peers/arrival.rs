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
            if let Speaks::Http(handshake, _) =
                std::mem::replace(&mut self.peers[replaced].speaks, Speaks::Nothing)
            {
                // A few bytes into a fresh socket fit; a peer that is still talking may see a reset.
                drop(handshake.replace());
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
        let Some(found) = self.peers.get_mut(key).filter(|peer| matches!(peer.speaks, Speaks::Http(..)))
        else {
            return;
        };
        found.reading = false;
        let Speaks::Http(handshake, peer) = std::mem::replace(&mut found.speaks, Speaks::Nothing) else {
            return;
        };
        let refused = |refusal: &Refusal| {
            if refusal.is_notable {
                ::log::warn!("{peer}: {}", refusal.message);
            }
        };
        let full = match self.ended {
            None => self.admission.may_join(self.peers[key].address),
            Some(_) => Err("buzzerd is stopping"),
        };
        let step = handshake.advance(&self.access, full, page, refused);
        self.step(key, step, peer, now);
    }

    pub(super) fn step(&mut self, key: usize, step: HandshakeStep, peer: String, now: KernelTime) {
        match step {
            HandshakeStep::Wait(handshake) => self.peers[key].speaks = Speaks::Http(handshake, peer),
            HandshakeStep::Again(handshake) => {
                self.peers[key].speaks = Speaks::Http(handshake, peer);
                self.queue_advance(key);
            }
            HandshakeStep::Linger(handshake) => {
                self.peers[key].speaks = Speaks::Http(handshake, peer);
                self.set_deadline(key, Some(now + CLOSE_US));
                self.queue_advance(key);
            }
            HandshakeStep::Done => return self.remove(key),
            HandshakeStep::WebSocket(stream, tail) => {
                self.client_ids += 1;
                let id = ClientId(self.client_ids);
                let client = Client::new(stream, &tail, Session::new(id, &V1, &self.outbox), peer);
                self.peers[key].speaks = Speaks::WebSocket(Box::new(client), id);
                self.clients.insert(id, key);
                self.admission.leave(key);
                self.admission.join(self.peers[key].address);
                self.set_deadline(key, None);
                self.queue_read(key);
            }
        }
        self.weigh(key);
    }
}
