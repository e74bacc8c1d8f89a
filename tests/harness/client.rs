//! A WebSocket client. In: an address. Out: messages as text, byte for byte as they came. Guarantee: what does not come
//! within [`PATIENCE`] fails the test; nothing is reordered or swallowed.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::{HeaderName, HeaderValue, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::{Error, Message, WebSocket};

use crate::PATIENCE;

/// What the server answered to the request head; a body only if it refused.
pub type Answer = Response<Option<Vec<u8>>>;

/// A connected client.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<TcpStream>,
}

impl Client {
    /// Connects to `/`, if the daemon lives.
    pub fn try_open(address: SocketAddr) -> Option<Self> {
        Self::over(TcpStream::connect(address).ok()?)
    }

    /// Asks for `/` over this connection, if the daemon lives.
    pub fn over(stream: TcpStream) -> Option<Self> {
        let address = stream.peer_addr().ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        let (socket, _) = tungstenite::client(format!("ws://{address}/"), stream).ok()?;
        Some(Self { socket })
    }

    /// Connects to `/`, asking for nothing.
    pub fn open(address: SocketAddr) -> Self {
        Self::open_with(address, "/", &[]).expect("101 Switching Protocols").0
    }

    /// Connects to a path with further headers.
    ///
    /// # Errors
    /// The answer, if it is not 101.
    pub fn open_with(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Self, Answer), Box<Answer>> {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        stream.set_nodelay(true).expect("no delay");
        let mut request = format!("ws://{address}{path}").into_client_request().expect("a request");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header's value");
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        match tungstenite::client(request, stream) {
            Ok((socket, response)) => Ok((Self { socket }, response)),
            Err(HandshakeError::Failure(Error::Http(response))) => Err(response),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Has the kernel keep about so much of what this client does not read, instead of what it likes.
    pub fn keep_bytes(&self, bytes: usize) {
        rustix::net::sockopt::set_socket_recv_buffer_size(self.socket.get_ref(), bytes)
            .expect("a small buffer");
    }

    /// Sends a text message.
    pub fn send(&mut self, text: &str) {
        self.send_message(Message::text(text));
    }

    /// Sends any message.
    pub fn send_message(&mut self, message: Message) {
        self.socket.send(message).expect("it is sent");
    }

    /// Sends one frame as it is.
    pub fn send_frame(&mut self, frame: Frame) {
        self.send_message(Message::Frame(frame));
    }

    /// The next message of any kind.
    ///
    /// # Errors
    /// Whatever ended the connection.
    pub fn message(&mut self) -> Result<Message, Error> {
        loop {
            match self.socket.read() {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("no message in {PATIENCE:?}");
                }
                // A process that was stopped and goes on (signal(7)).
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                message => return message,
            }
        }
    }

    /// The next text message.
    pub fn text(&mut self) -> String {
        match self.message() {
            Ok(Message::Text(text)) => text.as_str().to_owned(),
            other => panic!("a text message, not {other:?}"),
        }
    }

    /// The next text message, as JSON.
    pub fn json(&mut self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Sends a request and gives the next message.
    pub fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.text()
    }

    /// The next message must be this.
    #[track_caller]
    pub fn expect(&mut self, want: &str) {
        assert_eq!(self.text(), want);
    }

    /// The next message must be a buzz of pool `desk`.
    #[track_caller]
    pub fn expect_buzz(&mut self, buzzer: u16) {
        self.expect(&buzz(buzzer));
    }

    /// Nothing has been told that this client has not read: an answer comes behind everything told before it.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        let answer = self.ask(r#"{"list":"pools"}"#);
        assert!(answer.starts_with(r#"{"response":"pools""#), "{answer}");
    }

    /// The close frame with which the daemon ends this client; what comes before it is passed over.
    pub fn close_frame(&mut self) -> CloseFrame {
        loop {
            match self.message() {
                Ok(Message::Close(Some(frame))) => return frame,
                Ok(Message::Close(None)) => panic!("a close frame without a code"),
                Ok(_) => {}
                Err(error) => panic!("no close frame: {error}"),
            }
        }
    }

    /// Reads to the end: the texts until the connection is gone, however it goes.
    pub fn rest(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            match self.message() {
                Ok(Message::Text(text)) => texts.push(text.as_str().to_owned()),
                Ok(_) => {}
                Err(_) => return texts,
            }
        }
    }

    /// Says goodbye and waits until it is over.
    pub fn close(mut self) {
        self.socket.close(None).expect("it is open");
        self.rest();
    }
}

/// The message of a hit in pool `desk`.
pub fn buzz(buzzer: u16) -> String {
    format!(r#"{{"event":"buzz","pool":"desk","buzzer":{buzzer}}}"#)
}

/// The message of a buzzer that has come to pool `desk`.
pub fn connected(buzzer: u16) -> String {
    format!(r#"{{"event":"connected","pool":"desk","buzzer":{buzzer}}}"#)
}
