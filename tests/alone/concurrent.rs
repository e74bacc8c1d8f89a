//! Order under load, with real clocks. In: 16 programs that press as fast as they are answered, each on its own thread, while
//! every CPU is kept busy by others. Out: counts. Guarantee: each presser keeps its stamps and the times at which they were
//! written, so every record is held against the truth: none lost, none out of order without a mark, none marked that came
//! within the settle window.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use buzzer_core::io::sys;
use buzzer_core::time::Micros;
use buzzer_server::record::Fact;
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::{Attachment, Client, Home, is_slow};

use crate::load::wait_until;
use crate::seen::{Seen, buzzer};
use crate::{KEYS, alone, desk};

const DEVICES: u16 = 16;
/// Presses of one device that were not told yet. All of them together fit into what may wait for one client.
const UNSEEN_MAX: usize = 60;
/// The default of `order.settle_us`.
const SETTLE_US: u64 = 2000;

/// So many presses of a device are written in time; then comes one that is written long after its stamp.
const WITHHELD_EVERY: usize = 500;

/// A press as its presser knows it: its stamp, and when the write had returned.
#[derive(Clone, Copy)]
struct Made {
    stamp_us: u64,
    written_us: u64,
}

#[test]
fn presses_of_16_devices_on_busy_cpus_are_in_the_order_of_their_stamps_or_say_late() {
    let presses = if is_slow() { 1_000_000 } else { 100_000 } / usize::from(DEVICES);
    let _alone = alone();
    let (home, daemon, devices) = desk("sender", DEVICES);
    let mut client = daemon.client();
    let seen: Vec<Seen> = (0..DEVICES).map(|_| Seen::default()).collect();
    let busy = AtomicBool::new(true);
    let start = sys::now();
    let devices: Vec<(Attachment, Vec<Made>)> = thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        let reader = scope.spawn(|| count(&mut client, &seen, presses * usize::from(DEVICES)));
        let spawn = |(device, seen)| scope.spawn(move || press(device, seen, presses));
        let pressers: Vec<_> = devices.into_iter().zip(&seen).map(spawn).collect();
        let made = pressers.into_iter().map(|presser| presser.join()).collect::<Result<Vec<_>, _>>();
        let read = reader.join();
        // Before anything can fail, or the busy ones would never end.
        busy.store(false, Ordering::Relaxed);
        read.expect("the reader");
        made.expect("the pressers")
    });
    let took = sys::now().since(start);
    drop(daemon);
    let made: Vec<Vec<Made>> = devices.into_iter().map(|(_, made)| made).collect();
    judge(&home, &made, took);
}

/// Presses so often, each time with the clock of that moment (a few withhold theirs), never more than [`UNSEEN_MAX`] ahead of what was told.
fn press(mut device: Attachment, seen: &Seen, presses: usize) -> (Attachment, Vec<Made>) {
    let mut made = Vec::with_capacity(presses);
    for press in 0..presses {
        let key = key(1 + (press % usize::from(KEYS)) as u16);
        let now = sys::now();
        if press % WITHHELD_EVERY == WITHHELD_EVERY - 1 {
            wait_until(now + Micros::from_us(2 * SETTLE_US));
        }
        device.send(&[frame(now, key, true), frame(now, key, false)].concat());
        made.push(Made { stamp_us: now.as_us(), written_us: sys::now().as_us() });
        seen.wait((press + 1).saturating_sub(UNSEEN_MAX) as u64);
    }
    seen.wait(presses as u64);
    (device, made)
}

/// Reads so many presses.
fn count(client: &mut Client, seen: &[Seen], presses: usize) {
    for _ in 0..presses {
        let text = client.text();
        let buzzer = buzzer(&text).unwrap_or_else(|| panic!("{text}"));
        seen[usize::from(buzzer / KEYS)].count();
    }
}

/// Holds every record against what was made.
fn judge(home: &Home, made: &[Vec<Made>], took: Micros) {
    let mut next = vec![0; made.len()];
    let (mut latest, mut late, mut late_records, mut beyond, mut tied, mut photos) =
        (0, 0u64, 0u64, 0u64, 0u64, 0u64);
    let mut late_us_max = 0;
    home.journal().for_each(|record| {
        let (buzzer, flags, tie, photo) = match &record.fact {
            Fact::Press { buzzer, flags, tie, photo, .. } => (*buzzer, flags, tie, photo),
            Fact::Late { .. } => {
                late_records += 1;
                return;
            }
            _ => return,
        };
        let device = usize::from(buzzer / KEYS);
        let press = next[device];
        next[device] += 1;
        let Made { stamp_us, written_us } = made[device][press];
        let right = usize::from(buzzer % KEYS) == press % usize::from(KEYS) && record.at_us == stamp_us;
        assert!(right, "press {press} of device {device}, made at {stamp_us}: {record:?}");
        let is_late = flags.names().eq(["late"]);
        assert!(is_late || flags.is_empty(), "{record:?}");
        // What was written in time could be read in time.
        let is_beyond = written_us - stamp_us > SETTLE_US;
        assert!(!is_late || is_beyond, "late, and written at {written_us}: {record:?}");
        assert!(is_late || record.at_us >= latest, "an inversion without a mark: {record:?} behind {latest}");
        if is_late {
            late_us_max = late_us_max.max(written_us - stamp_us);
        }
        latest = latest.max(record.at_us);
        late += u64::from(is_late);
        beyond += u64::from(is_beyond);
        tied += u64::from(tie.is_some());
        photos += u64::from(!photo.is_empty());
    });
    let presses: usize = made.iter().map(Vec::len).sum();
    assert_eq!(next.iter().sum::<usize>(), presses, "presses and records differ");
    assert!(late > 0, "{beyond} presses were withheld");
    assert_eq!(late, late_records, "each late press has a record of its own");
    println!(
        "{DEVICES} devices, every CPU busy: {presses} presses in {} ms, none lost, 0 inversions without a mark; {beyond} \
         were written more than {SETTLE_US} µs after their stamp (at most {late_us_max} µs), of which {late} came behind a \
         later one and say so; {tied} in ties, {photos} in a photo finish with another. As they were written, {} were behind a later one",
        took.as_us() / 1000,
        inversions(made)
    );
}

/// How many are out of order for who takes them as they come.
fn inversions(made: &[Vec<Made>]) -> usize {
    let mut all: Vec<Made> = made.iter().flatten().copied().collect();
    all.sort_by_key(|made| made.written_us);
    let mut latest = 0;
    let behind = all.iter().filter(|made| {
        let behind = made.stamp_us < latest;
        latest = latest.max(made.stamp_us);
        behind
    });
    behind.count()
}
