//! The proof of the order, as a race. In: pairs of presses on two devices, each readable before its stamp has come, written
//! while the reader goes through a long row of devices. Out: the reader's events. Guarantee: with a window of 0 none of these
//! is late, however threads are scheduled, because the reader takes its clock before it drains and drains every device;
//! what the machine made readable only after its stamp is not counted.

use std::collections::BTreeSet;
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

const PAIRS: usize = 20_000;
/// Devices between the two, so that a pass takes long enough for both to be written within it.
const IDLE: usize = 60;
/// Written so long before its stamp. Shorter than a pass, or nothing would be put to the test.
const LEAD: Micros = Micros::from_us(15);

#[test]
fn what_is_readable_by_its_stamp_is_never_late_even_without_a_window() {
    let mut rig = Rig::new(0, RING_EVENTS);
    let mut ends = Vec::new();
    for _ in 0..IDLE + 2 {
        let (read, write) = std::io::pipe().unwrap();
        rig.attach(OwnedFd::from(read), Stamps::Kernel);
        ends.push(write);
    }
    let (mut first, mut last) = (ends.remove(0), ends.pop().unwrap());
    let writing = thread::spawn(move || {
        let mut in_time = BTreeSet::new();
        let mut at = KernelTime::ZERO;
        for _ in 0..PAIRS {
            at = (sys::now() + LEAD).max(at + Micros::from_us(1));
            // The one that is drained first has the earlier stamp.
            for writer in [&mut first, &mut last] {
                let hit = [frame(at, key(1), true), frame(at, key(1), false)].concat();
                writer.write_all(&hit).unwrap();
                if sys::now() <= at {
                    in_time.insert(at);
                }
                at = at + Micros::from_us(1);
            }
        }
        in_time
    });
    let mut late = BTreeSet::new();
    let mut presses = 0;
    while presses < 2 * PAIRS {
        let event = rig.wait_event();
        if let EventKind::Press { flags, .. } = event.kind {
            presses += 1;
            // Readable more than 2 ms after its stamp, it has the time of its reading instead: not one of these.
            if flags.has(Flags::LATE) && !flags.is_without_stamp() {
                late.insert(event.at);
            }
        }
    }
    let in_time = writing.join().unwrap();
    println!("{} of {presses} presses were readable by their stamp", in_time.len());
    if in_time.len() < PAIRS / 100 {
        left_out("the order without a window", "this machine wrote nearly everything too late to count");
    }
    let wrong: Vec<_> = late.intersection(&in_time).collect();
    assert!(wrong.is_empty(), "{} presses are late that were readable by their stamp", wrong.len());
    drop(ends);
}
