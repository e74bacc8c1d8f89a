//! Devices in the game. In: what the devices thread reports of the slots, and what the ring says of a device. Out: `attach`, `held`
//! and `detach` records, slots to be opened or left alone. Guarantee: a device is known from its announcement, which comes before
//! its first event, and serves from its `attach` to its `detach`.

use buzzer_core::device::claim::SlotId;
use buzzer_core::device::delay::models::Curve;
use buzzer_core::event::Gone;
use buzzer_core::time::KernelTime;

use super::asked::Errand;
use super::{Mediator, Output};
use crate::game::pool::PoolSpec;
use crate::record::pool_id::PoolId;
use crate::record::{DeviceDelay, Fact, Stamps};

/// What is known of a device before its first event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The pool it serves.
    pub pool: PoolId,
    /// What it calls itself.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// Who stamps.
    pub stamps: Stamps,
    /// Its buzzers, ascending.
    pub buzzers: Vec<u16>,
    /// How long before its stamp a press was made.
    pub delay: DeviceDelay,
    /// The distribution of its delays, where it was measured.
    pub curve: Option<&'static Curve>,
}

impl Mediator {
    /// A device will be read; its first event in the ring makes it valid.
    pub fn handle_announced(&mut self, device: u32, announced: Announced) {
        self.announced.insert(device, announced);
    }

    pub(super) fn handle_attached(&mut self, device: u32, at: KernelTime) {
        // A device is announced before it is handed to the reader.
        let Some(announced) = self.announced.remove(&device) else { return };
        let Announced { pool, name, place, stamps, buzzers, delay, curve } = announced;
        self.curves.extend(curve.map(|curve| (device, curve)));
        let counted = pool.clone();
        self.record(at, Fact::Attach { device, pool: counted, name, place, stamps, buzzers, delay });
        if let Some((_, slot)) = self.pools.slot_of(device) {
            slot.device = Some((device, true));
            if !self.state.is_connected(&pool) && !self.is_under_way(&pool) {
                // Its connect failed before it came.
                self.out.push_back(Output::Detach(device));
            }
        }
        self.settle(at, true);
    }

    /// Comes right behind the device's attachment, when its pool may not be connected yet.
    pub(super) fn handle_held(&mut self, device: u32, buzzer: u16, at: KernelTime) {
        if let Some(pool) = self.state.pool_of(device).cloned() {
            self.record(at, Fact::Held { pool, buzzer, device });
        }
    }

    pub(super) fn handle_detached(&mut self, device: u32, gone: Gone, at: KernelTime) {
        self.announced.remove(&device);
        self.curves.remove(&device);
        let slot = self.pools.slot_of(device).map(|(_, slot)| slot.device = None);
        if let Some(pool) = self.state.pool_of(device).cloned() {
            self.end_notes_of(device, at);
            // An evdev node that goes takes the presses with it that were not read yet.
            let certain = !matches!(gone, Gone::Unplugged | Gone::Failed(_));
            self.record(at, Fact::Detach { device, pool, reason: gone.to_string(), certain });
        }
        if slot.is_some() {
            self.out.push_back(Output::Ended(device));
            self.settle(at, true);
        }
    }

    /// A slot's device is on the machine. `new`: the pool it makes, if it is in no configuration.
    pub fn handle_present(&mut self, slot: SlotId, new: Option<PoolSpec>, now: KernelTime) {
        if self.pools.of_slot(slot).is_none()
            && let Some(spec) = new
        {
            if spec.autoconnect && !self.state.is_connected(&spec.id) {
                self.ask_place(Errand::ConnectAlways(spec.id.clone()), now);
            }
            self.want_connected(&spec);
            self.pools.add(spec);
        }
        let known = self.pools.slot(slot);
        known.present = true;
        known.trouble = None;
    }

    /// A slot's device is gone from the machine. Its end as a device comes through the ring.
    pub fn handle_absent(&mut self, slot: SlotId, now: KernelTime) {
        let known = self.pools.slot(slot);
        known.present = false;
        known.trouble = None;
        self.settle(now, false);
    }

    /// A slot's device was opened and handed to the reader.
    pub fn handle_opened(&mut self, slot: SlotId, device: u32, announced: Announced) {
        let known = self.pools.slot(slot);
        known.device = Some((device, false));
        known.trouble = None;
        self.handle_announced(device, announced);
    }

    /// A slot's device cannot be opened, with the reason and the cure.
    pub fn handle_failed(&mut self, slot: SlotId, trouble: String, now: KernelTime) {
        self.pools.slot(slot).trouble = Some(trouble);
        self.settle(now, false);
    }
}
