//! What follows from what. In: bytes. Out: whole lines, and for each whether it goes on where the log ends. Guarantee: a
//! line is good only if its hash follows from the line before it and its number is the next, or says what is missing.

use super::reformed::reformed;
use crate::game::state::State;
use crate::log::form::line::{BadLine, Line};
use crate::log::{ChainHash, SegmentName};

/// The end of the log so far.
#[derive(Clone)]
pub(super) struct Tip {
    pub(super) state: State,
    pub(super) head: ChainHash,
    pub(super) seq: u64,
    /// The time of the last record.
    pub(super) at_us: u64,
}

pub(super) enum Verdict<'a> {
    Good(Line<'a>),
    Bad(Bad),
}

/// A line that is not the next one.
pub(super) struct Bad {
    pub(super) why: String,
    /// With what a next line would have to follow.
    pub(super) claim: Option<(ChainHash, u64)>,
    /// It has not the form of a line, but what it was can be read: somebody changed the file as a whole.
    pub(super) is_reformed: bool,
}

impl Tip {
    /// Takes a good line.
    pub(super) fn take(&mut self, line: &Line<'_>) {
        (self.head, self.seq) = (line.hash, line.seq);
        self.at_us = line.at_us().unwrap_or(self.at_us);
        let folded = line.kind().is_some_and(State::outlives_start);
        match folded.then(|| line.record()) {
            Some(Ok(record)) => self.state.apply(&record, |_| {}),
            _ => self.state.skip_to(line.seq),
        }
    }
}

/// Whether a line follows from the one with this hash and seq. `None`: from an unknown one. `name`: of the log's first
/// segment, whose first line it is: if older segments were removed, it is not known here from what it follows. `end`: the
/// last number that the log has; a line behind bad ones is good only beyond it.
pub(super) fn judge<'a>(
    piece: &Piece<'a>,
    name: Option<&SegmentName>,
    before: Option<(ChainHash, u64)>,
    end: u64,
) -> Result<Verdict<'a>, BadLine> {
    let bad = |why: String, claim| Ok(Verdict::Bad(Bad { why, claim, is_reformed: false }));
    let parsed = if piece.is_whole { Line::parse(piece.line) } else { Err(BadLine::Hash) };
    let line = match parsed {
        Ok(line) => line,
        Err(error @ BadLine::Version(_)) => return Err(error),
        Err(error) => {
            let why = if piece.is_whole { error.to_string() } else { "it is incomplete".to_owned() };
            return Ok(Verdict::Bad(match reformed(piece.line, piece.is_whole) {
                Some((why, claim)) => Bad { why: why.to_owned(), claim: Some(claim), is_reformed: true },
                None => Bad { why, claim: None, is_reformed: false },
            }));
        }
    };
    let claim = Some((line.hash, line.seq));
    if name.is_some_and(|name| name.first_seq > 1 && name.first_seq == line.seq) {
        return Ok(Verdict::Good(line));
    }
    let Some((hash, seq)) = before else {
        return bad("it stands behind a line that cannot be read".to_owned(), claim);
    };
    if !line.follows(&hash) {
        return bad("its hash does not follow from the line before it".to_owned(), claim);
    }
    if !line.is_next(seq + 1) {
        return bad(format!("seq {} follows {seq}", line.seq), claim);
    }
    if line.seq <= end {
        return bad(format!("seq {} stands behind seq {end}", line.seq), claim);
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
