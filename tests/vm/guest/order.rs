//! Cases about the order of presses on different devices.

use std::sync::Barrier;
use std::thread;

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::json;

use crate::client::Client;
use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same};
use crate::records::{self, Press};
use crate::uinput::{A, Button, now_us};

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

/// Stamps given by the writer: what is read first has the later stamp, on any machine and in every run.
pub(crate) fn stamps_decide_not_reading() -> Outcome {
    let mut left = Button::plug("left button")?;
    let mut right = Button::plug("right button")?;
    let config = ONE_POOL.replace("debounce_us = 0", "debounce_us = 0\nsettle_us = 100000");
    let daemon = Daemon::start("stamps", &config)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    for _ in 0..5 {
        let at_us = now_us();
        left.send_stamped(A, 1, at_us)?;
        right.send_stamped(A, 1, at_us - 1_000)?;
        client.expect_buzz("desk", 2)?;
        client.expect_buzz("desk", 1)?;
        let at_us = now_us();
        left.send_stamped(A, 0, at_us)?;
        right.send_stamped(A, 0, at_us)?;
    }
    let presses = records::presses(&daemon.stop()?);
    ensure(presses.is_sorted_by_key(|press| press.at_us), || format!("stamps {presses:?}"))?;
    ensure(presses.iter().all(|press| !press.is_marked()), || format!("marked {presses:?}"))
}

/// A stamp from long before what has already been told: it is delivered, it is marked, and it rewrites nothing.
pub(crate) fn old_stamp_is_marked() -> Outcome {
    let mut left = Button::plug("left button")?;
    let mut right = Button::plug("right button")?;
    let daemon = Daemon::start("old-stamp", ONE_POOL)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    let early = now_us();
    left.press(A)?;
    client.expect_buzz("desk", 1)?;
    right.send_stamped(A, 1, early - 500_000)?;
    client.expect_buzz("desk", 2)?;
    let presses = records::presses(&daemon.stop()?);
    let marks: Vec<(u64, bool)> = presses.iter().map(|press| (press.buzzer, press.is_marked())).collect();
    same("presses and marks", &marks, &vec![(1, false), (2, true)])
}
