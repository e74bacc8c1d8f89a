//! The contestants: attachments to the virtual pool.
//!
//! In: the number of a press. Out: its records on the Unix socket, and the time just before they were written.
//! Guarantees: a press is one `write`; its stamp is taken before it, so that the way into the server is part of what
//! is measured.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::clock::{self, MS};
use crate::record::{self, BUZZERS, buzzer_of, key_of};

/// Well inside the settle window: nothing is late.
const SPREAD: u64 = MS;

#[derive(Debug)]
pub(crate) struct Presser {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// The last stamp: none may be before it.
    stamped: u64,
}

impl Presser {
    /// Attaches a device that carries every buzzer.
    pub(crate) fn attach(socket: &Path) -> io::Result<Self> {
        let buzzers: Vec<String> =
            (1..=BUZZERS).map(|buzzer| format!(r#""{}":{buzzer}"#, key_of(buzzer))).collect();
        Self::with(socket, &format!(r#"{{"name":"bench","buzzers":{{{}}}}}"#, buzzers.join(",")))
    }

    /// Attaches a second device with one buzzer more, which is never pressed: the server cannot know that.
    pub(crate) fn idle(socket: &Path) -> io::Result<Self> {
        let buzzer = BUZZERS + 1;
        Self::with(socket, &format!(r#"{{"name":"idle","buzzers":{{"{}":{buzzer}}}}}"#, key_of(buzzer)))
    }

    fn with(socket: &Path, header: &str) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(format!("{header}\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" {
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        if answer["ok"] != true {
            return Err(io::Error::other(format!("attachment refused: {answer}")));
        }
        Ok(Self { stream, bytes: Vec::new(), stamped: 0 })
    }

    /// Down. Returns the time of the press.
    pub(crate) fn press(&mut self, press: u64) -> io::Result<u64> {
        self.edge(press, true)
    }

    /// Up again, so that the next press of this buzzer is one.
    pub(crate) fn release(&mut self, press: u64) -> io::Result<()> {
        self.edge(press, false).map(drop)
    }

    /// Down and up at once, for each of `presses`, in one write.
    ///
    /// The stamps are spread over the time since the last write, as those of a device whose reports have piled up:
    /// reports of one stamp would be a tie, which the server rightly draws, and then no order could be checked.
    pub(crate) fn tap(&mut self, presses: Range<u64>) -> io::Result<()> {
        let mut now = clock::now();
        let (count, since) = (presses.end - presses.start, self.stamped.max(now.saturating_sub(SPREAD)));
        // A microsecond for each: a million presses a second is the most that one device can say apart.
        while now < since + count * (MS / 1000) {
            now = clock::now();
        }
        self.bytes.clear();
        for (place, press) in (1..).zip(presses) {
            let key = key_of(buzzer_of(press));
            let at = since + (now - since) * place / count;
            record::put_edge(&mut self.bytes, key, true, at);
            record::put_edge(&mut self.bytes, key, false, at);
        }
        self.stamped = now;
        self.stream.write_all(&self.bytes)
    }

    fn edge(&mut self, press: u64, down: bool) -> io::Result<u64> {
        let now = clock::now();
        self.stamped = now;
        self.bytes.clear();
        record::put_edge(&mut self.bytes, key_of(buzzer_of(press)), down, now);
        self.stream.write_all(&self.bytes)?;
        Ok(now)
    }
}
