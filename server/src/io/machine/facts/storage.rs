//! Disks. In: a directory, and `/proc/self/mountinfo`. Out: what may be written, how much, on what, how fast. Guarantee:
//! the only file written is our own, in a directory that was there already, and it is removed again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use buzzer_core::io::sys;
use buzzer_core::time::Micros;
use rustix::fs::{Access, access, statvfs};
use rustix::io::Errno;

use super::Places;
use crate::doctor::facts::{Missing, Read};

const SYNCS: usize = 8;
/// A disk that takes this long has said enough.
const SYNCS_US_MAX: Micros = Micros::from_ms(2000);
/// About one record.
const LINE: [u8; 200] = [b'\n'; 200];

/// The directory itself, or the nearest above it that is there.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

pub(super) fn is_writable(places: &Places, path: &Path) -> Read<bool> {
    let path = nearest(path);
    match access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::ROFS | Errno::PERM) => Ok(false),
        Err(error) => Err(places.missing(path, &error.into())),
    }
}

pub(super) fn free_bytes(places: &Places, path: &Path) -> Read<u64> {
    let path = nearest(path);
    let free = statvfs(path).map_err(|error| places.missing(path, &error.into()))?;
    Ok(free.f_bavail.saturating_mul(free.f_frsize))
}

/// The kind of the file system that holds a path.
pub(super) fn kind(places: &Places, path: &Path) -> Read<String> {
    let mounts = places.text(&places.proc("self/mountinfo"))?;
    let path = fs::canonicalize(nearest(path)).map_err(|error| places.missing(path, &error))?;
    kind_of(&mounts, &path)
        .ok_or_else(|| Missing(format!("/proc/self/mountinfo: nothing for {}", path.display())))
}

/// proc_pid_mountinfo(5): the mount point is the fifth field, the kind follows a lone dash. Of those that hold the path
/// the longest counts, of equals the last: it covers the others.
fn kind_of(mounts: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = PathBuf::from(unescaped(mount.split(' ').nth(4)?));
        let kind = file_system.split(' ').next()?.to_owned();
        path.starts_with(&point).then(|| (point.components().count(), kind))
    };
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

/// Space, tab, newline and backslash are octal there.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

/// A file that is gone when this value is.
struct Own(PathBuf);

impl Drop for Own {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Times from a write to the disk's word that it has it.
pub(super) fn syncs(places: &Places, dir: &Path) -> Read<Vec<Micros>> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    let measured = || -> io::Result<Vec<Micros>> {
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        let _own = Own(path.clone());
        let start = sys::now();
        let mut times = Vec::with_capacity(SYNCS);
        while times.len() < SYNCS && sys::now().since(start) < SYNCS_US_MAX {
            let before = sys::now();
            file.write_all(&LINE)?;
            file.sync_data()?;
            times.push(sys::now().since(before));
        }
        Ok(times)
    };
    measured().map_err(|error| places.missing(&path, &error))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Tree;
    use super::*;

    const MOUNTS: &str = "22 1 8:2 / / rw shared:1 - ext4 /dev/sda2 rw\n\
                          30 22 0:25 / /run rw - tmpfs tmpfs rw\n\
                          31 22 8:3 / /srv/my\\040disk rw - xfs /dev/sdb rw\n\
                          32 22 8:4 / /run rw - ramfs none rw\n";

    #[test]
    fn the_innermost_mount_counts() {
        for (path, want) in [
            ("/var/lib/buzzerd", "ext4"),
            ("/run/buzzerd", "ramfs"),
            ("/running", "ext4"),
            ("/srv/my disk/log", "xfs"),
        ] {
            assert_eq!(kind_of(MOUNTS, Path::new(path)).as_deref(), Some(want), "{path}");
        }
        assert_eq!(kind_of("nonsense\n", Path::new("/")), None);
    }

    #[test]
    fn a_disk_is_tried_with_a_file_that_is_gone_afterwards() {
        let tree = Tree::new();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("000001-1.jsonl"), "log").unwrap();
        let times = syncs(&tree.places, dir.path()).unwrap();
        assert!(!times.is_empty() && times.len() <= SYNCS);
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["000001-1.jsonl"]);
        assert_eq!(fs::read_to_string(dir.path().join("000001-1.jsonl")).unwrap(), "log");
        assert!(syncs(&tree.places, &dir.path().join("none")).is_err());
    }

    #[test]
    fn what_is_not_there_yet_is_judged_by_what_holds_it() {
        let tree = Tree::new();
        tree.write("proc/self/mountinfo", MOUNTS);
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("a/b");
        assert_eq!(is_writable(&tree.places, &absent), Ok(true));
        assert!(free_bytes(&tree.places, &absent).is_ok());
        assert_eq!(kind(&tree.places, &absent).as_deref(), Ok("ext4"));
        assert!(!absent.exists());
    }
}
