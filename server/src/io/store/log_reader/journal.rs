//! What a journal has beyond the segments. In: its files, and the last line of the segments. Out: the lines that follow.
//! Guarantee: a line is given only if it follows from the last one, number and hash; so what
//! was given is the log, also while the daemon empties or writes it.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::piece::Piece;
use crate::log::{ChainHash, Line};

/// The last line that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) seq: u64,
    pub(super) hash: ChainHash,
}

/// Reads the files of a journal, again and again as long as that gives lines.
#[derive(Debug)]
pub(super) struct Journal {
    files: Vec<PathBuf>,
    to_read: VecDeque<PathBuf>,
    piece: Option<Piece>,
    last: Last,
    gave: bool,
    gave_any: bool,
    misfit: Option<Misfit>,
}

/// A whole line that is not the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) bytes: Vec<u8>,
    pub(super) file: PathBuf,
    pub(super) number: u64,
}

impl Journal {
    pub(super) fn new(files: Vec<PathBuf>, last: Last) -> Self {
        let to_read = files.iter().cloned().collect();
        Self { files, to_read, piece: None, last, gave: false, gave_any: false, misfit: None }
    }

    /// Reads the next line into `line`, and says where it lies. None: there is nothing more that follows.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> Option<(&PathBuf, u64)> {
        loop {
            line.clear();
            let Some(piece) = &mut self.piece else {
                match self.to_read.pop_front() {
                    // One that is gone by now had nothing that is not in the segments.
                    Some(path) => self.piece = Piece::open(path).ok(),
                    // They alternate: the one that was read first may go on where the other ends.
                    None if std::mem::take(&mut self.gave) => {
                        self.to_read = self.files.iter().cloned().collect();
                    }
                    None => return None,
                }
                continue;
            };
            if !piece.read_line(line).unwrap_or(false) {
                self.piece = None;
                continue;
            }
            // The header of the file.
            if piece.lines == 1 && line.starts_with(br#"{"v":1,"journal":"#) {
                continue;
            }
            let parsed = Line::parse(line).ok();
            match parsed {
                Some(parsed) if parsed.seq <= self.last.seq => {}
                Some(parsed) if parsed.is_next(self.last.seq + 1) && parsed.follows(&self.last.hash) => {
                    self.last = Last { seq: parsed.seq, hash: parsed.hash };
                    (self.gave, self.gave_any, self.misfit) = (true, true, None);
                    break;
                }
                _ => {
                    let (file, number) = (piece.path.clone(), piece.lines);
                    self.misfit.get_or_insert(Misfit { bytes: line.clone(), file, number });
                    self.piece = None;
                }
            }
        }
        self.piece.as_ref().map(|piece| (&piece.path, piece.lines))
    }

    /// The hash of the line that was given last.
    pub(super) const fn last(&self) -> ChainHash {
        self.last.hash
    }

    /// Whether it gave a line.
    pub(super) const fn gave_any(&self) -> bool {
        self.gave_any
    }

    /// The first line behind the last one given that does not follow from it.
    pub(super) fn into_misfit(self) -> Option<Misfit> {
        self.misfit
    }
}
