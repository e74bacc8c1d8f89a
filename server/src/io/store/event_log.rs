//! The event log of a running daemon. In: records. Out: the same records in the journal at once, on the disk soon, and at
//! start what an earlier process left. Guarantee: one process per log directory; a record is in the journal before
//! `append` returns, or it is said that it is not.
//!
//! What lies where is in [`super::log_dir`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use buzzer_core::io::sys;
use buzzer_core::quote::Quoted;
use mio::Waker;
use parking_lot::Mutex;

use super::disk::{Disk, DiskFile};
use super::earlier_journal;
use super::log_dir::{self, FALLBACK_NAME, LOCK_NAME, Lock};
use super::log_lock::{Held, LockError};
use super::writer::{self, WriterThread};
use super::{log_proof, obstacle, retention};
use crate::config::LogConfig;
use crate::game::state::State;
use crate::io::machine::host;
use crate::judge::sentence;
use crate::log::form::checkpoint::Checkpoint;
use crate::log::store::expiry::Segment;
use crate::log::store::journal::{self, FILE_NAMES, Hole, Journal, JournalLimits};
use crate::log::store::recovery::{RecoveryError, recover};
use crate::log::store::segments::{SEGMENT_BYTES_MAX, Segments};
use crate::log::store::storage::{StorageFault, fault};
use crate::log::store::writer::{StorageHealth, Writer};
use crate::record::{Fact, Record};

/// At the end the disk has this long.
const FINISH: Duration = Duration::from_secs(5);

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system said no.
    #[error("{}: cannot {}: {}", .0.file, .0.action, obstacle::of(.0.file.as_ref(), &.0.error))]
    Io(#[from] StorageFault),
    /// Another daemon writes here.
    #[error("{dir}: another buzzerd (pid {pid}) writes its log here; stop it, or name another log.dir")]
    InUse {
        /// The log directory.
        dir: PathBuf,
        /// The other one.
        pid: String,
    },
    /// It cannot be gone on with.
    #[error("{dir}: {error}")]
    Recovery {
        /// The log directory.
        dir: PathBuf,
        /// Why.
        error: RecoveryError,
    },
}

/// What an open log begins with.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: EventLog,
    /// The fold of what is in it.
    pub state: State,
    /// The time of its last record, if that is of this boot: until then somebody was there.
    pub last_us: Option<u64>,
    /// What it is to say about how it was found.
    pub notes: Vec<Fact>,
}

/// An open log.
#[derive(Debug)]
pub struct EventLog {
    journal: Journal<DiskFile>,
    writer: WriterThread,
    dir: PathBuf,
    journal_dir: PathBuf,
    id: String,
    boot: String,
    /// What was last said of the journal.
    was_suspended: bool,
    /// What the start found that somebody should look at.
    found: Vec<String>,
    /// Something was appended since the writer was last woken.
    is_new: bool,
    lock: Arc<Mutex<Held>>,
}

impl EventLog {
    /// Opens the log of a directory, makes it if there is none, and recovers what an earlier process left.
    ///
    /// # Errors
    /// [`OpenError`]. The directory may have been made; nothing that was in it is lost.
    pub fn open(config: &LogConfig, dir: &Path) -> Result<Opened, OpenError> {
        let disk = Disk::open(dir).map_err(fault("make the log directory", dir.display()))?;
        let canonical = std::fs::canonicalize(dir).map_err(fault("find the log directory", dir.display()))?;
        let mut lock = lock(dir)?;
        let (id, boot) = (format!("{:032x}", u128::from_be_bytes(host::random())), host::boot_id());
        let boot = boot.map_err(fault("read the boot id", "/proc/sys/kernel/random/boot_id"))?;
        let header = journal::header(&id, &boot);
        let (mut journal_disk, mut journal_dir) = journal_directory(&canonical)?;
        // What an earlier process told and the disk does not have is first, wherever it had its runtime directory.
        let mut notes = Vec::new();
        let recovery = |error| OpenError::Recovery { dir: dir.to_owned(), error };
        if let Some(Lock { journal: Some(earlier), boot: earlier_boot, .. }) = Lock::read(dir)
            && earlier != journal_dir
        {
            let is_missed = earlier_boot.as_ref() == Some(&boot);
            let brought = earlier_journal::bring_in(dir, &earlier, &header, is_missed).map_err(recovery)?;
            notes = brought.notes;
            if !brought.is_done {
                ::log::error!(
                    "{}: the disk does not take what is there; the journal stays there",
                    earlier.display()
                );
                journal_disk = Disk::existing(&earlier)
                    .map_err(fault("open the journal's directory", earlier.display()))?;
                journal_dir = earlier;
            }
        }
        let words =
            Lock { pid: std::process::id(), journal: Some(journal_dir.clone()), boot: Some(boot.clone()) };
        lock.write(&words).map_err(fault("write the lock", dir.join(LOCK_NAME).display()))?;
        let mut recovered =
            recover(&disk, &journal_disk, &header, &|| log_proof::own(dir)).map_err(recovery)?;
        let (head, mut state) = (recovered.head, recovered.state);
        let last_us = (state.boot() == boot).then_some(recovered.at_us);
        recovered.notes.retain(|note| !notes.contains(note));
        notes.extend(recovered.notes);
        notes.extend(strange_files(dir));
        notes.extend(log_proof::doubt(dir).map(doubt));
        let (mut journal, feed) =
            journal::open(journal_disk, header, recovered.journal, head, JournalLimits::default());
        let lost = log_proof::signed_beyond(dir, state.seq());
        if let Some(last_seq) = lost {
            // The first record of this start, for numbers that were told are not used again.
            let fact = Fact::Lost { first_seq: state.seq() + 1, last_seq };
            notes.push(removed(dir, state.seq() + 1, last_seq));
            let lost = Record { seq: last_seq + 1, at_us: sys::now().as_us(), fact };
            journal.append(std::slice::from_ref(&lost));
            state.apply(&lost, |_| {});
        }
        notes.iter().for_each(say);
        let segments = Segments::new(disk, recovered.number, SEGMENT_BYTES_MAX, recovered.resume);
        let writer = Writer::new(feed, segments, recovered.durable_seq);
        let expired = retention::expired(config, dir, &boot);
        let names = expired.iter().map(|segment| segment.name.to_string()).collect();
        let lock = Arc::new(Mutex::new(lock));
        let writer = writer::spawn(writer, names, Arc::clone(&lock))
            .map_err(fault("start the writer thread", dir.display()))?;
        let log = Self {
            journal,
            writer,
            dir: dir.to_owned(),
            journal_dir,
            id,
            boot,
            was_suspended: false,
            found: notes.iter().filter(is_finding).map(in_words).take(FOUND_MAX).collect(),
            is_new: lost.is_some(),
            lock,
        };
        notes.extend(expired.iter().filter_map(Segment::note));
        Ok(Opened { log, state, last_us, notes })
    }

    /// The name of this start of the process.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The kernel's name for this boot.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// The log directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The last record that is durable, with all before it.
    pub fn durable_seq(&self) -> u64 {
        self.writer.durable_seq()
    }

    /// Wakes the server when there is [`EventLog::news`].
    pub fn wake_server(&self, waker: Arc<Waker>) {
        self.writer.wake_server(waker);
    }

    /// Appends records: they survive a crash of this process then.
    pub fn append(&mut self, records: &[Record]) {
        if !records.is_empty() {
            self.journal.append(records);
            self.is_new = true;
            if let Some(record) = records.iter().rfind(|record| matches!(record.fact, Fact::Expired { .. })) {
                self.writer.expire_at(record.seq);
            }
        }
    }

    /// Has the writer bring it to the disk; to be called when what follows from the records has been sent.
    pub fn wake_writer(&mut self) {
        if std::mem::take(&mut self.is_new) {
            self.writer.wake();
        }
    }

    /// Has a checkpoint signed of all that was kept, once the disk has it.
    pub fn sign_when_durable(&self) {
        let Some((seq, head)) = self.journal.last_kept() else { return };
        let checkpoint = Checkpoint { log: self.id.clone(), seq, head, wall_us: host::wall_us() };
        self.writer.sign_when_durable(checkpoint);
    }

    /// Records that could not be kept, now that there is room to say so.
    pub fn hole(&self) -> Option<Hole> {
        self.journal.hole()
    }

    /// Appends the record that names them.
    pub fn end_hole(&mut self, lost: &Record) {
        self.journal.end_hole(lost);
        self.is_new = true;
    }

    /// What the log has to say of its own storage; it is said on stderr already.
    pub fn news(&mut self) -> Vec<Fact> {
        let mut news = self.writer.take_reports();
        let why = self.journal.suspended();
        if why.is_some() != self.was_suspended {
            self.was_suspended = why.is_some();
            let what = why.map_or_else(|| "the journal is written again".to_owned(), ToString::to_string);
            let done = if why.is_some() {
                "lines are kept in memory; until it is written again, a crash may cost what was told"
            } else {
                "what is told survives a crash again"
            };
            let errno = match why {
                Some(journal::Suspended::Failed(error)) => error.raw_os_error(),
                _ => None,
            };
            let file = self.journal_dir.display().to_string();
            news.push(Fact::Storage { what, errno, file, first_seq: 0, last_seq: 0, done: done.to_owned() });
        }
        news.iter().for_each(say);
        news
    }

    /// Whether a game is on, so that the segments are looked after though nothing comes.
    pub fn watch(&self, is_watched: bool) {
        self.writer.watch(is_watched);
    }

    /// How its storage stands: what is wrong, and whether records are in danger.
    pub fn health(&self) -> StorageHealth {
        // It looks after its segments; what it finds is in the next answer.
        self.writer.wake();
        if self.journal.is_losing() {
            return StorageHealth::Failing("records are lost: journal and memory are full".to_owned());
        }
        if let Some(why) = self.journal.suspended() {
            return StorageHealth::Failing(why.to_string());
        }
        match self.writer.health() {
            StorageHealth::Fine if !self.found.is_empty() => StorageHealth::Warning(self.found.join("; ")),
            health => health,
        }
    }

    /// Brings everything to the disk.
    ///
    /// # Errors
    /// What is to be told if the disk does not take it: it stays in the journal then.
    pub fn finish(mut self, last_seq: u64) -> Result<(), String> {
        self.wake_writer();
        if self.writer.finish(last_seq, FINISH) {
            // Nobody needs it any more.
            for name in FILE_NAMES {
                let _ = std::fs::remove_file(self.journal_dir.join(name));
            }
            let _ = std::fs::remove_dir(&self.journal_dir);
            let words = Lock { pid: std::process::id(), journal: None, boot: None };
            // All may be durable, and the writer hangs in the kernel with it.
            if let Some(mut lock) = self.lock.try_lock() {
                let _ = lock.write(&words);
            }
            return Ok(());
        }
        Err(format!(
            "the disk has not taken all records up to {last_seq}; those that are missing are in {}, and the next start \
             takes them over, unless the machine is switched off before",
            self.journal_dir.display()
        ))
    }
}

/// What a record of the log's own storage says, in words.
fn in_words(note: &Fact) -> String {
    match note {
        Fact::Storage { what, file, done, .. } => format!("{file}: {what}; {done}"),
        other => sentence::of(other),
    }
}

/// Says it on stderr as well.
fn say(note: &Fact) {
    let (level, kind) = match note {
        Fact::Storage { what, .. } => (::log::Level::Error, &**what),
        Fact::Recovered { .. } => (::log::Level::Warn, "recovered"),
        _ => (::log::Level::Error, "damage"),
    };
    // Each kind says another thing: one does not stand for the next.
    ::log::log!(target: &format!("buzzerd: {kind}"), level, "log: {}", in_words(note));
}

/// Whether `/healthz` says it too. The torn end of a segment is what a power cut leaves, and needs nobody.
fn is_finding(note: &&Fact) -> bool {
    !matches!(note, Fact::Recovered { file, .. } if !file.contains(".aside-"))
}

/// The records of files that are called like a part of the log and are none: the log is suspect as long as they are there.
fn strange_files(dir: &Path) -> Vec<Fact> {
    let refused = log_dir::others(dir).map(|others| others.refused).unwrap_or_default();
    let note = |(name, why): &(OsString, &str)| {
        let file = Quoted(&name.to_string_lossy()).to_string();
        let done = "the log goes on without it; move it out of the directory: `log verify` fails as long as it is there";
        Fact::storage(format!("strange file: {why}"), file, done)
    };
    let more = refused.len().saturating_sub(FOUND_MAX);
    if more > 0 {
        ::log::error!("{}: {more} more files are called like parts of the log and are none", dir.display());
    }
    refused.iter().take(FOUND_MAX).map(note).collect()
}

/// The record of records that a checkpoint knows and that are in no segment and no journal.
fn removed(dir: &Path, first_seq: u64, last_seq: u64) -> Fact {
    let what = format!(
        "lost: records of seq {first_seq} to {last_seq} are not there, and a checkpoint of seq {last_seq} is: somebody removed \
         or cut segments"
    );
    let done = format!(
        "numbers go on behind seq {last_seq}; if there is a copy of those records, keep it: with this log it is the whole"
    );
    Fact::Storage { what, errno: None, file: dir.display().to_string(), first_seq, last_seq, done }
}

/// The record of a key that does not fit.
fn doubt(why: String) -> Fact {
    let done = "the chain of the log can be checked all the same";
    Fact::storage(format!("key: {why}"), log_proof::KEY_NAME, done)
}

/// The most findings that `/healthz` lists; all are records.
const FOUND_MAX: usize = 8;

fn journal_directory(canonical: &Path) -> Result<(Disk, PathBuf), OpenError> {
    let (path, fallback) = (log_dir::journal_path(canonical), canonical.join(FALLBACK_NAME));
    if path != fallback {
        match Disk::open(&path) {
            Ok(disk) => return Ok((disk, path)),
            Err(error) => ::log::warn!("{}: {error}", path.display()),
        }
    }
    ::log::warn!(
        "no runtime directory: the journal is in {}; if that disk stalls, so do buzzes. Set RUNTIME_DIRECTORY, or run it \
         under systemd with RuntimeDirectory=buzzerd",
        fallback.display()
    );
    let disk = Disk::open(&fallback).map_err(fault("make the journal's directory", fallback.display()))?;
    Ok((disk, fallback))
}

fn lock(dir: &Path) -> Result<Held, OpenError> {
    Held::take(dir).map_err(|error| match error {
        LockError::Held(pid) => OpenError::InUse { dir: dir.to_owned(), pid },
        LockError::Io(error) => fault("take the lock", dir.join(LOCK_NAME).display())(error).into(),
    })
}
