//! Segments where they lie. In: the log's directories. Out: the segments in the order of the log, and their bytes.
//! Guarantee: what lies in another directory is removed there only when it is durable at home.

use super::aside::keep_copy;
use super::{FILE_BYTES_MAX, PEEK_BYTES, RecoveryError, fail};
use crate::log::SegmentName;
use crate::log::segments::SPARE_NAME;
use crate::log::storage::{self, Directory, File};

/// All segments in the order of the log, with the directory of each. What lies in another one than the first is brought
/// home, if there is room.
pub(super) fn list<D: Directory>(dirs: &[D]) -> Result<Vec<(usize, SegmentName)>, RecoveryError> {
    let mut segments: Vec<(usize, SegmentName)> = Vec::new();
    for (place, dir) in dirs.iter().enumerate() {
        let names = dir.list().map_err(fail("list", dir.name()))?;
        for name in names.iter().filter_map(|name| name.parse::<SegmentName>().ok()) {
            let mut home = place;
            if place > 0 {
                match bring_home(dir, &dirs[0], &name) {
                    Ok(()) => home = 0,
                    Err(error) => ::log::warn!("{error}; {name} stays in {}", dir.name()),
                }
            }
            if !segments.contains(&(home, name)) {
                segments.push((home, name));
            }
        }
    }
    segments.sort_by_key(|(_, name)| *name);
    Ok(segments)
}

fn bring_home<D: Directory>(from: &D, home: &D, name: &SegmentName) -> Result<(), RecoveryError> {
    let bytes = read(from, name)?;
    let text = name.to_string();
    if home.open(&text).is_ok() {
        // It was brought home before, and has grown there; a power cut undid only that it was removed.
        if !read(home, name)?.starts_with(&bytes) {
            keep_copy(home, &format!("{text}.aside"), &bytes)?;
        }
        return from.remove(&text).map_err(fail("remove", text));
    }
    let copied = (|| {
        let _ = home.remove(SPARE_NAME);
        let file = home.create(SPARE_NAME)?;
        storage::write_all(&file, 0, &bytes)?;
        file.sync()?;
        home.rename(SPARE_NAME, &text)?;
        home.sync()
    })();
    copied.map_err(fail("bring home", &text))?;
    from.remove(&text).map_err(fail("remove", text))
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
