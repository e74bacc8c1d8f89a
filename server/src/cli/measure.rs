//! `buzzerd devices --measure`. In: one device, by node or pool, and a hand that plays on it. Out: how often its
//! reports come, and the line for the configuration that follows. Guarantee: the device is taken for that time and given back;
//! one that a game uses is left alone; nothing is recommended that too few reports stand for.

use std::path::Path;

use anyhow::{Error, anyhow};
use buzzer_core::device::cadence::{Cadence, INTERVALS_MIN, PAUSE, Watch};
use buzzer_core::device::identity::{Identity, number_of};
use buzzer_core::io::devices::evdev_node::{self, Node, OpenError};
use buzzer_core::io::devices::measure::{self, MeasureError};
use buzzer_core::io::sys;
use buzzer_core::quote::listed;
use buzzer_core::time::Micros;
use buzzer_server::config::Config;
use buzzer_server::counted::counted;
use buzzer_server::io::machine::hardware::{INPUT_DIR, SYSFS_ROOT};
use buzzer_server::io::machine::holder;
use serde_json::json;

use super::device::Device;
use super::identify::absent;
use super::stdout::print_as;
use super::{Failure, stderr};

/// Where the processes of this machine are.
const PROC_ROOT: &str = "/proc";

pub(crate) fn run(
    config: &Config,
    devices: &[Device],
    target: Option<&str>,
    seconds: u16,
    is_json: bool,
) -> Result<(), Failure> {
    let device = choose(config, devices, target)?;
    let identity = &device.row.identity;
    let path = Path::new(INPUT_DIR).join(&identity.node);
    let node = take(identity, || {
        evdev_node::open(Path::new(INPUT_DIR), Path::new(SYSFS_ROOT), identity, None, true)
    })?;
    stderr::say(format_args!(
        "{}: press buttons or move the stick now, without a pause, for {seconds} s",
        identity.describe()
    ));
    let end = sys::now() + Micros::from_ms(u64::from(seconds) * 1000);
    let mut watch = Watch::default();
    let watched = measure::watch(&node.fd, node.since, end, &mut watch);
    watched.map_err(|error| ended(&path, &error))?;
    drop(node);
    let cadence = watch.cadence();
    let result = if is_json { json(device, cadence) } else { text(device, cadence, seconds) };
    print_as(is_json, &result)?;
    // The page says why; a program sees it by the exit code.
    cadence.usual_us.map(drop).ok_or_else(|| Failure::Failed(anyhow!(too_little(cadence))))
}

/// Opens a device that nobody plays with, and has it for this process alone.
pub(super) fn take(
    identity: &Identity,
    open: impl FnOnce() -> Result<Node, OpenError>,
) -> Result<Node, Error> {
    let path = Path::new(INPUT_DIR).join(&identity.node);
    if let Some(pid) = holder::of(Path::new(PROC_ROOT), &path) {
        return Err(in_use(&path, &format!("by buzzerd (pid {pid})")));
    }
    let node = open().map_err(|error| match error {
        OpenError::Grabbed(path) => in_use(&path, "by buzzerd (or another program)"),
        error => error.into(),
    })?;
    if !node.grabbed {
        let held = listed(node.held.iter());
        return Err(anyhow!("{}: {held} is down: release it, and start again", path.display()));
    }
    Ok(node)
}

/// What it means that the watching ended early.
pub(super) fn ended(path: &Path, error: &MeasureError) -> Error {
    match error {
        MeasureError::Vanished => anyhow!("{}: {error}", path.display()),
        MeasureError::Failed(_) => {
            anyhow!("{}: {error}: unplug the device and plug it in again", path.display())
        }
    }
}

fn in_use(path: &Path, by: &str) -> Error {
    anyhow!("{}: in use {by}: stop it first", path.display())
}

/// The device that is meant.
fn choose<'a>(config: &Config, devices: &'a [Device], target: Option<&str>) -> Result<&'a Device, Error> {
    let Some(target) = target else {
        return the_only(devices.iter().filter(|device| device.pool.is_some()), "a pool has");
    };
    let mut of_pool = devices.iter().filter(|device| device.pool.as_deref() == Some(target)).peekable();
    if of_pool.peek().is_some() {
        return the_only(of_pool, &format!("pool {target:?} has"));
    }
    if let Some(pool) = config.pools.iter().find(|pool| pool.id.as_str() == target) {
        return Err(anyhow!(absent(pool)));
    }
    let node = target.strip_prefix(INPUT_DIR).map_or(target, |node| node.trim_start_matches('/'));
    let found = devices.iter().find(|device| device.row.identity.node == node);
    found.ok_or_else(|| match number_of(node, "event") {
        Some(_) => anyhow!("{node}: no device with buttons is there: `buzzerd devices` lists those that are"),
        None => {
            anyhow!("{target:?} is neither a pool nor a node such as event7: `buzzerd devices` lists both")
        }
    })
}

fn the_only<'a>(devices: impl Iterator<Item = &'a Device>, whose: &str) -> Result<&'a Device, Error> {
    let devices: Vec<_> = devices.collect();
    match devices.as_slice() {
        [device] => Ok(device),
        [] => Err(anyhow!(
            "no device that {whose} is plugged in: plug it in, or name another one; `buzzerd devices` lists what is there"
        )),
        several => {
            let nodes = listed(several.iter().map(|device| &device.row.identity.node));
            Err(anyhow!("more than one device that {whose}: say which one to measure: {nodes}"))
        }
    }
}

fn too_little(cadence: Cadence) -> String {
    let why = match (cadence.reports, cadence.intervals) {
        (0, _) => "no report came".to_owned(),
        (_, intervals) => {
            format!("only {intervals} of {INTERVALS_MIN} intervals came without a pause between")
        }
    };
    format!(
        "nothing was measured, {why}: start again and keep a stick in motion, or hit several buttons as fast as you can; \
         for longer with --seconds"
    )
}

fn us(span: Option<Micros>) -> String {
    span.map_or_else(|| "unknown".to_owned(), |span| format!("{} us", span.as_us()))
}

fn text(device: &Device, cadence: Cadence, seconds: u16) -> String {
    let Cadence { reports, intervals, smallest_us, usual_us } = cadence;
    format!(
        "{}\n    {} in {seconds} s, {} without a pause\n    smallest interval {}, usual interval {}\n    A device reports only \
         what changes: the poll period shows in the intervals of continuous motion or of buttons hit together, not in those \
         of single presses (above {} ms they are left out).\n    It is the period, not the delay: how long before its time a press was made, no report says.\n    From the \
         hardware's description: {}\n",
        device.row.identity.describe(),
        counted(reports as u64, "report"),
        counted(intervals as u64, "interval"),
        us(smallest_us),
        us(usual_us),
        PAUSE.as_us() / 1000,
        device.row.delay,
    )
}

fn json(device: &Device, cadence: Cadence) -> String {
    let Cadence { reports, intervals, smallest_us, usual_us } = cadence;
    let line = json!({
        "node": format!("{INPUT_DIR}/{}", device.row.identity.node),
        "name": device.row.identity.name,
        "pool": device.pool,
        "reports": reports,
        "intervals": intervals,
        "smallest_us": smallest_us.map(Micros::as_us),
        "usual_us": usual_us.map(Micros::as_us),
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::device::tests::device;

    const CONFIG: &str = r#"
[[pool]]
id = "desk"
device = [{ match.name = "a", buzzers.1 = 28 }, { match.name = "b", buzzers.2 = 28 }]
[[pool]]
id = "stage"
match.name = "c"
[[pool]]
id = "away"
match.name = "d"
[[pool]]
id = "table"
socket = "/run/table"
"#;

    #[test]
    fn the_device_that_is_meant_is_found_or_the_cure_named() {
        let config = Config::parse(CONFIG, "test.toml").unwrap();
        let devices = [
            device("event1", Some("desk"), 8, "a"),
            device("event2", Some("desk"), 8, "b"),
            device("event3", Some("stage"), 8, "c"),
            device("event4", None, 8, "keyboard"),
        ];
        for (target, want) in [
            (Some("stage"), Ok("event3")),
            (Some("event2"), Ok("event2")),
            (Some("/dev/input/event4"), Ok("event4")),
            (
                Some("desk"),
                Err("more than one device that pool \"desk\" has: say which one to measure: event1, event2"),
            ),
            (None, Err("say which one to measure: event1, event2, event3")),
            (Some("away"), Err("configured, but its device is not plugged in")),
            (Some("table"), Err("is virtual")),
            (Some("event9"), Err("event9: no device with buttons is there")),
            (Some("nobody"), Err("neither a pool nor a node such as event7")),
        ] {
            match (choose(&config, &devices, target), want) {
                (Ok(device), Ok(node)) => assert_eq!(device.row.identity.node, node),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, want) => panic!("{target:?}: {got:?}, not {want:?}"),
            }
        }
        let only = choose(&config, &devices[2..], None).unwrap();
        assert_eq!(only.row.identity.node, "event3");
        let none = choose(&config, &devices[3..], None).unwrap_err();
        assert!(none.to_string().contains("no device that a pool has is plugged in: plug it in"), "{none}");
    }

    #[test]
    fn too_few_reports_are_called_so() {
        let cadence = |reports, intervals| Cadence { reports, intervals, smallest_us: None, usual_us: None };
        assert!(too_little(cadence(0, 0)).contains("no report came"));
        assert!(too_little(cadence(9, 3)).contains("only 3 of 20 intervals"));
    }
}
