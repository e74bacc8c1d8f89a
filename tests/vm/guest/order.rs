//! Cases about the order of presses on different devices.

use std::sync::Barrier;
use std::thread;

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::json;

use crate::client::Client;
use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same};
use crate::node::Reader;
use crate::records::{self, Press};
use crate::uhid::{Hid, RED, YELLOW};
use crate::uinput::{A, Button, let_pass, now_us};

const ROUNDS: usize = 300;

/// Two devices of one pool. Without debounce a round follows the last one at once.
const ONE_POOL: &str = r#"
[order]
debounce_us = 0
[[pool]]
id = "desk"
device = [
    { match = { name = "left button" }, buzzers = { "1" = "KEY_A" } },
    { match = { name = "right button" }, buzzers = { "2" = "KEY_A" } },
]
"#;

const TWO_POOLS: &str = r#"
[order]
debounce_us = 0
[[pool]]
id = "left"
match = { name = "left button" }
buzzers = { "1" = "KEY_A" }
[[pool]]
id = "right"
match = { name = "right button" }
buzzers = { "2" = "KEY_A" }
"#;

pub(crate) fn two_cpus_one_pool() -> Outcome {
    let buttons = [Button::plug("left button")?, Button::plug("right button")?];
    let daemon = Daemon::start("two-cpus-one-pool", ONE_POOL)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    race(daemon, client, buttons)
}

pub(crate) fn two_cpus_two_pools() -> Outcome {
    let buttons = [Button::plug("left button")?, Button::plug("right button")?];
    let daemon = Daemon::start("two-cpus-two-pools", TWO_POOLS)?;
    let mut client = daemon.client()?;
    client.connect_pool("left", &[1])?;
    client.connect_pool("right", &[2])?;
    race(daemon, client, buttons)
}

/// The span in which a writer's press got its stamp.
type Span = (i64, i64);

/// Presses both buttons from two CPUs at once, round after round, and compares frames, log and the writers' own clocks.
fn race(daemon: Daemon, mut client: Client, buttons: [Button; 2]) -> Outcome {
    let barrier = Barrier::new(3);
    let (frames, spans) = thread::scope(|scope| {
        let barrier = &barrier;
        let mut cpus = 0..;
        let writers = buttons.map(|button| {
            let cpu = cpus.next().unwrap_or_default();
            scope.spawn(move || write_presses(button, cpu, barrier))
        });
        let mut frames: Outcome<Vec<u64>> = Ok(Vec::new());
        for _ in 0..ROUNDS {
            barrier.wait();
            // A failure is kept, so that the writers' barriers are still met.
            frames = frames.and_then(|mut frames| {
                for _ in 0..2 {
                    let frame =
                        client.next().map_err(|why| format!("{why} after {} buzzes", frames.len()))?;
                    same("event", &frame["event"], &json!("buzz"))?;
                    frames.push(frame["buzzer"].as_u64().unwrap_or_default());
                }
                Ok(frames)
            });
            barrier.wait();
        }
        let spans =
            writers.map(|writer| writer.join().unwrap_or_else(|_| Err("a writer panicked".to_owned())));
        (frames, spans)
    });
    let frames = frames.map_err(|why| format!("{why}{}", daemon.last_words()))?;
    let spans = spans.into_iter().collect::<Outcome<Vec<_>>>()?;
    let presses = records::presses(&daemon.stop()?);
    compare(&frames, &presses, &spans)
}

fn write_presses(mut button: Button, cpu: usize, barrier: &Barrier) -> Outcome<Vec<Span>> {
    let mut set = CpuSet::new();
    set.set(cpu);
    let mut outcome = sched_setaffinity(None, &set).why("affinity").map(|()| Vec::new());
    for _ in 0..ROUNDS {
        barrier.wait();
        outcome = outcome.and_then(|mut spans: Vec<Span>| {
            let before = now_us();
            button.press(A)?;
            spans.push((before, now_us()));
            button.release(A)?;
            Ok(spans)
        });
        barrier.wait();
    }
    outcome
}

fn compare(frames: &[u64], presses: &[Press], spans: &[Vec<Span>]) -> Outcome {
    same("presses in the log", &presses.len(), &(2 * ROUNDS))?;
    let logged: Vec<u64> = presses.iter().map(|press| press.buzzer).collect();
    ensure(frames == logged, || "the frames' order is not the log's".to_owned())?;

    // Nothing lost, nothing twice: the nth press of a buzzer has a stamp from within its nth write.
    let mut next = [0, 0];
    let mut swapped = 0;
    for press in presses {
        let writer = usize::from(press.buzzer == 2);
        let span = spans[writer].get(next[writer]).copied();
        let (before, after) = span.ok_or_else(|| format!("a press too many: {press:?}"))?;
        next[writer] += 1;
        let inside = (before..=after).contains(&press.at_us);
        ensure(inside || press.is_marked(), || {
            format!("{press:?} was written between {before} and {after}")
        })?;
        swapped += usize::from(press.buzzer == 2 && next[1] > next[0]);
    }

    let clean: Vec<&Press> = presses.iter().filter(|press| !press.is_marked()).collect();
    let inverted = clean.windows(2).find(|pair| pair[0].at_us > pair[1].at_us);
    ensure(inverted.is_none(), || format!("not in the order of the stamps: {inverted:?}"))?;
    println!(
        "vm: {} presses, {} marked late or stale, the right button first in {swapped} of {ROUNDS} rounds",
        presses.len(),
        presses.len() - clean.len()
    );
    Ok(())
}

/// Two hubs that no configuration names, so that the daemon does not have them for itself and another program can
/// make the second one's next stamp older than it is. Gives their pools, in the order of the ports.
fn two_known_hubs(name: &str, config: &str) -> Outcome<([Hid; 2], Daemon, Client, [String; 2])> {
    let hubs = [Hid::plug_buzz_at(1, 0x1000)?, Hid::plug_buzz_at(2, 0x1000)?];
    let daemon = Daemon::start(name, config)?;
    let mut client = daemon.client()?;
    let listed = client.pools()?;
    let pool = |port: u8| {
        let ids = listed.as_array().into_iter().flatten().filter_map(|id| id.as_str());
        let mut ids = ids.filter(|id| id.ends_with(&format!("-{port}")));
        ids.next().map(str::to_owned).ok_or_else(|| format!("no pool of port {port} in {listed}"))
    };
    let pools = [pool(1)?, pool(2)?];
    for pool in &pools {
        client.connect_pool(pool, &[1, 2, 3, 4])?;
    }
    Ok((hubs, daemon, client, pools))
}

/// Leaves the present time in the device for its next frame.
fn leave_stamp(hub: &mut Hid) -> Outcome {
    let reader = Reader::open(hub.node())?;
    hub.buzz_report(&[(0, YELLOW)])?;
    reader.set_clock()
}

/// What is read first has the later stamp, and both stamps are within the settle window.
pub(crate) fn stamps_decide_not_reading() -> Outcome {
    let (mut hubs, daemon, mut client, pools) = two_known_hubs("stamps", "[order]\nsettle_us = 100000\n")?;
    let mut proofs = 0;
    for _ in 0..20 {
        let before = now_us();
        leave_stamp(&mut hubs[1])?;
        hubs[0].buzz_report(&[(0, RED)])?;
        hubs[1].buzz_report(&[(0, RED)])?;
        // An emulated CPU may stall for longer than the window: such a round proves nothing.
        let in_window = now_us() - before < 50_000;
        let order = [client.next()?["pool"].clone(), client.next()?["pool"].clone()];
        if in_window {
            same("pools in order", &order, &[json!(pools[1]), json!(pools[0])])?;
            proofs += 1;
        }
        hubs.iter_mut().try_for_each(|hub| hub.buzz_report(&[]))?;
        let_pass(20_000)?; // Debounce.
    }
    ensure(proofs > 0, || "the machine is too slow for a round within the settle window".to_owned())?;
    println!("vm: {proofs} of 20 rounds were within the window");
    daemon.stop().map(drop)
}

/// A stamp from long before what has already been told: it is delivered, it is marked, and it rewrites nothing.
pub(crate) fn stale_stamp_is_marked() -> Outcome {
    let (mut hubs, daemon, mut client, pools) = two_known_hubs("stale-stamp", "")?;
    leave_stamp(&mut hubs[1])?;
    let_pass(20_000)?;
    hubs[0].buzz_report(&[(0, RED)])?;
    client.expect_buzz(&pools[0], 1)?;
    hubs[1].buzz_report(&[(0, RED)])?;
    client.expect_buzz(&pools[1], 1)?;
    let presses = records::presses(&daemon.stop()?);
    let marks: Vec<(&str, bool)> =
        presses.iter().map(|press| (press.pool.as_str(), press.is_marked())).collect();
    same("pools and marks", &marks, &vec![(pools[0].as_str(), false), (pools[1].as_str(), true)])
}
