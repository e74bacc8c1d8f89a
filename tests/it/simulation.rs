//! The whole way from bytes to frames without a kernel: the pass, mediator, with time as a number. In: every
//! interleaving of a few events, and random ones of many. Out: records and messages. Guarantee: each run also replays its
//! own records, so that what was told and what the log says can never differ; and nothing here depends on a clock.

use std::collections::BTreeMap;

use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind, Flags, Gone};
use buzzer_core::merge::order::Order;
use buzzer_core::merge::source::{NewSource, PassRequest};
use buzzer_core::press::decode::Record as Input;
use buzzer_core::press::keys::{KeyBits, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::game::mediator::{Announced, Mediator, Output};
use buzzer_server::game::pool::PoolSpec;
use buzzer_server::game::state::State;
use buzzer_server::log;
use buzzer_server::record::{DeviceDelay, Fact, Flag, Record};
use buzzer_server::wire::v1;
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::pipes::Pipes;
use proptest::prelude::*;

/// When the devices are attached, µs.
const START: u64 = 1_000_000;

fn at(us: u64) -> KernelTime {
    KernelTime::from_us(us)
}

fn start() -> Fact {
    let (log, boot, version) = (String::new(), "boot".to_owned(), String::new());
    Fact::Start { log, boot, version, wall_us: 0, settle_us: 0, realtime: false }
}

/// Everything between descriptors and disk.
struct World {
    pipes: Pipes,
    devices: usize,
    mediator: Mediator,
    records: Vec<Record>,
    /// What all clients are told.
    told: Vec<String>,
    draws: u64,
}

impl World {
    /// So many devices of 8 keys; those of device `d` are buzzers `10 * d + 1` and on.
    fn new(devices: u32, stamps: Stamps, settle_us: u64) -> Self {
        let pool = PoolSpec { id: "desk".parse().unwrap(), autoconnect: true, slots: None };
        let mut world = Self {
            pipes: Pipes::new(settle_us),
            devices: devices as usize,
            mediator: Mediator::new(State::default(), vec![pool], start(), at(START)),
            records: Vec::new(),
            told: Vec::new(),
            draws: 0,
        };
        for device in 0..devices {
            world.mediator.handle_announced(
                device,
                Announced {
                    pool: "desk".parse().unwrap(),
                    name: String::new(),
                    place: String::new(),
                    stamps: Stamps::Kernel.into(),
                    buzzers: (1..=8).map(|n| device as u16 * 10 + n).collect(),
                    delay: DeviceDelay::default(),
                    curve: None,
                },
            );
            world.pipes.post(PassRequest::Attach(NewSource {
                device: DeviceId::new(device),
                fd: device as usize,
                stamps,
                since: at(START),
                drained: at(START),
                keys: KeyMap::new((1..=8).map(|n| (key(n), Buzzer(device as u16 * 10 + n)))),
                debounce_us: Micros::ZERO,
                held: KeyBits::NONE,
                read_ahead: Vec::new(),
            }));
        }
        world.pass(START + settle_us);
        world.told.clear();
        world
    }

    /// A device has these bytes to read.
    fn write(&mut self, device: usize, bytes: &[u8]) {
        self.pipes.write(device, bytes);
    }

    /// A pass at `now`, and the server behind it.
    fn pass(&mut self, now: u64) {
        let (events, next) = self.pipes.pass(at(now));
        assert!(!next.again, "all is read in one pass");
        for event in events {
            self.mediator.handle_event(event, || {
                self.draws += 1;
                self.draws.to_be_bytes()
            });
        }
        while let Some(output) = self.mediator.poll_output() {
            match output {
                Output::Record(record) => self.records.push(record),
                Output::TellAll(news, except) => {
                    assert!(except.is_empty());
                    self.told.push(v1::event(&news));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Has all keys up shortly before `base`, forgets what was recorded and told so far, and takes the first seed again.
    fn begin(&mut self, base: u64) {
        let up = at(base - 500);
        for device in 0..self.devices {
            let mut records: Vec<Input> = (1..=4).map(|n| Input::key(up, key(n), false)).collect();
            records.push(Input::report(up));
            let bytes: Vec<u8> = records.iter().flat_map(|record| record.to_bytes()).collect();
            self.write(device, &bytes);
        }
        self.pass(base);
        self.records.clear();
        self.told.clear();
        self.draws = 0;
    }

    /// The presses of [`STAMPS`], seen in this order, one in each pass from `first_pass` on. Gives the last pass.
    fn play(&mut self, order: &[usize], base: u64, first_pass: u64) -> u64 {
        let mut next = [0; 3];
        let mut now = first_pass;
        for device in order {
            let n = next[*device];
            next[*device] += 1;
            now += 1;
            self.write(*device, &frame(at(base + STAMPS[*device][n]), key(1 + n as u16), true));
            self.pass(now);
        }
        now
    }

    /// Every press: stamp, buzzer, whether it is late.
    fn presses(&self) -> Vec<(u64, u16, bool)> {
        let press = |record: &Record| match &record.fact {
            Fact::Press { buzzer, flags, .. } => Some((record.at_us, *buzzer, flags.has(&Flag::Late))),
            _ => None,
        };
        self.records.iter().filter_map(press).collect()
    }

    /// Replay is run: the log, read back from its bytes, gives the same state and the same messages.
    fn assert_replays(&self) {
        let mut lines = Vec::new();
        let mut head = log::ChainHash::START;
        self.records.iter().for_each(|record| log::encode(record, &mut head, &mut lines));
        let (mut state, mut told) = (State::default(), Vec::new());
        for (line, seq) in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).zip(1..) {
            let record = log::decode(line).unwrap();
            assert_eq!(record.seq, seq);
            state.apply(&record, |news| told.push(v1::event(&news)));
        }
        assert_eq!(&state, self.mediator.state());
        assert!(told.ends_with(&self.told));
    }
}

/// Calls `visit` with every order in which the events of `counts` devices can be seen.
fn interleavings(left: &mut [usize], seen: &mut Vec<usize>, visit: &mut impl FnMut(&[usize])) {
    if left.iter().all(|left| *left == 0) {
        return visit(seen);
    }
    for device in 0..left.len() {
        if left[device] > 0 {
            left[device] -= 1;
            seen.push(device);
            interleavings(left, seen, visit);
            seen.pop();
            left[device] += 1;
        }
    }
}

/// Stamps of three devices, four presses each, with ties between two and between all three, µs after `START`.
const STAMPS: [[u64; 4]; 3] = [[10, 20, 30, 60], [10, 25, 30, 55], [5, 20, 30, 70]];

#[test]
fn every_interleaving_of_3_devices_and_4_events_leaves_sorted_or_says_late() {
    // Within a window of 100 µs all are held until all are there; with one of 4 µs each is too late when it is seen.
    for settle_us in [100, 4] {
        let mut order = Order::new(Micros::from_us(settle_us));
        for device in 0..3 {
            let attached =
                Event { at: at(0), device: DeviceId::new(device), more: false, kind: EventKind::Attached };
            order.push(attached, true);
        }
        let mut count = 0;
        interleavings(&mut [4; 3], &mut Vec::new(), &mut |devices| {
            // Later and later, because an order never goes back.
            let base = START + 1000 * count;
            order.release(at(base), |_| true);
            let mut seen = Vec::new();
            let mut left = Vec::new();
            let mut next = [0; 3];
            // One event is seen in each pass; all become visible behind the last stamp and within 100 µs of the first.
            for (device, pass) in devices.iter().zip(base + 72..) {
                let us = base + STAMPS[*device][next[*device]];
                next[*device] += 1;
                let kind = EventKind::Press {
                    buzzer: Buzzer(1),
                    rank: 0,
                    flags: Flags::NONE,
                    back_us: 0,
                    early_us: 0,
                };
                let device = DeviceId::new(*device as u32);
                order.push(Event { at: at(us), device, more: false, kind }, true);
                seen.push((us, device));
                order.release(at(pass), |event| {
                    left.push(event);
                    true
                });
                assert_eq!(left.len(), if settle_us == 100 { 0 } else { seen.len() });
            }
            order.release(at(base + 500), |event| {
                left.push(event);
                true
            });
            if settle_us == 100 {
                seen.sort_by_key(|(us, _)| *us); // A stable sort: within a stamp as they were seen.
            }
            let mut latest = 0;
            for (event, (us, device)) in left.iter().zip(&seen) {
                assert_eq!((event.at, event.device), (at(*us), *device), "{devices:?}");
                let EventKind::Press { flags, .. } = event.kind else { panic!("{event:?}") };
                assert_eq!(flags.has(Flags::LATE), settle_us == 4 && *us <= latest, "{devices:?}: {left:?}");
                latest = latest.max(*us);
            }
            assert_eq!(left.len(), 12);
            count += 1;
        });
        assert_eq!(count, 34_650); // 12! / (4! 4! 4!)
    }
}

#[test]
fn interleavings_within_the_window_are_told_as_one_order_from_bytes_to_frames() {
    const W: u64 = 100;
    let mut sorted: Vec<u64> = STAMPS.iter().flatten().copied().collect();
    sorted.sort_unstable();
    let (mut count, mut first) = (0, Vec::new());
    let mut world = World::new(3, Stamps::Kernel, W);
    interleavings(&mut [4; 3], &mut Vec::new(), &mut |order| {
        count += 1;
        if count % 13 != 0 {
            return; // All of them go through the order above; the whole way takes longer.
        }
        let base = START + 1000 * count;
        world.begin(base);
        let end = world.play(order, base, base + 71);
        assert_eq!(world.told.len(), 0, "all are held for W");
        world.pass(end + W);
        let presses = world.presses();
        assert!(presses.iter().all(|(_, _, late)| !late));
        assert_eq!(presses.iter().map(|(us, ..)| us - base).collect::<Vec<_>>(), sorted);
        // Which ties there are does not depend on the interleaving, and how they are drawn depends on the seeds alone,
        // which are the same in every run.
        if first.is_empty() {
            first.clone_from(&world.told);
        }
        assert_eq!(world.told, first, "{order:?}");
    });
}

/// A hit: device, µs since the hit before, delay until it is visible (in thousandths of W), and where its bytes are cut.
type Hit = (usize, u64, u64, usize);

fn hits() -> impl Strategy<Value = Vec<Hit>> {
    prop::collection::vec((0usize..5, prop_oneof![Just(0u64), 0u64..30], 0u64..=1000, 1usize..96), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Oracle: sort by stamp. Random windows, ties, delays, wake-ups and cuts.
    #[test]
    fn random_presses_within_the_window_are_sorted_and_replay(
        hits in hits(),
        settle_us in 0u64..300,
        wakes in prop::collection::vec(1u64..150, 20),
    ) {
        let mut world = World::new(5, Stamps::Sender, settle_us);
        let mut pressed = [0u16; 5];
        let mut stamps = Vec::new();
        // (visible at, device, bytes); a device's own bytes become visible in order.
        let mut visible: Vec<(u64, usize, Vec<u8>)> = Vec::new();
        let mut shown: BTreeMap<usize, u64> = BTreeMap::new();
        let mut us = START + settle_us + 1;
        for (device, pause, delay, cut) in hits {
            us += pause;
            stamps.push(us);
            let n = 1 + pressed[device] % 8;
            pressed[device] += 1;
            let bytes = [frame(at(us), key(n), true), frame(at(us), key(n), false)].concat();
            let seen = (us + settle_us * delay / 1000).max(shown.get(&device).copied().unwrap_or(0));
            // Nothing may come later than W, even if it had to wait for the bytes before it.
            let seen = seen.min(us + settle_us);
            shown.insert(device, seen);
            // The first part may be seen earlier, not before its stamp; it says nothing without its end.
            visible.push((us.max(visible_before(&visible, device)), device, bytes[..cut].to_vec()));
            visible.push((seen, device, bytes[cut..].to_vec()));
        }
        visible.sort_by_key(|(seen, ..)| *seen);
        let mut now = START + settle_us;
        let mut wakes = wakes.iter().cycle();
        let mut rest = visible.as_slice();
        while !rest.is_empty() {
            now += wakes.next().unwrap();
            let ready = rest.partition_point(|(seen, ..)| *seen <= now);
            for (_, device, bytes) in &rest[..ready] {
                world.write(*device, bytes);
            }
            rest = &rest[ready..];
            world.pass(now);
        }
        world.pass(now + 10 * settle_us + 1);
        let presses = world.presses();
        prop_assert!(presses.iter().all(|(_, _, late)| !late), "{:?}", presses);
        stamps.sort_unstable();
        prop_assert_eq!(presses.iter().map(|(us, ..)| *us).collect::<Vec<_>>(), stamps);
        assert_each_device_in_order(&presses)?;
        world.assert_replays();
    }

    /// The reader's own stamps: everything of one pass is one group, each device's order is kept, the rest is drawn.
    #[test]
    fn random_presses_with_receipt_stamps_keep_each_devices_order(
        passes in prop::collection::vec(prop::collection::vec(0usize..5, 0..12), 1..12),
    ) {
        let mut world = World::new(5, Stamps::Receipt, 2000);
        let mut pressed = [0u16; 5];
        let mut sizes = Vec::new();
        for (pass, devices) in passes.iter().enumerate() {
            let now = START + 10_000 + pass as u64 * 10;
            for device in devices {
                let n = 1 + pressed[*device] % 8;
                pressed[*device] += 1;
                // Whatever the sender says about the time.
                let hit = [frame(at(n.into()), key(n), true), frame(at(0), key(n), false)].concat();
                world.write(*device, &hit);
            }
            sizes.extend(vec![now; devices.len()]);
            world.pass(now);
        }
        let presses = world.presses();
        prop_assert_eq!(presses.iter().map(|(us, ..)| *us).collect::<Vec<_>>(), sizes);
        assert_each_device_in_order(&presses)?;
        let draws = world.records.iter().filter(|record| matches!(record.fact, Fact::Draw { .. })).count();
        let ties = passes.iter().filter(|devices| devices.iter().any(|device| *device != devices[0])).count();
        prop_assert_eq!(draws, ties, "drawn only where presses of two devices cannot be told apart");
        world.assert_replays();
    }

    /// Devices that come, press and go at random, with and without a witness on the same number.
    #[test]
    fn what_goes_takes_only_its_own_buzzers_and_replays(
        goes in prop::collection::vec((0u32..4, 0u64..50), 0..8),
    ) {
        let mut world = World::new(4, Stamps::Kernel, 10);
        let mut now = START + 100;
        let mut there = [true; 4];
        for (device, pause) in goes {
            now += pause + 1;
            if !std::mem::replace(&mut there[device as usize], false) {
                continue;
            }
            world.pipes.end(device as usize, Gone::Unplugged);
            world.pass(now);
            world.pass(now + 20);
        }
        let left: Vec<u16> = (0..4).filter(|d| there[*d]).flat_map(|d| (1..=8).map(move |n| d as u16 * 10 + n)).collect();
        let buzzers = world.mediator.state().buzzers(&"desk".parse().unwrap());
        prop_assert_eq!(buzzers.into_iter().collect::<Vec<_>>(), left);
        if there == [false; 4] {
            let all = r#"{"event":"disconnected","pool":"desk","buzzer":null}"#;
            prop_assert_eq!(world.told.last().map(String::as_str), Some(all));
            prop_assert_eq!(world.told.len(), 3 * 8 + 1);
        }
        world.assert_replays();
    }
}

fn visible_before(visible: &[(u64, usize, Vec<u8>)], device: usize) -> u64 {
    visible.iter().filter(|(_, of, _)| *of == device).map(|(seen, ..)| *seen).max().unwrap_or(0)
}

/// Each device pressed its keys in turn.
fn assert_each_device_in_order(presses: &[(u64, u16, bool)]) -> Result<(), TestCaseError> {
    let mut next = [0u16; 5];
    for (_, buzzer, _) in presses {
        let next = &mut next[usize::from(buzzer / 10)];
        prop_assert_eq!(buzzer % 10, 1 + *next % 8, "{:?}", presses);
        *next += 1;
    }
    Ok(())
}
