//! Who writes a log. In: a log directory. Out: the right to write in it, or the pid of who has it. Guarantee: one process per
//! directory, also when its file `lock` was removed or replaced, for the directory itself is locked as well; no link is
//! followed, and nothing is waited for. A `lock` that somebody removes, replaces or writes over is put back at the next
//! look, since readers and the next start find the journal by it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::log_dir::{LOCK_NAME, Lock};
use super::regular;

/// A `lock` that is made anew has this name until it is whole.
const NEW_NAME: &str = "lock.new";

/// Why a directory is not locked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another process has it: its pid.
    #[error("another buzzerd (pid {0}) writes its log there")]
    Held(String),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The right to write; it ends with this value, or with the process.
#[derive(Debug)]
pub(crate) struct Held {
    dir: PathBuf,
    folder: File,
    file: File,
    words: String,
    /// It was said that the file cannot be put back.
    is_said: bool,
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

fn take_folder(dir: &Path) -> Result<File, LockError> {
    let folder = File::open(dir)?;
    match take(&folder, dir) {
        // Not every file system locks directories; the file is locked all the same.
        Err(LockError::Io(error)) => {
            ::log::warn!("{}: the directory cannot be locked: {error}", dir.display())
        }
        taken => taken?,
    }
    Ok(folder)
}

/// Whether the path leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(own), Ok(found)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (own.dev(), own.ino()) == (found.dev(), found.ino())
}

impl Held {
    /// Takes the directory, and its file `lock`, which readers look at.
    pub(crate) fn take(dir: &Path) -> Result<Self, LockError> {
        let folder = take_folder(dir)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = regular::open(&dir.join(LOCK_NAME), &options, false)?;
        if file.metadata()?.nlink() > 1 {
            let why = "it has a second name elsewhere, and what is written to it would be written there";
            return Err(LockError::Io(io::Error::other(why)));
        }
        take(&file, dir)?;
        Ok(Self { dir: dir.to_owned(), folder, file, words: String::new(), is_said: false })
    }

    /// Writes who has it.
    pub(crate) fn write(&mut self, words: &Lock) -> io::Result<()> {
        self.words = words.to_string();
        self.write_again()
    }

    fn write_again(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(self.words.as_bytes(), 0)
    }

    /// Puts the file back if it is not as it was left.
    pub(crate) fn look(&mut self) {
        let path = self.dir.join(LOCK_NAME);
        let Some(what) = self.change(&path) else {
            self.is_said = false;
            return;
        };
        let path = path.display();
        match self.put_back() {
            Ok(()) => ::log::warn!("{path}: it was {what} while this buzzerd has it; it is put back"),
            Err(error) if !std::mem::replace(&mut self.is_said, true) => {
                ::log::error!(
                    "{path}: it was {what} while this buzzerd has it, and cannot be put back: {error}"
                );
            }
            Err(_) => {}
        }
    }

    /// What became of it. A directory that is gone is made again by what is written next.
    fn change(&self, path: &Path) -> Option<&'static str> {
        if !self.dir.exists() {
            return None;
        }
        if !is_at(&self.folder, &self.dir) {
            return Some("gone with its directory");
        }
        if !is_at(&self.file, path) {
            return Some("removed or replaced");
        }
        let mut found = vec![0; self.words.len()];
        let is_same = self.file.metadata().is_ok_and(|file| file.len() == self.words.len() as u64)
            && self.file.read_exact_at(&mut found, 0).is_ok()
            && found == self.words.as_bytes();
        (!is_same).then_some("written over")
    }

    fn put_back(&mut self) -> Result<(), LockError> {
        let path = self.dir.join(LOCK_NAME);
        if !is_at(&self.folder, &self.dir) {
            self.folder = take_folder(&self.dir)?;
        } else if is_at(&self.file, &path) {
            return Ok(self.write_again()?);
        }
        let new = self.dir.join(NEW_NAME);
        // One that a crash left behind.
        let _ = fs::remove_file(&new);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&new)?;
        take(&file, &self.dir)?;
        file.write_all_at(self.words.as_bytes(), 0)?;
        fs::rename(&new, &path).inspect_err(|_| drop(fs::remove_file(&new)))?;
        self.file = file;
        Ok(())
    }
}
