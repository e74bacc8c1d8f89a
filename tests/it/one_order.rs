//! Commands and timers among presses. In: random presses that show late or not, commands that are posted late or not, timers,
//! passes at random times and rings of any size, for no device, one and many. Out: what leaves the pass. Guarantee: that is
//! one order of time; only a press that says `late` is out of it, and a command never is.

use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind, Flags};
use buzzer_core::merge::order::{Command, WAITING_MAX};
use buzzer_core::merge::source::{NewSource, PassRequest};
use buzzer_core::press::keys::{KeyBits, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::pipes::Pipes;
use proptest::prelude::*;

const START: u64 = 1_000_000;
const W: u64 = 100;

fn at(us: u64) -> KernelTime {
    KernelTime::from_us(us)
}

/// A world with so many devices that stamp like this.
struct World {
    pipes: Pipes,
    /// What left: the event, and the pass.
    left: Vec<(Event, u64)>,
    pressed: Vec<u16>,
}

impl World {
    fn new(devices: usize, stamps: Stamps) -> Self {
        let mut pipes = Pipes::new(W);
        for device in 0..devices {
            pipes.post(PassRequest::Attach(attachment(device, stamps)));
        }
        pipes.pass(at(START));
        pipes.pass(at(START + W));
        Self { pipes, left: Vec::new(), pressed: vec![0; devices] }
    }

    /// A hit on the next key of the device, with this stamp.
    fn press(&mut self, device: usize, us: u64) {
        let n = 1 + self.pressed[device] % 8;
        self.pressed[device] = n;
        self.pipes.write(device, &frame(at(us), key(n), true));
        self.pipes.write(device, &frame(at(us), key(n), false));
    }

    /// A pass; gives when the next is due.
    fn pass(&mut self, now: u64) -> Option<u64> {
        let (events, next) = self.pipes.pass(at(now));
        self.left.extend(events.into_iter().map(|event| (event, now)));
        next.due.map(KernelTime::as_us)
    }

    fn command(&mut self, id: u64, us: u64) {
        self.pipes.command(Command { id, at: at(us), is_timer: false });
    }

    fn timer(&mut self, id: u64, us: u64) {
        self.pipes.command(Command { id, at: at(us), is_timer: true });
    }

    /// Presses and commands, in order, and in which pass each left: device or number, time, pass.
    fn story(&self) -> Vec<(String, u64, u64)> {
        let of = |(event, pass): &(Event, u64)| {
            let what = match event.kind {
                EventKind::Press { flags, .. } if flags.has(Flags::LATE) => format!("late {}", event.device),
                EventKind::Press { .. } => format!("press {}", event.device),
                EventKind::Command { id, moved_us } => format!("command {id} +{moved_us}"),
                EventKind::Timer { id, moved_us } => format!("timer {id} +{moved_us}"),
                _ => return None,
            };
            Some((what, event.at.as_us() - START, pass - START))
        };
        self.left.iter().filter_map(of).collect()
    }
}

fn attachment(device: usize, stamps: Stamps) -> NewSource<usize> {
    NewSource {
        device: DeviceId::new(device as u32),
        fd: device,
        stamps,
        since: at(START),
        drained: at(START),
        keys: KeyMap::new((1..=8).map(|n| (key(n), Buzzer(n)))),
        debounce_us: Micros::ZERO,
        held: KeyBits::NONE,
        read_ahead: Vec::new(),
    }
}

#[track_caller]
fn assert_story(world: &World, wanted: &[(&str, u64, u64)]) {
    let wanted: Vec<(String, u64, u64)> =
        wanted.iter().map(|(what, at, pass)| ((*what).to_owned(), *at, *pass)).collect();
    assert_eq!(world.story(), wanted);
}

#[test]
fn a_command_is_held_for_the_window_if_a_device_can_precede_it_and_what_is_behind_it_waits_with_it() {
    let mut none = World::new(0, Stamps::Kernel);
    none.command(1, START + 1000);
    none.pass(START + 1001);
    assert_story(&none, &[("command 1 +0", 1000, 1001)]);

    let mut one = World::new(1, Stamps::Kernel);
    one.command(1, START + 1000);
    one.press(0, START + 1001);
    assert_eq!(one.pass(START + 1002), Some(START + 1000 + W));
    // One device alone holds up nothing else.
    one.press(0, START + 1050);
    one.pass(START + 1000 + W);
    one.press(0, START + 2000);
    one.pass(START + 2001);
    assert_story(
        &one,
        &[
            ("command 1 +0", 1000, 1100),
            ("press 0", 1001, 1100),
            ("press 0", 1050, 1100),
            ("press 0", 2000, 2001),
        ],
    );

    let mut two = World::new(2, Stamps::Kernel);
    two.press(0, START + 1000);
    two.command(7, START + 1000);
    two.pass(START + 1020);
    two.press(1, START + 999);
    two.pass(START + 1000 + W);
    assert_story(&two, &[("press 1", 999, 1100), ("command 7 +0", 1000, 1100), ("press 0", 1000, 1100)]);

    // The reader's own stamps are never older than what it has.
    let mut receipt = World::new(2, Stamps::Receipt);
    receipt.press(0, 0);
    receipt.command(1, START + 1000);
    receipt.pass(START + 1000);
    assert_story(&receipt, &[("command 1 +0", 1000, 1000), ("press 0", 1000, 1000)]);
}

#[test]
fn a_command_behind_something_later_takes_its_time_and_a_press_behind_a_command_is_late() {
    let mut world = World::new(2, Stamps::Kernel);
    world.press(0, START + 1000);
    world.pass(START + 1000 + W);
    world.command(1, START + 990);
    world.pass(START + 1001 + W);
    world.command(2, START + 1200);
    world.pass(START + 1300);
    world.press(1, START + 1199);
    world.pass(START + 1301);
    assert_story(
        &world,
        &[
            ("press 0", 1000, 1100),
            ("command 1 +10", 1000, 1101),
            ("command 2 +0", 1200, 1300),
            ("late 1", 1199, 1301),
        ],
    );
}

#[test]
fn what_the_reader_says_of_a_device_is_never_late_and_makes_no_press_late() {
    let mut world = World::new(1, Stamps::Kernel);
    world.press(0, START + 900);
    world.command(1, START + 1000);
    world.pass(START + 1000 + W);
    let late = NewSource { since: at(START + 500), ..attachment(1, Stamps::Kernel) };
    world.pipes.post(PassRequest::Attach(late));
    world.press(0, START + 1000);
    world.pass(START + 1001 + W);
    world.pass(START + 1000 + 3 * W);
    let attached = world.left.iter().rfind(|(event, _)| event.kind == EventKind::Attached).unwrap();
    assert_eq!(attached.0.at, at(START + 1000), "behind the command");
    let story: Vec<String> = world.story().into_iter().map(|(what, ..)| what).collect();
    assert_eq!(story, ["press 0", "command 1 +0", "press 0"]);
}

#[test]
fn a_timer_leaves_when_the_clock_is_a_window_past_its_deadline_with_any_number_of_devices() {
    for devices in 0..3 {
        let mut world = World::new(devices, Stamps::Kernel);
        world.timer(1, START + 5000);
        world.timer(2, START + 3000);
        assert_eq!(world.pass(START + 1000), Some(START + 3000 + W), "{devices} devices");
        assert_eq!(world.pass(START + 2999 + W), Some(START + 3000 + W));
        assert_eq!(world.pass(START + 3000 + W), Some(START + 5000 + W));
        for device in 0..devices {
            world.press(device, START + 5000);
        }
        world.pass(START + 5050);
        assert_eq!(world.pass(START + 5000 + W), None);
        let mut wanted = vec![("timer 2 +0", 3000, 3100), ("timer 1 +0", 5000, 5100)];
        wanted.extend([("press 0", 5000, 5100), ("press 1", 5000, 5100)].into_iter().take(devices));
        assert_story(&world, &wanted);
    }
}

#[test]
fn a_far_deadline_holds_up_nothing_and_a_stop_does_not_wait_for_it() {
    let mut world = World::new(1, Stamps::Kernel);
    world.timer(1, START + 3_600_000_000);
    // So many that what came long before is not overtaken any more.
    for n in 0..5 * WAITING_MAX as u64 / 2 {
        world.press(0, START + 1000 + n);
        world.pass(START + 1000 + n);
    }
    let story = world.story();
    assert!(story.iter().all(|(what, at, pass)| what == "press 0" && at == pass), "each at once");
    assert!(story.is_sorted_by_key(|(_, at, _)| *at));
    world.pipes.post(PassRequest::Stop);
    let (_, next) = world.pipes.pass(at(START + 1_000_000));
    assert!(next.is_over, "{next:?}");
}

#[test]
fn a_command_does_not_part_a_group_that_a_full_ring_has_parted() {
    let mut world = World::new(3, Stamps::Kernel);
    for device in 0..3 {
        world.press(device, START + 1000);
    }
    world.pipes.set_room(1);
    world.pass(START + 1000 + W);
    world.command(1, START + 1000);
    world.command(2, START + 900);
    world.pipes.set_room(usize::MAX);
    world.pass(START + 1001 + W);
    let group: Vec<bool> = world
        .left
        .iter()
        .filter(|(event, _)| matches!(event.kind, EventKind::Press { .. } | EventKind::Release { .. }))
        .map(|(event, _)| event.more)
        .collect();
    assert_eq!(group, [true, true, true, true, true, false]);
    let story: Vec<String> = world.story().into_iter().map(|(what, ..)| what).collect();
    let wanted = ["press 0", "press 1", "press 2", "command 1 +0", "command 2 +100"];
    assert_eq!(story, wanted, "behind it, and {:?}", world.left);
}

#[test]
fn commands_have_a_share_of_the_heap_and_leave_room_for_attachments() {
    let mut world = World::new(0, Stamps::Kernel);
    for id in 0..5000 {
        world.timer(id, START + 10_000 + id);
    }
    for n in 1..100 {
        world.pass(START + n);
    }
    assert_eq!(world.pipes.waiting(), 1024, "the rest waits where it is");
    world.pipes.post(PassRequest::Attach(attachment(0, Stamps::Kernel)));
    assert_eq!(world.pass(START + 200), Some(START + 10_000 + W), "it is attached");
    assert!(world.left.iter().any(|(event, _)| event.kind == EventKind::Attached));
    world.pipes.post(PassRequest::Stop);
    let (_, next) = world.pipes.pass(at(START + 400));
    assert!(!next.again, "it does not spin on what has no room: {next:?}");
}

#[test]
fn a_heap_full_of_presses_takes_no_command_and_loses_none() {
    let mut world = World::new(1, Stamps::Kernel);
    world.pipes.set_room(0);
    for n in 0..WAITING_MAX as u64 {
        world.press(0, START + 1000 + n);
    }
    let full = START + 1000 + WAITING_MAX as u64;
    let mut now = full;
    while world.pipes.waiting() < WAITING_MAX - 2048 {
        now += 1;
        world.pass(now);
        assert!(now < full + 10_000, "it does not fill up: {}", world.pipes.waiting());
    }
    for id in 0..5 {
        world.command(id, START + 1000 + id);
    }
    for _ in 0..10 {
        now += 1;
        world.pass(now);
    }
    world.pipes.set_room(usize::MAX);
    while world.pipes.waiting() > 0 || world.left.len() < 2 * WAITING_MAX {
        now += W;
        world.pass(now);
        assert!(now < full + 1_000_000, "it does not end: {} left", world.left.len());
    }
    let mut latest = 0;
    let mut commands = 0;
    for (event, _) in &world.left {
        let us = event.at.as_us();
        // Behind the word that the heap was full what came meanwhile is late.
        let may_be_late = match event.kind {
            EventKind::Press { flags, .. } => flags.has(Flags::LATE),
            EventKind::Release { .. } | EventKind::Ignored { .. } => true,
            _ => false,
        };
        assert!(us >= latest || may_be_late, "{event:?} behind {latest}");
        latest = latest.max(us);
        commands += u64::from(matches!(event.kind, EventKind::Command { .. }));
    }
    assert_eq!(commands, 5);
    assert_eq!(world.story().len(), 5 + WAITING_MAX);
}

/// What happens: µs since the thing before, what, how long until the reader can see it (thousandths of W).
#[derive(Clone, Debug)]
enum Thing {
    Press(usize),
    Command,
    Timer(u64),
}

fn things() -> impl Strategy<Value = Vec<(u64, Thing, u64)>> {
    let thing = prop_oneof![
        4 => (0usize..5).prop_map(Thing::Press),
        2 => Just(Thing::Command),
        1 => (0u64..400).prop_map(Thing::Timer),
    ];
    // Some show later than the window allows.
    let delay = prop_oneof![6 => 0u64..=1000, 1 => 1000u64..5000];
    prop::collection::vec((prop_oneof![Just(0u64), 0u64..30], thing, delay), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_leaves_is_in_the_order_of_time(
        things in things(),
        devices in 0usize..5,
        stamps in prop::sample::select(vec![Stamps::Kernel, Stamps::Sender, Stamps::Receipt]),
        // With a stall now and then.
        wakes in prop::collection::vec(prop_oneof![9 => 1u64..150, 1 => 150u64..4000], 20),
        rooms in prop::collection::vec(prop_oneof![Just(usize::MAX), 0usize..6], 10),
    ) {
        let mut world = World::new(devices, stamps);
        let mut us = START + 1000;
        let mut shown: Vec<(u64, u64, Thing)> = Vec::new();
        let mut last_shown = [0u64; 5];
        for (pause, thing, delay) in things {
            us += pause;
            let mut seen = us + W * delay / 1000;
            if let Thing::Press(device) = thing {
                if device >= devices {
                    continue;
                }
                seen = seen.max(last_shown[device]);
                last_shown[device] = seen;
            }
            shown.push((seen, us, thing));
        }
        shown.sort_by_key(|(seen, ..)| *seen);
        // By number: asked for, deadline of a timer, how many had left when it was posted.
        let mut posted: Vec<(u64, bool, usize)> = Vec::new();
        let (mut now, mut wakes, mut rooms) = (START + 1000, wakes.iter().cycle(), rooms.iter().cycle());
        let mut rest = shown.as_slice();
        let mut presses = 0;
        let mut pass = 0;
        while !rest.is_empty() || world.pipes.waiting() > 0 {
            pass += 1;
            prop_assert!(pass < 10_000, "it does not end");
            now += wakes.next().unwrap();
            let ready = rest.partition_point(|(seen, ..)| *seen <= now);
            for (_, us, thing) in &rest[..ready] {
                match thing {
                    Thing::Press(device) => {
                        presses += 1;
                        world.press(*device, *us);
                    }
                    Thing::Command => {
                        world.command(posted.len() as u64, *us);
                        posted.push((*us, false, world.left.len()));
                    }
                    Thing::Timer(after) => {
                        world.timer(posted.len() as u64, us + after);
                        posted.push((us + after, true, world.left.len()));
                    }
                }
            }
            rest = &rest[ready..];
            // At last there is room: the word that there was none may be due, again and again, when there is none.
            let room = if pass > 5_000 { usize::MAX } else { *rooms.next().unwrap() };
            world.pipes.set_room(room);
            let due = world.pass(now);
            if room == usize::MAX && devices > 0 && stamps != Stamps::Receipt {
                prop_assert!(due.is_none_or(|due| due >= now), "held for too long: {:?} at {}", due, now);
            }
        }
        let is_press = |event: &Event| matches!(event.kind, EventKind::Press { .. });
        prop_assert_eq!(world.left.iter().filter(|(event, _)| is_press(event)).count(), presses);
        let mut came = vec![0; posted.len()];
        let mut latest = 0;
        for (n, (event, pass)) in world.left.iter().enumerate() {
            let us = event.at.as_us();
            let (EventKind::Command { id, moved_us } | EventKind::Timer { id, moved_us }) = event.kind else {
                if let EventKind::Press { flags, .. } = event.kind {
                    prop_assert!(us >= latest || flags.has(Flags::LATE), "{:?}", world.story());
                    latest = latest.max(us);
                }
                continue;
            };
            let (asked, is_timer, had_left) = posted[id as usize];
            came[id as usize] += 1;
            prop_assert_eq!(is_timer, matches!(event.kind, EventKind::Timer { .. }));
            prop_assert!(us >= latest, "a command is never late: {:?}", world.story());
            latest = us;
            prop_assert_eq!(us, asked + u64::from(moved_us), "asked for and moved");
            prop_assert!(!is_timer || *pass >= asked + W, "before its time: {:?}", world.story());
            let is_command = |event: &Event| event.device == DeviceId::NONE;
            let before = || world.left[..n].iter().enumerate().filter(|(_, (event, _))| !is_command(event));
            // It is moved only behind what had left when it came, the rest of that group included, and so is it behind
            // what has its µs.
            let reason = world.left[..had_left].iter().map(|(event, _)| event.at.as_us()).max();
            prop_assert!(moved_us == 0 || reason == Some(us), "moved for nothing: {:?}", world.story());
            let mut same = before().filter(|(_, (event, _))| event.at.as_us() == us);
            prop_assert!(same.next().is_none_or(|(n, _)| n < had_left), "behind what has its µs: {:?}", world.story());
        }
        prop_assert!(came.iter().all(|came| *came == 1), "{:?}", came);
    }
}
