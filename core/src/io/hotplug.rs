//! Devices come and go. In: the directory of device nodes (`/dev/input`). Out: [`Change`]s, through one descriptor
//! for mio. Guarantee: what changes after [`Hotplug::start`] is told, if need be as [`Change::Rescan`]; whoever lists
//! the directory after the start misses nothing.
//!
//! inotify rather than udev: it works in containers, where udev's messages do not arrive, and needs no library.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

use crate::identity::number_of;

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
    inotify: Inotify,
    input_dir: PathBuf,
    watch: Watch,
}

#[derive(Debug)]
enum Watch {
    Directory(WatchDescriptor),
    /// Its parent, for the directory of this name: a machine has no `/dev/input` before its first device, and
    /// none after its last (devtmpfs removes empty directories).
    Parent(WatchDescriptor, OsString),
}

impl Hotplug {
    /// Starts watching. List the devices after this, not before.
    ///
    /// # Errors
    /// When there is no inotify (ENOSYS), no instance or watch left (EMFILE, ENOSPC:
    /// `fs.inotify.max_user_instances`), or neither the directory nor its parent exists.
    pub fn start(input_dir: &Path) -> io::Result<Self> {
        let mut inotify = Inotify::init()?;
        let watch = watch(&mut inotify, input_dir)?;
        Ok(Self { inotify, input_dir: input_dir.to_owned(), watch })
    }

    /// Takes every change that is there; never waits.
    ///
    /// # Errors
    /// When watching has come to an end: the directory went and its parent cannot be watched either.
    pub fn changes(&mut self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut buffer = [0u8; 4096];
        loop {
            let mut lost = false;
            match self.inotify.read_events(&mut buffer) {
                Ok(events) => {
                    for event in events {
                        // What a watch that was given up still says does not matter.
                        if event.mask.contains(EventMask::Q_OVERFLOW) {
                            changes.push(Change::Rescan);
                        } else if event.wd == *self.watch.descriptor() {
                            lost |=
                                take(&self.watch, event.mask, event.name.map(OsString::from), &mut changes);
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(changes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if lost {
                if let Watch::Parent(parent, _) = &self.watch {
                    // It may be gone itself, which is as good.
                    let _: io::Result<()> = self.inotify.watches().remove(parent.clone());
                }
                self.watch = watch(&mut self.inotify, &self.input_dir)?;
                changes.push(Change::Rescan);
            }
        }
    }
}

impl Watch {
    fn descriptor(&self) -> &WatchDescriptor {
        match self {
            Self::Directory(descriptor) | Self::Parent(descriptor, _) => descriptor,
        }
    }
}

impl AsFd for Hotplug {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Watches the directory, or its parent if there is none yet.
fn watch(inotify: &mut Inotify, input_dir: &Path) -> io::Result<Watch> {
    let directory = |inotify: &mut Inotify| {
        let mask =
            WatchMask::CREATE | WatchMask::ATTRIB | WatchMask::DELETE | WatchMask::MOVE | WatchMask::ONLYDIR;
        inotify.watches().add(input_dir, mask)
    };
    match directory(inotify) {
        Ok(descriptor) => return Ok(Watch::Directory(descriptor)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let (Some(parent), Some(name)) = (input_dir.parent(), input_dir.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    };
    let parent =
        inotify.watches().add(parent, WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::ONLYDIR)?;
    // It may have come between the two: watch first, then look.
    match directory(inotify) {
        Ok(descriptor) => {
            inotify.watches().remove(parent)?;
            Ok(Watch::Directory(descriptor))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Watch::Parent(parent, name.to_owned())),
        Err(error) => Err(error),
    }
}

/// Turns one inotify event into a change. True: what is watched came or went, so it must be watched anew.
fn take(watch: &Watch, mask: EventMask, name: Option<OsString>, changes: &mut Vec<Change>) -> bool {
    // IGNORED: the kernel ended the watch, with the directory.
    if mask.contains(EventMask::IGNORED) {
        return true;
    }
    if let Watch::Parent(_, awaited) = watch {
        return name.as_ref() == Some(awaited);
    }
    let Some(node) =
        name.and_then(|name| name.into_string().ok()).filter(|n| number_of(n, "event").is_some())
    else {
        return false;
    };
    if mask.intersects(EventMask::CREATE | EventMask::MOVED_TO) {
        changes.push(Change::Created(node));
    } else if mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM) {
        changes.push(Change::Deleted(node));
    } else if mask.contains(EventMask::ATTRIB) {
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
