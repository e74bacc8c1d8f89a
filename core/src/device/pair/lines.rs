//! What pairs say for the configuration. In: how far they are apart, and what is known of the devices. Out: `scan_us` or
//! `delay_us`, or why not ([`NoLine`]). Guarantee: no line where the pairs do not support one; none is narrower than what
//! was seen.
//!
//! **One device.** Its order is certain from a lead of `poll_us + scan_us` on. Contacts that close at one moment were
//! seen up to a greatest lead D apart, which comes in whole polls. A button that closes later is reported no earlier, so
//! no false lead is longer than the longest D there is. The pairs can have missed one poll of that: a device that looks at
//! its contacts in turn, in R rows, shows its longest, rounded down to whole polls, in at least one press of R (20 rows:
//! 100 pairs miss it in 0.6 % of all series). So a false lead of D + `poll_us` must stay below the border: `scan_us` =
//! D + [`STEADY_US`], and what the plank may have hidden. That all pairs were in one report does not prove 0 ("looked at
//! at one moment"): no switch closes two contacts at quite one moment, and what is rare was not seen.
//! It holds for these two buttons: others of the device may be looked at farther apart, in another row.
//!
//! **Two devices.** B's delay is A's and the difference: between A's shortest with the smallest difference and A's
//! longest with the greatest. What no series of presses shows has the margins of the table of models, once: a model's
//! interval has them already, a configured one gets them here.

use super::{PAIRS_MIN, Pairing, Spread};
use crate::device::delay::fairness::UNEQUAL;
use crate::device::delay::models::{ABOVE_US, BELOW_US, RADIO_US};
use crate::device::delay::{Basis, Delay, Span};
use crate::time::Micros;

/// What a report's stamp may be off its poll: a hub's translator hands it on up to a frame later, and a busy kernel stamps
/// it that much later.
const STEADY_US: u64 = 1_000;
/// Strokes that follow each other faster could be paired one off: the slowest known device, with a radio, may be 130 ms
/// behind.
pub const GAP_US_MIN: u64 = 300_000;
/// Of so many presses one at most may be without a sure partner: a switch that closes often only one contact is none
/// for both, and what is left out may be what is slowest.
const UNSURE: usize = 10;

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLine {
    /// Fewer pairs than [`PAIRS_MIN`].
    TooFew,
    /// The strokes follow each other too fast.
    TooFast,
    /// Too many presses have no sure partner.
    Unsure,
    /// A difference is so long that the pairs may be false.
    TooFar,
    /// How often the device is polled is not known.
    NoPoll,
    /// The kernel was told to poll it otherwise than it asks.
    Forced,
    /// A's delay is not known.
    Unknown,
    /// A's delay cannot be true: B would have been pressed after its stamp.
    Contradiction,
    /// The delay is longer than one that can be configured.
    TooLong,
}

/// Whether the pairs can be trusted.
///
/// # Errors
/// Why not.
pub fn trusted(pairing: &Pairing) -> Result<Spread, NoLine> {
    let spread = pairing.spread().filter(|spread| spread.pairs >= PAIRS_MIN).ok_or(NoLine::TooFew)?;
    let unsure = pairing.alone[0] + pairing.alone[1] + pairing.unclear;
    if pairing.gap_us.is_none_or(|us| us < GAP_US_MIN) {
        return Err(NoLine::TooFast);
    }
    if unsure > spread.pairs / UNSURE {
        return Err(NoLine::Unsure);
    }
    // One of the next stroke is half a stroke away at least, so between true and false there is room.
    if spread.greatest_us() > pairing.window_us / 2 {
        return Err(NoLine::TooFar);
    }
    Ok(spread)
}

/// `scan_us` for two buttons of one device.
///
/// # Errors
/// Why there is none.
pub fn scan_us(spread: &Spread, device: &Delay, is_forced: bool) -> Result<Micros, NoLine> {
    if is_forced {
        return Err(NoLine::Forced);
    }
    // Without it the border would not be known, and the line would change nothing.
    device.poll_us.ok_or(NoLine::NoPoll)?;
    // A device that looks in turn is ahead with either button alike. What is more on one side counts as the plank's, which
    // hides as much of a lead on the other.
    let hidden_us = spread.mean_us.unsigned_abs();
    Ok(Micros::from_us(spread.greatest_us() + hidden_us + STEADY_US))
}

/// `delay_us` for B, from A's; `longest`: the longest that can be configured.
///
/// # Errors
/// Why there is none.
pub fn delay_us(spread: &Spread, a: &Delay, b: &Delay, longest: Micros) -> Result<Span, NoLine> {
    let (below_us, above_us) = margins_us(a, b).ok_or(NoLine::Unknown)?;
    let with = |us: Micros, difference_us: i64| us.as_us().cast_signed().saturating_add(difference_us);
    let (min_us, max_us) = (with(a.us.min_us, spread.min_us()), with(a.us.max_us, spread.max_us()));
    if max_us < 0 {
        return Err(NoLine::Contradiction);
    }
    let us = |us: i64| Micros::from_us(us.max(0).unsigned_abs());
    let span = Span::new(us(min_us - i64::from(below_us)), us(max_us + i64::from(above_us)));
    if span.max_us > longest { Err(NoLine::TooLong) } else { Ok(span) }
}

/// What B's interval has below and above A's with the differences, for what no series of presses shows; `None`: A's delay is
/// not known.
pub const fn margins_us(a: &Delay, b: &Delay) -> Option<(u32, u32)> {
    match a.basis {
        // What a radio does in another room or pairing was not measured here.
        Basis::Model | Basis::Configured if b.wireless => Some((RADIO_US, RADIO_US)),
        Basis::Model => Some((0, 0)),
        Basis::Configured => Some((BELOW_US, ABOVE_US)),
        Basis::Bus | Basis::Unknown | Basis::Receipt | Basis::Program => None,
    }
}

/// Whether the seats are fair to each other.
pub const fn is_fair(spread: &Spread) -> bool {
    spread.median_us().unsigned_abs() <= UNEQUAL.as_us()
}

#[cfg(test)]
mod tests {
    use super::super::tests::pairing;
    use super::*;
    use crate::device::delay::Configured;
    use crate::device::endpoint::Endpoint;
    use crate::device::identity::Identity;
    use crate::device::identity::tests::device;

    const SECOND_US: i64 = 1_000_000;

    fn delay(ids: (u16, u16), configured: Option<(u64, u64)>) -> Delay {
        let endpoint = Endpoint::parse("10ms", "", "1.5", "xhci_hcd");
        let device = Identity { endpoint, ..device(3, ids, "usb-0-1/input0", &[0x120]) };
        let span = |(min, max)| Span::new(Micros::from_us(min), Micros::from_us(max));
        Delay::of(&device, Configured { delay_us: configured.map(span), scan_us: None })
    }

    fn spread(differences_us: &[i64]) -> Spread {
        pairing(SECOND_US, differences_us).spread().unwrap()
    }

    fn longest() -> Micros {
        Micros::from_ms(1000)
    }

    #[test]
    fn what_is_not_enough_makes_no_line() {
        let few = [0; PAIRS_MIN - 1];
        assert_eq!(trusted(&pairing(SECOND_US, &few)), Err(NoLine::TooFew));
        let enough = [0; PAIRS_MIN];
        assert_eq!(trusted(&pairing(SECOND_US, &enough)).unwrap().pairs, PAIRS_MIN);
        assert_eq!(trusted(&pairing(299_999, &enough)), Err(NoLine::TooFast));
        assert!(trusted(&pairing(300_000, &enough)).is_ok());
        let pairing = pairing(SECOND_US, &enough);
        assert!(trusted(&Pairing { alone: [4, 4], unclear: 2, ..pairing.clone() }).is_ok());
        for (alone, unclear) in [([11, 0], 0), ([0, 11], 0), ([4, 4], 3)] {
            let loose = Pairing { alone, unclear, ..pairing.clone() };
            assert_eq!(trusted(&loose), Err(NoLine::Unsure));
        }
    }

    #[test]
    fn a_difference_near_the_window_may_be_a_false_pair() {
        let mut all = [0; PAIRS_MIN];
        for (us, is_trusted) in [(250_000, true), (-250_000, true), (250_001, false), (-250_001, false)] {
            all[7] = us;
            assert_eq!(trusted(&pairing(SECOND_US, &all)).is_ok(), is_trusted, "{us}");
        }
    }

    #[test]
    fn a_scan_time_leaves_no_false_lead_that_one_poll_more_could_make() {
        let hub = delay((0x054c, 2), None);
        let poll_us = hub.poll_us.unwrap().as_us();
        assert_eq!(poll_us, 8_000);
        // As often ahead with either: nothing is the plank's.
        for (all, scan_us) in [
            (vec![0, 0, 0, 0], 1_000),
            (vec![8_000, -8_000, 0, 0], 9_000),
            (vec![-16_000, 8_000, 8_000, 0], 17_000),
            (vec![8_000, 0, 0, 0], 8_000 + 2_000 + 1_000),
            (vec![-3, 0, 0, 0], 1_004),
        ] {
            let spread = spread(&all);
            let got = super::scan_us(&spread, &hub, false).unwrap().as_us();
            assert_eq!(got, scan_us, "{all:?}");
            assert!(poll_us + got > spread.greatest_us() + poll_us, "a false lead is below the border");
        }
    }

    #[test]
    fn without_the_true_polling_interval_there_is_no_scan_time() {
        let (hub, spread) = (delay((0x054c, 2), None), spread(&[0; 4]));
        assert_eq!(scan_us(&spread, &Delay { poll_us: None, ..hub }, false), Err(NoLine::NoPoll));
        assert_eq!(scan_us(&spread, &hub, true), Err(NoLine::Forced));
    }

    /// A device that looks at its contacts in turn, at fixed places of its round, and is polled beside that: whichever of
    /// two buttons is pressed, the printed border is never reached by a false lead.
    #[test]
    fn no_false_lead_of_a_simulated_scan_reaches_the_border() {
        let hub = delay((0x054c, 2), None);
        let poll_us = 8_000;
        let mut random = 1_u64;
        let mut next = |below: i64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((random >> 33) % below.cast_unsigned()).unwrap()
        };
        for (scan, place) in [
            (1_000, 500),
            (5_000, 2_500),
            (5_000, 600),
            (9_000, 3_000),
            (20_000, 5_000),
            (33_000, 32_000),
            // A lead of one poll more, which 100 pairs will hardly show.
            (10_000, 1_900),
            (17_000, 900),
        ] {
            // Looked at every `scan` µs, A at 0 and B at `place` of the round; reported with the next poll.
            let stamp = |at: i64, place: i64, phase: i64| {
                let seen = at + (place - at).rem_euclid(scan);
                seen + (phase - seen).rem_euclid(poll_us)
            };
            let all: Vec<i64> = (0..PAIRS_MIN)
                .map(|_| {
                    let (at, phase) = (100_000 + next(1_000_000), next(poll_us));
                    stamp(at, place, phase) - stamp(at, 0, phase)
                })
                .collect();
            let border = scan_us(&spread(&all), &hub, false).unwrap().as_us().cast_signed() + poll_us;
            for _ in 0..100_000 {
                let (at, phase, lead) = (100_000 + next(1_000_000), next(poll_us), 1 + next(200));
                let ahead = stamp(at + lead, 0, phase) - stamp(at, place, phase);
                let behind = stamp(at + lead, place, phase) - stamp(at, 0, phase);
                let falsely = (-ahead).max(-behind);
                assert!(
                    falsely < border,
                    "scan {scan}, place {place}: a false lead of {falsely}, border {border}"
                );
            }
        }
    }

    #[test]
    fn the_second_delay_is_the_first_one_and_the_difference() {
        let unknown = delay((1, 1), None);
        let model = delay((0x046d, 0xc31c), None);
        assert_eq!(model.basis, Basis::Model);
        let (a_min, a_max) = (model.us.min_us.as_us(), model.us.max_us.as_us());
        let span = |spread: &Spread, a: &Delay, b: &Delay| {
            delay_us(spread, a, b, longest()).map(|span| (span.min_us.as_us(), span.max_us.as_us()))
        };
        let apart = spread(&[-3_000, 4_000, 1_000]);
        assert_eq!(span(&apart, &model, &unknown), Ok((a_min - 3_000, a_max + 4_000)));
        let known = delay((1, 1), Some((5_000, 9_000)));
        assert_eq!(span(&apart, &known, &unknown), Ok((1_000, 18_000)), "with the margins of the table");
        let quick = delay((1, 1), Some((500, 900)));
        assert_eq!(span(&apart, &quick, &unknown), Ok((0, 9_900)), "not below 0");
        let radio = Delay { wireless: true, ..unknown };
        assert_eq!(span(&apart, &model, &radio), Ok((0, a_max + 16_000)));
        for basis in [Basis::Unknown, Basis::Bus, Basis::Receipt, Basis::Program] {
            assert_eq!(span(&apart, &Delay { basis, ..known }, &unknown), Err(NoLine::Unknown));
        }
        assert_eq!(span(&spread(&[-901]), &quick, &unknown), Err(NoLine::Contradiction));
        let slow = delay((1, 1), Some((0, 990_001)));
        assert_eq!(span(&spread(&[4_999]), &slow, &unknown), Ok((3_999, 1_000_000)));
        assert_eq!(span(&spread(&[5_000]), &slow, &unknown), Err(NoLine::TooLong));
    }

    #[test]
    fn seats_are_fair_up_to_5_ms() {
        for (us, fair) in [(5_000, true), (-5_000, true), (5_001, false), (-5_001, false)] {
            assert_eq!(is_fair(&spread(&[us; 3])), fair, "{us}");
        }
    }
}
