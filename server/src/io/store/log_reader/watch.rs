//! Waiting for a log to grow. In: directories. Out: the kernel's word that something in them changed. Guarantee: no
//! polling; what changes between two waits is not missed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Watches directories, or files.
#[derive(Debug)]
pub(super) struct Watch(OwnedFd);

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(inotify::init(CreateFlags::CLOEXEC)?))
    }

    /// Watches this too. One that is watched already stays so.
    pub(super) fn add(&self, path: &Path) -> io::Result<()> {
        let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        inotify::add_watch(&self.0, path, changes)?;
        Ok(())
    }

    /// Waits for a change.
    pub(super) fn wait(&self) -> io::Result<()> {
        // Which change it was does not matter, for everything is looked at; a full queue is a change as well.
        rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut [0; 4096]))?;
        Ok(())
    }
}
