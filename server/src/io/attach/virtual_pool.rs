//! Attachments to virtual pools, up to their first event. In: connections to a pool's Unix socket and their one line of
//! JSON. Out: a checked [`Greeting`] and the stream behind it, ready for the reader. Guarantee: a line of at most 64 KiB,
//! answered by one short line that says `ok` or what is wrong; a bad one ends that attachment only.

use buzzer_core::quote::{Quoted, kernel_words};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use buzzer_core::event::Buzzer;
use buzzer_core::press::keys::{KeyCode, KeyMap};
use buzzer_core::time::KernelTime;
use mio::net::UnixStream;
use serde_json::Value;

/// The longest greeting.
const GREETING_BYTES_MAX: usize = 64 * 1024;
/// The longest name of an attachment.
const NAME_CHARS_MAX: usize = 128;

/// A connection whose greeting is on its way.
#[derive(Debug)]
pub struct Arrival {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// When it is known to have said nothing that was not read.
    drained: KernelTime,
}

/// A checked greeting.
#[derive(Debug, PartialEq, Eq)]
pub struct Greeting {
    /// What the attachment calls itself.
    pub name: String,
    /// Which key is which buzzer.
    pub keys: KeyMap,
}

/// How an arrival goes on.
#[derive(Debug)]
pub enum GreetingStep {
    /// Later, when the socket is ready again.
    Wait(Arrival),
    /// It is attached: the stream, bytes that came behind the greeting, and when it is known to have said nothing that was
    /// not read: these bytes and those that follow may be as old as that.
    Attached(Greeting, OwnedFd, (Vec<u8>, KernelTime)),
    /// It was refused, for this reason.
    Refused(String),
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl Arrival {
    /// A fresh connection, of somebody who was not there at `drained`.
    pub const fn new(stream: UnixStream, drained: KernelTime) -> Self {
        Self { stream, bytes: Vec::new(), drained }
    }

    /// The socket, for mio.
    pub const fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// What has come of its greeting.
    pub const fn waiting_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The socket is ready. `now`: read before. `may`: asked of a greeting that is whole and well; an attachment makes records.
    pub fn advance(mut self, now: KernelTime, may: impl FnOnce(&Greeting) -> bool) -> GreetingStep {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return GreetingStep::Refused("closed before its greeting was complete".into()),
                Ok(read) => {
                    let searched = self.bytes.len();
                    self.bytes.extend_from_slice(&bytes[..read]);
                    let end = bytes[..read].iter().position(|byte| *byte == b'\n').map(|end| searched + end);
                    if end.unwrap_or(self.bytes.len()) > GREETING_BYTES_MAX {
                        return self.refuse("the greeting is longer than 64 KiB");
                    }
                    if let Some(end) = end {
                        let mut rest = self.bytes.split_off(end + 1);
                        if rest.is_empty() {
                            self.look_behind(now, &mut rest);
                        }
                        return self.greet(rest, may);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drained = now;
                    return GreetingStep::Wait(self);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return GreetingStep::Refused(kernel_words(&error)),
            }
        }
    }

    /// Who waits for the answer has said nothing behind the greeting.
    fn look_behind(&mut self, now: KernelTime, rest: &mut Vec<u8>) {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(read) => rest.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drained = now,
            // The reader will see it too.
            Err(_) => {}
        }
    }

    /// Refuses it.
    pub fn refuse(mut self, message: &str) -> GreetingStep {
        let _ = self.answer(false, Some(message));
        GreetingStep::Refused(message.to_owned())
    }

    fn greet(mut self, rest: Vec<u8>, may: impl FnOnce(&Greeting) -> bool) -> GreetingStep {
        match greeting(&self.bytes) {
            Ok(greeting) if !may(&greeting) => {
                self.refuse("this pool was attached to too often in the last seconds; try again in a while")
            }
            Ok(greeting) => match self.answer(true, None) {
                Ok(()) => GreetingStep::Attached(greeting, self.stream.into(), (rest, self.drained)),
                Err(error) => GreetingStep::Refused(kernel_words(&error)),
            },
            Err(message) => self.refuse(&message),
        }
    }

    fn answer(&mut self, ok: bool, message: Option<&str>) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Answer { ok, message })?;
        line.push(b'\n');
        // A fresh socket takes a line of this length whole.
        self.stream.write_all(&line)
    }
}

/// Checks a greeting.
fn greeting(line: &[u8]) -> Result<Greeting, String> {
    let shape = r#"expected {"name":"left desk","buzzers":{"704":1}}"#;
    let line: Value =
        serde_json::from_slice(line).map_err(|_| format!("the greeting is no JSON; {shape}"))?;
    let text =
        line.get("name").and_then(Value::as_str).ok_or_else(|| format!("name: there is no text; {shape}"));
    let name = text?.to_owned();
    if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(format!(
            "name: expected at most {NAME_CHARS_MAX} characters, none of them a control character"
        ));
    }
    let buzzers = line.get("buzzers").and_then(Value::as_object);
    let buzzers = buzzers
        .filter(|buzzers| !buzzers.is_empty())
        .ok_or_else(|| format!("buzzers: there is none; {shape}"))?;
    let mut pairs = Vec::with_capacity(buzzers.len());
    for (key, found) in buzzers {
        let code: KeyCode = key.parse().map_err(|error| format!("buzzers: {error}"))?;
        let buzzer = found.as_u64().and_then(|number| u16::try_from(number).ok()).ok_or_else(|| {
            let found = Quoted(&found.to_string()).to_string();
            format!("buzzers: found {found} for {}, expected a buzzer number from 0 to 65535", Quoted(key))
        })?;
        pairs.push((code, Buzzer(buzzer)));
    }
    Ok(Greeting { name, keys: KeyMap::new(pairs) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_names_keys_and_buzzers() {
        let greeting =
            greeting(br#"{"name":"left desk","buzzers":{"704":1,"709":2,"KEY_ENTER":65535}}"#).unwrap();
        assert_eq!(greeting.name, "left desk");
        assert_eq!(greeting.keys.buzzers(), [Buzzer(1), Buzzer(2), Buzzer(65535)]);
    }

    #[test]
    fn a_bad_greeting_is_refused_with_its_reason() {
        for (line, want) in [
            (&b"nonsense"[..], "no JSON; expected {"),
            (b"[]", "expected {\"name\""),
            (br#"{"name":"x","buzzers":{}}"#, "there is none"),
            (br#"{"name":"x","buzzers":{"768":1}}"#, "is no key"),
            (br#"{"name":"x","buzzers":{"1":65536}}"#, "expected a buzzer number from 0 to 65535"),
            (br#"{"name":"x","buzzers":{"1":-1}}"#, "expected a buzzer number from 0 to 65535"),
            (br#"{"buzzers":{"1":1}}"#, "name: there is no text"),
            (b"{\"name\":\"\\u0007\",\"buzzers\":{\"1\":1}}", "control character"),
        ] {
            let error = greeting(line).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_a_short_line() {
        let long = "x".repeat(60_000);
        for (line, want) in [
            (format!("{{\"name\":\"x\",\"buzzers\":{{\"{long}\":1}}}}"), "is no key"),
            (format!("{{\"name\":\"x\",\"buzzers\":{{\"1\":\"{long}\"}}}}"), "expected a buzzer number"),
            (format!("{{\"name\":\"x\",\"buzzers\":\"{long}\"}}"), "; expected {"),
        ] {
            let error = greeting(line.as_bytes()).unwrap_err();
            assert!(error.contains(want) && error.len() < 500, "{error}");
        }
    }
}
