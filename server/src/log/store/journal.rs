//! The journal: what the writer still has to bring to the disk. In: records. Out: the same lines, in order, to a [`Feed`].
//! Guarantee: a record is in a file of the runtime directory, by one write, before `append` returns, so it survives a
//! crash of the process; nobody waits for a disk or a lock that somebody holds for long.
//!
//! Two files, `0.journal` and `1.journal`. One is appended to; from [`TURN_BYTES`] on the other one is, if it is empty. The
//! writer empties a file once all in it is durable. Only while the disk stalls does a file grow beyond, up to
//! [`FILE_BYTES_MAX`]. Then, or when a file takes no line, lines are kept in memory, up to [`MEMORY_BYTES_MAX`], and
//! guarantee 4 is suspended until all of them are durable. When memory is full too, records are lost. They are not
//! chained: the hash and the next line that is kept, a `lost` record that names them, follow from the last line that
//! was kept.
//!
//! First line of each file: `{"v":1,"journal":"<log id>","boot":"<boot id>"}`. Behind it log lines, as they go to a segment.

mod feed;

use buzzer_core::quote::kernel_words;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use buzzer_core::time::{KernelTime, Micros};
use parking_lot::Mutex;

pub use self::feed::Feed;
use self::feed::Position;
use super::storage::{self, Directory, File};
use crate::log::{ChainHash, encode};
use crate::record::Record;

/// From here on the other file is used, if it is empty: memory is not taken without need.
pub const TURN_BYTES: u64 = 1 << 20;
/// The most that one file takes: two of them are 64 MiB, 300 000 records.
pub const FILE_BYTES_MAX: u64 = 32 << 20;
/// The most that memory takes when no file does: 80 000 records.
pub const MEMORY_BYTES_MAX: usize = 16 << 20;
/// How long until a file that could not be emptied or made is tried again.
const RETRY_US: Micros = Micros::from_ms(1000);

/// The two files.
pub const FILE_NAMES: [&str; 2] = ["0.journal", "1.journal"];

/// The limits, so that a test need not fill 64 MiB.
#[derive(Clone, Copy, Debug)]
pub struct JournalLimits {
    /// [`TURN_BYTES`]
    pub turn: u64,
    /// [`FILE_BYTES_MAX`]
    pub file: u64,
    /// [`MEMORY_BYTES_MAX`]
    pub memory: usize,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self { turn: TURN_BYTES, file: FILE_BYTES_MAX, memory: MEMORY_BYTES_MAX }
    }
}

/// The first line of a journal file.
pub fn header(log: &str, boot: &str) -> Vec<u8> {
    format!("{{\"v\":1,\"journal\":\"{log}\",\"boot\":\"{boot}\"}}\n").into_bytes()
}

/// One of the two files.
#[derive(Debug)]
struct JournalFile<F> {
    name: &'static str,
    file: F,
    /// Bytes of whole lines: what the writer may read.
    len: AtomicU64,
    /// Unlinked: a later process cannot find it.
    is_gone: AtomicBool,
}

#[derive(Debug)]
enum Span<F> {
    File {
        file: Arc<JournalFile<F>>,
        /// Where its first line that is not durable begins.
        start: u64,
    },
    Memory {
        /// Bytes that were here before, and are durable.
        before: u64,
        bytes: VecDeque<u8>,
    },
}

/// What is not durable, oldest first.
#[derive(Debug)]
struct Queue<F> {
    /// The number of the first span.
    first: u64,
    spans: VecDeque<Span<F>>,
    /// An empty file.
    empty: Option<Arc<JournalFile<F>>>,
}

impl<F> Queue<F> {
    /// The files that have lines.
    fn files(&self) -> impl Iterator<Item = &Arc<JournalFile<F>>> {
        self.spans.iter().filter_map(|span| match span {
            Span::File { file, .. } => Some(file),
            Span::Memory { .. } => None,
        })
    }
}

/// What both sides see.
#[derive(Debug)]
struct Shared<F> {
    queue: Mutex<Queue<F>>,
    /// Bytes in memory that are not durable.
    in_memory: AtomicUsize,
}

/// Why lines are not in a file.
#[derive(Debug, thiserror::Error)]
pub enum Suspended {
    /// Both files are full: the disk has taken nothing for long.
    #[error("the journal is full")]
    Full,
    /// A file took no line.
    #[error("the journal cannot be written: {}", kernel_words(.0))]
    Failed(io::Error),
    /// The files are where nobody will find them.
    #[error("the journal's directory is gone")]
    Gone,
}

/// Records that were not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first.
    pub first_seq: u64,
    /// The last.
    pub last_seq: u64,
}

/// The server's side.
#[derive(Debug)]
pub struct Journal<F: File> {
    shared: Arc<Shared<F>>,
    limits: JournalLimits,
    active: Option<Arc<JournalFile<F>>>,
    /// The hash of the last line that was kept.
    head: ChainHash,
    /// The number of the last line that this process has kept; 0: none yet.
    kept_seq: u64,
    lines: Vec<u8>,
    suspended: Option<Suspended>,
    hole: Option<Hole>,
}

/// A journal file of an earlier process whose lines follow from the log.
#[derive(Debug)]
pub struct Resumed<F> {
    /// [`FILE_NAMES`]
    pub name: &'static str,
    /// It, open.
    pub file: F,
    /// Where the first line stands that is not known to be durable.
    pub start: u64,
    /// Where the last whole line ends.
    pub end: u64,
}

/// Makes both sides. `resumed`: what an earlier process left, oldest first. New lines go behind it and follow from `head`.
/// A journal that cannot be made is no reason not to start: lines are kept in memory then, and it is said.
pub fn open<J: Directory>(
    dir: J,
    header: Vec<u8>,
    resumed: Vec<Resumed<J::File>>,
    head: ChainHash,
    limits: JournalLimits,
) -> (Journal<J::File>, Feed<J>) {
    let spans: VecDeque<Span<J::File>> = resumed
        .into_iter()
        .map(|Resumed { name, file, start, end }| {
            let (len, is_gone) = (AtomicU64::new(end), AtomicBool::new(false));
            // What stands behind the last whole line was never told to anybody.
            let _ = file.set_len(end);
            Span::File { file: Arc::new(JournalFile { name, file, len, is_gone }), start }
        })
        .collect();
    let queue = Queue { first: 0, spans, empty: None };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), in_memory: AtomicUsize::new(0) });
    let mut feed = Feed {
        shared: Arc::clone(&shared),
        dir,
        header,
        durable: Position::default(),
        read: Position::default(),
        retired: Vec::new(),
        retry_at: None,
    };
    feed.maintain(KernelTime::ZERO);
    let active = match shared.queue.lock().spans.back() {
        Some(Span::File { file, .. }) => Some(Arc::clone(file)),
        _ => None,
    };
    let mut journal =
        Journal { shared, limits, active, head, kept_seq: 0, lines: Vec::new(), suspended: None, hole: None };
    if journal.active.is_none() && !journal.turn() {
        let error = feed.make_empty().err().unwrap_or_else(|| io::ErrorKind::Other.into());
        journal.suspend(Suspended::Failed(error));
    }
    (journal, feed)
}

impl<F: File> Journal<F> {
    /// Appends records. It returns soon, also if nothing can be written, and the game goes on.
    pub fn append(&mut self, records: &[Record]) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        if let Some(hole) = &mut self.hole {
            hole.last_seq = last.seq;
            return;
        }
        self.lines.clear();
        let mut head = self.head;
        for record in records {
            encode(record, &mut head, &mut self.lines);
        }
        if self.keep() {
            (self.head, self.kept_seq) = (head, last.seq);
        } else {
            self.hole = Some(Hole { first_seq: first.seq, last_seq: last.seq });
        }
    }

    /// Records that were lost, once there is room to say so.
    pub fn hole(&self) -> Option<Hole> {
        let has_room = self.shared.in_memory.load(Ordering::Relaxed) <= self.limits.memory / 2;
        self.hole.filter(|_| has_room)
    }

    /// Whether records are being lost.
    pub const fn is_losing(&self) -> bool {
        self.hole.is_some()
    }

    /// Appends the record that names the lost ones.
    pub fn end_hole(&mut self, lost: &Record) {
        let hole = self.hole.take();
        self.append(std::slice::from_ref(lost));
        if let (Some(new), Some(old)) = (&mut self.hole, hole) {
            new.first_seq = old.first_seq;
        }
    }

    /// Why lines are in memory only; guarantee 4 is suspended as long as there is a reason.
    pub const fn suspended(&self) -> Option<&Suspended> {
        self.suspended.as_ref()
    }

    /// The last line that this process has kept: its number and its hash.
    pub fn last_kept(&self) -> Option<(u64, ChainHash)> {
        (self.kept_seq > 0).then_some((self.kept_seq, self.head))
    }

    /// Keeps `self.lines`.
    fn keep(&mut self) -> bool {
        let lines = self.lines.len() as u64;
        let len = |active: &Arc<JournalFile<F>>| active.len.load(Ordering::Relaxed);
        match &self.active {
            Some(active) if active.is_gone.load(Ordering::Relaxed) => self.suspend(Suspended::Gone),
            Some(active) if len(active) >= self.limits.turn => {
                if !self.turn() && self.active.as_ref().map_or(0, len) + lines > self.limits.file {
                    self.suspend(Suspended::Full);
                }
            }
            Some(_) => {}
            None => {
                // Only when all in memory is durable, and so all before it, may a file begin: its lines could not be
                // chained to the log otherwise if this process died.
                if self.shared.in_memory.load(Ordering::Relaxed) == 0 {
                    self.turn();
                }
            }
        }
        if let Some(active) = &self.active {
            let at = len(active);
            match storage::write_all(&active.file, at, &self.lines) {
                Ok(()) => {
                    active.len.store(at + lines, Ordering::Release);
                    self.suspended = None;
                    return true;
                }
                Err(error) => {
                    // Half a line must not stay; who reads the file believes only whole lines anyway.
                    let _ = active.file.set_len(at);
                    self.suspend(Suspended::Failed(error));
                }
            }
        }
        self.keep_in_memory()
    }

    fn keep_in_memory(&mut self) -> bool {
        let held = self.shared.in_memory.load(Ordering::Relaxed);
        if held + self.lines.len() > self.limits.memory {
            return false;
        }
        let mut queue = self.shared.queue.lock();
        if !matches!(queue.spans.back(), Some(Span::Memory { .. })) {
            queue.spans.push_back(Span::Memory { before: 0, bytes: VecDeque::new() });
        }
        if let Some(Span::Memory { bytes, .. }) = queue.spans.back_mut() {
            bytes.extend(&self.lines);
        }
        self.shared.in_memory.fetch_add(self.lines.len(), Ordering::Relaxed);
        true
    }

    /// Goes on in the empty file, if there is one.
    fn turn(&mut self) -> bool {
        let mut queue = self.shared.queue.lock();
        let Some(file) = queue.empty.take() else { return false };
        let start = file.len.load(Ordering::Relaxed);
        queue.spans.push_back(Span::File { file: Arc::clone(&file), start });
        self.active = Some(file);
        true
    }

    fn suspend(&mut self, why: Suspended) {
        self.active = None;
        self.suspended = Some(why);
    }
}
