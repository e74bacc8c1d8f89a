//! What one press costs the reader, step by step, and the mediator: `cargo bench -p buzzer-benches --bench micro`.
//! In: one hit (a press and its release, four records) at a time, from one of two devices; for `photo` a hit of each, 3 ms
//! apart. Out: criterion's figures for each step and for the whole way from bytes to ring, from events to records, and at
//! the end the share of each step of the reader. Guarantee: the code measured is the code that runs; what is not the
//! reader's work (taking events from the ring) is not timed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use buzzer_core::device::catalogue;
use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind, Flags};
use buzzer_core::merge::order::Order;
use buzzer_core::merge::ring;
use buzzer_core::merge::ring::RING_EVENTS;
use buzzer_core::press::debounce::{Contacts, Moment};
use buzzer_core::press::decode::{Decoder, Edge, RECORD_BYTES, Record};
use buzzer_core::press::keys::{KeyBits, KeyCode, KeyMap};
use buzzer_core::press::stamp::{Judge, ReadClock, Stamps};
use buzzer_core::press::stream::{Stream, StreamOptions};
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::game::mediator::{Announced, Mediator};
use buzzer_server::game::pool::PoolSpec;
use buzzer_server::game::state::State;
use buzzer_server::record::pool_id::PoolId;
use buzzer_server::record::{DeviceDelay, Fact};
use criterion::Criterion;

/// A Buzz! hub's first key.
const KEY: KeyCode = KeyCode::new(0x2c0).expect("a key code");
const SETTLE: Micros = Micros::from_ms(2);
const DEBOUNCE: Micros = Micros::from_ms(15);
/// From one hit to the next, and from press to release.
const HIT: Micros = Micros::from_ms(100);
const HOLD: Micros = Micros::from_ms(50);
/// Hits between two looks at the clock, which costs some 20 ns itself; two events each fit into the ring.
const BATCH: u64 = RING_EVENTS as u64 / 2;

/// It is this time, before and after the read.
struct Now(KernelTime);

impl ReadClock for Now {
    fn pass(&self) -> KernelTime {
        self.0
    }
    fn read(&self) -> KernelTime {
        self.0
    }
    fn ran_late_us(&self) -> Micros {
        Micros::ZERO
    }
    fn empty_until(&self) -> KernelTime {
        self.0
    }
}

/// What has been measured, by step.
#[derive(Default)]
struct Sheet(Vec<(&'static str, Duration, u64)>);

impl Sheet {
    /// Measures a step: `hit` does one hit at the time given, `after` what is not timed.
    fn step(
        &mut self,
        criterion: &mut Criterion,
        name: &'static str,
        mut hit: impl FnMut(KernelTime),
        mut after: impl FnMut(),
    ) {
        let (mut spent, mut done) = (Duration::ZERO, 0);
        let mut now = KernelTime::from_us(1_000_000);
        criterion.bench_function(&format!("press/{name}"), |bencher| {
            bencher.iter_custom(|hits| {
                let mut elapsed = Duration::ZERO;
                let mut left = hits;
                while left > 0 {
                    let batch = left.min(BATCH);
                    #[allow(clippy::disallowed_methods, reason = "the clock of the bench")]
                    let start = Instant::now();
                    for _ in 0..batch {
                        now = now + HIT;
                        hit(now);
                    }
                    elapsed += start.elapsed();
                    after();
                    left -= batch;
                }
                (spent, done) = (spent + elapsed, done + hits);
                elapsed
            });
        });
        if done > 0 {
            self.0.push((name, spent, done));
        }
    }

    fn print(&self) {
        let ns = |(_, spent, hits): &(_, Duration, u64)| spent.as_nanos() as f64 / *hits as f64;
        let is_whole = |name: &str| ["whole", "mediator", "photo"].contains(&name);
        let steps: f64 = self.0.iter().filter(|(name, ..)| !is_whole(name)).map(ns).sum();
        println!("\none press and its release, all samples:");
        for step in &self.0 {
            match step.0 {
                name if is_whole(name) => println!("  {name:<9} {:>6.0} ns", ns(step)),
                name => println!("  {name:<9} {:>6.0} ns  {:>3.0} %", ns(step), 100.0 * ns(step) / steps),
            }
        }
    }
}

fn hit(at: KernelTime) -> [u8; 4 * RECORD_BYTES] {
    let mut bytes = [0; 4 * RECORD_BYTES];
    let up = at + HOLD;
    let records =
        [Record::key(at, KEY, true), Record::report(at), Record::key(up, KEY, false), Record::report(up)];
    for (place, record) in bytes.chunks_exact_mut(RECORD_BYTES).zip(records) {
        place.copy_from_slice(&record.to_bytes());
    }
    bytes
}

fn keys() -> KeyMap {
    KeyMap::new((0..4).filter_map(|n| Some((KeyCode::new(0x2c0 + 5 * n)?, Buzzer(n + 1)))))
}

fn event(at: KernelTime, kind: EventKind) -> Event {
    Event { at, device: DeviceId::new(1), more: false, kind }
}

const PRESS: EventKind =
    EventKind::Press { buzzer: Buzzer(1), rank: 0, flags: Flags::NONE, back_us: 0, early_us: 0 };
const RELEASE: EventKind = EventKind::Release { buzzer: Buzzer(1) };

/// Two stamped devices, so that a press is held for the window as it is in a game.
fn order() -> Order {
    let mut order = Order::new(SETTLE);
    for device in 1..=2 {
        let attached = Event {
            at: KernelTime::ZERO,
            device: DeviceId::new(device),
            more: false,
            kind: EventKind::Attached,
        };
        order.push(attached, true);
    }
    order.release(KernelTime::from_us(10_000), |_| true);
    order
}

/// A keyboard and an arcade encoder, both measured, in a pool that is connected.
fn mediator() -> Mediator {
    let (pool, now): (PoolId, _) = ("stage".parse().expect("a pool"), KernelTime::from_us(1));
    let spec = PoolSpec { id: pool.clone(), autoconnect: true, slots: None };
    let (log, boot, version) = (String::new(), String::new(), String::new());
    let start = Fact::Start { log, boot, version, wall_us: 0, settle_us: 2000, realtime: true };
    let mut mediator = Mediator::new(State::default(), vec![spec], start, now);
    for (device, model) in [(1, "Logitech K120"), (2, "DragonRise arcade encoder")] {
        let curve = catalogue::model(model).map(|model| model.curve);
        let delay_us = curve.map_or([0, 0], |curve| [curve.min_us().into(), curve.max_us().into()]);
        let delay = DeviceDelay { delay_us, ..DeviceDelay::default() };
        let (pool, name, place, stamps) = (pool.clone(), model.to_owned(), String::new(), "kernel".into());
        let announced = Announced { pool, name, place, stamps, buzzers: vec![device], delay, curve };
        mediator.handle_announced(device.into(), announced);
        let attached =
            Event { at: now, device: DeviceId::new(device.into()), more: false, kind: EventKind::Attached };
        mediator.handle_event(attached, || [0; 8]);
    }
    mediator
}

/// Hands the mediator an event and takes what comes of it.
fn tell(mediator: &mut Mediator, at: KernelTime, device: u16, kind: EventKind) {
    mediator.handle_event(Event { at, device: DeviceId::new(device.into()), more: false, kind }, || [0; 8]);
    while let Some(output) = mediator.poll_output() {
        black_box(output);
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut sheet = Sheet::default();

    let mut decoder = Decoder::new(KeyBits::NONE);
    let decode = |at: KernelTime| {
        let bytes = black_box(hit(at));
        let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
        for record in records {
            black_box(decoder.feed(Record::from_bytes(record)).expect("no garbage"));
        }
    };
    sheet.step(&mut criterion, "decode", decode, || ());

    let mut contacts = Contacts::new(&keys(), &KeyBits::NONE, DEBOUNCE);
    let debounce = |at: KernelTime| {
        for (down, at) in [(true, at), (false, at + HOLD)] {
            let when = Some(Moment { own: at, at, is_false: false });
            black_box(contacts.edge(black_box(Edge { key: KEY, down, after_gap: false }), when));
        }
    };
    sheet.step(&mut criterion, "debounce", debounce, || ());

    let mut judge = Judge::new(Stamps::Kernel, SETTLE, KernelTime::ZERO, KernelTime::ZERO);
    let stamp = |at: KernelTime| {
        for at in [at, at + HOLD] {
            black_box(judge.judge(black_box(at), &Now(at)));
        }
    };
    sheet.step(&mut criterion, "stamp", stamp, || ());

    let mut merged = order();
    let merge = |at: KernelTime| {
        for (at, kind) in [(at, PRESS), (at + HOLD, RELEASE)] {
            merged.push(event(at, kind), true);
            let take = |event| {
                black_box(event);
                true
            };
            merged.release(at, take);
            merged.release(at + SETTLE, take);
        }
    };
    sheet.step(&mut criterion, "order", merge, || ());

    let (mut sender, mut receiver) = ring::ring(RING_EVENTS);
    let push = |at: KernelTime| {
        for (at, kind) in [(at, PRESS), (at + HOLD, RELEASE)] {
            assert!(sender.push(event(at, kind)), "there is room");
            black_box(sender.must_wake());
        }
    };
    sheet.step(&mut criterion, "ring", push, || while receiver.pop().is_some() {});

    let mut stream = Stream::new(&StreamOptions {
        device: DeviceId::new(1),
        stamps: Stamps::Kernel,
        since: KernelTime::ZERO,
        drained: KernelTime::ZERO,
        keys: keys(),
        held: KeyBits::NONE,
        debounce_us: DEBOUNCE,
        settle_us: SETTLE,
    });
    let (mut sender, mut receiver) = ring::ring(RING_EVENTS);
    let mut merged = order();
    let whole = |at: KernelTime| {
        let bytes = black_box(hit(at));
        let (press, release) = bytes.split_at(2 * RECORD_BYTES);
        for (at, bytes) in [(at, press), (at + HOLD, release)] {
            stream.feed(bytes, &Now(at), &mut |event| merged.push(event, true)).expect("no garbage");
            stream.set_drained(at);
            for drained in [at, at + SETTLE] {
                merged.release(drained, |event| sender.push(event));
            }
            black_box(sender.must_wake());
        }
    };
    sheet.step(&mut criterion, "whole", whole, || while receiver.pop().is_some() {});

    let mut alone = mediator();
    let one = |at: KernelTime| {
        tell(&mut alone, at, 1, PRESS);
        tell(&mut alone, at + HOLD, 1, RELEASE);
    };
    sheet.step(&mut criterion, "mediator", one, || ());

    let mut close = mediator();
    let photo = |at: KernelTime| {
        let of = |n: u16| {
            [
                EventKind::Press { buzzer: Buzzer(n), rank: 0, flags: Flags::NONE, back_us: 0, early_us: 0 },
                EventKind::Release { buzzer: Buzzer(n) },
            ]
        };
        let ([press, release], [later, its_release]) = (of(1), of(2));
        tell(&mut close, at, 1, press);
        tell(&mut close, at + Micros::from_ms(3), 2, later);
        tell(&mut close, at + HOLD, 1, release);
        tell(&mut close, at + HOLD, 2, its_release);
    };
    sheet.step(&mut criterion, "photo", photo, || ());

    criterion.final_summary();
    sheet.print();
}
