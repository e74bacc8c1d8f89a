//! What an earlier process left of its journal. In: the journal's files, and where the segments end. Out: the lines that
//! follow, and from which on they are written again. Guarantee: no line is taken over that does not follow; a file that
//! does not fit is set aside whole.

use buzzer_core::quote::kernel_words;
use std::collections::BTreeMap;
use std::io;

use super::RecoveryError;
use super::aside::reject;
use super::tip::{Piece, Tip, pieces};
use crate::log::journal::{FILE_NAMES, Resumed};
use crate::log::line::{Line, seq_of};
use crate::log::storage::{self, Directory, File};
use crate::record::Fact;

/// Has the journal hold lines of the last segment once more, in a file that is not in use. `None`: there is none.
pub(super) fn journal_again<J: Directory>(
    journal: &J,
    resumed: &[Resumed<J::File>],
    header: &[u8],
    lines: &[u8],
) -> io::Result<Option<Resumed<J::File>>> {
    let free = FILE_NAMES.into_iter().find(|name| resumed.iter().all(|file| file.name != *name));
    let Some(name) = free.filter(|_| !lines.is_empty()) else { return Ok(None) };
    let file = journal.open(name).or_else(|_| journal.create(name))?;
    file.set_len(0)?;
    storage::write_all(&file, 0, header)?;
    let start = header.len() as u64;
    storage::write_all(&file, start, lines)?;
    Ok(Some(Resumed { name, file, start, end: start + lines.len() as u64 }))
}

/// A journal, or a file of it, that nothing can be taken over from.
pub fn unread(file: &str, why: &str) -> Fact {
    ::log::error!(
        "{file}: the journal cannot be read: {why}; records that were told and are in no segment are missing"
    );
    Fact::Storage {
        what: format!("journal not read: {why}"),
        errno: None,
        file: file.to_owned(),
        first_seq: 0,
        last_seq: 0,
        done: "records that were told and are in no segment are missing; the log id of this start is another"
            .to_owned(),
    }
}

pub(super) struct Merged<F> {
    pub(super) resumed: Vec<Resumed<F>>,
    /// The record before the first one that is to be written again.
    pub(super) durable_seq: Option<u64>,
    /// The journal leads to the end of what the segments have: what it does not have any more is durable.
    pub(super) has_log_end: bool,
}

pub(super) struct JournalFile<F> {
    name: &'static str,
    file: F,
    bytes: Vec<u8>,
    /// Where its first log line begins.
    lines_from: usize,
}

/// The name and the bytes of what is no journal.
type Foreign = (&'static str, Vec<u8>);

/// What an earlier process left of a journal, the older file first; and, by name, what is none. Nothing is changed.
pub(super) fn journal_files<J: Directory>(
    journal: &J,
    notes: &mut Vec<Fact>,
) -> (Vec<JournalFile<J::File>>, Vec<Foreign>) {
    let (mut files, mut foreign) = (Vec::new(), Vec::new());
    for name in FILE_NAMES {
        let read = journal.open(name).and_then(|file| Ok((storage::read_all(&file)?, file)));
        let (bytes, file) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                notes.push(unread(&format!("{}/{name}", journal.name()), &kernel_words(&error)));
                continue;
            }
        };
        let header = pieces(&bytes).next().filter(|piece| piece.is_whole);
        let header = header.filter(|piece| piece.line.starts_with(br#"{"v":1,"journal":""#));
        match header.map(|piece| piece.end) {
            Some(lines_from) => files.push(JournalFile { name, file, bytes, lines_from }),
            None if bytes.is_empty() => {}
            None if bytes.iter().all(|byte| *byte == 0) => {
                let why = "it has nothing but zeros: somebody or a power cut wrote over it";
                notes.push(unread(&format!("{}/{name}", journal.name()), why));
            }
            None => foreign.push((name, bytes)),
        }
    }
    files.sort_by_key(|file| seq_of(&file.bytes[file.lines_from..]).unwrap_or(u64::MAX));
    (files, foreign)
}

/// The lines of the journal by their numbers; a file that a power cut left may have some twice.
pub(super) fn index<F>(files: &[JournalFile<F>]) -> BTreeMap<u64, Vec<&[u8]>> {
    let mut lines: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
    for file in files {
        for piece in pieces(&file.bytes[file.lines_from..]).filter(|piece| piece.is_whole) {
            lines.entry(seq_of(piece.line).unwrap_or_default()).or_default().push(piece.line);
        }
    }
    lines
}

/// The last record that the journal's lines lead to from there.
pub(super) fn reach(lines: &BTreeMap<u64, Vec<&[u8]>>, from: &Tip) -> u64 {
    let (mut head, mut seq) = (from.head, from.seq);
    while let Some((_, next)) = lines.range(seq + 1..).next() {
        let parsed = next.iter().filter_map(|bytes| Line::parse(bytes).ok());
        let mut following = parsed.filter(|line| line.follows(&head) && line.is_next(seq + 1));
        let Some(line) = following.next() else { break };
        (head, seq) = (line.hash, line.seq);
    }
    seq
}

/// Whether the journal has this line, or one that follows from it.
pub(super) fn knows(lines: &BTreeMap<u64, Vec<&[u8]>>, tip: &Tip) -> bool {
    let own = lines.get(&tip.seq).into_iter().flatten();
    let has = own.filter_map(|bytes| Line::parse(bytes).ok()).any(|line| line.hash == tip.head);
    has || reach(lines, tip) > tip.seq
}

/// Has the journal lead from there to the end of the log, if it only lacks lines at the end that the last segment has: they
/// were in memory, for the journal took none. False: it cannot.
pub(super) fn lead_on<F: File>(
    files: &mut [JournalFile<F>],
    from: &Tip,
    last_segment: &[u8],
    end: u64,
) -> bool {
    let journal_end = reach(&index(files), from);
    let Some(last) = files.len().checked_sub(1).filter(|_| journal_end > from.seq) else { return false };
    let whole = pieces(&files[last].bytes).filter(|piece| piece.is_whole).last();
    let Some(whole) = whole.filter(|piece| seq_of(piece.line) == Some(journal_end)) else { return false };
    let at = whole.end;
    let missing =
        |piece: &Piece<'_>| piece.is_whole && seq_of(piece.line).is_some_and(|seq| seq > journal_end);
    let missing = pieces(last_segment).find(missing).map_or(&[][..], |piece| &last_segment[piece.start..]);
    let missing = &missing[..missing.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)];
    let torn = files[last].bytes.split_off(at);
    files[last].bytes.extend_from_slice(missing);
    let leads_on = reach(&index(files), from) >= end
        && storage::write_all(&files[last].file, at as u64, missing).is_ok();
    if !leads_on {
        files[last].bytes.truncate(at);
        files[last].bytes.extend(torn);
    }
    leads_on
}

/// Whether the journal has the next line, and this is the beginning of it.
pub(super) fn has_beginning<F>(files: &[JournalFile<F>], tip: &Tip, torn: &[u8]) -> bool {
    let mut lines = files.iter().flat_map(|file| pieces(&file.bytes[file.lines_from..]));
    lines.any(|piece| {
        piece.is_whole
            && piece.line.starts_with(torn)
            && seq_of(piece.line) == Some(tip.seq + 1)
            && Line::parse(piece.line).is_ok_and(|line| line.follows(&tip.head))
    })
}

/// Takes over the journal's lines that follow, and those that the last segment, if it is gone on with, has as well.
pub(super) fn merge<D: Directory, F>(
    log: &D,
    files: Vec<JournalFile<F>>,
    tip: &mut Tip,
    last_segment: &[u8],
    notes: &mut Vec<Fact>,
) -> Result<Merged<F>, RecoveryError> {
    let mut merged = Merged { resumed: Vec::new(), durable_seq: None, has_log_end: false };
    let log_end = tip.seq;
    let last_segment: BTreeMap<u64, &[u8]> =
        pieces(last_segment).filter_map(|piece| Some((seq_of(piece.line)?, piece.line))).collect();
    let mut before = None;
    for JournalFile { name, file, bytes, lines_from } in files {
        let (mut start, mut end, mut wrong) = (None, lines_from, None);
        for piece in pieces(&bytes[lines_from..]).filter(|piece| piece.is_whole) {
            let seq = seq_of(piece.line).unwrap_or_default();
            let end_before = tip.seq;
            let fits = match last_segment.get(&seq) {
                // What both have must be the same, to the byte: it is written over itself.
                Some(line) => *line == piece.line,
                // Older than the last segment: it is durable there.
                None if (1..=log_end).contains(&seq) => continue,
                None => match Line::parse(piece.line) {
                    Ok(line) if line.follows(&tip.head) && line.is_next(tip.seq + 1) => {
                        tip.take(&line);
                        true
                    }
                    _ => false,
                },
            };
            // Behind the log's end only new lines may come: else it is what the file held before, which a power cut brought
            // back.
            let is_stale = seq <= log_end && (merged.has_log_end || tip.seq > log_end);
            if is_stale && start.is_none() {
                // The other file has it, and was found to lead to here.
                continue;
            }
            if !fits || is_stale {
                wrong = Some(format!("what it has as seq {seq} is no line of the log"));
                if is_stale || seq > log_end {
                    break;
                }
                // A journal on a disk, after a power cut: what is behind may still follow from the segments.
                (start, before, merged.durable_seq, merged.has_log_end) = (None, None, None, false);
                merged.resumed.clear();
                continue;
            }
            // The writer needs all of them, from one on: what a power cut left of a journal on a disk may have gaps.
            let goes_on = before.is_some_and(|before| match last_segment.range(before + 1..).next() {
                Some((next, _)) => *next == seq,
                None => before == end_before,
            });
            if !goes_on {
                (start, merged.durable_seq) = (None, None);
                merged.resumed.clear();
            }
            before = Some(seq);
            merged.has_log_end |= seq == log_end;
            if start.is_none() {
                start = Some(lines_from + piece.start);
                if merged.resumed.is_empty() {
                    merged.durable_seq = Some(seq - 1);
                }
            }
            end = lines_from + piece.end;
        }
        if let Some(why) = wrong {
            notes.push(reject(log, name, &bytes, &why)?);
        }
        if let Some(start) = start {
            merged.resumed.push(Resumed { name, file, start: start as u64, end: end as u64 });
        }
    }
    if !merged.has_log_end && tip.seq == log_end {
        // It ends before the segments do: lines were in memory only, and went to a segment from there.
        (merged.resumed, merged.durable_seq) = (Vec::new(), None);
    }
    Ok(merged)
}
