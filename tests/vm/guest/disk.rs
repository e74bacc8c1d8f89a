//! A disk whose power can be cut: ext4 on device mapper's `flakey` target on a disk in memory.
//!
//! Enters the moment of the cut; leaves the file system as its journal finds it at the next mount. Guarantee: what was not
//! written to the disk before the cut is gone: from the cut on every write and every flush is dropped, and the kernel's
//! memory of the file system goes with the unmount. (Documentation/admin-guide/device-mapper/dm-flakey.rst, `drop_writes`.)

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::deadline::{Outcome, Why, ensure};

/// Where `tests/vm/run` puts what busybox does not have.
const TOOLS: &str = "/test";
const BELOW: &str = "/dev/ram0";
const NAME: &str = "flaky";
const MAPPED: &str = "/dev/mapper/flaky";

/// The only one there is.
#[derive(Debug)]
pub(crate) struct Disk {
    mount_point: PathBuf,
}

impl Disk {
    /// An empty file system, mounted there.
    pub(crate) fn format_at(mount_point: &Path) -> Outcome<Self> {
        fs::create_dir_all(mount_point).why(mount_point.display())?;
        let disk = Self { mount_point: mount_point.to_owned() };
        tool("dmsetup", &["create", NAME, "--table", &table("3600 0")?])?;
        tool("mke2fs", &["-q", "-F", "-t", "ext4", MAPPED])?;
        disk.mount()?;
        Ok(disk)
    }

    pub(crate) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Makes the cut a single step.
    pub(crate) fn prepare_cut(&self) -> Outcome {
        tool("dmsetup", &["load", NAME, "--table", &table("0 3600 1 drop_writes")?])
    }

    /// From now on nothing reaches the disk. The file system is not told: it would bring everything to the disk first.
    pub(crate) fn cut(&self) -> Outcome {
        tool("dmsetup", &["resume", "--nolockfs", "--noflush", NAME])
    }

    /// The power is back. Nothing may have a file of it open.
    pub(crate) fn restore(&self) -> Outcome {
        run("umount", [&self.mount_point])?;
        tool("dmsetup", &["load", NAME, "--table", &table("3600 0")?])?;
        tool("dmsetup", &["resume", NAME])?;
        self.mount()
    }

    fn mount(&self) -> Outcome {
        run("mount", [OsStr::new("-t"), "ext4".as_ref(), MAPPED.as_ref(), self.mount_point.as_ref()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", [&self.mount_point]);
        let _ = tool("dmsetup", &["remove", "--retry", NAME]);
    }
}

/// The whole disk, for as many seconds up and down.
fn table(up_down: &str) -> Outcome<String> {
    let sectors = fs::read_to_string("/sys/class/block/ram0/size").why("the disk in memory")?;
    Ok(format!("0 {} flakey {BELOW} 0 {up_down}", sectors.trim()))
}

fn tool(name: &str, arguments: &[&str]) -> Outcome {
    run(Path::new(TOOLS).join(name), arguments)
}

fn run(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
    let mut command = Command::new(program);
    // There is no udev that would make the nodes.
    command.args(arguments).env("DM_DISABLE_UDEV", "1");
    let output = command.output().why(format!("{command:?}"))?;
    ensure(output.status.success(), || {
        format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())
    })
}
