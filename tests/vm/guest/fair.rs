//! The campaign: eight devices press at once on both CPUs, and three readers read them at the same time: `buzzerd`, and two
//! that give out what they read as they read it ([`crate::naive`]).
//!
//! Enters how many presses, on an idle or a busy machine; leaves a row of a table, or why an order was not fair. The oracle
//! is the kernel: the stamps that another reader of the same nodes got.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use buzzer_tests::is_slow;
use serde_json::json;

use crate::client::Client;
use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same};
use crate::load::{CPUS, Load, pin};
use crate::naive::{Inversions, Naive, Reads, Seen, inversions};
use crate::records;
use crate::uhid::{Hid, RED};
use crate::uinput::{Button, TRIGGER, now_us};

const DEVICES: usize = 8;
/// Presses of one device in a row: press and release are two events each with their SYN_REPORT, so twelve fit the
/// kernel's queue of 63 events even if a reader is not let run at all.
const BURST: usize = 12;
/// One daemon, one log: memory is what the guest's files are in.
const RUN_PRESSES_MAX: usize = 100_000;

/// Reports of four reds.
const TIES: u32 = 2_000;

/// Nothing names the devices, so the daemon leaves them to other readers as well.
const CONFIG: &str = "[order]\ndebounce_us = 0\n";

pub(crate) fn idle() -> Outcome {
    campaign("idle", 10_000)
}

pub(crate) fn busy() -> Outcome {
    campaign("busy", if is_slow() { 1_000_000 } else { 25_000 })
}

fn campaign(load: &str, presses: usize) -> Outcome {
    let mut buttons = (0..DEVICES)
        .map(|device| Button::plug_with(&format!("racer {device}"), &[TRIGGER]))
        .collect::<Outcome<Vec<_>>>()?;
    let loops = if load == "busy" { Some(Load::fair()?) } else { None };
    let mut row = Row::default();
    while row.presses < presses {
        let bursts = (presses - row.presses).min(RUN_PRESSES_MAX).div_ceil(DEVICES * BURST);
        row.add(&run(&mut buttons, bursts)?);
        println!("vm: {load}: {} of {presses} presses", row.presses);
    }
    drop(loops);
    println!("vm: {}", row.text(load));
    ensure(row.naive_turn.count > 0, || "no naive inversion: these presses do not race".to_owned())
}

/// What one run, or all of them, came to.
#[derive(Debug, Default)]
struct Row {
    presses: usize,
    naive_turn: Inversions,
    naive_named: Inversions,
    /// Marked `late`, with or without `stale_stamp`.
    late: usize,
    /// Marked `stale_stamp` alone.
    stale: usize,
    /// The most by which a marked press was behind the latest stamp told.
    marked_us_max: i64,
}

impl Row {
    fn add(&mut self, run: &Self) {
        let sum = |all: &mut Inversions, one: Inversions| {
            all.count += one.count;
            all.worst_us = all.worst_us.max(one.worst_us);
        };
        self.presses += run.presses;
        sum(&mut self.naive_turn, run.naive_turn);
        sum(&mut self.naive_named, run.naive_named);
        self.late += run.late;
        self.stale += run.stale;
        self.marked_us_max = self.marked_us_max.max(run.marked_us_max);
    }

    /// As the README's table has it.
    fn text(&self, load: &str) -> String {
        let version = fs::read_to_string("/proc/version").unwrap_or_default();
        let kernel = if version.contains("PREEMPT_RT") { "PREEMPT_RT" } else { "stock" };
        let naive = |it: &Inversions| {
            let percent = 100.0 * it.count as f64 / self.presses as f64;
            format!("{percent:.2} %, {} µs", it.worst_us)
        };
        format!(
            "| {kernel}, {load} | {} | {} | {} | 0 | {} late, {} stale, {} µs |",
            self.presses,
            naive(&self.naive_turn),
            naive(&self.naive_named),
            self.late,
            self.stale,
            self.marked_us_max
        )
    }
}

/// One daemon from start to stop.
fn run(buttons: &mut [Button], bursts: usize) -> Outcome<Row> {
    let daemon = Daemon::start("fair", CONFIG)?;
    let mut client = daemon.client()?;
    let pools = client.pools()?;
    let pools: Vec<&str> = pools.as_array().into_iter().flatten().filter_map(|id| id.as_str()).collect();
    same("pools", &pools.len(), &buttons.len())?;
    pools.iter().try_for_each(|pool| client.connect_pool(pool, &[1]))?;
    let nodes: Vec<_> = buttons.iter().map(|button| button.node().to_owned()).collect();
    let nodes: Vec<&Path> = nodes.iter().map(AsRef::as_ref).collect();
    let naive = [Naive::start(&nodes, Reads::InTurn)?, Naive::start(&nodes, Reads::AsNamed)?];
    let written = press_all(buttons, bursts, &mut client, &naive);
    let (frames, spans) = written.map_err(|why| format!("{why}{}", daemon.last_words()))?;
    let [turn, named] = naive.map(Naive::stop);
    let (turn, named) = (turn?, named?);
    drop(client);
    let log = daemon.end()?;
    let told = read_log(&log)?;
    fs::remove_dir_all(log.parent().ok_or("no folder")?).why("the case's folder")?;

    let presses = buttons.len() * bursts * BURST;
    same("presses that a naive reader read", &(turn.len(), named.len()), &(presses, presses))?;
    let pools_told = told.iter().map(|told| &told.pool);
    ensure(frames.iter().eq(pools_told), || "the frames' order is not the log's".to_owned())?;
    let kernel = by_device(&turn);
    same("kernel stamps of the two naive readers", &(kernel == by_device(&named)), &true)?;
    check_writers(&kernel, &spans)?;
    let stamps = |seen: &[Seen]| inversions(seen.iter().map(|(_, at_us)| *at_us));
    let marked = check_order(&told, &kernel)?;
    Ok(Row { presses, naive_turn: stamps(&turn), naive_named: stamps(&named), ..marked })
}

/// Before and after a write: the stamp of its frame is from within.
type Span = (i64, i64);

/// Presses everything from both CPUs, burst after burst; gives the pools of the frames in their order, and each
/// device's writes.
fn press_all(
    buttons: &mut [Button],
    bursts: usize,
    client: &mut Client,
    naive: &[Naive],
) -> Outcome<(Vec<String>, Vec<Vec<Span>>)> {
    let barrier = Barrier::new(buttons.len() + 1);
    let done = AtomicBool::new(false);
    let burst_presses = buttons.len() * BURST;
    thread::scope(|scope| {
        let (barrier, done) = (&barrier, &done);
        let writers: Vec<_> = buttons
            .iter_mut()
            .enumerate()
            .map(|(index, button)| scope.spawn(move || write_bursts(button, index % CPUS, barrier, done)))
            .collect();
        let mut frames: Outcome<Vec<String>> = Ok(Vec::new());
        for burst in 1..=bursts {
            barrier.wait();
            barrier.wait();
            frames = frames.and_then(|mut frames| {
                for _ in 0..burst_presses {
                    let mut frame =
                        client.next().map_err(|why| format!("{why} after {} buzzes", frames.len()))?;
                    same("event", &frame["event"], &json!("buzz"))?;
                    frames.push(frame["pool"].take().as_str().unwrap_or_default().to_owned());
                }
                naive.iter().try_for_each(|naive| naive.wait(burst * burst_presses))?;
                Ok(frames)
            });
            if frames.is_err() {
                break;
            }
            if burst % 256 == 0 {
                println!("vm: {} presses", burst * burst_presses);
            }
        }
        done.store(true, Ordering::Release);
        barrier.wait();
        let spans =
            writers.into_iter().map(|it| it.join().unwrap_or_else(|_| Err("a writer panicked".into())));
        let spans = spans.collect::<Outcome<Vec<_>>>();
        Ok((frames?, spans?))
    })
}

fn write_bursts(button: &mut Button, cpu: usize, barrier: &Barrier, done: &AtomicBool) -> Outcome<Vec<Span>> {
    let mut outcome = pin(cpu).map(|()| Vec::new());
    loop {
        barrier.wait();
        if done.load(Ordering::Acquire) {
            return outcome;
        }
        outcome = outcome.and_then(|mut spans: Vec<Span>| {
            for _ in 0..BURST {
                let before = now_us();
                button.press(TRIGGER)?;
                spans.push((before, now_us()));
                button.release(TRIGGER)?;
            }
            Ok(spans)
        });
        barrier.wait();
    }
}

/// A press as the log has it.
struct Told {
    device: usize,
    pool: String,
    at_us: i64,
    late: bool,
    stale: bool,
}

fn read_log(folder: &Path) -> Outcome<Vec<Told>> {
    let mut devices: BTreeMap<String, usize> = BTreeMap::new();
    let (mut told, mut lost) = (Vec::new(), Vec::new());
    records::each(folder, |record| {
        if let Some((pool, name)) = record.attached() {
            let number = name.rsplit(' ').next().and_then(|number| number.parse().ok());
            devices.insert(pool, number.unwrap_or(usize::MAX));
        } else if let Some(press) = record.press() {
            let device = devices.get(&press.pool).copied().unwrap_or(usize::MAX);
            let (late, stale) = (press.has("late"), press.has("stale_stamp"));
            told.push(Told { device, late, stale, at_us: press.at_us, pool: press.pool });
        } else if ["gap", "detach"].contains(&record.kind()) {
            lost.push(record.kind().to_owned());
        }
    })?;
    lost.retain(|kind| kind == "gap");
    ensure(lost.is_empty(), || format!("the kernel dropped events {} times", lost.len()))?;
    Ok(told)
}

/// The stamps of each device, in its own order.
fn by_device(seen: &[Seen]) -> Vec<Vec<i64>> {
    let mut stamps = vec![Vec::new(); DEVICES];
    seen.iter().for_each(|(device, at_us)| stamps[*device].push(*at_us));
    stamps
}

/// The oracle itself: no stamp is from outside of its write.
fn check_writers(kernel: &[Vec<i64>], spans: &[Vec<Span>]) -> Outcome {
    for (stamps, spans) in kernel.iter().zip(spans) {
        same("presses of a device", &stamps.len(), &spans.len())?;
        let wrong = stamps.iter().zip(spans).find(|(at, (before, after))| !(*before..=*after).contains(at));
        ensure(wrong.is_none(), || format!("a kernel stamp from outside of its write: {wrong:?}"))?;
    }
    Ok(())
}

/// Nothing lost, nothing twice; the stamp told is the kernel's unless it says that it is not; a press told behind one
/// of a later kernel stamp says so.
fn check_order(told: &[Told], kernel: &[Vec<i64>]) -> Outcome<Row> {
    let mut row = Row::default();
    let mut next = vec![0; kernel.len()];
    let mut latest = i64::MIN;
    for (place, press) in told.iter().enumerate() {
        let stamps = kernel.get(press.device).ok_or_else(|| format!("no device of pool {}", press.pool))?;
        let own = *stamps.get(next[press.device]).ok_or("a press too many")?;
        next[press.device] += 1;
        let keeps = if press.stale { press.at_us >= own } else { press.at_us == own };
        ensure(keeps, || format!("press {place} is told at {}, the kernel says {own}", press.at_us))?;
        ensure(own >= latest || press.late || press.stale, || {
            format!("press {place}, stamped {own}, is told behind {latest} and not marked")
        })?;
        if press.late || press.stale {
            row.marked_us_max = row.marked_us_max.max(latest - own);
        }
        row.late += usize::from(press.late);
        row.stale += usize::from(press.stale && !press.late);
        latest = latest.max(own);
    }
    let all: Vec<usize> = kernel.iter().map(Vec::len).collect();
    same("presses told", &next, &all)?;
    Ok(row)
}

/// One report of all four reds is a tie, and the draw must not favour a handset, though the kernel lists the first one
/// first each time.
pub(crate) fn no_handset_is_favoured() -> Outcome {
    let mut hub = Hid::plug_buzz(0x0002)?;
    let daemon = Daemon::start("favour", CONFIG)?;
    let mut client = daemon.client()?;
    client.connect_pool("buzz-wired-1", &[1, 2, 3, 4])?;
    let mut wins = [0_u32; 4];
    for _ in 0..TIES {
        hub.buzz_report(&[(0, RED), (1, RED), (2, RED), (3, RED)])?;
        hub.buzz_report(&[])?;
        let first = client.next()?["buzzer"].as_u64().unwrap_or_default();
        let place = first.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        *place.and_then(|place| wins.get_mut(place)).ok_or_else(|| format!("no handset {first}"))? += 1;
        (0..3).try_for_each(|_| client.next().map(drop))?;
    }
    daemon.end()?;
    let expected = f64::from(TIES) / 4.0;
    let chi_square: f64 = wins.iter().map(|wins| (f64::from(*wins) - expected).powi(2) / expected).sum();
    println!("vm: {TIES} reports of four reds, handset 1 to 4 first: {wins:?}, chi-square {chi_square:.2}");
    // 3 degrees of freedom, p = 0.000 001: the seeds are random, and a fair draw must not fail once a year.
    ensure(chi_square < 30.66, || format!("wins {wins:?}: chi-square {chi_square:.2}"))
}
