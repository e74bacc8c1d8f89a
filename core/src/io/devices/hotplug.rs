//! Devices come and go. In: the directory of device nodes (`/dev/input`). Out: [`Change`]s, through one descriptor
//! for mio. Guarantee: what changes after [`Hotplug::start`] is told, if need be as [`Change::Rescan`]; a caller that lists
//! the directory after the start misses nothing.
//!
//! inotify rather than udev: it works in containers, where udev's messages do not arrive, and needs no library.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::device::identity::number_of;

/// What happened to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The node with this name appeared.
    Created(String),
    /// Owner, mode or access list of the node with this name changed. The first is devtmpfs' own, udev's group
    /// comes with a later one (`devtmpfs.c:handle_create`): any of them may be the one that lets us in.
    Attributes(String),
    /// The node with this name went.
    Deleted(String),
    /// Anything may have happened: the kernel's queue overflowed, or the directory itself came or went.
    Rescan,
}

/// The watch over the device directory, or over its parent until there is one.
#[derive(Debug)]
pub struct Hotplug {
    inotify: OwnedFd,
    input_dir: PathBuf,
    watch: Watch,
}

#[derive(Debug)]
enum Watch {
    Directory(i32),
    /// Its parent, for the directory of this name: a machine has no `/dev/input` before its first device, and
    /// none after its last (devtmpfs removes empty directories).
    Parent(i32, OsString),
}

impl Hotplug {
    /// Starts watching. List the devices after this, not before.
    ///
    /// # Errors
    /// When there is no inotify (ENOSYS), no instance or watch left (EMFILE, ENOSPC:
    /// `fs.inotify.max_user_instances`), or neither the directory nor its parent exists.
    pub fn start(input_dir: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let watch = watch(&inotify, input_dir)?;
        Ok(Self { inotify, input_dir: input_dir.to_owned(), watch })
    }

    /// Takes every change that is there; never waits.
    ///
    /// # Errors
    /// When watching has come to an end: the directory went and its parent cannot be watched either.
    pub fn changes(&mut self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return Ok(changes),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let (Watch::Directory(own) | Watch::Parent(own, _)) = self.watch;
            // What a watch that was given up still says does not matter.
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                changes.push(Change::Rescan);
            } else if event.wd() == own && take(&self.watch, event.events(), event.file_name(), &mut changes)
            {
                if let Watch::Parent(parent, _) = self.watch {
                    // It may be gone itself, which is as good.
                    let _ = inotify::remove_watch(&self.inotify, parent);
                }
                self.watch = watch(&self.inotify, &self.input_dir)?;
                changes.push(Change::Rescan);
            }
        }
    }
}

impl AsFd for Hotplug {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Watches the directory, or its parent if there is none yet.
fn watch(inotify: &OwnedFd, input_dir: &Path) -> io::Result<Watch> {
    let changes =
        WatchFlags::CREATE | WatchFlags::ATTRIB | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
    let directory = || inotify::add_watch(inotify, input_dir, changes);
    match directory() {
        Ok(descriptor) => return Ok(Watch::Directory(descriptor)),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let (Some(parent), Some(name)) = (input_dir.parent(), input_dir.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let comes = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
    let parent = inotify::add_watch(inotify, parent, comes)?;
    // It may have come between the two: watch first, then look.
    match directory() {
        Ok(descriptor) => {
            inotify::remove_watch(inotify, parent)?;
            Ok(Watch::Directory(descriptor))
        }
        Err(Errno::NOENT) => Ok(Watch::Parent(parent, name.to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// Turns one inotify event into a change. True: what is watched came or went, so it must be watched anew.
fn take(watch: &Watch, what: ReadFlags, name: Option<&CStr>, changes: &mut Vec<Change>) -> bool {
    // The kernel ended the watch, with the directory.
    if what.contains(ReadFlags::IGNORED) {
        return true;
    }
    if let Watch::Parent(_, awaited) = watch {
        return name.is_some_and(|name| OsStr::from_bytes(name.to_bytes()) == awaited);
    }
    let node = name.and_then(|name| name.to_str().ok()).filter(|node| number_of(node, "event").is_some());
    let Some(node) = node.map(str::to_owned) else { return false };
    if what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
        changes.push(Change::Created(node));
    } else if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
        changes.push(Change::Deleted(node));
    } else if what.contains(ReadFlags::ATTRIB) {
        changes.push(Change::Attributes(node));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nodes_that_come_change_and_go_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut hotplug = Hotplug::start(dir.path()).unwrap();
        assert_eq!(hotplug.changes().unwrap(), []);
        let node = dir.path().join("event7");
        fs::File::create(&node).unwrap();
        fs::File::create(dir.path().join("mouse0")).unwrap();
        fs::set_permissions(&node, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&node, dir.path().join("event8")).unwrap();
        fs::remove_file(dir.path().join("event8")).unwrap();
        let name = |number| format!("event{number}");
        let want = [
            Change::Created(name(7)),
            Change::Attributes(name(7)),
            Change::Deleted(name(7)),
            Change::Created(name(8)),
            Change::Deleted(name(8)),
        ];
        assert_eq!(hotplug.changes().unwrap(), want);
    }

    #[test]
    fn the_directory_itself_may_come_and_go() {
        let dev = tempfile::tempdir().unwrap();
        let input = dev.path().join("input");
        let mut hotplug = Hotplug::start(&input).unwrap();
        for round in 0..2 {
            fs::create_dir(dev.path().join(format!("other{round}"))).unwrap();
            assert_eq!(hotplug.changes().unwrap(), [], "not the awaited one");
            fs::create_dir(&input).unwrap();
            assert!(hotplug.changes().unwrap().contains(&Change::Rescan));
            fs::File::create(input.join("event7")).unwrap();
            assert_eq!(hotplug.changes().unwrap(), [Change::Created("event7".to_owned())]);
            fs::remove_dir_all(&input).unwrap();
            let changes = hotplug.changes().unwrap();
            assert_eq!(changes, [Change::Deleted("event7".to_owned()), Change::Rescan]);
        }
        assert_eq!(Hotplug::start(&dev.path().join("no/input")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
