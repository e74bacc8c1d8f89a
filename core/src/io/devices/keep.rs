//! Descriptors that outlive the process. In: what somebody kept since the last one, and what is open now. Out: what is to be kept
//! ([`Store`]), and a kept device taken up again ([`adopt`]). Guarantee: a kept device is emptied before anything is asked of it
//! that would flush its queue (EVIOCSCLOCKID, EVIOCGKEY); one that is not the device that is meant, or was not set up as it
//! would be now, is refused.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::evdev_node::{self, Node};
use crate::device::kept::{Before, KeptName};
use crate::device::roster::Opening;
use crate::io::sys;
use crate::press::keys::KeyBits;
use crate::time::KernelTime;

/// Who keeps descriptors over a restart. A call must not wait for long.
pub trait Store: Send {
    /// Keep this one under this name.
    fn keep(&mut self, name: &str, fd: BorrowedFd<'_>);
    /// Keep none of this name any more.
    fn forget(&mut self, name: &str);
}

/// Nobody keeps anything.
#[derive(Debug)]
pub struct NoStore;

impl Store for NoStore {
    fn keep(&mut self, _name: &str, _fd: BorrowedFd<'_>) {}
    fn forget(&mut self, _name: &str) {}
}

/// What outlives the process.
pub struct Keep {
    /// Descriptors of the process before, by their names.
    pub kept: Vec<(String, OwnedFd)>,
    /// The last thing that is known of the process before.
    pub drained: KernelTime,
    /// Who keeps those of this process.
    pub store: Box<dyn Store>,
}

impl Keep {
    /// Nothing does.
    pub fn nothing() -> Self {
        Self { kept: Vec::new(), drained: KernelTime::ZERO, store: Box::new(NoStore) }
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("kept", &self.kept).finish_non_exhaustive()
    }
}

/// A device that is read again.
#[derive(Debug)]
pub struct Adopted {
    /// The device, as it stood before its queue.
    pub node: Node,
    /// What was in its queue.
    pub queue: Vec<u8>,
    /// What is stamped up to this waited while nobody read.
    pub until: KernelTime,
}

/// Takes up a device that stayed open.
///
/// # Errors
/// Why it is none that can be gone on with; it is let go of then.
pub fn adopt(
    input_dir: &Path,
    sysfs_root: &Path,
    (opening, name): (&Opening, KeptName),
    fd: OwnedFd,
    drained: KernelTime,
) -> io::Result<Adopted> {
    let until = sys::now();
    let (queue, now) = match look(&input_dir.join(&opening.identity.node), sysfs_root, opening, &fd) {
        Ok(found) => found,
        Err(error) => {
            let_go(fd);
            return Err(error);
        }
    };
    let before = Before::of(&queue, &now, drained, until);
    let grabbed = name.is_grabbed || (opening.grab && now.is_empty() && sys::grab(&fd, true).is_ok());
    let node = Node { fd, since: before.since, held: before.held, grabbed };
    Ok(Adopted { node, queue, until })
}

/// Closes a kept device. The store has it open for a while yet, and would have it grabbed.
pub fn let_go(fd: OwnedFd) {
    // Refused if it is not grabbed, or gone.
    let _ = sys::grab(&fd, false);
}

/// What waits in its queue, and the keys that were down before that was empty.
fn look(path: &Path, sysfs_root: &Path, opening: &Opening, fd: &OwnedFd) -> io::Result<(Vec<u8>, KeyBits)> {
    let is_expected = |fd: &OwnedFd| evdev_node::is_expected(fd, sysfs_root, &opening.identity);
    let wanted: KeyBits = opening.keys.pairs().map(|(key, _)| key).collect();
    if !is_expected(fd)? {
        return Err(io::Error::other("it is another device"));
    }
    if sys::key_mask(fd)? != wanted {
        return Err(io::Error::other("it was opened for other keys"));
    }
    // A descriptor of its own is asked for the keys: the answer flushes the queue of the one that asks.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let asked = rustix::fs::open(path, flags, Mode::empty())?;
    if !is_expected(&asked)? {
        return Err(io::Error::other("another device took its place"));
    }
    let now = sys::key_state(&asked)?;
    Ok((evdev_node::empty(fd)?, now))
}
