//! The sockets of virtual pools. In: their configuration and readiness. Out: attachments that greeted well, ready for
//! the reader. Guarantee: a bound in number and in time; the trouble of one attachment touches no other.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use buzzer_core::io::sys;
use buzzer_core::time::{KernelTime, Micros};
use mio::net::UnixListener;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::listen::{self, ListenError};
use super::virtual_pool::{Arrival, Greeting, Step};
use crate::config::{PoolConfig, PoolSource};

/// Attachments at once, greeting ones included.
pub const ATTACHMENTS_MAX: usize = 512;
/// A greeting must come within this time.
const GREETING_US: Micros = Micros::from_ms(5000);

/// All virtual pools' sockets.
#[derive(Debug)]
pub struct Attachments {
    registry: Registry,
    first_token: usize,
    pools: Vec<(UnixListener, PoolConfig)>,
    arrivals: Slab<(Arrival, usize)>,
    deadlines: BTreeSet<(KernelTime, usize)>,
    /// Attached and arriving.
    count: usize,
}

/// An attachment that greeted well.
#[derive(Debug)]
pub struct Attached {
    /// The pool it serves.
    pub pool: PoolConfig,
    /// What it said.
    pub greeting: Greeting,
    /// Its stream.
    pub fd: OwnedFd,
    /// What came behind the greeting.
    pub read_ahead: Vec<u8>,
}

impl Attachments {
    /// Listens on the socket of every virtual pool. Tokens from `first_token` on belong to it.
    ///
    /// # Errors
    /// [`ListenError`] of the first that cannot be listened on.
    pub fn new(registry: Registry, first_token: usize, pools: &[PoolConfig]) -> Result<Self, ListenError> {
        let mut listening = Vec::new();
        for pool in pools {
            let PoolSource::Virtual { socket, .. } = &pool.source else { continue };
            let mut listener = listen::unix(socket)?;
            registry
                .register(&mut listener, Token(first_token + listening.len()), Interest::READABLE)
                .map_err(|error| ListenError::Io { what: socket.display().to_string(), error })?;
            listening.push((listener, pool.clone()));
        }
        let (arrivals, deadlines) = (Slab::new(), BTreeSet::new());
        Ok(Self { registry, first_token, pools: listening, arrivals, deadlines, count: 0 })
    }

    /// When [`Attachments::handle_deadlines`] wants to be called.
    pub fn next_deadline(&self) -> Option<KernelTime> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// An attachment is gone.
    pub const fn forget_one(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// A token of ours is ready. Gives an attachment whose greeting is complete.
    pub fn handle_ready(&mut self, token: Token, now: KernelTime) -> Option<Attached> {
        let place = token.0 - self.first_token;
        if place < self.pools.len() {
            self.accept(place, now);
            return None;
        }
        let key = place - self.pools.len();
        let (arrival, pool) = self.arrivals.try_remove(key)?;
        match arrival.advance() {
            Step::Wait(arrival) => {
                // A vacant slot is given again at once, so this is the same key.
                let same = self.arrivals.insert((arrival, pool));
                debug_assert_eq!(same, key);
                None
            }
            Step::Refused(message) => {
                ::log::warn!("pool {}: an attachment was refused: {message}", self.pools[pool].1.id);
                self.forget(key);
                self.forget_one();
                None
            }
            Step::Attached(greeting, fd, read_ahead) => {
                self.forget(key);
                // The reader has an epoll of its own.
                let _ = self.registry.deregister(&mut SourceFd(&sys::raw(&fd)));
                Some(Attached { pool: self.pools[pool].1.clone(), greeting, fd, read_ahead })
            }
        }
    }

    fn accept(&mut self, pool: usize, now: KernelTime) {
        loop {
            match self.pools[pool].0.accept() {
                Ok((stream, _)) if self.count >= ATTACHMENTS_MAX => {
                    let _ = Arrival::new(stream).refuse("too many attachments");
                }
                Ok((stream, _)) => {
                    let key = self.arrivals.vacant_key();
                    let token = Token(self.first_token + self.pools.len() + key);
                    let mut arrival = Arrival::new(stream);
                    if let Err(error) = self.registry.register(arrival.stream(), token, Interest::READABLE) {
                        ::log::warn!("an attachment cannot be watched: {error}");
                        continue;
                    }
                    self.arrivals.insert((arrival, pool));
                    self.count += 1;
                    self.deadlines.insert((now + GREETING_US, key));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    ::log::warn!("an attachment could not be accepted: {error}");
                    return;
                }
            }
        }
    }

    /// Refuses who has not greeted in time.
    pub fn handle_deadlines(&mut self, now: KernelTime) {
        while let Some((_, key)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.forget(key);
            if let Some((arrival, _)) = self.arrivals.try_remove(key) {
                self.forget_one();
                let _ = arrival.refuse("the greeting must come within 5 s");
            }
        }
    }

    /// Accepts nobody any more and removes the sockets' names.
    pub fn close(&mut self) {
        for (_, pool) in self.pools.drain(..) {
            if let PoolSource::Virtual { socket, .. } = &pool.source {
                let _ = std::fs::remove_file(socket);
            }
        }
        self.arrivals.clear();
        self.deadlines.clear();
    }

    fn forget(&mut self, key: usize) {
        self.deadlines.retain(|(_, of)| *of != key);
    }
}
