//! What the log asks of a file system. In: calls. Out: what the kernel answered. Guarantee: none of its own; everything the
//! log does to a disk goes through these two traits, so that the policies above them run the same on a real directory
//! ([`crate::io::store::disk`]) and on a simulated one that loses what was not synced.

use std::{fmt, io};

/// What went wrong, where.
#[derive(Debug, thiserror::Error)]
#[error("{file}: cannot {action}: {error}")]
pub struct StorageFault {
    /// What was tried.
    pub action: &'static str,
    /// With which file or directory.
    pub file: String,
    /// What the kernel answered.
    pub error: io::Error,
}

/// Says of an error what was tried, and with what.
pub fn fault(action: &'static str, file: impl fmt::Display) -> impl FnOnce(io::Error) -> StorageFault {
    move |error| StorageFault { action, file: file.to_string(), error }
}

/// A directory.
pub trait Directory: fmt::Debug {
    /// An open file of it.
    type File: File;

    /// The names in it.
    ///
    /// # Errors
    /// What the kernel answered; so everywhere below.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a file that is not there yet.
    ///
    /// # Errors
    /// As above.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file that is there.
    ///
    /// # Errors
    /// As above.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a file another name.
    ///
    /// # Errors
    /// As above.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As above.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Has the disk keep the names: what was made, renamed and removed.
    ///
    /// # Errors
    /// As above.
    fn sync(&self) -> io::Result<()>;
    /// Whether its path still leads to it. What is written to a directory that was removed, or to a disk that was
    /// unmounted, succeeds and is never seen again.
    fn is_there(&self) -> bool;
    /// Opens what its path leads to now, and makes it if there is nothing.
    ///
    /// # Errors
    /// As above.
    fn renew(&mut self) -> io::Result<()>;
    /// What this name leads to, without opening it.
    ///
    /// # Errors
    /// As above.
    fn stat(&self, name: &str) -> io::Result<Stat>;
    /// Bytes that can still be written.
    ///
    /// # Errors
    /// As above.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Its path, for people.
    fn name(&self) -> String;
}

/// What a name leads to.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Which file it is: another one has another.
    pub id: (u64, u64),
    /// Its length.
    pub len: u64,
    /// Whether it is a file: no folder, no link, nothing that would have to be waited for.
    pub is_file: bool,
}

/// An open file.
pub trait File: fmt::Debug {
    /// Reads up to `into.len()` bytes from `at`; 0 at the end.
    ///
    /// # Errors
    /// As in [`Directory`].
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// One write; it may take less than all.
    ///
    /// # Errors
    /// As in [`Directory`].
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Its length.
    ///
    /// # Errors
    /// As in [`Directory`].
    fn len(&self) -> io::Result<u64>;
    /// Whether it is empty.
    ///
    /// # Errors
    /// As in [`Directory`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts it.
    ///
    /// # Errors
    /// As in [`Directory`].
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Sets room aside up to this length, and leaves the file as long as it is.
    ///
    /// # Errors
    /// As in [`Directory`].
    fn reserve(&self, len: u64) -> io::Result<()>;
    /// Has the disk keep its content.
    ///
    /// # Errors
    /// As in [`Directory`]. After an error the kernel may believe that what it could not write is written: a second sync
    /// of this file proves nothing.
    fn sync(&self) -> io::Result<()>;
    /// Whether it still has a name.
    fn is_linked(&self) -> bool;
}

/// Writes all of it.
///
/// # Errors
/// As in [`Directory`]; some of it may have been written.
pub fn write_all(file: &impl File, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(at, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                at += written as u64;
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads as much as is there, up to `into.len()` bytes.
///
/// # Errors
/// As in [`Directory`].
pub fn read_full(file: &impl File, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match file.read_at(at + read as u64, &mut into[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The whole of it.
///
/// # Errors
/// As in [`Directory`].
pub fn read_all(file: &impl File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    let read = read_full(file, 0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
