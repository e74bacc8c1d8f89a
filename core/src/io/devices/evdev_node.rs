//! Opening one evdev node. In: the identity that sysfs showed, and its keys. Out: a [`Node`], ready for the reader:
//! non-blocking, stamping with CLOCK_MONOTONIC, masked, empty, its held keys known, grabbed where that is safe; or
//! an [`OpenError`] that names the cure. Guarantee: what is open is the very device that was described.
//!
//! This may sleep: the first opener of a USB device waits at least 50 ms (`hid-core.c:usbhid_open`), and reports
//! of that time are discarded. So it belongs on the devices thread alone.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{permission, sysfs};
use crate::device::identity::Identity;
use crate::io::sys;
use crate::press::decode::RECORD_BYTES;
use crate::press::keys::{KeyBits, KeyMap};
use crate::time::KernelTime;

/// An open node.
#[derive(Debug)]
pub struct Node {
    /// Non-blocking, close-on-exec, read-only.
    pub fd: OwnedFd,
    /// Just before its held keys were asked for, which empties its queue of keys: what comes out of it is stamped
    /// later, or deserves no trust.
    pub since: KernelTime,
    /// The keys that were down when it was opened, of all its keys.
    pub held: KeyBits,
    /// Whether nobody else gets its events now.
    pub grabbed: bool,
}

/// Why a node could not be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// ENOENT.
    #[error("{}", permission::absent(.0))]
    Absent(PathBuf),
    /// EACCES.
    #[error("{}", permission::denied(.0))]
    Denied(PathBuf),
    /// EPERM: file permissions would do, a device rule forbids it.
    #[error(
        "{0}: forbidden by a device rule of the service or container: allow it (systemd: \
         `DeviceAllow=char-input r`; container: cgroup rule `c 13:* r`)"
    )]
    Forbidden(PathBuf),
    /// ENODEV or ENXIO: the node is a left-over.
    #[error("{0}: the device behind it is gone: plug it in again")]
    Gone(PathBuf),
    /// EVIOCSCLOCKID failed.
    #[error(
        "{path}: the clock cannot be set to CLOCK_MONOTONIC ({source}): refused, its order would be a guess; \
         check that it is an evdev node of this machine's kernel"
    )]
    Clock {
        /// The node.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another device took the place between looking and opening.
    #[error("{path}: another device took the place of {expected} just now: tried again by itself")]
    Replaced {
        /// The node.
        path: PathBuf,
        /// Which device was meant.
        expected: String,
    },
    /// EBUSY at EVIOCGRAB.
    #[error(
        "{0}: another program has taken it for itself: find it with `sudo fuser -v {0}` and stop it (a second \
         buzzerd, a key remapper)"
    )]
    Grabbed(PathBuf),
    /// Anything else.
    #[error("{path}: {operation}: {source}: unplug the device and plug it in again")]
    Failed {
        /// The node.
        path: PathBuf,
        /// What was being done.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Opens the device that sysfs described as `expected`; `keys` are those that get through the mask, `None`: there is none, and
/// all that it reports comes, sticks included. With `grab`, takes it for this process alone; without, only tries whether it
/// could. Neither while a key is down: a program that saw it go down (a console) would never see it go up, and repeat it for
/// ever.
///
/// # Errors
/// See [`OpenError`]; nothing stays open then.
pub fn open(
    input_dir: &Path,
    sysfs_root: &Path,
    expected: &Identity,
    keys: Option<&KeyMap>,
    grab: bool,
) -> Result<Node, OpenError> {
    let path = input_dir.join(&expected.node);
    let failed = |operation| {
        let path = path.clone();
        move |source: io::Error| match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NODEV | Errno::NXIO) => OpenError::Gone(path),
            _ => OpenError::Failed { path, operation, source },
        }
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => OpenError::Absent(path.clone()),
        Errno::ACCESS => OpenError::Denied(path.clone()),
        Errno::PERM => OpenError::Forbidden(path.clone()),
        errno => failed("open")(errno.into()),
    })?;
    // First of all: on a queue that is not empty, setting the clock would flush it and leave the device's next
    // stamp stale for every reader (`evdev_set_clk_type`, `__evdev_queue_syn_dropped`).
    sys::set_clock_monotonic(&fd).map_err(|source| match Errno::from_io_error(&source) {
        Some(Errno::NODEV) => OpenError::Gone(path.clone()),
        _ => OpenError::Clock { path: path.clone(), source },
    })?;
    if !is_expected(&fd, sysfs_root, expected).map_err(failed("look at it"))? {
        return Err(OpenError::Replaced { path, expected: expected.describe() });
    }
    // Without a mask (a kernel before 4.4) all works, with more wake-ups.
    let wanted: Option<KeyBits> = keys.map(|keys| keys.pairs().map(|(key, _)| key).collect());
    let _: Option<io::Result<()>> = wanted.map(|keys| sys::mask_all_but(&fd, &keys));
    // What came between open and mask; key events in it would go anyhow when the key states are asked for.
    empty(&fd).map_err(failed("empty its queue"))?;
    // Read before the state is asked for: what follows the answer is stamped later than this.
    let since = sys::now();
    let held = sys::key_state(&fd).map_err(failed("ask for its held keys"))?;
    if held.is_empty() {
        sys::grab(&fd, true).map_err(|source| match Errno::from_io_error(&source) {
            Some(Errno::BUSY) => OpenError::Grabbed(path.clone()),
            _ => failed("grab")(source),
        })?;
        // To be refused is the only sign that another program has it, and not one press would come from it.
        if !grab {
            sys::grab(&fd, false).map_err(failed("let go of the grab"))?;
        }
    }
    let grabbed = grab && held.is_empty();
    Ok(Node { fd, since, held, grabbed })
}

/// Node numbers are used again at once. An instance number never is: if sysfs shows the same one before and after
/// opening, and the descriptor is of that node's number, then nothing else was opened in between.
pub(super) fn is_expected(fd: &OwnedFd, sysfs_root: &Path, expected: &Identity) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    let dev = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let is_node = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && expected.dev.is_none_or(|expected| expected == dev);
    let Identity { bus, vendor, product, version, .. } = expected;
    Ok(is_node
        && sys::input_id(fd)? == [*bus, *vendor, *product, *version]
        && sysfs::read(sysfs_root, &expected.node).is_ok_and(|now| now.is_same_instance(expected)))
}

/// Takes what is in the queue. Bounded: what comes faster than it is read (no device does) is the reader's.
pub(super) fn empty(fd: &OwnedFd) -> io::Result<Vec<u8>> {
    const READS_MAX: usize = 64;
    let mut queue = Vec::new();
    let mut bytes = [0; 64 * RECORD_BYTES];
    for _ in 0..READS_MAX {
        match rustix::io::read(fd, &mut bytes) {
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(read) => queue.extend_from_slice(&bytes[..read]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(queue)
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::identity::tests::device;
    use crate::device::profile::every_key;
    use std::fs;

    /// What opening `event7` says when `make` has put something there.
    fn check(make: impl FnOnce(&Path), want: &str) {
        let dir = tempfile::tempdir().unwrap();
        make(&dir.path().join("event7"));
        let hub = device(7, (0x054c, 2), "usb-0-1/input0", &[0x2c0]);
        let error =
            open(dir.path(), dir.path(), &hub, Some(&every_key(&hub.keys)), true).unwrap_err().to_string();
        assert!(error.contains("event7") && error.contains(want), "{error}");
    }

    #[test]
    fn what_is_no_device_is_refused_with_its_reason() {
        check(|_| (), "does not exist");
        check(|path| fs::write(path, "no device").unwrap(), "the clock cannot be set to CLOCK_MONOTONIC");
        check(
            |path| {
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).unwrap();
            },
            "the clock cannot be set to CLOCK_MONOTONIC",
        );
        check(|path| fs::create_dir(path).unwrap(), "the clock cannot be set");
        check(
            |path| std::os::unix::fs::symlink("/dev/null", path).unwrap(),
            "the clock cannot be set to CLOCK_MONOTONIC",
        );
        // A socket's node cannot be opened at all: ENXIO, as a node without a driver.
        check(
            |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            "the device behind it is gone",
        );
    }
}
