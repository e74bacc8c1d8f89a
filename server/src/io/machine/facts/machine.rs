//! Clock source, kernel, idle states, virtual or not. In: `/proc` and `/sys`. Out: facts. Guarantee: a machine is called
//! real only if something that would say otherwise could be read.

use std::fs;

use buzzer_core::time::Micros;

use super::Places;
use crate::doctor::facts::{Clock, Kernel, Missing, Read};

const CLOCK_DIR: &str = "devices/system/clocksource/clocksource0";
/// Makers of machines that are none, as DMI names them.
const HYPERVISORS: [&str; 8] =
    ["QEMU", "KVM", "VMware", "VirtualBox", "innotek", "Xen", "Parallels", "Amazon EC2"];

pub(super) fn clock(places: &Places) -> Read<Clock> {
    let dir = places.sys(CLOCK_DIR);
    let current = places.text(&dir.join("current_clocksource"))?;
    // Only for the cure.
    let available = places.text(&dir.join("available_clocksource")).unwrap_or_default();
    Ok(Clock { current, available: available.split_whitespace().map(str::to_owned).collect() })
}

pub(super) fn kernel(places: &Places) -> Read<Kernel> {
    let version = places.text(&places.proc("version"))?;
    let release = version.split_whitespace().nth(2).unwrap_or("unnamed").to_owned();
    // Patched kernels have the file; since PREEMPT_RT is in mainline the version says it (`init/Makefile`, UTS_VERSION).
    let file = places.text(&places.sys("kernel/realtime")).is_ok_and(|text| text == "1");
    let is_realtime = file || version.split_whitespace().any(|word| word == "PREEMPT_RT");
    Ok(Kernel { release, is_realtime })
}

pub(super) fn is_virtual(places: &Places) -> Read<bool> {
    let cpuinfo = places.text(&places.proc("cpuinfo"))?;
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let by_flag = flags.is_some_and(|line| line.split_whitespace().any(|flag| flag == "hypervisor"));
    let is_there = |path| fs::exists(path).unwrap_or(false);
    let by_tree = is_there(places.proc("device-tree/hypervisor")) || is_there(places.sys("hypervisor/type"));
    let compatible = places.text(&places.proc("device-tree/compatible")).unwrap_or_default();
    if by_flag || by_tree || compatible.contains("dummy-virt") {
        return Ok(true);
    }
    // On x86 every hypervisor that does not hide sets the flag; elsewhere firmware has to say what this is.
    let vendor = places.text(&places.sys("class/dmi/id/sys_vendor"));
    match (&vendor, flags.is_some()) {
        (Ok(vendor), _) => Ok(HYPERVISORS.iter().any(|name| vendor.contains(name))),
        (Err(_), true) => Ok(false),
        (Err(_), false) if !compatible.is_empty() => Ok(false),
        (Err(missing), false) => Err(missing.clone()),
    }
}

pub(super) fn idle(places: &Places) -> Read<Option<(String, Micros)>> {
    let driver = places.text(&places.sys("devices/system/cpu/cpuidle/current_driver"))?;
    if driver == "none" {
        return Ok(None);
    }
    // The first processor stands for all: they are told apart by nobody who sets up a quiz.
    let dir = places.sys("devices/system/cpu/cpu0/cpuidle");
    let entries = fs::read_dir(&dir).map_err(|error| places.missing(&dir, &error))?;
    let mut deepest = None;
    for state in entries.flatten().map(|entry| entry.path()) {
        let is_allowed = places.text(&state.join("disable")).is_ok_and(|text| text == "0");
        let Ok(wake) = places.text(&state.join("latency"))?.parse::<u64>() else {
            return Err(Missing(format!("the latency in {}", state.display())));
        };
        let wake = Micros::from_us(wake);
        if is_allowed && deepest.as_ref().is_none_or(|(_, deep)| *deep < wake) {
            deepest = Some((places.text(&state.join("name"))?, wake));
        }
    }
    Ok(deepest)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Tree;
    use super::*;

    #[test]
    fn a_tree_is_read_as_it_is() {
        let tree = Tree::new();
        tree.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
        tree.write("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet \n");
        let read = clock(&tree.places).unwrap();
        assert_eq!((read.current.as_str(), read.available), ("hpet", vec!["tsc".into(), "hpet".into()]));
        for (version, realtime_file, want) in [
            ("Linux version 6.12.1 (x) #1 SMP PREEMPT_DYNAMIC", None, false),
            ("Linux version 6.12.1-rt5 (x) #1 SMP PREEMPT_RT y", None, true),
            ("Linux version 5.10.1 (x) #1 SMP", Some("1\n"), true),
            ("Linux version 5.10.1 (x) #1 SMP", Some("0\n"), false),
        ] {
            let tree = Tree::new();
            tree.write("proc/version", version);
            if let Some(text) = realtime_file {
                tree.write("sys/kernel/realtime", text);
            }
            let read = kernel(&tree.places).unwrap();
            assert_eq!((read.is_realtime, read.release.starts_with(['5', '6'])), (want, true), "{version}");
        }
    }

    #[test]
    fn virtual_machines_give_themselves_away() {
        let x86 = "processor : 0\nflags\t\t: fpu tsc\n";
        let guest = "flags\t\t: fpu hypervisor tsc\n";
        let arm = "processor : 0\nFeatures : fp\n";
        for (cpuinfo, file, want) in [
            (x86, None, Some(false)),
            (guest, None, Some(true)),
            (x86, Some(("sys/class/dmi/id/sys_vendor", "QEMU\n")), Some(true)),
            (x86, Some(("sys/class/dmi/id/sys_vendor", "Intel\n")), Some(false)),
            (x86, Some(("sys/hypervisor/type", "xen\n")), Some(true)),
            (arm, None, None),
            (arm, Some(("proc/device-tree/compatible", "linux,dummy-virt\0")), Some(true)),
            (arm, Some(("proc/device-tree/compatible", "raspberrypi,4-model-b\0")), Some(false)),
        ] {
            let tree = Tree::new();
            tree.write("proc/cpuinfo", cpuinfo);
            if let Some((path, text)) = file {
                tree.write(path, text);
            }
            assert_eq!(is_virtual(&tree.places).ok(), want, "{cpuinfo} {file:?}");
        }
        assert_eq!(is_virtual(&Tree::new().places), Err(Missing("/proc/cpuinfo: not there".to_owned())));
    }

    #[test]
    fn the_deepest_state_that_is_allowed_counts() {
        let tree = Tree::new();
        assert!(idle(&tree.places).is_err());
        tree.write("sys/devices/system/cpu/cpuidle/current_driver", "intel_idle\n");
        for (state, name, wake, disable) in [(0, "POLL", 0, 0), (1, "C6", 133, 0), (2, "C10", 890, 1)] {
            let dir = format!("sys/devices/system/cpu/cpu0/cpuidle/state{state}");
            for (file, text) in
                [("name", name.to_owned()), ("latency", wake.to_string()), ("disable", disable.to_string())]
            {
                tree.write(&format!("{dir}/{file}"), &text);
            }
        }
        let want = Some(("C6".to_owned(), Micros::from_us(133)));
        assert_eq!(idle(&tree.places).unwrap(), want);
        tree.write("sys/devices/system/cpu/cpuidle/current_driver", "none\n");
        assert_eq!(idle(&tree.places).unwrap(), None);
    }
}
