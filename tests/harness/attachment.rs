//! A program that brings buzzers to a virtual pool. In: a pool's socket. Out: `struct input_event` records on it.
//! Guarantee: it writes exactly what it is told, good or bad; writing blocks while the daemon does not read.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use buzzer_core::io::sys;
use buzzer_core::press::decode::Record;
use buzzer_core::press::keys::KeyCode;
use buzzer_core::time::KernelTime;
use rustix::net::sockopt;

use crate::{FIRST_KEY, PATIENCE};

/// An attachment.
#[derive(Debug)]
pub struct Attachment {
    stream: UnixStream,
}

/// The key of a buzzer.
pub fn key(buzzer: u16) -> KeyCode {
    KeyCode::new(FIRST_KEY - 1 + buzzer).expect("a key code")
}

/// A frame of one key.
pub fn frame(at: KernelTime, key: KeyCode, down: bool) -> Vec<u8> {
    [Record::key(at, key, down).to_bytes(), Record::report(at).to_bytes()].concat()
}

impl Attachment {
    /// Attaches buzzer 1, if the daemon lives.
    pub fn try_open(socket: &Path) -> Option<Self> {
        let mut attachment = Self { stream: UnixStream::connect(socket).ok()? };
        attachment.stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        let greeting = format!("{{\"name\":\"test\",\"buzzers\":{{\"{FIRST_KEY}\":1}}}}\n");
        let sent = attachment.try_send(greeting.as_bytes());
        let mut line = String::new();
        let answered = BufReader::new(&attachment.stream).read_line(&mut line);
        (sent && answered.is_ok() && line.trim_end() == r#"{"ok":true}"#).then_some(attachment)
    }

    /// Connects and says nothing.
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the pool's socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream }
    }

    /// Attaches with these buzzers. The daemon has accepted it then, but its reader may not yet read.
    pub fn open(socket: &Path, name: &str, buzzers: &[u16]) -> Self {
        Self::open_keys(socket, name, buzzers.iter().map(|buzzer| (key(*buzzer), *buzzer)))
    }

    /// Attaches with these keys as these buzzers.
    pub fn open_keys(socket: &Path, name: &str, keys: impl Iterator<Item = (KeyCode, u16)>) -> Self {
        let mut attachment = Self::connect(socket);
        let pairs: Vec<_> = keys.map(|(key, buzzer)| format!("\"{}\":{buzzer}", key.get())).collect();
        let name = serde_json::Value::from(name);
        attachment.send(format!("{{\"name\":{name},\"buzzers\":{{{}}}}}\n", pairs.join(",")).as_bytes());
        assert_eq!(attachment.line(), r#"{"ok":true}"#);
        attachment
    }

    /// A line that the daemon wrote.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(&self.stream).read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    /// Writes bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the daemon reads");
    }

    /// Writes bytes that the daemon may not want; whether it took them all.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => false,
            Err(error) => panic!("neither taken nor refused: {error}"),
        }
    }

    /// Asks for a socket that keeps so many bytes for the daemon; the kernel may give less.
    pub fn enlarge(&self, bytes: usize) {
        sockopt::set_socket_send_buffer_size(&self.stream, bytes).expect("a buffer");
    }

    /// Writes what the socket keeps while the daemon does not read; how many bytes that were.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        self.stream.set_nonblocking(true).expect("it does not block");
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the daemon is there: {error}"),
            }
        }
        self.stream.set_nonblocking(false).expect("it blocks");
        sent
    }

    /// Writes records.
    pub fn records(&mut self, records: &[Record]) {
        let bytes: Vec<u8> = records.iter().flat_map(|record| record.to_bytes()).collect();
        self.send(&bytes);
    }

    /// A buzzer goes down, now.
    pub fn press(&mut self, buzzer: u16) {
        self.send(&frame(sys::now(), key(buzzer), true));
    }

    /// A buzzer goes up, now.
    pub fn release(&mut self, buzzer: u16) {
        self.send(&frame(sys::now(), key(buzzer), false));
    }

    /// A buzzer goes down and up, now. Of two within a debounce time, where there is one, only the first counts.
    pub fn hit(&mut self, buzzer: u16) {
        let now = sys::now();
        self.send(&[frame(now, key(buzzer), true), frame(now, key(buzzer), false)].concat());
    }

    /// Hits a buzzer as long as the daemon is there.
    pub fn try_hit(&mut self, buzzer: u16) -> bool {
        let now = sys::now();
        self.try_send(&[frame(now, key(buzzer), true), frame(now, key(buzzer), false)].concat())
    }

    /// Says that nothing more will come, between two records or inside one.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it is open");
    }

    /// Whether the daemon has said something, or has closed it.
    pub fn is_closed(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("it does not block");
        let read = self.stream.read(&mut [0; 256]);
        self.stream.set_nonblocking(false).expect("it blocks");
        !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Waits until the daemon has closed it.
    pub fn wait_closed(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            // With unread bytes on its side, closing is a reset.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the daemon did not close it: {error}"),
        }
    }
}
