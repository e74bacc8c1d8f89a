//! Cases about what is told of udev, with a real udev: the lines are taken from the output and run as they stand.
//!
//! Enters a hub that nobody but root may open, and one that a desktop would take; leaves what udev made of its nodes.
//! `tests/vm/run` takes udev and its rules along; it runs in these cases only. `sudo` is a script that runs its arguments.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::hotplug::STAGE;
use crate::uhid::Hid;

/// The rules of the distribution, as `tests/vm/run` took them along.
const USUAL: &str = "/test/rules.d";
/// Where udev looks for them.
const RULES: &str = "/run/udev/rules.d";
/// What an administrator adds; the told lines write here.
const OWN: &str = "/etc/udev/rules.d";

/// udev, as long as its value.
struct Udev(Child);

impl Udev {
    fn start(with_the_usual_rules: bool) -> Outcome<Self> {
        fs::create_dir_all("/run/udev").why("/run/udev")?;
        fs::create_dir_all(OWN).why(OWN)?;
        if with_the_usual_rules {
            symlink(USUAL, RULES).why(RULES)?;
        }
        let udev = Command::new("/bin/systemd-udevd").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let udev = Self(udev.why("systemd-udevd")?);
        until("udev", || run("udevadm control --ping").ok())?;
        Ok(udev)
    }
}

impl Drop for Udev {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        for folder in ["/run/udev", OWN] {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The line for a node that is root's alone gives it to group input when the device comes again; so does the lights'.
pub(crate) fn told_rule_gives_node_and_light() -> Outcome {
    let _udev = Udev::start(false)?;
    let hub = Hid::plug_buzz(0x1000)?;
    let daemon = Daemon::start_as_stranger("udev", STAGE)?;
    let answer = daemon.client()?.ask_connect("stage")?;
    let identify = daemon.run(&["devices", "--identify", "stage", "1", "--seconds", "1"])?;
    for said in [answer["message"].to_string(), String::from_utf8_lossy(&identify.stderr).into_owned()] {
        // The answer is JSON: its quotes are escaped.
        let said = said.replace("\\\"", "\"").replace("\\\\", "\\");
        let line = said.split('`').find(|part| part.contains("72-buzzerd-local.rules"));
        run(line.ok_or_else(|| format!("no line for udev in {said}"))?)?;
    }
    drop(hub);
    let hub = Hid::plug_buzz(0x1000)?;
    run("udevadm settle")?;
    is_given(hub.node(), 0o660)?;
    let lights = fs::read_dir("/sys/class/leds").why("lights")?.flatten();
    let lights: Vec<_> =
        lights.filter(|light| light.file_name().to_string_lossy().contains("::buzz")).collect();
    same("lights", &lights.len(), &4)?;
    lights.iter().try_for_each(|light| is_given(&light.path().join("brightness"), 0o664))?;
    daemon.stop().map(drop)
}

/// What `doctor` says against another program has udev take the hub from the seat's user and from the desktop.
pub(crate) fn told_rules_keep_the_desktop_away() -> Outcome {
    let _udev = Udev::start(true)?;
    let hub = Hid::plug_buzz(0x0002)?;
    run("udevadm settle")?;
    is_given(hub.node(), 0o660)?;
    let known = known_of(hub.node())?;
    ensure(known.contains("\nQ:uaccess\n"), || format!("udev gives it to nobody: {known}"))?;
    let daemon = Daemon::start("udev-desktop", &STAGE.replace("1000", "0002"))?;
    let _other_program = File::open(hub.node()).why("the hub")?;
    let doctor = daemon.run(&["doctor"])?;
    let page = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let line = page.lines().find_map(|line| line.trim().strip_prefix("-> printf"));
    run(&format!("printf{}", line.ok_or_else(|| format!("no line for udev in {page}"))?))?;
    run("udevadm settle")?;
    let known = known_of(hub.node())?;
    ensure(known.contains("\nE:LIBINPUT_IGNORE_DEVICE=1\n") && !known.contains("\nQ:uaccess\n"), || {
        format!("{line:?} leaves it to the desktop: {known}")
    })?;
    daemon.stop().map(drop)
}

/// The file that is deployed does the same for a hub that comes then.
pub(crate) fn deployed_rules_light_the_lights() -> Outcome {
    let _udev = Udev::start(true)?;
    fs::copy("/test/buzzerd.rules", format!("{OWN}/71-buzzerd.rules")).why("the rules")?;
    run("udevadm control --reload")?;
    let _hub = Hid::plug_buzz(0x1000)?;
    run("udevadm settle")?;
    let lights = fs::read_dir("/sys/class/leds").why("lights")?.flatten();
    let mut lights = lights.filter(|light| light.file_name().to_string_lossy().contains("::buzz"));
    lights.try_for_each(|light| is_given(&light.path().join("brightness"), 0o664))
}

/// Whether a file belongs to group input with this mode.
fn is_given(path: &Path, mode: u32) -> Outcome {
    let groups = fs::read_to_string("/etc/group").why("/etc/group")?;
    let input = groups.lines().find_map(|line| line.strip_prefix("input:")?.split(':').nth(1));
    let meta = fs::metadata(path).why(path.display())?;
    let seen = (meta.gid().to_string(), format!("{:o}", meta.mode() & 0o777));
    same(&path.display().to_string(), &seen, &(input.unwrap_or_default().to_owned(), format!("{mode:o}")))
}

/// What udev has written down of a node.
fn known_of(node: &Path) -> Outcome<String> {
    let rdev = fs::metadata(node).why(node.display())?.rdev();
    let path = format!("/run/udev/data/c{}:{}", rdev >> 8, rdev & 0xff);
    fs::read_to_string(&path).why(path)
}

/// A line as a person runs it.
fn run(line: &str) -> Outcome {
    let output = Command::new("/bin/sh").args(["-c", line]).output().why(line)?;
    let said = || String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    ensure(output.status.success(), || format!("{line}: {}: {}", output.status, said()))
}
