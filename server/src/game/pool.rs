//! The pools of this box and the hardware slots they are made of. In: the configuration, and what the devices thread
//! reports of each slot. Out: which pools are available, and in words why one is not. Guarantee: runtime facts
//! only; whether a pool is *connected* is in the log's fold ([`crate::game::state`]), never here.

use std::collections::BTreeMap;

use buzzer_core::device::assign::may_be_label;
use buzzer_core::device::claim::SlotId;

use crate::record::pool_id::PoolId;

/// A pool as configured.
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// Its name.
    pub id: PoolId,
    /// Connected from the start.
    pub autoconnect: bool,
    /// The slots of its devices; `None` for a virtual pool.
    pub slots: Option<Vec<SlotId>>,
}

/// What is known of a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Its device is on the machine.
    pub present: bool,
    /// The device that was opened for it, and whether the reader reads it yet.
    pub device: Option<(u32, bool)>,
    /// Why it cannot be opened, with the cure.
    pub trouble: Option<String>,
}

impl Slot {
    /// Whether an attempt to open it is still undecided.
    fn is_undecided(&self) -> bool {
        match self.device {
            Some((_, attached)) => !attached,
            None => self.present && self.trouble.is_none(),
        }
    }
}

/// All pools, in configuration order.
#[derive(Debug, Default)]
pub struct Pools {
    specs: Vec<PoolSpec>,
    /// The configuration names no pool, so every recognised device is one.
    is_automatic: bool,
    slots: BTreeMap<SlotId, Slot>,
}

impl Pools {
    /// The pools of a configuration.
    pub fn new(specs: Vec<PoolSpec>) -> Self {
        let slots = specs.iter().flat_map(|spec| spec.slots.iter().flatten());
        let slots = slots.map(|slot| (*slot, Slot::default())).collect();
        Self { is_automatic: specs.is_empty(), specs, slots }
    }

    /// Whether a pool of this name, which is not there, comes with its device.
    pub fn may_appear(&self, id: &PoolId) -> bool {
        self.is_automatic && may_be_label(id.as_str())
    }

    /// The pool with this name.
    pub fn get(&self, id: &str) -> Option<&PoolSpec> {
        self.specs.iter().find(|spec| spec.id.as_str() == id)
    }

    /// All pools, in configuration order.
    pub fn iter(&self) -> impl Iterator<Item = &PoolSpec> {
        self.specs.iter()
    }

    /// A pool that appeared without configuration.
    pub fn add(&mut self, spec: PoolSpec) {
        for slot in spec.slots.iter().flatten() {
            self.slots.entry(*slot).or_default();
        }
        self.specs.push(spec);
    }

    /// The pool that a slot belongs to.
    pub fn of_slot(&self, slot: SlotId) -> Option<&PoolSpec> {
        self.specs.iter().find(|spec| spec.slots.iter().flatten().any(|own| *own == slot))
    }

    /// What is known of a slot.
    pub fn slot(&mut self, slot: SlotId) -> &mut Slot {
        self.slots.entry(slot).or_default()
    }

    /// The slot whose device this is.
    pub fn slot_of(&mut self, device: u32) -> Option<(SlotId, &mut Slot)> {
        let mut slots = self.slots.iter_mut();
        slots
            .find(|(_, slot)| slot.device.is_some_and(|(own, _)| own == device))
            .map(|(id, slot)| (*id, slot))
    }

    fn slots_of<'a>(&'a self, spec: &'a PoolSpec) -> impl Iterator<Item = &'a Slot> {
        spec.slots.iter().flatten().filter_map(|slot| self.slots.get(slot))
    }

    /// Whether the pool is on the machine. A virtual one is as soon as its socket listens, which is from the start.
    pub fn is_available(&self, spec: &PoolSpec) -> bool {
        spec.slots.is_none() || self.slots_of(spec).any(|slot| slot.present)
    }

    /// Whether an attempt to open one of its devices is still undecided.
    pub fn is_undecided(&self, spec: &PoolSpec) -> bool {
        self.slots_of(spec).any(Slot::is_undecided)
    }

    /// Whether the reader reads at least one of its devices. A virtual pool needs none.
    pub fn is_served(&self, spec: &PoolSpec) -> bool {
        spec.slots.is_none()
            || self.slots_of(spec).any(|slot| slot.device.is_some_and(|(_, attached)| attached))
    }

    /// Forgets earlier failures: a new attempt begins.
    pub fn retry(&mut self, slots: &[SlotId]) {
        for slot in slots {
            self.slot(*slot).trouble = None;
        }
    }

    /// Why the pool cannot be connected, in words.
    pub fn trouble(&self, spec: &PoolSpec) -> String {
        let troubles: Vec<&str> = self.slots_of(spec).filter_map(|slot| slot.trouble.as_deref()).collect();
        if troubles.is_empty() {
            format!("pool {:?} is configured, but its device is not plugged in", spec.id.as_str())
        } else {
            troubles.join("; ")
        }
    }
}
