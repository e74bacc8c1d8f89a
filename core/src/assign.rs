//! Which device serves which claim. In: [`Claims`] and the devices that are there. Out: one [`Verdict`] per device.
//! Guarantee: what is assigned stays so while its device stays; a device serves one slot at most, a slot has one
//! device at most; the result depends on the claims' and the nodes' order alone, never on who was read first.

#[cfg(test)]
mod tests;

use crate::claim::{Claim, Claims, SlotId};
use crate::identity::{Identity, StableId};
use crate::keys::{KeyCode, KeyMap};
use crate::profile::recognise;
use crate::time::Micros;
use crate::uncertainty::Uncertainty;

/// What becomes of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It serves this slot.
    Slot(SlotId),
    /// It fits this slot's claim, which another device serves: it is not opened, and `phys` in the configuration
    /// would tell the two apart.
    Ambiguous(SlotId),
    /// It would serve this slot if it had these keys, which the configuration names.
    Lacks(SlotId, Vec<KeyCode>),
    /// Nobody asks for it, or it is another interface of a unit that serves already.
    Unclaimed,
}

/// A device at its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The device.
    pub identity: Identity,
    /// The name of its profile.
    pub profile: Option<&'static str>,
    /// Which key is which buzzer.
    pub keys: KeyMap,
    /// A name that lasts, for a pool that has no other: profile and USB port, `buzz-wired-1.2`. At most 64
    /// printable ASCII bytes; without configuration no two slots ever share one.
    pub label: String,
    /// By how much its presses may be older than their stamps.
    pub uncertainty: Uncertainty,
}

/// Every slot and the device at it.
#[derive(Debug)]
pub struct Slots {
    claims: Claims,
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    device: Option<Identity>,
    /// Without configuration: whose slot this is, also while it is away, and its name.
    owner: Option<(StableId, String)>,
}

impl Slots {
    /// The slots of these claims, all empty.
    pub fn new(claims: Claims) -> Self {
        let slots = match &claims {
            Claims::Listed(claims) => claims.iter().map(|_| Slot::default()).collect(),
            Claims::Known { .. } => Vec::new(),
        };
        Self { claims, slots }
    }

    /// Puts devices at slots; devices in the order of their nodes. Whoever was there and still is keeps its
    /// slot. Gives one verdict per device.
    pub fn assign(&mut self, devices: &[Identity]) -> Vec<Verdict> {
        let verdicts = match &self.claims {
            Claims::Listed(claims) => {
                let held: Vec<_> = self.slots.iter().map(|slot| slot.device.as_ref()).collect();
                assign(claims, &held, devices)
            }
            Claims::Known { .. } => assign_known(&mut self.slots, devices),
        };
        for slot in &mut self.slots {
            slot.device = None;
        }
        for (verdict, device) in verdicts.iter().zip(devices) {
            if let Verdict::Slot(slot) = verdict {
                self.slots[slot.index()].device = Some(device.clone());
            }
        }
        verdicts
    }

    /// Every slot there is.
    pub fn ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        (0..self.slots.len()).map(SlotId::from_index)
    }

    /// The device at this slot.
    pub fn device(&self, slot: SlotId) -> Option<&Identity> {
        self.slots.get(slot.index())?.device.as_ref()
    }

    /// The device at this slot, and what is known of it.
    pub fn found(&self, slot: SlotId) -> Option<Found> {
        let entry = self.slots.get(slot.index())?;
        let identity = entry.device.clone()?;
        let profile = recognise(&identity);
        let keys = match (&self.claims, profile) {
            (Claims::Listed(claims), _) => claims[slot.index()].keys(&identity),
            (Claims::Known { .. }, profile) => profile?.keys(&identity),
        };
        let label = match &entry.owner {
            Some((_, label)) => label.clone(),
            None => label(&identity, None),
        };
        let configured = match &self.claims {
            Claims::Listed(claims) => claims[slot.index()].uncertainty_us,
            Claims::Known { .. } => None,
        };
        let uncertainty = Uncertainty::of(&identity, configured);
        Some(Found { profile: profile.map(|profile| profile.name()), identity, keys, label, uncertainty })
    }

    /// The debounce time of this slot.
    pub fn debounce_us(&self, slot: SlotId) -> Micros {
        match &self.claims {
            Claims::Listed(claims) => {
                claims.get(slot.index()).map_or(Micros::ZERO, |claim| claim.debounce_us)
            }
            Claims::Known { debounce_us } => *debounce_us,
        }
    }

    /// Whether the mediator may have devices for itself: those that a configuration names, no others.
    pub fn may_grab(&self) -> bool {
        matches!(self.claims, Claims::Listed(_))
    }
}

/// Puts devices at the claims that ask for them: claim by claim, each takes the first device (in the order of
/// nodes) that fits and is free, and of that device's unit the node that fits best. `held` is who serves each claim
/// now, one entry per claim; it stays unless a better node of its own unit has appeared.
pub fn assign(claims: &[Claim], held: &[Option<&Identity>], devices: &[Identity]) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::Unclaimed; devices.len()];
    let mut served: Vec<Option<usize>> = vec![None; claims.len()];
    for (slot, (claim, held)) in claims.iter().zip(held).enumerate() {
        let stays = held.and_then(|held| devices.iter().position(|device| device.is_same_instance(held)));
        let Some(index) = stays.filter(|index| verdicts[*index] == Verdict::Unclaimed) else { continue };
        let Some(fit) = claim.fit(&devices[index]) else { continue };
        let better =
            |device: &Identity| device.is_same_unit(&devices[index]) && claim.fit(device) > Some(fit);
        if !devices.iter().any(better) {
            served[slot] = Some(index);
            verdicts[index] = Verdict::Slot(SlotId::from_index(slot));
        }
    }
    for (slot, claim) in claims.iter().enumerate() {
        if served[slot].is_some() {
            continue;
        }
        let free =
            |index: &usize| verdicts[*index] == Verdict::Unclaimed && claim.fit(&devices[*index]).is_some();
        let Some(first) = (0..devices.len()).find(free) else { continue };
        let of_its_unit =
            (first..devices.len()).filter(free).filter(|i| devices[*i].is_same_unit(&devices[first]));
        // `max_by_key` gives the last of equals: reversed, that is the unit's first interface.
        let best = of_its_unit.rev().max_by_key(|i| claim.fit(&devices[*i])).unwrap_or(first);
        served[slot] = Some(best);
        verdicts[best] = Verdict::Slot(SlotId::from_index(slot));
    }
    for (index, device) in devices.iter().enumerate() {
        if verdicts[index] == Verdict::Unclaimed {
            verdicts[index] = why_not(claims, &served, devices, device);
        }
    }
    verdicts
}

/// Why a device serves no slot.
fn why_not(claims: &[Claim], served: &[Option<usize>], devices: &[Identity], device: &Identity) -> Verdict {
    for (slot, (claim, server)) in claims.iter().zip(served).enumerate() {
        match (claim.fit(device), server.map(|index| &devices[index])) {
            // A keyboard's media keys beside the keyboard: not one device too many. But where the claim names
            // keys and both interfaces have them, only the owner can say which one is meant.
            (Some(_), Some(server)) if server.is_same_unit(device) && claim.buzzers.is_none() => {}
            (Some(_), Some(_)) => return Verdict::Ambiguous(SlotId::from_index(slot)),
            (None, None) if !device.keys.is_empty() && claim.matcher.matches(device) => {
                return Verdict::Lacks(SlotId::from_index(slot), claim.missing(device));
            }
            _ => {}
        }
    }
    Verdict::Unclaimed
}

/// Without configuration: every device that is free to take has the slot that it had, or the one that a device of
/// the same stable identity left, or a new one. (Two players' halves of one encoder may share even their phys.)
fn assign_known(slots: &mut Vec<Slot>, devices: &[Identity]) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::Unclaimed; devices.len()];
    let mut taken = vec![false; slots.len()];
    let wanted: Vec<usize> = (0..devices.len())
        .filter(|i| recognise(&devices[*i]).is_some_and(|profile| profile.is_free_to_take(&devices[*i])))
        .collect();
    for index in &wanted {
        let is_its =
            |slot: &Slot| slot.device.as_ref().is_some_and(|held| held.is_same_instance(&devices[*index]));
        if let Some(slot) = slots.iter().position(is_its) {
            taken[slot] = true;
            verdicts[*index] = Verdict::Slot(SlotId::from_index(slot));
        }
    }
    for index in wanted {
        if verdicts[index] != Verdict::Unclaimed {
            continue;
        }
        let stable = devices[index].stable();
        let is_its =
            |slot: &usize| !taken[*slot] && slots[*slot].owner.as_ref().is_some_and(|(id, _)| *id == stable);
        let left = (0..slots.len()).find(is_its);
        let slot = left.unwrap_or_else(|| {
            let label = unique_label(&devices[index], slots);
            slots.push(Slot { device: None, owner: Some((stable, label)) });
            taken.push(false);
            slots.len() - 1
        });
        taken[slot] = true;
        verdicts[index] = Verdict::Slot(SlotId::from_index(slot));
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

/// `buzz-wired-1.2`: what it is and where it is plugged in. What is not on USB goes by its serial number.
fn label(device: &Identity, controller: Option<&str>) -> String {
    let what = recognise(device).map_or("device", |profile| profile.name());
    let place = device.usb_port().unwrap_or(&device.uniq);
    let parts = [what, controller.unwrap_or(""), place].into_iter().filter(|part| !part.is_empty());
    let mut label = parts.collect::<Vec<_>>().join("-");
    label.retain(|char| char.is_ascii_alphanumeric() || "-.:_".contains(char));
    label.truncate(64);
    label
}
