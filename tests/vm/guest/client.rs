//! A v1 client.
//!
//! Enters commands; leaves the server's frames, one JSON value each, in the order in which they came. Every wait ends.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket};

use crate::deadline::{Deadline, Outcome, Why, same};

/// An open WebSocket without a subprotocol, so the seed protocol counts.
#[derive(Debug)]
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address).why("TCP")?;
        stream.set_nodelay(true).why("TCP")?;
        // Short, so that the deadline is looked at; what has been read of a frame is kept.
        stream.set_read_timeout(Some(Duration::from_secs(1))).why("TCP")?;
        let (socket, _) =
            tungstenite::client(format!("ws://{address}/"), stream).why("WebSocket handshake")?;
        Ok(Self { socket })
    }

    /// The connection below, for who is to end it.
    pub(crate) fn stream(&self) -> Outcome<TcpStream> {
        self.socket.get_ref().try_clone().why("TCP")
    }

    pub(crate) fn send(&mut self, message: &Value) -> Outcome {
        self.socket.send(Message::text(message.to_string())).why("send")
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Outcome<Value> {
        match self.message()? {
            Message::Text(text) => serde_json::from_str(&text).why(format!("frame {text}")),
            other => Err(format!("not a text frame: {other:?}")),
        }
    }

    /// Waits for the server's close frame: its code.
    pub(crate) fn closed(&mut self) -> Outcome<u16> {
        loop {
            match self.message()? {
                Message::Close(Some(frame)) => return Ok(frame.code.into()),
                Message::Close(None) => return Err("a close frame without a code".to_owned()),
                _ => {}
            }
        }
    }

    fn message(&mut self) -> Outcome<Message> {
        let deadline = Deadline::start();
        loop {
            match self.socket.read() {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(message) => return Ok(message),
                Err(Error::Io(error)) if would_block(&error) => {
                    if deadline.is_over() {
                        return Err("no frame came".to_owned());
                    }
                }
                Err(error) => return Err(format!("read: {error}")),
            }
        }
    }

    /// The next frame is exactly this one.
    pub(crate) fn expect(&mut self, expected: &Value) -> Outcome {
        let seen = self.next().map_err(|why| format!("{why}; expected {expected}"))?;
        same("frame", &seen, expected)
    }

    pub(crate) fn expect_buzz(&mut self, pool: &str, buzzer: u64) -> Outcome {
        self.expect(&json!({"event": "buzz", "pool": pool, "buzzer": buzzer}))
    }

    pub(crate) fn expect_connected(&mut self, pool: &str, buzzers: &[u64]) -> Outcome {
        buzzers.iter().try_for_each(|buzzer| {
            self.expect(&json!({"event": "connected", "pool": pool, "buzzer": buzzer}))
        })
    }

    pub(crate) fn expect_disconnected(&mut self, pool: &str, buzzer: Option<u64>) -> Outcome {
        self.expect(&json!({"event": "disconnected", "pool": pool, "buzzer": buzzer}))
    }

    /// Sends and gives the next frame.
    pub(crate) fn ask(&mut self, message: &Value) -> Outcome<Value> {
        self.send(message)?;
        self.next()
    }

    /// The ids of the available pools.
    pub(crate) fn pools(&mut self) -> Outcome<Value> {
        Ok(self.ask(&json!({"list": "pools"}))?["pools"].take())
    }

    pub(crate) fn ask_connect(&mut self, pool: &str) -> Outcome<Value> {
        self.ask(&json!({"command": "connect", "pool": pool}))
    }

    /// Connects a pool that has these buzzers.
    pub(crate) fn connect_pool(&mut self, pool: &str, buzzers: &[u64]) -> Outcome {
        let seen = self.ask_connect(pool)?;
        same("connect", &seen, &json!({"result": "connect", "pool": pool, "buzzers": buzzers}))
    }
}

fn would_block(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
