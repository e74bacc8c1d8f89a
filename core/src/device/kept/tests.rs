//! What stayed open, without a descriptor. In: names, openings and queues. Out: who serves what, and how a device stood before.

use super::*;
use crate::device::claim::SlotId;
use crate::device::identity::tests::device;
use crate::device::profile::every_key;
use crate::time::Micros;

fn opening(node: u64, grab: bool) -> Opening {
    let identity = device(node, (0x054c, 2), "usb-0-1/input0", &[0x2c0, 0x2c1, 0x2c2]);
    let keys = every_key(&identity.keys);
    Opening { slot: SlotId::new(node as u32), identity, keys, debounce_us: Micros::ZERO, grab }
}

fn name(text: &str) -> KeptName {
    KeptName::parse(text).unwrap_or_else(|| panic!("{text}"))
}

/// What becomes of an opening: the descriptor's number, -1: opened, -2: later.
fn turn(kept: &mut Kept<i32>, opening: Opening) -> i32 {
    match kept.handle_opening(opening) {
        Turn::Adopt(_, _, fd) => fd,
        Turn::Open(_) => -1,
        Turn::Later => -2,
    }
}

#[test]
fn a_name_says_which_node_and_has_one_spelling() {
    for text in ["ev-13-67-grabbed", "ev-0-0-shared", "ev-4294967295-1-shared"] {
        assert_eq!(name(text).to_string(), text);
    }
    for text in [
        "",
        "ws",
        "ev-13-67",
        "ev-13-67-held",
        "ev-013-67-shared",
        "ev-+13-67-shared",
        "ev-13--shared",
        "ev-13-67-shared-",
    ] {
        assert_eq!(KeptName::parse(text), None, "{text}");
    }
}

#[test]
fn a_kept_device_is_taken_before_others_are_opened() {
    let all =
        [("ev-13-67-grabbed", 3), ("ev-13-70-shared", 6), ("ev-13-71-grabbed", 7), ("ev-13-99-shared", 35)];
    let mut kept = Kept::new(all.map(|(text, fd)| (name(text), fd)).into());
    assert_eq!(turn(&mut kept, opening(3, true)), 3);
    assert_eq!(turn(&mut kept, opening(3, true)), -2, "a descriptor serves once");
    assert_eq!(turn(&mut kept, opening(6, true)), 6, "it may be grabbed now");
    assert_eq!(turn(&mut kept, opening(7, false)), -2, "others are to see it, and it is grabbed");
    assert_eq!(turn(&mut kept, opening(8, true)), -2, "nobody kept it, and it may take 50 ms to open");
    let unknown = Opening {
        identity: crate::device::identity::Identity { dev: None, ..opening(9, true).identity },
        ..opening(9, true)
    };
    assert_eq!(turn(&mut kept, unknown), -2, "no number, no proof");
    kept.handle_refused(opening(3, true));
    let (unwanted, later) = kept.handle_all_wanted();
    assert_eq!(unwanted.iter().map(|(_, fd)| *fd).collect::<Vec<_>>().len(), 2);
    assert!(unwanted.iter().all(|(_, fd)| [7, 35].contains(fd)), "{unwanted:?}");
    let later: Vec<u32> = later.iter().map(|opening| opening.slot.index() as u32).collect();
    assert_eq!(later, [3, 7, 8, 9, 3]);
    assert_eq!(turn(&mut kept, opening(35, true)), -1, "too late");
    assert_eq!(turn(&mut Kept::new(Vec::new()), opening(3, true)), -1, "nothing is waited for");
}

const A: KeyCode = KeyCode::new(0x2c0).unwrap();
const B: KeyCode = KeyCode::new(0x2c1).unwrap();
const C: KeyCode = KeyCode::new(0x2c2).unwrap();

/// A queue of frames with one record each.
fn queue(frames: &[(u64, Option<(KeyCode, bool)>)]) -> Vec<u8> {
    let frames = frames.iter().flat_map(|(us, what)| {
        let at = KernelTime::from_us(*us);
        let first = what.map_or(Record::dropped(at), |(key, down)| Record::key(at, key, down));
        [first.to_bytes(), Record::report(at).to_bytes()]
    });
    frames.flatten().collect()
}

fn before(queue: &[u8], now: &[KeyCode], drained: u64, until: u64) -> (Vec<KeyCode>, u64) {
    let now = now.iter().copied().collect();
    let us = KernelTime::from_us;
    let before = Before::of(queue, &now, us(drained), us(until));
    (before.held.iter().collect(), before.since.as_us())
}

#[test]
fn a_device_stood_before_its_queue_as_its_first_edges_say() {
    let (drained, until) = (1_000_000, 9_000_000);
    for (frames, now, held, why) in [
        (vec![], vec![B], vec![B], "nothing moved: as it is"),
        (vec![(2_000_000, Some((A, true)))], vec![A], vec![], "pressed meanwhile, and still down"),
        (vec![(2_000_000, Some((A, false)))], vec![], vec![A], "held at the stop, let go of meanwhile"),
        (
            vec![(2_000_000, Some((A, false))), (3_000_000, Some((A, true))), (3_500_000, Some((B, true)))],
            vec![A, B, C],
            vec![A, C],
            "the first edge of each decides; C was down all the time",
        ),
        (
            vec![(2_000_000, Some((A, false))), (2_500_000, None), (3_000_000, Some((B, true)))],
            vec![B, C],
            vec![A, B, C],
            "behind what was dropped nothing is known of before",
        ),
    ] {
        assert_eq!(before(&queue(&frames), &now, drained, until).0, held, "{why}");
    }
}

#[test]
fn a_device_begins_with_the_first_of_its_queue_but_not_before_the_last_of_the_log() {
    let first = |us| queue(&[(us, Some((A, true)))]);
    assert_eq!(before(&first(2_000_000), &[], 1_000_000, 9_000_000).1, 2_000_000);
    assert_eq!(
        before(&first(990_000), &[], 1_000_000, 9_000_000).1,
        990_000,
        "unread at the end, which was sudden"
    );
    assert_eq!(before(&first(5), &[], 1_000_000, 9_000_000).1, 950_000, "another program's stamp");
    assert_eq!(before(&[], &[], 1_000_000, 9_000_000).1, 9_000_000);
    assert_eq!(before(&first(9_500_000), &[], 1_000_000, 9_000_000).1, 9_000_000, "pressed just now");
    assert_eq!(before(&[7; 23], &[], 1_000_000, 9_000_000).1, 9_000_000, "half a record is none");
}
