//! A reader's way through the segments. In: files in the order of their names, and those that come meanwhile. Out: each line, but
//! those that the journal gave before. Guarantee: nothing else in a segment is passed over, so a line that stands in two of them
//! is given twice; a file is left only when a later one is there and this one was looked at after that.

use super::piece::Piece;
use super::{LogReader, ReadError, fail};
use crate::io::store::log_dir;
use crate::log::Line;

impl LogReader {
    /// Reads on in the segments: a line, or the torn end of a file that is not the last. False: there is nothing.
    pub(super) fn read_segments(&mut self) -> Result<bool, ReadError> {
        if std::mem::take(&mut self.is_held) {
            self.give();
            return Ok(true);
        }
        loop {
            let Some(piece) = &mut self.file else {
                if self.queue.is_empty() {
                    self.look_for_segments()?;
                }
                let Some(path) = self.queue.pop_front() else { return Ok(false) };
                self.file = Some(Piece::open(path)?);
                continue;
            };
            if piece.read_line(&mut self.incoming)? {
                if self.owed > 0 && self.is_owed() {
                    self.incoming.clear();
                    continue;
                }
                match self.cut.take() {
                    Some(cut) => (self.given, self.is_held) = (cut, true),
                    None => self.give(),
                }
                return Ok(true);
            }
            if piece.last_look {
                if let Some(cut) = self.unfinished() {
                    self.cut = Some(cut);
                    self.incoming.clear();
                }
                self.file = None;
                continue;
            }
            // A later segment is begun only when this one is full: one more look finds all that it got.
            if self.queue.is_empty() {
                self.look_for_segments()?;
            }
            if self.queue.is_empty() {
                return Ok(false);
            }
            if let Some(piece) = &mut self.file {
                piece.last_look = true;
            }
        }
    }

    /// Whether this line of a segment was given already.
    fn is_owed(&mut self) -> bool {
        let given = Line::parse(&self.given.bytes).map(|line| line.seq).ok();
        let (Some(given), Ok(copy)) = (given, Line::parse(&self.incoming)) else {
            self.owed = 0;
            return false;
        };
        // The copies come in order, each follows from the one before it, and the last of them is the line that was given
        // last: so all of them are what was given.
        let follows = self.copied.is_none_or(|before| copy.follows(&before));
        let is_last = copy.seq != given || self.incoming == self.given.bytes;
        let owed = copy.seq <= given && follows && is_last;
        (self.owed, self.copied) = if owed { (self.owed - 1, Some(copy.hash)) } else { (0, None) };
        owed
    }

    fn give(&mut self) {
        std::mem::swap(&mut self.incoming, &mut self.given.bytes);
        self.incoming.clear();
        if let Some(piece) = &self.file {
            self.given.lie_at(&piece.path, piece.lines);
        }
    }

    pub(super) fn look_for_segments(&mut self) -> Result<(), ReadError> {
        let Some(dir) = self.dir.as_deref() else { return Ok(()) };
        let mut found = log_dir::segments(dir).map_err(fail(dir))?;
        found.retain(|(name, _)| self.newest.is_none_or(|newest| *name > newest));
        self.newest = found.last().map(|(name, _)| *name).or(self.newest);
        self.queue.extend(found.into_iter().map(|(_, path)| path));
        Ok(())
    }
}
