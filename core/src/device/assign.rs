//! Which device serves which claim. In: [`Claims`] and the devices that are there. Out: one [`Assignment`] per device, and
//! what a person should know of it ([`remarks`]). Guarantee: what is assigned stays so while its device stays; a device
//! serves one slot at most, a slot has one device at most; the result depends on the claims' and the nodes' order alone,
//! never on who was read first.

mod known;
mod listed;
pub mod remarks;
#[cfg(test)]
mod tests;

pub use self::known::may_be_label;
use crate::device::claim::{Claim, Claims, SlotId};
use crate::device::delay::Delay;
use crate::device::identity::Identity;
use crate::device::kind::{self, DeviceKind};
use crate::device::profile::{known_model, recognise};
use crate::press::keys::{KeyCode, KeyMap};
use crate::time::Micros;

/// What becomes of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// It serves this slot.
    Slot(SlotId),
    /// It fits this slot's claim as well as the device that serves it: it is not opened.
    Ambiguous(SlotId),
    /// It is another node of the unit that serves this slot.
    Part(SlotId),
    /// It would serve this slot, which nobody serves, if it had these keys, which the configuration names.
    Lacks(SlotId, Vec<KeyCode>),
    /// It is meant by this slot's claim, but has not all keys that the configuration names, and another device has.
    Unfit(SlotId),
    /// Nobody asks for it.
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
    /// Its keys that are no buzzers, where no configuration names those that are.
    pub left_out: Vec<KeyCode>,
    /// A name that lasts, for a pool that has no other: profile and USB port, `buzz-wired-1.2`. At most 64
    /// printable ASCII bytes; without configuration no two slots ever share one.
    pub label: String,
    /// How long before their stamps its presses were made.
    pub delay: Delay,
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
    owner: Option<(Identity, String)>,
}

/// How likely a node is the one of its unit that is meant, and how well it is known; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    DeviceKind(DeviceKind),
    /// Its very model is known.
    Model,
}

/// The rank of each device among the nodes of its unit. A unit with a keyboard, a pointer and a pad can be set to send
/// anything, and as sold these send keys: there a pad ranks below the keyboard.
fn ranks(devices: &[Identity]) -> Vec<Rank> {
    let kinds: Vec<DeviceKind> = devices.iter().map(kind::of).collect();
    let rank = |index: usize| {
        let device: &Identity = &devices[index];
        let has = |kind| (0..devices.len()).any(|i| kinds[i] == kind && devices[i].is_same_unit(device));
        match kinds[index] {
            _ if known_model(device).is_some() => Rank::Model,
            DeviceKind::Pad if has(DeviceKind::Keyboard) && has(DeviceKind::Pointer) => {
                Rank::DeviceKind(DeviceKind::Keys)
            }
            kind => Rank::DeviceKind(kind),
        }
    };
    (0..devices.len()).map(rank).collect()
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

    /// Puts devices at slots; devices in the order of their nodes. A device that was there and still is keeps its
    /// slot. Gives one verdict per device.
    pub fn assign(&mut self, devices: &[Identity]) -> Vec<Assignment> {
        let verdicts = match &self.claims {
            Claims::Listed(claims) => {
                let held: Vec<_> = self.slots.iter().map(|slot| slot.device.as_ref()).collect();
                listed::assign(claims, &held, devices)
            }
            Claims::Known { .. } => known::assign(&mut self.slots, devices),
        };
        for slot in &mut self.slots {
            slot.device = None;
        }
        for (verdict, device) in verdicts.iter().zip(devices) {
            if let Assignment::Slot(slot) = verdict {
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
        let claim = self.claim(slot);
        let keys = match claim {
            Some(claim) => claim.keys(&identity),
            None => profile?.keys(&identity),
        };
        let label = match &entry.owner {
            Some((_, label)) => label.clone(),
            None => known::label(&identity, None),
        };
        let configured = claim.map(|claim| claim.delay).unwrap_or_default();
        let is_named = claim.is_some_and(|claim| claim.buzzers.is_some());
        let left_out = identity.keys.iter().filter(|key| !is_named && keys.buzzer(*key).is_none()).collect();
        let delay = Delay::of(&identity, configured);
        let profile = profile.map(|profile| profile.name);
        Some(Found { identity, profile, keys, left_out, label, delay })
    }

    /// The debounce time of this slot.
    pub fn debounce_us(&self, slot: SlotId) -> Micros {
        match (&self.claims, self.claim(slot)) {
            (Claims::Known { debounce_us }, _) => *debounce_us,
            (Claims::Listed(_), claim) => claim.map_or(Micros::ZERO, |claim| claim.debounce_us),
        }
    }

    fn claim(&self, slot: SlotId) -> Option<&Claim> {
        match &self.claims {
            Claims::Listed(claims) => claims.get(slot.index()),
            Claims::Known { .. } => None,
        }
    }

    /// Whether the mediator may have devices for itself: those that a configuration names, no others.
    pub fn may_grab(&self) -> bool {
        matches!(self.claims, Claims::Listed(_))
    }
}
