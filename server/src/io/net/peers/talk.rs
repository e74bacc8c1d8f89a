//! What clients say and are told. In: clients that are ready, and what there is to tell. Out: requests, one at a time of each
//! client, and frames. Guarantee: reading and sending have a share of a turn each; every client has its turn before one that comes
//! back for more.

use buzzer_core::time::KernelTime;
use tungstenite::protocol::frame::coding::CloseCode;

use super::{Peers, Speaks};
use crate::game::state::News;
use crate::game::{Answer, ClientId, Request};
use crate::io::net::client::Standing;
use crate::io::share::Share;

/// Requests of one client in one go; then the others have their turn.
const REQUESTS_MAX: usize = 4;

impl Peers {
    /// Reads from clients and gives what they ask for.
    pub fn read(&mut self, now: KernelTime, mut asked: impl FnMut(ClientId, &str, Request)) {
        let mut share = Share::default();
        // Not those that come back for more.
        for _ in 0..self.to_read.len() {
            let Some(key) = share.take(&mut self.to_read) else { return };
            self.read_one(key, now, &mut share, &mut asked);
        }
    }

    fn read_one(
        &mut self,
        key: usize,
        now: KernelTime,
        share: &mut Share,
        asked: &mut impl FnMut(ClientId, &str, Request),
    ) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.reading = false;
        let Speaks::WebSocket(client, id) = &mut peer.speaks else { return };
        let mut standing = Standing::More;
        for place in 0..REQUESTS_MAX {
            if place > 0 && !share.has_time() {
                break;
            }
            match client.hear(&self.outbox, &mut self.scratch, now) {
                Ok(request) => asked(*id, client.peer(), request),
                Err(found) => {
                    standing = found;
                    break;
                }
            }
        }
        self.stand(key, standing, now);
    }

    /// Tells all clients but these.
    pub fn tell_all(&mut self, news: News, except: Vec<ClientId>) {
        self.outbox.tell_all(news, except);
    }

    /// After [`Peers::tell_all`]: there is something for every client.
    pub fn queue_all(&mut self) {
        for (key, peer) in &mut self.peers {
            if let (Speaks::WebSocket(..), false) = (&peer.speaks, peer.serving) {
                peer.serving = true;
                self.to_serve.push_back(key);
            }
        }
        self.to_serve_first = self.to_serve.len();
    }

    /// Answers one client.
    pub fn tell(&mut self, id: ClientId, answer: &Answer) {
        let Some(key) = self.clients.get(&id).copied() else { return };
        if let Speaks::WebSocket(client, _) = &mut self.peers[key].speaks {
            client.answer(answer, &mut self.latest, &self.outbox);
            self.queue_serve(key);
            self.weigh(key);
        }
    }

    /// Accepts nobody any more and ends everybody, each in its turn.
    pub fn end_all(&mut self, code: CloseCode, reason: &'static str) {
        self.ended = Some((code, reason.into()));
        self.accepting.clear();
        for listener in &mut self.listeners {
            let _ = self.registry.deregister(listener);
        }
        self.queue_all();
    }

    /// Sends to clients what waits for them.
    pub fn serve(&mut self, now: KernelTime) {
        let mut share = Share::default();
        for _ in 0..self.to_serve.len() {
            let Some(key) = share.take(&mut self.to_serve) else { return };
            self.to_serve_first = self.to_serve_first.saturating_sub(1);
            self.serve_one(key, now);
        }
    }

    fn serve_one(&mut self, key: usize, now: KernelTime) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.serving = false;
        let Speaks::WebSocket(client, _) = &mut peer.speaks else { return };
        if let Some((code, reason)) = self.ended.as_ref().filter(|_| !client.is_closing()) {
            let standing = client.close(*code, reason.clone());
            return self.stand(key, standing, now);
        }
        if client.is_blocked() {
            return;
        }
        let standing = client.serve(&mut self.outbox, &mut self.scratch);
        self.stand(key, standing, now);
    }
}
