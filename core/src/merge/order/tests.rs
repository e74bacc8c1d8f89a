//! The order alone. In: events of made-up devices. Out: what leaves, against "sort by stamp", and what is held.

use super::*;
use crate::event::{Buzzer, Gone};
use proptest::prelude::*;

const W: u64 = 100;

fn event(device: u32, at: u64, kind: EventKind) -> Event {
    Event { at: KernelTime::from_us(at), device: DeviceId::new(device), more: false, kind }
}

fn press(device: u32, at: u64) -> Event {
    event(
        device,
        at,
        EventKind::Press { buzzer: Buzzer(1), rank: 0, flags: Flags::NONE, back_us: 0, early_us: 0 },
    )
}

fn with_devices(stamped: u32) -> Order {
    let mut order = Order::new(Micros::from_us(W));
    (0..stamped).for_each(|device| order.push(event(device, 0, EventKind::Attached), true));
    order.release(KernelTime::from_us(W), |_| true);
    order
}

fn release(order: &mut Order, drained: u64) -> Vec<(u32, u64, bool)> {
    let mut out = Vec::new();
    order.release(KernelTime::from_us(drained), |event| {
        if let EventKind::Press { flags, .. } = event.kind {
            out.push((event.device.get(), event.at.as_us(), flags.has(Flags::LATE)));
        }
        true
    });
    out
}

#[test]
fn nothing_is_held_with_one_device_and_everything_for_w_with_two() {
    let mut one = with_devices(1);
    one.push(press(0, 1000), true);
    assert_eq!(release(&mut one, 1000), [(0, 1000, false)]);

    let mut two = with_devices(2);
    two.push(press(0, 1000), true);
    assert_eq!(release(&mut two, 1000 + W - 1), []);
    two.push(press(1, 999), true);
    assert_eq!(release(&mut two, 1000 + W), [(1, 999, false), (0, 1000, false)]);

    two.push(event(1, 2000, EventKind::Detached(Gone::Unplugged)), true);
    release(&mut two, 2000 + W);
    two.push(press(0, 3000), true);
    assert_eq!(release(&mut two, 3000), [(0, 3000, false)], "one device is left");
}

#[test]
fn a_device_stamped_by_the_reader_is_held_only_for_the_others() {
    let mut order = with_devices(1);
    order.push(press(9, 1000), false);
    assert_eq!(release(&mut order, 1000), [], "the stamped device might still show 999");
    let mut order = with_devices(0);
    order.push(press(8, 1000), false);
    order.push(press(9, 1000), false);
    assert_eq!(release(&mut order, 1000).len(), 2);
}

#[test]
fn the_rest_of_a_cut_report_is_waited_for_even_with_one_device() {
    let mut one = with_devices(1);
    one.push(Event { more: true, ..press(0, 1000) }, true);
    assert_eq!(release(&mut one, 1000 + W - 1), []);
    one.push(press(0, 1000), true);
    assert_eq!(release(&mut one, 1000 + W), [(0, 1000, false), (0, 1000, false)]);
    one.push(Event { more: true, ..press(0, 2000) }, true);
    assert_eq!(release(&mut one, 2000 + W), [(0, 2000, false)], "there was no rest");
}

#[test]
fn what_comes_too_late_leaves_at_once_and_says_so() {
    let mut order = with_devices(2);
    order.push(press(0, 1000), true);
    assert_eq!(release(&mut order, 2000), [(0, 1000, false)]);
    order.push(press(1, 999), true);
    order.push(press(1, 1000), true);
    assert_eq!(release(&mut order, 2001), [(1, 999, true), (1, 1000, true)]);
}

#[test]
fn late_events_of_one_stamp_are_a_group_that_ends() {
    let mut order = with_devices(2);
    order.push(press(0, 1000), true);
    assert_eq!(release(&mut order, 2000), [(0, 1000, false)]);
    order.push(press(0, 999), true);
    order.push(press(1, 999), true);
    let mut more = Vec::new();
    order.release(KernelTime::from_us(2001), |event| {
        more.push(event.more);
        true
    });
    assert_eq!(more, [true, false]);
    order.push(press(0, 2100), true);
    assert_eq!(release(&mut order, 2101), [], "and what follows is held as ever");
}

/// Releases what has room in a ring with one free place; each event with whether more follows.
fn release_one(order: &mut Order, drained: u64, out: &mut Vec<(u32, u64, bool)>) {
    let mut room = 1;
    order.release(KernelTime::from_us(drained), |event| {
        let fits = room > 0;
        if fits {
            room -= 1;
            out.push((event.device.get(), event.at.as_us(), event.more));
        }
        fits
    });
}

#[test]
fn equal_stamps_leave_as_one_group_even_through_a_ring_with_little_room() {
    let mut order = with_devices(1);
    for device in 0..3 {
        order.push(press(device, 1000), true);
    }
    order.push(press(0, 1001), true);
    let mut out = Vec::new();
    for _ in 0..4 {
        release_one(&mut order, 1000, &mut out);
        if out.len() == 1 {
            order.push(press(7, 500), true); // Late, between the parts of the group.
        }
    }
    assert_eq!(out, [(0, 1000, true), (7, 500, true), (1, 1000, true), (2, 1000, false)]);
}

#[test]
fn what_waits_is_not_overtaken_without_end_by_an_old_stamp_that_is_said_over_and_over() {
    let mut order = with_devices(2);
    order.push(press(1, 1000), true);
    let mut out = Vec::new();
    let count = 2 * OVERTAKEN_MAX + 2;
    for _ in 0..count {
        order.push(press(0, 500), true);
        release_one(&mut order, 5000, &mut out);
    }
    let place = out.iter().position(|(device, ..)| *device == 1);
    assert!(place.is_some_and(|place| (OVERTAKEN_MAX..count - 1).contains(&place)), "{place:?}");
}

#[test]
fn a_stamp_that_is_said_without_end_does_not_make_a_group_without_end() {
    let mut order = with_devices(1);
    order.push(press(0, 1000), true);
    let mut out = Vec::new();
    for _ in 0..=GROUP_MAX {
        order.push(press(0, 1000), true);
        release_one(&mut order, 1000, &mut out);
    }
    assert_eq!(out.iter().position(|(_, _, more)| !more), Some(GROUP_MAX));
}

proptest! {
    /// Oracle: sort by stamp. Every press becomes visible at most W after its stamp, on one of five devices, and
    /// the reader wakes at random times.
    #[test]
    fn within_the_window_the_order_is_the_order_of_stamps(
        presses in prop::collection::vec((0u32..5, 1000u64..3000, 0..=W), 1..60),
        wakes in prop::collection::vec(1u64..200, 40),
    ) {
        let mut order = with_devices(5);
        let mut pending: Vec<_> =
            presses.iter().map(|(device, at, delay)| (at + delay, *device, *at)).collect();
        pending.sort_unstable();
        let mut out = Vec::new();
        let (mut now, mut wakes) = (1000, wakes.iter().cycle());
        while out.len() < presses.len() {
            now += wakes.next().unwrap();
            let visible = pending.partition_point(|(visible, _, _)| *visible <= now);
            for (_, device, at) in pending.drain(..visible) {
                order.push(press(device, at), true);
            }
            out.extend(release(&mut order, now));
        }
        let mut sorted: Vec<_> = presses.iter().map(|(_, at, _)| *at).collect();
        sorted.sort_unstable();
        prop_assert_eq!(out.iter().map(|(_, at, _)| *at).collect::<Vec<_>>(), sorted);
        prop_assert!(out.iter().all(|(_, _, late)| !late));
    }

    /// However late presses come: none is lost, and each that follows a later or equal stamp says `late`.
    #[test]
    fn beyond_the_window_every_inversion_is_marked(
        presses in prop::collection::vec((0u32..5, 1000u64..3000, 0..5 * W), 1..60),
    ) {
        let mut order = with_devices(5);
        let mut pending: Vec<_> =
            presses.iter().map(|(device, at, delay)| (at + delay, *device, *at)).collect();
        pending.sort_unstable();
        let mut out = Vec::new();
        for (visible, device, at) in pending {
            order.push(press(device, at), true);
            out.extend(release(&mut order, visible));
        }
        out.extend(release(&mut order, 1_000_000));
        prop_assert_eq!(out.len(), presses.len());
        let mut latest = 0;
        for (_, at, late) in out {
            prop_assert!(late || at >= latest, "{} after {} without a mark", at, latest);
            prop_assert!(!late || at <= latest);
            latest = latest.max(at);
        }
    }
}
