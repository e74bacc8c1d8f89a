//! No bias in ties. In: reports of a Buzz! hub in which several handsets were hit, 10 000 for each of three fixed seeds; and
//! two boxes of which one has an order of its own within the tie. Out: how often each came first, and in which order. Guarantee: the way is the real one (decode, debounce, stamp, order, group, draw,
//! mediator); seeds are fixed, so the test is the same in every run; chi-square with p > 0.001 means that a fair draw would
//! be further from equal in more than one of a thousand such tests.

use std::collections::BTreeMap;

use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind};
use buzzer_core::merge::order::Order;
use buzzer_core::press::decode::Record as Input;
use buzzer_core::press::keys::{KeyBits, KeyCode, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::press::stream::{Stream, StreamOptions};
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::game::draw;
use buzzer_server::game::draw::Entrant;
use buzzer_server::game::mediator::{Announced, Mediator, Output};
use buzzer_server::game::pool::PoolSpec;
use buzzer_server::game::state::State;
use buzzer_server::record::{DeviceDelay, Fact};
use buzzer_tests::harness::clock::Still;

const SEEDS: [u64; 3] = [1, 20_260_101, 0xB022_E12D];
const REPORTS: u32 = 10_000;
/// BTN_TRIGGER_HAPPY1: the red buttons of the handsets are this one and each fifth behind it.
const RED: u16 = 0x2c0;
/// Critical values of chi-square for p = 0.001: four handsets have 3 degrees of freedom, two have 1.
const CRITICAL_4: f64 = 16.266;
const CRITICAL_2: f64 = 10.828;
/// Three orders have 2 degrees of freedom.
const CRITICAL_3: f64 = 13.816;

/// splitmix64: what the draws get instead of the kernel's randomness.
struct Seeds(u64);

impl Seeds {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A hub and everything up to the records.
struct Hub {
    stream: Stream,
    order: Order,
    mediator: Mediator,
    seeds: Seeds,
    now: KernelTime,
}

impl Hub {
    fn new(seed: u64) -> Self {
        let now = KernelTime::from_us(1_000_000);
        let pool: buzzer_server::record::pool_id::PoolId = "stage".parse().unwrap();
        let spec = PoolSpec { id: pool.clone(), autoconnect: true, slots: None };
        let (log, boot, version) = (String::new(), "boot".to_owned(), String::new());
        let start = Fact::Start { log, boot, version, wall_us: 0, settle_us: 0, realtime: false };
        let mut mediator = Mediator::new(State::default(), vec![spec], start, now);
        mediator.handle_announced(
            1,
            Announced {
                pool,
                name: String::new(),
                place: String::new(),
                stamps: Stamps::Kernel.into(),
                buzzers: vec![1, 2, 3, 4],
                delay: DeviceDelay { delay_us: [0, 19_000], ..DeviceDelay::default() },
                curve: None,
            },
        );
        let stream = Stream::new(&StreamOptions {
            device: DeviceId::new(1),
            stamps: Stamps::Kernel,
            since: now,
            drained: now,
            keys: KeyMap::new((1..=4).map(|handset| (red(handset), Buzzer(handset)))),
            held: KeyBits::NONE,
            debounce_us: Micros::from_ms(15),
            settle_us: Micros::from_ms(2),
        });
        let mut order = Order::new(Micros::from_ms(2));
        let attached = Event { at: now, device: DeviceId::new(1), more: false, kind: EventKind::Attached };
        order.push(attached, true);
        Self { stream, order, mediator, seeds: Seeds(seed), now }
    }

    /// One report in which these handsets go down or up; every other one as two frames of one stamp, because the kernel cuts
    /// frames at 8 values and each key comes with a scan code.
    fn report(&mut self, handsets: &[u16], down: bool, cut: bool) -> Vec<u16> {
        self.now = self.now + Micros::from_ms(20);
        let mut records = Vec::new();
        for (place, handset) in handsets.iter().enumerate() {
            if cut && place == handsets.len() / 2 {
                records.push(Input::report(self.now));
            }
            records.push(Input::key(self.now, red(*handset), down));
        }
        records.push(Input::report(self.now));
        let bytes: Vec<u8> = records.into_iter().flat_map(Input::to_bytes).collect();
        let (order, clock) = (&mut self.order, Still(self.now));
        self.stream.feed(&bytes, &clock, &mut |event| order.push(event, true)).unwrap();
        self.stream.set_drained(self.now);
        let (mediator, seeds) = (&mut self.mediator, &mut self.seeds);
        self.order.release(self.now, |event| {
            mediator.handle_event(event, || seeds.next().to_be_bytes());
            true
        });
        let mut presses = Vec::new();
        while let Some(output) = self.mediator.poll_output() {
            if let Output::Record(record) = output
                && let Fact::Press { buzzer, tie, photo, .. } = record.fact
            {
                assert!(tie.is_some() && photo.is_empty(), "one report is a tie and no photo finish");
                presses.push(buzzer);
            }
        }
        presses
    }

    /// How often each of these handsets came first.
    fn wins(&mut self, handsets: &[u16]) -> Vec<u32> {
        let mut wins = vec![0; handsets.len()];
        for n in 0..REPORTS {
            let presses = self.report(handsets, true, n % 2 == 0);
            assert_eq!(presses.len(), handsets.len());
            self.report(handsets, false, false);
            wins[handsets.iter().position(|handset| *handset == presses[0]).unwrap()] += 1;
        }
        wins
    }
}

fn red(handset: u16) -> KeyCode {
    KeyCode::new(RED + 5 * (handset - 1)).unwrap()
}

/// Pearson's chi-square against "all equal".
fn chi_square(wins: &[u32]) -> f64 {
    let expected = f64::from(REPORTS) / wins.len() as f64;
    wins.iter().map(|wins| (f64::from(*wins) - expected).powi(2) / expected).sum()
}

#[test]
fn each_handset_of_a_hub_wins_a_tie_as_often_as_any_other() {
    for seed in SEEDS {
        for (handsets, critical) in
            [(&[1, 2, 3, 4][..], CRITICAL_4), (&[1, 4][..], CRITICAL_2), (&[2, 3][..], CRITICAL_2)]
        {
            let wins = Hub::new(seed).wins(handsets);
            let chi_square = chi_square(&wins);
            assert!(
                chi_square < critical,
                "seed {seed}: handsets {handsets:?} won {wins:?}: {chi_square:.1}"
            );
        }
    }
}

#[test]
fn a_box_with_an_order_of_its_own_wins_no_more_often_than_another() {
    let draws = 100_000;
    let entrant = |device, buzzer, frame| Entrant { pool: "stage".parse().unwrap(), buzzer, device, frame };
    // Box A with 1; box B with 3 and then 4, in a later report of the same µs. In which order they were read changes nothing.
    let mut entrants = [entrant(1, 1, 0), entrant(2, 3, 0), entrant(2, 4, 1)];
    for seed in SEEDS {
        let mut seeds = Seeds(seed);
        let mut orders = BTreeMap::new();
        for _ in 0..draws {
            let order = draw::order(seeds.next().to_be_bytes(), &entrants);
            let order: Vec<u16> = order.into_iter().map(|place| entrants[place].buzzer).collect();
            *orders.entry(order).or_insert(0u32) += 1;
        }
        let mut chi_square = 0.0;
        for (order, share) in [([1, 3, 4], 0.5), ([3, 1, 4], 0.25), ([3, 4, 1], 0.25)] {
            let expected = f64::from(draws) * share;
            chi_square += (f64::from(orders[&order[..]]) - expected).powi(2) / expected;
        }
        assert!(orders.len() == 3 && chi_square < CRITICAL_3, "{orders:?}: {chi_square:.1}");
        entrants.rotate_left(1);
    }
}
