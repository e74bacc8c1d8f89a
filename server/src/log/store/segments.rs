//! Segments: where lines become durable. In: whole lines, in order. Out: files `NNNNNN-<first seq>.jsonl`, cuts of one
//! stream at ends of lines. Guarantee: when `commit` returns, everything appended is on the disk, names included; after an
//! error nothing is ever synced through that descriptor again.
//!
//! ```text
//! spare (made ahead: room set aside)
//!   | first lines written, fdatasync, rename, fsync of the directory
//! 000007-4711.jsonl   appended to and fdatasynced, up to 8 MiB
//!   | the next line does not fit: all of it is durable
//! closed, never touched again
//! ```
//! So every segment but the last is durable, and active and spare together have room for 16 MiB on a disk that is full.
//!
//! After an error ([`Segments::abandon`]) everything behind the last durable line goes into a fresh segment. Once that is
//! durable, the failed one is cut to its durable length through a new descriptor, and the stream is one again. If it
//! cannot be cut, or the power goes before it was, it has an *overhang*: lines that the next segment, whose name says
//! its first seq, has as well. The next start sets an overhang aside ([`super::recovery`]).

use std::collections::VecDeque;
use std::io;

use super::kept::{Kept, Lost};
use super::storage::{self, Directory, File, StorageFault, fault};
use crate::log::SegmentName;
use crate::log::form::line::seq_of;

/// A segment has no more bytes than this.
pub const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// The segment that is made ahead of need.
pub const SPARE_NAME: &str = "spare";

/// The segment that is appended to.
#[derive(Debug)]
struct Active<F> {
    name: SegmentName,
    file: F,
    len: u64,
    durable_len: u64,
    /// It has its name; before, it is `spare`.
    is_named: bool,
    /// The disk keeps the name.
    is_name_durable: bool,
}

impl<F> Active<F> {
    /// Whether the disk may not keep all of it.
    const fn is_dirty(&self) -> bool {
        self.len > self.durable_len || !self.is_name_durable
    }
}

/// The segment after the active one.
#[derive(Debug)]
struct Spare<F> {
    file: F,
    /// Room for it is set aside.
    is_reserved: bool,
}

/// A failed segment with lines that stand elsewhere as well.
#[derive(Debug)]
struct Overhang {
    name: SegmentName,
    durable_len: u64,
}

/// The last segment of an earlier process, to be gone on with.
#[derive(Debug)]
pub struct Resume<F> {
    /// Its name.
    pub name: SegmentName,
    /// It, open.
    pub file: F,
    /// Where the next line goes. What the journal has as well is written again, over itself: the kernel may have
    /// forgotten that it could not write it.
    pub len: u64,
}

/// All segments of a log.
#[derive(Debug)]
pub struct Segments<D: Directory> {
    /// The log directory.
    dir: D,
    /// The last number that was given.
    number: u32,
    bytes_max: u64,
    active: Option<Active<D::File>>,
    spare: Option<Spare<D::File>>,
    overhangs: VecDeque<Overhang>,
    kept: Kept,
}

impl<D: Directory> Segments<D> {
    /// Segments that go on behind number `number` (0: none), or in `resume`.
    pub fn new(dir: D, number: u32, bytes_max: u64, resume: Option<Resume<D::File>>) -> Self {
        let active = resume.map(|Resume { name, file, len }| {
            let _ = file.reserve(bytes_max);
            // An earlier process may have written what it did not sync, and named it.
            Active { name, file, len, durable_len: len, is_named: true, is_name_durable: false }
        });
        let mut kept = Kept::observe(&dir);
        if let Some(active) = &active {
            kept.note(&dir, active.name, active.len);
        }
        Self { dir, number, bytes_max, active, spare: None, overhangs: VecDeque::new(), kept }
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// [`StorageFault`]; the segment is to be abandoned then.
    pub fn append(&mut self, mut lines: &[u8]) -> Result<(), StorageFault> {
        while !lines.is_empty() {
            let bytes_max = self.bytes_max;
            if self.active.is_none() {
                self.begin(seq_of(lines).unwrap_or_default())?;
            }
            let Some(active) = &mut self.active else { continue };
            let piece = whole_lines(lines, bytes_max.saturating_sub(active.len));
            if piece == 0 && active.len > 0 {
                // Full. All of it must be durable before anything behind it can be.
                self.commit()?;
                // Room that was set aside behind it is less than a line.
                self.active = None;
                continue;
            }
            // Behind the end of a file that somebody cut there would be zeros, and in one that was moved nobody looks.
            if let Some(how) = self.kept.change(&self.dir, active.name) {
                let name = active.name.to_string();
                return Err(fault("find", name)(io::Error::other(format!("it was {how}"))));
            }
            let (piece, rest) = lines.split_at(piece.max(first_line(lines)));
            storage::write_all(&active.file, active.len, piece)
                .map_err(fault("write", active.name.to_string()))?;
            active.len += piece.len() as u64;
            lines = rest;
        }
        Ok(())
    }

    /// Takes the spare for a segment that begins with this record.
    fn begin(&mut self, first_seq: u64) -> Result<(), StorageFault> {
        // Without room set aside it is worth a try: a line may fit all the same.
        let made = self.make_spare();
        let Some(Spare { file, .. }) = self.spare.take() else {
            return Err(made
                .err()
                .unwrap_or_else(|| fault("make", SPARE_NAME)(io::ErrorKind::NotFound.into())));
        };
        self.number += 1;
        let name = SegmentName { number: self.number, first_seq };
        let (len, durable_len, is_named, is_name_durable) = (0, 0, false, false);
        self.active = Some(Active { name, file, len, durable_len, is_named, is_name_durable });
        Ok(())
    }

    /// Has the disk keep what was appended.
    ///
    /// # Errors
    /// [`StorageFault`]; the segment is to be abandoned then.
    pub fn commit(&mut self) -> Result<(), StorageFault> {
        let Some(active) = self.active.as_mut().filter(|active| active.is_dirty()) else { return Ok(()) };
        let dir = &self.dir;
        let name = active.name.to_string();
        active.file.sync().map_err(fault("sync", &name))?;
        if !active.is_named {
            dir.rename(SPARE_NAME, &name).map_err(fault("name", &name))?;
            active.is_named = true;
        }
        if !active.is_name_durable {
            if let Err(error) = dir.sync() {
                let name = dir.name();
                // Never again through this descriptor.
                let _ = self.dir.renew();
                return Err(fault("sync", name)(error));
            }
            active.is_name_durable = true;
        }
        if !active.file.is_linked() || !dir.is_there() || active.file.len().is_ok_and(|len| len < active.len)
        {
            return Err(fault("find", &name)(io::ErrorKind::NotFound.into()));
        }
        active.durable_len = active.len;
        self.kept.note(dir, active.name, active.len);
        // All that they have and should not have stands in a durable segment now.
        while let Some(overhang) = self.overhangs.pop_front() {
            if let Err(fault) = self.cut(&overhang) {
                ::log::warn!("{fault}; lines that stand in it twice are set aside at the next start");
            }
        }
        Ok(())
    }

    fn cut(&self, overhang: &Overhang) -> Result<(), StorageFault> {
        let (name, dir) = (overhang.name.to_string(), &self.dir);
        if self.kept.change(dir, overhang.name).is_some() {
            // It is another file now, or has less than that.
            return Ok(());
        }
        if overhang.durable_len == 0 {
            return dir.remove(&name).map_err(fault("remove", &name));
        }
        let file = dir.open(&name).map_err(fault("open", &name))?;
        // Not synced: a power cut that undoes it leaves an overhang, and the next start knows what that is.
        file.set_len(overhang.durable_len).map_err(fault("cut", &name))
    }

    /// Segments that are no longer as they were left, each once. What comes next goes into a fresh one if the active one is
    /// among them.
    pub fn take_lost(&mut self, durable_seq: u64) -> Vec<Lost> {
        if self.is_dirty() {
            return Vec::new();
        }
        let lost = self.kept.take_lost(&self.dir, durable_seq);
        self.active.take_if(|active| lost.iter().any(|lost| lost.name == active.name));
        lost
    }

    /// This segment was removed with intent.
    pub fn forget(&mut self, name: &str) {
        self.kept.forget(name);
    }

    /// Whether something was appended and is not durable.
    pub fn is_dirty(&self) -> bool {
        self.active.as_ref().is_some_and(Active::is_dirty)
    }

    /// Makes the next segment ahead of need.
    ///
    /// # Errors
    /// [`StorageFault`]; nothing is lost by it, but there is less room set aside.
    pub fn make_spare(&mut self) -> Result<(), StorageFault> {
        let bytes_max = self.bytes_max;
        if self.spare.is_none() {
            let dir = &mut self.dir;
            if !dir.is_there() {
                dir.renew().map_err(fault("make", dir.name()))?;
            }
            // Never one that was there: its pages may be bad.
            match dir.remove(SPARE_NAME) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(fault("remove", SPARE_NAME)(error));
                }
                _ => {}
            }
            // Not synced: it is when its first record is, and until then nobody needs it.
            let file = dir.create(SPARE_NAME).map_err(fault("make", SPARE_NAME))?;
            self.spare = Some(Spare { file, is_reserved: false });
        }
        let Some(spare) = self.spare.as_mut().filter(|spare| !spare.is_reserved) else { return Ok(()) };
        match spare.file.reserve(bytes_max) {
            // Not every file system can, and then there is nothing to be done about it.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                return Err(fault("set room aside for", SPARE_NAME)(error));
            }
            _ => spare.is_reserved = true,
        }
        Ok(())
    }

    /// Whether room is set aside behind the active segment.
    pub fn has_spare(&self) -> bool {
        self.spare.as_ref().is_some_and(|spare| spare.is_reserved)
    }

    /// Leaves the segment that failed. What was appended and not committed is to be appended again. `also_spare`: it failed
    /// more than once, so the spare is made anew as well.
    pub fn abandon(&mut self, also_spare: bool) {
        if let Some(failed) = self.active.take() {
            let Active { name, durable_len, is_named, .. } = failed;
            if is_named {
                self.overhangs.push_back(Overhang { name, durable_len });
            } else {
                self.number -= 1;
            }
        }
        if also_spare {
            self.spare = None;
        }
    }

    /// The log directory.
    pub const fn dir(&self) -> &D {
        &self.dir
    }

    /// The file in use, for people.
    pub fn file_name(&self) -> String {
        self.active.as_ref().map_or_else(|| SPARE_NAME.to_owned(), |active| active.name.to_string())
    }
}

/// How many of these bytes are whole lines that fit.
fn whole_lines(lines: &[u8], bytes_max: u64) -> usize {
    let fits = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(lines.len());
    lines[..fits].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}
