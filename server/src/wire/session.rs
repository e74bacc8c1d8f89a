//! One client's conversation. In: its messages, what it is answered, the time. Out: requests, one at a time, and what it is sent, in
//! order. Guarantee: answers come in the order of the requests; what comes behind a request that is not answered waits, up to
//! [`PARKED_MAX`]; no more than [`REQUESTS_PER_SECOND`] are heard. Who answers, the live mediator or a recording, makes no
//! difference, and neither does the version that is spoken.

use std::collections::VecDeque;

use buzzer_core::time::{KernelTime, Micros};

use super::Wire;
use crate::game::pace::Pace;
use crate::game::{Answer, ClientId, Request};
use crate::wire::outbox::{Cursor, Next, Outbox};
use crate::wire::outgoing::{Latest, Outgoing};

/// Messages that may wait behind a `connect`.
pub const PARKED_MAX: usize = 64;
/// Requests a second, for ever.
pub const REQUESTS_PER_SECOND: u64 = 50;
/// The same, with 100 at once by a client that has been silent.
const REQUESTS: Pace = Pace::new(100, Micros::from_us(1_000_000 / REQUESTS_PER_SECOND));

/// A client's session.
#[derive(Debug)]
pub struct Session {
    wire: &'static dyn Wire,
    cursor: Cursor,
    /// Messages behind the one that is not answered yet.
    parked: VecDeque<Vec<u8>>,
    unanswered: bool,
    pace: Pace,
}

/// What comes of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A request. It is to be answered.
    Request(Request),
    /// It is none, and is answered.
    Complaint,
    /// It waits.
    Parked,
    /// It would be one too many that waits.
    Full,
}

impl Session {
    /// A client that speaks this version and is told everything from now on.
    pub fn new(client: ClientId, wire: &'static dyn Wire, outbox: &Outbox) -> Self {
        let cursor = outbox.join(client);
        Self { wire, cursor, parked: VecDeque::new(), unanswered: false, pace: REQUESTS }
    }

    /// Whether it may send one more now; it counts then.
    pub fn may_ask(&mut self, now: KernelTime) -> bool {
        self.pace.take(now)
    }

    /// It sent a message.
    pub fn hear(&mut self, message: Vec<u8>, outbox: &Outbox) -> Heard {
        if !self.unanswered {
            return self.read(message, outbox);
        }
        if self.parked.len() >= PARKED_MAX {
            return Heard::Full;
        }
        self.parked.push_back(message);
        Heard::Parked
    }

    /// Its next message that waited, once what was before it is answered.
    pub fn hear_parked(&mut self, outbox: &Outbox) -> Option<Heard> {
        let message = if self.unanswered { None } else { self.parked.pop_front() };
        message.map(|message| self.read(message, outbox))
    }

    fn read(&mut self, message: Vec<u8>, outbox: &Outbox) -> Heard {
        match self.wire.read(message) {
            Ok(request) => {
                self.unanswered = true;
                Heard::Request(request)
            }
            Err(complaint) => {
                outbox.tell(&mut self.cursor, Outgoing::Complaint(self.wire, complaint.into()), false);
                Heard::Complaint
            }
        }
    }

    /// Its request is answered. `latest`: an answer that others have, and that is shared if it is the same.
    pub fn answer(&mut self, answer: &Answer, latest: &mut Latest, outbox: &Outbox) {
        self.unanswered = false;
        let (frame, is_shared) = latest.frame(&self.wire.answer(answer));
        outbox.tell(&mut self.cursor, frame, is_shared);
    }

    /// Whether a message waits.
    pub fn is_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Whether it has been answered everything that it asked for.
    pub fn is_answered(&self) -> bool {
        !self.unanswered && self.parked.is_empty()
    }

    /// How far it has been told.
    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// What it is told next; it counts as told.
    pub fn next(&mut self, outbox: &mut Outbox) -> Next {
        outbox.next(&mut self.cursor, self.wire)
    }

    /// It is to be asked and answered nothing more.
    pub fn end(&mut self) {
        self.cursor.forget_private();
        self.parked = VecDeque::new();
        self.unanswered = false;
    }

    /// What is kept for it alone.
    pub fn waiting_bytes(&self) -> usize {
        let parked = self.parked.iter().map(|message| size_of::<Vec<u8>>() + message.capacity());
        parked.sum::<usize>() + self.cursor.private_bytes()
    }
}
