//! The journal of an earlier process that had another runtime directory. In: the log directory, the journal's directory that its
//! lock names. Out: its records in the segments, or why not. Guarantee: what it has is brought to the disk before this
//! start makes a number; only a directory of this user is believed, and no link is followed.

use buzzer_core::quote::kernel_words;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use buzzer_core::io::sys;

use super::disk::Disk;
use super::log_proof;
use crate::log::store::journal::{self, FILE_NAMES, JournalLimits};
use crate::log::store::recovery::{self, RecoveryError, unread};
use crate::log::store::segments::{SEGMENT_BYTES_MAX, Segments};
use crate::log::store::writer::{Turn, Writer};
use crate::record::Fact;

/// What an earlier journal gave.
pub(crate) struct Earlier {
    /// What the log is to say about it.
    pub(crate) notes: Vec<Fact>,
    /// There is none, or what it had is in the segments now. False: the disk does not take it, and this start goes on in it.
    pub(crate) is_done: bool,
}

/// Brings what the earlier journal has to the segments. `is_missed`: the lock says that there is one in this boot.
pub(crate) fn bring_in(
    log: &Path,
    earlier: &Path,
    header: &[u8],
    is_missed: bool,
) -> Result<Earlier, RecoveryError> {
    let why = match fs::symlink_metadata(earlier) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_missed => {
            return Ok(Earlier { notes: Vec::new(), is_done: true });
        }
        Err(error) => Some(kernel_words(&error)),
        Ok(found) => distrust(earlier, &found),
    };
    let note =
        |why: &str| Ok(Earlier { notes: vec![unread(&earlier.display().to_string(), why)], is_done: true });
    if let Some(why) = why {
        return note(&why);
    }
    let (log_disk, disk) = match (Disk::existing(log), Disk::existing(earlier)) {
        (Ok(log), Ok(disk)) => (log, disk),
        (Err(error), _) | (_, Err(error)) => return note(&kernel_words(&error)),
    };
    let found = recovery::recover(&log_disk, &disk, header, &|| log_proof::own(log))?;
    let (journal, feed) =
        journal::open(disk, header.to_vec(), found.journal, found.head, JournalLimits::default());
    let segments = Segments::new(log_disk, found.number, SEGMENT_BYTES_MAX, found.resume);
    let mut writer = Writer::new(feed, segments, found.durable_seq);
    loop {
        match writer.turn(sys::now()) {
            Turn::Again => {}
            Turn::Idle => break,
            Turn::Wait(_) => return Ok(Earlier { notes: found.notes, is_done: false }),
        }
    }
    drop(journal);
    for name in FILE_NAMES {
        let _ = fs::remove_file(earlier.join(name));
    }
    let _ = fs::remove_dir(earlier);
    Ok(Earlier { notes: found.notes, is_done: true })
}

/// Why what lies there is not believed.
fn distrust(path: &Path, found: &Metadata) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    if !found.is_dir() {
        return Some("it is no directory".to_owned());
    }
    let files = FILE_NAMES.iter().filter_map(|name| fs::symlink_metadata(path.join(name)).ok());
    let foreign = [found.uid()].into_iter().chain(files.map(|file| file.uid())).find(|uid| *uid != own);
    foreign.map(|uid| format!("it belongs to user {uid}, and this is user {own}"))
}
