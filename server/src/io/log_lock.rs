//! Who writes a log. In: a log directory. Out: the right to write in it, or the pid of who has it. Guarantee: one process per
//! directory, also when its file `lock` was removed or replaced, for the directory itself is locked as well; no link is
//! followed, and nothing is waited for.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::log_dir::{LOCK_NAME, Lock};
use super::regular;

/// Why a directory is not locked.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another process has it: its pid.
    Held(String),
    /// The file system said no.
    Io(io::Error),
}

/// The right to write; it ends with this value, or with the process.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    _dir: File,
}

fn take(file: &File, dir: &Path) -> Result<(), LockError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let pid = Lock::read(dir).map_or_else(|| "unknown".to_owned(), |lock| lock.pid.to_string());
            Err(LockError::Held(pid))
        }
        Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
    }
}

impl Held {
    /// Takes the directory, and its file `lock`, which readers look at.
    pub(super) fn take(dir: &Path) -> Result<Self, LockError> {
        let folder = File::open(dir).map_err(LockError::Io)?;
        match take(&folder, dir) {
            // Not every file system locks directories; the file is locked all the same.
            Err(LockError::Io(error)) => {
                ::log::warn!("{}: the directory cannot be locked: {error}", dir.display())
            }
            taken => taken?,
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = regular::open(&dir.join(LOCK_NAME), &options, false).map_err(LockError::Io)?;
        if file.metadata().map_err(LockError::Io)?.nlink() > 1 {
            let why = "it has a second name elsewhere, and what is written to it would be written there";
            return Err(LockError::Io(io::Error::other(why)));
        }
        take(&file, dir)?;
        Ok(Self { file, _dir: folder })
    }

    /// Writes who has it.
    pub(super) fn write(&mut self, words: &Lock) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(words.to_string().as_bytes(), 0)
    }
}
