//! A file of a log that is being read. In: its path. Out: its lines. Guarantee: of a line that has no end yet the beginning is
//! kept, and reading goes on there.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use super::{ReadError, fail};
use crate::log::form::line::LINE_BYTES_MAX;

/// One read(2) of a file.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) path: PathBuf,
    reader: BufReader<File>,
    /// Lines that were read whole.
    pub(super) lines: u64,
    /// Whether a later file was found; then this one has nothing more to come.
    pub(super) last_look: bool,
}

impl Piece {
    pub(super) fn open(path: PathBuf) -> Result<Self, ReadError> {
        let file = File::open(&path).map_err(fail(&path))?;
        Ok(Self { path, reader: BufReader::with_capacity(BUFFER_BYTES, file), lines: 0, last_look: false })
    }

    /// Reads on until the end of the line, newline taken off. False: there is no end yet.
    pub(super) fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, ReadError> {
        // A piece that has no end for so long is no line; its reader reports it.
        let room = (LINE_BYTES_MAX + 1).saturating_sub(line.len());
        let read = (&mut self.reader).take(room as u64).read_until(b'\n', line);
        read.map_err(fail(&self.path))?;
        let ends = line.last() == Some(&b'\n');
        if ends {
            line.pop();
        }
        let is_line = ends || line.len() > LINE_BYTES_MAX;
        self.lines += u64::from(is_line);
        Ok(is_line)
    }
}
