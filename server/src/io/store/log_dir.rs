//! What lies where, for those who write a log and those who read it. In: a log directory. Out: paths, and what its lock says.
//! Guarantee: nothing is made, changed or locked.
//!
//! ```text
//! <log.dir>/lock               line 1: pid of who writes here; line 2: its journal directory; line 3: the boot
//! <log.dir>/NNNNNN-<seq>.jsonl segments; `spare`; what was set aside: *.torn-<n>, *.aside-<n>
//! <runtime>/<16 hex>/N.journal the journal; 16 hex: of the SHA-256 of the canonical path of log.dir
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use sha2::{Digest, Sha256};

use super::regular;
use crate::io::machine::paths;
use crate::log::form::names::{self, Others};
use crate::log::{ChainHash, SegmentName};

/// The lock's name in the log directory.
pub const LOCK_NAME: &str = "lock";
/// The journal's directory where there is no runtime directory.
pub const FALLBACK_NAME: &str = "journal";

/// What a lock says. Whether it is held, only the kernel knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who wrote it.
    pub pid: u32,
    /// Where its journal is; none after an end in good order.
    pub journal: Option<PathBuf>,
    /// The boot it wrote in.
    pub boot: Option<String>,
}

impl Lock {
    /// The one of this log directory, if there is one.
    pub fn read(log_dir: &Path) -> Option<Self> {
        let text = regular::read_text(&log_dir.join(LOCK_NAME), false).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let journal = lines.next().map(PathBuf::from).filter(|path| path.is_absolute());
        let boot = lines.next().map(str::to_owned);
        Some(Self { pid, journal, boot })
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.pid)?;
        let Some(journal) = &self.journal else { return Ok(()) };
        writeln!(f, "{}", journal.display())?;
        self.boot.iter().try_for_each(|boot| writeln!(f, "{boot}"))
    }
}

/// What lies in a log directory besides the log.
///
/// # Errors
/// What the kernel answered.
pub fn others(dir: &Path) -> io::Result<Others> {
    let mut entries: Vec<(OsString, bool)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // One that is gone by now is no matter. A link is none that is followed.
        let Ok(found) = entry.metadata() else { continue };
        entries.push((entry.file_name(), found.is_file() && found.len() > 0));
    }
    Ok(names::judge(entries))
}

/// The names of the files in a directory. What is no file, a link too, might never end, or never begin; what is not UTF-8 is
/// none of ours.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn files(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

/// The segments of a log, in their order.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<(SegmentName, PathBuf)>> {
    let names = files(dir)?.into_iter();
    let mut segments: Vec<_> =
        names.filter_map(|name| Some((SegmentName::of(&name)?, dir.join(name)))).collect();
    segments.sort_unstable();
    Ok(segments)
}

/// The name under which everything of a log directory lies elsewhere.
pub fn key(canonical: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let digest = Sha256::digest(canonical.as_os_str().as_bytes());
    ChainHash::from_digest(digest.into()).as_str()[..16].to_owned()
}

/// Where the journal of a log directory lies: in the runtime directory, else in the log directory itself.
pub fn journal_path(canonical: &Path) -> PathBuf {
    paths::runtime().map_or_else(|| canonical.join(FALLBACK_NAME), |runtime| runtime.join(key(canonical)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_says_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::read(dir.path()), None);
        for (journal, boot) in [(None, None), (Some("/run/b"), None), (Some("/run/b"), Some("b007"))] {
            let (journal, boot) = (journal.map(PathBuf::from), boot.map(str::to_owned));
            let lock = Lock { pid: 7, journal, boot };
            fs::write(dir.path().join(LOCK_NAME), lock.to_string()).unwrap();
            assert_eq!(Lock::read(dir.path()), Some(lock));
        }
    }

    #[test]
    fn a_log_directory_has_one_name_elsewhere() {
        // printf /var/lib/buzzerd | sha256sum
        assert_eq!(key(Path::new("/var/lib/buzzerd")), "a29de018752bbf6f");
    }
}
