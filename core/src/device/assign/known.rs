//! Which device has which slot without configuration. In: the slots so far and the devices that are there. Out: one verdict
//! per device. Guarantee: what is not free to take has no slot; a device that comes back has the slot that it had; no two
//! slots share a label.

use super::{Assignment, Slot};
use crate::device::claim::SlotId;
use crate::device::identity::Identity;
use crate::device::profile::{free_names, recognise};

/// Without configuration: every device that is free to take has the slot that it had, or the one that a device of
/// the same stable identity left, or a new one. (Two players' halves of one encoder may share even their phys.)
pub(super) fn assign(slots: &mut Vec<Slot>, devices: &[Identity]) -> Vec<Assignment> {
    let mut verdicts = vec![Assignment::Unclaimed; devices.len()];
    let mut taken = vec![false; slots.len()];
    let ranks = super::ranks(devices);
    let is_best = |i: usize| {
        (0..devices.len()).all(|other| ranks[other] <= ranks[i] || !devices[other].is_same_unit(&devices[i]))
    };
    let is_free = |device| recognise(device).is_some_and(|profile| profile.is_free_to_take(device));
    let wanted: Vec<usize> = (0..devices.len()).filter(|i| is_free(&devices[*i]) && is_best(*i)).collect();
    for index in &wanted {
        let is_its =
            |slot: &Slot| slot.device.as_ref().is_some_and(|held| held.is_same_instance(&devices[*index]));
        if let Some(slot) = slots.iter().position(is_its) {
            taken[slot] = true;
            verdicts[*index] = Assignment::Slot(SlotId::from_index(slot));
        }
    }
    for index in wanted {
        if verdicts[index] != Assignment::Unclaimed {
            continue;
        }
        let device = &devices[index];
        let is_its = |slot: &usize| {
            let owner = slots[*slot].owner.as_ref().filter(|_| !taken[*slot]);
            owner.is_some_and(|(owner, _)| owner.stable() == device.stable())
        };
        let left = (0..slots.len()).find(is_its);
        let slot = left.unwrap_or_else(|| {
            let label = unique_label(device, slots);
            slots.push(Slot { device: None, owner: Some((device.clone(), label)) });
            taken.push(false);
            slots.len() - 1
        });
        taken[slot] = true;
        verdicts[index] = Assignment::Slot(SlotId::from_index(slot));
    }
    verdicts
}

/// The short name, or with the controller's, or with a number: the first that no other slot has.
fn unique_label(device: &Identity, slots: &[Slot]) -> String {
    let is_free =
        |label: &String| !slots.iter().any(|slot| slot.owner.as_ref().is_some_and(|(_, has)| has == label));
    let short = label(device, None);
    if is_free(&short) {
        return short;
    }
    let long = label(device, device.usb_controller());
    let numbered = (2..).map(|number| format!("{}-{number}", &long[..long.len().min(56)]));
    std::iter::once(long.clone()).chain(numbered).find(is_free).expect("one of endless names is free")
}

/// Whether a device that no configuration names can have this name.
pub fn may_be_label(name: &str) -> bool {
    free_names()
        .any(|what| name.strip_prefix(what).is_some_and(|place| place.is_empty() || place.starts_with('-')))
}

/// `buzz-wired-1.2`: what it is and where it is plugged in. What is not on USB goes by its serial number.
pub(super) fn label(device: &Identity, controller: Option<&str>) -> String {
    let what = recognise(device).map_or("device", |profile| profile.name);
    let place = device.usb_port().unwrap_or(&device.uniq);
    let parts = [what, controller.unwrap_or(""), place].into_iter().filter(|part| !part.is_empty());
    let mut label = parts.collect::<Vec<_>>().join("-");
    label.retain(|char| char.is_ascii_alphanumeric() || "-.:_".contains(char));
    label.truncate(64);
    label
}
