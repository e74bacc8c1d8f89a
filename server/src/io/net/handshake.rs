//! A connection before it speaks WebSocket. In: an accepted stream. Out: a stream whose upgrade is written, with the
//! bytes that came behind the head; or a page, written. Guarantee: an answer leaves completely before the connection
//! changes hands or ends; nothing here blocks; the caller's deadline ends a peer that dawdles.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use crate::wire::http::{self, Access, HEAD_BYTES_MAX, Refusal, Route};

/// Reads of what nobody listens to, in one go.
const DISCARDS_MAX: usize = 16;

/// A connection in its first seconds.
#[derive(Debug)]
pub struct Handshake {
    stream: TcpStream,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Reading the head.
    Head(Vec<u8>),
    /// Writing the answer; then these bytes are the beginning of the WebSocket stream, or it ends.
    Answer { bytes: Vec<u8>, sent: usize, websocket: Option<Vec<u8>> },
    /// Waiting for the peer to close, so that the answer is not lost to a reset.
    Linger,
}

/// How a connection goes on.
#[derive(Debug)]
pub enum HandshakeStep {
    /// Later, when the socket is ready again.
    Wait,
    /// In its next turn: there is more to read.
    Again,
    /// The answer is written, the peer is to close: it has a second for that.
    Linger,
    /// Its stream speaks WebSocket now ([`Handshake::into_stream`]); these bytes came behind the head.
    WebSocket(Vec<u8>),
    /// It is over.
    Done,
}

/// A page that is made when it is asked for: status, content type, body.
pub type HttpPage = (&'static str, &'static str, String);
/// What is true only now.
const FRESH: &str = "Cache-Control: no-store\r\n";

impl Handshake {
    /// A fresh connection.
    pub const fn new(stream: TcpStream) -> Self {
        Self { stream, state: State::Head(Vec::new()) }
    }

    /// The socket, for mio.
    pub const fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The socket, for a client.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// What is kept for it.
    pub const fn waiting_bytes(&self) -> usize {
        match &self.state {
            State::Head(head) => head.capacity(),
            State::Answer { bytes, .. } => bytes.capacity(),
            State::Linger => 0,
        }
    }

    /// Whether its head is not complete yet.
    pub const fn is_asking(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// A connection that makes place for another one: 503, if it has no answer yet.
    pub fn replace(&mut self) -> HandshakeStep {
        self.end("503 Service Unavailable", "too many connections; try again later")
    }

    /// The head did not come in time.
    pub fn time_out(&mut self) -> HandshakeStep {
        self.end("408 Request Timeout", "the request head must come within 5 s")
    }

    fn end(&mut self, status: &'static str, message: &'static str) -> HandshakeStep {
        match self.is_asking() {
            true => self.refuse(&http::refusal(status, "", message)),
            false => HandshakeStep::Done,
        }
    }

    /// The socket is ready. `full`: why no client can be one more; `page` makes the pages that are not refusals; `refused` hears
    /// of the others.
    pub fn advance(
        &mut self,
        access: &Access,
        full: Result<(), &'static str>,
        page: impl FnOnce(&Route) -> HttpPage,
        refused: impl FnOnce(&Refusal),
    ) -> HandshakeStep {
        match &mut self.state {
            State::Head(head) => {
                let mut bytes = [0; 2048];
                loop {
                    let route = http::route(head, access);
                    match route {
                        Route::Incomplete => {}
                        Route::WebSocket { response, head_len } => {
                            if let Err(message) = full {
                                return self.refuse(&http::refusal("503 Service Unavailable", "", message));
                            }
                            let tail = head.split_off(head_len);
                            self.state = State::Answer { bytes: response, sent: 0, websocket: Some(tail) };
                            return self.write();
                        }
                        Route::Refuse(refusal) => {
                            refused(&refusal);
                            return self.refuse(&refusal);
                        }
                        Route::Asset(asset) => {
                            return self.answer("200 OK", &asset.headers, asset.kind, &asset.body);
                        }
                        Route::Health(_) => {
                            let (status, kind, body) = page(&route);
                            return self.answer(status, FRESH, kind, body.as_bytes());
                        }
                    }
                    let room = bytes.len().min(HEAD_BYTES_MAX + 1 - head.len().min(HEAD_BYTES_MAX));
                    match self.stream.read(&mut bytes[..room]) {
                        Ok(0) => return HandshakeStep::Done,
                        Ok(read) => head.extend_from_slice(&bytes[..read]),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return HandshakeStep::Wait;
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(_) => return HandshakeStep::Done,
                    }
                }
            }
            State::Answer { .. } => self.write(),
            State::Linger => match discard(&mut self.stream) {
                Discarded::Ended => HandshakeStep::Done,
                Discarded::Waiting => HandshakeStep::Wait,
                Discarded::More => HandshakeStep::Again,
            },
        }
    }

    fn refuse(&mut self, refusal: &Refusal) -> HandshakeStep {
        let body = format!("{}\n", refusal.message);
        let headers = format!("{}{FRESH}", refusal.header);
        self.answer(refusal.status, &headers, "text/plain; charset=utf-8", body.as_bytes())
    }

    fn answer(&mut self, status: &str, headers: &str, kind: &str, body: &[u8]) -> HandshakeStep {
        let length = body.len();
        let wants_body = !matches!(&self.state, State::Head(head) if http::is_head(head));
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Type: {kind}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        );
        let bytes = [head.as_bytes(), if wants_body { body } else { b"" }].concat();
        self.state = State::Answer { bytes, sent: 0, websocket: None };
        self.write()
    }

    fn write(&mut self) -> HandshakeStep {
        let State::Answer { bytes, sent, websocket } = &mut self.state else { return HandshakeStep::Wait };
        while *sent < bytes.len() {
            match self.stream.write(&bytes[*sent..]) {
                Ok(0) => return HandshakeStep::Done,
                Ok(written) => *sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return HandshakeStep::Wait,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return HandshakeStep::Done,
            }
        }
        if let Some(tail) = websocket.take() {
            return HandshakeStep::WebSocket(tail);
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        self.state = State::Linger;
        HandshakeStep::Linger
    }
}

/// What is left to read of a connection that nobody listens to any more.
pub(crate) enum Discarded {
    Waiting,
    More,
    Ended,
}

/// Reads and forgets. Closing with unread bytes would make the kernel send a reset, which can overtake our last
/// words. At most 64 KiB a call, and then again in its next turn, so that an endless talker
/// holds nobody up; its deadline ends it.
pub(crate) fn discard(stream: &mut TcpStream) -> Discarded {
    let mut bytes = [0; 4096];
    for _ in 0..DISCARDS_MAX {
        match stream.read(&mut bytes) {
            Ok(0) => return Discarded::Ended,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Discarded::Waiting,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Discarded::Ended,
        }
    }
    Discarded::More
}
