//! The log as a reader of files sees it. In: a log directory. Out: its records. Guarantee: only whole lines are looked
//! at, and every line is checked against the chain; waiting is for the kernel's word that a file has grown.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use buzzer_server::io::store::disk::Disk;
use buzzer_server::io::store::log_dir::Lock;
use buzzer_server::io::store::log_proof;
use buzzer_server::io::store::log_proof::CHECKPOINTS_NAME;
use buzzer_server::io::store::log_reader::{LogReader, ReadError};
use buzzer_server::log::form::line::seq_of;
use buzzer_server::log::store::{journal, recovery};
use buzzer_server::log::{ChainHash, Line, SegmentName};
use buzzer_server::record::{Fact, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::PATIENCE;

/// A log.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// The log in this directory.
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The log directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its segments, in the order of the log.
    pub fn segments(&self) -> Vec<PathBuf> {
        let names = self.names();
        let mut names: Vec<SegmentName> = names.iter().filter_map(SegmentName::of).collect();
        names.sort_unstable();
        names.iter().map(|name| self.dir.join(name.to_string())).collect()
    }

    /// The last of them.
    pub fn segment(&self) -> PathBuf {
        self.segments().pop().expect("a segment")
    }

    /// All files of the log directory.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).expect("the log directory");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a text"))
            .collect();
        names.sort();
        names
    }

    /// Where its journal lies.
    pub fn runtime(&self) -> PathBuf {
        Lock::read(&self.dir).and_then(|lock| lock.journal).expect("a journal directory")
    }

    /// Its bytes: the segments, and the journal's lines that follow.
    pub fn bytes(&self) -> Vec<u8> {
        self.read().expect("the log")
    }

    fn read(&self) -> Result<Vec<u8>, ReadError> {
        let mut log = LogReader::open(std::slice::from_ref(&self.dir))?;
        let (mut bytes, mut last) = (Vec::new(), 0);
        while let Some(line) = log.next_line()? {
            // What a disk that failed has twice is there once.
            let seq = seq_of(&line.bytes).unwrap_or(u64::MAX);
            if !line.whole || seq <= last {
                continue;
            }
            last = seq;
            bytes.extend_from_slice(&line.bytes);
            bytes.push(b'\n');
        }
        Ok(bytes)
    }

    /// Has it recovered as the next start would, and gives the last record's number. Nobody may write to it meanwhile.
    pub fn recover(&self) -> u64 {
        let dir = Disk::open(&self.dir).expect("the log directory");
        let journal = Disk::open(&self.runtime()).expect("the journal's directory");
        let found = recovery::recover(&dir, &journal, &journal::header("0", "0"), &Vec::new).expect("a log");
        assert_eq!(found.notes, [], "a crash of the process leaves nothing to be set aside");
        found.state.seq()
    }

    /// Has it recovered, whatever there is to be said about it. False: no journal was made yet.
    pub fn recover_quietly(&self) -> bool {
        let Some(journal) = Lock::read(&self.dir).and_then(|lock| lock.journal) else { return false };
        let dir = Disk::open(&self.dir).expect("the log directory");
        let journal = Disk::open(&journal).expect("the journal's directory");
        recovery::recover(&dir, &journal, &journal::header("0", "0"), &Vec::new).expect("a log");
        true
    }

    /// How many presses a reader finds.
    pub fn try_presses(&self) -> usize {
        records(&self.read().unwrap_or_default())
            .iter()
            .filter(|record| matches!(record.fact, Fact::Press { .. }))
            .count()
    }

    /// The segments alone, as `cat` gives them.
    pub fn segment_bytes(&self) -> Vec<u8> {
        self.segments().iter().flat_map(|path| std::fs::read(path).expect("a segment")).collect()
    }

    /// The presses in the segments alone.
    pub fn segment_presses(&self) -> Vec<Record> {
        let mut records = records(&self.segment_bytes());
        records.retain(|record| matches!(record.fact, Fact::Press { .. }));
        records
    }

    /// Every record so far. Their numbers must be dense and their hashes follow, in every test.
    pub fn records(&self) -> Vec<Record> {
        records(&self.bytes())
    }

    /// Visits every record so far, without keeping them: a log of millions does not fit twice into memory.
    pub fn for_each(&self, mut visit: impl FnMut(&Record)) {
        each(&self.bytes(), |record| visit(&record));
    }

    /// The buzzers of all presses so far, in order.
    pub fn presses(&self) -> Vec<u16> {
        let records = self.records().into_iter();
        let buzzer = |record: Record| match record.fact {
            Fact::Press { buzzer, .. } => Some(buzzer),
            _ => None,
        };
        records.filter_map(buzzer).collect()
    }

    /// Waits for a fact like this, and gives its record.
    pub fn wait_for(&self, what: &str, like: impl Fn(&Fact) -> bool) -> Record {
        self.wait_until(what, |records| records.iter().find(|record| like(&record.fact)).cloned())
    }

    /// Waits until so many devices have been attached since the beginning of the log, so that what they say counts.
    pub fn wait_attached(&self, devices: usize) {
        let attach = |record: &&Record| matches!(record.fact, Fact::Attach { .. });
        let all = |records: &[Record]| (records.iter().filter(attach).count() >= devices).then_some(());
        self.wait_until("attachments", all);
    }

    /// Waits until there are so many presses in the segments, however long the log is: every line is looked at once.
    pub fn wait_presses(&self, presses: u64) {
        let watch = self.watch();
        let (mut place, mut lines) = (0, None);
        let (mut line, mut found) = (Vec::new(), 0);
        while found < presses {
            let segments = self.segments();
            if lines.is_none() {
                lines = segments.get(place).map(|path| BufReader::new(File::open(path).expect("a segment")));
            }
            let read = lines.as_mut().map_or(0, |lines| lines.read_until(b'\n', &mut line).expect("the log"));
            if line.ends_with(b"\n") {
                found += u64::from(line.windows(14).any(|part| part == br#""kind":"press""#));
                line.clear();
            } else if read == 0 && lines.is_some() && segments.len() > place + 1 {
                // It was full before the next one had a name.
                place += 1;
                lines = None;
            } else if read == 0 {
                wait(&watch, &format!("{presses} presses; there are {found}"));
            }
        }
    }

    /// Waits until there are so many checkpoints: each is signed when the disk has what it says.
    pub fn wait_checkpoints(&self, count: usize) -> Vec<PathBuf> {
        let watch = self.watch();
        loop {
            // Their directory is made with the first one.
            let _ = inotify::add_watch(&watch, self.dir.join(CHECKPOINTS_NAME), changes());
            let checkpoints = log_proof::checkpoints(&self.dir).expect("checkpoints");
            if checkpoints.len() >= count {
                return checkpoints;
            }
            wait(&watch, &format!("{count} checkpoints; there are {checkpoints:?}"));
        }
    }

    fn watch(&self) -> OwnedFd {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC).expect("inotify");
        inotify::add_watch(&watch, &self.dir, changes()).expect("the log");
        // A daemon that has ended has none.
        let _ = inotify::add_watch(&watch, self.runtime(), changes());
        watch
    }

    /// Waits until `look` finds something in the records.
    pub fn wait_until<T>(&self, what: &str, look: impl Fn(&[Record]) -> Option<T>) -> T {
        // Watching begins before looking: what comes in between is not missed.
        let watch = self.watch();
        loop {
            let records = self.records();
            if let Some(found) = look(&records) {
                return found;
            }
            wait(&watch, &format!("{what}; the last: {:?}", records.last()));
        }
    }
}

fn changes() -> inotify::WatchFlags {
    inotify::WatchFlags::MODIFY | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE
}

/// Takes a stream of lines apart.
pub fn records(bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    each(bytes, |record| records.push(record));
    records
}

fn each(bytes: &[u8], mut visit: impl FnMut(Record)) {
    let (mut head, mut seq) = (ChainHash::START, 0);
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
        let line = Line::parse(line.trim_ascii_end()).expect("a line");
        assert!(line.follows(&head), "seq {}: chained to the line before it", line.seq);
        head = line.hash;
        let record = line.record().expect("a record");
        if let Fact::Lost { first_seq, last_seq } = record.fact {
            assert_eq!(first_seq, seq + 1, "a hole is named from its beginning");
            seq = last_seq;
        }
        assert_eq!(record.seq, seq + 1, "numbers are dense");
        seq = record.seq;
        visit(record);
    }
}

fn wait(watch: &OwnedFd, what: &str) {
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&patience)).expect("poll");
    assert_ne!(ready, 0, "the log has no {what}");
    rustix::io::read(watch, &mut [0; 4096]).expect("events");
}
