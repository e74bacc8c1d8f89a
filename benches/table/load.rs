//! The clients: any number of WebSocket connections in one epoll loop.
//!
//! In: frames. Out: the tally of who got which press when.
//! Guarantees: one `read` takes what a socket holds, one clock reading stamps it; nothing is parsed that has been
//! seen before, so that a thousand clients cost this loop little more than their reads.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use serde_json::Value;

use crate::clock;
use crate::tally::Tally;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Replies and greetings, all at the start.
const PATIENCE: u64 = 10 * clock::SECOND;

struct Client {
    stream: TcpStream,
    /// The begin of a frame whose end has not come yet.
    rest: Vec<u8>,
}

pub(crate) struct Load {
    epoll: OwnedFd,
    clients: Vec<Client>,
    ready: Vec<epoll::Event>,
    buffer: Box<[u8]>,
    /// Payload of the `buzz` of each buzzer, learnt when it first comes.
    known: Vec<(Vec<u8>, u64)>,
    /// Frames that are no `buzz`, in the order of their arrival.
    said: Vec<Value>,
    /// Look at the first client between the others.
    pub(crate) host_between: bool,
    pub(crate) tally: Tally,
}

impl std::fmt::Debug for Load {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Load of {} clients, {:?}", self.clients.len(), self.tally)
    }
}

impl Load {
    /// No client yet; `clients` will be there before the first press.
    pub(crate) fn new(clients: usize) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            clients: Vec::with_capacity(clients),
            ready: Vec::with_capacity(256),
            buffer: vec![0; 64 * 1024].into(),
            known: Vec::new(),
            said: Vec::new(),
            host_between: false,
            tally: Tally::new(clients),
        })
    }

    /// One more client, without a subprotocol: v1.
    pub(crate) fn join(&mut self, server: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(std::time::Duration::from_nanos(PATIENCE)))?;
        // The key is the example of RFC 6455: a proof against caches, of which there are none here.
        let head = format!(
            "GET / HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        // Byte by byte, so that a frame right behind the head stays in the socket.
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            let answer = String::from_utf8_lossy(&answer);
            return Err(io::Error::other(format!(
                "no WebSocket: {}",
                answer.lines().next().unwrap_or_default()
            )));
        }
        stream.set_nonblocking(true)?;
        let token = EventData::new_u64(self.clients.len() as u64);
        epoll::add(&self.epoll, &stream, token, EventFlags::IN)?;
        self.clients.push(Client { stream, rest: Vec::new() });
        Ok(())
    }

    /// Sends a text message as the first client and waits for the answer that has `key`.
    pub(crate) fn ask(&mut self, text: &str, key: &str) -> io::Result<Value> {
        send(&mut self.clients[0].stream, TEXT, text.as_bytes())?;
        let deadline = clock::now() + PATIENCE;
        loop {
            for value in self.said.drain(..) {
                if value.get(key).is_some() {
                    return Ok(value);
                }
                if value.get("error").is_some() {
                    return Err(io::Error::other(format!("{text} was answered by {value}")));
                }
            }
            if !self.take(deadline)? {
                return Err(io::Error::other(format!("{text} was not answered")));
            }
        }
    }

    /// Waits for frames until `deadline` and takes what is there; false when nothing came.
    pub(crate) fn take(&mut self, deadline: u64) -> io::Result<bool> {
        let timeout = clock::span(deadline.saturating_sub(clock::now()));
        self.ready.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(true),
            done => done?,
        };
        for at in 0..self.ready.len() {
            let index = self.ready[at].data.u64() as usize;
            self.read(index)?;
            if self.host_between && at % 16 == 15 {
                self.read(0)?;
            }
        }
        Ok(!self.ready.is_empty())
    }

    /// Takes frames until press number `press` (from 1) is complete everywhere; false when time ran out.
    pub(crate) fn take_until(&mut self, press: u64, patience: u64) -> io::Result<bool> {
        let deadline = clock::now() + patience;
        while self.tally.complete() < press {
            if !self.take(deadline)? && clock::now() >= deadline {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read(&mut self, index: usize) -> io::Result<()> {
        let client = &mut self.clients[index];
        let kept = client.rest.len();
        self.buffer[..kept].copy_from_slice(&client.rest);
        let count = match client.stream.read(&mut self.buffer[kept..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Ok(0) => return Err(io::Error::other(format!("the server closed client {index}"))),
            done => done?,
        };
        let now = clock::now();
        let mut at = 0;
        while let Some((opcode, payload)) = next(&self.buffer[at..kept + count])? {
            let text = at + payload.start..at + payload.end;
            at = text.end;
            let payload = &self.buffer[text];
            match opcode {
                TEXT => match self.known.iter().find(|(known, _)| known == payload) {
                    Some(&(_, buzzer)) => self.tally.frame(index, buzzer, now),
                    None => {
                        let value: Value = serde_json::from_slice(payload)?;
                        match value["buzzer"].as_u64() {
                            Some(buzzer) if value["event"] == "buzz" => {
                                self.known.push((payload.to_vec(), buzzer));
                                self.tally.frame(index, buzzer, now);
                            }
                            _ => self.said.push(value),
                        }
                    }
                },
                PING => send(&mut self.clients[index].stream, PONG, payload)?,
                CLOSE => return Err(io::Error::other(format!("the server said goodbye to client {index}"))),
                _ => return Err(io::Error::other(format!("frame with opcode {opcode}"))),
            }
        }
        let client = &mut self.clients[index];
        client.rest.clear();
        client.rest.extend_from_slice(&self.buffer[at..kept + count]);
        Ok(())
    }
}

/// Opcode and place of the payload of the frame at the start of `bytes`, once it is there as a whole.
fn next(bytes: &[u8]) -> io::Result<Option<(u8, std::ops::Range<usize>)>> {
    let (Some(&head), Some(&length)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    if head & 0xf0 != 0x80 {
        return Err(io::Error::other("a fragment or an extension that nobody asked for"));
    }
    let (start, length) = match length {
        126 => match bytes.get(2..4) {
            Some(long) => (4, usize::from(u16::from_be_bytes([long[0], long[1]]))),
            None => return Ok(None),
        },
        127.. => return Err(io::Error::other("a masked frame, or one that no server here would send")),
        short => (2, usize::from(short)),
    };
    let end = start + length;
    Ok((end <= bytes.len()).then_some((head & 0x0f, start..end)))
}

/// One short frame as a client sends it. The mask is zero, which changes nothing and is legal.
fn send(stream: &mut TcpStream, opcode: u8, payload: &[u8]) -> io::Result<()> {
    assert!(payload.len() < 126, "longer than anything the benchmark has to say");
    let mut frame = vec![0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    stream.write_all(&frame)
}
