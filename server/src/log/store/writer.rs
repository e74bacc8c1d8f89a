//! The writer: from the journal to the disk. In: a [`Feed`], the time. Out: `durable_seq`, and records of what went
//! wrong. Guarantee: `durable_seq` says only what the disk has kept; under every failure of the disk, every line that the feed has is
//! tried again until it is durable.
//!
//! Group commit without a timer: a turn takes what has come since the last one, writes it and syncs once. What comes during
//! that sync is the next turn's. After an error nothing is synced again through the same descriptor: all behind
//! `durable_seq` goes from the journal into a fresh segment: at once (the spare has room set aside), then again after longer
//! and longer pauses.

use std::collections::VecDeque;

use buzzer_core::time::{KernelTime, Micros};

use super::journal::Feed;
use super::segments::Segments;
use super::storage::{Directory, StorageFault, fault};
use crate::log::form::line::seq_of;
use crate::record::Fact;

/// Read from the journal at once.
const READ_BYTES: usize = 256 << 10;
/// Written before the next sync: after a stall, `durable_seq` should not stand still for all that has come meanwhile.
const COMMIT_BYTES: usize = 4 << 20;
/// The first pause when a fresh segment has failed as well; it doubles.
const PAUSE_US_MIN: Micros = Micros::from_ms(100);
/// The longest.
const PAUSE_US_MAX: Micros = Micros::from_ms(10_000);
/// Faults without a commit between them that are reported; the rest are the same outage.
const FAULTS_SAID: u32 = 2;
/// How often free space is asked for, if anything is written at all.
const FREE_US: Micros = Micros::from_ms(10_000);
/// Below this people are told that the disk fills.
pub const FREE_WARN_BYTES: u64 = 512 << 20;
/// Below this it is an alarm.
pub const FREE_ALARM_BYTES: u64 = 64 << 20;

/// How often segments are looked for, if there is anything to do at all.
const LOOK_US: Micros = Micros::from_ms(2_000);
/// The most that is said of lost segments.
const LOST_BYTES_MAX: usize = 500;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Wait until something is appended.
    Idle,
    /// Take the next turn at once.
    Again,
    /// Wait until then; what is appended meanwhile changes nothing.
    Wait(KernelTime),
}

/// How it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StorageHealth {
    /// As it should.
    #[default]
    Fine,
    /// It works, and somebody should do something.
    Warning(String),
    /// Nothing becomes durable.
    Failing(String),
}

/// Room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    Enough,
    Little,
    None,
}

/// The state machine.
#[derive(Debug)]
pub struct Writer<J: Directory, D: Directory> {
    feed: Feed<J>,
    segments: Segments<D>,
    lines: Vec<u8>,
    durable_seq: u64,
    /// Faults since the last commit.
    faults: u32,
    wait_until: Option<KernelTime>,
    reports: VecDeque<Fact>,
    free_asked: Option<KernelTime>,
    /// There was no room for a spare segment then.
    has_no_room: bool,
    looked: Option<KernelTime>,
    /// Which earlier records are no longer where they were, for people.
    lost: String,
    /// How much room there was last, and what that gave reason to say.
    room: (Room, String),
    /// The last turn that failed, for people.
    failing: Option<String>,
}

impl<J: Directory, D: Directory> Writer<J, D> {
    /// A writer of what comes from `feed`, behind record `durable_seq`.
    pub fn new(feed: Feed<J>, segments: Segments<D>, durable_seq: u64) -> Self {
        Self {
            feed,
            segments,
            lines: Vec::with_capacity(READ_BYTES),
            durable_seq,
            faults: 0,
            wait_until: None,
            reports: VecDeque::new(),
            free_asked: None,
            has_no_room: false,
            looked: None,
            lost: String::new(),
            room: (Room::Enough, String::new()),
            failing: None,
        }
    }

    /// The last record that is durable, with all before it.
    pub const fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// How it stands.
    pub fn health(&self) -> StorageHealth {
        if let Some(why) = &self.failing {
            return StorageHealth::Failing(why.clone());
        }
        let why = [&*self.lost, &*self.room.1].into_iter().filter(|why| !why.is_empty());
        let why = why.collect::<Vec<_>>().join("; ");
        if why.is_empty() { StorageHealth::Fine } else { StorageHealth::Warning(why) }
    }

    /// The next thing to tell.
    pub fn poll_report(&mut self) -> Option<Fact> {
        self.reports.pop_front()
    }

    /// The log directory.
    pub const fn dir(&self) -> &D {
        self.segments.dir()
    }

    /// Takes what has come, and has the disk keep it.
    pub fn turn(&mut self, now: KernelTime) -> Turn {
        if let Some(until) = self.wait_until.filter(|until| now < *until) {
            return Turn::Wait(until);
        }
        self.wait_until = None;
        let before = self.durable_seq;
        match self.commit() {
            Ok(None) => {
                self.feed.maintain(now);
                self.look(now);
                Turn::Idle
            }
            Ok(Some(last_seq)) => {
                self.durable_seq = last_seq.max(before);
                self.feed.settle(now);
                self.look(now);
                self.recovered();
                self.look_ahead(now);
                Turn::Again
            }
            Err(fault) => self.failed(fault, now),
        }
    }

    /// Whether somebody removed, replaced or cut a segment.
    fn look(&mut self, now: KernelTime) {
        if self.faults == 0 && self.looked.is_some_and(|looked| now < looked + LOOK_US) {
            return;
        }
        self.looked = Some(now);
        let lost = self.segments.take_lost(self.durable_seq);
        let Some(last) = lost.last() else { return };
        let (first_seq, last_seq) = (lost[0].name.first_seq, last.last_seq);
        let named = lost.iter().take(3).map(|lost| format!("{} was {}", lost.name, lost.how));
        let mut text = named.collect::<Vec<_>>().join(", ");
        if lost.len() > 3 {
            text = format!("{text}, and {} more", lost.len() - 3);
        }
        let dir = self.segments.dir().name();
        let done =
            format!("records of seq {first_seq} to {last_seq} are not there; new ones go to a fresh segment");
        if self.lost.len() < LOST_BYTES_MAX {
            let and = if self.lost.is_empty() { "" } else { "; " };
            self.lost = format!("{}{and}{dir}: {text}: {done}", self.lost);
        }
        let what = format!("lost: {text}");
        self.reports.push_back(Fact::Storage { what, errno: None, file: dir, first_seq, last_seq, done });
    }

    /// This segment was removed with intent.
    pub fn forget(&mut self, name: &str) {
        self.segments.forget(name);
    }

    /// `None`: there was nothing to do.
    fn commit(&mut self) -> Result<Option<u64>, StorageFault> {
        let (mut taken, mut last_seq) = (0, self.durable_seq);
        while taken < COMMIT_BYTES {
            self.lines.clear();
            let read = self.feed.read(&mut self.lines, READ_BYTES);
            read.map_err(fault("read", "the journal"))?;
            if self.lines.is_empty() {
                break;
            }
            self.segments.append(&self.lines)?;
            taken += self.lines.len();
            last_seq = last_line(&self.lines).and_then(seq_of).unwrap_or(last_seq);
        }
        if taken == 0 && !self.segments.is_dirty() {
            return Ok(None);
        }
        self.segments.commit()?;
        Ok(Some(last_seq))
    }

    fn failed(&mut self, fault: StorageFault, now: KernelTime) -> Turn {
        self.faults += 1;
        let last_seq = last_line(&self.lines).and_then(seq_of).unwrap_or(self.durable_seq);
        let is_repeated = self.faults > 1;
        self.segments.abandon(is_repeated);
        self.feed.rewind();
        let dir = self.segments.dir().name();
        let done = if is_repeated {
            "the game goes on; it is tried again".to_owned()
        } else {
            format!("written again from the journal to a fresh segment in {dir}")
        };
        self.failing = Some(fault.to_string());
        if self.faults <= FAULTS_SAID {
            let (what, errno, first_seq) =
                (fault.action.to_owned(), fault.error.raw_os_error(), self.durable_seq + 1);
            let file = fault.file;
            self.reports.push_back(Fact::Storage { what, errno, file, first_seq, last_seq, done });
        }
        if !is_repeated {
            return Turn::Again;
        }
        let doublings = (self.faults - 2).min(10);
        let pause = Micros::from_us((PAUSE_US_MIN.as_us() << doublings).min(PAUSE_US_MAX.as_us()));
        self.wait_until = Some(now + pause);
        Turn::Wait(now + pause)
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.faults) > 0 {
            self.failing = None;
            let (what, last_seq) = ("recovered".to_owned(), self.durable_seq);
            let file = format!("{}/{}", self.segments.dir().name(), self.segments.file_name());
            let done = match &*self.lost {
                "" => "the log is durable again, and complete".to_owned(),
                lost => format!("what comes is durable again, but the log is not complete: {lost}"),
            };
            self.reports.push_back(Fact::Storage { what, errno: None, file, first_seq: 0, last_seq, done });
        }
    }

    /// What would be needed next: another segment, room.
    fn look_ahead(&mut self, now: KernelTime) {
        let is_recent = self.free_asked.is_some_and(|asked| now < asked + FREE_US);
        if is_recent && (self.segments.has_spare() || self.has_no_room) {
            return;
        }
        let spare = self.segments.make_spare();
        self.has_no_room = spare.is_err();
        self.free_asked = Some(now);
        let Ok(free) = self.segments.dir().free_bytes() else { return };
        let mib = free >> 20;
        let dir = self.segments.dir().name();
        let (level, text) = match (free, &spare) {
            (..FREE_ALARM_BYTES, _) => (Room::None, format!("{dir}: the disk is full but for {mib} MiB")),
            (_, Err(fault)) => (Room::Little, fault.to_string()),
            (..FREE_WARN_BYTES, _) => (Room::Little, format!("{dir}: only {mib} MiB of the disk are free")),
            _ => (Room::Enough, String::new()),
        };
        if level > self.room.0 {
            let errno = spare.as_ref().err().and_then(|fault| fault.error.raw_os_error());
            let (what, done, last_seq) = ("free space".to_owned(), text.clone(), self.durable_seq);
            self.reports.push_back(Fact::Storage { what, errno, file: dir, first_seq: 0, last_seq, done });
        }
        self.room = (level, text);
    }

    /// Has everything that the feed has been kept, or is there a fault?
    pub const fn is_failing(&self) -> bool {
        self.failing.is_some()
    }
}

fn last_line(lines: &[u8]) -> Option<&[u8]> {
    let body = lines.strip_suffix(b"\n")?;
    let start = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    Some(&body[start..])
}
