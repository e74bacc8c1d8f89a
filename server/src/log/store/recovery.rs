//! Recovery: what an earlier process left. In: a log directory and a journal directory. Out: where the log ends, what it
//! folds to, and where to go on. Guarantee: nothing but a blank line is removed that is not kept elsewhere byte for byte; no line is
//! believed that does not follow from the one before it; running it again, also after a crash in the middle of it, gives
//! the same.
//!
//! A line is *good* if it has the form of one and follows, by hash and seq, from the line before it. What is found beside good
//! lines, and what is done about it, is a table (`table.rs`) that LOG.md prints. Lines that a program for texts has changed
//! (`reformed.rs`) are damage, and the log goes on behind the last of them, from the hash that it had: numbers are never used
//! again beside records that can be read.
//!
//! What the journal has of the last segment is written again, over itself: that it can be read from there proves nothing, for a
//! process that saw a sync fail may have died before it wrote it elsewhere.
//!
//! The fold is limited to what outlives a start ([`State::outlives_start`]): the other records are not even parsed.

mod aside;
mod leftover;
mod reformed;
mod segment_files;
mod table;
mod tip;
mod walk;
mod ways;

use std::collections::BTreeSet;
use std::io;

use self::aside::{clear, reject};
pub use self::leftover::unread;
use self::leftover::{
    JournalFile, Merged, complete, has_beginning, index, journal_again, journal_files, knows, lacks, merge,
    reach,
};
use self::segment_files::{list, read};
use self::table::{BAD_LINES, Bad, ENDS, GoOn, HasOfIt, Heal, LastSegment, Reach, decide};
use self::tip::{Tip, pieces};
use self::walk::{BadPlace, Tail, Walk, walk};
use self::ways::Evidence;
use super::journal::Resumed;
use super::segments::Resume;
use super::storage::{self, Directory, File, StorageFault, fault};
use crate::game::state::State;
use crate::log::form::line::{BadLine, seq_of};
use crate::log::{ChainHash, SegmentName};
use crate::record::Fact;

/// A file beyond this is none that was ever written here.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The most records that say what was found: one for each damaged place would be no help.
const NOTES_MAX: usize = 64;
/// The beginning of a file, long enough for its first line.
const PEEK_BYTES: usize = crate::log::form::line::LINE_BYTES_MAX;

/// Why a log cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] StorageFault),
    /// Written by a newer buzzerd.
    #[error(
        "{segment}: line {line}: {error}; the log is left as it is: use that one, or name another log.dir"
    )]
    Newer {
        /// The segment.
        segment: String,
        /// From 1.
        line: u64,
        /// What is wrong.
        error: BadLine,
    },
}

/// Gives number and hash of each record that this log's own key signed for. Asked only where segments disagree.
pub type Signed<'a> = &'a dyn Fn() -> Vec<(u64, ChainHash)>;

fn newer(segment: &SegmentName, line: u64) -> impl FnOnce(BadLine) -> RecoveryError {
    let segment = segment.to_string();
    move |error| RecoveryError::Newer { segment, line, error }
}

/// What was found, and how to go on.
#[derive(Debug)]
pub struct Recovered<F, J> {
    /// The fold of what was found, limited to what outlives a start.
    pub state: State,
    /// The time of the last record, in its boot.
    pub at_us: u64,
    /// The hash of the last line.
    pub head: ChainHash,
    /// The last record that need not be written again.
    pub durable_seq: u64,
    /// The highest number of a segment.
    pub number: u32,
    /// The segment to go on in.
    pub resume: Option<Resume<F>>,
    /// Journal files to go on with.
    pub journal: Vec<Resumed<J>>,
    /// What the log is to say about it.
    pub notes: Vec<Fact>,
}

/// Finds out where the log in this directory ends. `header`: of a journal file of this
/// start. `signed`: see [`Signed`].
///
/// # Errors
/// [`RecoveryError`]; nothing was changed that a second try would miss.
pub fn recover<D: Directory, J: Directory>(
    dir: &D,
    journal: &J,
    header: &[u8],
    signed: Signed<'_>,
) -> Result<Recovered<D::File, J::File>, RecoveryError> {
    let mut notes = Vec::new();
    let (segments, taken) = list(dir)?;
    let (mut files, foreign) = journal_files(journal, &mut notes);
    let mut found = walk(dir, &segments, &Evidence::new(&files, signed))?;
    for (name, bytes) in foreign {
        notes.push(reject(dir, name, &bytes, "it is no journal of this version")?);
    }
    while heal(dir, &segments, &mut files, &mut found)? {}
    for place in &found.copied {
        // Its copy goes, and it may be the one whose pages a failed sync has left bad.
        rewrite(dir, &segments[*place])?;
    }
    let (is_open, kept) = clear_all(dir, &segments, &files, &mut found, &mut notes);
    let number = kept.map_or(0, |place| segments[place].number).max(taken);
    let damage = found.damage.into_iter();
    notes.extend(damage.map(|BadPlace { segment, line, why, .. }| {
        let segment = segment.to_string();
        Fact::Damage { segment, line, why }
    }));
    notes.truncate(NOTES_MAX);
    let lines = &found.bytes[..found.last_good.from];
    let name = segments.get(found.last_good.segment).filter(|_| !lines.is_empty());
    let mut merged = merge(dir, files, &mut found.tip, if is_open { lines } else { &[] }, &mut notes)?;
    let mut durable_seq = merged.durable_seq.unwrap_or(found.tip.seq);
    let last = name.map(|name| Last { name: *name, is_open, lines });
    let resume = go_on(dir, last, &mut merged, &mut durable_seq, |resumed| {
        journal_again(journal, resumed, header, lines)
    })?;
    let Tip { state, head, at_us, .. } = found.tip;
    Ok(Recovered { state, at_us, head, durable_seq, number, resume, journal: merged.resumed, notes })
}

/// Goes back to the first place from which the journal knows better than the segments. False: there is none. What is
/// left after one such place may show another, which the next start would see.
fn heal<D: Directory, F: File>(
    dir: &D,
    segments: &[SegmentName],
    files: &mut [JournalFile<F>],
    found: &mut Walk,
) -> Result<bool, RecoveryError> {
    let Walk { tip, bytes, damage, pending, last_good, .. } = found;
    if damage.is_empty() {
        return Ok(false);
    }
    let lines = index(files);
    let is_end_known = knows(&lines, tip);
    let observe = |bad: &BadPlace| {
        let reached = reach(&lines, &bad.before);
        let is_beyond = reached.1 > bad.before.seq;
        // Segments behind the log's end are set aside, and the next start does not see them.
        let is_last = bad.segment == segments[last_good.segment];
        let lacks = (is_beyond && is_last).then(|| lacks(files, reached, bytes, tip.seq)).flatten();
        let reach = match reached.1 {
            end if end >= tip.seq => Reach::LogEnd,
            _ if is_beyond => Reach::Beyond,
            _ => Reach::Nowhere,
        };
        let is_first = bad.line == 1;
        (decide(BAD_LINES, &Bad { reach, is_completed: lacks.is_some(), is_first, is_end_known }), lacks)
    };
    let places = damage.iter().enumerate().map(|(place, bad)| (place, observe(bad)));
    let Some((place, (done, lacks))) = places.min_by_key(|(_, (done, _))| *done as u8) else {
        return Ok(false);
    };
    let lacks = lacks.map(|(at, missing)| (at, missing.to_vec()));
    drop(lines);
    let is_healed = match (done, lacks) {
        (Heal::Stay, _) => false,
        (Heal::Complete, Some((at, missing))) => complete(files, at, &missing),
        _ => true,
    };
    if !is_healed {
        return Ok(false);
    }
    let bad = damage.swap_remove(place);
    damage.truncate(place);
    if bad.last_good.segment != last_good.segment {
        *bytes = Vec::new();
        *bytes = read(dir, &segments[bad.last_good.segment])?;
    }
    (*tip, *last_good, *pending) = (bad.before, bad.last_good, None);
    Ok(true)
}

/// Clears away what is no part of the log. Gives whether the last segment is gone on with, and the last one that is still there.
fn clear_all<D: Directory, F>(
    dir: &D,
    segments: &[SegmentName],
    files: &[JournalFile<F>],
    found: &mut Walk,
    notes: &mut Vec<Fact>,
) -> (bool, Option<usize>) {
    let Walk { tip, damage, pending, tails, last_good, .. } = found;
    let mut is_untouched = damage.is_empty();
    // Behind the last good line nothing is good: the rest of its segment, and whole segments.
    tails.retain(|tail| tail.segment < last_good.segment);
    tails.push(*last_good);
    tails.extend((last_good.segment + 1..segments.len()).map(|segment| Tail { segment, from: 0 }));
    tails.sort_unstable_by_key(|tail| (tail.segment, tail.from));
    tails.dedup_by_key(|tail| tail.segment);
    let mut gone = BTreeSet::new();
    for (tail, name) in tails.iter().filter_map(|tail| Some((tail, segments.get(tail.segment)?))) {
        // A process was killed in the middle of a write. The journal has the line, and it is written over this.
        let goes_on = is_untouched && tail.segment + 1 == segments.len();
        match clear(dir, name, tail.from, tip.seq, |rest| goes_on && has_beginning(files, tip, rest)) {
            Ok(note) => {
                notes.extend(note);
                gone.extend((tail.from == 0).then_some(tail.segment));
            }
            Err(error) => {
                // A full disk is no reason not to play. It stays, and the log goes on elsewhere.
                ::log::error!("{error}; what is wrong in {name} stays there");
                is_untouched = false;
                damage.extend(pending.take());
            }
        }
    }
    (last_good.from > 0 && is_untouched, (0..segments.len()).rev().find(|place| !gone.contains(place)))
}

/// The segment that the log ends in, up to its last good line.
struct Last<'a> {
    name: SegmentName,
    /// Nothing before is damaged.
    is_open: bool,
    lines: &'a [u8],
}

/// Prepares the last segment for what comes. Gives it if the log goes on in it. `refill`: has the journal hold its lines again.
fn go_on<D: Directory, F>(
    dir: &D,
    last: Option<Last<'_>>,
    merged: &mut Merged<F>,
    durable_seq: &mut u64,
    refill: impl FnOnce(&[Resumed<F>]) -> io::Result<Option<Resumed<F>>>,
) -> Result<Option<Resume<D::File>>, RecoveryError> {
    let lines = last.as_ref().map_or(&[][..], |last| last.lines);
    let again = pieces(lines).find(|piece| seq_of(piece.line) == Some(*durable_seq + 1));
    let segment = match &last {
        None => LastSegment::None,
        Some(last) if last.is_open => LastSegment::Open,
        Some(_) => LastSegment::Damaged,
    };
    let has = match again {
        Some(_) => HasOfIt::Lines,
        None if merged.has_log_end => HasOfIt::LogEnd,
        None => HasOfIt::Nothing,
    };
    let done = decide(ENDS, &(segment, has));
    let Some(Last { name, is_open, .. }) = last.filter(|_| done != GoOn::Begin) else { return Ok(None) };
    let text = name.to_string();
    let file = dir.open(&text).map_err(fault("open", &text))?;
    let mut len = lines.len();
    let write_all = || storage::write_all(&file, 0, lines).map_err(fault("write", &text));
    match done {
        GoOn::Resume => len = again.map_or(len, |piece| piece.start),
        GoOn::Refill => match refill(&merged.resumed) {
            Ok(Some(again)) => {
                merged.resumed.insert(0, again);
                (*durable_seq, len) = (name.first_seq - 1, 0);
            }
            _ => write_all()?,
        },
        GoOn::Rewrite => write_all()?,
        GoOn::Begin | GoOn::Sync | GoOn::Append => {}
    }
    if is_open {
        return Ok(Some(Resume { name, file, len: len as u64 }));
    }
    // It is not appended to, but an earlier process may have died between its write and its sync.
    if let Err(error) = file.sync().and_then(|()| dir.sync()) {
        ::log::error!("{text}: {error}; its last lines may not outlast a power cut");
    }
    Ok(None)
}

/// Writes a segment over itself, durably.
fn rewrite<D: Directory>(dir: &D, name: &SegmentName) -> Result<(), RecoveryError> {
    let (text, bytes) = (name.to_string(), read(dir, name)?);
    let file = dir.open(&text).map_err(fault("open", &text))?;
    storage::write_all(&file, 0, &bytes).map_err(fault("write", &text))?;
    Ok(file.sync().map_err(fault("sync", text))?)
}
