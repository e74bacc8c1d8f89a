//! Records to key edges. In: `struct input_event` records of one device, in stream order. Out: frames of key edges,
//! each with the stamp of its SYN_REPORT. Guarantee: autorepeat, a second press of a key that is down and a
//! release of one that is up make no edge; records that were dropped by the kernel make a [`Fed::Gap`], after which
//! [`Decoder::resync`] finds out what is down; garbage is named, never guessed at.
//!
//! Source of the rules: Linux `Documentation/input/event-codes.rst` and `drivers/input/evdev.c`.

#[cfg(test)]
mod tests;

use crate::event::Garbage;
use crate::press::keys::{KeyBits, KeyCode};
use crate::time::KernelTime;

/// Size of `struct input_event` where a long has 64 bits (`include/uapi/linux/input.h`).
pub const RECORD_BYTES: usize = 24;
/// The most events between two SYN_REPORTs. The kernel cuts its own frames at 8 values
/// (`input.c:input_event_dispose`), so only a virtual attachment can come near.
pub const FRAME_EVENTS_MAX: usize = 64;

pub(crate) const EV_SYN: u16 = 0;
pub(crate) const EV_KEY: u16 = 1;
const EV_MAX: u16 = 0x1f;
pub(crate) const SYN_REPORT: u16 = 0;
pub(crate) const SYN_DROPPED: u16 = 3;
/// The value of a SYN_REPORT where the kernel's own frame was full (`input.c:input_value_sync`).
const REPORT_CUT: i32 = 1;

/// One `struct input_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Seconds.
    pub sec: i64,
    /// Microseconds, 0 to 999 999.
    pub usec: i64,
    /// `EV_*`.
    pub kind: u16,
    /// Meaning depends on `kind`.
    pub code: u16,
    /// For keys 0 up, 1 down, 2 repeat.
    pub value: i32,
}

impl Record {
    /// Reads a record as the kernel lays it out, native endian.
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        fn part<const N: usize>(bytes: &[u8; RECORD_BYTES], at: usize) -> [u8; N] {
            std::array::from_fn(|i| bytes[at + i])
        }
        Self {
            sec: i64::from_ne_bytes(part(bytes, 0)),
            usec: i64::from_ne_bytes(part(bytes, 8)),
            kind: u16::from_ne_bytes(part(bytes, 16)),
            code: u16::from_ne_bytes(part(bytes, 18)),
            value: i32::from_ne_bytes(part(bytes, 20)),
        }
    }

    /// Writes the record as the kernel lays it out, native endian.
    pub fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[0..8].copy_from_slice(&self.sec.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.usec.to_ne_bytes());
        bytes[16..18].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[18..20].copy_from_slice(&self.code.to_ne_bytes());
        bytes[20..24].copy_from_slice(&self.value.to_ne_bytes());
        bytes
    }

    /// A key going down or up at `at`.
    pub fn key(at: KernelTime, key: KeyCode, down: bool) -> Self {
        Self::at(at, EV_KEY, key.get(), i32::from(down))
    }

    /// The SYN_REPORT that ends a frame at `at`.
    pub fn report(at: KernelTime) -> Self {
        Self::at(at, EV_SYN, SYN_REPORT, 0)
    }

    /// The kernel's word that it dropped events.
    pub fn dropped(at: KernelTime) -> Self {
        Self::at(at, EV_SYN, SYN_DROPPED, 0)
    }

    fn at(at: KernelTime, kind: u16, code: u16, value: i32) -> Self {
        // Below 2^63 / 10^6 seconds, so the conversion holds for every time a clock can show.
        let sec = (at.as_us() / 1_000_000).cast_signed();
        Self { sec, usec: (at.as_us() % 1_000_000).cast_signed(), kind, code, value }
    }
}

/// A key that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The key.
    pub key: KeyCode,
    /// Down (a press) or up.
    pub down: bool,
    /// Whether the key's earlier state had been lost in a gap: how long it was up is not known.
    pub after_gap: bool,
}

/// What a record made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// The frame is not complete yet.
    Open,
    /// A frame is complete: [`Decoder::edges`] holds its edges, perhaps none.
    Frame(KernelTime),
    /// Events were dropped up to here. Key states must be asked for and given to [`Decoder::resync`] once all
    /// that was read is fed.
    Gap,
}

/// The state of one device's stream.
#[derive(Debug)]
pub struct Decoder {
    down: KeyBits,
    /// Keys that were down before a gap and have not moved since.
    unsure: KeyBits,
    /// Of these, those that were pressed among what was dropped: they had been let go before.
    again: KeyBits,
    edges: Vec<Edge>,
    events: usize,
    dropping: bool,
    complete: bool,
    cut: bool,
}

impl Decoder {
    /// A stream that begins with these keys down: they make no press before a release.
    pub fn new(held: KeyBits) -> Self {
        Self {
            down: held,
            unsure: KeyBits::NONE,
            again: KeyBits::NONE,
            edges: Vec::with_capacity(FRAME_EVENTS_MAX),
            events: 0,
            dropping: false,
            complete: false,
            cut: false,
        }
    }

    /// The edges of the frame that [`Fed::Frame`] announced, in stream order.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Whether the kernel cut a report here: the rest may follow as another frame of the same stamp, or not at all.
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`Garbage`] if no input device would write this; the stream is not to be trusted any further.
    pub fn feed(&mut self, record: Record) -> Result<Fed, Garbage> {
        if std::mem::take(&mut self.complete) {
            self.edges.clear();
            self.events = 0;
        }
        if record.kind > EV_MAX {
            return Err(Garbage::Type(record.kind));
        }
        let at = KernelTime::from_timeval(record.sec, record.usec).ok_or(Garbage::Time)?;
        if (record.kind, record.code) == (EV_SYN, SYN_REPORT) {
            self.complete = true;
            self.cut = record.value == REPORT_CUT;
            if std::mem::take(&mut self.dropping) {
                self.edges.clear();
                return Ok(Fed::Gap);
            }
            return Ok(Fed::Frame(at));
        }
        self.events += 1;
        if self.events > FRAME_EVENTS_MAX {
            return Err(Garbage::EndlessFrame);
        }
        if (record.kind, record.code) == (EV_SYN, SYN_DROPPED) {
            self.forget();
        } else if record.kind == EV_KEY {
            let key = KeyCode::new(record.code).ok_or(Garbage::Code(record.code))?;
            match record.value {
                0 => self.edge(key, false),
                1 => self.edge(key, true),
                2 => {}
                value => return Err(Garbage::Value(value)),
            }
        }
        Ok(Fed::Open)
    }

    /// Takes the true key states after a gap and gives every edge that was missed.
    pub fn resync(&mut self, actual: &KeyBits, mut missed: impl FnMut(Edge)) {
        // A frame that the read cut in two: to ask has taken the rest of it, so what it said is found by asking as well.
        if !self.complete {
            self.take_back();
        }
        for key in (0..crate::press::keys::KEY_COUNT as u16).filter_map(KeyCode::new) {
            let (was, is) = (self.down.has(key) || self.unsure.has(key), actual.has(key));
            if was != is || (is && self.again.has(key)) {
                missed(Edge { key, down: is, after_gap: true });
            }
        }
        self.down = *actual;
        (self.unsure, self.again) = (KeyBits::NONE, KeyBits::NONE);
    }

    /// Forgets what half a frame has said: its other half will not come.
    fn take_back(&mut self) {
        for edge in self.edges.drain(..).rev() {
            self.unsure.set(edge.key, edge.after_gap);
            self.again.set(edge.key, edge.after_gap && edge.down);
            self.down.set(edge.key, !edge.after_gap && !edge.down);
        }
    }

    /// A dropped event may have moved any key: what was down is unsure until it moves or is asked for.
    fn forget(&mut self) {
        self.dropping = true;
        self.take_back();
        let (down, unsure) = (self.down, self.unsure);
        self.unsure = down.iter().chain(unsure.iter()).collect();
        self.down = KeyBits::NONE;
    }

    fn edge(&mut self, key: KeyCode, down: bool) {
        let unsure = self.unsure.has(key);
        if self.dropping {
            // Of no use but for this: a key that was down can only be pressed again. That it was let go is left to be
            // found by asking, or its release would never be told.
            if unsure && down {
                self.again.set(key, true);
            }
            return;
        }
        self.unsure.set(key, false);
        self.again.set(key, false);
        // The kernel sends a press only for a key that was up (`input_get_disposition`), so a press of an unsure
        // key means that its release was lost.
        if self.down.has(key) != down || unsure {
            self.down.set(key, down);
            self.edges.push(Edge { key, down, after_gap: unsure });
        }
    }
}
