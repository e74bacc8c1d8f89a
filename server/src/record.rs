//! The vocabulary of the log. In: what the mediator decided. Out: [`Record`], one per fact, as it will be read back
//! years later. Guarantee: a record holds everything that its meaning depends on, so the fold of all records is the
//! state ([`crate::game::state`]) and a replay needs nothing else. The form on disk is [`crate::log`]'s business.
//!
//! Numbers are plain integers here because this is a file format: `at_us` is µs of CLOCK_MONOTONIC in the boot
//! that the last `start` record names, `device` is valid within that same start.

mod device_delay;
mod kinds;
pub mod pool_id;
mod rival;
mod words;

pub use device_delay::DeviceDelay;
pub use kinds::{Class, Subject};
pub use rival::Rival;
use serde::{Deserialize, Serialize};
pub use words::{Flag, Flags, Stamps};

use crate::record::pool_id::PoolId;

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Dense, from 1, never starts again in one log directory.
    pub seq: u64,
    /// When it happened; for a press, the kernel's stamp.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    /// A process began to write. All devices of earlier starts are gone.
    Start {
        /// The name of this start, 32 hex digits; (log, seq) names a record for ever.
        log: String,
        /// `/proc/sys/kernel/random/boot_id`: stamps of two boots cannot be compared.
        boot: String,
        /// The version of buzzerd.
        version: String,
        /// Wall clock at `at_us`, µs since 1970, as the box believed it.
        wall_us: u64,
        /// The settle window W.
        settle_us: u64,
        /// Whether the reader runs with real-time priority.
        #[serde(default)]
        realtime: bool,
    },
    /// A device serves buzzers of a pool from now on.
    Attach {
        /// Its number in this start.
        device: u32,
        /// The pool.
        pool: PoolId,
        /// What it calls itself.
        name: String,
        /// Where it is: USB port and node, or the peer of a virtual attachment.
        place: String,
        /// Who stamps.
        stamps: Stamps,
        /// Its buzzers, ascending.
        buzzers: Vec<u16>,
        /// How long before its stamp a press was made.
        #[serde(flatten)]
        delay: DeviceDelay,
    },
    /// A device serves no longer.
    Detach {
        /// Its number in this start.
        device: u32,
        /// The pool.
        pool: PoolId,
        /// Why.
        reason: String,
        /// Whether every press it made was read; if not, the order around this record is not certain.
        certain: bool,
    },
    /// A pool is connected: its presses count, and it stays wanted.
    Connect {
        /// The pool.
        pool: PoolId,
        /// Who asked: a peer address, or `autoconnect`.
        by: String,
        /// When, if that was before `at_us`: it waited for hardware, or what has a later time had its place already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked_us: Option<u64>,
    },
    /// A pool is connected no longer: its presses do not count, and nobody waits for it.
    Disconnect {
        /// The pool.
        pool: PoolId,
        /// Why: `configuration`, which has no such pool any more.
        by: String,
    },
    /// A pool could not be connected. What one peer is refused is summed over up to a second, and so is what too many are.
    Refuse {
        /// What was asked for, as it was sent.
        pool: String,
        /// Who asked.
        by: String,
        /// The answer.
        message: String,
        /// How often; the other keys are those of the last time.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u32,
        /// When first; absent: it is this one only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since_us: Option<u64>,
    },
    /// Presses of one stamp were put in order by a draw ([`crate::game::draw`] has the rule). Those presses name this record's
    /// `seq` as their `tie`.
    Draw {
        /// 8 random bytes in hex.
        seed: String,
        /// How many presses were drawn.
        presses: u32,
    },
    /// A press that counts.
    Press {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
        /// The device it came from.
        device: u32,
        /// How long before `at_us` it was made, µs, shortest and longest. The shortest is negative where the stamp may be too
        /// early.
        delay_us: [i64; 2],
        /// Until then a press may still come that was in truth made before this one.
        #[serde(default)]
        final_at_us: u64,
        /// What is to be known of it.
        #[serde(default, skip_serializing_if = "Flags::is_empty")]
        flags: Flags,
        /// The presses told before that this one may in truth precede: a photo finish.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        photo: Vec<Rival>,
        /// Whether there may be more of them.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        photo_more: bool,
        /// The `seq` of the draw that placed it among presses of the same stamp.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tie: Option<u64>,
        /// The number of its report among its device's reports of this stamp. Of one device the lower comes first; equal
        /// ones are a tie.
        #[serde(default, skip_serializing_if = "is_zero")]
        frame: u32,
    },
    /// A button was down already when its device was connected: it counts only after a release.
    Held {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
        /// The device.
        device: u32,
    },
    /// A button was seen pressed and released for the first time since its device was connected.
    Proved {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
        /// The device.
        device: u32,
    },
    /// A button is down for longer than anybody presses.
    Stuck {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
        /// The device.
        device: u32,
    },
    /// The contact of a counted press opened again.
    Release {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
        /// The device it came from.
        device: u32,
    },
    /// A button began to chatter: so many edges did not count that no sound contact makes them. Follows the
    /// `ignored` record that shows it.
    Chattering {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
        /// The device.
        device: u32,
    },
    /// Edges that debounce did not count, summed over up to a second; over more, where there are very many.
    Ignored {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
        /// The device they came from.
        device: u32,
        /// How many.
        edges: u32,
        /// The stamp of the first of them.
        since_us: u64,
        /// Whether the contact was closed after the last of them.
        #[serde(default)]
        down: bool,
        /// So many other buttons of the device are in this sum: there were too many for a record each.
        #[serde(default, skip_serializing_if = "is_zero")]
        others: u32,
    },
    /// A press became visible later than the settle window after its stamp, or after what has a later stamp had left the
    /// reader: it is told behind that, flagged `late`. Follows the press and has its time.
    Late {
        /// The device.
        device: u32,
        /// The pool.
        pool: PoolId,
        /// The `seq` of the press.
        press: u64,
        /// By how much its stamp precedes the latest that had left, µs; 0: it is of the same µs, or nothing had.
        behind_us: u64,
    },
    /// What the device said at `at_us` carried a stamp that cannot be true; it is ordered by the time it was read. Comes
    /// before the press or release; where a device does it more than once a second, the rest of them comes as a sum, and
    /// the presses have their flag.
    StaleStamp {
        /// The device.
        device: u32,
        /// The pool.
        pool: PoolId,
        /// The stamp as the kernel or the sender gave it, µs.
        stamp_us: u64,
        /// How often; `stamp_us` is the last.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u32,
        /// When first; absent: it is this one only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since_us: Option<u64>,
    },
    /// The kernel dropped events of a device: presses between `since_us` and `at_us` may be missing. Where that happens more
    /// than once a second, the rest of them is one span.
    Gap {
        /// The device.
        device: u32,
        /// The pool.
        pool: PoolId,
        /// When the device was last read completely.
        since_us: u64,
    },
    /// The reader was kept from running: what it read of this device with this record's time came late, with a true
    /// stamp. Where that happens more than once a second, the rest of them is one record.
    ReaderStall {
        /// The device.
        device: u32,
        /// The pool.
        pool: PoolId,
        /// For how long it was ready to run and did not, µs; the longest, of several.
        late_us: u64,
        /// How often.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u32,
        /// When first; absent: it is this one only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since_us: Option<u64>,
    },
    /// The ring was full for a while; events waited in order and none was lost.
    RingFull {
        /// The most that waited at once.
        waiting_max: u32,
    },
    /// The reader's memory was full as well and it read no faster than the server took: what came meanwhile may be late, and
    /// a device whose events the kernel had to drop has a `gap` record.
    HeapFull {
        /// For how long before this record, µs.
        full_us: u64,
    },
    /// The process has to do without something that it asked the kernel for.
    Degraded {
        /// `realtime`, `timer_slack`, `run_delay`, `cpu_dma_latency`.
        what: String,
        /// What the kernel answered.
        reason: String,
    },
    /// The process ended because it was asked to.
    Stop {},
    /// Presses that did not count, summed over up to a second; over more, where there are very many.
    Uncounted {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
        /// The device they came from.
        device: u32,
        /// How many.
        presses: u32,
        /// The stamp of the first of them.
        since_us: u64,
        /// `not_connected`: their pool was not.
        reason: String,
        /// So many other buttons of the device are in this sum.
        #[serde(default, skip_serializing_if = "is_zero")]
        others: u32,
    },
    /// Both clocks at one moment: `at_us` and the wall's. Made at start, with the first record after 60 s, and when somebody
    /// set the wall clock.
    Anchor {
        /// µs since 1970, as the box believed it.
        wall_us: u64,
        /// The clocks were read within so many µs of each other.
        bracket_us: u64,
        /// Whether the wall clock is kept by a time server; `null`: not known.
        synced: Option<bool>,
    },
    /// What the order of presses depends on, as configured, key by key. Comes in parts, so that no line is too long.
    Config {
        /// From 1.
        part: u32,
        /// How many there are.
        parts: u32,
        /// `key = value`, as in the configuration file; what was not set has the value that holds.
        settings: Vec<String>,
    },
    /// A device of a pool is on the machine.
    Roster {
        /// The pool.
        pool: PoolId,
        /// What it calls itself.
        name: String,
        /// Where it is: node and USB port.
        place: String,
    },
    /// The log's own storage has a fault, or has none any more. Where that comes too often, it is the last of several, and
    /// `done` says of how many.
    Storage {
        /// What was tried or found.
        what: String,
        /// What the kernel answered.
        errno: Option<i32>,
        /// Which file or directory.
        file: String,
        /// The first record that is not durable because of it; 0: none.
        first_seq: u64,
        /// The last one that was tried, or that is durable now.
        last_seq: u64,
        /// What is done about it.
        done: String,
    },
    /// Bytes at the end of a segment were no lines of this log; they were moved to a file of their own.
    Recovered {
        /// The segment.
        segment: String,
        /// How many.
        bytes: u64,
        /// Their SHA-256.
        sha256: String,
        /// The last record before them.
        last_good_seq: u64,
        /// Where they are now.
        file: String,
    },
    /// A line of the log is damaged, and lines behind it are not. It was left as it is.
    Damage {
        /// The segment.
        segment: String,
        /// The line in it, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Records that were made, and told, but could not be kept: journal and memory were full. This record follows from
    /// the one before `first_seq`, by its hash, and its own `seq` is `last_seq` + 1.
    Lost {
        /// The first.
        first_seq: u64,
        /// The last.
        last_seq: u64,
    },
    /// Old segments are removed, because the configuration says so. With them goes what state follows from, so this has the
    /// state as of itself, and a fold of the log goes on from here. It is made before any device is attached.
    Expired {
        /// The first that goes.
        first_segment: String,
        /// The last.
        last_segment: String,
        /// The last record in it.
        last_seq: u64,
        /// That record's hash: what is left of the log follows from it.
        last_hash: String,
        /// The state: the boot. Absent in records of earlier versions, which have no state.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<String>,
        /// The state: the pools that are connected.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        connected: Vec<PoolId>,
        /// Of several records that have the pools together, which this is, from 1.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        part: u32,
        /// How many they are.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        parts: u32,
    },
}

const fn once() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_once(times: &u32) -> bool {
    *times == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
