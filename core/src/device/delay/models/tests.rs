//! The table is well formed, and no interval is narrower than its data. In: every model. Out: pass or fail.

use super::*;
use crate::device::catalogue::{model, models};

/// Every polling that the product may meet: unseen, the device's own, faster, slower.
const POLLS: [Option<u32>; 6] = [None, Some(125), Some(1_000), Some(2_000), Some(8_000), Some(128_000)];

#[test]
fn a_curve_is_sorted() {
    for model in models() {
        let Curve { quantiles_us, forced_us } = model.curve;
        assert!(quantiles_us.is_sorted(), "{}", model.name);
        assert!(forced_us.is_none_or(|us| us.is_sorted() && us[0] > 0), "{}", model.name);
        assert!(forced_us.is_none() || model.asked_us > Some(1_000), "{}", model.name);
    }
}

#[test]
fn an_interval_is_wider_than_what_was_measured() {
    for model in models() {
        let [own, any] = [[model.curve.min_us(), model.curve.max_us()]; 2];
        let any = model.curve.forced_us.map_or(any, |[least, _, most]| [own[0].min(least), own[1].max(most)]);
        for poll_us in POLLS {
            let (min_us, max_us) = model.delay_us(poll_us);
            let [least, most] = if model.curve_at(poll_us).is_some() { own } else { any };
            assert!(min_us < least, "{} {poll_us:?}: {min_us}", model.name);
            assert!(max_us > most, "{} {poll_us:?}: {max_us}", model.name);
            assert!(max_us <= 1_000_000);
        }
        let (min_us, max_us) = model.delay_of_any_us();
        assert!(min_us < any[0] && max_us > any[1], "{}", model.name);
    }
}

#[test]
fn a_number_that_others_answer_by_promises_no_shortest_delay() {
    let pad = model("Microsoft Xbox 360 pad").unwrap();
    // GP2040-CE in its Xbox mode: 0.56 to 1.32 ms. The arcade encoder of LagMeter: 31 ms.
    assert_eq!(pad.delay_us(Some(4_000)), (0, SLOWEST_WIRED_PAD_US + ABOVE_US));
    assert_eq!(pad.delay_us(Some(1_000)).0, 0);
    let encoder = model("DragonRise arcade encoder").unwrap();
    let (min_us, max_us) = encoder.delay_us(Some(8_000));
    assert!(min_us < 560 && max_us > 31_000, "{min_us} to {max_us}");
}

#[test]
fn a_curve_holds_only_where_it_was_measured() {
    let keyboard = model("Logitech K120").unwrap();
    // Asks for 10 ms: polled every 8, or every 10 by a controller that does not round.
    for own in [Some(8_000), Some(10_000), None] {
        assert!(keyboard.curve_at(own).is_some(), "{own:?}");
    }
    for unmeasured in [125, 1_000, 4_000, 5_000, 16_000] {
        assert_eq!(keyboard.curve_at(Some(unmeasured)), None, "{unmeasured}");
    }
    // What was not measured covers both intervals, and what a slower poll adds.
    let forced_us = keyboard.curve.forced_us.unwrap();
    let hull = (forced_us[0] - BELOW_US, keyboard.curve.max_us() + ABOVE_US);
    assert_eq!(keyboard.delay_us(Some(4_000)), hull);
    assert_eq!(keyboard.delay_us(Some(32_000)), (hull.0, hull.1 + 22_000));
}
