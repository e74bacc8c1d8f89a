//! Where the files of a log are, and whether somebody writes it. In: a log directory. Out: paths, a yes or no. Guarantee:
//! nothing is locked or made, so a daemon that starts at this moment is not disturbed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{ReadError, fail};
use crate::io::store::log_dir::{self, FALLBACK_NAME, LOCK_NAME, Lock};
use crate::log::store::journal::FILE_NAMES;

/// The .jsonl files of a directory without segments, by name: what an export has, and what the first buzzerds wrote.
pub(super) fn other_files(dir: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let mut names = log_dir::files(dir).map_err(fail(dir))?;
    names.retain(|name| name.ends_with(".jsonl"));
    names.sort_unstable();
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

/// The journal directory of a log: the one that the lock names, else the one where a daemon would put it.
pub(super) fn journal(log_dir: &Path) -> Option<PathBuf> {
    let named = Lock::read(log_dir).and_then(|lock| lock.journal);
    let usual = fs::canonicalize(log_dir).ok().map(|canonical| log_dir::journal_path(&canonical));
    let beside = Some(log_dir.join(FALLBACK_NAME));
    // One that may not be looked into is there all the same.
    let is_there = |path: &PathBuf| match fs::metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    [named, usual, beside].into_iter().flatten().find(is_there)
}

/// The files of a journal.
pub(super) fn journal_files(journal: &Path) -> io::Result<Vec<PathBuf>> {
    // Asked for by name: a directory that cannot be listed is an error, one without them is not.
    fs::read_dir(journal)?;
    let files = FILE_NAMES.map(|name| journal.join(name));
    Ok(files.into_iter().filter(|path| path.exists()).collect())
}

/// Whether a daemon holds the lock of this directory. The kernel's list is asked: to try the lock would take it for a
/// moment, and a daemon that starts then would be refused.
pub(super) fn is_locked(log_dir: &Path) -> bool {
    let (Ok(metadata), Ok(locks)) =
        (fs::metadata(log_dir.join(LOCK_NAME)), fs::read_to_string("/proc/locks"))
    else {
        return false;
    };
    let pid = Lock::read(log_dir).map(|lock| lock.pid.to_string());
    holds(&locks, metadata.ino(), pid.as_deref().unwrap_or_default())
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fe:01:131 0 EOF`: pid, device and inode. The device is left out, for on btrfs and
/// overlayfs it is not the one that stat(2) tells; the pid is 0 for a process of another container.
fn holds(locks: &str, inode: u64, pid: &str) -> bool {
    locks.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_flock = words.next() == Some("FLOCK");
        let (holder, file) = (words.nth(2).unwrap_or_default(), words.next().unwrap_or_default());
        let is_file = file.rsplit(':').next().and_then(|text| text.parse().ok()) == Some(inode);
        is_flock && is_file && (holder == pid || holder == "0" || holder == "-1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_says_who_holds_the_lock() {
        let locks =
            "1: POSIX  ADVISORY  WRITE 7 fe:01:131 0 EOF\n2: FLOCK  ADVISORY  WRITE 42 fe:01:131 0 EOF\n";
        assert!(holds(locks, 131, "42"));
        assert!(!holds(locks, 131, "7"), "another kind of lock");
        assert!(!holds(locks, 132, "42"));
        assert!(!holds("", 131, "42"));
    }

    #[test]
    fn a_lock_that_is_held_is_seen_and_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_locked(dir.path()));
        let path = dir.path().join("lock");
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        assert!(!is_locked(dir.path()));
        let lock = fs::File::open(&path).unwrap();
        lock.lock().unwrap();
        assert!(is_locked(dir.path()));
        drop(lock);
        assert!(!is_locked(dir.path()));
    }

    #[test]
    fn the_lock_names_the_journal_and_else_it_is_beside_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let (log, journal) = (dir.path().join("log"), dir.path().join("run"));
        fs::create_dir_all(log.join("journal")).unwrap();
        fs::write(log.join("lock"), format!("1\n{}\n", journal.display())).unwrap();
        assert_eq!(super::journal(&log), Some(log.join("journal")), "what the lock names is gone");
        fs::create_dir(&journal).unwrap();
        assert_eq!(super::journal(&log), Some(journal));
    }
}
