//! The table is well formed, and no interval is narrower than its data. In: every model. Out: pass or fail.

use super::*;
use crate::device::catalogue::{model, models};

/// Every polling that the product may meet: unseen, the device's own, faster, slower, forced.
const POLLS: [(Option<u32>, bool); 8] = [
    (None, false),
    (None, true),
    (Some(125), false),
    (Some(1_000), false),
    (Some(2_000), false),
    (Some(8_000), false),
    (Some(8_000), true),
    (Some(128_000), false),
];

#[test]
fn a_curve_is_sorted_and_the_own_one_comes_first() {
    for model in models() {
        let intervals: Vec<_> = model.curves.iter().map(|curve| curve.interval_us).collect();
        assert!(matches!(intervals[..], [None] | [None, Some(1_000)]), "{}: {intervals:?}", model.name);
        for curve in model.curves {
            assert!(curve.quantiles_us.is_sorted(), "{}", model.name);
            assert!(curve.min_us() <= curve.median_us() && curve.median_us() <= curve.max_us());
        }
    }
}

#[test]
fn an_interval_is_wider_than_what_was_measured() {
    for model in models() {
        for (poll_us, is_forced_1ms) in POLLS {
            let (min_us, max_us) = model.delay_us(poll_us, is_forced_1ms);
            let measured = model.curve(poll_us, is_forced_1ms);
            for curve in
                model.curves.iter().filter(|curve| measured.is_none_or(|one| std::ptr::eq(one, *curve)))
            {
                assert!(min_us < curve.min_us(), "{} {poll_us:?}: {min_us}", model.name);
                assert!(max_us > curve.max_us(), "{} {poll_us:?}: {max_us}", model.name);
            }
            assert!(max_us <= 1_000_000);
        }
    }
}

#[test]
fn a_number_that_others_answer_by_promises_no_shortest_delay() {
    let pad = model("Microsoft Xbox 360 pad").unwrap();
    // GP2040-CE in its Xbox mode: 0.56 to 1.32 ms. The arcade encoder of LagMeter: 31 ms.
    assert_eq!(pad.delay_us(Some(4_000), false), (0, SLOWEST_WIRED_PAD_US + ABOVE_US));
    assert_eq!(pad.delay_us(Some(1_000), false).0, 0);
    let encoder = model("DragonRise arcade encoder").unwrap();
    let (min_us, max_us) = encoder.delay_us(Some(8_000), false);
    assert!(min_us < 560 && max_us > 31_000, "{min_us} to {max_us}");
}

#[test]
fn a_curve_holds_only_where_it_was_measured() {
    let keyboard = model("Logitech K120").unwrap();
    let interval = |poll_us, is_forced| keyboard.curve(poll_us, is_forced).map(|curve| curve.interval_us);
    // Asks for 10 ms: polled every 8, or every 10 by a controller that does not round.
    assert_eq!(interval(Some(8_000), false), Some(None));
    assert_eq!(interval(Some(10_000), false), Some(None));
    assert_eq!(interval(None, false), Some(None));
    assert_eq!(interval(Some(8_000), true), Some(Some(1_000)));
    for unmeasured in [125, 1_000, 4_000, 5_000, 16_000] {
        assert_eq!(interval(Some(unmeasured), false), None, "{unmeasured}");
    }
    // What was not measured covers both curves, and what a slower poll adds.
    let (own, forced) = (&keyboard.curves[0], &keyboard.curves[1]);
    let hull = (forced.min_us() - BELOW_US, own.max_us() + ABOVE_US);
    assert_eq!(keyboard.delay_us(Some(4_000), false), hull);
    assert_eq!(keyboard.delay_us(Some(32_000), false), (hull.0, hull.1 + 22_000));
    // A device that is polled every 1 ms anyway has nothing to force.
    let mouse = model("Logitech G300").unwrap();
    assert!(std::ptr::eq(mouse.curve(Some(1_000), true).unwrap(), mouse.curve(None, false).unwrap()));
}
