//! Does everybody have the same chance? In: the devices that serve buzzers. Out: findings on poll intervals, unequal
//! devices, shared keyboards and wireless sets. Guarantee: none of these fails a box: what is unfair may still be what
//! the players agreed on, but they should have been told.

use std::collections::BTreeMap;

use buzzer_core::time::Micros;

use super::Finding;
use super::buzzers::list;
use super::facts::{Device, Facts};
use crate::counted::counted;

/// Slower than any hub or encoder of the profiles: a Buzz! hub is asked every 8 or 10 ms.
const SLOW_US: Micros = Micros::from_ms(10);
/// More players than this on one keyboard and its wiring decides: a third key can be hidden by two others.
const KEYBOARD_BUZZERS_MAX: usize = 2;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let devices = facts.devices.as_deref().unwrap_or_default();
    if devices.is_empty() {
        return Vec::new();
    }
    vec![poll_interval(devices), equal_devices(devices), keyboards(devices), wireless(devices)]
}

/// Devices by their interval; those whose interval is not known are left out.
fn by_interval(devices: &[Device]) -> BTreeMap<Micros, Vec<&Device>> {
    let mut groups: BTreeMap<Micros, Vec<&Device>> = BTreeMap::new();
    for device in devices {
        if let Ok(interval) = device.interval {
            groups.entry(interval).or_default().push(device);
        }
    }
    groups
}

fn in_words(groups: &BTreeMap<Micros, Vec<&Device>>) -> String {
    let groups: Vec<_> = groups
        .iter()
        .map(|(interval, devices)| format!("every {}: {}", ms(*interval), list(devices.iter().copied())))
        .collect();
    groups.join("; ")
}

/// `8 ms`, `0.125 ms`.
pub(super) fn ms(span: Micros) -> String {
    let us = span.as_us();
    let fraction = format!("{:03}", us % 1000);
    match fraction.trim_end_matches('0') {
        "" => format!("{} ms", us / 1000),
        fraction => format!("{}.{fraction} ms", us / 1000),
    }
}

fn poll_interval(devices: &[Device]) -> Finding {
    const CHECK: &str = "poll interval";
    const WHY: &str = "Presses within one interval of a device can reach the computer together, and on two devices \
                       in either order.";
    let groups = by_interval(devices);
    let found = in_words(&groups);
    if groups.last_key_value().is_some_and(|(slowest, _)| *slowest > SLOW_US) {
        return Finding::warn(CHECK, found, WHY).cure("Use a device with a shorter interval, at best 1 ms");
    }
    match devices.iter().find_map(|device| Some((device, device.interval.as_ref().err()?))) {
        Some((device, missing)) if found.is_empty() => {
            Finding::unknown(CHECK, missing, format!("{}: {WHY}", list([device])))
        }
        Some((device, missing)) => {
            let why = format!("{found}; not known for {}. {WHY}", list([device]));
            Finding::unknown(CHECK, missing, why)
        }
        None => Finding::ok(CHECK, found, WHY),
    }
}

fn equal_devices(devices: &[Device]) -> Finding {
    const CHECK: &str = "equal devices";
    const WHY: &str =
        "Who has the slower device is told to be late by up to its interval, though the press was not.";
    let groups = by_interval(devices);
    let mixed_radio = devices.iter().any(|device| device.wireless.is_some())
        && devices.iter().any(|device| device.wireless.is_none());
    if groups.len() > 1 || mixed_radio {
        let found = match (groups.len() > 1, mixed_radio) {
            (true, false) => in_words(&groups),
            (true, true) => format!("wired and wireless; {}", in_words(&groups)),
            _ => "wired and wireless sets together".to_owned(),
        };
        return Finding::warn(CHECK, found, WHY).cure("Give every player of one match the same model");
    }
    let unread = devices.iter().find_map(|device| device.interval.as_ref().err());
    match unread {
        _ if devices.len() == 1 => Finding::ok(CHECK, "all players share one device", WHY),
        Some(missing) => Finding::unknown(CHECK, missing, WHY),
        None => {
            Finding::ok(CHECK, format!("{} with one interval", counted(devices.len() as u64, "device")), WHY)
        }
    }
}

fn keyboards(devices: &[Device]) -> Finding {
    const CHECK: &str = "shared keyboards";
    // Ghosting is the matrix's; rollover is the boot protocol's six keys, and hid-core.c ignores a report that says
    // ErrorRollOver as a whole.
    const WHY: &str = "On one keyboard two held keys can hide a third, and a seventh blocks all: a player who holds \
                       a key down can lock others out.";
    let shared: Vec<_> =
        devices.iter().filter(|device| device.is_keyboard && device.buzzers > KEYBOARD_BUZZERS_MAX).collect();
    if shared.is_empty() {
        return Finding::ok(CHECK, "none", WHY);
    }
    let shared: Vec<_> = shared
        .iter()
        .map(|device| format!("{} serves {}", list([*device]), counted(device.buzzers as u64, "buzzer")))
        .collect();
    Finding::warn(CHECK, shared.join(", "), WHY).cure("Give each player a device, or at most two a keyboard")
}

fn wireless(devices: &[Device]) -> Finding {
    const CHECK: &str = "wireless";
    const WHY: &str = "Radio adds a delay that nobody can measure here, and a handset that sleeps or is out of \
                       reach looks like one that nobody presses.";
    let sets: Vec<_> = devices
        .iter()
        .filter_map(|device| Some(format!("{}: {}", list([device]), device.wireless?)))
        .collect();
    if sets.is_empty() {
        return Finding::ok(CHECK, "none seen", WHY);
    }
    Finding::warn(CHECK, sets.join(", "), WHY)
        .cure("Fresh batteries, press each buzzer once; wired ones for finals")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Ok as Fine, Unknown, Warn};
    use super::super::facts::tests::{hub, missing};
    use super::*;

    fn polled(node: &str, us: u64) -> Device {
        Device { interval: Ok(Micros::from_us(us)), ..hub(node) }
    }

    #[test]
    fn intervals_are_told_and_the_slow_ones_warned_of() {
        let unread = || Device { interval: missing(), ..hub("event9") };
        for (devices, want, text) in [
            (vec![polled("event7", 8000)], Fine, "every 8 ms: event7 (stage)"),
            (
                vec![polled("event7", 1000), polled("event8", 125), polled("event9", 1000)],
                Fine,
                "every 0.125 ms: event8 (stage); every 1 ms: event7 (stage), event9 (stage)",
            ),
            (vec![polled("event7", 16_000)], Warn, "every 16 ms: event7 (stage)"),
            (vec![unread()], Unknown, "cannot be read: /proc/x: permission denied"),
            (vec![unread(), polled("event7", 1000)], Unknown, "cannot be read: /proc/x: permission denied"),
            (vec![unread(), polled("event7", 16_000)], Warn, "every 16 ms: event7 (stage)"),
        ] {
            let finding = poll_interval(&devices);
            assert_eq!((finding.verdict, finding.found.as_str()), (want, text));
        }
    }

    #[test]
    fn unequal_devices_are_told() {
        let radio = |node| Device { wireless: Some("Bluetooth"), ..polled(node, 8000) };
        let unread = || Device { interval: missing(), ..hub("event9") };
        for (devices, want) in [
            (vec![polled("event7", 8000)], Fine),
            (vec![polled("event7", 8000), polled("event8", 8000)], Fine),
            (vec![polled("event7", 8000), polled("event8", 1000)], Warn),
            (vec![polled("event7", 8000), radio("event8")], Warn),
            (vec![radio("event7"), radio("event8")], Fine),
            (vec![polled("event7", 8000), unread()], Unknown),
            (vec![unread()], Fine),
        ] {
            assert_eq!(equal_devices(&devices).verdict, want, "{devices:?}");
        }
    }

    #[test]
    fn a_keyboard_is_for_two() {
        let keyboard = |buzzers| Device { is_keyboard: true, buzzers, ..hub("event7") };
        for (device, want) in
            [(keyboard(1), Fine), (keyboard(2), Fine), (keyboard(3), Warn), (hub("x"), Fine)]
        {
            assert_eq!(keyboards(&[device]).verdict, want);
        }
    }

    #[test]
    fn wireless_sets_are_named() {
        assert_eq!(wireless(&[hub("event7")]).verdict, Fine);
        let finding = wireless(&[Device { wireless: Some("Bluetooth"), ..hub("event7") }]);
        assert_eq!((finding.verdict, finding.found.as_str()), (Warn, "event7 (stage): Bluetooth"));
    }
}
