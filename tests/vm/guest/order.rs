//! Cases about the order of presses on different devices.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::client::Client;
use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same};
use crate::faults::{known_hubs, leave_stamp};
use crate::load::pin;
use crate::records::{self, Press};
use crate::uhid::RED;
use crate::uinput::{A, B, Button, let_pass, now_us};

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
    let mut outcome = pin(cpu).map(|()| Vec::new());
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

/// What is read first has the later stamp, and both stamps are within the settle window.
pub(crate) fn stamps_decide_not_reading() -> Outcome {
    let (mut hubs, daemon, mut client, pools) = known_hubs::<2>("stamps", "[order]\nsettle_us = 100000\n")?;
    let mut proofs = 0;
    for _ in 0..20 {
        let before = now_us();
        let _other = leave_stamp(&mut hubs[1])?;
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

/// As many sources as epoll names at a time (`reader.rs`).
const NAMED: usize = 256;

/// A device that epoll does not name in a wake-up, because so much else is ready before it, shows an older stamp than
/// what was named: only a reader that reads all devices before it lets go of one tells them in order.
pub(crate) fn unnamed_device_is_read_as_well() -> Outcome {
    let mut left = Button::plug("left button")?;
    let mut right = Button::plug("right button")?;
    let socket = "/tmp/crowd.sock";
    let config = format!(
        "{}[[pool]]\nid = \"crowd\"\nsocket = \"{socket}\"\n",
        ONE_POOL.replace(r#"{ "1" = "KEY_A" }"#, r#"{ "1" = "KEY_A", "3" = "KEY_B" }"#)
    );
    let daemon = Daemon::start("crowd", &config)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2, 3])?;
    let mut crowd = (0..NAMED).map(|_| attach(socket)).collect::<Outcome<Vec<_>>>()?;
    client.connect_pool("crowd", &[1])?;
    daemon.freeze()?;
    left.press(A)?;
    // Half a record each: something to read, and nothing to tell.
    crowd.iter_mut().try_for_each(|stream| stream.write_all(&[0; 12]).why("record"))?;
    right.press(A)?;
    left.press(B)?;
    daemon.thaw()?;
    for buzzer in [1, 2, 3] {
        client.expect_buzz("desk", buzzer)?;
    }
    let presses = records::presses(&daemon.stop()?);
    same("marked ones", &presses.iter().filter(|press| press.is_marked()).count(), &0)?;
    same("the order is that of the stamps", &presses.is_sorted_by_key(|press| press.at_us), &true)
}

/// An attachment without buzzers that anybody presses.
fn attach(socket: &str) -> Outcome<UnixStream> {
    let mut stream = UnixStream::connect(socket).why(socket)?;
    stream.write_all(b"{\"name\":\"crowd\",\"buzzers\":{\"704\":1}}\n").why("header")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).why("answer")?;
    same("answer", &&answer, &b"{\"ok\":true}\n").map(|()| stream)
}
