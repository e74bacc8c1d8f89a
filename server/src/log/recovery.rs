//! Recovery: what an earlier process left. In: a log directory and a journal directory. Out: where the log ends, what it
//! folds to, and where to go on. Guarantee: nothing is removed but what is kept elsewhere byte for byte; no line is
//! believed that does not follow from the one before it; running it again, also after a crash in the middle of it, gives
//! the same.
//!
//! A line is *good* if it has the form of one and follows, by hash and seq, from the line before it. Bad lines with a good
//! one behind them are **damage**: nothing is touched, the log goes on in a new segment behind the last good line. What
//! stands behind the last good line is a **torn tail**: it goes to `<segment>.torn-<n>`, and the segment ends at that line;
//! unless it is the beginning of a line that the journal has, which is written over it.
//! Bad lines that the journal still has, with all that follows, were never durable: what the segments have from there on
//! is a torn tail, and the journal's lines take its place.
//! What stands between a good line and a later segment that goes on behind it is an **overhang**, see
//! [`super::segments`]; it goes to `.torn-<n>` too.
//!
//! The journal's lines that follow are taken over where they are, and the writer brings them to the disk like any others.
//! Those that also stand in the last segment are written again, over themselves: that they can be read from there proves
//! nothing, for a process that saw a sync fail may have died before it wrote them elsewhere. Without a journal the whole
//! last segment is taken into the journal, and written again from there. A journal that does not fit is set aside in the log directory.
//!
//! The fold is limited to what outlives a start ([`State::outlives_start`]): the other records are not even parsed.

use std::collections::BTreeMap;
use std::io;

use sha2::{Digest, Sha256};

use super::journal::{FILE_NAMES, Resumed};
use super::line::{BadLine, Line, kind_of, seq_of};
use super::segments::{Resume, SPARE_NAME};
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

/// The end of the log so far.
#[derive(Clone)]
struct Tip {
    state: State,
    head: ChainHash,
    seq: u64,
}

enum Verdict<'a> {
    Good(Line<'a>),
    /// With what a next line would have to follow.
    Bad(String, Option<(ChainHash, u64)>),
}

impl Tip {
    /// Takes a good line.
    fn take(&mut self, line: &Line<'_>, bytes: &[u8]) {
        (self.head, self.seq) = (line.hash, line.seq);
        let folded = kind_of(bytes).is_some_and(State::outlives_start);
        match folded.then(|| line.record()) {
            Some(Ok(record)) => self.state.apply(&record, |_| {}),
            _ => self.state.skip_to(line.seq),
        }
    }
}

/// Whether a line follows from the one with this hash and seq. `None`: from an unknown one.
fn judge<'a>(bytes: &'a [u8], before: Option<(ChainHash, u64)>) -> Result<Verdict<'a>, BadLine> {
    let line = match Line::parse(bytes) {
        Ok(line) => line,
        Err(error @ BadLine::Version(_)) => return Err(error),
        Err(error) => return Ok(Verdict::Bad(error.to_string(), None)),
    };
    let claim = Some((line.hash, line.seq));
    let Some((hash, seq)) = before else {
        return Ok(Verdict::Bad("it stands behind a line that cannot be read".to_owned(), claim));
    };
    if !line.follows(&hash) {
        return Ok(Verdict::Bad("its hash does not follow from the line before it".to_owned(), claim));
    }
    if !is_next(&line, bytes, seq) {
        return Ok(Verdict::Bad(format!("seq {} follows {seq}", line.seq), claim));
    }
    Ok(Verdict::Good(line))
}

/// Numbers are dense, but for a hole that the line itself names.
fn is_next(line: &Line<'_>, bytes: &[u8], before: u64) -> bool {
    line.seq == before + 1
        || (line.seq > before
            && kind_of(bytes) == Some(b"lost")
            && line.record().is_ok_and(|record| {
                matches!(record.fact, Fact::Lost { first_seq, last_seq, .. }
                    if first_seq == before + 1 && last_seq.checked_add(1) == Some(line.seq))
            }))
}

struct Piece<'a> {
    start: usize,
    /// Behind its newline, if it has one.
    end: usize,
    line: &'a [u8],
    is_whole: bool,
}

fn pieces(bytes: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut start = 0;
    bytes.split_inclusive(|byte| *byte == b'\n').map(move |whole| {
        let line = whole.strip_suffix(b"\n").unwrap_or(whole);
        let piece = Piece { start, end: start + whole.len(), line, is_whole: line.len() < whole.len() };
        start += whole.len();
        piece
    })
}

/// A place behind which a segment has what it should not have.
#[derive(Clone, Copy)]
struct Tail {
    segment: usize,
    from: usize,
}

struct BadPlace {
    segment: SegmentName,
    line: u64,
    why: String,
    /// The log up to it.
    before: Tip,
    /// Where that ends.
    last_good: Tail,
}

/// Finds out where the log in these directories ends; the first one is the log directory. `header`: of a journal file of
/// this start.
///
/// # Errors
/// [`RecoveryError`]; nothing was changed that a second try would miss.
pub fn recover<D: Directory, J: Directory>(
    dirs: &[D],
    journal: &J,
    header: &[u8],
) -> Result<Recovered<D::File, J::File>, RecoveryError> {
    let mut notes = Vec::new();
    let segments = list(dirs)?;
    let mut tip = Tip { state: State::default(), head: ChainHash::START, seq: 0 };
    let mut before = Some((tip.head, tip.seq));
    let (mut damage, mut pending): (Vec<BadPlace>, Option<BadPlace>) = (Vec::new(), None);
    let (mut tails, mut last_good) = (Vec::new(), Tail { segment: 0, from: 0 });
    let firsts = segments.iter().map(|(dir, name)| peek(&dirs[*dir], name)).collect::<Result<Vec<_>, _>>()?;
    // The last segment from `from` on that goes on behind this line: whatever stands between the two is an overhang.
    let next_behind = |from: usize, hash: &ChainHash, seq: u64| {
        let goes_on =
            |place: &usize| segments[*place].1.first_seq == seq + 1 && follows(&firsts[*place], hash);
        (from..segments.len()).rev().find(goes_on)
    };
    // Asked for only where a later segment begins.
    let mut earliest = vec![u64::MAX; segments.len() + 1];
    for (place, (_, name)) in segments.iter().enumerate().rev() {
        earliest[place] = earliest[place + 1].min(name.first_seq);
    }
    let mut bytes = Vec::new();
    let mut place = next_behind(0, &tip.head, 0).unwrap_or(0);
    tails.extend((0..place).map(|segment| Tail { segment, from: 0 }));
    while let Some((dir, name)) = segments.get(place) {
        bytes = read(&dirs[*dir], name)?;
        let mut next = place + 1;
        // If older segments were removed, it is not known here from what the first line follows.
        let is_cut_off = place == 0 && name.first_seq > 1;
        for (piece, number) in pieces(&bytes).zip(1..) {
            let verdict = if is_cut_off
                && piece.is_whole
                && number == 1
                && seq_of(piece.line) == Some(name.first_seq)
            {
                Line::parse(piece.line)
                    .map_or_else(|error| Verdict::Bad(error.to_string(), None), Verdict::Good)
            } else if piece.is_whole {
                judge(piece.line, before).map_err(|error| RecoveryError::Newer {
                    segment: name.to_string(),
                    line: number,
                    error,
                })?
            } else {
                Verdict::Bad("it is incomplete".to_owned(), None)
            };
            match verdict {
                Verdict::Good(line) => {
                    damage.extend(pending.take());
                    before = Some((line.hash, line.seq));
                    tip.take(&line, piece.line);
                    last_good = Tail { segment: place, from: piece.end };
                    if line.seq + 1 >= earliest[place + 1]
                        && let Some(behind) = next_behind(place + 1, &line.hash, line.seq)
                    {
                        if piece.end < bytes.len() {
                            tails.push(Tail { segment: place, from: piece.end });
                        }
                        tails.extend((place + 1..behind).map(|segment| Tail { segment, from: 0 }));
                        next = behind;
                        break;
                    }
                }
                Verdict::Bad(why, claim) => {
                    before = claim;
                    pending.get_or_insert_with(|| BadPlace {
                        segment: *name,
                        line: number,
                        why,
                        before: tip.clone(),
                        last_good,
                    });
                }
            }
        }
        place = next;
    }
    let files = journal_files(&dirs[0], journal, &mut notes)?;
    if !damage.is_empty() {
        let lines = index(&files);
        // What the journal still has was not durable. If it has all from there on, it knows better than a segment that a
        // failed sync has left with a hole.
        let healed = damage.iter().position(|bad| reach(&lines, &bad.before) >= tip.seq);
        if let Some(place) = healed {
            let bad = damage.swap_remove(place);
            damage.truncate(place);
            (tip, last_good) = (bad.before, bad.last_good);
            pending = None;
        }
    }
    let number = segments.last().map_or(0, |(_, name)| name.number);
    // Behind the last good line nothing is good: the rest of its segment, and whole segments.
    let mut last = (!segments.is_empty()).then_some(last_good.segment);
    for place in last_good.segment..segments.len() {
        let from = if place == last_good.segment { last_good.from } else { 0 };
        tails.retain(|tail: &Tail| tail.segment != place);
        tails.push(Tail { segment: place, from });
    }
    let mut is_untouched = damage.is_empty();
    for tail in &tails {
        let (dir, name) = &segments[tail.segment];
        let rest = bytes.get(tail.from..).unwrap_or_default();
        if is_untouched
            && tail.segment + 1 == segments.len()
            && tail.from > 0
            && has_beginning(&files, &tip, rest)
        {
            // A process was killed in the middle of a write. The journal has the line, and it is written over this.
            continue;
        }
        match set_aside(&dirs[*dir], name, tail.from, tip.seq) {
            Ok(note) => notes.extend(note),
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
    for BadPlace { segment, line, why, .. } in damage {
        notes.push(Fact::Damage { segment: segment.to_string(), line, why });
    }
    notes.truncate(NOTES_MAX);
    if last.is_some() && last != Some(segments.len() - 1) {
        // The last one that was looked at is another.
        bytes = last.map_or(Ok(Vec::new()), |last| read(&dirs[segments[last].0], &segments[last].1))?;
    }
    let goes_on = last.is_some_and(|last| is_untouched && segments[last].0 == 0);
    let last_segment = if goes_on { &bytes[..last_good.from] } else { &[] };
    let mut files = merge(&dirs[0], files, &mut tip, last_segment, &mut notes)?;
    let mut durable_seq = files.durable_seq.unwrap_or(tip.seq);
    let mut resume = None;
    if let Some((dir, name)) = last.map(|last| segments[last]) {
        let text = name.to_string();
        let file = dirs[dir].open(&text).map_err(fail("open", &text))?;
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
            if let Err(error) = file.sync().and_then(|()| dirs[dir].sync()) {
                ::log::error!("{text}: {error}; its last lines may not outlast a power cut");
            }
        }
    }
    let Tip { state, head, .. } = tip;
    Ok(Recovered { state, head, durable_seq, number, resume, journal: files.resumed, notes })
}

/// All segments in the order of the log, with the directory of each. What lies in another one than the first is brought
/// home, if there is room.
fn list<D: Directory>(dirs: &[D]) -> Result<Vec<(usize, SegmentName)>, RecoveryError> {
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

fn read<D: Directory>(dir: &D, name: &SegmentName) -> Result<Vec<u8>, RecoveryError> {
    let text = name.to_string();
    let file = dir.open(&text).map_err(fail("open", &text))?;
    let bytes = file.len().map_err(fail("read", &text))?;
    if bytes > FILE_BYTES_MAX {
        return Err(RecoveryError::Large { segment: text, bytes });
    }
    storage::read_all(&file).map_err(fail("read", text))
}

fn peek<D: Directory>(dir: &D, name: &SegmentName) -> Result<Vec<u8>, RecoveryError> {
    let text = name.to_string();
    let file = dir.open(&text).map_err(fail("open", &text))?;
    let mut start = vec![0; PEEK_BYTES];
    let read = storage::read_full(&file, 0, &mut start).map_err(fail("read", text))?;
    start.truncate(read);
    Ok(start)
}

/// Whether the first of these lines follows.
fn follows(start: &[u8], hash: &ChainHash) -> bool {
    let first = pieces(start).next().filter(|piece| piece.is_whole);
    first.and_then(|piece| Line::parse(piece.line).ok()).is_some_and(|line| line.follows(hash))
}

/// Moves what stands behind `from` to a file of its own. The copy is durable before anything is cut.
fn set_aside<D: Directory>(
    dir: &D,
    name: &SegmentName,
    from: usize,
    last_good_seq: u64,
) -> Result<Option<Fact>, RecoveryError> {
    let text = name.to_string();
    let bytes = read(dir, name)?;
    let torn = bytes.get(from..).unwrap_or_default();
    let note = if torn.is_empty() {
        None
    } else {
        let aside = keep_copy(dir, &format!("{text}.torn"), torn)?;
        ::log::warn!(
            "{text}: {} bytes behind its last whole line are no lines of this log; they are in {aside} now, and the log \
             goes on after seq {last_good_seq}",
            torn.len()
        );
        Some(Fact::Recovered {
            segment: text.clone(),
            bytes: torn.len() as u64,
            sha256: ChainHash::from_digest(Sha256::digest(torn).into()).as_str().to_owned(),
            last_good_seq,
            file: aside,
        })
    };
    if from == 0 {
        dir.remove(&text).map_err(fail("remove", &text))?;
        dir.sync().map_err(fail("sync", dir.name()))?;
    } else if !torn.is_empty() {
        let file = dir.open(&text).map_err(fail("open", &text))?;
        file.set_len(from as u64).map_err(fail("cut", &text))?;
        file.sync().map_err(fail("sync", text))?;
    }
    Ok(note)
}

/// Keeps bytes in `<stem>-<n>`, in the first that is free or has them already.
fn keep_copy<D: Directory>(dir: &D, stem: &str, bytes: &[u8]) -> Result<String, RecoveryError> {
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

/// Has the journal hold lines of the last segment once more, in a file that is not in use. `None`: there is none.
fn journal_again<J: Directory>(
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

struct Merged<F> {
    resumed: Vec<Resumed<F>>,
    /// The record before the first one that is to be written again.
    durable_seq: Option<u64>,
    /// The journal leads to the end of what the segments have: what it does not have any more is durable.
    has_log_end: bool,
}

struct JournalFile<F> {
    name: &'static str,
    file: F,
    bytes: Vec<u8>,
    /// Where its first log line begins.
    lines_from: usize,
}

/// What an earlier process left of a journal, the older file first.
fn journal_files<D: Directory, J: Directory>(
    log: &D,
    journal: &J,
    notes: &mut Vec<Fact>,
) -> Result<Vec<JournalFile<J::File>>, RecoveryError> {
    let mut files = Vec::new();
    for name in FILE_NAMES {
        let Ok(file) = journal.open(name) else { continue };
        let bytes = storage::read_all(&file).map_err(fail("read", name))?;
        let header = pieces(&bytes).next().filter(|piece| piece.is_whole);
        let header = header.filter(|piece| piece.line.starts_with(br#"{"v":1,"journal":""#));
        match header.map(|piece| piece.end) {
            Some(lines_from) => files.push(JournalFile { name, file, bytes, lines_from }),
            None if bytes.iter().all(|byte| *byte == 0) => {}
            None => notes.push(reject(log, name, &bytes, "it is no journal of this version")?),
        }
    }
    files.sort_by_key(|file| seq_of(&file.bytes[file.lines_from..]).unwrap_or(u64::MAX));
    Ok(files)
}

/// The lines of the journal by their numbers; a file that a power cut left may have some twice.
fn index<F>(files: &[JournalFile<F>]) -> BTreeMap<u64, Vec<&[u8]>> {
    let mut lines: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
    for file in files {
        for piece in pieces(&file.bytes[file.lines_from..]).filter(|piece| piece.is_whole) {
            lines.entry(seq_of(piece.line).unwrap_or_default()).or_default().push(piece.line);
        }
    }
    lines
}

/// The last record that the journal's lines lead to from there.
fn reach(lines: &BTreeMap<u64, Vec<&[u8]>>, from: &Tip) -> u64 {
    let (mut head, mut seq) = (from.head, from.seq);
    while let Some((_, next)) = lines.range(seq + 1..).next() {
        let parsed = next.iter().filter_map(|bytes| Some((Line::parse(bytes).ok()?, *bytes)));
        let mut following = parsed.filter(|(line, bytes)| line.follows(&head) && is_next(line, bytes, seq));
        let Some((line, _)) = following.next() else { break };
        (head, seq) = (line.hash, line.seq);
    }
    seq
}

/// Whether the journal has the next line, and this is the beginning of it.
fn has_beginning<F>(files: &[JournalFile<F>], tip: &Tip, torn: &[u8]) -> bool {
    let mut lines = files.iter().flat_map(|file| pieces(&file.bytes[file.lines_from..]));
    lines.any(|piece| {
        piece.is_whole
            && piece.line.starts_with(torn)
            && seq_of(piece.line) == Some(tip.seq + 1)
            && Line::parse(piece.line).is_ok_and(|line| line.follows(&tip.head))
    })
}

/// Takes over the journal's lines that follow, and those that the last segment, if it is gone on with, has as well.
fn merge<D: Directory, F>(
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
                    Ok(line) if line.follows(&tip.head) && is_next(&line, piece.line, tip.seq) => {
                        tip.take(&line, piece.line);
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

fn reject<D: Directory>(log: &D, name: &str, bytes: &[u8], why: &str) -> Result<Fact, RecoveryError> {
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
