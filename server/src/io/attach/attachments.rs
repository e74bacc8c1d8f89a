//! The sockets of virtual pools. In: their configuration and readiness. Out: attachments that greeted well, ready for
//! the reader. Guarantee: a bound in number, bytes, time and records; the trouble of one attachment touches no other; they have a share of a
//! turn; a connection that cannot be accepted now waits in the kernel and is accepted as soon as a descriptor is free.

use buzzer_core::quote::kernel_words;
use std::collections::{BTreeSet, VecDeque};
use std::os::fd::OwnedFd;

use buzzer_core::io::sys;
use buzzer_core::time::{KernelTime, Micros};
use mio::net::{UnixListener, UnixStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::virtual_pool::{Arrival, Greeting, GreetingStep};
use crate::config::{PoolConfig, PoolSource};
use crate::game::pace::Pace;
use crate::io::net::accepting::{AGAIN_US, Accepting, Who};
use crate::io::net::listen::{self, ListenError};
use crate::io::share::Share;

/// Attachments at once, greeting ones included.
pub const ATTACHMENTS_MAX: usize = 512;
/// A greeting must come within this time.
const GREETING_US: Micros = Micros::from_ms(5000);
/// What may have come of all greetings together; the usual one has a few hundred bytes.
const GREETINGS_BYTES_MAX: usize = 2 << 20;
/// An attachment costs one, and one more for each so many buzzers: by that, what it adds to the log.
const BUZZERS_PER_COST: usize = 32;
/// What a pool's attachments may cost: a full house twice over at once, then a small one each half second. A program that
/// attaches and leaves without end adds less than 1 KiB/s to the log.
const PACE: Pace = Pace::new(2 * ATTACHMENTS_MAX as u32, Micros::from_ms(500));

/// All virtual pools' sockets.
#[derive(Debug)]
pub struct Attachments {
    registry: Registry,
    first_token: usize,
    pools: Vec<(UnixListener, PoolConfig)>,
    /// The last look at all sockets began then; each listener had nobody then that it may have now.
    looked: KernelTime,
    lonely: Vec<KernelTime>,
    /// Of each pool: how often it may be attached to.
    paces: Vec<Pace>,
    arrivals: Slab<(Arrival, usize)>,
    /// What has come of all greetings.
    greetings_bytes: usize,
    accepting: Accepting,
    /// Arrivals that are ready.
    to_advance: VecDeque<usize>,
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
    /// When it is known to have said nothing that was not read.
    pub drained: KernelTime,
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
        let looked = sys::now();
        for pool in pools {
            let PoolSource::Virtual { socket, .. } = &pool.source else { continue };
            let mut listener = listen::unix(socket)?;
            registry
                .register(&mut listener, Token(first_token + listening.len()), Interest::READABLE)
                .map_err(|error| ListenError::Io {
                    what: socket.display().to_string(),
                    why: kernel_words(&error),
                })?;
            listening.push((listener, pool.clone()));
        }
        Ok(Self {
            registry,
            first_token,
            paces: vec![PACE; listening.len()],
            looked,
            lonely: vec![looked; listening.len()],
            pools: listening,
            arrivals: Slab::new(),
            greetings_bytes: 0,
            accepting: Accepting::new(Who::Attachments),
            to_advance: VecDeque::new(),
            deadlines: BTreeSet::new(),
            count: 0,
        })
    }

    /// When [`Attachments::handle_deadlines`] wants to be called.
    pub fn next_deadline(&self) -> Option<KernelTime> {
        let first = self.deadlines.first().map(|(deadline, _)| *deadline);
        first.into_iter().chain(self.accepting.deadline()).min()
    }

    /// Whether there is work for the next turn.
    pub fn is_busy(&self) -> bool {
        !self.to_advance.is_empty() || self.accepting.is_busy()
    }

    /// An attachment is gone.
    pub const fn forget_one(&mut self) {
        self.count = self.count.saturating_sub(1);
        self.accepting.set_free();
    }

    /// A token of ours is ready. It is only noted: the work has its turn.
    pub fn handle_ready(&mut self, token: Token) {
        let place = token.0 - self.first_token;
        match place.checked_sub(self.pools.len()) {
            None => {
                // Who connects may have said more than its greeting before it is accepted.
                if !self.accepting.is_ready(place) {
                    self.lonely[place] = self.looked;
                }
                self.accepting.set_ready(place);
            }
            Some(key) if self.to_advance.contains(&key) => {}
            Some(key) => self.to_advance.push_back(key),
        }
    }

    /// A look that began then has named every socket that had something.
    pub const fn note_look(&mut self, began: KernelTime) {
        self.looked = began;
    }

    /// Accepts, and reads greetings. Gives the attachments whose greeting is complete.
    pub fn work(&mut self, now: KernelTime) -> Vec<Attached> {
        self.accept(now);
        let (mut share, mut attached) = (Share::default(), Vec::new());
        while !self.to_advance.is_empty()
            && share.has_time()
            && let Some(key) = self.to_advance.pop_front()
        {
            attached.extend(self.advance(key, now));
        }
        attached
    }

    fn advance(&mut self, key: usize, now: KernelTime) -> Option<Attached> {
        let (arrival, pool) = self.take(key)?;
        let pace = &mut self.paces[pool];
        let may = |greeting: &Greeting| {
            let may = pace.take(now);
            let more = greeting.keys.buzzers().len() / BUZZERS_PER_COST;
            if may {
                pace.charge(now, u32::try_from(more).unwrap_or(u32::MAX));
            }
            may
        };
        match arrival.advance(now, may) {
            GreetingStep::Wait(arrival) => {
                self.greetings_bytes += arrival.waiting_bytes();
                // A vacant slot is given again at once, so this is the same key.
                let same = self.arrivals.insert((arrival, pool));
                debug_assert_eq!(same, key);
                self.give_up_the_longest();
                None
            }
            GreetingStep::Refused(message) => {
                self.refused(key, pool, &message);
                None
            }
            GreetingStep::Attached(greeting, fd, (read_ahead, drained)) => {
                self.forget(key);
                // The reader has an epoll of its own.
                let _ = self.registry.deregister(&mut SourceFd(&sys::raw(&fd)));
                Some(Attached { pool: self.pools[pool].1.clone(), greeting, fd, drained, read_ahead })
            }
        }
    }

    fn take(&mut self, key: usize) -> Option<(Arrival, usize)> {
        let taken = self.arrivals.try_remove(key)?;
        self.greetings_bytes -= taken.0.waiting_bytes();
        Some(taken)
    }

    fn refused(&mut self, key: usize, pool: usize, message: &str) {
        ::log::warn!("pool {}: an attachment was refused: {message}", self.pools[pool].1.id);
        self.forget(key);
        self.forget_one();
    }

    /// Where more greeting has come than there is room for, the longest is given up.
    fn give_up_the_longest(&mut self) {
        if self.greetings_bytes <= GREETINGS_BYTES_MAX {
            return;
        }
        let longest = self.arrivals.iter().max_by_key(|(_, (arrival, _))| arrival.waiting_bytes());
        if let Some(key) = longest.map(|(key, _)| key) {
            self.give_up(key, "too many long greetings are on their way");
        }
    }

    /// A full house is no reason to refuse who greets in time: the arrival that has had the longest time is given up.
    fn give_up_the_oldest(&mut self) {
        if let Some((_, key)) = self.deadlines.first().copied() {
            self.give_up(key, "too many greetings are on their way");
        }
    }

    fn give_up(&mut self, key: usize, message: &str) {
        if let Some((arrival, pool)) = self.take(key) {
            let _ = arrival.refuse(message);
            self.refused(key, pool, message);
        }
    }

    fn accept(&mut self, now: KernelTime) {
        let mut share = Share::default();
        // What an arrival has sent is looked at before one more could take its place.
        while (self.count < ATTACHMENTS_MAX || self.to_advance.is_empty())
            && let Some((pool, (stream, _))) =
                self.accepting.next(now, self.count, &mut share, |pool| self.pools[pool].0.accept())
        {
            if self.count >= ATTACHMENTS_MAX {
                self.give_up_the_oldest();
            }
            if self.count >= ATTACHMENTS_MAX {
                let _ = Arrival::new(stream, now).refuse("too many attachments");
            } else {
                self.admit(stream, pool, now);
            }
        }
    }

    fn admit(&mut self, stream: UnixStream, pool: usize, now: KernelTime) {
        let key = self.arrivals.vacant_key();
        let token = Token(self.first_token + self.pools.len() + key);
        let mut arrival = Arrival::new(stream, self.lonely[pool]);
        if let Err(error) = self.registry.register(arrival.stream(), token, Interest::READABLE) {
            ::log::warn!("an attachment cannot be watched: {error}");
            return;
        }
        self.arrivals.insert((arrival, pool));
        self.count += 1;
        self.deadlines.insert((now + GREETING_US, key));
    }

    /// Refuses who has not greeted in time.
    pub fn handle_deadlines(&mut self, asked: KernelTime) {
        self.accepting.handle_deadline(asked);
        let mut share = Share::default();
        while let Some((_, key)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= asked)
            && share.has_time()
        {
            self.forget(key);
            if self.to_advance.contains(&key) {
                // What it sent in time was not looked at yet.
                self.deadlines.insert((asked + AGAIN_US, key));
            } else if let Some((arrival, _)) = self.take(key) {
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
        self.greetings_bytes = 0;
        self.accepting.clear();
        self.to_advance.clear();
        self.deadlines.clear();
    }

    fn forget(&mut self, key: usize) {
        self.deadlines.retain(|(_, of)| *of != key);
    }
}
