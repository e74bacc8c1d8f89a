//! A reader that is kept from running, and a stamp that only looks like it. In: a thread of higher real-time priority on the
//! reader's processor, and frames with old stamps. Out: the reader's events. Guarantee: an old stamp is true if the reader
//! itself ran late, and stale if it did not, also when it ran late some time before; needs the right to real-time priority,
//! and says when it was left out. Whoever shares the processor is kept from running too.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::thread;

use buzzer_core::event::{EventKind, Flags};
use buzzer_core::io::sys;
use buzzer_core::merge::ring::RING_EVENTS;
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::reader::Rig;
use buzzer_tests::left_out;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::alone;

/// Above the reader's 20.
const HOG_PRIORITY: i32 = 30;
/// Well above the 50 ms after which a stamp is doubted.
const OLD: Micros = Micros::from_ms(120);
/// So often it is kept from running: together for much longer than any single stamp is old afterwards.
const STALLS: u32 = 5;
/// A hypervisor may stop everything for a while, which looks like neither: such an attempt proves nothing.
const ATTEMPTS: usize = 20;

/// Keeps this thread on the first processor it may use.
fn pin(thread: Option<Pid>) {
    let all = sched_getaffinity(thread).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap());
    sched_setaffinity(thread, &one).unwrap();
}

/// The threads of this process that are readers; other tests may run some too.
fn readers() -> Vec<Pid> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let named = tasks.filter_map(|task| {
        let task = task.ok()?;
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        (name.trim() == "reader").then(|| task.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))?
    });
    named.collect()
}

fn wait_until(time: KernelTime) {
    while sys::now() < time {
        thread::yield_now();
    }
}

/// Takes the reader's processor, runs `meanwhile` on it, and gives it back only after [`OLD`]. False: it is not allowed to.
fn hog(meanwhile: impl FnOnce() + Send) -> bool {
    let hogging = || {
        pin(None);
        let end = sys::now() + OLD;
        if sys::set_fifo(HOG_PRIORITY).is_err() {
            return false;
        }
        meanwhile();
        while sys::now() < end {
            std::hint::spin_loop();
        }
        true
    };
    thread::scope(|scope| scope.spawn(hogging).join().expect("it ends"))
}

#[test]
fn an_old_stamp_is_true_only_if_the_reader_itself_ran_late_just_now() {
    let _alone = alone();
    let others = readers();
    let mut rig = Rig::new(0, RING_EVENTS);
    let (read, mut write) = std::io::pipe().unwrap();
    rig.attach(OwnedFd::from(read), Stamps::Kernel);
    for reader in readers().into_iter().filter(|reader| !others.contains(reader)) {
        // One that ends meanwhile is not ours.
        if sched_getaffinity(Some(reader)).is_ok() {
            pin(Some(reader));
        }
    }
    let (mut down, mut stalls, mut stale) = (true, 0, false);
    for _ in 0..ATTEMPTS {
        if stalls < STALLS {
            let mut sent = KernelTime::ZERO;
            if !hog(|| {
                sent = sys::now();
                write.write_all(&frame(sent, key(1), down)).unwrap();
            }) {
                return left_out("reader_stall on a real thread", "real-time priority is not allowed here");
            }
            let first = rig.wait_event();
            if let EventKind::ReaderStall { late_us } = first.kind {
                assert!(first.at == sent && late_us >= 50_000, "{first:?}");
                stalls += 1;
                rig.wait_event();
            } else if matches!(first.kind, EventKind::StaleStamp { .. }) {
                rig.wait_event();
            }
        } else {
            // Stamped right after the reader went to sleep, shown much later: it was not kept from running.
            let old = sys::now();
            wait_until(old + OLD);
            write.write_all(&frame(old, key(1), down)).unwrap();
            let first = rig.wait_event();
            if first.kind == (EventKind::StaleStamp { stamp: old }) {
                let event = rig.wait_event();
                if let EventKind::Press { flags, .. } = event.kind {
                    assert!(flags.has(Flags::STALE_STAMP), "{event:?}");
                }
                stale = true;
                break;
            } else if matches!(first.kind, EventKind::ReaderStall { .. }) {
                rig.wait_event();
            }
        }
        down = !down;
    }
    assert_eq!(stalls, STALLS, "it ran late in {ATTEMPTS} attempts, and did not say so");
    assert!(stale, "it takes an old stamp for a true one because it ran late some time before");
}
