//! What is no part of the log. In: a segment or the end of one, or a whole journal file. Out: the same bytes in a file of
//! their own, and the record that names it. Guarantee: the copy is durable before anything but a blank line is cut; a whole
//! segment only gets another name.

use std::io;

use sha2::{Digest, Sha256};

use super::segment_files::read;
use super::{RecoveryError, fail};
use crate::counted::counted;
use crate::log::storage::{self, Directory, File};
use crate::log::{ChainHash, SegmentName};
use crate::record::Fact;

/// Moves what stands behind `from` to a file of its own, or the whole file to another name.
pub(super) fn set_aside<D: Directory>(
    dir: &D,
    name: &SegmentName,
    from: usize,
    last_good_seq: u64,
) -> Result<Option<Fact>, RecoveryError> {
    let text = name.to_string();
    let bytes = read(dir, name)?;
    let torn = bytes.get(from..).unwrap_or_default();
    // A blank line is an editor's, and says nothing.
    let is_blank = from > 0 && torn == b"\n";
    let note = if torn.is_empty() || is_blank {
        None
    } else {
        let aside = if from == 0 {
            let aside = rename(dir, &text)?;
            ::log::warn!(
                "{text}: it is no part of this log; it is called {aside} now, and the log goes on after seq {last_good_seq}"
            );
            aside
        } else {
            let aside = keep_copy(dir, &format!("{text}.torn"), torn)?;
            ::log::warn!(
                "{text}: behind its last whole line are {} that are no line of this log; they are in {aside} now, and the \
                 log goes on after seq {last_good_seq}",
                counted(torn.len() as u64, "byte")
            );
            aside
        };
        Some(Fact::Recovered {
            segment: text.clone(),
            bytes: torn.len() as u64,
            sha256: ChainHash::from_digest(Sha256::digest(torn).into()).as_str().to_owned(),
            last_good_seq,
            file: aside,
        })
    };
    if from == 0 && bytes.is_empty() {
        dir.remove(&text).map_err(fail("remove", &text))?;
        dir.sync().map_err(fail("sync", dir.name()))?;
    } else if from > 0 && !torn.is_empty() {
        let file = dir.open(&text).map_err(fail("open", &text))?;
        file.set_len(from as u64).map_err(fail("cut", &text))?;
        file.sync().map_err(fail("sync", text))?;
    }
    Ok(note)
}

/// Gives a file the first name `<text>.aside-<n>` that is free.
fn rename<D: Directory>(dir: &D, text: &str) -> Result<String, RecoveryError> {
    let names = dir.list().map_err(fail("list", dir.name()))?;
    let free = (1..).map(|n| format!("{text}.aside-{n}")).find(|name| !names.contains(name));
    let aside = free.unwrap_or_default();
    dir.rename(text, &aside).map_err(fail("rename", text))?;
    dir.sync().map_err(fail("sync", dir.name()))?;
    Ok(aside)
}

/// Keeps bytes in `<stem>-<n>`, in the first that is free or has them already.
pub(super) fn keep_copy<D: Directory>(dir: &D, stem: &str, bytes: &[u8]) -> Result<String, RecoveryError> {
    for n in 1.. {
        let name = format!("{stem}-{n}");
        let file = match dir.create(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = dir.open(&name).map_err(fail("open", &name))?;
                let kept = storage::read_all(&file).map_err(fail("read", &name))?;
                if kept != bytes {
                    continue;
                }
                // By a try that was cut off, perhaps before the sync.
                file
            }
            Err(error) => return Err(fail("make", name)(error)),
        };
        storage::write_all(&file, 0, bytes).map_err(fail("write", &name))?;
        file.sync().map_err(fail("sync", &name))?;
        dir.sync().map_err(fail("sync", dir.name()))?;
        return Ok(name);
    }
    unreachable!("a directory has fewer files than there are numbers")
}

pub(super) fn reject<D: Directory>(
    log: &D,
    name: &str,
    bytes: &[u8],
    why: &str,
) -> Result<Fact, RecoveryError> {
    let file = keep_copy(log, &format!("{name}.aside"), bytes)?;
    ::log::warn!("{name}: {why}; it is in {file} now, and is no part of the log");
    Ok(Fact::Storage {
        what: format!("journal set aside: {why}"),
        errno: None,
        file,
        first_seq: 0,
        last_seq: 0,
        done: "its lines are no part of the log".to_owned(),
    })
}
