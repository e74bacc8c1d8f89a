//! The writer's side of the journal. In: the lines that the server's side keeps. Out: the same lines, in order, once or, after a
//! [`Feed::rewind`], again. Guarantee: a file is emptied only when all that it had is durable; the lock that both sides
//! share is never held over a system call.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use buzzer_core::time::KernelTime;

use super::{FILE_NAMES, JournalFile, RETRY_US, Shared, Span};
use crate::log::form::line::LINE_BYTES_MAX;
use crate::log::store::storage::{self, Directory, File};

/// A place in the queue: the span's number, and the byte in its file or since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    span: u64,
    at: u64,
}

/// The writer's side.
#[derive(Debug)]
pub struct Feed<J: Directory> {
    pub(super) shared: Arc<Shared<J::File>>,
    pub(super) dir: J,
    pub(super) header: Vec<u8>,
    pub(super) durable: Position,
    pub(super) read: Position,
    /// Files to be emptied.
    pub(super) retired: Vec<Arc<JournalFile<J::File>>>,
    pub(super) retry_at: Option<KernelTime>,
}

impl<J: Directory> Feed<J> {
    /// Appends whole lines that were not read yet to `into`: about `bytes_max`, which must be more than a line has.
    ///
    /// # Errors
    /// What the kernel answered to a read of the journal.
    pub fn read(&mut self, into: &mut Vec<u8>, bytes_max: usize) -> io::Result<()> {
        let limit = into.len() + bytes_max;
        while into.len() < limit {
            let before = into.len();
            let mut queue = self.shared.queue.lock();
            let Some(place) = self.read.span.checked_sub(queue.first).and_then(|at| usize::try_from(at).ok())
            else {
                return Ok(());
            };
            // Asked before the length: the last one can grow, an earlier one no longer does.
            let is_last = place + 1 >= queue.spans.len();
            match queue.spans.get_mut(place) {
                None => return Ok(()),
                Some(Span::Memory { before: gone, bytes }) => {
                    let skip = usize::try_from(self.read.at - *gone).unwrap_or(usize::MAX).min(bytes.len());
                    let take = (bytes.len() - skip).min(limit - before);
                    into.extend(bytes.range(skip..skip + take));
                }
                Some(Span::File { file, start }) => {
                    let file = Arc::clone(file);
                    // The first span may not have been there when this side was made.
                    self.read.at = self.read.at.max(*start);
                    drop(queue);
                    let len = file.len.load(Ordering::Acquire);
                    let there = usize::try_from(len.saturating_sub(self.read.at)).unwrap_or(usize::MAX);
                    into.resize(before + there.min(limit - before), 0);
                    let read = storage::read_full(&file.file, self.read.at, &mut into[before..]);
                    let read = read.inspect_err(|_| into.truncate(before))?;
                    if read < into.len() - before {
                        // Somebody cut it: what was to be read is gone.
                        into.truncate(before);
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
            let whole = into[before..].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            into.truncate(before + whole);
            self.read.at += whole as u64;
            if whole == 0 {
                if is_last || into.len() + LINE_BYTES_MAX > limit {
                    return Ok(());
                }
                self.read = Position { span: self.read.span + 1, at: 0 };
            }
        }
        Ok(())
    }

    /// What was read since the last `settle` will be read again.
    pub fn rewind(&mut self) {
        self.read = self.durable;
    }

    /// All that was read is durable: its room can be used again.
    pub fn settle(&mut self, now: KernelTime) {
        self.durable = self.read;
        {
            let mut queue = self.shared.queue.lock();
            while queue.first < self.durable.span {
                match queue.spans.pop_front() {
                    Some(Span::File { file, .. }) => self.retired.push(file),
                    Some(Span::Memory { bytes, .. }) => {
                        self.shared.in_memory.fetch_sub(bytes.len(), Ordering::Relaxed);
                    }
                    None => {}
                }
                queue.first += 1;
            }
            if let Some(Span::Memory { before, bytes }) = queue.spans.front_mut() {
                let done = usize::try_from(self.durable.at - *before).unwrap_or(usize::MAX).min(bytes.len());
                bytes.drain(..done);
                *before += done as u64;
                self.shared.in_memory.fetch_sub(done, Ordering::Relaxed);
            }
        }
        self.maintain(now);
    }

    /// Keeps an empty file ready. When it cannot, it tries again a second later, if it is asked then.
    pub fn maintain(&mut self, now: KernelTime) {
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        if !self.dir.is_there() || self.is_unlinked() {
            self.forget();
        }
        let has_empty = self.shared.queue.lock().empty.is_some();
        if !has_empty && self.make_empty().is_err() {
            self.retry_at = Some(now + RETRY_US);
        }
    }

    fn is_unlinked(&self) -> bool {
        // The lock is not held over a system call: the server may want it.
        let files: Vec<_> = {
            let queue = self.shared.queue.lock();
            queue.files().chain(&queue.empty).map(Arc::clone).collect()
        };
        files.iter().any(|file| !file.is_gone.load(Ordering::Relaxed) && !file.file.is_linked())
    }

    /// Nobody would find these files after a crash.
    fn forget(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.files().for_each(|file| file.is_gone.store(true, Ordering::Relaxed));
        queue.empty = None;
        self.retired.clear();
    }

    /// Makes an empty file, of one that is done with or anew.
    pub(super) fn make_empty(&mut self) -> io::Result<()> {
        let in_use: Vec<&str> = {
            let queue = self.shared.queue.lock();
            let found = queue.files().filter(|file| !file.is_gone.load(Ordering::Relaxed));
            found.map(|file| file.name).collect()
        };
        let Some(name) = FILE_NAMES.into_iter().find(|name| !in_use.contains(name)) else { return Ok(()) };
        let retired =
            self.retired.pop().filter(|file| file.name == name && !file.is_gone.load(Ordering::Relaxed));
        let file = match retired {
            Some(file) => file,
            None => {
                if !self.dir.is_there() {
                    self.dir.renew()?;
                }
                let file = self.dir.open(name).or_else(|_| self.dir.create(name))?;
                let (len, is_gone) = (AtomicU64::new(0), AtomicBool::new(false));
                Arc::new(JournalFile { name, file, len, is_gone })
            }
        };
        file.file.set_len(0)?;
        storage::write_all(&file.file, 0, &self.header)?;
        file.len.store(self.header.len() as u64, Ordering::Relaxed);
        self.shared.queue.lock().empty = Some(file);
        Ok(())
    }

    /// When [`Feed::maintain`] wants to be asked again.
    pub const fn retry_at(&self) -> Option<KernelTime> {
        self.retry_at
    }
}
