//! Recovery: what an earlier process left. In: a log directory and a journal directory. Out: where the log ends, what it
//! folds to, and where to go on. Guarantee: nothing is removed but what is kept elsewhere byte for byte; no line is
//! believed that does not follow from the one before it; running it again, also after a crash in the middle of it, gives
//! the same.
//!
//! A line is *good* if it has the form of one and follows, by hash and seq, from the line before it. Bad lines with a good
//! one behind them are **damage**: nothing is touched, the log goes on in a new segment behind the last good line. What
//! stands behind the last good line is a **torn tail**: it goes to `<segment>.torn-<n>`, and the segment ends at that line.
//! A segment that goes on behind the line from which the next segment follows has an **overhang**, see
//! [`super::segments`]; it goes to `.torn-<n>` too.
//!
//! The journal's lines that follow are taken over where they are, and the writer brings them to the disk like any others.
//! Those that also stand in the last segment are written again, over themselves: that they can be read from there proves
//! nothing, for a process that saw a sync fail may have died before it wrote them elsewhere. A journal that does not fit is
//! set aside in the log directory.
//!
//! The fold is limited to what outlives a start ([`State::outlives_start`]): the other records are not even parsed.

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
    #[error("{segment}: line {line}: {error}; the log is left as it is: use that one, or name another log.dir")]
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
                    if first_seq == before + 1 && last_seq + 1 == line.seq)
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
struct Tail {
    segment: usize,
    from: usize,
}

struct BadPlace {
    segment: SegmentName,
    line: u64,
    why: String,
}

/// Finds out where the log in these directories ends; the first one is the log directory.
///
/// # Errors
/// [`RecoveryError`]; nothing was changed that a second try would miss.
pub fn recover<D: Directory, J: Directory>(
    dirs: &[D],
    journal: &J,
) -> Result<Recovered<D::File, J::File>, RecoveryError> {
    let mut notes = Vec::new();
    let segments = list(dirs)?;
    let mut tip = Tip { state: State::default(), head: ChainHash::START, seq: 0 };
    let mut before = Some((tip.head, tip.seq));
    let (mut damage, mut pending): (Vec<BadPlace>, Option<BadPlace>) = (Vec::new(), None);
    let (mut tails, mut last_good) = (Vec::new(), Tail { segment: 0, from: 0 });
    let mut bytes = Vec::new();
    for (place, (dir, name)) in segments.iter().enumerate() {
        bytes = read(&dirs[*dir], name)?;
        let next = match segments.get(place + 1) {
            Some((dir, next)) => Some((next.first_seq, peek(&dirs[*dir], next)?)),
            None => None,
        };
        // If older segments were removed, it is not known here from what the first line follows.
        let is_cut_off = place == 0 && name.first_seq > 1;
        for (piece, number) in pieces(&bytes).zip(1..) {
            let verdict = if is_cut_off && number == 1 && seq_of(piece.line) == Some(name.first_seq) {
                Line::parse(piece.line).map_or_else(|error| Verdict::Bad(error.to_string(), None), Verdict::Good)
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
                    if next.as_ref().is_some_and(|(first_seq, next)| {
                        *first_seq == line.seq + 1 && follows(next, &line.hash)
                    }) {
                        if piece.end < bytes.len() {
                            tails.push(Tail { segment: place, from: piece.end });
                        }
                        break;
                    }
                }
                Verdict::Bad(why, claim) => {
                    before = claim;
                    pending.get_or_insert_with(|| BadPlace { segment: *name, line: number, why });
                }
            }
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
    for BadPlace { segment, line, why } in damage {
        notes.push(Fact::Damage { segment: segment.to_string(), line, why });
    }
    notes.truncate(NOTES_MAX);
    let mut resume = None;
    let mut doubtful_from = tip.seq + 1;
    if let Some((0, name)) = last.filter(|_| is_untouched).map(|last| segments[last]) {
        let file = dirs[0].open(&name.to_string()).map_err(fail("open", name.to_string()))?;
        if segments.last().is_none_or(|(_, newest)| *newest != name) {
            bytes = read(&dirs[0], &name)?;
        }
        doubtful_from = name.first_seq;
        resume = Some(Resume { name, file, len: last_good.from as u64 });
    } else if let Some((dir, name)) = last.map(|last| segments[last]) {
        // It is not gone on with, but an earlier process may have died between its write and its sync.
        let file = dirs[dir].open(&name.to_string()).map_err(fail("open", name.to_string()))?;
        file.sync().map_err(fail("sync", name.to_string()))?;
    }
    let files = merge(&dirs[0], journal, &mut tip, doubtful_from, &mut notes)?;
    let mut durable_seq = files.durable_seq.unwrap_or(tip.seq);
    if let Some(resume) = &mut resume {
        // Over themselves, from there on.
        let again = pieces(&bytes).find(|piece| seq_of(piece.line) == Some(durable_seq + 1));
        if let Some(piece) = again.filter(|piece| (piece.start as u64) < resume.len) {
            resume.len = piece.start as u64;
        }
    } else {
        durable_seq = durable_seq.max(doubtful_from - 1);
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

struct Merged<F> {
    resumed: Vec<Resumed<F>>,
    /// The record before the first one that is to be written again.
    durable_seq: Option<u64>,
}

struct JournalFile<F> {
    name: &'static str,
    file: F,
    bytes: Vec<u8>,
    /// Where its first log line begins.
    lines_from: usize,
}

/// Takes over the journal's lines that follow, and those from `again_from` on that the log has as well.
fn merge<D: Directory, J: Directory>(
    log: &D,
    journal: &J,
    tip: &mut Tip,
    again_from: u64,
    notes: &mut Vec<Fact>,
) -> Result<Merged<J::File>, RecoveryError> {
    let mut merged = Merged { resumed: Vec::new(), durable_seq: None };
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
    let log_end = (tip.head, tip.seq);
    let (mut before, mut has_log_end): (Option<ChainHash>, bool) = (None, false);
    for JournalFile { name, file, bytes, lines_from } in files {
        let (mut start, mut end, mut wrong) = (None, lines_from, None);
        for piece in pieces(&bytes[lines_from..]) {
            let line = match Line::parse(piece.line) {
                Ok(line) if piece.is_whole => line,
                // The last write was cut off: nobody was told what it would have said.
                _ if !piece.is_whole => break,
                _ => {
                    wrong = Some("a line cannot be read".to_owned());
                    break;
                }
            };
            if line.seq > tip.seq {
                if !line.follows(&tip.head) || !is_next(&line, piece.line, tip.seq) {
                    wrong = Some(format!("seq {} does not follow from the log", line.seq));
                    break;
                }
            } else if line.seq == log_end.1 && line.hash != log_end.0 {
                wrong = Some(format!("seq {} says something else than the log", line.seq));
                break;
            }
            // Only lines that lead to the log's last one, or from it, are surely the log's own.
            let is_new = line.seq > tip.seq;
            let is_chained = before.is_some_and(|hash| line.follows(&hash));
            if !is_chained && !(is_new && has_log_end) {
                merged = Merged { resumed: Vec::new(), durable_seq: None };
                start = None;
            }
            has_log_end |= line.seq == log_end.1;
            if line.seq >= again_from.min(log_end.1 + 1) && start.is_none() {
                start = Some(lines_from + piece.start);
                merged.durable_seq.get_or_insert(line.seq - 1);
            }
            if is_new {
                tip.take(&line, piece.line);
            }
            before = Some(line.hash);
            end = lines_from + piece.end;
        }
        if let Some(why) = wrong {
            notes.push(reject(log, name, &bytes, &why)?);
        }
        if let Some(start) = start {
            merged.resumed.push(Resumed { name, file, start: start as u64, end: end as u64 });
        }
    }
    if !has_log_end && tip.seq == log_end.1 {
        merged = Merged { resumed: Vec::new(), durable_seq: None };
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
