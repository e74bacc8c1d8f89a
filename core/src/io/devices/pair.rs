//! Watching two buttons. In: open nodes of one device or two, and what ends it. Out: their presses as they come, with the
//! kernel's stamps, and what did not count. Guarantee: the same decoding, debounce and judgement of stamps as in a game;
//! it sleeps until a report comes, and returns when it is told to, when a signal asks for it or when a device leaves.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::evdev_node::Node;
use super::measure::{MeasureError, drain};
use crate::event::{Buzzer, DeviceId, Event, EventKind, Flags};
use crate::io::reader::run_delay::RunDelay;
use crate::io::sys;
use crate::merge::pass::Clock;
use crate::press::keys::KeyMap;
use crate::press::stamp::Stamps;
use crate::press::stream::{Stream, StreamOptions};
use crate::press::waits::Waits;
use crate::time::{KernelTime, Micros};

/// A device that is watched.
#[derive(Debug)]
pub struct Watched {
    fd: OwnedFd,
    stream: Stream,
}

/// What a watched button did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was pressed at this stamp.
    Press(Buzzer, KernelTime),
    /// Its contact bounced.
    Bounce,
    /// It was pressed at a time that nobody knows: events were lost, or the stamp cannot be trusted.
    Untimed,
}

impl Watched {
    /// A device that was opened, which of its keys are to be told as which buzzer, and its debounce.
    pub fn new(node: Node, keys: KeyMap, debounce_us: Micros) -> Self {
        let options = StreamOptions {
            device: DeviceId::new(0),
            stamps: Stamps::Kernel,
            since: node.since,
            drained: node.since,
            keys,
            held: node.held,
            debounce_us,
            settle_us: Micros::ZERO,
        };
        Self { fd: node.fd, stream: Stream::new(&options) }
    }

    /// Reads what there is. `true`: there may be more.
    fn drain(&mut self, run_delay: &RunDelay, seen: &mut Vec<Seen>) -> Result<bool, MeasureError> {
        let pass = sys::now();
        let has_more = drain(&self.fd, |bytes| {
            // No stamp here is the reader's, so nothing asks what its waits prove.
            let (read, late) = (sys::now(), || run_delay.since_mark());
            let clock = Clock { pass, read, waits: &Waits::default(), late };
            let fed = self.stream.feed(bytes, &clock, &mut |event| seen.extend(of(event)));
            Ok(fed.map_err(|garbage| io::Error::new(io::ErrorKind::InvalidData, garbage))?)
        })?;
        if !has_more {
            self.stream.set_drained(pass);
        }
        if self.stream.needs_resync() {
            let actual = sys::key_state(&self.fd)?;
            self.stream.resync(&actual, sys::now(), &mut |event| seen.extend(of(event)));
        }
        Ok(has_more)
    }
}

/// What an event means here.
const fn of(event: Event) -> Option<Seen> {
    match event.kind {
        EventKind::Press { buzzer, flags, .. } => {
            let doubt =
                flags.has(Flags::STALE_STAMP) || flags.has(Flags::LATE) || flags.has(Flags::RECOVERED);
            Some(if doubt { Seen::Untimed } else { Seen::Press(buzzer, event.at) })
        }
        EventKind::Ignored { down: true, .. } => Some(Seen::Bounce),
        _ => None,
    }
}

/// Watches until `take` breaks off, or until `stop` is readable.
///
/// # Errors
/// [`MeasureError`]; what came before was given to `take`.
pub fn watch(
    devices: &mut [Watched],
    stop: &mut impl Source,
    mut take: impl FnMut(Seen) -> ControlFlow<()>,
) -> Result<(), MeasureError> {
    const STOP: Token = Token(0);
    let mut poll = Poll::new()?;
    poll.registry().register(stop, STOP, Interest::READABLE)?;
    for (device, token) in devices.iter().zip(1..) {
        poll.registry().register(&mut SourceFd(&sys::raw(&device.fd)), Token(token), Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(4);
    // Without a count of it a press that was read late does not count.
    let (mut run_delay, _) = RunDelay::new();
    let mut seen = Vec::new();
    loop {
        let mut has_more = false;
        let drained = devices.iter_mut().try_for_each(|device| {
            has_more |= device.drain(&run_delay, &mut seen)?;
            Ok::<_, MeasureError>(())
        });
        if seen.drain(..).try_for_each(&mut take).is_break() {
            return Ok(());
        }
        drained?;
        run_delay.mark();
        let wait = has_more.then_some(Duration::ZERO);
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            Err(_) => run_delay.interrupt(),
            Ok(()) if events.iter().any(|event| event.token() == STOP) => return Ok(()),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::press::decode::Record;
    use crate::press::keys::{KeyBits, KeyCode};
    use mio::unix::pipe;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    const KEY: KeyCode = KeyCode::new(30).unwrap();

    /// A watched device and its other end; its key is this buzzer.
    fn device(buzzer: u16) -> (Watched, UnixStream) {
        let (from, to) = UnixStream::pair().unwrap();
        from.set_nonblocking(true).unwrap();
        let node = Node { fd: from.into(), since: KernelTime::ZERO, held: KeyBits::NONE, grabbed: true };
        (Watched::new(node, KeyMap::new([(KEY, Buzzer(buzzer))]), Micros::from_ms(15)), to)
    }

    fn send(to: &mut UnixStream, edges: &[(KernelTime, bool)]) {
        for (at, down) in edges {
            for record in [Record::key(*at, KEY, *down), Record::report(*at)] {
                to.write_all(&record.to_bytes()).unwrap();
            }
        }
    }

    #[test]
    fn presses_of_both_are_told_with_their_stamps_and_bounce_is_not_one() {
        let ((a, mut to_a), (b, mut to_b)) = (device(0), device(1));
        let now = sys::now();
        let after = |ms| now + Micros::from_us(ms);
        send(&mut to_a, &[(after(1), true), (after(2), false), (after(3), true)]);
        send(&mut to_b, &[(after(2), true)]);
        let (_sender, mut stop) = pipe::new().unwrap();
        let mut seen = Vec::new();
        watch(&mut [a, b], &mut stop, |one| {
            seen.push(one);
            if seen.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        let want = [Seen::Press(Buzzer(0), after(1)), Seen::Bounce, Seen::Press(Buzzer(1), after(2))];
        assert_eq!(seen, want);
    }

    #[test]
    fn a_stamp_that_cannot_be_true_is_told_as_none() {
        let (a, mut to_a) = device(0);
        send(&mut to_a, &[(KernelTime::from_us(5), true)]);
        let (_sender, mut stop) = pipe::new().unwrap();
        let mut seen = Vec::new();
        watch(&mut [a], &mut stop, |one| {
            seen.push(one);
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(seen, [Seen::Untimed]);
    }

    #[test]
    fn it_ends_when_it_is_asked_and_when_a_device_leaves() {
        let (a, _to_a) = device(0);
        let (mut sender, mut stop) = pipe::new().unwrap();
        sender.write_all(b"x").unwrap();
        watch(&mut [a], &mut stop, |_| ControlFlow::Continue(())).unwrap();

        let ((a, mut to_a), (_sender, mut stop)) = (device(0), pipe::new().unwrap());
        let at = sys::now();
        send(&mut to_a, &[(at, true)]);
        drop(to_a);
        let mut seen = Vec::new();
        let error = watch(&mut [a], &mut stop, |one| {
            seen.push(one);
            ControlFlow::Continue(())
        })
        .unwrap_err();
        assert!(matches!(error, MeasureError::Vanished), "{error}");
        assert_eq!(seen, [Seen::Press(Buzzer(0), at)], "what came before counts");
    }
}
