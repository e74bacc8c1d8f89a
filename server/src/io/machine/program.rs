//! The program file. In: what the kernel says of the running one. Out: whether another one lies in its place. Guarantee: what
//! is not known is no replacement.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The running program's file.
const RUNNING: &str = "/proc/self/exe";

/// Whether an upgrade has put another file where the running program came from: a restart is pending.
pub fn is_replaced() -> bool {
    let Ok(name) = std::fs::read_link(RUNNING) else { return false };
    // Opened, for an emulator (qemu-user) gives the program for that, and itself for a stat.
    let running = File::open(RUNNING).and_then(|program| program.metadata());
    let (Ok(running), Ok(lying)) = (running, place(&name).metadata()) else {
        return false;
    };
    let of = |file: &Metadata| (file.dev(), file.ino());
    of(&running) != of(&lying)
}

/// Where it was started from (proc(5)).
fn place(name: &Path) -> PathBuf {
    let bytes = name.as_os_str().as_bytes();
    OsStr::from_bytes(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_lies_where_it_was_started_from() {
        assert!(!is_replaced());
        assert_eq!(place(Path::new("/usr/bin/buzzerd (deleted)")), Path::new("/usr/bin/buzzerd"));
        assert_eq!(place(Path::new("/usr/bin/buzzerd")), Path::new("/usr/bin/buzzerd"));
    }
}
