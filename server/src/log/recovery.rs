//! Recovery: what an earlier process left. In: a log directory and a journal directory. Out: where the log ends, what it
//! folds to, and where to go on. Guarantee: nothing but a blank line is removed that is not kept elsewhere byte for byte; no line is
//! believed that does not follow from the one before it; running it again, also after a crash in the middle of it, gives
//! the same.
//!
//! A line is *good* if it has the form of one and follows, by hash and seq, from the line before it. Bad lines with a good
//! one behind them are **damage**: nothing is touched, the log goes on in a new segment behind the last good line. What
//! stands behind the last good line is a **torn tail**: it goes to `<segment>.torn-<n>`, and the segment ends at that line;
//! unless it is the beginning of a line that the journal has, which is written over it, or one blank line, which is cut.
//! Bad lines that the journal still has, with all that follows, were never durable: what the segments have from there on
//! is a torn tail, and the journal's lines take its place. (So too if the journal lacks some at the end that the last segment
//! has: they were in memory only. They are appended to the journal first.)
//! What stands between a good line and a later segment that goes on behind it is an **overhang**, see
//! [`super::segments`]; it goes to `.torn-<n>` too. Where several segments go on behind one line, a table in LOG.md says which is
//! the log (`ways.rs`); the others are **strays** and are renamed to `<segment>.aside-<n>`.
//! Lines that a program for texts has changed (`reformed.rs`) are damage, and the log goes on behind the last of them, from the
//! hash that it had: numbers are never used again beside records that can be read.
//!
//! The journal's lines that follow are taken over where they are, and the writer brings them to the disk like any others.
//! Those that also stand in the last segment are written again, over themselves: that they can be read from there proves
//! nothing, for a process that saw a sync fail may have died before it wrote them elsewhere. Without a journal the whole
//! last segment is taken into the journal, and written again from there. A journal that does not fit is set aside in the log directory.
//!
//! The fold is limited to what outlives a start ([`State::outlives_start`]): the other records are not even parsed.

mod aside;
mod leftover;
mod reformed;
mod segment_files;
mod tip;
mod walk;
mod ways;

use std::collections::BTreeSet;
use std::io;

use self::aside::{reject, set_aside};
pub use self::leftover::unread;
use self::leftover::{
    JournalFile, has_beginning, index, journal_again, journal_files, knows, lead_on, merge, reach,
};
use self::segment_files::{list, read};
use self::tip::{Tip, pieces};
use self::walk::{BadPlace, Tail, Walk, walk};
use self::ways::Evidence;
use super::journal::Resumed;
use super::line::{BadLine, seq_of};
use super::segments::Resume;
use super::storage::{self, Directory, File};
use super::{ChainHash, SegmentName};
use crate::record::Fact;
use crate::state::State;

/// A file beyond this is none that was ever written here.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The most records that say what was found: one for each damaged place would be no help.
const NOTES_MAX: usize = 64;
/// The beginning of a file, long enough for its first line.
const PEEK_BYTES: usize = super::line::LINE_BYTES_MAX;

/// Why a log cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The file system said no.
    #[error("{file}: cannot {action}: {error}")]
    Io {
        /// What was touched.
        file: String,
        /// What was tried.
        action: &'static str,
        /// What the kernel answered.
        error: io::Error,
    },
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
    /// Far too long for a segment.
    #[error("{segment}: has {bytes} bytes, no segment has: move it away, or name another log.dir")]
    Large {
        /// The segment.
        segment: String,
        /// Its length.
        bytes: u64,
    },
}

/// Gives number and hash of each record that this log's own key signed for. Asked only where segments disagree.
pub type Signed<'a> = &'a dyn Fn() -> Vec<(u64, ChainHash)>;

fn newer(segment: &SegmentName, line: u64) -> impl FnOnce(BadLine) -> RecoveryError {
    let segment = segment.to_string();
    move |error| RecoveryError::Newer { segment, line, error }
}

fn fail(action: &'static str, file: impl Into<String>) -> impl FnOnce(io::Error) -> RecoveryError {
    let file = file.into();
    move |error| RecoveryError::Io { file, action, error }
}

/// What was found, and how to go on.
#[derive(Debug)]
pub struct Recovered<F, J> {
    /// The fold of what was found, limited to what outlives a start.
    pub state: State,
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
    let Walk { mut tip, bytes, mut damage, mut pending, mut tails, copied, last_good } = found;
    // Behind the last good line nothing is good: the rest of its segment, and whole segments.
    let mut last = (!segments.is_empty()).then_some(last_good.segment);
    for place in last_good.segment..segments.len() {
        let from = if place == last_good.segment { last_good.from } else { 0 };
        tails.retain(|tail: &Tail| tail.segment != place);
        tails.push(Tail { segment: place, from });
    }
    for place in copied {
        // Its copy goes, and it may be the one whose pages a failed sync has left bad.
        rewrite(dir, &segments[place])?;
    }
    let mut is_untouched = damage.is_empty();
    let mut gone = BTreeSet::new();
    tails.sort_unstable_by_key(|tail| (tail.segment, tail.from));
    tails.dedup_by_key(|tail| tail.segment);
    for tail in &tails {
        let name = &segments[tail.segment];
        let rest = bytes.get(tail.from..).unwrap_or_default();
        if is_untouched
            && tail.segment + 1 == segments.len()
            && tail.from > 0
            && has_beginning(&files, &tip, rest)
        {
            // A process was killed in the middle of a write. The journal has the line, and it is written over this.
            continue;
        }
        match set_aside(dir, name, tail.from, tip.seq) {
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
        if tail.from == 0 && last == Some(tail.segment) {
            last = None;
        }
    }
    let kept = (0..segments.len()).rev().find(|place| !gone.contains(place));
    let number = kept.map_or(0, |place| segments[place].number).max(taken);
    for BadPlace { segment, line, why, .. } in damage {
        ::log::error!(
            "{segment}: line {line}: {why}; it stays as it is, and the log goes on in a new segment"
        );
        notes.push(Fact::Damage { segment: segment.to_string(), line, why });
    }
    notes.truncate(NOTES_MAX);
    let goes_on = last.is_some() && is_untouched;
    let last_segment = if goes_on { &bytes[..last_good.from] } else { &[] };
    let mut files = merge(dir, files, &mut tip, last_segment, &mut notes)?;
    let mut durable_seq = files.durable_seq.unwrap_or(tip.seq);
    let mut resume = None;
    if let Some(name) = last.map(|last| segments[last]) {
        let text = name.to_string();
        let file = dir.open(&text).map_err(fail("open", &text))?;
        let mut len = last_good.from;
        let again = pieces(&bytes[..len]).find(|piece| seq_of(piece.line) == Some(durable_seq + 1));
        if let Some(piece) = again {
            // The writer has these lines from the journal, and writes them over themselves.
            len = piece.start;
        } else if !(files.has_log_end && goes_on) {
            // Lines of a segment that is not gone on with would be no part of the journal.
            let again = goes_on.then(|| journal_again(journal, &files.resumed, header, &bytes[..len]));
            match again {
                Some(Ok(Some(again))) => {
                    files.resumed.insert(0, again);
                    (durable_seq, len) = (name.first_seq - 1, 0);
                }
                _ => storage::write_all(&file, 0, &bytes[..len]).map_err(fail("write", &text))?,
            }
        }
        if goes_on {
            resume = Some(Resume { name, file, len: len as u64 });
        } else {
            // It is not appended to, but an earlier process may have died between its write and its sync.
            if let Err(error) = file.sync().and_then(|()| dir.sync()) {
                ::log::error!("{text}: {error}; its last lines may not outlast a power cut");
            }
        }
    }
    let Tip { state, head, .. } = tip;
    Ok(Recovered { state, head, durable_seq, number, resume, journal: files.resumed, notes })
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
    // What the journal still has was not durable. If it has all from there on, it knows better than a segment that a
    // failed sync has left with a hole.
    let healed = damage.iter().position(|bad| reach(&lines, &bad.before) >= tip.seq);
    // A segment that the journal does not know is no part of the log if the journal leads on from before it.
    let stranger = (!knows(&lines, tip)).then(|| {
        let leads = |bad: &BadPlace| bad.line == 1 && reach(&lines, &bad.before) > bad.before.seq;
        damage.iter().position(leads)
    });
    drop(lines);
    let healed = healed.or_else(|| {
        // Segments behind the log's end are set aside, and the next start does not see them.
        let last = segments[last_good.segment];
        damage.iter().position(|bad| bad.segment == last && lead_on(files, &bad.before, bytes, tip.seq))
    });
    let Some(place) = healed.or(stranger.flatten()) else { return Ok(false) };
    let bad = damage.swap_remove(place);
    damage.truncate(place);
    if bad.last_good.segment != last_good.segment {
        *bytes = Vec::new();
        *bytes = read(dir, &segments[bad.last_good.segment])?;
    }
    (*tip, *last_good, *pending) = (bad.before, bad.last_good, None);
    Ok(true)
}

/// Writes a segment over itself, durably.
fn rewrite<D: Directory>(dir: &D, name: &SegmentName) -> Result<(), RecoveryError> {
    let (text, bytes) = (name.to_string(), read(dir, name)?);
    let file = dir.open(&text).map_err(fail("open", &text))?;
    storage::write_all(&file, 0, &bytes).map_err(fail("write", &text))?;
    file.sync().map_err(fail("sync", text))
}
