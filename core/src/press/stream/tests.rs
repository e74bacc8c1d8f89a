//! One device alone. In: records. Out: the events that leave its stream.

use super::*;
use crate::event::Buzzer;
use crate::press::keys::KeyCode;
use crate::press::stamp::tests::Clock;
use proptest::prelude::*;

fn stream() -> Stream {
    let keys = (0..4).map(|n| (KeyCode::new(704 + n).unwrap(), Buzzer(n + 1)));
    Stream::new(&StreamOptions {
        device: DeviceId::new(1),
        stamps: Stamps::Kernel,
        since: KernelTime::ZERO,
        drained: KernelTime::ZERO,
        keys: KeyMap::new(keys),
        held: KeyBits::NONE,
        debounce_us: Micros::ZERO,
        settle_us: Micros::ZERO,
    })
}

fn clock(us: u64) -> Clock {
    Clock { pass: us, read: us, late: 0 }
}

proptest! {
    #[test]
    fn how_bytes_are_cut_into_reads_makes_no_difference(
        keys in prop::collection::vec((700u16..710, any::<bool>()), 0..50),
        cuts in prop::collection::vec(1usize..60, 1..50),
    ) {
        let mut bytes = Vec::new();
        for (at, (code, down)) in keys.iter().enumerate() {
            let at = KernelTime::from_us(at as u64);
            bytes.extend(Record::key(at, KeyCode::new(*code).unwrap(), *down).to_bytes());
            bytes.extend(Record::report(at).to_bytes());
        }
        let mut whole = Vec::new();
        stream().feed(&bytes, &clock(100), &mut |event| whole.push(event)).unwrap();
        let (mut cut, mut pieces, mut cuts) = (stream(), Vec::new(), cuts.iter().cycle());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            cut.feed(piece, &clock(100), &mut |event| pieces.push(event)).unwrap();
            rest = tail;
        }
        prop_assert_eq!(cut.finish(), Ok(()));
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let _ = stream().feed(&bytes, &clock(100), &mut |_| {});
    }
}

/// One report of these buttons (0 to 3) going down or up, at `us`.
fn report(stream: &mut Stream, us: u64, buttons: &[u16], down: bool) -> Vec<(u16, Flags)> {
    let at = KernelTime::from_us(us);
    let keys = buttons.iter().map(|n| Record::key(at, KeyCode::new(704 + n).unwrap(), down));
    let bytes: Vec<u8> = keys.chain([Record::report(at)]).flat_map(Record::to_bytes).collect();
    let mut presses = Vec::new();
    let out = &mut |event: Event| {
        if let EventKind::Press { buzzer, flags, .. } = event.kind {
            presses.push((buzzer.0, flags));
        }
    };
    stream.feed(&bytes, &clock(us), out).unwrap();
    presses
}

#[test]
fn a_button_never_proved_is_suspect_in_a_report_of_several() {
    let mut stream = stream();
    assert_eq!(report(&mut stream, 10, &[0], true), [(1, Flags::NONE)], "alone: nothing to suspect");
    report(&mut stream, 20, &[0], false);
    let both = report(&mut stream, 30, &[0, 1], true);
    assert_eq!(both, [(1, Flags::NONE), (2, Flags::SUSPECT)], "1 is proved, 2 is not");
    // The kernel cuts a long report: a second frame of the same stamp belongs to it.
    assert_eq!(report(&mut stream, 30, &[2], true), [(3, Flags::SUSPECT)]);
}

#[test]
fn an_impossible_stamp_is_told_once_a_report_before_what_counts() {
    let mut stream = stream();
    stream.set_drained(KernelTime::from_us(100_000));
    let frame = |buttons: &[u16], down| -> Vec<u8> {
        let at = KernelTime::from_us(7);
        let keys = buttons.iter().map(|n| Record::key(at, KeyCode::new(704 + n).unwrap(), down));
        keys.chain([Record::report(at)]).flat_map(Record::to_bytes).collect()
    };
    let mut kinds = Vec::new();
    let now = KernelTime::from_us(100_500);
    let mut feed = |bytes: &[u8]| {
        stream
            .feed(bytes, &clock(100_500), &mut |event| {
                assert_eq!(event.at, now, "by the time it was read");
                kinds.push(event.kind);
            })
            .unwrap();
        std::mem::take(&mut kinds)
    };
    let stale = EventKind::StaleStamp { stamp: KernelTime::from_us(7) };
    let told = feed(&frame(&[0, 1], true));
    assert_eq!((told.len(), told[0]), (3, stale), "{told:?}");
    assert!(told[1..].iter().all(|kind| matches!(kind, EventKind::Press { .. })), "{told:?}");
    assert_eq!(feed(&frame(&[0], false)), [stale, EventKind::Release { buzzer: Buzzer(1) }]);
    assert_eq!(feed(&frame(&[], false)), [], "nothing was said");
}

#[test]
fn presses_that_are_read_together_with_stamps_that_cannot_be_true_are_no_bounce() {
    let options = StreamOptions {
        device: DeviceId::new(1),
        stamps: Stamps::Kernel,
        since: KernelTime::ZERO,
        drained: KernelTime::ZERO,
        keys: KeyMap::new([(KeyCode::new(704).unwrap(), Buzzer(1))]),
        held: KeyBits::NONE,
        debounce_us: Micros::from_ms(15),
        settle_us: Micros::ZERO,
    };
    let frame = |us: u64, down: bool| {
        let at = KernelTime::from_us(us);
        [Record::key(at, KeyCode::new(704).unwrap(), down), Record::report(at)].map(Record::to_bytes).concat()
    };
    // Five presses 120 ms apart, each with 1 ms of bounce, and nothing explains that they show only now.
    let presses = (0..5).map(|n| 1_000_000 + 120_000 * n);
    let bytes: Vec<u8> = presses
        .flat_map(|us| {
            [(0, true), (300, false), (600, true), (50_000, false)].map(|(d, down)| frame(us + d, down))
        })
        .flatten()
        .collect();
    let (mut stream, mut counts) = (Stream::new(&options), [0; 3]);
    stream.set_drained(KernelTime::from_us(900_000));
    let out = &mut |event: Event| match event.kind {
        EventKind::Press { flags, .. } => {
            assert!(flags.has(Flags::STALE_STAMP));
            counts[0] += 1;
        }
        EventKind::Release { .. } => counts[1] += 1,
        EventKind::Ignored { .. } => counts[2] += 1,
        _ => {}
    };
    stream.feed(&bytes, &clock(2_000_000), out).unwrap();
    assert_eq!(counts, [5, 5, 10]);
    // Another program took the device's clock 5 ms after a release: the next press, much later, has that stamp.
    let (mut stream, mut presses) = (Stream::new(&options), Vec::new());
    for (us, read, down) in [(10_000, 10_050, true), (80_000, 80_050, false), (85_000, 700_000, true)] {
        let out = &mut |event: Event| {
            if let EventKind::Press { flags, .. } = event.kind {
                presses.push((event.at.as_us(), flags));
            }
        };
        stream.feed(&frame(us, down), &clock(read), out).unwrap();
        stream.set_drained(KernelTime::from_us(read));
    }
    assert_eq!(presses, [(10_000, Flags::NONE), (700_000, Flags::STALE_STAMP)]);
}

#[test]
fn a_reader_that_ran_late_says_so_and_the_stamp_stays_true() {
    let at = KernelTime::from_us(10_000);
    let red = KeyCode::new(704).unwrap();
    let bytes = [Record::key(at, red, true).to_bytes(), Record::report(at).to_bytes()].concat();
    let mut events = Vec::new();
    let late = Clock { pass: 90_000, read: 90_010, late: 70_000 };
    stream().feed(&bytes, &late, &mut |event| events.push((event.at, event.kind))).unwrap();
    let press = EventKind::Press { buzzer: Buzzer(1), rank: 0, flags: Flags::NONE, back_us: 0, early_us: 0 };
    assert_eq!(events, [(at, EventKind::ReaderStall { late_us: 70_000 }), (at, press)]);
}

#[test]
fn a_report_that_moves_no_key_says_how_far_the_device_is_read() {
    let mut stream = stream();
    for (us, want) in [(50, 50), (40, 50), (90, 50), (60, 60)] {
        let bytes = Record::report(KernelTime::from_us(us)).to_bytes();
        stream.feed(&bytes, &clock(70), &mut |event| panic!("{event:?}")).unwrap();
        assert_eq!(stream.read_up_to().as_us(), want, "{us}");
    }
}

#[test]
fn a_report_that_the_kernel_cut_says_so() {
    let at = KernelTime::from_us(5);
    for (value, want) in [(0, false), (1, true)] {
        let key = Record::key(at, KeyCode::new(704).unwrap(), true);
        let bytes = [key, Record { value, ..Record::report(at) }].map(Record::to_bytes).concat();
        let mut more = Vec::new();
        stream().feed(&bytes, &clock(5), &mut |event| more.push(event.more)).unwrap();
        assert_eq!(more, [want]);
    }
}

#[test]
fn an_end_inside_a_record_is_garbage() {
    let mut stream = stream();
    stream.feed(&[0; 23], &clock(1), &mut |_| {}).unwrap();
    assert_eq!(stream.finish(), Err(Garbage::PartialRecord));
}

#[test]
fn a_gap_is_told_and_what_is_down_behind_it_is_recovered() {
    let at = KernelTime::from_us(5);
    let mut events = Vec::new();
    let mut stream = stream();
    let bytes = [Record::dropped(at).to_bytes(), Record::report(at).to_bytes()].concat();
    stream.feed(&bytes, &clock(9), &mut |event| events.push(event.kind)).unwrap();
    assert!(stream.needs_resync());
    let red = KeyCode::new(704).unwrap();
    let read = KernelTime::from_us(12);
    stream.resync(&[red].into_iter().collect(), read, &mut |event| {
        assert_eq!(event.at, read);
        events.push(event.kind);
    });
    let press =
        EventKind::Press { buzzer: Buzzer(1), rank: 0, flags: Flags::RECOVERED, back_us: 12, early_us: 0 };
    assert_eq!(events, [EventKind::Gap { since: KernelTime::ZERO }, press]);
    assert!(!stream.needs_resync());
}
