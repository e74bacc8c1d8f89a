//! The log as a reader of files sees it. In: a log directory. Out: its records. Guarantee: only whole lines are looked
//! at; waiting is for the kernel's word that the file has grown.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use buzzer_server::io::log_file::LOG_NAME;
use buzzer_server::log;
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

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.dir.join(LOG_NAME)
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.file()).expect("the log")
    }

    /// Every record so far. Their numbers must be dense, in every test.
    pub fn records(&self) -> Vec<Record> {
        let bytes = self.bytes();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n');
        let records: Vec<Record> =
            lines.map(|line| log::decode(line.trim_ascii_end()).expect("a record")).collect();
        for (record, seq) in records.iter().zip(1..) {
            assert_eq!(record.seq, seq, "numbers are dense");
        }
        records
    }

    /// Visits every record so far, without keeping them: a log of millions does not fit twice into memory.
    pub fn for_each(&self, mut visit: impl FnMut(&Record)) {
        let mut lines = BufReader::new(File::open(self.file()).expect("the log"));
        let (mut line, mut seq) = (Vec::new(), 0);
        while lines.read_until(b'\n', &mut line).expect("the log") > 0 && line.ends_with(b"\n") {
            let record = log::decode(line.trim_ascii_end()).expect("a record");
            seq += 1;
            assert_eq!(record.seq, seq, "numbers are dense");
            visit(&record);
            line.clear();
        }
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

    /// Waits until there are so many presses, however long the log is: every line is looked at once.
    pub fn wait_presses(&self, presses: u64) {
        let watch = self.watch();
        let mut lines = BufReader::new(File::open(self.file()).expect("the log"));
        let (mut line, mut found) = (Vec::new(), 0);
        while found < presses {
            if lines.read_until(b'\n', &mut line).expect("the log") == 0 {
                wait(&watch, &format!("{presses} presses; there are {found}"));
            } else if line.ends_with(b"\n") {
                found += u64::from(line.windows(14).any(|part| part == br#""kind":"press""#));
                line.clear();
            }
        }
    }

    fn watch(&self) -> OwnedFd {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC).expect("inotify");
        inotify::add_watch(&watch, self.file(), inotify::WatchFlags::MODIFY).expect("the log");
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

fn wait(watch: &OwnedFd, what: &str) {
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&patience)).expect("poll");
    assert_ne!(ready, 0, "the log has no {what}");
    rustix::io::read(watch, &mut [0; 4096]).expect("events");
}
