//! A campaign of simulated worlds: devices, fingers, delays, faults and threads, all drawn from a seed. In: seeds. Out: nothing,
//! or the smallest part of a world that breaks a rule. Guarantee: a world depends on its seed alone, so
//! `BUZZERD_SEED=… cargo test -p buzzer-tests --test it campaign` plays exactly that world again.

mod dice;
mod kernel;
mod node;
mod script;
mod small;
mod threads;
mod truth;
mod verdict;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use buzzer_core::io::sys;

use buzzer_tests::is_slow;
use script::{World, fault};
use verdict::Count;

/// Presses that the suite plays.
const PRESSES: u64 = 1_000_000;

/// Plays a world and judges it.
fn play(world: World) -> Result<Count, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let played = threads::play(world, script::write(world))?;
        // To write and read every line takes as long as all the rest, and has tests of its own.
        verdict::judge(played, world.seed.is_multiple_of(8))
    }));
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

/// The smallest part of the world that still breaks a rule.
fn shrink(mut world: World, mut broken: String) -> (World, String) {
    loop {
        let fewer_races = [world.races / 2, world.races * 9 / 10, world.races - 1.min(world.races)];
        let fewer_devices = [world.devices / 2, world.devices - 1.min(world.devices)];
        let fewer_faults = (0..fault::COUNT).map(|bit| world.faults & !(1 << bit));
        let smaller = fewer_races.into_iter().map(|races| World { races, ..world });
        let smaller = smaller.chain(fewer_devices.into_iter().map(|devices| World { devices, ..world }));
        let smaller = smaller.chain(fewer_faults.map(|faults| World { faults, ..world }));
        let next = smaller.filter(|smaller| *smaller != world && smaller.devices > 0).find_map(|smaller| {
            // The same rule, whatever the numbers.
            let error = play(smaller).err().filter(|error| kind(error) == kind(&broken))?;
            Some((smaller, error))
        });
        match next {
            Some(next) => (world, broken) = next,
            None => return (world, broken),
        }
    }
}

/// The words that a complaint begins with, without the numbers.
fn kind(broken: &str) -> String {
    let text = broken.split(": ").find(|part| !part.starts_with("device ") && !part.starts_with("buzzer "));
    text.unwrap_or_default().chars().filter(|letter| !letter.is_ascii_digit()).take(30).collect()
}

fn must_hold(world: World) -> Count {
    match play(world) {
        Ok(count) => count,
        Err(first) => {
            let (smallest, broken) = shrink(world, first.clone());
            panic!(
                "SEED={world} breaks a rule: {first}\nthe smallest part of it: {smallest}: {broken}\n\
                 again: BUZZERD_SEED={smallest} cargo test -p buzzer-tests --test it campaign"
            );
        }
    }
}

/// Worlds from `first` on, on every CPU, until `enough` says so. Gives the count and the number of worlds.
fn worlds(first: u64, enough: impl Fn(u64) -> bool + Sync) -> (Count, u64) {
    let (next, presses) = (AtomicU64::new(first), AtomicU64::new(0));
    let workers = thread::available_parallelism().map_or(1, Into::into);
    let counts: Vec<Count> = thread::scope(|scope| {
        let work = || {
            let mut sum = Count::default();
            while !enough(presses.load(Ordering::Relaxed)) {
                let count = must_hold(World::new(next.fetch_add(1, Ordering::Relaxed)));
                presses.fetch_add(count.presses, Ordering::Relaxed);
                sum += count;
            }
            sum
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut sum = Count::default();
    counts.into_iter().for_each(|count| sum += count);
    (sum, next.into_inner() - first)
}

#[test]
fn a_million_presses_in_worlds_full_of_faults_keep_every_rule() {
    if let Some(world) = std::env::var_os("BUZZERD_SEED") {
        let world: World = world.to_string_lossy().parse().unwrap();
        println!("{world}: {:?}", must_hold(world));
        return;
    }
    let slow = is_slow();
    let start = sys::now();
    let (count, worlds) = if slow {
        // New seeds each time: ten minutes are ten minutes more of the campaign.
        let seconds = std::env::var("BUZZERD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
        let first = u64::from_ne_bytes(std::array::from_fn(|n| start.as_us().to_ne_bytes()[n])) << 20;
        worlds(first, |_| sys::now().since(start).as_us() > seconds * 1_000_000)
    } else {
        worlds(1, |presses| presses >= PRESSES)
    };
    println!("{worlds} worlds in {} ms: {count:?}", sys::now().since(start).as_us() / 1000);
    // A campaign that meets no fault proves nothing.
    let met = [count.late, count.stale, count.recovered, count.suspect, count.tied, count.photos, count.gaps];
    let met =
        met.into_iter().chain([count.lost, count.stalls, count.ring_full, count.unplugged, count.ignored]);
    assert!(slow || met.into_iter().all(|met| met > 100), "{count:?}");
}

#[test]
fn a_heap_that_is_full_loses_no_press_and_marks_what_it_delays() {
    for seed in 1..=2 {
        let world = World { devices: 8, races: 10, faults: fault::FLOOD | fault::STALL, ..World::new(seed) };
        let count = must_hold(world);
        println!("{world}: {count:?}");
        assert!(count.heap_full > 0, "{count:?}");
        // Who was not read for want of room is waited for.
        assert!(count.late < count.presses / 100, "{count:?}");
    }
}
