//! The decoder alone: records and the true key states go in; presses, releases and gaps come out.

use super::*;

const A: KeyCode = KeyCode::new(30).unwrap();
const B: KeyCode = KeyCode::new(48).unwrap();

fn at(us: u64) -> KernelTime {
    KernelTime::from_us(us)
}

/// Feeds records and gives every edge as (time, key, down), a gap as (time, None).
fn run(decoder: &mut Decoder, records: &[Record]) -> Vec<(u64, Option<(KeyCode, bool)>)> {
    let mut seen = Vec::new();
    for record in records {
        match decoder.feed(*record).unwrap() {
            Fed::Open => {}
            Fed::Frame(at) => {
                seen.extend(decoder.edges().iter().map(|e| (at.as_us(), Some((e.key, e.down)))));
            }
            Fed::Gap => seen.push((record.usec.cast_unsigned(), None)),
        }
    }
    seen
}

#[test]
fn a_press_counts_at_its_report_and_repeats_do_not() {
    let mut decoder = Decoder::new(KeyBits::NONE);
    let repeat = Record { value: 2, ..Record::key(at(7), A, true) };
    let records = [
        Record::key(at(5), A, true),
        Record::report(at(6)),
        repeat,
        Record::report(at(7)),
        Record::key(at(8), A, true),
        Record::report(at(8)),
        Record::key(at(9), A, false),
        Record::key(at(9), B, true),
        Record::key(at(9), B, false),
        Record::report(at(9)),
    ];
    let want = [(6, Some((A, true))), (9, Some((A, false))), (9, Some((B, true))), (9, Some((B, false)))];
    assert_eq!(run(&mut decoder, &records), want);
}

#[test]
fn a_key_held_at_the_start_makes_no_press_before_its_release() {
    let mut decoder = Decoder::new([A].into_iter().collect());
    let records = [
        Record::key(at(1), A, true),
        Record::report(at(1)),
        Record::key(at(2), A, false),
        Record::report(at(2)),
        Record::key(at(3), A, true),
        Record::report(at(3)),
    ];
    assert_eq!(run(&mut decoder, &records), [(2, Some((A, false))), (3, Some((A, true)))]);
}

#[test]
fn after_a_gap_the_true_states_tell_what_was_missed() {
    let mut decoder = Decoder::new([A].into_iter().collect());
    let dropped = [
        Record::dropped(at(1)),
        Record::key(at(1), B, true), // Belongs to the dropped block: not to be believed.
        Record::report(at(1)),
    ];
    assert_eq!(run(&mut decoder, &dropped), [(1, None)]);
    let mut missed = Vec::new();
    decoder.resync(&[B].into_iter().collect(), |edge| missed.push((edge.key, edge.down)));
    assert_eq!(missed, [(A, false), (B, true)]);
    decoder.resync(&[B].into_iter().collect(), |edge| panic!("{edge:?} was known"));
}

#[test]
fn what_was_let_go_or_pressed_again_among_dropped_events_is_found_by_asking() {
    for (moved, actual, want) in [
        (false, false, vec![false]),
        (false, true, vec![]),
        (true, false, vec![false]),
        (true, true, vec![true]),
    ] {
        let mut decoder = Decoder::new(KeyBits::NONE);
        let lost = [Record::dropped(at(2)), Record::key(at(2), A, moved), Record::report(at(2))];
        let seen =
            run(&mut decoder, &[&[Record::key(at(1), A, true), Record::report(at(1))], &lost[..]].concat());
        assert_eq!(seen, [(1, Some((A, true))), (2, None)]);
        let actual: KeyBits = [A].into_iter().filter(|_| actual).collect();
        let mut missed = Vec::new();
        decoder.resync(&actual, |edge| missed.push(edge.down));
        assert_eq!(missed, want, "A {moved} among the dropped, then {actual:?}");
    }
}

#[test]
fn a_frame_that_a_read_cut_in_two_is_found_by_asking_too() {
    let mut decoder = Decoder::new(KeyBits::NONE);
    let lost = [Record::dropped(at(1)), Record::report(at(1))];
    run(&mut decoder, &[&lost[..], &[Record::key(at(2), A, true)]].concat());
    let mut missed = Vec::new();
    decoder.resync(&KeyBits::NONE, |edge| missed.push(edge.down));
    assert_eq!(missed, Vec::<bool>::new(), "pressed and let go, both lost");
    assert_eq!(run(&mut decoder, &[Record::report(at(2))]), [], "its report says nothing any more");
    run(&mut decoder, &[&lost[..], &[Record::key(at(3), A, true)]].concat());
    decoder.resync(&[A].into_iter().collect(), |edge| missed.push(edge.down));
    assert_eq!(missed, [true], "down: pressed at a time that nobody knows");
}

#[test]
fn half_a_frame_before_dropped_events_is_found_by_asking_too() {
    // A is let go, B is pressed and let go, and the report of that is among what was dropped.
    let records = [
        Record::key(at(5), A, false),
        Record::key(at(5), B, true),
        Record::key(at(5), B, false),
        Record::dropped(at(9)),
        Record::report(at(9)),
    ];
    let mut decoder = Decoder::new([A].into_iter().collect());
    assert_eq!(run(&mut decoder, &records), [(9, None)]);
    let mut missed = Vec::new();
    decoder.resync(&KeyBits::NONE, |edge| missed.push((edge.key, edge.down)));
    assert_eq!(missed, [(A, false)], "its release would never be told");
}

#[test]
fn a_press_behind_a_gap_counts_even_if_its_release_was_lost() {
    let mut decoder = Decoder::new([A, B].into_iter().collect());
    let records =
        [Record::dropped(at(1)), Record::report(at(1)), Record::key(at(2), A, true), Record::report(at(2))];
    assert_eq!(run(&mut decoder, &records), [(1, None), (2, Some((A, true)))]);
    // B never moved and is still down: nothing was missed.
    decoder.resync(&[A, B].into_iter().collect(), |edge| panic!("{edge:?} was known"));
}

#[test]
fn a_repeat_behind_a_gap_is_no_press() {
    let mut decoder = Decoder::new(KeyBits::NONE);
    let repeat = Record { value: 2, ..Record::key(at(3), A, true) };
    let records = [
        Record::key(at(1), A, true),
        Record::report(at(1)),
        Record::dropped(at(2)),
        Record::report(at(2)),
        repeat,
        Record::report(at(3)),
    ];
    assert_eq!(run(&mut decoder, &records), [(1, Some((A, true))), (2, None)]);
    decoder.resync(&[A].into_iter().collect(), |edge| panic!("{edge:?}: it was held all the time"));
}

#[test]
fn garbage_is_named() {
    let key = Record::key(at(1), A, true);
    for (record, want) in [
        (Record { kind: 0x20, ..key }, Garbage::Type(0x20)),
        (Record { code: 0x300, ..key }, Garbage::Code(0x300)),
        (Record { value: 3, ..key }, Garbage::Value(3)),
        (Record { value: -1, ..key }, Garbage::Value(-1)),
        (Record { usec: 1_000_000, ..key }, Garbage::Time),
        (Record { sec: -1, ..key }, Garbage::Time),
    ] {
        assert_eq!(Decoder::new(KeyBits::NONE).feed(record), Err(want));
    }
    let mut decoder = Decoder::new(KeyBits::NONE);
    for _ in 0..FRAME_EVENTS_MAX {
        assert_eq!(decoder.feed(key), Ok(Fed::Open));
    }
    assert_eq!(decoder.feed(key), Err(Garbage::EndlessFrame));
}

#[test]
fn a_record_survives_its_bytes() {
    let record = Record { sec: 1, usec: 2, kind: 3, code: 4, value: -5 };
    assert_eq!(Record::from_bytes(&record.to_bytes()), record);
}
