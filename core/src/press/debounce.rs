//! Contact bounce. In: key edges of one device with the times of their frames. Out: which of them count, and for which
//! buzzer. Guarantee: the first edge counts at once (nothing is delayed); a press counts if its contact had been open for at
//! least `debounce_us` before it, by the frames' own stamps. How long a frame waited to be read makes no difference, unless
//! its sender set no stamp. What was open for a time that nobody knows is no bounce.

use std::collections::BTreeMap;

use crate::event::Buzzer;
use crate::press::decode::Edge;
use crate::press::keys::{KeyBits, KeyCode, KeyMap};
use crate::time::{KernelTime, Micros};

/// When a contact moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The frame's own stamp, true or not; zero: its sender set none.
    pub own: KernelTime,
    /// The time that counts for the order.
    pub at: KernelTime,
    /// `own` is the time of something else, which was before: it can have moved as late as `at`.
    pub is_false: bool,
}

impl Moment {
    /// For how long a contact can have been open that closes now.
    fn since(self, opened: Self) -> Micros {
        let closed = if self.is_false { self.at } else { self.own };
        // Stamps that do not go on are none, or those of a clock that was set back.
        if opened.own > KernelTime::ZERO && closed > opened.own {
            closed.since(opened.own)
        } else {
            self.at.since(opened.at)
        }
    }
}

/// What an edge means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeVerdict {
    /// A press that counts. `proved`: the button was seen pressed and released before.
    Press {
        /// Its buzzer.
        buzzer: Buzzer,
        /// Whether it is known to work.
        proved: bool,
    },
    /// The end of a press that counted, or of a key held since the start.
    Release(Buzzer),
    /// Bounce.
    Ignored(Buzzer),
}

/// The contacts of one device.
#[derive(Debug)]
pub struct Contacts {
    debounce_us: Micros,
    /// Those of keys that are buzzers.
    contacts: BTreeMap<KeyCode, Contact>,
}

#[derive(Debug)]
struct Contact {
    buzzer: Buzzer,
    state: State,
    /// It was seen pressed and released since the device was connected.
    proved: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Open since then; `None`: for longer than anyone knows.
    Open(Option<Moment>),
    /// Closed: by a press that counted, or from the start.
    Closed { counted: bool },
    /// Closed by an edge that did not count.
    Bouncing,
}

impl Contacts {
    /// The contacts of a device with these keys, of which `held` are down already.
    pub fn new(keys: &KeyMap, held: &KeyBits, debounce_us: Micros) -> Self {
        let contact = |(key, buzzer)| {
            let state = if held.has(key) { State::Closed { counted: false } } else { State::Open(None) };
            (key, Contact { buzzer, state, proved: false })
        };
        Self { debounce_us, contacts: keys.pairs().map(contact).collect() }
    }

    /// Judges an edge; `None` if the key is no buzzer. `when`: unknown, if it was found by asking.
    pub fn edge(&mut self, edge: Edge, when: Option<Moment>) -> Option<EdgeVerdict> {
        let contact = self.contacts.get_mut(&edge.key)?;
        let buzzer = contact.buzzer;
        if edge.after_gap {
            // What the contact did meanwhile is lost, so there is nothing to call this edge a bounce of.
            contact.state = if edge.down { State::Open(None) } else { State::Closed { counted: false } };
        }
        let is_bounce = match (contact.state, when) {
            (State::Open(Some(opened)), Some(when)) => when.since(opened) < self.debounce_us,
            _ => false,
        };
        let (state, verdict) = match (contact.state, edge.down) {
            (_, true) if is_bounce => (State::Bouncing, EdgeVerdict::Ignored(buzzer)),
            (_, true) => {
                (State::Closed { counted: true }, EdgeVerdict::Press { buzzer, proved: contact.proved })
            }
            (State::Bouncing, false) => (State::Open(when), EdgeVerdict::Ignored(buzzer)),
            (_, false) => (State::Open(when), EdgeVerdict::Release(buzzer)),
        };
        contact.proved |= matches!(contact.state, State::Closed { counted: true }) && !edge.down;
        contact.state = state;
        Some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::press::keys::KeyCode;

    const KEY: KeyCode = KeyCode::new(704).unwrap();
    const ONE: Buzzer = Buzzer(1);

    const fn press(proved: bool) -> EdgeVerdict {
        EdgeVerdict::Press { buzzer: ONE, proved }
    }

    const fn moment(own: u64, at: u64) -> Moment {
        Moment { own: KernelTime::from_us(own), at: KernelTime::from_us(at), is_false: false }
    }

    #[test]
    fn the_first_edge_counts_and_bounce_does_not() {
        let keys = KeyMap::new([(KEY, ONE)]);
        let mut contacts = Contacts::new(&keys, &KeyBits::NONE, Micros::from_us(15_000));
        for (us, down, want, why) in [
            (1_000_000, true, press(false), "never seen before"),
            (1_001_000, false, EdgeVerdict::Release(ONE), "opens while bouncing"),
            (1_001_500, true, EdgeVerdict::Ignored(ONE), "open for 0.5 ms"),
            (1_100_000, false, EdgeVerdict::Ignored(ONE), "ends what did not count"),
            (1_114_999, true, EdgeVerdict::Ignored(ONE), "open for 14.999 ms"),
            (1_120_000, false, EdgeVerdict::Ignored(ONE), "again"),
            (1_135_000, true, press(true), "open for exactly 15 ms"),
        ] {
            let edge = Edge { key: KEY, down, after_gap: false };
            assert_eq!(contacts.edge(edge, Some(moment(us, us))), Some(want), "{why}");
        }
        let other = Edge { key: KeyCode::new(30).unwrap(), down: true, after_gap: false };
        assert_eq!(contacts.edge(other, None), None);
    }

    #[test]
    fn a_press_behind_a_gap_is_never_called_bounce() {
        let keys = KeyMap::new([(KEY, ONE)]);
        let mut contacts = Contacts::new(&keys, &KeyBits::NONE, Micros::from_us(15_000));
        let at = Some(moment(5, 5));
        contacts.edge(Edge { key: KEY, down: true, after_gap: false }, at);
        contacts.edge(Edge { key: KEY, down: false, after_gap: false }, at);
        let again = Edge { key: KEY, down: true, after_gap: true };
        assert_eq!(contacts.edge(again, Some(moment(6, 6))), Some(press(true)));
        // Found open by asking, it may have been open for long.
        contacts.edge(Edge { key: KEY, down: false, after_gap: true }, None);
        let next = Edge { key: KEY, down: true, after_gap: false };
        assert_eq!(contacts.edge(next, Some(moment(7, 9))), Some(press(true)));
    }

    #[test]
    fn what_counts_is_for_how_long_it_was_open_by_the_frames_own_stamps() {
        let keys = KeyMap::new([(KEY, ONE)]);
        for (opened, closed, is_press, why) in [
            (moment(10_000, 500_000), moment(130_000, 500_000), true, "read together, 120 ms apart"),
            (moment(10_000, 500_000), moment(10_500, 530_000), false, "read apart, 0.5 ms apart"),
            (moment(10_000, 500_000), moment(24_999, 500_000), false, "14.999 ms"),
            (moment(0, 500_000), moment(0, 515_000), true, "no stamps, read apart"),
            (moment(0, 500_000), moment(0, 500_000), false, "no stamps, read together"),
            (moment(0, 500_000), moment(700_000, 500_001), false, "one has a stamp, that says nothing"),
            (moment(700_000, 500_000), moment(0, 620_000), true, "one has a stamp"),
            (moment(9_000_000, 500_000), moment(620_000, 620_000), true, "the release was of the future"),
            (moment(900_000, 500_000), moment(100_000, 501_000), false, "its clock was set back"),
            (moment(7, 500_000), moment(7, 620_000), true, "one stamp for all is none"),
            (
                moment(490_000, 490_000),
                Moment { is_false: true, ..moment(495_000, 900_000) },
                true,
                "closed later than its stamp says",
            ),
        ] {
            let mut contacts = Contacts::new(&keys, &KeyBits::NONE, Micros::from_us(15_000));
            contacts.edge(Edge { key: KEY, down: true, after_gap: false }, Some(moment(1, 1)));
            contacts.edge(Edge { key: KEY, down: false, after_gap: false }, Some(opened));
            let verdict = contacts.edge(Edge { key: KEY, down: true, after_gap: false }, Some(closed));
            assert_eq!(verdict == Some(press(true)), is_press, "{why}: {verdict:?}");
        }
    }
}
