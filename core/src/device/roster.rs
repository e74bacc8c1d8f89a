//! Who is there, who is wanted, who is open. In: listings of devices, hotplug changes, requests, the outcome of
//! openings, and the time. Out: [`Action`]s for the devices thread. Guarantee: a wanted slot whose device is there is
//! open or has a date to be tried again; each failure that lasts is reported once, and nothing is due while nothing failed.
//!
//! `handle_*` in, [`Roster::poll_action`] and [`Roster::poll_timeout`] out; no clock, no descriptor.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::device::assign::{Found, Slots};
use crate::device::claim::{Claims, SlotId};
use crate::device::identity::Identity;
use crate::event::DeviceId;
use crate::press::keys::KeyMap;
use crate::time::{KernelTime, Micros};

/// The waits between attempts: 50, 100, 200, 400, 800 ms, then every 800 ms.
const RETRY_FIRST_MS: u64 = 50;
const RETRY_DOUBLINGS: u32 = 4;
/// After so many attempts in a row (a minute) the cause is not a race with udev, and the wait is
/// [`RETRY_SLOW_MS`]: a change of the node's permissions is told by inotify at once, but not that another
/// program let go of its grab.
const RETRY_FAST_MAX: u32 = 79;
const RETRY_SLOW_MS: u64 = 10_000;
/// By then udev has given a new node its rights. What fails before is tried again, and told if it fails then as well.
const NEW_FOR: Micros = Micros::from_ms(1000);
/// By then a device that was going when changes got lost has left sysfs.
const LOOK_AGAIN_AFTER: Micros = Micros::from_ms(1000);
/// A device that was open for less did not recover: its next attempts go on slowing down.
const RECOVERED_AFTER: Micros = Micros::from_ms(2000);

/// What the devices thread tells the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A device is there for this slot.
    Present {
        /// The slot.
        slot: SlotId,
        /// The device.
        found: Box<Found>,
    },
    /// The device of this slot left. If it was open, the reader tells of its end in the ring.
    Absent {
        /// The slot.
        slot: SlotId,
    },
    /// Something a person should look at; told once per device and cause.
    Trouble {
        /// The slot it is about.
        slot: Option<SlotId>,
        /// What, why, and the cure.
        text: String,
    },
    /// The slot's device is open and on its way to the reader; its `Attached` in the ring makes it valid.
    Opened {
        /// The slot.
        slot: SlotId,
        /// Its name in the ring from now on.
        device: DeviceId,
    },
    /// The slot's device could not be opened. It is tried again while it is wanted, and this is told again only
    /// when the reason changes or somebody asks again; of one that has just come, only if it fails a second later as well.
    Failed {
        /// The slot.
        slot: SlotId,
        /// The reason and the cure.
        error: String,
    },
    /// The first look at the machine is complete: what was not reported present is not there.
    Listed,
    /// What had stayed open over a restart is on its way to the reader, before anything else can be.
    Adopted,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open this device, then call [`Roster::handle_opened`] or [`Roster::handle_failed`].
    Open(Box<Opening>),
    /// Have the reader let go of this device.
    Detach(DeviceId),
    /// Tell the server.
    Report(Report),
}

/// A device to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its slot.
    pub slot: SlotId,
    /// Who it is.
    pub identity: Identity,
    /// Which key is which buzzer.
    pub keys: KeyMap,
    /// Its debounce time.
    pub debounce_us: Micros,
    /// Whether to take it for the mediator alone.
    pub grab: bool,
}

/// The roster.
#[derive(Debug)]
pub struct Roster {
    slots: Slots,
    states: Vec<State>,
    /// Nodes that were deleted and not made again: the kernel removes a node before it removes its device from
    /// sysfs (`drivers/base/core.c:device_del`), so a listing may show it for a moment longer.
    deleted_nodes: Vec<String>,
    /// Troubles that were told: node, instance, text.
    told: Vec<(String, u64, String)>,
    /// When to look once more after changes got lost.
    look_again: Option<KernelTime>,
    actions: VecDeque<Action>,
    is_listed: bool,
}

#[derive(Debug, Default)]
struct State {
    present: Option<Identity>,
    /// When it came.
    since: KernelTime,
    is_wanted: bool,
    /// What the reader has, and of which device. Kept while the device is away: its end comes from the reader.
    open: Option<Open>,
    attempts: u32,
    due: Option<KernelTime>,
    error_told: Option<String>,
}

#[derive(Debug)]
struct Open {
    device: DeviceId,
    identity: Identity,
    since: KernelTime,
}

impl Roster {
    /// A roster that knows of no device yet.
    pub fn new(claims: Claims) -> Self {
        let slots = Slots::new(claims);
        let states = slots.ids().map(|_| State::default()).collect();
        let (deleted_nodes, told, actions) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { slots, states, deleted_nodes, told, look_again: None, actions, is_listed: false }
    }

    /// What sysfs shows now.
    pub fn handle_listing(&mut self, mut devices: Vec<Identity>, now: KernelTime) {
        self.deleted_nodes.retain(|node| devices.iter().any(|device| device.node == *node));
        devices.retain(|device| !self.deleted_nodes.contains(&device.node));
        self.told.retain(|(node, instance, _)| {
            devices.iter().any(|device| device.node == *node && device.instance == *instance)
        });
        let verdicts = self.slots.assign(&devices);
        self.states.resize_with(self.slots.ids().count(), State::default);
        for slot in self.slots.ids() {
            self.compare(slot, &devices, now);
        }
        for (index, device) in devices.iter().enumerate() {
            if let Some(remark) =
                self.slots.remark(&verdicts, &devices, index).filter(|remark| remark.is_warning)
            {
                self.remark_once(device, remark.slot, remark.to_string());
            }
        }
        for remark in self.slots.shared(&devices) {
            if let Some(device) = self.slots.device(remark.slot).cloned() {
                self.remark_once(&device, remark.slot, remark.to_string());
            }
        }
        if !self.is_listed {
            self.is_listed = true;
            self.actions.push_back(Action::Report(Report::Listed));
        }
    }

    /// A node with this name appeared: what was deleted before under that name may be back.
    pub fn handle_created(&mut self, node: &str, now: KernelTime) {
        self.deleted_nodes.retain(|deleted| deleted != node);
        self.handle_attributes(node, now);
    }

    /// The permissions of this node changed: an opening that failed may work now, and is tried at once.
    pub fn handle_attributes(&mut self, node: &str, now: KernelTime) {
        for state in &mut self.states {
            if state.is_waiting() && state.present.as_ref().is_some_and(|device| device.node == node) {
                state.due = Some(now);
            }
        }
    }

    /// The node with this name was deleted. Its device counts as gone from the next listing on.
    pub fn handle_deleted(&mut self, node: &str) {
        if !self.deleted_nodes.iter().any(|deleted| deleted == node) {
            self.deleted_nodes.push(node.to_owned());
        }
    }

    /// Changes got lost: the next listing is taken as it is, and one more is due a while later.
    pub fn handle_lost_changes(&mut self, now: KernelTime) {
        self.deleted_nodes.clear();
        self.look_again = Some(now + LOOK_AGAIN_AFTER);
    }

    /// Somebody wants this slot open. Asking again tries again at once, and has a failure told again.
    pub fn handle_want(&mut self, slot: SlotId, now: KernelTime) {
        let Some(state) = self.states.get_mut(slot.index()) else {
            let error = "there is no such slot".to_owned();
            self.actions.push_back(Action::Report(Report::Failed { slot, error }));
            return;
        };
        state.is_wanted = true;
        state.error_told = None;
        if state.is_waiting() {
            state.due = Some(now);
        }
    }

    /// Nobody wants this slot open any more.
    pub fn handle_unwant(&mut self, slot: SlotId) {
        let Some(state) = self.states.get_mut(slot.index()) else { return };
        if let Some(open) = state.open.take() {
            self.actions.push_back(Action::Detach(open.device));
        }
        *state = State { present: state.present.take(), since: state.since, ..State::default() };
    }

    /// The reader lost this device. If it is still there (only its reading failed), it is opened again.
    pub fn handle_ended(&mut self, device: DeviceId, now: KernelTime) {
        let is_its = |state: &&mut State| state.open.as_ref().is_some_and(|open| open.device == device);
        let Some(state) = self.states.iter_mut().find(is_its) else { return };
        let open = state.open.take();
        if open.is_some_and(|open| now.since(open.since) >= RECOVERED_AFTER) {
            state.attempts = 0;
        }
        if state.is_waiting() {
            state.postpone(now);
        }
    }

    /// Opening succeeded and the server was told.
    pub fn handle_opened(&mut self, opening: &Opening, device: DeviceId, now: KernelTime) {
        let state = &mut self.states[opening.slot.index()];
        state.open = Some(Open { device, identity: opening.identity.clone(), since: now });
        (state.due, state.error_told) = (None, None);
    }

    /// Opening failed.
    pub fn handle_failed(&mut self, slot: SlotId, error: String, now: KernelTime) {
        let state = &mut self.states[slot.index()];
        state.postpone(now);
        if now.since(state.since) >= NEW_FOR && state.error_told.as_ref() != Some(&error) {
            state.error_told = Some(error.clone());
            self.actions.push_back(Action::Report(Report::Failed { slot, error }));
        }
    }

    /// The time is `now`: what is due is to be opened. Each attempt is asked for once. Call it after a fresh
    /// listing.
    pub fn handle_timeout(&mut self, now: KernelTime) {
        self.look_again = self.look_again.filter(|due| *due > now);
        for slot in self.slots.ids() {
            let state = &mut self.states[slot.index()];
            if state.due.is_some_and(|due| due <= now)
                && let Some(found) = self.slots.found(slot)
            {
                state.due = None;
                let Found { identity, keys, .. } = found;
                let (debounce_us, grab) = (self.slots.debounce_us(slot), self.slots.may_grab());
                let opening = Opening { slot, identity, keys, debounce_us, grab };
                self.actions.push_back(Action::Open(Box::new(opening)));
            }
        }
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to list and call [`Self::handle_timeout`]; `None`: not before something else happens.
    pub fn poll_timeout(&self) -> Option<KernelTime> {
        self.states.iter().filter_map(|state| state.due).chain(self.look_again).min()
    }

    /// The device that is there for this slot, open or not.
    pub fn found(&self, slot: SlotId) -> Option<Found> {
        self.slots.found(slot)
    }

    /// Holds a slot against what sits there now, and tells the difference.
    fn compare(&mut self, slot: SlotId, devices: &[Identity], now: KernelTime) {
        let state = &mut self.states[slot.index()];
        let device = self.slots.device(slot);
        let is_same = match (&state.present, device) {
            (Some(was), Some(is)) => was.is_same_instance(is),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        if state.present.take().is_some() {
            (state.due, state.attempts, state.error_told) = (None, 0, None);
            self.actions.push_back(Action::Report(Report::Absent { slot }));
        }
        let (Some(device), Some(found)) = (device, self.slots.found(slot)) else { return };
        let device = device.clone();
        (state.present, state.since) = (Some(device.clone()), now);
        self.actions.push_back(Action::Report(Report::Present { slot, found: Box::new(found) }));
        // A node that was deleted and made again by hand: the reader never lost the device behind it.
        if let Some(open) = state.open.take_if(|open| !open.identity.is_same_instance(&device)) {
            // Of one that left, the reader learns by itself and says why; one that a better node of its unit
            // replaced must be told.
            if devices.iter().any(|device| device.is_same_instance(&open.identity)) {
                self.actions.push_back(Action::Detach(open.device));
            }
        }
        if state.is_waiting() {
            state.due = Some(now);
        }
        if device.inhibited {
            let text = inhibited(&device);
            self.remark_once(&device, slot, text);
        }
    }

    fn remark_once(&mut self, device: &Identity, slot: SlotId, text: String) {
        let told = (device.node.clone(), device.instance, text);
        if !self.told.contains(&told) {
            self.actions
                .push_back(Action::Report(Report::Trouble { slot: Some(slot), text: told.2.clone() }));
            self.told.push(told);
        }
    }
}

impl State {
    /// Whether it is there and wanted and not open.
    fn is_waiting(&self) -> bool {
        self.is_wanted && self.present.is_some() && self.open.is_none()
    }

    /// Sets the date of the next attempt.
    fn postpone(&mut self, now: KernelTime) {
        let wait = if self.attempts < RETRY_FAST_MAX {
            RETRY_FIRST_MS << self.attempts.min(RETRY_DOUBLINGS)
        } else {
            RETRY_SLOW_MS
        };
        self.attempts = self.attempts.saturating_add(1);
        self.due = Some(now + Micros::from_ms(wait));
    }
}

/// What a person should know of a device that was switched off.
pub(crate) fn inhibited(device: &Identity) -> String {
    format!(
        "{} is inhibited and gives no events: `echo 0 | sudo tee /sys/class/input/{}/device/inhibited`",
        device.describe(),
        device.node
    )
}
