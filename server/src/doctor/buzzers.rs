//! Are the buzzers there, and ours alone? In: devices, pools, programs. Out: findings on presence, permission,
//! autosuspend and other programs. Guarantee: a device that nobody may open, or a pool without its devices, fails.

use std::collections::BTreeSet;

use buzzer_core::quote::listed;

use super::Finding;
use super::facts::{DeviceFacts, Facts, Missing, Pool, Processes, Read, Sight};
use crate::counted::counted;

/// Tells udev, and through it the desktop, that these devices are ours. One line for each model; the file's name sorts after
/// 70-uaccess, which would hand joysticks to the seat's user, and before 73-seat-late, which would apply it.
fn rules(devices: &[DeviceFacts]) -> String {
    let models: BTreeSet<(u16, u16)> = devices.iter().map(|device| device.ids).collect();
    let line = |(vendor, product): &(u16, u16)| {
        format!(
            " 'SUBSYSTEM==\"input\", KERNEL==\"event*\", ATTRS{{id/vendor}}==\"{vendor:04x}\", \
             ATTRS{{id/product}}==\"{product:04x}\", GROUP=\"input\", MODE=\"0660\", TAG-=\"uaccess\", \
             ENV{{LIBINPUT_IGNORE_DEVICE}}=\"1\"'"
        )
    };
    format!(
        "printf '%s\\n'{} | sudo tee -a /etc/udev/rules.d/72-buzzerd-local.rules && sudo udevadm control --reload && sudo \
         udevadm trigger -s input",
        models.iter().map(line).collect::<String>()
    )
}

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = presence(&facts.devices, &facts.pools);
    findings.extend(facts.strays.iter().map(|trouble| stray(trouble)));
    if let Ok(devices) = &facts.devices
        && !devices.is_empty()
    {
        findings.push(permissions(devices));
        findings.extend(autosuspend(devices));
        findings.push(other_programs(devices, &facts.processes));
    }
    findings
}

fn presence(devices: &Read<Vec<DeviceFacts>>, pools: &[Pool]) -> Vec<Finding> {
    const CHECK: &str = "buzzers";
    let virtual_pools = pools.iter().filter(|pool| pool.is_virtual).count();
    let devices = match devices {
        Ok(devices) => devices,
        Err(missing) => {
            return vec![Finding::unknown(
                CHECK,
                missing,
                "Without it nobody can say which buzzers are plugged in.",
            )];
        }
    };
    let mut findings = Vec::new();
    for pool in pools.iter().filter(|pool| pool.found < pool.wanted) {
        let found =
            format!("pool {} has {} of its {}", pool.id, pool.found, counted(pool.wanted as u64, "device"));
        let why =
            "The configuration asks for hardware that is not plugged in, or that its match does not fit.";
        findings.push(Finding::fail(CHECK, found, why).cure("buzzerd devices"));
    }
    let buzzers: usize = devices.iter().map(|device| device.buzzers).sum();
    if devices.is_empty() && virtual_pools == 0 && findings.is_empty() {
        let why =
            "No buzzer is plugged in that is known or that the configuration names, so nobody can buzz.";
        findings.push(Finding::fail(CHECK, "none found", why).cure("buzzerd devices"));
    } else if findings.is_empty() {
        let hardware =
            format!("{} on {}", counted(buzzers as u64, "buzzer"), counted(devices.len() as u64, "device"));
        let programs = counted(virtual_pools as u64, "virtual pool");
        let found = match (devices.len(), virtual_pools) {
            (0, _) => programs,
            (_, 0) => hardware,
            _ => format!("{hardware}, {programs}"),
        };
        findings.push(Finding::ok(CHECK, found, "Everything that the configuration asks for is there."));
    }
    findings
}

/// `event7 (stage), event8 (desk)`.
pub(super) fn list<'a>(devices: impl IntoIterator<Item = &'a DeviceFacts>) -> String {
    listed(devices.into_iter().map(|device| format!("{} ({})", device.node, device.pool)))
}

fn stray(trouble: &str) -> Finding {
    let why = "The device fits what the configuration asks for, but cannot be used as it stands.";
    let finding = Finding::warn("matching", trouble, why);
    match command(trouble) {
        Some(command) => finding.cure(command),
        None => finding.cure("buzzerd devices"),
    }
}

/// The first command in a sentence: what stands between backticks.
fn command(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

fn permissions(devices: &[DeviceFacts]) -> Finding {
    const CHECK: &str = "permissions";
    let shut: Vec<_> = devices.iter().filter(|device| device.trouble.is_some()).collect();
    let Some(trouble) = shut.first().and_then(|device| device.trouble.as_deref()) else {
        let found = format!("this account may open {}", list(devices));
        return Finding::ok(CHECK, found, "The service may run under another account: see its unit file.");
    };
    let found = format!("this account cannot use {}", list(shut.iter().copied()));
    Finding::fail(CHECK, found, trouble).cure(command(trouble).map_or_else(|| rules(devices), str::to_owned))
}

/// A suspended device sleeps until the first press wakes it: usbhid lets it, though it is open, if it can wake the
/// host (`drivers/hid/usbhid/hid-core.c`, `usbhid_open` and `needs_remote_wakeup`).
fn autosuspend(devices: &[DeviceFacts]) -> Option<Finding> {
    const CHECK: &str = "USB autosuspend";
    const WHY: &str = "A device that the kernel put to sleep reports its first press late, or loses it.";
    let usb: Vec<_> =
        devices.iter().filter_map(|device| Some((device.node.as_str(), device.usb.as_ref()?))).collect();
    if usb.is_empty() {
        return None;
    }
    let sleepy: Vec<_> = usb.iter().filter(|(_, usb)| usb.may_suspend == Ok(true)).collect();
    if !sleepy.is_empty() {
        let nodes = listed(sleepy.iter().map(|(node, _)| node));
        let paths: Vec<_> = sleepy
            .iter()
            .map(|(_, usb)| format!("/sys/bus/usb/devices/{}/power/control", usb.name))
            .collect();
        let finding = Finding::warn(CHECK, format!("on for {nodes}"), WHY);
        return Some(finding.cure(format!("echo on | sudo tee {}", paths.join(" "))));
    }
    let unread = usb.iter().find_map(|(_, usb)| usb.may_suspend.as_ref().err());
    Some(match unread {
        Some(missing) => Finding::unknown(CHECK, missing, WHY),
        None => Finding::ok(CHECK, "off", WHY),
    })
}

fn other_programs(devices: &[DeviceFacts], processes: &Read<Processes>) -> Finding {
    const CHECK: &str = "other programs";
    // evdev.c, __evdev_queue_syn_dropped: a process that sets the clock of a device spoils its next stamp for all.
    const WHY: &str = "Another program that opens a buzzer can give its next press a wrong time, and may type what \
                       players press.";
    let processes = match processes {
        Ok(processes) => processes,
        Err(missing) => return Finding::unknown(CHECK, missing, WHY),
    };
    if !processes.holders.is_empty() {
        let has = |(name, pid, node): &(String, u32, String)| format!("{name} (pid {pid}) has {node} open");
        let found = listed(processes.holders.iter().map(has));
        return Finding::warn(CHECK, found, WHY).cure(rules(devices));
    }
    if let Some(desktop) = &processes.desktop {
        let open: Vec<_> = devices.iter().filter(|device| device.is_ignored == Ok(false)).collect();
        if !open.is_empty() {
            let found = format!("{desktop} is running and was not told to leave {} alone", list(open));
            return Finding::warn(CHECK, found, WHY).cure(rules(devices));
        }
        if let Some(missing) = devices.iter().find_map(|device| device.is_ignored.as_ref().err()) {
            return Finding::unknown(CHECK, missing, format!("{desktop} is running. {WHY}"));
        }
    }
    let unseen = match processes.sight {
        Sight::All => return Finding::ok(CHECK, "none has a buzzer open", WHY),
        Sight::Own => "what programs of other accounts have open",
        Sight::Inside => "programs outside this container, or that /proc hides",
    };
    Finding::unknown(CHECK, &Missing(unseen.to_owned()), WHY)
        .cure("sudo buzzerd doctor    (on the machine itself)")
}

#[cfg(test)]
mod tests {
    use super::super::CheckLevel::{self, Fail, Ok as Fine, Unknown, Warn};
    use super::super::facts::tests::{fit, hub, missing};
    use super::*;

    fn pool(wanted: usize, found: usize) -> Pool {
        Pool { id: "desk".to_owned(), is_virtual: wanted == 0, is_stamped: true, wanted, found }
    }

    #[test]
    fn missing_hardware_fails() {
        for (devices, pools, want, text) in [
            (vec![], vec![], Fail, "none found"),
            (vec![hub("event7")], vec![], Fine, "4 buzzers on 1 device"),
            (vec![], vec![pool(0, 0)], Fine, "1 virtual pool"),
            (vec![], vec![pool(1, 0)], Fail, "pool desk has 0 of its 1 device"),
            (
                vec![hub("event7")],
                vec![pool(0, 0), pool(0, 0)],
                Fine,
                "4 buzzers on 1 device, 2 virtual pools",
            ),
            (vec![hub("event7")], vec![pool(2, 1)], Fail, "pool desk has 1 of its 2 devices"),
            (vec![hub("event7"), hub("event8")], vec![pool(2, 2)], Fine, "8 buzzers on 2 devices"),
        ] {
            let findings = presence(&Ok(devices), &pools);
            let got: Vec<_> =
                findings.iter().map(|finding| (finding.verdict, finding.found.as_str())).collect();
            assert_eq!(got, [(want, text)]);
        }
        assert_eq!(presence(&missing(), &[])[0].verdict, Unknown);
    }

    #[test]
    fn the_cure_is_the_command_in_the_trouble() {
        let trouble = "x belongs to root:input: add the user: `sudo usermod -aG input $USER`, or `other`";
        let shut = DeviceFacts { trouble: Some(trouble.to_owned()), ..hub("event8") };
        let finding = permissions(&[hub("event7"), shut]);
        assert_eq!((finding.verdict, finding.why.as_str()), (Fail, trouble));
        assert_eq!(finding.cure.as_deref(), Some("sudo usermod -aG input $USER"));
        assert!(finding.found.ends_with("event8 (stage)"));
        assert_eq!(permissions(&[hub("event7")]).verdict, Fine);
        assert_eq!(stray("two fit: add phys").cure.as_deref(), Some("buzzerd devices"));
    }

    #[test]
    fn a_device_that_may_sleep_is_told() {
        let with = |may_suspend: Read<bool>| {
            let mut device = hub("event7");
            device.usb.as_mut().unwrap().may_suspend = may_suspend;
            device
        };
        for (device, want) in [(with(Ok(false)), Fine), (with(Ok(true)), Warn), (with(missing()), Unknown)] {
            assert_eq!(autosuspend(&[hub("event3"), device]).unwrap().verdict, want);
        }
        let cure = autosuspend(&[with(Ok(true))]).unwrap().cure.unwrap();
        assert_eq!(cure, "echo on | sudo tee /sys/bus/usb/devices/1-1.2/power/control");
        assert_eq!(autosuspend(&[DeviceFacts { usb: None, ..hub("event7") }]), None);
    }

    #[test]
    fn who_else_may_have_it_open() {
        let desktop = || Some("gnome-shell".to_owned());
        let holder = || vec![("Xorg".to_owned(), 9, "event7".to_owned())];
        for (sight, holders, desktop, is_ignored, want) in [
            (Sight::All, vec![], None, Ok(false), Fine),
            (Sight::Own, vec![], None, Ok(false), Unknown),
            (Sight::Inside, vec![], None, Ok(false), Unknown),
            (Sight::All, holder(), desktop(), Ok(true), Warn),
            (Sight::All, vec![], desktop(), Ok(true), Fine),
            (Sight::All, vec![], desktop(), Ok(false), Warn),
            (Sight::All, vec![], desktop(), missing(), Unknown),
        ] {
            let processes = Ok(Processes { sight, holders, desktop, irq_threads: vec![] });
            let device = DeviceFacts { is_ignored, ..hub("event7") };
            assert_eq!(other_programs(&[device], &processes).verdict, want, "{processes:?}");
        }
        assert_eq!(other_programs(&[hub("event7")], &missing()).verdict, Unknown);
    }

    #[test]
    fn the_rules_are_for_what_is_there() {
        let other = DeviceFacts { ids: (0x0079, 0x0006), ..hub("event9") };
        let command = rules(&[hub("event7"), other, hub("event8")]);
        assert_eq!(
            (command.matches("GROUP=").count(), command.matches("deploy").count()),
            (2, 0),
            "{command}"
        );
        assert!(command.contains(r#"ATTRS{id/vendor}=="0079", ATTRS{id/product}=="0006", "#), "{command}");
    }

    #[test]
    fn without_devices_their_checks_are_left_out() {
        let facts = Facts { devices: Ok(vec![]), pools: vec![], ..fit() };
        let verdicts: Vec<CheckLevel> = check(&facts).iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Fail]);
    }
}
