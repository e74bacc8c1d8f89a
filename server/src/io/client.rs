//! One WebSocket client. In: what it sends, and its place in the outbox. Out: its messages, and frames to it.
//! Guarantee: never blocks; reads no more than 64 messages at a time; while its socket takes nothing, nothing more is
//! copied for it (the outbox's bounds then decide its fate) and nothing more is read from it; what it does wrong ends
//! this client only, with the close code that RFC 6455 section 7.4.1 has for it.

use std::io::ErrorKind;
use std::net::Shutdown;

use mio::net::TcpStream;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, Utf8Bytes, WebSocket};

use super::handshake::{Discarded, discard};
use crate::outbox::{Cursor, Next, Outbox};

/// The longest message from a client.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Messages read in one go.
const MESSAGES_MAX: usize = 64;
/// Frames are gathered up to here, then one `write(2)` sends them all.
const GATHER_BYTES: usize = 4 * 1024;

/// A connected client.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<TcpStream>,
    cursor: Cursor<Utf8Bytes>,
    peer: String,
    /// Its socket takes nothing.
    blocked: bool,
    /// epoll is edge-triggered: there may be more to read.
    readable: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A close frame is on its way; the peer's answer is awaited.
    Closing,
    /// The peer cannot be understood any more: its bytes are read and forgotten.
    Deaf,
}

/// What a client sent.
#[derive(Debug)]
pub enum Incoming {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message, as lossy text.
    Binary(String),
}

/// How a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing to do until its socket is ready.
    Idle,
    /// There is more to read.
    More,
    /// Its socket takes nothing.
    Blocked,
    /// More waits for it than the outbox keeps for one client.
    Lost,
    /// It is being closed, and has 2 s for that.
    Closing,
    /// Drop it.
    Gone,
}

impl Client {
    /// A client whose upgrade is written; `tail` came behind its head.
    pub fn new(stream: TcpStream, tail: Vec<u8>, cursor: Cursor<Utf8Bytes>, peer: String) -> Self {
        // The defaults would cost 128 KiB of memory per client, zero-filled at every read, and buffer without limit.
        let config = WebSocketConfig::default()
            .read_buffer_size(2048)
            .write_buffer_size(GATHER_BYTES)
            .max_write_buffer_size(1024 * 1024)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let socket = WebSocket::from_partially_read(stream, tail, Role::Server, Some(config));
        Self { socket, cursor, peer, blocked: false, readable: true, state: State::Open }
    }

    /// The socket, for mio.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    /// Where it comes from.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Its place in the outbox.
    pub const fn cursor(&mut self) -> &mut Cursor<Utf8Bytes> {
        &mut self.cursor
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
    pub fn is_told(&self, outbox: &Outbox<Utf8Bytes>) -> bool {
        !self.blocked && outbox.is_told(&self.cursor)
    }

    /// Whether it is no longer told anything.
    pub fn is_closing(&self) -> bool {
        self.state != State::Open
    }

    /// Reads what there is, up to 64 messages.
    pub fn read(&mut self, mut message: impl FnMut(Incoming)) -> Standing {
        if self.state == State::Deaf {
            return match discard(self.stream()) {
                Discarded::Waiting => Standing::Idle,
                Discarded::Ended => Standing::Gone,
            };
        }
        if self.blocked || !self.readable {
            return Standing::Idle;
        }
        for _ in 0..MESSAGES_MAX {
            match self.socket.read() {
                Ok(Message::Text(text)) if self.state == State::Open => message(Incoming::Text(text)),
                Ok(Message::Binary(bytes)) if self.state == State::Open => {
                    message(Incoming::Binary(String::from_utf8_lossy(&bytes).into_owned()));
                }
                // Pings are answered by the library with the next read or flush; after a close nobody listens.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Standing::Idle;
                }
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(Error::Capacity(_)) => {
                    return self.turn_deaf(CloseCode::Size, "a message may have at most 8 KiB");
                }
                Err(Error::Utf8(_)) => return self.turn_deaf(CloseCode::Invalid, "text must be UTF-8"),
                Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                    return Standing::Gone;
                }
                Err(Error::Protocol(error)) => {
                    return self.turn_deaf(CloseCode::Protocol, &error.to_string());
                }
                Err(_) => return Standing::Gone,
            }
        }
        Standing::More
    }

    /// Sends it what waits for it, until its socket takes no more.
    pub fn serve(&mut self, outbox: &Outbox<Utf8Bytes>) -> Standing {
        if self.state == State::Deaf {
            return Standing::Closing;
        }
        loop {
            match self.socket.flush() {
                Ok(()) => {}
                Err(error) if would_block(&error) => {
                    self.blocked = true;
                    return Standing::Blocked;
                }
                Err(_) => return Standing::Gone,
            }
            if self.state == State::Closing {
                return Standing::Closing;
            }
            let mut gathered = 0;
            while gathered < GATHER_BYTES {
                match outbox.next(&mut self.cursor) {
                    Next::Frame(frame) => {
                        gathered += frame.len();
                        match self.socket.write(Message::Text(frame)) {
                            // Queued: it must not be sent again, and leaves with the next flush.
                            Ok(()) => {}
                            Err(error) if would_block(&error) => break,
                            Err(_) => return Standing::Gone,
                        }
                    }
                    Next::Done if gathered > 0 => break,
                    Next::Done => return if self.readable { Standing::More } else { Standing::Idle },
                    Next::Lost => return Standing::Lost,
                }
            }
        }
    }

    /// Ends it with a close frame.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Standing {
        if self.state != State::Open {
            return Standing::Closing;
        }
        self.state = State::Closing;
        let frame = CloseFrame { code, reason: reason.to_owned().into() };
        match self.socket.close(Some(frame)).and_then(|()| self.socket.flush()) {
            Ok(()) => Standing::Closing,
            Err(error) if would_block(&error) => Standing::Closing,
            Err(_) => Standing::Gone,
        }
    }

    fn turn_deaf(&mut self, code: CloseCode, reason: &str) -> Standing {
        let standing = self.close(code, reason);
        self.state = State::Deaf;
        let _ = self.stream().shutdown(Shutdown::Write);
        standing
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}
