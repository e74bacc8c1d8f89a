//! What an earlier process left of its journal. In: the journal's files, and where the segments end. Out: the lines that
//! follow, and from which on they are written again. Guarantee: no line is taken over that does not follow; a file that
//! does not fit is set aside whole.

use buzzer_core::quote::kernel_words;
use std::collections::BTreeMap;
use std::io;

use super::RecoveryError;
use super::aside::reject;
use super::table::{CONTENTS, Content, JournalLine, LINES, Merge, Own, Take, decide};
use super::tip::{Piece, Tip, pieces};
use crate::log::ChainHash;
use crate::log::form::line::{Line, seq_of};
use crate::log::store::journal::{FILE_NAMES, Resumed};
use crate::log::store::storage::{self, Directory, File};
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
    let done =
        "records that were told and are in no segment are missing; the log id of this start is another";
    Fact::storage(format!("journal not read: {why}"), file, done)
}

/// What was taken of a journal.
pub(super) struct Merged<F> {
    pub(super) resumed: Vec<Resumed<F>>,
    /// The record before the first one that is to be written again.
    pub(super) durable_seq: Option<u64>,
    /// The journal leads to the end of what the segments have: what it does not have any more is durable.
    pub(super) has_log_end: bool,
    /// The line that was taken last.
    before: Option<u64>,
}

impl<F> Merged<F> {
    const NOTHING: Self = Self { resumed: Vec::new(), durable_seq: None, has_log_end: false, before: None };
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
        let (content, lines_from) = match &read {
            Ok((bytes, _)) => content(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Content::Absent, 0),
            Err(_) => (Content::Unreadable, 0),
        };
        match (decide(CONTENTS, &content), read) {
            (Take::Read, Ok((bytes, file))) => files.push(JournalFile { name, file, bytes, lines_from }),
            (Take::SetAside, Ok((bytes, _))) => foreign.push((name, bytes)),
            (Take::Report, read) => {
                let why = read.err().map_or_else(
                    || "it has nothing but zeros: somebody or a power cut wrote over it".to_owned(),
                    |error| kernel_words(&error),
                );
                notes.push(unread(&format!("{}/{name}", journal.name()), &why));
            }
            _ => {}
        }
    }
    files.sort_by_key(|file| seq_of(&file.bytes[file.lines_from..]).unwrap_or(u64::MAX));
    (files, foreign)
}

/// What these bytes are, and where a journal's first log line begins.
fn content(bytes: &[u8]) -> (Content, usize) {
    let header = pieces(bytes).next().filter(|piece| piece.is_whole);
    match header.filter(|piece| piece.line.starts_with(br#"{"v":1,"journal":""#)) {
        Some(header) => (Content::Journal, header.end),
        None if bytes.is_empty() => (Content::Empty, 0),
        None if bytes.iter().all(|byte| *byte == 0) => (Content::Zeros, 0),
        None => (Content::Foreign, 0),
    }
}

/// The lines of the journal by their numbers; a file that a power cut left may have some twice.
pub(super) fn index<F>(files: &[JournalFile<F>]) -> Index<'_> {
    let mut lines = Index::new();
    for file in files {
        for piece in pieces(&file.bytes[file.lines_from..]).filter(|piece| piece.is_whole) {
            lines.entry(seq_of(piece.line).unwrap_or_default()).or_default().push(piece.line);
        }
    }
    lines
}

/// The lines of the journal, by their numbers.
pub(super) type Index<'a> = BTreeMap<u64, Vec<&'a [u8]>>;

/// The last record that the journal's lines lead to from there.
pub(super) fn reach(lines: &Index<'_>, from: &Tip) -> (ChainHash, u64) {
    let (mut head, mut seq) = (from.head, from.seq);
    while let Some((_, next)) = lines.range(seq + 1..).next() {
        let parsed = next.iter().filter_map(|bytes| Line::parse(bytes).ok());
        let mut following = parsed.filter(|line| line.follows(&head) && line.is_next(seq + 1));
        let Some(line) = following.next() else { break };
        (head, seq) = (line.hash, line.seq);
    }
    (head, seq)
}

/// Whether the journal has this line, or one that follows from it.
pub(super) fn knows(lines: &Index<'_>, tip: &Tip) -> bool {
    let own = lines.get(&tip.seq).into_iter().flatten();
    let has = own.filter_map(|bytes| Line::parse(bytes).ok()).any(|line| line.hash == tip.head);
    has || reach(lines, tip).1 > tip.seq
}

/// What the journal, which leads to `reached`, lacks from there to the log's end at `end`, and where in its last file that
/// belongs: lines that were in memory only, for the journal took none, and went to the last segment.
pub(super) fn lacks<'a, F>(
    files: &[JournalFile<F>],
    reached: (ChainHash, u64),
    last_segment: &'a [u8],
    end: u64,
) -> Option<(usize, &'a [u8])> {
    let (mut head, mut seq) = reached;
    let whole = pieces(&files.last()?.bytes).filter(|piece| piece.is_whole).last();
    let at = whole.filter(|piece| seq_of(piece.line) == Some(seq))?.end;
    let is_missing = |piece: &Piece<'_>| piece.is_whole && seq_of(piece.line).is_some_and(|own| own > seq);
    let from = pieces(last_segment).find(is_missing)?.start;
    let missing = &last_segment[from..];
    let missing = &missing[..missing.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)];
    for piece in pieces(missing) {
        let Ok(line) = Line::parse(piece.line) else { break };
        if !line.follows(&head) || !line.is_next(seq + 1) {
            break;
        }
        (head, seq) = (line.hash, line.seq);
    }
    (seq >= end).then_some((at, missing))
}

/// Has the journal hold these lines at its end.
pub(super) fn complete<F: File>(files: &mut [JournalFile<F>], at: usize, missing: &[u8]) -> bool {
    let Some(last) = files.last_mut() else { return false };
    if storage::write_all(&last.file, at as u64, missing).is_err() {
        return false;
    }
    last.bytes.truncate(at);
    last.bytes.extend_from_slice(missing);
    true
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
    let mut merged = Merged::NOTHING;
    let log_end = tip.seq;
    let last_segment =
        pieces(last_segment).filter_map(|piece| Some((seq_of(piece.line)?, piece.line))).collect();
    for JournalFile { name, file, bytes, lines_from } in files {
        let (mut start, mut end, mut wrong) = (None, lines_from, None);
        for piece in pieces(&bytes[lines_from..]).filter(|piece| piece.is_whole) {
            let seq = seq_of(piece.line).unwrap_or_default();
            let (own, next) = compare(&piece, seq, &last_segment, log_end, tip);
            // The writer needs all of them, from one on: what a power cut left of a journal on a disk may have gaps.
            let goes_on = merged.before.is_some_and(|before| match last_segment.range(before + 1..).next() {
                Some((next, _)) => *next == seq,
                None => before == tip.seq,
            });
            let is_past_end = merged.has_log_end || tip.seq > log_end;
            let done = decide(LINES, &JournalLine { own, is_past_end, is_begun: start.is_some(), goes_on });
            if matches!(done, Merge::End | Merge::Forget) {
                wrong = Some(format!("what it has as seq {seq} is no line of the log"));
            }
            match done {
                Merge::Skip => continue,
                Merge::End => break,
                Merge::Forget => {
                    (start, merged) = (None, Merged::NOTHING);
                    continue;
                }
                Merge::TakeAnew => {
                    start = None;
                    merged.resumed.clear();
                }
                Merge::Take => {}
            }
            next.iter().for_each(|line| tip.take(line));
            merged.before = Some(seq);
            merged.has_log_end |= seq == log_end;
            if start.is_none() && merged.resumed.is_empty() {
                merged.durable_seq = Some(seq - 1);
            }
            start.get_or_insert(lines_from + piece.start);
            end = lines_from + piece.end;
        }
        if let Some(why) = wrong {
            notes.push(reject(log, name, &bytes, &why)?);
        }
        if let Some(start) = start {
            merged.resumed.push(Resumed { name, file, start: start as u64, end: end as u64 });
        }
    }
    // A journal that ends before the segments do lacks lines that were in memory only, and went to a segment from there.
    let has_all = merged.has_log_end || tip.seq > log_end;
    Ok(if has_all { merged } else { Merged::NOTHING })
}

/// What this line of the journal is beside the log, and the line if it is the next one.
fn compare<'a>(
    piece: &Piece<'a>,
    seq: u64,
    last_segment: &BTreeMap<u64, &[u8]>,
    log_end: u64,
    tip: &Tip,
) -> (Own, Option<Line<'a>>) {
    match last_segment.get(&seq) {
        // What both have must be the same, to the byte: it is written over itself.
        Some(line) => (if *line == piece.line { Own::Same } else { Own::Differs }, None),
        None if (1..=log_end).contains(&seq) => (Own::Older, None),
        // A journal on a disk, after a power cut: what is behind may still follow from the segments.
        None if seq == 0 => (Own::Differs, None),
        None => {
            let line = Line::parse(piece.line).ok();
            let next = line.filter(|line| line.follows(&tip.head) && line.is_next(tip.seq + 1));
            (if next.is_some() { Own::Next } else { Own::Stray }, next)
        }
    }
}
