//! A machine with devices that nobody has. In: their descriptions, `tests/devices/NAME.json`. Out: a command that starts
//! another one where sysfs and `/dev/input` show just these. Guarantee: what is shown is in a private mount namespace, so
//! nothing outside sees it; it needs root, and a test that has no root says that it was left out.
//!
//! The nodes are empty files: everything that looks at a device can be tried, opening one fails.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::left_out::left_out;

/// Made-up devices; they are gone when it is dropped.
#[derive(Debug)]
pub struct Machine {
    dir: TempDir,
}

impl Machine {
    /// The devices of `tests/devices/NAME.json`. `None`: this account may not show them to anybody, which was said.
    pub fn new(test: &str, name: &str) -> Option<Self> {
        let allowed = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status();
        if !allowed.is_ok_and(|status| status.success()) {
            left_out(test, "a private mount namespace needs root and `unshare`");
            return None;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("devices").join(format!("{name}.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let devices: Vec<Value> = serde_json::from_str(&text).expect("a list of devices");
        let machine = Self { dir: tempfile::tempdir().expect("a directory") };
        for (device, number) in devices.iter().zip(3..) {
            machine.plug(device, number);
        }
        Some(machine)
    }

    /// The same devices, found by the kernel in the opposite order.
    pub fn reverse(&self) {
        let nodes: Vec<PathBuf> = self.entries("sys/class/input");
        let targets: Vec<PathBuf> = nodes.iter().map(|node| fs::read_link(node).expect("a link")).collect();
        for (number, target) in targets.iter().rev().enumerate() {
            // The directory of the node has its name too.
            let dir = self.dir.path().join("sys/class/input").join(target);
            let renamed = dir.with_file_name(format!("event{}", 30 + number));
            fs::rename(&dir, &renamed).expect("a node");
            let name = renamed.file_name().expect("a name");
            let target = target.with_file_name(name);
            symlink(target, self.dir.path().join("sys/class/input").join(name)).expect("a link");
            fs::write(self.dir.path().join("input").join(name), "").expect("a node");
        }
        nodes.iter().for_each(|node| fs::remove_file(node).expect("a link"));
    }

    /// What starts a command on this machine: itself and the arguments before those of the command.
    pub fn wrapper(&self) -> Vec<String> {
        let root = self.dir.path().display();
        let script = format!(
            "mount --bind {root}/sys /sys && mount -t tmpfs none /dev && mkdir /dev/input && mknod /dev/null c 1 3 && \
             mount --bind {root}/input /dev/input && exec \"$@\""
        );
        ["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
    }

    fn entries(&self, dir: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path().join(dir)).expect("a directory");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
    }

    fn plug(&self, device: &Value, number: u32) {
        let text = |key: &str, default: &str| device[key].as_str().unwrap_or(default).to_owned();
        let ids = text("ids", "");
        let (vendor, product) = ids.split_once(':').expect("vendor:product");
        let input = self.dir.path().join(format!("sys/devices/{number}/input/input{}", 20 + number));
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file");
        };
        for (file, text) in [
            ("name", text("name", "")),
            ("phys", text("phys", "")),
            ("uniq", text("uniq", "")),
            ("inhibited", "0".to_owned()),
            ("id/bustype", text("bus", "0003")),
            ("id/vendor", vendor.to_owned()),
            ("id/product", product.to_owned()),
            ("id/version", "0111".to_owned()),
            ("capabilities/key", words(&device["keys"])),
        ] {
            write(input.join(file), &format!("{text}\n"));
        }
        let node = format!("event{number}");
        write(input.join(&node).join("dev"), &format!("13:{}\n", 64 + number));
        symlink(format!("../../input{}", 20 + number), input.join(&node).join("device")).expect("a link");
        let class = self.dir.path().join("sys/class/input");
        fs::create_dir_all(&class).expect("a directory");
        let target = format!("../../devices/{number}/input/input{}/{node}", 20 + number);
        symlink(target, class.join(&node)).expect("a link");
        write(self.dir.path().join("input").join(&node), "");
    }
}

/// Keys, `"28"` or `"304-319"`, as sysfs writes them: hex words, the highest first.
fn words(keys: &Value) -> String {
    let mut words = [0_u64; 12];
    for range in keys.as_array().expect("a list of keys") {
        let range = range.as_str().expect("a key or a range");
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        for code in first.parse::<usize>().expect("a code")..=last.parse().expect("a code") {
            words[code / 64] |= 1 << (code % 64);
        }
    }
    words.iter().rev().map(|word| format!("{word:x}")).collect::<Vec<_>>().join(" ")
}
