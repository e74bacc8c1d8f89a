//! Whether a running buzzerd has a device. In: `/proc`. Out: the process's number. Guarantee: nothing is opened but
//! `/proc`; a buzzerd whose descriptors may not be looked at counts as one that has it.
//!
//! A daemon that no configuration names devices to does not grab them, so the kernel would give the grab to anybody: a
//! second taker would cut off a running game without a word.

use std::fs;
use std::path::Path;

use super::facts::processes::{PROGRAM, numbers};

/// The number of another buzzerd that has this node open, or of which that cannot be told.
pub fn of(proc_root: &Path, node: &Path) -> Option<u32> {
    let mut others = numbers(proc_root).into_iter().filter(|pid| *pid != std::process::id());
    others.find(|pid| {
        let process = proc_root.join(pid.to_string());
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == PROGRAM)
            && has(&process, node)
    })
}

fn has(process: &Path, node: &Path) -> bool {
    let Ok(entries) = fs::read_dir(process.join("fd")) else {
        // Of another user, or ended just now.
        return process.exists();
    };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn process(proc_root: &Path, pid: u32, name: &str, open: Option<&[&str]>) {
        let process = proc_root.join(pid.to_string());
        fs::create_dir(&process).unwrap();
        fs::write(process.join("comm"), format!("{name}\n")).unwrap();
        if let Some(open) = open {
            fs::create_dir(process.join("fd")).unwrap();
            for (number, target) in open.iter().enumerate() {
                symlink(target, process.join("fd").join(number.to_string())).unwrap();
            }
        }
    }

    #[test]
    fn only_a_buzzerd_that_has_it_or_hides_it_counts() {
        let node = Path::new("/dev/input/event7");
        let root = tempfile::tempdir().unwrap();
        let of = || of(root.path(), node);
        assert_eq!(super::of(&root.path().join("none"), node), None);
        process(root.path(), 10, "Xorg", Some(&["/dev/input/event7"]));
        process(root.path(), 11, "buzzerd", Some(&["/dev/null", "/dev/input/event70"]));
        process(root.path(), std::process::id(), "buzzerd", Some(&["/dev/input/event7"]));
        assert_eq!(of(), None);
        process(root.path(), 20, "buzzerd", None);
        assert_eq!(of(), Some(20));
        process(root.path(), 12, "buzzerd", Some(&["/dev/null", "/dev/input/event7"]));
        assert_eq!(of(), Some(12));
    }
}
