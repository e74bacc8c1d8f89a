//! Who is there, who is wanted, who is open. In: listings of devices, hotplug changes, wishes, the outcome of
//! openings, and the time. Out: [`Action`]s for the devices thread. Guarantee: a wanted slot whose device is there is
//! open or has a date to be tried again; each failure is reported once, and nothing is due while nothing failed.
//!
//! `handle_*` in, [`Roster::poll_action`] and [`Roster::poll_timeout`] out; no clock, no descriptor.

use std::collections::VecDeque;

use crate::assign::{Found, Slots, Verdict};
use crate::claim::{Claims, SlotId};
use crate::event::DeviceId;
use crate::identity::Identity;
use crate::keys::KeyMap;
use crate::time::{KernelTime, Micros};

/// The waits between attempts: 50, 100, 200, 400, 800 ms, then every 800 ms.
const RETRY_FIRST_MS: u64 = 50;
const RETRY_DOUBLINGS: u32 = 4;
/// After so many attempts in a row (a minute) the cause is not a race with udev, and the wait is
/// [`RETRY_SLOW_MS`]: a change of the node's permissions is told by inotify at once, but not that another
/// program let go of its grab.
const RETRY_FAST_MAX: u32 = 79;
const RETRY_SLOW_MS: u64 = 10_000;
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
    /// when the reason changes or somebody asks again.
    Failed {
        /// The slot.
        slot: SlotId,
        /// The reason and the cure.
        error: String,
    },
    /// The first look at the machine is complete: what was not reported present is not there.
    Listed,
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
    buried: Vec<String>,
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
        let (buried, told, actions) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { slots, states, buried, told, look_again: None, actions, is_listed: false }
    }

    /// What sysfs shows now.
    pub fn handle_listing(&mut self, mut devices: Vec<Identity>, now: KernelTime) {
        self.buried.retain(|node| devices.iter().any(|device| device.node == *node));
        devices.retain(|device| !self.buried.contains(&device.node));
        self.told.retain(|(node, instance, _)| {
            devices.iter().any(|device| device.node == *node && device.instance == *instance)
        });
        let verdicts = self.slots.assign(&devices);
        self.states.resize_with(self.slots.ids().count(), State::default);
        for slot in self.slots.ids() {
            self.compare(slot, &devices, now);
        }
        for (verdict, device) in verdicts.iter().zip(&devices) {
            if let Some((slot, text)) = remark(verdict, device) {
                self.remark_once(device, slot, text);
            }
        }
        if !self.is_listed {
            self.is_listed = true;
            self.actions.push_back(Action::Report(Report::Listed));
        }
    }

    /// A node with this name appeared: what was deleted before under that name may be back.
    pub fn handle_created(&mut self, node: &str, now: KernelTime) {
        self.buried.retain(|buried| buried != node);
        self.hurry(node, now);
    }

    /// The permissions of this node changed: whatever failed there may work now.
    pub fn handle_attributes(&mut self, node: &str, now: KernelTime) {
        self.hurry(node, now);
    }

    /// The node with this name was deleted. Its device counts as gone from the next listing on.
    pub fn handle_deleted(&mut self, node: &str) {
        if !self.buried.iter().any(|buried| buried == node) {
            self.buried.push(node.to_owned());
        }
    }

    /// Changes got lost: the next listing is taken as it is, and one more is due a while later.
    pub fn handle_lost_changes(&mut self, now: KernelTime) {
        self.buried.clear();
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
        *state = State { present: state.present.take(), ..State::default() };
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
        if state.error_told.as_ref() != Some(&error) {
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
                self.actions.push_back(Action::Open(Box::new(Opening {
                    slot,
                    identity,
                    keys,
                    debounce_us,
                    grab,
                })));
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
        state.present = Some(device.clone());
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

    /// What failed at this node is tried at once.
    fn hurry(&mut self, node: &str, now: KernelTime) {
        for state in &mut self.states {
            if state.is_waiting() && state.present.as_ref().is_some_and(|device| device.node == node) {
                state.due = Some(now);
            }
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

/// What a person should know of a device that serves nobody.
pub(crate) fn remark(verdict: &Verdict, device: &Identity) -> Option<(SlotId, String)> {
    match verdict {
        Verdict::Slot(_) | Verdict::Unclaimed => None,
        Verdict::Ambiguous(slot) => {
            let text = format!(
                "{} also fits an entry that another device serves: ambiguous: add phys",
                device.describe()
            );
            Some((*slot, text))
        }
        Verdict::Lacks(slot, keys) => {
            let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
            let text =
                format!("{} fits, but has no {}: correct `buzzers`", device.describe(), keys.join(", "));
            Some((*slot, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{Claim, Match};
    use crate::identity::tests::device;

    const SLOT: SlotId = SlotId::new(0);

    /// A roster that asks for anything from vendor 7, with a clock that only the test moves.
    struct World {
        roster: Roster,
        now: KernelTime,
        /// Whether opening works.
        is_open_allowed: Result<(), &'static str>,
        devices: u32,
    }

    impl World {
        fn new() -> Self {
            let matcher = Match { vendor: Some(7), ..Match::default() };
            let claim =
                Claim { matcher, buzzers: None, debounce_us: Micros::from_us(15), uncertainty_us: None };
            let roster = Roster::new(Claims::Listed(vec![claim]));
            Self { roster, now: KernelTime::from_us(1_000_000), is_open_allowed: Ok(()), devices: 0 }
        }

        /// Carries out what is to be done, as the thread would; gives it as text.
        fn pump(&mut self) -> Vec<String> {
            let mut log = Vec::new();
            self.roster.handle_timeout(self.now);
            while let Some(action) = self.roster.poll_action() {
                log.push(match action {
                    Action::Open(opening) => match self.is_open_allowed {
                        Ok(()) => {
                            self.devices += 1;
                            self.roster.handle_opened(&opening, DeviceId::new(self.devices), self.now);
                            format!("open {} as {}", opening.identity.node, self.devices)
                        }
                        Err(error) => {
                            self.roster.handle_failed(opening.slot, error.to_owned(), self.now);
                            format!("try {}", opening.identity.node)
                        }
                    },
                    Action::Detach(device) => format!("detach {device}"),
                    Action::Report(Report::Present { found, .. }) => {
                        format!("present {}", found.identity.node)
                    }
                    Action::Report(Report::Absent { .. }) => "absent".to_owned(),
                    Action::Report(Report::Trouble { text, .. }) => format!("trouble: {text}"),
                    Action::Report(Report::Failed { error, .. }) => format!("failed: {error}"),
                    Action::Report(Report::Opened { .. }) => unreachable!("the thread tells that"),
                    Action::Report(Report::Listed) => "listed".to_owned(),
                });
            }
            log
        }

        fn list(&mut self, devices: &[&Identity]) -> Vec<String> {
            self.roster.handle_listing(devices.iter().map(|device| (*device).clone()).collect(), self.now);
            self.pump()
        }

        fn want(&mut self) -> Vec<String> {
            self.roster.handle_want(SLOT, self.now);
            self.pump()
        }

        fn wait_ms(&self) -> Option<u64> {
            self.roster.poll_timeout().map(|due| due.since(self.now).as_us() / 1000)
        }

        /// Lets time pass until the next date.
        fn sleep(&mut self) -> Vec<String> {
            self.now = self.roster.poll_timeout().expect("something is due");
            self.pump()
        }
    }

    fn button(node: u64, instance: u64) -> Identity {
        Identity { instance, ..device(node, (7, 7), "usb-0-1/input0", &[28]) }
    }

    #[test]
    fn a_wanted_device_opens_when_it_comes_and_when_it_comes_back() {
        let mut world = World::new();
        assert_eq!(world.list(&[]), ["listed"]);
        assert_eq!(world.want(), [""; 0], "not there yet");
        let first = button(3, 30);
        assert_eq!(world.list(&[&first]), ["present event3", "open event3 as 1"]);
        assert_eq!(world.list(&[&first]), [""; 0], "nothing new");
        assert_eq!(world.wait_ms(), None, "nothing to wake up for");
        world.roster.handle_deleted("event3");
        assert_eq!(world.list(&[&first]), ["absent"], "sysfs still shows it");
        world.roster.handle_ended(DeviceId::new(1), world.now);
        assert_eq!((world.list(&[]), world.wait_ms()), (vec![], None));
        world.roster.handle_created("event3", world.now);
        assert_eq!(world.list(&[&button(3, 31)]), ["present event3", "open event3 as 2"]);
    }

    #[test]
    fn a_replug_between_two_listings_is_seen() {
        let mut world = World::new();
        world.want();
        world.list(&[&button(3, 30)]);
        assert_eq!(world.list(&[&button(3, 31)]), ["absent", "present event3", "open event3 as 2"]);
        world.roster.handle_ended(DeviceId::new(1), world.now);
        assert_eq!((world.pump(), world.wait_ms()), (vec![], None), "the end of the old one is no news");
    }

    #[test]
    fn a_failure_is_told_once_and_tried_again_ever_more_slowly() {
        let mut world = World::new();
        world.is_open_allowed = Err("no");
        world.list(&[&button(3, 30)]);
        assert_eq!(world.want(), ["try event3", "failed: no"]);
        for wait in [50, 100, 200, 400, 800, 800] {
            assert_eq!(world.wait_ms(), Some(wait));
            assert_eq!(world.sleep(), ["try event3"]);
        }
        world.is_open_allowed = Err("still no");
        assert_eq!(world.sleep(), ["try event3", "failed: still no"]);
        assert_eq!(world.want(), ["try event3", "failed: still no"], "who asks gets an answer");
        for _ in 0..80 {
            world.sleep();
        }
        assert_eq!(world.wait_ms(), Some(10_000));
        world.is_open_allowed = Ok(());
        world.roster.handle_attributes("event4", world.now);
        assert_eq!(world.pump(), [""; 0], "another node");
        world.roster.handle_attributes("event3", world.now);
        assert_eq!(world.pump(), ["open event3 as 1"], "at once");
        assert_eq!(world.wait_ms(), None);
    }

    #[test]
    fn nobody_retries_what_nobody_wants() {
        let mut world = World::new();
        world.is_open_allowed = Err("no");
        world.list(&[&button(3, 30)]);
        world.want();
        world.roster.handle_unwant(SLOT);
        assert_eq!((world.pump(), world.wait_ms()), (vec![], None));
        world.is_open_allowed = Ok(());
        assert_eq!(world.want(), ["open event3 as 1"]);
        world.roster.handle_unwant(SLOT);
        assert_eq!(world.pump(), ["detach 1"]);
        world.roster.handle_ended(DeviceId::new(1), world.now);
        assert_eq!((world.pump(), world.wait_ms()), (vec![], None));
    }

    #[test]
    fn a_device_that_ends_but_stays_is_opened_again_and_slower_each_time() {
        let mut world = World::new();
        world.list(&[&button(3, 30)]);
        world.want();
        for (device, wait) in [(1, 50), (2, 100), (3, 200)] {
            world.roster.handle_ended(DeviceId::new(device), world.now);
            assert_eq!(world.wait_ms(), Some(wait));
            assert_eq!(world.sleep(), [format!("open event3 as {}", device + 1)]);
        }
        world.now = world.now + RECOVERED_AFTER;
        world.roster.handle_ended(DeviceId::new(4), world.now);
        assert_eq!(world.wait_ms(), Some(50), "it had recovered");
    }

    #[test]
    fn a_node_deleted_by_hand_is_still_open_when_it_is_back() {
        let mut world = World::new();
        world.list(&[&button(3, 30)]);
        world.want();
        world.roster.handle_deleted("event3");
        assert_eq!(world.list(&[&button(3, 30)]), ["absent"]);
        world.roster.handle_created("event3", world.now);
        assert_eq!(world.list(&[&button(3, 30)]), ["present event3"]);
        world.roster.handle_unwant(SLOT);
        assert_eq!(world.pump(), ["detach 1"]);
    }

    #[test]
    fn a_better_node_of_the_unit_takes_over() {
        let mut world = World::new();
        let media = device(3, (7, 7), "usb-0-1/input0", &[113]);
        let pad = device(4, (7, 7), "usb-0-1/input1", &[0x130]);
        world.list(&[&media]);
        world.want();
        assert_eq!(world.list(&[&media, &pad]), ["absent", "present event4", "detach 1", "open event4 as 2"]);
    }

    #[test]
    fn troubles_are_told_once_per_plugging_in() {
        let mut world = World::new();
        let inhibited = Identity { inhibited: true, ..button(3, 30) };
        let second = device(4, (7, 7), "usb-0-2/input0", &[28]);
        let log = world.list(&[&inhibited, &second]).join("\n");
        assert!(log.contains("event3 (device 3, 0007:0007") && log.contains("is inhibited"), "{log}");
        assert!(log.contains("event4") && log.contains("ambiguous: add phys"), "{log}");
        assert_eq!(world.list(&[&inhibited, &second]), [""; 0]);
        assert_eq!(world.list(&[&inhibited]), [""; 0]);
        assert_eq!(world.list(&[&inhibited, &second]).len(), 1, "plugged in again");
    }

    #[test]
    fn lost_changes_cost_one_more_look() {
        let mut world = World::new();
        world.list(&[&button(3, 30)]);
        world.roster.handle_deleted("event3");
        world.roster.handle_lost_changes(world.now);
        assert_eq!(world.list(&[&button(3, 30)]), [""; 0], "perhaps it was made again");
        assert_eq!(world.wait_ms(), Some(1000));
        world.sleep();
        assert_eq!(world.wait_ms(), None);
        let none = SlotId::new(9);
        world.roster.handle_want(none, world.now);
        world.roster.handle_unwant(none);
        assert_eq!(world.pump(), ["failed: there is no such slot"]);
    }
}
