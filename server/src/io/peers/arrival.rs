//! Who comes. In: listening sockets that are ready, and connections that have not said yet what they want. Out: clients, or an
//! answer and an end. Guarantee: a head has 5 s, and 256 may be on their way at once; beyond that, and beyond the last client
//! that there is room for, a peer is told so and let go.

use std::io;

use buzzer_core::time::{KernelTime, Micros};
use mio::{Interest, Token};

use super::{CLIENTS_MAX, CLOSE_US, Peer, Peers, Speaks};
use crate::http::{Refusal, Route};
use crate::io::client::Client;
use crate::io::handshake::{Handshake, Page, Step};
use crate::io::listen;
use crate::outbox::ClientId;

/// Connections at once that have not said what they want.
const HANDSHAKES_MAX: usize = 256;
/// A request head must come within this time.
const HEAD_US: Micros = Micros::from_ms(5000);

impl Peers {
    pub(super) fn accept(&mut self, listener: usize, now: KernelTime) {
        loop {
            match self.listeners[listener].accept() {
                Ok((stream, address)) => {
                    listen::tune(&stream, self.patient);
                    let mut handshake = Handshake::new(stream);
                    let full = self.clients.len() >= CLIENTS_MAX || self.handshakes >= HANDSHAKES_MAX;
                    if full || self.closed {
                        // A few bytes into a fresh socket fit; a peer that is still talking may see a reset.
                        drop(handshake.busy());
                        continue;
                    }
                    let key = self.peers.vacant_key();
                    let token = Token(self.first_token + self.listeners.len() + key);
                    let both = Interest::READABLE | Interest::WRITABLE;
                    if let Err(error) = self.registry.register(handshake.stream(), token, both) {
                        ::log::warn!("{address}: cannot be watched: {error}");
                        continue;
                    }
                    let speaks = Speaks::Http(handshake, address.to_string());
                    self.peers.insert(Peer { speaks, deadline: None, reading: false, serving: false });
                    self.handshakes += 1;
                    self.set_deadline(key, Some(now + HEAD_US));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Out of descriptors, most likely. Edge-triggered: the next to come is the next try.
                    ::log::warn!("a connection could not be accepted: {error}");
                    return;
                }
            }
        }
    }

    /// A connection that is no client yet is ready.
    pub(super) fn advance(&mut self, key: usize, now: KernelTime, page: impl Fn(&Route) -> Page) {
        let Speaks::Http(handshake, peer) = std::mem::replace(&mut self.peers[key].speaks, Speaks::Nothing)
        else {
            return;
        };
        let refused = |refusal: &Refusal| {
            if refusal.is_notable {
                ::log::warn!("{peer}: {}", refusal.message);
            }
        };
        let step = handshake.advance(&self.access, page, refused);
        self.step(key, step, peer, now);
    }

    pub(super) fn step(&mut self, key: usize, step: Step, peer: String, now: KernelTime) {
        match step {
            Step::Wait(handshake) => self.peers[key].speaks = Speaks::Http(handshake, peer),
            Step::Linger(handshake) => {
                self.peers[key].speaks = Speaks::Http(handshake, peer);
                self.set_deadline(key, Some(now + CLOSE_US));
            }
            Step::Done => {
                self.handshakes -= 1;
                self.remove(key);
            }
            Step::WebSocket(stream, tail) => {
                self.handshakes -= 1;
                self.client_ids += 1;
                let id = ClientId(self.client_ids);
                let client = Client::new(stream, tail, self.outbox.join(id), peer);
                self.peers[key].speaks = Speaks::WebSocket(Box::new(client), id);
                self.clients.insert(id, key);
                self.set_deadline(key, None);
                self.queue_read(key);
            }
        }
    }
}
