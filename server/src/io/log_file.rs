//! The event log as a file. In: lines. Out: the same lines, in `buzzerd.jsonl` of the log directory, and at start the
//! state they fold to. Guarantee: lines are appended with one `write(2)` before the caller goes on, so they survive a
//! crash of the process; one process per directory; an incomplete last line is set aside, not deleted; a damaged
//! line stops the start with its number, and nothing is changed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::log::{BadLine, ChainHash, Line};
use crate::state::State;

/// The log's name in its directory.
pub const LOG_NAME: &str = "buzzerd.jsonl";
const LOCK_NAME: &str = "lock";
/// Lines kept in memory while the disk takes none: about 80 000 records.
const UNWRITTEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system said no.
    #[error("{path}: cannot {action}: {error}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel answered.
        error: io::Error,
    },
    /// Another daemon writes here.
    #[error("{dir}: another buzzerd (pid {pid}) writes its log here; stop it, or name another log.dir")]
    InUse {
        /// The log directory.
        dir: PathBuf,
        /// The other one.
        pid: String,
    },
    /// A line is no record.
    #[error(
        "{path}: line {line}: {error}; the log is left as it is: name another log.dir, or move the file away"
    )]
    Damaged {
        /// The log.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        error: BadLine,
    },
    /// A line was changed, or the line before it.
    #[error(
        "{path}: line {line}: its hash does not follow from the line before it; the log is left as it is: name another \
         log.dir"
    )]
    Unchained {
        /// The log.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A number is missing or comes twice.
    #[error(
        "{path}: line {line}: seq {found} follows {before}; the log is left as it is: name another log.dir"
    )]
    Gap {
        /// The log.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Its number.
        found: u64,
        /// The number before.
        before: u64,
    },
}

/// An open log.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    /// Length up to the last whole line.
    len: u64,
    /// Whole lines that the disk has not taken.
    unwritten: Vec<u8>,
    failing: bool,
    /// More came than memory holds: from there on nothing is written, so that the log stays a true prefix.
    ended: bool,
    _lock: File,
}

fn fail(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Io { path, action, error }
}

impl LogFile {
    /// Opens the log of a directory, makes it if there is none, and folds what it holds. The hash is that of its last
    /// line.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then, but the directory may have been made.
    pub fn open(dir: &Path) -> Result<(Self, State, ChainHash), OpenError> {
        std::fs::create_dir_all(dir).map_err(fail(dir, "make the log directory"))?;
        let lock = lock(dir)?;
        let path = dir.join(LOG_NAME);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let file = file.map_err(fail(&path, "open the log"))?;
        let (state, head, len, torn) = fold(&path, &file)?;
        if !torn.is_empty() {
            let aside = dir.join(format!("{LOG_NAME}.torn-{len}"));
            std::fs::write(&aside, &torn).map_err(fail(&aside, "set an incomplete line aside"))?;
            file.set_len(len).map_err(fail(&path, "cut an incomplete line"))?;
            ::log::warn!(
                "{}: the last line was incomplete ({} bytes, now in {}); the log goes on after seq {}",
                path.display(),
                torn.len(),
                aside.display(),
                state.seq()
            );
        }
        Ok((
            Self { file, path, len, unwritten: Vec::new(), failing: false, ended: false, _lock: lock },
            state,
            head,
        ))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the disk takes lines.
    pub const fn is_failing(&self) -> bool {
        self.failing
    }

    /// Appends whole lines. If the disk does not take them they stay in memory, in order, and are tried again with
    /// the next ones: the game goes on, and `is_failing` says that the log does not keep up.
    pub fn append(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if self.ended && self.unwritten.is_empty() {
            // What came behind the end is lost already; a later line would leave a hole before it.
        } else if self.unwritten.is_empty() {
            self.write(lines);
        } else {
            self.keep(lines);
            let waiting = std::mem::take(&mut self.unwritten);
            self.write(&waiting);
        }
    }

    fn write(&mut self, lines: &[u8]) {
        let mut written = 0;
        let result = loop {
            match (&self.file).write(&lines[written..]) {
                Ok(n) if written + n == lines.len() => break Ok(()),
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        match result {
            Ok(()) => {
                self.len += lines.len() as u64;
                if !self.ended && std::mem::take(&mut self.failing) {
                    ::log::warn!("{}: the log is written again, and complete", self.path.display());
                }
            }
            Err(error) => {
                // Half a line must not stay: the next one would be glued to it.
                let _ = self.file.set_len(self.len);
                if self.ended {
                    // These waited already.
                    self.unwritten = lines.to_vec();
                } else {
                    self.keep(lines);
                }
                if !std::mem::replace(&mut self.failing, true) {
                    ::log::error!(
                        "{}: the log cannot be written: {error}; the game goes on",
                        self.path.display()
                    );
                }
            }
        }
    }

    fn keep(&mut self, lines: &[u8]) {
        if !self.ended && self.unwritten.len() + lines.len() <= UNWRITTEN_BYTES_MAX {
            self.unwritten.extend_from_slice(lines);
        } else if !std::mem::replace(&mut self.ended, true) {
            ::log::error!(
                "{}: the log ends here: 16 MiB wait for the disk; later records are lost",
                self.path.display()
            );
        }
    }

    /// Has the disk keep what was appended.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_NAME);
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut lock = lock.map_err(fail(&path, "open the lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = lock.read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown".into() } else { pid.trim().to_owned() };
            return Err(OpenError::InUse { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(fail(&path, "take the lock")(error)),
    }
    let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    written.map_err(fail(&path, "write the lock"))?;
    Ok(lock)
}

/// The state, the last line's hash, the length up to the last whole line, and the bytes behind it.
fn fold(path: &Path, file: &File) -> Result<(State, ChainHash, u64, Vec<u8>), OpenError> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0)).map_err(fail(path, "read the log"))?;
    let (mut state, mut head, mut len, mut line) = (State::default(), ChainHash::START, 0, Vec::new());
    for number in 1.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(fail(path, "read the log"))?;
        if line.pop() != Some(b'\n') {
            // `pop` took a byte of the incomplete line, if there was one: read it anew.
            let mut torn = vec![0; read];
            reader.seek(SeekFrom::Start(len)).map_err(fail(path, "read the log"))?;
            reader.read_exact(&mut torn).map_err(fail(path, "read the log"))?;
            return Ok((state, head, len, torn));
        }
        let damaged = |error| OpenError::Damaged { path: path.to_owned(), line: number, error };
        let parsed = Line::parse(&line).map_err(damaged)?;
        if !parsed.follows(&head) {
            return Err(OpenError::Unchained { path: path.to_owned(), line: number });
        }
        let record = parsed.record().map_err(damaged)?;
        head = parsed.hash;
        if record.seq != state.seq() + 1 {
            let (found, before) = (record.seq, state.seq());
            return Err(OpenError::Gap { path: path.to_owned(), line: number, found, before });
        }
        state.apply(&record, |_| {});
        len += read as u64;
    }
    unreachable!("a log has fewer lines than there are numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log;
    use crate::record::{Fact, Record};

    /// The last line of a log of so many.
    fn line(seq: u64) -> Vec<u8> {
        let (mut line, mut head) = (Vec::new(), ChainHash::START);
        for seq in 1..=seq {
            line.clear();
            log::encode(&Record { seq, at_us: seq, fact: Fact::Stop {} }, &mut head, &mut line);
        }
        line
    }

    #[test]
    fn what_was_appended_is_folded_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, state, _) = LogFile::open(dir.path()).unwrap();
        assert_eq!(state.seq(), 0);
        log.append(&[line(1), line(2)].concat());
        log.append(&line(3));
        let error = LogFile::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(log);
        assert_eq!(LogFile::open(dir.path()).unwrap().1.seq(), 3);
    }

    #[test]
    fn an_incomplete_line_is_set_aside_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG_NAME);
        let whole = [line(1), line(2)].concat();
        for cut in 1..line(3).len() {
            std::fs::write(&path, [&whole[..], &line(3)[..cut]].concat()).unwrap();
            let (mut log, state, _) = LogFile::open(dir.path()).unwrap();
            assert_eq!(state.seq(), 2);
            let aside = dir.path().join(format!("{LOG_NAME}.torn-{}", whole.len()));
            assert_eq!(std::fs::read(aside).unwrap(), &line(3)[..cut]);
            log.append(&line(3));
            assert_eq!(std::fs::read(&path).unwrap(), [&whole[..], &line(3)].concat());
        }
    }

    #[test]
    fn a_disk_that_takes_nothing_for_too_long_leaves_a_true_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, ..) = LogFile::open(dir.path()).unwrap();
        log.append(&line(1));
        let path = dir.path().join(LOG_NAME);
        // A descriptor that cannot be written stands for the disk.
        let writable = std::mem::replace(&mut log.file, File::open(&path).unwrap());
        log.append(&line(2));
        assert!(log.is_failing());
        log.append(&vec![b'x'; UNWRITTEN_BYTES_MAX]);
        log.append(&line(4));
        log.file = writable;
        log.append(&line(5));
        log.append(&line(6));
        assert_eq!(std::fs::read(&path).unwrap(), [line(1), line(2)].concat());
        assert!(log.is_failing(), "it has ended, and says so");
    }

    #[test]
    fn damage_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG_NAME);
        for (bytes, want) in [
            ([line(1), b"nonsense\n".to_vec(), line(2)].concat(), "line 2: it does not begin"),
            ([line(1), line(3)].concat(), "line 2: its hash does not follow"),
            ([line(1), line(1)].concat(), "line 2: its hash does not follow"),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            let error = LogFile::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
}
