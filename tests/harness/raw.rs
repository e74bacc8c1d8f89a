//! A bare TCP connection. In: bytes. Out: bytes. Guarantee: nothing is added, so broken HTTP and broken WebSocket frames
//! can be sent, and answers are seen as they are on the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// A connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

/// A head that asks for WebSocket.
pub const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

impl Raw {
    /// Connects.
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream }
    }

    /// Connects and upgrades to WebSocket.
    pub fn websocket(address: SocketAddr) -> Self {
        let mut raw = Self::open(address);
        raw.send(UPGRADE.as_bytes());
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Writes bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it is sent");
    }

    /// Writes bytes again and again until nobody takes them any more.
    pub fn send_until_refused(&mut self, bytes: &[u8]) {
        loop {
            match self.stream.write_all(bytes) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    return;
                }
                Err(error) => panic!("neither taken nor refused: {error}"),
            }
        }
    }

    /// Says that nothing more will come.
    pub fn finish(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    }

    /// Exactly so many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("more bytes");
        bytes
    }

    /// The head of an answer, blank line included.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.bytes(1));
        }
        String::from_utf8(head).expect("ASCII")
    }

    /// Everything until the end of the stream.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("it was not closed: {error}"),
        }
    }

    /// The next frame of the server: its first byte and its payload, at most 125 bytes.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.bytes(2);
        assert!(head[1] < 126, "a short frame without a mask");
        (head[0], self.bytes(head[1].into()))
    }

    /// The close frame with which the server ends this connection: its code. Pongs before it are passed over.
    pub fn close_code(&mut self) -> u16 {
        loop {
            match self.frame() {
                (0x88, payload) => return u16::from_be_bytes([payload[0], payload[1]]),
                (0x8a, _) => {}
                other => panic!("a close frame, not {other:?}"),
            }
        }
    }
}

/// A client's frame: first byte, then the payload under a mask.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
