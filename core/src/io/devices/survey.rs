//! What `buzzerd devices` shows. In: the claims, sysfs, the device directory. Out: one [`Row`] per device with keys.
//! Guarantee: only sysfs, `stat` and `access` are used; nothing is opened, so a running game notices nothing.

use std::io;
use std::path::Path;

use super::{permission, sysfs};
use crate::device::assign::remarks::Remark;
use crate::device::assign::{Assignment, Slots};
use crate::device::claim::Claims;
use crate::device::delay::{Configured, Delay};
use crate::device::identity::Identity;
use crate::device::profile::recognise;
use crate::device::roster::inhibited;
use crate::event::Buzzer;
use crate::press::keys::KeyCode;

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The device.
    pub identity: Identity,
    /// The name of its profile.
    pub profile: Option<&'static str>,
    /// What becomes of it.
    pub verdict: Assignment,
    /// The lasting name of its slot, where it has one: without configuration, the pool it makes.
    pub label: Option<String>,
    /// Its buzzers, ascending, where it has a slot.
    pub buzzers: Vec<Buzzer>,
    /// Its keys that are no buzzers, where it has a slot and no configuration names those that are.
    pub left_out: Vec<KeyCode>,
    /// How long before their stamps its presses were made.
    pub delay: Delay,
    /// What is in the way of using it, and the cure. Permissions are looked at for devices that serve a slot.
    pub trouble: Option<String>,
    /// Why it serves no slot though an entry means it or its unit, with the lines that change it.
    pub remark: Option<Remark>,
}

/// All devices that have a key, and what is to be said of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// One per device.
    pub rows: Vec<Row>,
    /// Entries between which only the order of the nodes decides.
    pub shared: Vec<Remark>,
}

/// Looks at every device that has a key. What it assigns is what a daemon started now would.
///
/// # Errors
/// When sysfs cannot be listed.
pub fn survey(claims: Claims, sysfs_root: &Path, input_dir: &Path) -> io::Result<Survey> {
    let devices = sysfs::list(sysfs_root)?;
    let mut slots = Slots::new(claims);
    let verdicts = slots.assign(&devices);
    let with_keys = (0..devices.len()).filter(|index| !devices[*index].keys.is_empty());
    let rows = with_keys.map(|index| row(&slots, &verdicts, &devices, index, input_dir)).collect();
    Ok(Survey { rows, shared: slots.shared(&devices) })
}

fn row(slots: &Slots, verdicts: &[Assignment], devices: &[Identity], index: usize, input_dir: &Path) -> Row {
    let (identity, verdict) = (devices[index].clone(), verdicts[index].clone());
    let found = match verdict {
        Assignment::Slot(slot) => slots.found(slot),
        _ => None,
    };
    let remark = slots.remark(verdicts, devices, index);
    let trouble = match &remark {
        Some(remark) => remark.is_warning.then(|| remark.to_string()),
        None if found.is_some() => {
            let inhibited = identity.inhibited.then(|| inhibited(&identity));
            permission::trouble(&input_dir.join(&identity.node)).or(inhibited)
        }
        None => None,
    };
    let delay =
        found.as_ref().map_or_else(|| Delay::of(&identity, Configured::default()), |found| found.delay);
    Row {
        profile: recognise(&identity).map(|profile| profile.name),
        label: found.as_ref().map(|found| found.label.clone()),
        buzzers: found.as_ref().map(|found| found.keys.buzzers()).unwrap_or_default(),
        left_out: found.map(|found| found.left_out).unwrap_or_default(),
        identity,
        verdict,
        delay,
        trouble,
        remark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::claim::{Claim, Match, SlotId};
    use crate::device::delay::Span;
    use crate::device::identity::tests::device;
    use crate::io::devices::sysfs::tests::plug;
    use crate::time::Micros;
    use std::fs;

    #[test]
    fn every_device_with_keys_is_shown_with_what_is_in_its_way() {
        let root = tempfile::tempdir().unwrap();
        let hub = device(3, (0x054c, 2), "usb-0-1.2/input0", &[0x2c0, 0x2c5, 0x2ca, 0x2cf]);
        let away = device(4, (0x054c, 2), "usb-0-1.3/input0", &[0x2c0]);
        let off = Identity { inhibited: true, ..device(5, (0x054c, 2), "usb-0-1.4/input0", &[0x2c0]) };
        let keyboard = device(6, (7, 7), "usb-0-2/input0", &[28, 30]);
        let lid = device(7, (7, 7), "", &[]);
        for identity in [&hub, &away, &off, &keyboard, &lid] {
            plug(root.path(), identity);
        }
        let input = root.path().join("dev");
        fs::create_dir(&input).unwrap();
        for node in ["event3", "event5", "event6", "event7"] {
            fs::write(input.join(node), "").unwrap();
        }
        let rows = survey(Claims::Known { debounce_us: Micros::ZERO }, root.path(), &input).unwrap().rows;
        let brief: Vec<_> = rows
            .iter()
            .map(|row| (row.identity.node.as_str(), row.profile, row.label.as_deref(), row.trouble.is_some()))
            .collect();
        let buzz = Some("buzz-wired");
        let want = [
            ("event3", buzz, Some("buzz-wired-1.2"), false),
            ("event4", buzz, Some("buzz-wired-1.3"), true),
            ("event5", buzz, Some("buzz-wired-1.4"), true),
            ("event6", None, None, false),
        ];
        assert_eq!(brief, want);
        let spans: Vec<_> = rows.iter().map(|row| row.delay.us.max_us.as_us()).collect();
        assert_eq!(spans, [100_000; 4], "with a slot or without");
        assert_eq!(rows[3].verdict, Assignment::Unclaimed);

        let matcher = Match { vendor: Some(0x054c), ..Match::default() };
        let us = Span::new(Micros::from_us(3), Micros::from_us(7));
        let delay = Configured { delay_us: Some(us), scan_us: None };
        let entry = "pool \"a\"".to_owned();
        let claim = Claim { entry, matcher, buzzers: None, debounce_us: Micros::ZERO, delay };
        let rows = survey(Claims::Listed(vec![claim]), root.path(), &input).unwrap().rows;
        let verdicts: Vec<_> = rows.iter().map(|row| row.verdict.clone()).collect();
        assert_eq!(rows[0].delay.us, us, "the slot's claim says so");
        assert_eq!(rows[1].delay.us.max_us, Micros::from_ms(100), "which is not this device's");
        let slot = SlotId::new(0);
        let other = Assignment::Ambiguous(slot);
        assert_eq!(verdicts, [Assignment::Slot(slot), other.clone(), other, Assignment::Unclaimed]);
        let want = r#"write `match = { vendor = "054c", product = "0002", phys = "usb-0-1.3/*" }` in pool "a" to use event4"#;
        assert!(rows[1].trouble.as_ref().unwrap().contains(want), "{:?}", rows[1].trouble);
    }
}
