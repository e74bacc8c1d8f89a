//! Devices that stayed open while no reader ran: somebody else kept their descriptors, and the kernel went on queueing what they
//! said. In: the names of kept descriptors, openings that are due, what was queued. Out: which descriptor serves which opening,
//! which ones nobody wants, and how a device stood before its queue. Guarantee: until all that was wanted at the start has been
//! asked for, only kept devices are taken, so that they can be handed to the reader together; a descriptor serves one opening,
//! and each is taken or given back.

use std::collections::VecDeque;
use std::fmt;

use crate::device::roster::Opening;
use crate::press::decode::{EV_KEY, EV_SYN, RECORD_BYTES, Record, SYN_DROPPED};
use crate::press::keys::{KeyBits, KeyCode};
use crate::press::stamp::WAKE_US_MAX;
use crate::time::KernelTime;

/// What a descriptor is kept as: `ev-13-67-grabbed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptName {
    /// Major and minor number of its node.
    pub dev: (u32, u32),
    /// Whether nobody else gets its events.
    pub is_grabbed: bool,
}

const GRABBED: &str = "grabbed";
const SHARED: &str = "shared";

impl fmt::Display for KeptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dev: (major, minor), is_grabbed } = self;
        write!(f, "ev-{major}-{minor}-{}", if *is_grabbed { GRABBED } else { SHARED })
    }
}

impl KeptName {
    /// The name that reads so; `None`: it is none of a kept device.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let ["ev", major, minor, how @ (GRABBED | SHARED)] = parts[..] else { return None };
        let name = Self { dev: (major.parse().ok()?, minor.parse().ok()?), is_grabbed: how == GRABBED };
        // One spelling for each: what is forgotten is what was kept.
        (name.to_string() == text).then_some(name)
    }
}

/// What to do with an opening that is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<F> {
    /// Open it.
    Open(Opening),
    /// Go on with this descriptor.
    Adopt(Opening, KeptName, F),
    /// Nothing yet: it comes back when kept devices have gone before it.
    Later,
}

/// The kept descriptors of a start.
#[derive(Debug)]
pub struct Kept<F> {
    kept: Vec<(KeptName, F)>,
    later: VecDeque<Opening>,
    is_over: bool,
}

impl<F> Kept<F> {
    /// These are there. With none of them there is nothing to wait for.
    pub const fn new(kept: Vec<(KeptName, F)>) -> Self {
        let is_over = kept.is_empty();
        Self { kept, later: VecDeque::new(), is_over }
    }

    /// A device is to be opened.
    pub fn handle_opening(&mut self, opening: Opening) -> Turn<F> {
        if self.is_over {
            return Turn::Open(opening);
        }
        // One that nobody else may see is no good where others shall, for instance after a change of the configuration.
        let fits = |(name, _): &(KeptName, F)| {
            opening.identity.dev == Some(name.dev) && (opening.grab || !name.is_grabbed)
        };
        match self.kept.iter().position(fits) {
            Some(place) => {
                let (name, fd) = self.kept.swap_remove(place);
                Turn::Adopt(opening, name, fd)
            }
            None => {
                self.later.push_back(opening);
                Turn::Later
            }
        }
    }

    /// A descriptor turned out to be no good, and was closed.
    pub fn handle_refused(&mut self, opening: Opening) {
        self.later.push_back(opening);
    }

    /// All that is wanted at the start has been asked for. Gives what nobody wants, and what is still to be opened.
    pub fn handle_all_wanted(&mut self) -> (Vec<(KeptName, F)>, VecDeque<Opening>) {
        self.is_over = true;
        (std::mem::take(&mut self.kept), std::mem::take(&mut self.later))
    }
}

/// How a kept device stood before what is in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Keys that were down.
    pub held: KeyBits,
    /// Nothing that is to be believed is stamped earlier.
    pub since: KernelTime,
}

impl Before {
    /// From the queue, emptied, and the keys that were down at some time before it was empty. `drained`: the last thing that is
    /// known of the reader before; `until`: the queue was looked at then.
    ///
    /// The kernel tells a key's edges in turn, so the first one says how the key was before; a key without any has not moved.
    /// What was dropped leaves that open: what is down then counts as held, for nobody knows that it was pressed since.
    pub fn of(queue: &[u8], now: &KeyBits, drained: KernelTime, until: KernelTime) -> Self {
        let records = queue.as_chunks::<RECORD_BYTES>().0.iter().map(Record::from_bytes);
        let mut held = *now;
        let mut moved = KeyBits::NONE;
        let mut first = None;
        for record in records {
            first = first.or(KernelTime::from_timeval(record.sec, record.usec));
            match (record.kind, KeyCode::new(record.code)) {
                (EV_SYN, _) if record.code == SYN_DROPPED => break,
                (EV_KEY, Some(key)) if matches!(record.value, 0 | 1) && !moved.has(key) => {
                    moved.set(key, true);
                    held.set(key, record.value == 0);
                }
                _ => {}
            }
        }
        Self { held, since: first.map_or(until, |first| first.max(drained - WAKE_US_MAX).min(until)) }
    }
}

#[cfg(test)]
mod tests;
