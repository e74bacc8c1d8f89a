//! What follows from what. In: bytes. Out: whole lines, and for each whether it goes on where the log ends. Guarantee: a
//! line is good only if its hash follows from the line before it and its number is the next, or says what is missing.

use crate::log::ChainHash;
use crate::log::line::{BadLine, Line};
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
    pub(super) fn take(&mut self, line: &Line<'_>) {
        (self.head, self.seq) = (line.hash, line.seq);
        let folded = line.kind().is_some_and(State::outlives_start);
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
    if !line.is_next(seq + 1) {
        return Ok(Verdict::Bad(format!("seq {} follows {seq}", line.seq), claim));
    }
    Ok(Verdict::Good(line))
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
