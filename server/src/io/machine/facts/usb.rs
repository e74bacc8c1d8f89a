//! The USB side of an input device. In: sysfs above it, `/proc/interrupts`. Out: power,
//! interrupts. Guarantee: only attributes that the kernel keeps in memory are read, so no device is woken.
//!
//! Above `input23` lie its HID folder (for HID devices), the USB interface, the USB device, hubs, the root hub
//! (`usb1`), and what that hangs on: the host controller.

use std::fs;
use std::path::{Path, PathBuf};

use buzzer_core::device::identity::number_of;

use super::Places;
use crate::doctor::facts::{Irq, Usb};

/// The USB side of a node. `None`: it is not on USB.
pub(super) fn look(places: &Places, node: &str) -> Option<Usb> {
    let interface = interface(places, node)?;
    let device = interface.parent()?;
    let root_hub = device.ancestors().find(|folder| is_root_hub(folder))?;
    Some(Usb {
        name: file_name(device)?.to_owned(),
        may_suspend: places.text(&device.join("power/control")).map(|text| text == "auto"),
        irqs: irqs(places, root_hub.parent()?, file_name(root_hub)?),
    })
}

fn interface(places: &Places, node: &str) -> Option<PathBuf> {
    let input = fs::canonicalize(places.sys("class/input").join(node).join("device")).ok()?;
    input.ancestors().find(|folder| folder.join("bInterfaceNumber").exists()).map(Path::to_owned)
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn is_root_hub(folder: &Path) -> bool {
    file_name(folder).is_some_and(|name| number_of(name, "usb").is_some())
}

/// A PCI controller lists its interrupts (of which it may use few), others are named after the root hub in
/// `/proc/interrupts`: `xhci-hcd:usb1`.
fn irqs(places: &Places, controller: &Path, root_hub: &str) -> Vec<Irq> {
    let table = places.text(&places.proc("interrupts")).unwrap_or_default();
    let lines = table.lines().filter_map(|line| {
        let (number, rest) = line.split_once(':')?;
        Some((number.trim().parse::<u32>().ok()?, rest))
    });
    let lines: Vec<(u32, &str)> = lines.collect();
    let entries = fs::read_dir(controller.join("msi_irqs")).into_iter().flatten().flatten();
    let mut own: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    if own.is_empty() {
        own.extend(places.text(&controller.join("irq")).ok().and_then(|text| text.parse::<u32>().ok()));
    }
    let is_own = |number: &u32, rest: &str| {
        own.contains(number)
            || rest
                .split_whitespace()
                .any(|word| word.trim_end_matches(',').ends_with(&format!(":{root_hub}")))
    };
    let used = lines.iter().filter(|(number, rest)| is_own(number, rest)).map(|(number, _)| *number);
    used.map(|number| Irq { number, cpus: cpus(places, number) }).collect()
}

fn cpus(places: &Places, number: u32) -> String {
    let dir = places.proc("irq").join(number.to_string());
    let effective = places.text(&dir.join("effective_affinity_list")).ok().filter(|text| !text.is_empty());
    effective.or_else(|| places.text(&dir.join("smp_affinity_list")).ok()).unwrap_or_else(|| "?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Tree;
    use super::*;

    const TABLE: &str = "           CPU0       CPU1\n   9:  1  0  IO-APIC  9-fasteoi  acpi\n \
                         128:  7  0  PCI-MSIX  xhci_hcd\n  66:  1  0  GICv2  xhci-hcd:usb1\n NMI:  0  0\n";

    #[test]
    fn a_hub_behind_a_hub_is_followed_up_to_its_controller() {
        let tree = Tree::new();
        tree.plug(&Tree::buzz("event7"), "10ms", "1.5", "auto");
        tree.write("proc/interrupts", TABLE);
        tree.write("sys/devices/pci0000:00/0000:00:14.0/msi_irqs/128", "msix\n");
        tree.write("sys/devices/pci0000:00/0000:00:14.0/msi_irqs/129", "msix\n");
        tree.write("proc/irq/128/effective_affinity_list", "2\n");
        let usb = look(&tree.places, "event7").unwrap();
        assert_eq!((usb.name.as_str(), usb.may_suspend), ("1-1.2", Ok(true)));
        let want = [Irq { number: 128, cpus: "2".to_owned() }, Irq { number: 66, cpus: "?".to_owned() }];
        assert_eq!(usb.irqs, want);
        assert!(look(&tree.places, "event8").is_none());
    }
}
