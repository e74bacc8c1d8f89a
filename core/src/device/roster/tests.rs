//! The roster over simulated time: listings, requests and failures in; every report and every wait out.

use super::*;
use crate::device::claim::{Claim, Match};
use crate::device::identity::tests::device;

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
        let entry = "pool \"a\"".to_owned();
        let claim = Claim {
            entry,
            matcher,
            buzzers: None,
            debounce_us: Micros::from_us(15),
            delay: crate::device::delay::Configured::default(),
        };
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
                Action::Report(Report::Opened { .. } | Report::Adopted) => {
                    unreachable!("the thread tells that")
                }
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
fn what_fails_while_udev_works_is_told_only_if_it_lasts() {
    let mut world = World::new();
    world.want();
    world.is_open_allowed = Err("root's");
    assert_eq!(world.list(&[&button(3, 30)]), ["present event3", "listed", "try event3"]);
    world.is_open_allowed = Ok(());
    world.roster.handle_attributes("event3", world.now);
    assert_eq!(world.pump(), ["open event3 as 1"]);
    world.is_open_allowed = Err("root's");
    assert_eq!(world.list(&[&button(3, 31)]), ["absent", "present event3", "try event3"]);
    let tries: Vec<usize> = (0..5).map(|_| world.sleep().len()).collect();
    assert_eq!(tries, [1, 1, 1, 1, 2], "told 1.55 s after it came");
}

#[test]
fn a_failure_is_told_once_and_tried_again_ever_more_slowly() {
    let mut world = World::new();
    world.is_open_allowed = Err("no");
    world.list(&[&button(3, 30)]);
    world.now = world.now + NEW_FOR;
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
    assert!(log.contains("event3 (\"device 3\", 0007:0007") && log.contains("is inhibited"), "{log}");
    assert!(log.contains("event4") && log.contains("ambiguous"), "{log}");
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
