//! What follows from what. In: bytes. Out: whole lines, and for each whether it goes on where the log ends. Guarantee: a
//! line is good only if its hash follows from the line before it and its number is the next, or says what is missing.

use crate::log::ChainHash;
use crate::log::line::{BadLine, Line, kind_of};
use crate::record::Fact;
use crate::state::State;

/// The end of the log so far.
#[derive(Clone)]
pub(super) struct Tip {
    pub(super) state: State,
    pub(super) head: ChainHash,
    pub(super) seq: u64,
}

pub(super) enum Verdict<'a> {
    Good(Line<'a>),
    /// With what a next line would have to follow.
    Bad(String, Option<(ChainHash, u64)>),
}

impl Tip {
    /// Takes a good line.
    pub(super) fn take(&mut self, line: &Line<'_>, bytes: &[u8]) {
        (self.head, self.seq) = (line.hash, line.seq);
        let folded = kind_of(bytes).is_some_and(State::outlives_start);
        match folded.then(|| line.record()) {
            Some(Ok(record)) => self.state.apply(&record, |_| {}),
            _ => self.state.skip_to(line.seq),
        }
    }
}

/// Whether a line follows from the one with this hash and seq. `None`: from an unknown one.
pub(super) fn judge<'a>(bytes: &'a [u8], before: Option<(ChainHash, u64)>) -> Result<Verdict<'a>, BadLine> {
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
pub(super) fn is_next(line: &Line<'_>, bytes: &[u8], before: u64) -> bool {
    line.seq == before + 1
        || (line.seq > before
            && kind_of(bytes) == Some(b"lost")
            && line.record().is_ok_and(|record| {
                matches!(record.fact, Fact::Lost { first_seq, last_seq, .. }
                    if first_seq == before + 1 && last_seq + 1 == line.seq)
            }))
}

pub(super) struct Piece<'a> {
    pub(super) start: usize,
    /// Behind its newline, if it has one.
    pub(super) end: usize,
    pub(super) line: &'a [u8],
    pub(super) is_whole: bool,
}

pub(super) fn pieces(bytes: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut start = 0;
    bytes.split_inclusive(|byte| *byte == b'\n').map(move |whole| {
        let line = whole.strip_suffix(b"\n").unwrap_or(whole);
        let piece = Piece { start, end: start + whole.len(), line, is_whole: line.len() < whole.len() };
        start += whole.len();
        piece
    })
}

/// Whether the first of these lines follows.
pub(super) fn follows(start: &[u8], hash: &ChainHash) -> bool {
    let first = pieces(start).next().filter(|piece| piece.is_whole);
    first.and_then(|piece| Line::parse(piece.line).ok()).is_some_and(|line| line.follows(hash))
}
