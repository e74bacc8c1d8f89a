//! The ring between the reader and the server. In: events, from one thread. Out: the same events, on one other
//! thread. Guarantee: lock-free, bounded, never overwrites; a full ring gives the event back and the caller keeps
//! it; the receiver is told to wake when it sleeps and something was published ([`crate::merge::wake`]).

use std::sync::Arc;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::event::Event;
use crate::merge::wake::Doorbell;

/// Events the ring holds, 128 KiB of them. What does not fit waits in [`crate::merge::order`], so this only has to cover the
/// time in which the server does other things.
pub const RING_EVENTS: usize = 4096;

/// The reader's end.
#[derive(Debug)]
pub struct Sender {
    ring: Producer<Event>,
    bell: Arc<Doorbell>,
}

/// The server's end.
#[derive(Debug)]
pub struct Receiver {
    ring: Consumer<Event>,
    bell: Arc<Doorbell>,
}

/// A ring for `events` events.
pub fn ring(events: usize) -> (Sender, Receiver) {
    let (producer, consumer) = RingBuffer::new(events);
    let bell = Arc::new(Doorbell::default());
    (Sender { ring: producer, bell: Arc::clone(&bell) }, Receiver { ring: consumer, bell })
}

impl Sender {
    /// Publishes an event; `false` if there is no room.
    pub fn push(&mut self, event: Event) -> bool {
        match self.ring.push(event) {
            Ok(()) => true,
            Err(PushError::Full(_)) => false,
        }
    }

    /// After a batch: whether the receiver sleeps and must be woken.
    pub fn must_wake(&self) -> bool {
        self.bell.must_ring()
    }

    /// Whether the receiver is gone.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }
}

impl Receiver {
    /// The next event.
    pub fn pop(&mut self) -> Option<Event> {
        self.ring.pop().ok()
    }

    /// Whether the thread may sleep; `false` if there is an event.
    pub fn may_sleep(&self) -> bool {
        self.bell.may_sleep(|| self.ring.is_empty())
    }

    /// The thread is awake again.
    pub fn awake(&self) {
        self.bell.awake();
    }
}
