//! Two buttons that one switch closes. In: the stamps of their presses, A's and B's. Out: which of them belong together
//! ([`Presses::pairing`]) and how far their stamps are apart ([`Spread`]); what follows for the configuration is in
//! [`lines`]. Guarantee: integers only; a press that may belong to more than one other counts for none, and is told; what
//! is kept has a bound.
//!
//! Both contacts close at one moment, so what their stamps differ by is what their delays differ by: of two devices
//! the whole delays, of one device only how it looks at its contacts and is polled.

pub mod lines;

use crate::time::{KernelTime, Micros};

/// The fewest pairs that a line is told for: what is rarer than one press in so many is not seen.
pub const PAIRS_MIN: usize = 100;
/// The most that are asked for.
pub const PAIRS_MAX: usize = 1000;

/// Presses of one button that are kept: enough for the most pairs with nine that miss for each one that hits.
const PRESSES_MAX: usize = 10 * PAIRS_MAX;
/// Presses of one button that are nearer are one stroke of the hand that closed it twice.
const STROKE: Micros = Micros::from_ms(100);
/// The farthest that two presses of one stroke are looked for: most devices take a tenth of a second at the longest.
const WINDOW_MAX: Micros = Micros::from_ms(500);
/// The shares of the differences that a [`Spread`] shows, percent.
pub const PERCENTS: [usize; 7] = [0, 5, 25, 50, 75, 95, 100];

/// Which of the two buttons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first one.
    A,
    /// The second one.
    B,
}

/// The presses so far.
#[derive(Clone, Debug, Default)]
pub struct Presses {
    /// The stamps of A and of B, µs, ascending.
    stamps_us: [Vec<i64>; 2],
}

/// Which presses belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairing {
    /// B's stamp without A's, µs, in the order of A's presses.
    differences_us: Vec<i64>,
    /// Presses of A and of B that have no partner.
    pub alone: [usize; 2],
    /// Presses of both that have more than one, or whose partner has.
    pub unclear: usize,
    /// The usual time between two strokes, µs; `None`: there were no two.
    pub gap_us: Option<u64>,
    /// How far apart a pair can be, µs.
    pub window_us: u64,
}

/// How far the stamps of pairs are apart: B's without A's, so what is above zero was A's lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many pairs.
    pub pairs: usize,
    /// The differences at [`PERCENTS`], µs.
    pub quantiles_us: [i64; 7],
    /// Their mean, µs, rounded.
    pub mean_us: i64,
    /// Pairs of one stamp: of one device, those in one report.
    pub equal: usize,
    /// The medians of the first half of the pairs and of the second, between which a plank is turned round, µs.
    pub halves_us: [i64; 2],
}

impl Presses {
    /// A button was pressed. `false`: no more are kept.
    pub fn push(&mut self, side: Side, at: KernelTime) -> bool {
        let own = &mut self.stamps_us[side as usize];
        if own.len() == PRESSES_MAX {
            return false;
        }
        let at_us = at.as_us().cast_signed();
        let place = own.partition_point(|other| *other <= at_us);
        own.insert(place, at_us);
        true
    }

    /// Pairs each press of A with the nearest of B, if that is the only one within half the usual time between two
    /// strokes, and A's the only one near it.
    pub fn pairing(&self) -> Pairing {
        let [a, b] = &self.stamps_us;
        let gap_us = usual_gap_us(a);
        let window_us = gap_us.map_or(WINDOW_MAX.as_us(), |us| (us / 2).min(WINDOW_MAX.as_us()));
        let mut pairing = Pairing { gap_us, window_us, ..Pairing::default() };
        for own in a {
            match near(b, *own, window_us) {
                [] => pairing.alone[0] += 1,
                [other] if near(a, *other, window_us).len() == 1 => {
                    pairing.differences_us.push(other - own);
                }
                _ => pairing.unclear += 1,
            }
        }
        let paired = pairing.differences_us.len();
        pairing.alone[1] = b.iter().filter(|other| near(a, **other, window_us).is_empty()).count();
        pairing.unclear += b.len() - pairing.alone[1] - paired;
        pairing
    }
}

/// The stamps within the window around `at_us`.
fn near(stamps_us: &[i64], at_us: i64, window_us: u64) -> &[i64] {
    let from = stamps_us.partition_point(|us| *us < at_us.saturating_sub_unsigned(window_us));
    let to = stamps_us.partition_point(|us| *us <= at_us.saturating_add_unsigned(window_us));
    &stamps_us[from..to]
}

/// The median of the times between presses that are strokes of their own.
fn usual_gap_us(stamps_us: &[i64]) -> Option<u64> {
    let gaps = stamps_us.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
    let mut gaps: Vec<u64> = gaps.filter(|us| *us >= STROKE.as_us()).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied()
}

impl Pairing {
    /// How many pairs there are.
    pub const fn count(&self) -> usize {
        self.differences_us.len()
    }

    /// How far they are apart; `None`: there are none.
    pub fn spread(&self) -> Option<Spread> {
        let all = self.differences_us.as_slice();
        let (first, second) = all.split_at(all.len() / 2);
        let sorted = sorted(all);
        let count = i64::try_from(sorted.len()).ok().filter(|count| *count > 0)?;
        let sum: i64 = sorted.iter().sum();
        Some(Spread {
            pairs: sorted.len(),
            quantiles_us: PERCENTS.map(|percent| at(&sorted, percent).unwrap_or_default()),
            mean_us: (2 * sum + count).div_euclid(2 * count),
            equal: sorted.iter().filter(|us| **us == 0).count(),
            // Of a single pair there is no first half.
            halves_us: [first, second].map(|half| at(&self::sorted(half), 50).unwrap_or_default()),
        })
    }
}

fn sorted(us: &[i64]) -> Vec<i64> {
    let mut sorted = us.to_vec();
    sorted.sort_unstable();
    sorted
}

/// The one at this share, the nearest rank.
fn at(sorted: &[i64], percent: usize) -> Option<i64> {
    let place = (sorted.len().checked_sub(1)? * percent + 50) / 100;
    sorted.get(place).copied()
}

impl Spread {
    /// The smallest difference, µs: below zero, B's greatest lead.
    pub const fn min_us(&self) -> i64 {
        self.quantiles_us[0]
    }

    /// Half are smaller, µs.
    pub const fn median_us(&self) -> i64 {
        self.quantiles_us[3]
    }

    /// The greatest difference, µs: above zero, A's greatest lead.
    pub const fn max_us(&self) -> i64 {
        self.quantiles_us[6]
    }

    /// The greatest lead of this button, µs; zero: it never had one.
    pub fn lead_us(&self, side: Side) -> u64 {
        match side {
            Side::A => self.max_us().max(0).unsigned_abs(),
            Side::B => self.min_us().min(0).unsigned_abs(),
        }
    }

    /// The greatest lead of either, µs.
    pub fn greatest_us(&self) -> u64 {
        self.lead_us(Side::A).max(self.lead_us(Side::B))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Strokes every so many µs, of which the second button's stamp is so much later.
    pub(crate) fn pairing(gap_us: i64, differences_us: &[i64]) -> Pairing {
        let mut presses = Presses::default();
        for (us, stroke) in differences_us.iter().zip(1..) {
            push(&mut presses, Side::A, 10_000_000 + stroke * gap_us);
            push(&mut presses, Side::B, 10_000_000 + stroke * gap_us + us);
        }
        presses.pairing()
    }

    fn push(presses: &mut Presses, side: Side, at_us: i64) {
        assert!(presses.push(side, KernelTime::from_us(at_us.cast_unsigned())));
    }

    #[test]
    fn what_one_switch_closed_is_a_pair() {
        let pairing = pairing(1_000_000, &[3_000, -2_000, 0, 400_000, -400_000]);
        assert_eq!(pairing.differences_us, [3_000, -2_000, 0, 400_000, -400_000]);
        assert_eq!((pairing.alone, pairing.unclear), ([0, 0], 0));
        assert_eq!((pairing.gap_us, pairing.window_us), (Some(1_000_000), 500_000));
        let spread = pairing.spread().unwrap();
        assert_eq!((spread.lead_us(Side::A), spread.lead_us(Side::B)), (400_000, 400_000));
        assert_eq!((spread.pairs, spread.equal, spread.median_us(), spread.mean_us), (5, 1, 0, 200));
    }

    #[test]
    fn a_press_without_a_partner_is_counted_and_not_paired() {
        let mut presses = Presses::default();
        for stroke in 0..10 {
            let at_us = 1_000_000 * (stroke + 1);
            if stroke != 3 {
                push(&mut presses, Side::A, at_us);
            }
            if stroke != 6 && stroke != 7 {
                push(&mut presses, Side::B, at_us + 5_000);
            }
        }
        let pairing = presses.pairing();
        assert_eq!((pairing.count(), pairing.alone, pairing.unclear), (7, [2, 1], 0));
        assert!(pairing.differences_us.iter().all(|us| *us == 5_000));
    }

    #[test]
    fn a_stroke_that_closed_a_button_twice_counts_for_none() {
        // The plank rose and fell again: the second press of A is nearer to B's, which need not be true.
        let mut presses = Presses::default();
        for stroke in 0..10 {
            let at_us = 1_000_000 * (stroke + 1);
            push(&mut presses, Side::A, at_us);
            if stroke < 4 {
                push(&mut presses, Side::A, at_us + 40_000);
            }
            push(&mut presses, Side::B, at_us + 45_000);
        }
        let pairing = presses.pairing();
        assert_eq!((pairing.count(), pairing.alone, pairing.unclear), (6, [0, 0], 12));
        assert_eq!(pairing.gap_us, Some(1_000_000), "the doubled ones are no strokes");
    }

    #[test]
    fn the_window_follows_the_hand() {
        assert_eq!(pairing(400_000, &[1, 1, 1]).window_us, 200_000);
        assert_eq!(pairing(9_000_000, &[1, 1, 1]).window_us, 500_000);
        assert_eq!(Presses::default().pairing(), Pairing { window_us: 500_000, ..Pairing::default() });
        assert_eq!(Presses::default().pairing().spread(), None);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut presses = Presses::default();
        let kept = (1..).take_while(|n| presses.push(Side::B, KernelTime::from_us(*n))).count();
        assert_eq!(kept, PRESSES_MAX);
        assert!(presses.push(Side::A, KernelTime::from_us(1)));
    }

    #[test]
    fn shares_are_nearest_ranks_and_halves_are_in_time() {
        let up: Vec<i64> = (0..=100).map(|n| n * 10 - 500).collect();
        let spread = pairing(1_000_000, &up).spread().unwrap();
        assert_eq!(spread.quantiles_us, [-500, -450, -250, 0, 250, 450, 500]);
        assert_eq!((spread.mean_us, spread.halves_us), (0, [-250, 250]));
        for (all, mean) in [([-1, -2, -2], -2), ([1, 2, 2], 2), ([-1, 0, 0], 0), ([5, 5, 5], 5)] {
            assert_eq!(pairing(1_000_000, &all).spread().unwrap().mean_us, mean, "{all:?}");
        }
    }

    proptest! {
        #[test]
        fn every_press_is_told_once(
            a in prop::collection::vec(0_u64..20_000_000, 0..60),
            b in prop::collection::vec(0_u64..20_000_000, 0..60),
        ) {
            let mut presses = Presses::default();
            for (side, stamps) in [(Side::A, &a), (Side::B, &b)] {
                for us in stamps {
                    presses.push(side, KernelTime::from_us(*us));
                }
            }
            let pairing = presses.pairing();
            let told = 2 * pairing.count() + pairing.alone[0] + pairing.alone[1] + pairing.unclear;
            prop_assert_eq!(told, a.len() + b.len());
            prop_assert!(pairing.differences_us.iter().all(|us| us.unsigned_abs() <= pairing.window_us));
        }
    }
}
