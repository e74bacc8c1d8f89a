//! Segments where they lie. In: the log directory. Out: its segments in the order of the log, and their bytes. Guarantee:
//! numbers never run out: a segment that somebody gave a number far beyond the others gets the one that is due. What is called
//! like a segment and is no file is neither opened nor touched; the start names it ([`crate::log::form::names`]).

use std::io;

use super::{FILE_BYTES_MAX, PEEK_BYTES, RecoveryError};
use crate::log::SegmentName;
use crate::log::store::storage::{self, Directory, File, fault};

/// No log comes to this number by itself: it would have 7 TiB.
const NUMBER_FAR: u32 = 900_000;

/// All segments in the order of the log, and the highest number that is taken by what is none.
pub(super) fn list<D: Directory>(dir: &D) -> Result<(Vec<SegmentName>, u32), RecoveryError> {
    let names = dir.list().map_err(fault("list", dir.name()))?;
    let names = names.iter().filter_map(SegmentName::of);
    // Of what cannot be looked at the opening says why.
    let is_file = |name: &SegmentName| dir.stat(&name.to_string()).map_or(true, |found| found.is_file);
    let (mut segments, others): (Vec<SegmentName>, Vec<SegmentName>) = names.partition(is_file);
    segments.sort_unstable();
    let others = others.iter().map(|name| name.number).filter(|number| *number <= NUMBER_FAR);
    let mut before = 0;
    for name in &mut segments {
        let due = SegmentName { number: before + 1, ..*name };
        if name.number > NUMBER_FAR && name.number > due.number {
            let (from, to) = (name.to_string(), due.to_string());
            dir.rename(&from, &to).map_err(fault("rename", &from))?;
            ::log::warn!("{from}: its number is none that a log comes to; it is called {to} now");
            *name = due;
        }
        before = name.number;
    }
    Ok((segments, others.max().unwrap_or(0)))
}

pub(super) fn read<D: Directory>(dir: &D, name: &SegmentName) -> Result<Vec<u8>, RecoveryError> {
    let text = name.to_string();
    let file = dir.open(&text).map_err(fault("open", &text))?;
    let bytes = file.len().map_err(fault("read", &text))?;
    if bytes > FILE_BYTES_MAX {
        let why = format!("it has {bytes} bytes, no segment has: move it away, or name another log.dir");
        return Err(fault("read", text)(io::Error::other(why)).into());
    }
    Ok(storage::read_all(&file).map_err(fault("read", text))?)
}

pub(super) fn peek<D: Directory>(dir: &D, name: &SegmentName) -> Result<Vec<u8>, RecoveryError> {
    let text = name.to_string();
    let file = dir.open(&text).map_err(fault("open", &text))?;
    let mut start = vec![0; PEEK_BYTES];
    let read = storage::read_full(&file, 0, &mut start).map_err(fault("read", text))?;
    start.truncate(read);
    Ok(start)
}
