//! A log as it lies on a disk. In: a log directory, or files. Out: its lines, in order. Guarantee: nothing is changed and
//! no lock is taken, so it may be read while a daemon writes; a daemon that begins a new segment or empties its journal
//! meanwhile makes no line come twice and none go missing; memory is a few buffers, however long the log is.
//!
//! Of a directory the segments are read in the order of their names, then what the journal has beyond them. Lines move
//! from the journal to the segments at any time, so at the end of the journal the segments are asked once more: a line that
//! was in neither when looked for is in the segments by then.

mod journal;
mod piece;
mod place;
mod segments;

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use self::journal::Journal;
use self::piece::Piece;
use crate::log::store::storage::{StorageFault, fault};
use crate::log::{ChainHash, Line, SegmentName};

/// A line of the journal that does not follow is looked at so often before it is believed.
const MISFIT_TIMES: u32 = 3;

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] StorageFault),
    /// The directory holds no log.
    #[error(
        "{0}: no log is here (a log is files like 000001-1.jsonl); name its directory, or its .jsonl files in order"
    )]
    NoLog(PathBuf),
}

/// A line where it lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawLine {
    /// The line, without its newline.
    pub bytes: Vec<u8>,
    /// The file.
    pub file: PathBuf,
    /// Its number in the file, from 1.
    pub number: u64,
    /// Whether it has an end; if not, the file ends in the middle of it, and there are later ones.
    pub whole: bool,
}

impl RawLine {
    /// It is whole, and lies there. The path is copied for the first line of a file only.
    fn lie_at(&mut self, file: &Path, number: u64) {
        if self.file != file {
            file.clone_into(&mut self.file);
        }
        (self.number, self.whole) = (number, true);
    }
}

impl fmt::Display for RawLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}", self.file.display(), self.number)
    }
}

/// Reads a log.
#[derive(Debug, Default)]
pub struct LogReader {
    /// The log directory, if it was not files that were named.
    dir: Option<PathBuf>,
    /// Files that come next.
    queue: VecDeque<PathBuf>,
    /// The last segment that was queued.
    newest: Option<SegmentName>,
    file: Option<Piece>,
    /// The bytes that are being read of a segment.
    incoming: Vec<u8>,
    /// The line that was given last, and one of the journal that is being read.
    given: RawLine,
    given_next: RawLine,
    stage: Stage,
    /// Lines that were given already and are still to come in the segments, and the hash of the one before them.
    owed: u64,
    copied: Option<ChainHash>,
    /// The end of a file that is not the last, in the middle of a line.
    cut: Option<RawLine>,
    /// A line was read and is to be given.
    is_held: bool,
    without_journal: bool,
    /// A line of the journal that does not follow, and how often it was met.
    misfit: Option<(RawLine, u32)>,
    /// The kernel's word that something changed in the directories; nothing is polled.
    watch: Option<OwnedFd>,
    remark: Option<String>,
}

#[derive(Debug, Default)]
enum Stage {
    /// The segments come first.
    #[default]
    Segments,
    /// What the journal has beyond them.
    Journal(Box<Journal>),
    /// The journal has nothing: what it had may be in the segments by now.
    OnceMore,
}

fn fail(path: &Path) -> impl FnOnce(io::Error) -> StorageFault {
    fault("be read", path.display())
}

impl LogReader {
    /// Opens a log directory, or files in their order.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(paths: &[PathBuf]) -> Result<Self, ReadError> {
        let mut reader = Self::default();
        match paths {
            [dir] if std::fs::metadata(dir).map_err(fail(dir))?.is_dir() => {
                reader.dir = Some(dir.clone());
                reader.look_for_segments()?;
                if reader.queue.is_empty() {
                    reader.queue = place::other_files(dir)?.into();
                }
                if reader.queue.is_empty() && place::journal(dir).is_none() {
                    return Err(ReadError::NoLog(dir.clone()));
                }
            }
            files => {
                // A missing file is said before the first was read.
                for file in files {
                    File::open(file).map_err(fail(file))?;
                }
                reader.queue = files.to_vec().into();
            }
        }
        Ok(reader)
    }

    /// Whether what comes first is called like a segment, so that it is a log even if its first lines are damaged.
    pub fn is_named_as_log(&self) -> bool {
        self.queue.front().is_some_and(|path| SegmentName::of(path).is_some())
    }

    /// The seq that the log begins with, as the name of the first segment says; 1 if it says nothing. Ask before the first
    /// line is read.
    pub fn first_seq(&self) -> u64 {
        self.queue.front().and_then(SegmentName::of).map_or(1, |name| name.first_seq)
    }

    /// The next line; none at the end of what is there now. Later there may be more.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_line(&mut self) -> Result<Option<&RawLine>, ReadError> {
        Ok(self.advance()?.then_some(&self.given))
    }

    /// Reads the next line into `given`. False: there is none.
    fn advance(&mut self) -> Result<bool, ReadError> {
        loop {
            if let Stage::Journal(journal) = &mut self.stage {
                let journal_last = journal.last();
                if journal.next(&mut self.given_next) {
                    std::mem::swap(&mut self.given_next, &mut self.given);
                    if self.owed == 0 {
                        self.copied = Some(journal_last);
                    }
                    self.owed += 1;
                    return Ok(true);
                }
                let Stage::Journal(journal) = std::mem::replace(&mut self.stage, Stage::OnceMore) else {
                    continue;
                };
                if journal.gave_any() {
                    self.stage = Stage::Segments;
                }
                self.meet(journal.into_misfit());
            }
            if self.read_segments()? {
                return Ok(true);
            }
            if matches!(self.stage, Stage::OnceMore) && self.misfit.is_none() {
                self.stage = Stage::Segments;
                return Ok(false);
            }
            if let Some((misfit, _)) = self.misfit.take_if(|(_, times)| *times >= MISFIT_TIMES) {
                self.stage = Stage::Segments;
                self.without_journal = true;
                self.given = misfit;
                return Ok(true);
            }
            match self.open_journal() {
                Some(journal) => self.stage = Stage::Journal(Box::new(journal)),
                None => return Ok(false),
            }
        }
    }

    /// Whether the line that was given last is in the journal, and was in no segment when looked for.
    pub const fn is_in_journal(&self) -> bool {
        matches!(self.stage, Stage::Journal(_))
    }

    /// The daemon may be writing what is read; a line that was met several times is not on its way.
    fn meet(&mut self, misfit: Option<RawLine>) {
        self.misfit = misfit.map(|new| match self.misfit.take() {
            Some((old, times)) if old == new => (old, times + 1),
            _ => (new, 1),
        });
    }

    /// The line that was given last, once more.
    pub const fn given(&self) -> &RawLine {
        &self.given
    }

    /// An incomplete line at the end of all files: it is being written, or what wrote it was cut off. Ask when
    /// [`LogReader::next_line`] gives none.
    pub fn partial(&self) -> Option<RawLine> {
        self.cut.clone().or_else(|| self.unfinished())
    }

    /// The line that is being read.
    fn unfinished(&self) -> Option<RawLine> {
        let piece = self.file.as_ref().filter(|_| !self.incoming.is_empty())?;
        let (bytes, file) = (self.incoming.clone(), piece.path.clone());
        Some(RawLine { bytes, file, number: piece.lines + 1, whole: false })
    }

    /// What the person should know of the reading itself, once.
    pub fn take_remark(&mut self) -> Option<String> {
        self.remark.take()
    }

    /// Whether a daemon has this log open for writing.
    pub fn is_written(&self) -> bool {
        self.dir.as_deref().is_some_and(place::is_locked)
    }

    /// Waits until something may have been appended.
    ///
    /// # Errors
    /// [`ReadError`], if the kernel does not tell of changes.
    pub fn wait(&mut self) -> Result<(), ReadError> {
        let newest = self.file.as_ref().map(|piece| piece.path.clone());
        let path = self.dir.clone().or(newest).unwrap_or_default();
        if let Some(watch) = &self.watch {
            // Which change it was does not matter, for everything is looked at; a full queue is a change as well.
            let read = rustix::io::retry_on_intr(|| rustix::io::read(watch, &mut [0; 4096]));
            read.map_err(io::Error::from).map_err(fail(&path))?;
        } else {
            // Changes before the watch began are seen by reading once more.
            let watch = inotify::init(CreateFlags::CLOEXEC).map_err(io::Error::from).map_err(fail(&path))?;
            add_watch(&watch, &path).map_err(fail(&path))?;
            self.watch = Some(watch);
        }
        // A daemon that was started anew may have another journal.
        let journal = self.dir.as_deref().and_then(place::journal);
        if let Some((watch, journal)) = self.watch.as_ref().zip(journal) {
            let _ = add_watch(watch, &journal);
        }
        Ok(())
    }

    /// The journal, if there is one to read.
    fn open_journal(&mut self) -> Option<Journal> {
        let place = place::journal(self.dir.as_deref()?).filter(|_| !self.without_journal)?;
        let last = match Line::parse(&self.given.bytes) {
            Ok(line) => (line.seq, line.hash),
            Err(_) if self.given.number == 0 => (0, ChainHash::START),
            // To a damaged line nothing can be joined.
            Err(_) => return None,
        };
        let files = match place::journal_files(&place) {
            Ok(files) => files,
            Err(error) => {
                self.without_journal = true;
                self.remark = Some(format!(
                    "{}: the journal cannot be read ({error}); what is not on the disk yet is missing here: run this as \
                     the daemon's user, or as root",
                    place.display()
                ));
                return None;
            }
        };
        (!files.is_empty()).then(|| Journal::new(files, last))
    }
}

/// Watches this too. One that is watched already stays so.
fn add_watch(watch: &OwnedFd, path: &Path) -> io::Result<()> {
    let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    inotify::add_watch(watch, path, changes)?;
    Ok(())
}
