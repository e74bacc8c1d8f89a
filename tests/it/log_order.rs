//! The log's order. In: presses that show late or not, devices that come and go, a `connect` or two, timers, and stalls of the reader
//! and of the server, all at random. Out: the records that pass and mediator make of it. Guarantee: they are in the order of time but
//! for presses that say `late`, and their releases; a press counts exactly if it has its place behind its pool's `connect`; a replay
//! tells the same.

use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind, Gone};
use buzzer_core::merge::order::Command;
use buzzer_core::merge::source::{NewSource, PassRequest};
use buzzer_core::press::keys::{KeyBits, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::game::mediator::{Announced, Mediator, Output};
use buzzer_server::game::pool::PoolSpec;
use buzzer_server::game::state::{News, State};
use buzzer_server::game::{Answer, ClientId, Request};
use buzzer_server::judge::replay::{Player, PoolKnown};
use buzzer_server::record::{Class, DeviceDelay, Fact, Flag, Record};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::pipes::Pipes;
use proptest::prelude::*;

const START: u64 = 1_000_000;
const W: u64 = 100;
const DEVICES: usize = 4;
const POOLS: [&str; 2] = ["desk", "hall"];
/// A number that the mediator does not use.
const TIMER: u64 = 1 << 40;

fn at(us: u64) -> KernelTime {
    KernelTime::from_us(us)
}

/// What happens.
#[derive(Clone, Debug)]
enum Thing {
    /// The device comes, or is pressed if it is there.
    Press(usize),
    End(usize),
    /// A client asks for the pool.
    Connect(usize),
    Timer(u64),
}

/// One thing: µs since the one before, what, and how long until it can be seen (thousandths of W).
type Step = (u64, Thing, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let thing = prop_oneof![
        12 => (0..DEVICES).prop_map(Thing::Press),
        1 => (0..DEVICES).prop_map(Thing::End),
        2 => (0..POOLS.len()).prop_map(Thing::Connect),
        1 => (0u64..400).prop_map(Thing::Timer),
    ];
    let delay = prop_oneof![6 => 0u64..=1000, 1 => 1000u64..5000];
    prop::collection::vec((prop_oneof![Just(0u64), 0u64..30], thing, delay), 1..80)
}

/// Reader and server.
struct World {
    pipes: Pipes,
    mediator: Mediator,
    stamps: Stamps,
    /// What is in the ring.
    ring: Vec<Event>,
    /// The number of each place's device, if it is there.
    devices: [Option<usize>; DEVICES],
    /// How often each device that ever was has been pressed, and when and of which pool.
    pressed: Vec<u16>,
    presses: Vec<(usize, usize, u64)>,
    timers: u64,
    timers_back: u64,
    records: Vec<Record>,
    news: Vec<News>,
    answers: Vec<Answer>,
}

impl World {
    fn new(stamps: Stamps) -> Self {
        let (log, boot, version) = (String::new(), "boot".to_owned(), String::new());
        let start = Fact::Start { log, boot, version, wall_us: 0, settle_us: W, realtime: false };
        let spec = |id: &str| PoolSpec { id: id.parse().unwrap(), autoconnect: false, slots: None };
        Self {
            pipes: Pipes::new(W),
            mediator: Mediator::new(State::default(), POOLS.map(spec).to_vec(), start, at(START)),
            stamps,
            ring: Vec::new(),
            devices: [None; DEVICES],
            pressed: Vec::new(),
            presses: Vec::new(),
            timers: 0,
            timers_back: 0,
            records: Vec::new(),
            news: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// A device of this place comes: `us` is when it was opened.
    fn attach(&mut self, place: usize, us: u64) {
        let number = self.pressed.len();
        self.devices[place] = Some(number);
        self.pressed.push(0);
        let keys = KeyMap::new((1..=8).map(|n| (key(n), Buzzer(n))));
        let held = if us.is_multiple_of(3) { [key(8)].into_iter().collect() } else { KeyBits::NONE };
        let announced = Announced {
            pool: POOLS[place % POOLS.len()].parse().unwrap(),
            name: String::new(),
            place: String::new(),
            stamps: self.stamps.into(),
            buzzers: (1..=8).collect(),
            delay: DeviceDelay::default(),
            curve: None,
        };
        self.mediator.handle_announced(number as u32, announced);
        self.pipes.post(PassRequest::Attach(NewSource {
            device: DeviceId::new(number as u32),
            fd: number,
            stamps: self.stamps,
            since: at(us),
            drained: at(us),
            keys,
            debounce_us: Micros::ZERO,
            held,
            read_ahead: Vec::new(),
        }));
    }

    /// It can be seen that this happened at `us`.
    fn show(&mut self, thing: &Thing, us: u64) {
        match *thing {
            Thing::Press(place) => match self.devices[place] {
                // Opened then, and handed over now.
                None => self.attach(place, us),
                Some(number) => {
                    let n = 1 + self.pressed[number] % 7;
                    self.pressed[number] = n;
                    // Not older than the device.
                    self.presses.push((number, place % POOLS.len(), us));
                    self.pipes.write(number, &frame(at(us), key(n), true));
                    self.pipes.write(number, &frame(at(us), key(n), false));
                }
            },
            Thing::End(place) => {
                if let Some(number) = self.devices[place].take() {
                    self.pipes.end(number, Gone::Closed);
                }
            }
            Thing::Connect(pool) => {
                let request = Request::Connect { pool: POOLS[pool].to_owned() };
                self.mediator.handle_request(ClientId(1), "somebody", request, at(us));
                self.take_outputs();
            }
            Thing::Timer(after) => {
                self.timers += 1;
                let id = TIMER + self.timers;
                self.pipes.command(Command { id, at: at(us + after), is_timer: true });
            }
        }
    }

    fn pass(&mut self, now: u64) {
        let (events, _) = self.pipes.pass(at(now));
        self.ring.extend(events);
    }

    fn serve(&mut self) {
        for event in std::mem::take(&mut self.ring) {
            self.timers_back += u64::from(matches!(event.kind, EventKind::Timer { .. }));
            self.mediator.handle_event(event, || event.at.as_us().to_be_bytes());
        }
        self.take_outputs();
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.mediator.poll_output() {
            match output {
                Output::Record(record) => self.records.push(record),
                Output::TellAll(news, _) => self.news.push(news),
                Output::Tell(_, answer) => self.answers.push(answer),
                Output::Command(command) => self.pipes.command(command),
                other => panic!("{other:?}"),
            }
        }
    }

    /// What is in the log, for people.
    fn story(&self) -> String {
        let line = |record: &Record| format!("{} {:?}\n", record.at_us - START, record.fact);
        self.records.iter().map(line).collect()
    }

    /// The order of the log is that of time.
    fn check_order(&self) {
        let mut latest = 0;
        let mut late = Vec::new();
        for Record { at_us, fact, .. } in &self.records {
            let may_be_behind = match fact {
                Fact::Press { device, flags, .. } if flags.has(&Flag::Late) => {
                    late.push((*device, *at_us));
                    true
                }
                Fact::Release { device, .. } | Fact::Proved { device, .. } => {
                    late.contains(&(*device, *at_us))
                }
                // That of late presses.
                Fact::Draw { .. } => true,
                _ => false,
            };
            // The rest are notes: they carry the time at which they were made, or of what they are about.
            if !matches!(fact.class(), Class::Pools | Class::Devices | Class::Game)
                && !matches!(fact, Fact::Held { .. } | Fact::Proved { .. })
            {
                continue;
            }
            assert!(*at_us >= latest || may_be_behind, "{fact:?} at {}\n{}", at_us - START, self.story());
            latest = latest.max(*at_us);
        }
    }

    /// A press counts exactly if it is behind the `connect` of its pool.
    fn check_counted(&self) {
        let told = |number: usize, us: u64| {
            let is_it = |fact: &Fact| matches!(fact, Fact::Press { device, .. } if *device == number as u32);
            self.records.iter().filter(|record| record.at_us == us && is_it(&record.fact)).count()
        };
        for (place, id) in POOLS.iter().enumerate() {
            let is_it = |fact: &Fact| matches!(fact, Fact::Connect { pool, .. } if pool.as_str() == *id);
            let connect = self.records.iter().find(|record| is_it(&record.fact));
            for (number, of, us) in self.presses.iter().filter(|(_, of, _)| *of == place) {
                let made = self.presses.iter().filter(|press| **press == (*number, *of, *us)).count();
                match connect {
                    Some(connect) if *us >= connect.at_us => {
                        assert_eq!(told(*number, *us), made, "{number} at {}\n{}", us - START, self.story());
                    }
                    // One that came late may be behind it.
                    Some(_) => {}
                    None => assert_eq!(told(*number, *us), 0, "{}", self.story()),
                }
            }
            for record in &self.records {
                if let Fact::Press { pool, flags, .. } = &record.fact
                    && pool.as_str() == *id
                {
                    let connect = connect.expect("it is connected");
                    assert!(record.seq > connect.seq);
                    assert!(record.at_us >= connect.at_us || flags.has(&Flag::Late), "{}", self.story());
                }
            }
        }
    }

    fn check_replay(&self) {
        let known = |id: &str| {
            let is_it = |fact: &Fact| matches!(fact, Fact::Connect { pool, .. } if pool.as_str() == id);
            let decided =
                self.records.iter().find(|record| is_it(&record.fact)).map_or(0, |record| record.seq);
            PoolKnown { id: id.parse().unwrap(), decided_seq: decided }
        };
        let mut player = Player::new(POOLS.map(known).to_vec());
        self.records.iter().for_each(|record| player.play(record));
        let news: Vec<News> = std::iter::from_fn(|| player.poll_output())
            .filter_map(|output| if let Output::TellAll(news, _) = output { Some(news) } else { None })
            .collect();
        assert_eq!(news, self.news);
        assert_eq!(player.state(), self.mediator.state());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_is_logged_is_in_the_order_of_time(
        steps in steps(),
        stamps in prop::sample::select(vec![Stamps::Kernel, Stamps::Sender, Stamps::Receipt]),
        // With a stall of the reader now and then, and of the server.
        wakes in prop::collection::vec(prop_oneof![9 => 1u64..150, 1 => 150u64..4000], 20),
        serves in prop::collection::vec(prop_oneof![4 => Just(true), 1 => Just(false)], 17),
        rooms in prop::collection::vec(prop_oneof![Just(usize::MAX), 0usize..6], 10),
    ) {
        let mut world = World::new(stamps);
        let mut us = START + 1000;
        let mut shown: Vec<(u64, u64, Thing)> = Vec::new();
        let mut last_shown = [0u64; DEVICES];
        for (pause, thing, delay) in steps {
            us += pause;
            let mut seen = us + W * delay / 1000;
            match thing {
                Thing::Press(place) | Thing::End(place) => {
                    seen = seen.max(last_shown[place]);
                    last_shown[place] = seen;
                }
                Thing::Connect(_) => seen = us,
                Thing::Timer(_) => {}
            }
            shown.push((seen, us, thing));
        }
        shown.sort_by_key(|(seen, ..)| *seen);
        let connects = shown.iter().filter(|(.., thing)| matches!(thing, Thing::Connect(_))).count();
        let (mut wakes, mut serves, mut rooms) = (wakes.iter().cycle(), serves.iter().cycle(), rooms.iter().cycle());
        let (mut now, mut rest, mut idle) = (START + 1000, shown.as_slice(), 0);
        // A device that has come may be pressed from then on.
        let mut there_from = [0u64; DEVICES];
        for _ in 0..10_000 {
            now += wakes.next().unwrap();
            let ready = rest.partition_point(|(seen, ..)| *seen <= now);
            for (_, us, thing) in &rest[..ready] {
                if let Thing::Press(place) = thing {
                    if world.devices[*place].is_none() {
                        there_from[*place] = now;
                    } else if *us < there_from[*place] {
                        continue;
                    }
                }
                world.show(thing, *us);
            }
            rest = &rest[ready..];
            world.pipes.set_room(*rooms.next().unwrap());
            world.pass(now);
            if *serves.next().unwrap() {
                world.serve();
            }
            let is_idle = rest.is_empty() && world.pipes.waiting() == 0 && world.ring.is_empty();
            idle = if is_idle { idle + 1 } else { 0 };
            if idle > 3 {
                break;
            }
        }
        prop_assert!(idle > 3, "it does not end");
        prop_assert_eq!(world.answers.len(), connects, "each is answered");
        prop_assert_eq!(world.timers_back, world.timers);
        world.check_order();
        if stamps != Stamps::Receipt {
            world.check_counted();
        }
        world.check_replay();
    }
}
