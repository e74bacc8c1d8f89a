//! The connection of a WebSocket client. In: what it sends, and what its [`Session`] has for it. Out: its requests one by one, and
//! frames to it. Guarantee: never blocks; while anything is unsent nothing more is read; what it does wrong ends this client only,
//! with the close code that RFC 6455 section 7.4.1 has for it.

mod sending;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};

use buzzer_core::time::KernelTime;
use mio::net::TcpStream;
use tungstenite::protocol::frame::coding::CloseCode;

use super::handshake::{Discarded, discard};
use crate::game::{Answer, Request};
use crate::wire::frames::{Decoder, FRAME_BYTES_MAX, Item};
use crate::wire::outbox::Outbox;
use crate::wire::outgoing::{Latest, Outgoing};
use crate::wire::session::{self, REQUESTS_PER_SECOND, Session};

/// Memory that all clients use in turn.
#[derive(Debug)]
pub struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
    /// What `output` is made of, and where each ends in it.
    frames: VecDeque<(Outgoing, usize)>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { input: vec![0; FRAME_BYTES_MAX].into(), output: Vec::new(), frames: VecDeque::new() }
    }
}

/// A connected client.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    decoder: Decoder,
    session: Session,
    /// Taken from the outbox and not sent; of the first, `sent` bytes are.
    taken: VecDeque<Outgoing>,
    sent: usize,
    peer: String,
    /// Its socket takes nothing.
    blocked: bool,
    /// epoll is edge-triggered: there may be more to read.
    readable: bool,
    state: State,
    /// The last frame for one that is leaving.
    last: Option<Outgoing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// It has said goodbye, or asks too often: what it asked before is answered, then comes the last frame.
    Leaving,
    /// Our close frame is on its way; the peer's answer is awaited.
    Closing,
    /// The last frame is on its way: what the peer sends is read and forgotten.
    Draining,
    /// The last frame is sent, and so is the end of the stream.
    Shut,
}

/// How a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing to do until its socket is ready.
    Idle,
    /// There is more to read.
    More,
    /// There is something to send.
    Unsent,
    /// Its socket takes nothing.
    Blocked,
    /// It is further behind than the outbox reaches.
    Lost,
    /// It is being closed, and has 2 s for that.
    Closing,
    /// Drop it.
    Gone,
}

impl Client {
    /// A client whose upgrade is written; `tail` came behind its head.
    pub fn new(stream: TcpStream, tail: &[u8], session: Session, peer: String) -> Self {
        let mut decoder = Decoder::default();
        decoder.feed(tail);
        Self {
            stream,
            decoder,
            session,
            taken: VecDeque::new(),
            sent: 0,
            peer,
            blocked: false,
            readable: true,
            state: State::Open,
            last: None,
        }
    }

    /// Where it comes from.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Its socket is ready to read.
    pub const fn set_readable(&mut self) {
        self.readable = true;
    }

    /// Whether its socket takes nothing.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Its socket takes something: whether it did not before, which is progress.
    pub const fn unblock(&mut self) -> bool {
        std::mem::replace(&mut self.blocked, false)
    }

    /// Whether nothing waits for it, here or in its socket's buffer.
    pub fn is_told(&self, outbox: &Outbox) -> bool {
        !self.blocked && self.taken.is_empty() && outbox.is_told(self.session.cursor())
    }

    /// Whether it is on its way out.
    pub fn is_closing(&self) -> bool {
        self.state != State::Open
    }

    /// What is kept for it alone.
    pub fn waiting_bytes(&self) -> usize {
        let taken: usize = self.taken.iter().map(|frame| frame.waiting_bytes(true)).sum();
        self.decoder.waiting_bytes() + taken + self.session.waiting_bytes()
    }

    /// Its next request, at most one frame's bytes being read. It is to be answered.
    ///
    /// # Errors
    /// There is none for now; how the client stands.
    pub fn hear(
        &mut self,
        outbox: &Outbox,
        scratch: &mut Scratch,
        now: KernelTime,
    ) -> Result<Request, Standing> {
        if matches!(self.state, State::Draining | State::Shut) {
            return Err(match discard(&mut self.stream) {
                Discarded::Waiting => Standing::Idle,
                Discarded::More => Standing::More,
                Discarded::Ended if self.state == State::Draining && !self.blocked => Standing::Unsent,
                Discarded::Ended => Standing::Gone,
            });
        }
        if self.is_unsent() {
            return Err(Standing::Idle);
        }
        if let Some(heard) = self.session.hear_parked(outbox) {
            return self.heard(heard);
        }
        if self.state == State::Leaving {
            return Err(if self.session.is_answered() { Standing::Unsent } else { Standing::Idle });
        }
        self.decode(outbox, scratch, now)
    }

    fn heard(&mut self, heard: session::Heard) -> Result<Request, Standing> {
        match heard {
            session::Heard::Request(request) => Ok(request),
            session::Heard::Complaint => Err(Standing::Unsent),
            session::Heard::Parked => Err(Standing::More),
            session::Heard::Full => {
                Err(self.close_deaf(CloseCode::Policy, "too many requests behind a connect".into()))
            }
        }
    }

    fn decode(
        &mut self,
        outbox: &Outbox,
        scratch: &mut Scratch,
        now: KernelTime,
    ) -> Result<Request, Standing> {
        let mut has_read = false;
        loop {
            let item = match self.decoder.next_item() {
                Ok(Some(item)) => item,
                // One read a turn: what comes of it, somebody else may have to wait for.
                Ok(None) if has_read => return Err(Standing::More),
                Ok(None) if !self.readable => return Err(Standing::Idle),
                Ok(None) => {
                    self.read(scratch)?;
                    has_read = true;
                    continue;
                }
                Err(fault) => return Err(self.close_deaf(fault.code(), fault.to_string().into())),
            };
            match item {
                Item::Close(_) if self.state == State::Closing => {
                    return Err(if self.taken.is_empty() { Standing::Gone } else { Standing::Idle });
                }
                Item::Close(code) => return Err(self.leave(Outgoing::CloseBack(code))),
                _ if self.state == State::Closing => {}
                _ if !self.session.may_ask(now) => {
                    let reason = format!("at most {REQUESTS_PER_SECOND} requests a second");
                    return Err(self.leave(Outgoing::Close(CloseCode::Policy, reason.into())));
                }
                Item::Message(message) => {
                    let heard = self.session.hear(message, outbox);
                    return self.heard(heard);
                }
                Item::Ping(payload) => {
                    self.taken.push_back(Outgoing::Pong(payload));
                    return Err(Standing::Unsent);
                }
                Item::Pong => {}
            }
        }
    }

    /// Feeds the decoder once.
    ///
    /// # Errors
    /// There was nothing to read; how the client stands.
    fn read(&mut self, scratch: &mut Scratch) -> Result<(), Standing> {
        match self.stream.read(&mut scratch.input) {
            // It sends no more, and may still read the answers.
            Ok(0) if self.state == State::Open && !self.session.is_answered() => {
                Err(self.leave(Outgoing::CloseBack(None)))
            }
            Ok(0) => Err(Standing::Gone),
            Ok(read) => {
                self.decoder.feed(&scratch.input[..read]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Err(Standing::Idle)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(Standing::More),
            Err(_) => Err(Standing::Gone),
        }
    }

    fn leave(&mut self, last: Outgoing) -> Standing {
        self.state = State::Leaving;
        self.last = Some(last);
        self.decoder = Decoder::default();
        Standing::Closing
    }

    /// Its request is answered.
    pub fn answer(&mut self, answer: &Answer, latest: &mut Latest, outbox: &Outbox) {
        if matches!(self.state, State::Open | State::Leaving) {
            self.session.answer(answer, latest, outbox);
        }
    }

    /// Whether something is to be sent before more is read.
    fn is_unsent(&self) -> bool {
        self.blocked || !self.taken.is_empty() || self.session.cursor().has_private()
    }

    /// Ends it with a close frame, behind the one that is half sent.
    pub fn close(&mut self, code: CloseCode, reason: Cow<'static, str>) -> Standing {
        self.end(State::Closing, code, reason)
    }

    /// The same, and forgets what it has sent: nothing of it is of use any more.
    pub fn close_deaf(&mut self, code: CloseCode, reason: Cow<'static, str>) -> Standing {
        self.end(State::Draining, code, reason)
    }

    fn end(&mut self, state: State, code: CloseCode, reason: Cow<'static, str>) -> Standing {
        if matches!(self.state, State::Open | State::Leaving) {
            self.last = None;
            self.taken.truncate(usize::from(self.sent > 0));
            self.taken.push_back(Outgoing::Close(code, reason));
            self.session.end();
            self.state = state;
        } else if state == State::Draining && self.state == State::Closing {
            self.state = state;
        }
        if self.state == State::Draining {
            self.decoder = Decoder::default();
        }
        Standing::Closing
    }
}
