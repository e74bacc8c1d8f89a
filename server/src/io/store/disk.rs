//! A real directory. In: the calls of [`crate::log::store::storage`]. Out: system calls, one for one, and the kernel's answers.
//! Guarantee: a file is reached through the directory that was opened, so a path that changes its meaning in the middle of
//! an evening cannot send half of a log elsewhere.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, fallocate, fdatasync, fstat, fsync, ftruncate,
    openat, renameat, stat, statat, unlinkat,
};
use rustix::io::Errno;

use super::regular;
use crate::log::store::storage::{Directory, File, Stat};

/// Judges read the log through the service's group.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

/// An open directory.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    fd: OwnedFd,
}

/// An open file of it.
#[derive(Debug)]
pub struct DiskFile(OwnedFd);

impl Disk {
    /// Opens a directory, and makes it if there is none.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), fd: open_dir(path)? })
    }

    /// Opens a directory that is there.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn existing(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), fd: open_dir(path)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<DiskFile> {
        // What is no file is named, never waited for.
        let flags = flags | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = openat(&self.fd, name, flags, FILE_MODE)?;
        regular::check(&file)?;
        Ok(DiskFile(file))
    }
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

impl Directory for Disk {
    type File = DiskFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path)?;
        // A name that is no text is none of ours.
        entries
            .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn create(&self, name: &str) -> io::Result<DiskFile> {
        self.open_file(name, OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, name: &str) -> io::Result<DiskFile> {
        self.open_file(name, OFlags::empty())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.fd)?)
    }

    fn is_there(&self) -> bool {
        let (Ok(own), Ok(found)) = (fstat(&self.fd), stat(&self.path)) else { return false };
        (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path)?;
        Ok(())
    }

    fn stat(&self, name: &str) -> io::Result<Stat> {
        let found = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_file = FileType::from_raw_mode(found.st_mode).is_file();
        Ok(Stat { id: (found.st_dev, found.st_ino), len: found.st_size.unsigned_abs(), is_file })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let free = rustix::fs::fstatvfs(&self.fd)?;
        Ok(free.f_bavail.saturating_mul(free.f_frsize))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

impl File for DiskFile {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::pread(&self.0, into, at)?)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::pwrite(&self.0, bytes, at)?)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(fstat(&self.0)?.st_size.unsigned_abs())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(ftruncate(&self.0, len)?)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::KEEP_SIZE, 0, len) {
            Err(Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            other => Ok(other?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(fdatasync(&self.0)?)
    }

    fn is_linked(&self) -> bool {
        fstat(&self.0).is_ok_and(|stat| stat.st_nlink > 0)
    }
}
