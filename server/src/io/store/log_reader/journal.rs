//! What a journal has beyond the segments. In: its files, and the last line of the segments. Out: the lines that follow.
//! Guarantee: a line is given only if it follows from the last one, number and hash; so what
//! was given is the log, also while the daemon empties or writes it.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::RawLine;
use super::piece::Piece;
use crate::log::{ChainHash, Line};

/// Reads the files of a journal, again and again as long as that gives lines.
#[derive(Debug)]
pub(super) struct Journal {
    files: Vec<PathBuf>,
    to_read: VecDeque<PathBuf>,
    piece: Option<Piece>,
    /// Number and hash of the last line that is known.
    last: (u64, ChainHash),
    gave: bool,
    gave_any: bool,
    misfit: Option<RawLine>,
}

impl Journal {
    pub(super) fn new(files: Vec<PathBuf>, last: (u64, ChainHash)) -> Self {
        let to_read = files.iter().cloned().collect();
        Self { files, to_read, piece: None, last, gave: false, gave_any: false, misfit: None }
    }

    /// Reads the next line into `line`. False: there is nothing more that follows.
    pub(super) fn next(&mut self, line: &mut RawLine) -> bool {
        loop {
            line.bytes.clear();
            let Some(piece) = &mut self.piece else {
                match self.to_read.pop_front() {
                    // One that is gone by now had nothing that is not in the segments.
                    Some(path) => self.piece = Piece::open(path).ok(),
                    // They alternate: the one that was read first may go on where the other ends.
                    None if std::mem::take(&mut self.gave) => {
                        self.to_read = self.files.iter().cloned().collect();
                    }
                    None => return false,
                }
                continue;
            };
            if !piece.read_line(&mut line.bytes).unwrap_or(false) {
                self.piece = None;
                continue;
            }
            // The header of the file.
            if piece.lines == 1 && line.bytes.starts_with(br#"{"v":1,"journal":"#) {
                continue;
            }
            line.lie_at(&piece.path, piece.lines);
            let (seq, hash) = self.last;
            match Line::parse(&line.bytes) {
                Ok(parsed) if parsed.seq <= seq => {}
                Ok(parsed) if parsed.is_next(seq + 1) && parsed.follows(&hash) => {
                    self.last = (parsed.seq, parsed.hash);
                    (self.gave, self.gave_any, self.misfit) = (true, true, None);
                    return true;
                }
                _ => {
                    self.misfit.get_or_insert_with(|| line.clone());
                    self.piece = None;
                }
            }
        }
    }

    /// The hash of the line that was given last.
    pub(super) const fn last(&self) -> ChainHash {
        self.last.1
    }

    /// Whether it gave a line.
    pub(super) const fn gave_any(&self) -> bool {
        self.gave_any
    }

    /// The first line behind the last one given that does not follow from it.
    pub(super) fn into_misfit(self) -> Option<RawLine> {
        self.misfit
    }
}
