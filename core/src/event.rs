//! What crosses the ring. In: nothing; these are the words that `core` and `server` share. Out: [`Event`], one
//! `Copy` value of at most 32 bytes. Guarantee: an event names a device and a buzzer number, never a pool, a
//! client or a file: what a device's buzzers mean is the server's business.

use std::fmt;

use crate::time::KernelTime;

/// One attachment of one device, from its opening to its end. Never used again within a process, so a late
/// event cannot be taken for that of a newer device (the kernel reuses `eventN` at once).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(u32);

impl DeviceId {
    /// The id with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// What an event has that is about no device: a command, a timer.
    pub const NONE: Self = Self(u32::MAX);

    /// The number of this id.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a buzzer within its pool, 0 to 65 535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Buzzer(pub u16);

impl fmt::Display for Buzzer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is to be known about a press besides its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// Nothing to remark.
    pub const NONE: Self = Self(0);
    /// Became visible later than the settle window after its stamp, or after presses with later stamps had been told.
    pub const LATE: Self = Self(1);
    /// Its own stamp cannot be true, or (with [`Flags::LATE`]) may not be; it is ordered by the time it was read.
    pub const STALE_STAMP: Self = Self(2);
    /// Found by asking the device after lost events; its true time is unknown.
    pub const RECOVERED: Self = Self(4);
    /// Its button was never seen to work on its own since the device was connected, and it came in one report with
    /// another press: it may have been held since before that (the kernel learns of it with the next report).
    pub const SUSPECT: Self = Self(8);
    /// It waited in the kernel while no reader ran: its stamp is true, and it was told long after it.
    pub const DURING_RESTART: Self = Self(16);
    const NAMED: [(Self, &'static str); 5] = [
        (Self::LATE, "late"),
        (Self::STALE_STAMP, "stale_stamp"),
        (Self::RECOVERED, "recovered"),
        (Self::SUSPECT, "suspect"),
        (Self::DURING_RESTART, "during_restart"),
    ];

    /// Whether every flag of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the press is ordered by the time it was read because its own is not known.
    pub const fn is_without_stamp(self) -> bool {
        self.has(Self::STALE_STAMP) || self.has(Self::RECOVERED)
    }

    /// The names of the flags that are set, as the log and the protocol spell them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.into_iter().filter_map(move |(flag, name)| self.has(flag).then_some(name))
    }
}

/// Why a device is no longer read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// Unplugged, or revoked: the kernel answered ENODEV. Presses it had not handed over are lost
    /// (`evdev_read` tests `exist` before its queue), so the order around this time is not certain.
    #[error("unplugged")]
    Unplugged,
    /// The other end of a virtual attachment closed it between two records.
    #[error("closed by its sender")]
    Closed,
    /// The other end of a virtual attachment sent something that is no input event.
    #[error("garbage: {0}")]
    Garbage(Garbage),
    /// Reading failed with this `errno`.
    #[error("reading failed: errno {0}")]
    Failed(i32),
    /// The mediator let go of it.
    #[error("released")]
    Released,
}

/// What was wrong with the bytes of a virtual attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// An event type above 0x1f.
    #[error("event type {0:#x} is above 0x1f")]
    Type(u16),
    /// A key code above 0x2ff.
    #[error("key code {0:#x} is above 0x2ff")]
    Code(u16),
    /// A key value outside 0, 1, 2.
    #[error("key value {0} is not 0, 1 or 2")]
    Value(i32),
    /// Microseconds outside 0..=999 999, or seconds before the clock's start.
    #[error("the record's time is no time (microseconds must be 0 to 999999)")]
    Time,
    /// More than 64 events without a SYN_REPORT.
    #[error("more than 64 events without a SYN_REPORT")]
    EndlessFrame,
    /// The stream ended inside a record.
    #[error("the stream ended inside a 24-byte record")]
    PartialRecord,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The reader reads this device from now on; everything of it in the ring comes after this.
    Attached,
    /// A buzzer's contact closed, and it counts.
    Press {
        /// The buzzer.
        buzzer: Buzzer,
        /// The number of its report among its device's reports of one stamp: presses of one device with equal stamp
        /// and different rank are in a certain order (receipt stamps); with equal rank they are a tie. The log calls it `frame`.
        rank: u32,
        /// What is to be known about it.
        flags: Flags,
        /// By how much more than its device's longest delay it may be older than its time says, µs: the whole
        /// interval in which it must have happened, for a press without a stamp of its own. With a receipt stamp: so long
        /// before its time it can have come to its source.
        back_us: u32,
        /// With a receipt stamp: so long after its time it can have come to its source.
        early_us: u32,
    },
    /// The buzzer was down already when the device was connected: it counts only after a release.
    Held {
        /// The buzzer.
        buzzer: Buzzer,
    },
    /// The contact of a counted press opened again.
    Release {
        /// The buzzer.
        buzzer: Buzzer,
    },
    /// An edge that debounce did not count.
    Ignored {
        /// The buzzer.
        buzzer: Buzzer,
        /// Whether the contact is closed after it: a button that bounced may still be held.
        down: bool,
    },
    /// What the device says with this event's time carried a stamp that cannot be true. Comes before it.
    StaleStamp {
        /// The stamp, as it was.
        stamp: KernelTime,
    },
    /// The kernel dropped events of this device (`SYN_DROPPED`): between `since` and the event's own time
    /// there may have been presses that nobody will ever see.
    Gap {
        /// When the device was last known to be read completely.
        since: KernelTime,
    },
    /// The reader itself ran late: what it read with this event had waited for so long, with a true stamp; with a receipt
    /// stamp, it may have.
    ReaderStall {
        /// How long it had been ready to run, or stopped, and did not run, µs; with a receipt stamp, by how much the stamp can
        /// be off.
        late_us: u32,
    },
    /// The ring was full for a while and nothing was lost: presses waited in the reader, in order.
    /// `device` is that of the event that first found no room.
    RingFull {
        /// The most events that waited at once.
        waiting_max: u32,
    },
    /// The reader's own memory was full as well and it read no faster than the server took: senders were made to wait, and
    /// the kernel may have dropped events, each time with a gap of its own. `device` is the first that was not read.
    HeapFull {
        /// From the first read that was not made until half of the memory was free again, µs.
        full_us: u32,
    },
    /// The device is read no longer.
    Detached(Gone),
    /// A command has its place here: before every press of its µs.
    Command {
        /// Its number.
        id: u64,
        /// By how much the event's time is later than the time at which it was asked for, µs: something later had left already.
        moved_us: u32,
    },
    /// A timer has run down, whether it was cancelled meanwhile or not: at its deadline, before every press of that µs.
    Timer {
        /// Its number.
        id: u64,
        /// By how much the event's time is later than its deadline, µs: something later had left already.
        moved_us: u32,
    },
}

/// One event, in kernel-time order, as the ring carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The kernel's time of it (or the reader's, see [`Flags::STALE_STAMP`]).
    pub at: KernelTime,
    /// The device it is about.
    pub device: DeviceId,
    /// Whether another event of the same stamp follows: a group of equal stamps leaves `core` whole, and the
    /// one that ends it says `false`. On the way into the order: whether another one may follow, because the kernel cut
    /// the report.
    pub more: bool,
    /// What happened.
    pub kind: EventKind,
}

// One cache line holds two: the ring stays small and a push is one copy.
const _: () = assert!(size_of::<Event>() <= 32);
