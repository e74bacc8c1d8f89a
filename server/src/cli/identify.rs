//! `buzzerd devices --identify`. In: a pool, a buzzer, how long. Out: that buzzer's light blinks. Guarantee: no input
//! device is opened and nothing but the light's brightness in sysfs is written, so it may run beside a game; the light
//! is afterwards what it was before, also after Ctrl-C.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use buzzer_core::device::assign::{Found, Slots};
use buzzer_core::device::claim::SlotId;
use buzzer_core::device::lights::Light;
use buzzer_core::device::profile::light_of;
use buzzer_core::event::Buzzer;
use buzzer_core::io::devices::lamps::Lamp;
use buzzer_core::io::devices::leds::Leds;
use buzzer_core::io::devices::sysfs;
use buzzer_core::io::sys;
use buzzer_core::quote::listed;
use buzzer_core::time::Micros;
use buzzer_server::config::{Config, PoolConfig, PoolSource};
use buzzer_server::io::machine::hardware::{self, SYSFS_ROOT};
use buzzer_server::io::machine::signals;
use mio::{Events, Interest, Poll, Token};

use super::{Failure, print};

/// On for so long, and off for so long: twice a second is seen from the other end of a hall.
const FLASH: Micros = Micros::from_ms(250);
const FLASHES_PER_SECOND: u32 = 2;

/// Blinks.
pub(super) fn run(config: &Config, pool: &str, buzzer: u16, seconds: u32) -> Result<(), Failure> {
    let sysfs_root = Path::new(SYSFS_ROOT);
    let (_, found) = find(config, sysfs_root, pool, buzzer)?;
    let light = light_of(&found.identity, &found.keys, Buzzer(buzzer));
    let light = light.ok_or_else(|| anyhow!("buzzer {buzzer} of pool {pool:?} has no light"))?;
    let mut lamp = Lamp::new(Leds::find(sysfs_root, None, &found.identity));

    let mut poll = Poll::new().context("epoll")?;
    let mut signals = signals::ending().context("a signal handler")?;
    poll.registry().register(&mut signals, Token(0), Interest::READABLE).context("epoll")?;
    let times = seconds * FLASHES_PER_SECOND;
    lamp.light(light, Light::Blink { on_us: FLASH, off_us: FLASH, times }, sys::now())
        .map_err(anyhow::Error::from)?;
    print(&format!(
        "pool {pool:?}, buzzer {buzzer} blinks for {seconds} s: {}\n",
        found.identity.describe()
    ))?;
    let mut events = Events::with_capacity(1);
    while let Some(due) = lamp.poll_timeout() {
        let wait = Duration::from_micros(due.since(sys::now()).as_us());
        // Interrupted by a signal: it is pending then.
        let _ = poll.poll(&mut events, Some(wait));
        if signals.pending().next().is_some() {
            break;
        }
        lamp.handle_timeout(sys::now()).map_err(anyhow::Error::from)?;
    }
    Ok(lamp.stop().map_err(anyhow::Error::from)?)
}

/// The device that has this buzzer of this pool, and its slot.
pub(super) fn find(config: &Config, sysfs_root: &Path, pool: &str, buzzer: u16) -> Result<(SlotId, Found)> {
    let mut slots = Slots::new(hardware::claims(config));
    slots.assign(&sysfs::list(sysfs_root).context("the devices cannot be listed")?);
    let found: Vec<(SlotId, Found)> =
        slots.ids().filter_map(|slot| Some((slot, slots.found(slot)?))).collect();
    let labels: Vec<String> = found.iter().map(|(_, found)| found.label.clone()).collect();
    let specs = hardware::pools(config);
    let is_its = |(slot, found): &(SlotId, Found)| {
        hardware::pool_at(&specs, *slot).map_or(&*found.label, |spec| spec.id.as_str()) == pool
    };
    let of_pool: Vec<(SlotId, Found)> = found.into_iter().filter(is_its).collect();
    if of_pool.is_empty() {
        bail!(match config.pools.iter().find(|spec| spec.id.as_str() == pool) {
            Some(spec) => absent(spec),
            None if config.pools.is_empty() => {
                format!(
                    "no such pool: {pool:?}; {}; `buzzerd devices` lists them",
                    list("plugged in", &labels)
                )
            }
            None => {
                let known: Vec<String> = config.pools.iter().map(|spec| spec.id.to_string()).collect();
                format!("no such pool: {pool:?}; {}", list("configured", &known))
            }
        });
    }
    let mut numbers: Vec<u16> =
        of_pool.iter().flat_map(|(_, found)| found.keys.buzzers()).map(|buzzer| buzzer.0).collect();
    numbers.sort_unstable();
    let has = |(_, found): &(SlotId, Found)| found.keys.buzzers().contains(&Buzzer(buzzer));
    of_pool
        .into_iter()
        .find(has)
        .ok_or_else(|| anyhow!("pool {pool:?} has no buzzer {buzzer} plugged in; it has {}", listed(numbers)))
}

/// Why a pool of the configuration has no device.
pub(super) fn absent(pool: &PoolConfig) -> String {
    let id = pool.id.as_str();
    match pool.source {
        PoolSource::Virtual { .. } => format!(
            "pool {id:?} is virtual: its buzzers are no device of this machine; what its programs take to notice a press is \
             delay_us in its [[pool]]"
        ),
        PoolSource::Hardware(_) => format!(
            "pool {id:?} is configured, but its device is not plugged in; `buzzerd devices` shows what is"
        ),
    }
}

fn list(how: &str, names: &[String]) -> String {
    if names.is_empty() { format!("none is {how}") } else { format!("{how}: {}", listed(names)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const POOLS: &str = r#"
[[pool]]
id = "stage"
match = { vendor = "054c" }
[[pool]]
id = "phones"
socket = "/run/phones.sock"
"#;

    /// A hub without lights in a made-up sysfs.
    fn plug(root: &Path) {
        let input = root.join("devices/input7");
        for (file, text) in [
            ("id/bustype", "0003"),
            ("id/vendor", "054c"),
            ("id/product", "0002"),
            ("id/version", "0111"),
            ("phys", "usb-0-1.2/input0"),
            ("capabilities/key", "fffff 0 0 0 0 0 0 0 0 0 0 0"),
        ] {
            let file = input.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        fs::create_dir_all(input.join("event3")).unwrap();
        symlink("../../input7", input.join("event3/device")).unwrap();
        fs::create_dir_all(root.join("class/input")).unwrap();
        symlink("../../devices/input7/event3", root.join("class/input/event3")).unwrap();
    }

    #[test]
    fn what_cannot_be_shown_is_named() {
        let (empty, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        plug(full.path());
        let none = Config::defaults(full.path().to_owned());
        let pools = Config::parse(POOLS, "test").unwrap();
        for (config, root, pool, buzzer, want) in [
            (&none, &empty, "stage", 1, Err("no such pool: \"stage\"; none is plugged in")),
            (&none, &full, "stage", 1, Err("plugged in: buzz-wired-1.2")),
            (&none, &full, "buzz-wired-1.2", 5, Err("no buzzer 5 plugged in; it has 1, 2, 3, 4")),
            (&none, &full, "buzz-wired-1.2", 4, Ok("event3")),
            (&pools, &empty, "stage", 1, Err("its device is not plugged in")),
            (&pools, &full, "stages", 1, Err("configured: stage, phones")),
            (&pools, &full, "phones", 1, Err("is virtual")),
            (&pools, &full, "stage", 0, Err("has no buzzer 0")),
            (&pools, &full, "stage", 2, Ok("event3")),
        ] {
            match (find(config, root.path(), pool, buzzer), want) {
                (Ok((_, found)), Ok(node)) => assert_eq!(found.identity.node, node, "{pool} {buzzer}"),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
                (found, _) => panic!("{pool} {buzzer}: {found:?}"),
            }
        }
    }
}
