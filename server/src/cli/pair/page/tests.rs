//! Pages of made-up measurements. In: seats and presses. Out: nothing but a verdict.

use super::*;
use buzzer_core::device::assign::Found;
use buzzer_core::device::delay::Configured;
use buzzer_core::event::Buzzer;
use buzzer_core::press::keys::{KeyCode, KeyMap};
use buzzer_core::time::KernelTime;

use crate::cli::device::tests::device;

/// Buzzer `buzzer` of a device that has four.
fn seat(pool: &str, node: &str, buzzer: u16, delay_us: Option<(u64, u64)>) -> Seat {
    let mut identity = device(node, Some(pool), 8, "pad").row.identity;
    identity.instance = u64::from(node.as_bytes()[5]);
    let span = |(min, max)| Span::new(Micros::from_us(min), Micros::from_us(max));
    let delay = Delay::of(&identity, Configured { delay_us: delay_us.map(span), scan_us: None });
    let keys = KeyMap::new((0..4).map(|n| (KeyCode::new(704 + n).unwrap(), Buzzer(n + 1))));
    let found = Found { identity, profile: None, keys, left_out: Vec::new(), label: String::new(), delay };
    let entry = Some(format!("pool \"{pool}\""));
    Seat { name: format!("{pool} {buzzer}"), pool: pool.to_owned(), buzzer, entry, found }
}

/// A stroke a second, of which B's stamp is so much later.
fn measured(differences_us: impl IntoIterator<Item = i64>) -> Measured {
    let mut measured = Measured::default();
    for (us, stroke) in differences_us.into_iter().zip(1..) {
        let at_us = stroke * 1_000_000;
        assert!(measured.presses.push(Side::A, KernelTime::from_us(at_us)));
        assert!(measured.presses.push(Side::B, KernelTime::from_us(at_us.saturating_add_signed(us))));
    }
    measured
}

fn said(seats: &[Seat; 2], measured: &Measured) -> (String, Value, bool) {
    let (page, trusted) = text(seats, measured, |seat, line| format!("[{}] {line}\n", seat.name));
    let (object, also) = json(seats, measured, 300);
    assert_eq!(trusted, also);
    (page, serde_json::from_str(&object).unwrap(), trusted.is_ok())
}

fn alternating(us: i64) -> impl Iterator<Item = i64> {
    (0..200).map(move |n| if n % 2 == 0 { us } else { -us })
}

#[test]
fn one_device_has_a_scan_time_for_the_two_and_a_word_on_the_others() {
    let seats = [seat("stage", "event3", 1, None), seat("stage", "event3", 4, None)];
    let (page, object, trusted) = said(&seats, &measured(alternating(8_000)));
    assert!(trusted);
    assert!(page.contains("[stage 1] scan_us = 9000\n"), "{page}");
    assert!(
        page.contains("from a lead of 17.000 ms on with this line; now it is from 45.000 ms on"),
        "{page}"
    );
    assert!(
        page.contains("The device has 4 buzzers") && page.contains("the greatest scan_us of all"),
        "{page}"
    );
    assert_eq!(object["line"], "scan_us = 9000");
    assert_eq!((&object["line_pool"], &object["line_entry"]), (&json!("stage"), &json!("pool \"stage\"")));
    assert_eq!((&object["fair"], &object["no_line"]), (&Value::Null, &Value::Null));
    let (page, object, _) = said(&seats, &measured([0; 100]));
    assert!(page.contains("In one report: 100 of 100 (100 %)"), "{page}");
    assert_eq!(object["line"], "scan_us = 1000", "one report each time is no proof of 0");
}

#[test]
fn two_devices_have_the_interval_of_the_second_and_whether_they_are_fair() {
    let seats = [seat("left", "event3", 1, Some((5_000, 9_000))), seat("right", "event4", 1, None)];
    let (page, object, trusted) = said(&seats, &measured((0..100).map(|n| n * 100)));
    assert!(trusted);
    // 1 ms less and 5 ms more than A's and the difference: A's has no margin of its own.
    assert!(page.contains("[right 1] delay_us = [4000, 23900]\n"), "{page}");
    assert!(
        page.contains("fair to each other: of one moment left 1 is told 5.000 ms before right 1"),
        "{page}"
    );
    assert_eq!((&object["fair"], &object["line_pool"]), (&json!(true), &json!("right")));
    assert_eq!(object["difference_us"], json!([0, 500, 2500, 5000, 7400, 9400, 9900]));
    let (page, object, _) = said(&seats, &measured([-5_001; 100]));
    assert!(
        page.contains("! The seats are not fair: of one moment right 1 is told 5.001 ms before left 1"),
        "{page}"
    );
    assert_eq!(object["fair"], false);
}

#[test]
fn what_makes_no_line_is_said_with_what_to_do() {
    let known = || seat("left", "event3", 1, Some((5_000, 9_000)));
    let unknown = |node| seat("right", node, 1, None);
    let fast = || {
        let mut measured = Measured::default();
        for stroke in 1..200 {
            measured.presses.push(Side::A, KernelTime::from_us(stroke * 200_000));
            measured.presses.push(Side::B, KernelTime::from_us(stroke * 200_000));
        }
        measured
    };
    for (seats, measured, trusted, want) in [
        ([known(), unknown("event4")], measured([0; 99]), false, "at least 100 pairs are needed"),
        ([known(), unknown("event4")], measured([]), false, "at least 100 pairs are needed"),
        ([known(), unknown("event4")], fast(), false, "less than 300 ms after each other"),
        (
            [known(), unknown("event4")],
            measured([251_000; 100]),
            false,
            "a difference of 251.000 ms is too long",
        ),
        (
            [unknown("event4"), known()],
            measured([0; 100]),
            true,
            "measure the other way round, with left 1 first",
        ),
        ([unknown("event4"), unknown("event5")], measured([0; 100]), true, "is not known either"),
        ([known(), unknown("event4")], measured([-9_001; 100]), true, "(5000 to 9000 us) cannot be true"),
    ] {
        let (page, object, is_trusted) = said(&seats, &measured);
        assert_eq!(is_trusted, trusted, "{page}");
        assert!(
            page.contains("    No line for the configuration: ") && page.contains(want),
            "{want}: {page}"
        );
        assert!(!page.contains("delay_us = ["), "{page}");
        assert_eq!(object["line"], Value::Null);
        assert!(object["no_line"].as_str().unwrap().contains(want), "{object}");
    }
}

#[test]
fn twins_are_told_what_the_measurement_is_not() {
    let seats = [seat("left", "event3", 1, None), seat("right", "event4", 1, None)];
    let (page, ..) = said(&seats, &measured(alternating(6_500)));
    assert!(page.contains("certain from a lead of 45.000 ms on"), "{page}");
    assert!(page.contains("differed by at most 6.500 ms has no key of its own"), "{page}");
}

#[test]
fn progress_says_how_far_and_what_is_wrong() {
    let pairing = |measured: Measured| measured.presses.pairing();
    assert_eq!(progress(&pairing(measured([0; 217])), 300), "217 of 300");
    let mut many = measured([0; 20]);
    for late in 30..33 {
        many.presses.push(Side::A, KernelTime::from_us(late * 1_000_000));
    }
    assert_eq!(progress(&many.presses.pairing(), 300), "20 of 300, 3 presses without a sure partner");
}
