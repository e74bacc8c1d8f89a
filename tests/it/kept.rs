//! Devices that stayed open while no reader ran, in the reader's pass. In: random presses of several devices, queued before there is
//! a reader and said to it afterwards. Out: what leaves the pass. Guarantee: all of it is one order of time, nothing is late, and
//! what was queued, and nothing else, says so.

use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind, Flags};
use buzzer_core::merge::source::{NewSource, PassRequest};
use buzzer_core::press::keys::{KeyBits, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::pipes::Pipes;
use proptest::prelude::*;

/// The last thing that is known of the reader before, and when the next one began.
const END: u64 = 1_000_000;
const START: u64 = 9_000_000;
const W: u64 = 2000;

fn at(us: u64) -> KernelTime {
    KernelTime::from_us(us)
}

/// A press with its release.
fn hit(us: u64) -> Vec<u8> {
    [frame(at(us), key(1), true), frame(at(us), key(1), false)].concat()
}

fn kept(device: usize, queued: &[u64]) -> (NewSource<usize>, KernelTime) {
    let source = NewSource {
        device: DeviceId::new(device as u32),
        fd: device,
        stamps: Stamps::Kernel,
        since: at(queued.first().copied().unwrap_or(START)),
        drained: at(END),
        keys: KeyMap::new([(key(1), Buzzer(1))]),
        debounce_us: Micros::ZERO,
        held: KeyBits::NONE,
        read_ahead: queued.iter().flat_map(|us| hit(*us)).collect(),
    };
    (source, at(START))
}

fn presses(events: &[Event]) -> Vec<(u64, Vec<&'static str>)> {
    let told = events.iter().filter_map(|event| match event.kind {
        EventKind::Press { flags, .. } => Some((event.at.as_us(), flags.names().collect())),
        EventKind::Gap { .. } | EventKind::StaleStamp { .. } | EventKind::ReaderStall { .. } => {
            panic!("{event:?}")
        }
        _ => None,
    });
    told.collect()
}

proptest! {
    #[test]
    fn what_waited_comes_out_in_one_order_with_what_is_live(
        queued in prop::collection::vec(prop::collection::vec(END..START, 0..16), 1..6),
        live in prop::collection::vec(prop::collection::vec(START + 1..START + 1500, 0..8), 6),
    ) {
        let mut pipes = Pipes::new(W);
        let (mut queued, mut live) = (queued, live);
        let devices = queued.len();
        let mut wanted = Vec::new();
        for (all, flags) in [(&mut queued, &["during_restart"][..]), (&mut live, &[][..])] {
            for own in all.iter_mut().take(devices) {
                own.sort_unstable();
                own.dedup();
                wanted.extend(own.iter().map(|us| (*us, flags.to_vec())));
            }
        }
        wanted.sort();
        pipes.post(PassRequest::Adopt((0..devices).map(|device| kept(device, &queued[device])).collect()));
        for (device, own) in live.iter().take(devices).enumerate() {
            own.iter().for_each(|us| pipes.write(device, &hit(*us)));
        }
        let (mut told, _) = pipes.pass(at(START + 1500));
        told.extend(pipes.pass(at(START + 1500 + W)).0);
        prop_assert_eq!(presses(&told), wanted);
        // The queue is empty: from now on age needs a reason.
        if devices > 0 {
            pipes.write(0, &hit(START + 1501));
            let (late, _) = pipes.pass(at(START + 900_000));
            let is_believed = late.iter().any(|event| matches!(
                event.kind,
                EventKind::Press { flags, .. } if !flags.has(Flags::STALE_STAMP)
            ));
            prop_assert!(!is_believed, "{:?}", late);
        }
    }
}
