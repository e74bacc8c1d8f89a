//! Segments where they lie. In: the log directory. Out: its segments in the order of the log, and their bytes. Guarantee:
//! nothing is changed.

use super::{FILE_BYTES_MAX, PEEK_BYTES, RecoveryError, fail};
use crate::log::SegmentName;
use crate::log::storage::{self, Directory, File};

/// All segments in the order of the log.
pub(super) fn list<D: Directory>(dir: &D) -> Result<Vec<SegmentName>, RecoveryError> {
    let names = dir.list().map_err(fail("list", dir.name()))?;
    let mut segments: Vec<SegmentName> = names.iter().filter_map(|name| name.parse().ok()).collect();
    segments.sort_unstable();
    Ok(segments)
}

pub(super) fn read<D: Directory>(dir: &D, name: &SegmentName) -> Result<Vec<u8>, RecoveryError> {
    let text = name.to_string();
    let file = dir.open(&text).map_err(fail("open", &text))?;
    let bytes = file.len().map_err(fail("read", &text))?;
    if bytes > FILE_BYTES_MAX {
        return Err(RecoveryError::Large { segment: text, bytes });
    }
    storage::read_all(&file).map_err(fail("read", text))
}

pub(super) fn peek<D: Directory>(dir: &D, name: &SegmentName) -> Result<Vec<u8>, RecoveryError> {
    let text = name.to_string();
    let file = dir.open(&text).map_err(fail("open", &text))?;
    let mut start = vec![0; PEEK_BYTES];
    let read = storage::read_full(&file, 0, &mut start).map_err(fail("read", text))?;
    start.truncate(read);
    Ok(start)
}
