//! What is no part of the log. In: a segment or the end of one, or a whole journal file. Out: the same bytes in a file of
//! their own, and the record that names it. Guarantee: the copy is durable before anything but a blank line is cut; a whole
//! segment only gets another name.

use std::io;

use sha2::{Digest, Sha256};

use super::RecoveryError;
use super::segment_files::read;
use super::table::{Bytes, Clear, Part, RESTS, decide};
use crate::log::store::storage::{self, Directory, File, fault};
use crate::log::{ChainHash, SegmentName};
use crate::record::Fact;

/// Does with what stands behind `from` in a segment what [`RESTS`] says. `is_begun`: whether these bytes are the beginning of
/// the log's next line, which the journal has.
pub(super) fn clear<D: Directory>(
    dir: &D,
    name: &SegmentName,
    from: usize,
    last_good_seq: u64,
    is_begun: impl FnOnce(&[u8]) -> bool,
) -> Result<Option<Fact>, RecoveryError> {
    let (text, all) = (name.to_string(), read(dir, name)?);
    let bytes = all.get(from..).unwrap_or_default();
    let part = if from == 0 { Part::Whole } else { Part::Rest };
    let found = match bytes {
        [] => Bytes::Nothing,
        b"\n" => Bytes::Blank,
        _ if part == Part::Rest && is_begun(bytes) => Bytes::Begun,
        _ => Bytes::Other,
    };
    let done = decide(RESTS, &(part, found));
    let file = match done {
        Clear::Leave => return Ok(None),
        Clear::Remove => {
            dir.remove(&text).map_err(fault("remove", &text))?;
            dir.sync().map_err(fault("sync", dir.name()))?;
            return Ok(None);
        }
        // It is an editor's, and says nothing.
        Clear::Cut => None,
        Clear::Rename => Some(rename(dir, &text)?),
        Clear::CopyAndCut => Some(keep_copy(dir, &format!("{text}.torn"), bytes)?),
    };
    if done != Clear::Rename {
        let file = dir.open(&text).map_err(fault("open", &text))?;
        file.set_len(from as u64).map_err(fault("cut", &text))?;
        file.sync().map_err(fault("sync", &text))?;
    }
    Ok(file.map(|file| Fact::Recovered {
        segment: text,
        bytes: bytes.len() as u64,
        sha256: ChainHash::from_digest(Sha256::digest(bytes).into()).as_str().to_owned(),
        last_good_seq,
        file,
    }))
}

/// Gives a file the first name `<text>.aside-<n>` that is free.
fn rename<D: Directory>(dir: &D, text: &str) -> Result<String, RecoveryError> {
    let names = dir.list().map_err(fault("list", dir.name()))?;
    let free = (1..).map(|n| format!("{text}.aside-{n}")).find(|name| !names.contains(name));
    let aside = free.unwrap_or_default();
    dir.rename(text, &aside).map_err(fault("rename", text))?;
    dir.sync().map_err(fault("sync", dir.name()))?;
    Ok(aside)
}

/// Keeps bytes in `<stem>-<n>`, in the first that is free or has them already.
fn keep_copy<D: Directory>(dir: &D, stem: &str, bytes: &[u8]) -> Result<String, RecoveryError> {
    for n in 1.. {
        let name = format!("{stem}-{n}");
        let file = match dir.create(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = dir.open(&name).map_err(fault("open", &name))?;
                let kept = storage::read_all(&file).map_err(fault("read", &name))?;
                if kept != bytes {
                    continue;
                }
                // By a try that was cut off, perhaps before the sync.
                file
            }
            Err(error) => return Err(fault("make", name)(error).into()),
        };
        storage::write_all(&file, 0, bytes).map_err(fault("write", &name))?;
        file.sync().map_err(fault("sync", &name))?;
        dir.sync().map_err(fault("sync", dir.name()))?;
        return Ok(name);
    }
    unreachable!("a directory has fewer files than there are numbers")
}

/// Keeps a copy of a journal's file that does not fit.
pub(super) fn reject<D: Directory>(
    log: &D,
    name: &str,
    bytes: &[u8],
    why: &str,
) -> Result<Fact, RecoveryError> {
    let file = keep_copy(log, &format!("{name}.aside"), bytes)?;
    let what = format!("journal set aside: {why}");
    Ok(Fact::storage(what, file, "its lines are no part of the log"))
}
