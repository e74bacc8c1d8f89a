//! Does everybody have the same chance? In: the devices that serve buzzers. Out: findings on poll intervals, unequal
//! devices, shared keyboards and wireless sets. Guarantee: only what is measured to be unfair within a pool fails a box;
//! the rest may be what the players agreed on, but they should have been told.

use std::collections::BTreeMap;

use buzzer_core::device::delay::fairness::{Fairness, UNEQUAL};
use buzzer_core::quote::listed;
use buzzer_core::time::Micros;

use super::Finding;
use super::buzzers::list;
use super::facts::{DeviceFacts, Facts};
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
fn by_interval(devices: &[DeviceFacts]) -> BTreeMap<Micros, Vec<&DeviceFacts>> {
    let mut groups: BTreeMap<Micros, Vec<&DeviceFacts>> = BTreeMap::new();
    for device in devices {
        if let Ok(interval) = device.interval {
            groups.entry(interval).or_default().push(device);
        }
    }
    groups
}

fn in_words(groups: &BTreeMap<Micros, Vec<&DeviceFacts>>) -> String {
    let groups: Vec<_> = groups
        .iter()
        .map(|(interval, devices)| format!("every {}: {}", ms(*interval), list(devices.iter().copied())))
        .collect();
    groups.join("; ")
}

/// `8 ms`, `0.125 ms`.
pub(super) fn ms(span: Micros) -> String {
    format!("{} ms", span.in_ms())
}

fn poll_interval(devices: &[DeviceFacts]) -> Finding {
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

/// Unequal devices of one pool fail; those of several may never meet in one match.
fn equal_devices(devices: &[DeviceFacts]) -> Finding {
    const CHECK: &str = "equal devices";
    const WHY: &str = "Who has the slower device is told to be late, though the press was not.";
    let mut pools: BTreeMap<&str, Vec<&DeviceFacts>> = BTreeMap::new();
    for device in devices {
        pools.entry(&device.pool).or_default().push(device);
    }
    let is_one = pools.len() == 1;
    let judged = pools.into_values().map(|group| (true, group));
    let judged = judged.chain([(is_one, devices.iter().collect())]).map(|(is_pool, group)| {
        let names: Vec<_> = group.iter().map(|device| (device.name.as_str(), &device.delay)).collect();
        (Fairness::of(&names), is_pool, group)
    });
    // The worst of them, and of equals that of a pool.
    let worst = judged.min_by_key(|(fairness, ..)| match fairness {
        Fairness::Unequal { .. } => 0,
        Fairness::Unknown { .. } => 1,
        Fairness::Equal => 2,
    });
    match worst {
        Some((Fairness::Unequal { quick, slow }, is_pool, group)) => {
            let one = |(place, us): (usize, Micros)| format!("{}: {}", list([group[place]]), ms(us));
            let found = format!("half of the presses take less than: {}, {}", one(quick), one(slow));
            let finding = if is_pool { Finding::fail } else { Finding::warn };
            finding(CHECK, found, format!("{WHY} More than {} is too much.", ms(UNEQUAL)))
                .cure("Give every player of one match the same model")
        }
        Some((Fairness::Unknown { unmeasured, other }, _, group)) => {
            let (one, other) = (group[unmeasured], group[other]);
            let found = format!(
                "not known: nobody has measured {}, and {} is another kind",
                list([one]),
                list([other])
            );
            // The one whose delay may be known comes first.
            Finding::warn(CHECK, found, WHY).cure(measure_pair(other, one))
        }
        _ if devices.len() == 1 => Finding::ok(CHECK, "all players share one device", WHY),
        _ => {
            let found = format!(
                "{}, not more than {} apart or of one kind",
                counted(devices.len() as u64, "device"),
                ms(UNEQUAL)
            );
            Finding::ok(CHECK, found, WHY)
        }
    }
}

/// The command that measures the first buttons of two devices against each other.
fn measure_pair(one: &DeviceFacts, other: &DeviceFacts) -> String {
    let number = |device: &DeviceFacts| device.first_buzzer.unwrap_or(1).to_string();
    let words = match one.pool == other.pool {
        true => vec![one.pool.clone(), number(one), number(other)],
        false => [one, other].map(|device| format!("{}:{}", device.pool, number(device))).to_vec(),
    };
    let words: Vec<_> = words.iter().map(|word| for_shell(word)).collect();
    format!("buzzerd devices --measure-pair {}", words.join(" "))
}

/// As one word of a command.
fn for_shell(word: &str) -> String {
    let is_plain = word.chars().all(|char| char.is_ascii_alphanumeric() || "-_.:".contains(char));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn keyboards(devices: &[DeviceFacts]) -> Finding {
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
    let serves = |device: &&DeviceFacts| {
        format!("{} serves {}", list([*device]), counted(device.buzzers as u64, "buzzer"))
    };
    Finding::warn(CHECK, listed(shared.iter().map(serves)), WHY)
        .cure("Give each player a device, or at most two a keyboard")
}

fn wireless(devices: &[DeviceFacts]) -> Finding {
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
    use super::super::CheckLevel::{Fail, Ok as Fine, Unknown, Warn};
    use super::super::facts::tests::{delay, hub, missing};
    use super::*;

    fn polled(node: &str, us: u64) -> DeviceFacts {
        DeviceFacts { interval: Ok(Micros::from_us(us)), ..hub(node) }
    }

    #[test]
    fn intervals_are_told_and_the_slow_ones_warned_of() {
        let unread = || DeviceFacts { interval: missing(), ..hub("event9") };
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
    fn unequal_devices_of_a_pool_fail_with_both_figures() {
        let takes = |node: &str, pool: &str, us: u64| DeviceFacts {
            pool: pool.to_owned(),
            delay: delay(us, us + 2_000),
            ..hub(node)
        };
        let slow = |pool| takes("event8", pool, 8_001);
        let unmeasured = |node, pool: &str, name: &str| DeviceFacts {
            pool: pool.to_owned(),
            name: name.to_owned(),
            ..hub(node)
        };
        let figures =
            |pool| format!("half of the presses take less than: event7 (a): 4 ms, event8 ({pool}): 9.001 ms");
        let pair = |to: &str| format!("buzzerd devices --measure-pair {to}");
        for (devices, want, text, cure) in [
            (vec![takes("event7", "a", 3_000)], Fine, "all players share one device".to_owned(), None),
            (
                vec![takes("event7", "a", 3_000), takes("event8", "a", 8_000)],
                Fine,
                "2 devices, not more than 5 ms apart or of one kind".to_owned(),
                None,
            ),
            (
                vec![takes("event7", "a", 3_000), slow("a")],
                Fail,
                figures("a"),
                Some("Give every player of one match the same model".to_owned()),
            ),
            (
                vec![takes("event7", "a", 3_000), slow("b")],
                Warn,
                figures("b"),
                Some("Give every player of one match the same model".to_owned()),
            ),
            (
                vec![takes("event7", "a", 3_000), unmeasured("event9", "a", "hub"), slow("a")],
                Fail,
                figures("a"),
                Some("Give every player of one match the same model".to_owned()),
            ),
            (
                vec![unmeasured("event7", "a", "hub"), unmeasured("event8", "b", "hub")],
                Fine,
                "2 devices, not more than 5 ms apart or of one kind".to_owned(),
                None,
            ),
            (
                vec![unmeasured("event7", "a", "hub"), unmeasured("event8", "a", "pad")],
                Warn,
                "not known: nobody has measured event7 (a), and event8 (a) is another kind".to_owned(),
                Some(pair("a 1 1")),
            ),
            (
                vec![takes("event7", "a", 3_000), unmeasured("event8", "b", "pad")],
                Warn,
                "not known: nobody has measured event8 (b), and event7 (a) is another kind".to_owned(),
                Some(pair("a:1 b:1")),
            ),
            (
                vec![unmeasured("event7", "it's", "hub"), unmeasured("event8", "a b", "pad")],
                Warn,
                "not known: nobody has measured event7 (it's), and event8 (a b) is another kind".to_owned(),
                Some(pair(r"'a b:1' 'it'\''s:1'")),
            ),
        ] {
            let finding = equal_devices(&devices);
            assert_eq!((finding.verdict, finding.found, finding.cure), (want, text, cure));
        }
    }

    #[test]
    fn a_keyboard_is_for_two() {
        let keyboard = |buzzers| DeviceFacts { is_keyboard: true, buzzers, ..hub("event7") };
        for (device, want) in
            [(keyboard(1), Fine), (keyboard(2), Fine), (keyboard(3), Warn), (hub("x"), Fine)]
        {
            assert_eq!(keyboards(&[device]).verdict, want);
        }
    }

    #[test]
    fn wireless_sets_are_named() {
        assert_eq!(wireless(&[hub("event7")]).verdict, Fine);
        let finding = wireless(&[DeviceFacts { wireless: Some("Bluetooth"), ..hub("event7") }]);
        assert_eq!((finding.verdict, finding.found.as_str()), (Warn, "event7 (stage): Bluetooth"));
    }
}
