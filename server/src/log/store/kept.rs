//! What the log directory must still have. In: the segments that are durable, and the directory. Out: those that somebody removed,
//! replaced or cut short since. Guarantee: each is named once, with the records that were in it; nothing is changed or waited
//! for, and what cannot be looked at is not called lost.

use std::io;

use super::storage::{Directory, Stat};
use crate::log::SegmentName;

#[derive(Clone, Copy, Debug)]
struct KeptFile {
    name: SegmentName,
    id: (u64, u64),
    len: u64,
}

/// The durable segments.
#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<KeptFile>);

/// A segment that is not as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The segment.
    pub name: SegmentName,
    /// What became of it.
    pub how: &'static str,
    /// The last record that it had.
    pub last_seq: u64,
}

impl Kept {
    /// What is there now.
    pub(crate) fn observe(dir: &impl Directory) -> Self {
        let names = dir.list().unwrap_or_default();
        let mut names: Vec<SegmentName> = names.iter().filter_map(SegmentName::of).collect();
        names.sort_unstable();
        let mut kept = Self::default();
        names.into_iter().for_each(|name| kept.insert(dir, name, None));
        kept
    }

    fn insert(&mut self, dir: &impl Directory, name: SegmentName, len: Option<u64>) {
        let Ok(Stat { id, len: found, is_file: true }) = dir.stat(&name.to_string()) else { return };
        self.0.push(KeptFile { name, id, len: len.unwrap_or(found) });
    }

    /// This segment has so many durable bytes.
    pub(crate) fn note(&mut self, dir: &impl Directory, name: SegmentName, len: u64) {
        match self.0.iter_mut().rev().find(|file| file.name == name) {
            Some(file) => file.len = len,
            None => self.insert(dir, name, Some(len)),
        }
    }

    /// This segment was removed with intent.
    pub(crate) fn forget(&mut self, name: &str) {
        self.0.retain(|file| file.name.to_string() != name);
    }

    /// What became of this segment, if it is not as it was left.
    pub(crate) fn change(&self, dir: &impl Directory, name: SegmentName) -> Option<&'static str> {
        self.0.iter().rev().find(|file| file.name == name).and_then(|file| change(dir, file))
    }

    /// The segments that are no longer as they were left. `durable_seq`: the last record that they had.
    pub(crate) fn take_lost(&mut self, dir: &impl Directory, durable_seq: u64) -> Vec<Lost> {
        let mut lost = Vec::new();
        for (place, file) in self.0.iter().enumerate() {
            let Some(how) = change(dir, file) else { continue };
            let last_seq = self.0.get(place + 1).map_or(durable_seq, |next| next.name.first_seq - 1);
            lost.push(Lost { name: file.name, how, last_seq });
        }
        self.0.retain(|file| lost.iter().all(|lost| lost.name != file.name));
        lost
    }
}

fn change(dir: &impl Directory, file: &KeptFile) -> Option<&'static str> {
    if !dir.is_there() {
        return Some("gone with its directory");
    }
    match dir.stat(&file.name.to_string()) {
        Ok(found) if found.id != file.id => Some("replaced by another file"),
        Ok(found) if found.len < file.len => Some("cut short"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("removed or renamed"),
        _ => None,
    }
}
