//! Cases about lights: what reaches a hub when the kernel's own driver sits between.

use std::fs::{self, Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::uhid::{Hid, Lights};

const WIRED: &str = "[[pool]]\nid = \"stage\"\nmatch = { vendor = \"054c\", product = \"0002\" }\n";
const WIRELESS: &str = "[[pool]]\nid = \"stage\"\nmatch = { vendor = \"054c\", product = \"1000\" }\n";

/// A bank as it is sent: the report's number, 0, a zero, one byte a handset, two zeros.
fn bank(lit: [u8; 4]) -> Vec<u8> {
    let [a, b, c, d] = lit.map(|lit| if lit == 0 { 0 } else { 0xff });
    vec![0, 0, a, b, c, d, 0, 0]
}

/// The folder of a handset's light, once hid-sony has made it.
fn led(hub: &Hid, handset: u8) -> Outcome<PathBuf> {
    let node = hub.node().file_name().unwrap_or_default();
    let leds = Path::new("/sys/class/input").join(node).join("device/device/leds");
    let suffix = format!("::buzz{handset}");
    until(&format!("the light {suffix}"), || {
        let found = fs::read_dir(&leds).ok()?.flatten().map(|entry| entry.path());
        found.into_iter().find(|path| path.to_string_lossy().ends_with(&suffix))
    })
}

fn light(hub: &Hid, handset: u8, on: bool) -> Outcome {
    fs::write(led(hub, handset)?.join("brightness"), if on { "1" } else { "0" }).why("brightness")
}

/// A hub whose driver has made all lights and sent what it sends at the beginning.
fn plug(product: u32) -> Outcome<Hid> {
    let hub = Hid::plug_buzz(product)?;
    light(&hub, 4, true)?;
    hub.next_lights("the first light", |lights| *lights == Lights::Set(bank([0, 0, 0, 1])))?;
    light(&hub, 4, false)?;
    hub.next_lights("no light", |lights| *lights == Lights::Set(bank([0; 4])))?;
    Ok(hub)
}

/// Why a bank is kept awake past hid-sony: a light that is written again is not sent again.
pub(crate) fn equal_light_is_not_sent() -> Outcome {
    let hub = plug(0x1000)?;
    light(&hub, 1, true)?;
    hub.next_lights("light 1", |lights| *lights == Lights::Set(bank([1, 0, 0, 0])))?;
    for _ in 0..3 {
        light(&hub, 1, true)?;
    }
    light(&hub, 2, true)?;
    let next = hub.next_lights("the next report", |_| true)?;
    same("the next report", &next, &Lights::Set(bank([1, 1, 0, 0])))
}

/// Beside a running daemon that has the hub open, and beside a light that somebody else set.
pub(crate) fn identify_blinks_one_handset() -> Outcome {
    let hub = plug(0x0002)?;
    let daemon = Daemon::start("identify", WIRED)?;
    let mut client = daemon.client()?;
    client.connect_pool("stage", &[1, 2, 3, 4])?;
    light(&hub, 4, true)?;
    hub.next_lights("light 4", |lights| *lights == Lights::Set(bank([0, 0, 0, 1])))?;
    let output = daemon.run(&["devices", "--identify", "stage", "2", "--seconds", "1"])?;
    let said = || format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    ensure(output.status.success(), said)?;
    // The command has ended, but the kernel's queue of light writes may not be empty: its end is a mark of ours.
    light(&hub, 1, true)?;
    let mut seen = Vec::new();
    until("the mark", || {
        seen.extend(hub.lights());
        seen.contains(&Lights::Set(bank([1, 0, 0, 1]))).then_some(())
    })?;
    let (on, off) = (Lights::Set(bank([0, 1, 0, 1])), Lights::Set(bank([0, 0, 0, 1])));
    let mark = Lights::Set(bank([1, 0, 0, 1]));
    same("reports", &seen, &vec![on.clone(), off.clone(), on, off, mark])?;
    daemon.stop().map(drop)
}

pub(crate) fn not_there_is_named() -> Outcome {
    let hub = plug(0x0002)?;
    let daemon = Daemon::start("no-light", WIRED)?;
    for (pool, buzzer, want) in
        [("stages", "1", "no such pool"), ("stage", "5", "no buzzer 5 plugged in; it has 1, 2, 3, 4")]
    {
        let output = daemon.run(&["devices", "--identify", pool, buzzer])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        same(pool, &output.status.code(), &Some(1))?;
        ensure(said.contains(want), || format!("{want:?} is not in {said:?}"))?;
    }
    same("reports", &hub.lights(), &vec![])?;
    daemon.stop().map(drop)
}

/// Who may not write the light is told what to do.
pub(crate) fn may_be_forbidden() -> Outcome {
    let hub = plug(0x0002)?;
    let daemon = Daemon::start_as_stranger("dark", WIRED)?;
    let identify = ["devices", "--identify", "stage", "3", "--seconds", "1"];
    let output = daemon.run(&identify)?;
    same("exit status", &output.status.code(), &Some(1))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure(said.contains("sudo tee -a /etc/udev/rules.d/72-buzzerd-local.rules"), || {
        format!("no cure in {said:?}")
    })?;
    set_permissions(led(&hub, 3)?.join("brightness"), Permissions::from_mode(0o666)).why("chmod")?;
    let output = daemon.run(&identify)?;
    same("exit status", &output.status.code(), &Some(0))?;
    hub.next_lights("light 3", |lights| *lights == Lights::Set(bank([0, 0, 1, 0])))?;
    daemon.stop().map(drop)
}

/// The bank comes again and again though nothing changes, with what another program set; and only while it is open.
pub(crate) fn wireless_is_kept_awake() -> Outcome {
    let hub = plug(0x1000)?;
    let daemon = Daemon::start("awake", WIRELESS)?;
    let mut client = daemon.client()?;
    same("reports before connect", &hub.lights(), &vec![])?;
    client.connect_pool("stage", &[1, 2, 3, 4])?;
    for _ in 0..2 {
        let next = hub.next_lights("a keep-alive", |_| true)?;
        same("keep-alive", &next, &Lights::Output(bank([0; 4])))?;
    }
    light(&hub, 3, true)?;
    hub.next_lights("light 3", |lights| *lights == Lights::Set(bank([0, 0, 1, 0])))?;
    for _ in 0..2 {
        let next = hub.next_lights("a keep-alive", |_| true)?;
        same("keep-alive", &next, &Lights::Output(bank([0, 0, 1, 0])))?;
    }
    daemon.stop().map(drop)
}
