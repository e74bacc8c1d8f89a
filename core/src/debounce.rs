//! Contact bounce. In: key edges of one device with their stamps. Out: which of them count, and for which buzzer.
//! Guarantee: the first edge counts at once (nothing is delayed); a press counts if its contact had been open for at
//! least `debounce_us` of kernel time before it; only stamps are compared, never arrival times.

use crate::decode::Edge;
use crate::event::Buzzer;
use crate::keys::{KEY_COUNT, KeyBits, KeyMap};
use crate::time::{KernelTime, Micros};

/// What an edge means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
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
    /// Key code to place in `contacts`; `NONE` for keys that are no buzzer.
    places: Box<[u16; KEY_COUNT]>,
    contacts: Vec<Contact>,
}

const NONE: u16 = u16::MAX;

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
    Open(Option<KernelTime>),
    /// Closed: by a press that counted, or from the start.
    Closed { counted: bool },
    /// Closed by an edge that did not count.
    Bouncing,
}

impl Contacts {
    /// The contacts of a device with these keys, of which `held` are down already.
    pub fn new(keys: &KeyMap, held: &KeyBits, debounce_us: Micros) -> Self {
        let mut places = Box::new([NONE; KEY_COUNT]);
        let mut contacts = Vec::new();
        for ((key, buzzer), place) in keys.pairs().zip(0..) {
            places[key.index()] = place;
            let state = if held.has(key) { State::Closed { counted: false } } else { State::Open(None) };
            contacts.push(Contact { buzzer, state, proved: false });
        }
        Self { debounce_us, places, contacts }
    }

    /// Judges an edge; `None` if the key is no buzzer.
    pub fn edge(&mut self, edge: Edge, at: KernelTime) -> Option<Verdict> {
        let contact = self.contacts.get_mut(usize::from(self.places[edge.key.index()]))?;
        let buzzer = contact.buzzer;
        if edge.after_gap {
            // What the contact did meanwhile is lost, so there is nothing to call this edge a bounce of.
            contact.state = if edge.down { State::Open(None) } else { State::Closed { counted: false } };
        }
        let (state, verdict) = match (contact.state, edge.down) {
            (State::Open(Some(since)), true) if at.since(since) < self.debounce_us => {
                (State::Bouncing, Verdict::Ignored(buzzer))
            }
            (_, true) => (State::Closed { counted: true }, Verdict::Press { buzzer, proved: contact.proved }),
            (State::Bouncing, false) => (State::Open(Some(at)), Verdict::Ignored(buzzer)),
            (_, false) => (State::Open(Some(at)), Verdict::Release(buzzer)),
        };
        contact.proved |= matches!(contact.state, State::Closed { counted: true }) && !edge.down;
        contact.state = state;
        Some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyCode;

    const KEY: KeyCode = KeyCode::new(704).unwrap();
    const ONE: Buzzer = Buzzer(1);

    const fn press(proved: bool) -> Verdict {
        Verdict::Press { buzzer: ONE, proved }
    }

    #[test]
    fn the_first_edge_counts_and_bounce_does_not() {
        let keys = KeyMap::new([(KEY, ONE)]);
        let mut contacts = Contacts::new(&keys, &KeyBits::NONE, Micros::from_us(15_000));
        for (us, down, want, why) in [
            (1_000_000, true, press(false), "never seen before"),
            (1_001_000, false, Verdict::Release(ONE), "opens while bouncing"),
            (1_001_500, true, Verdict::Ignored(ONE), "open for 0.5 ms"),
            (1_100_000, false, Verdict::Ignored(ONE), "ends what did not count"),
            (1_114_999, true, Verdict::Ignored(ONE), "open for 14.999 ms"),
            (1_120_000, false, Verdict::Ignored(ONE), "again"),
            (1_135_000, true, press(true), "open for exactly 15 ms"),
        ] {
            let edge = Edge { key: KEY, down, after_gap: false };
            assert_eq!(contacts.edge(edge, KernelTime::from_us(us)), Some(want), "{why}");
        }
        let other = Edge { key: KeyCode::new(30).unwrap(), down: true, after_gap: false };
        assert_eq!(contacts.edge(other, KernelTime::ZERO), None);
    }

    #[test]
    fn a_press_behind_a_gap_is_never_called_bounce() {
        let keys = KeyMap::new([(KEY, ONE)]);
        let mut contacts = Contacts::new(&keys, &KeyBits::NONE, Micros::from_us(15_000));
        let at = KernelTime::from_us(5);
        contacts.edge(Edge { key: KEY, down: true, after_gap: false }, at);
        contacts.edge(Edge { key: KEY, down: false, after_gap: false }, at);
        let again = Edge { key: KEY, down: true, after_gap: true };
        assert_eq!(contacts.edge(again, at + Micros::from_us(1)), Some(press(true)));
    }
}
