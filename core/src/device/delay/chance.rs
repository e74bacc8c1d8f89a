//! How probable it is that the later one of two stamps was the earlier press. In: two measured distributions and how
//! far the stamps are apart. Out: permille, and words for people ([`Odds`]). Guarantee: integers only, the same on
//! every machine; never 0 and never 1000: where nothing measured could be otherwise is not decided here.

use std::fmt;

/// Pairs of quantiles, each counted twice so that an equal pair can be a half: the whole of what is counted.
const WHOLE: u64 = 2 * WEIGHT * WEIGHT;
/// Of all quantiles of one list.
const WEIGHT: u64 = 256;

/// The probability in permille that B was pressed before A, though A's stamp is earlier by `lead_us`: that B's delay is
/// longer than A's by more than the lead, a half where it is by just as much. `a` and `b` are sorted delays at places
/// 0/128 to 128/128 of their distributions; the two presses' delays are taken to be independent.
pub fn chance_permille(a: &[u32; 129], b: &[u32; 129], lead_us: u64) -> u16 {
    let (mut below, mut up_to) = (Pointer::default(), Pointer::default());
    let mut counted = 0;
    for (place, delay_us) in b.iter().enumerate() {
        let Some(limit_us) = u64::from(*delay_us).checked_sub(lead_us) else { continue };
        below.advance(a, |a_us| a_us < limit_us);
        up_to.advance(a, |a_us| a_us <= limit_us);
        counted += weight(place) * (below.weight + up_to.weight);
    }
    // Rounded to the nearest permille.
    let permille = (counted * 1000 + WHOLE / 2) / WHOLE;
    permille.clamp(1, 999) as u16
}

/// An inner quantile stands for 1/128 of the presses, half of it on each side; the first and the last for half as much.
const fn weight(place: usize) -> u64 {
    if place == 0 || place == 128 { 1 } else { 2 }
}

/// What two devices of one kind have, of two presses so far apart, if they are like the middle one of the 41 that were
/// measured: entry n for n ms. Of each device at its own polling interval the chance of two presses of its delays, drawn
/// independently; the middle one of 41 chances. Beyond the last it is below 1 permille.
const MIDDLE_PERMILLE: [u16; 10] = [500, 387, 293, 213, 145, 89, 47, 18, 7, 1];

/// The chance for two devices that nobody has measured, if both are like the middle one of those that were: no more
/// than an example.
pub fn middle_permille(lead_us: u64) -> u16 {
    let ms = usize::try_from(lead_us / 1000).unwrap_or(usize::MAX);
    MIDDLE_PERMILLE.get(ms).copied().unwrap_or(1)
}

/// A place in a sorted list, and the weight of what lies before it.
#[derive(Default)]
struct Pointer {
    place: usize,
    weight: u64,
}

impl Pointer {
    fn advance(&mut self, list: &[u32; 129], is_before: impl Fn(u64) -> bool) {
        while list.get(self.place).is_some_and(|us| is_before(u64::from(*us))) {
            self.weight += weight(self.place);
            self.place += 1;
        }
    }
}

/// A chance in steps, because no measurement of one unit knows it better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odds {
    /// About one in so many.
    OneIn(u16),
    /// Less than about one in 50.
    VeryUnlikely,
    /// More than one in two: the later stamp is the likelier first.
    MoreLikely,
}

impl Odds {
    /// The step for a chance. The border between two steps is their geometric mean.
    pub const fn of_permille(permille: u16) -> Self {
        match permille {
            501.. => Self::MoreLikely,
            409.. => Self::OneIn(2),
            259.. => Self::OneIn(3),
            142.. => Self::OneIn(5),
            71.. => Self::OneIn(10),
            32.. => Self::OneIn(20),
            15.. => Self::OneIn(50),
            _ => Self::VeryUnlikely,
        }
    }
}

impl fmt::Display for Odds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneIn(many) => write!(f, "about 1 in {many}"),
            Self::VeryUnlikely => f.write_str("very unlikely"),
            Self::MoreLikely => f.write_str("more likely than not"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn even(min_us: u32, step_us: u32) -> [u32; 129] {
        std::array::from_fn(|place| min_us + place as u32 * step_us)
    }

    /// The definition, pair by pair.
    fn by_pairs(a: &[u32; 129], b: &[u32; 129], lead_us: u64) -> u16 {
        let mut counted = 0;
        for (b_place, b_us) in b.iter().enumerate() {
            for (a_place, a_us) in a.iter().enumerate() {
                let halves = match u64::from(*b_us).cmp(&(u64::from(*a_us) + lead_us)) {
                    std::cmp::Ordering::Greater => 2,
                    std::cmp::Ordering::Equal => 1,
                    std::cmp::Ordering::Less => 0,
                };
                counted += halves * weight(a_place) * weight(b_place);
            }
        }
        ((counted * 1000 + WHOLE / 2) / WHOLE).clamp(1, 999) as u16
    }

    #[test]
    fn equal_devices_at_one_stamp_are_one_in_two() {
        assert_eq!(chance_permille(&even(0, 100), &even(0, 100), 0), 500);
        assert_eq!(chance_permille(&[7; 129], &[7; 129], 0), 500);
    }

    #[test]
    fn an_even_spread_has_the_triangles_chance() {
        // Two delays spread evenly over 12.8 ms: P(difference > lead) = (1 - lead / 12.8 ms)² / 2.
        for (lead_us, want) in [(1_280, 405), (3_200, 281), (6_400, 125), (9_600, 31), (12_000, 2)] {
            let got = chance_permille(&even(5_000, 100), &even(5_000, 100), lead_us);
            // A list of 129 is that coarse.
            assert!(got.abs_diff(want) <= 4, "{lead_us}: {got}, not {want}");
        }
    }

    #[test]
    fn what_is_as_good_as_certain_is_not_called_so() {
        let (quick, slow) = (even(0, 1), even(50_000, 1));
        assert_eq!(chance_permille(&quick, &slow, 0), 999);
        assert_eq!(chance_permille(&slow, &quick, 0), 1);
        assert_eq!(chance_permille(&quick, &slow, u64::MAX), 1);
        assert_eq!(chance_permille(&[u32::MAX; 129], &[0; 129], u64::MAX), 1);
        assert_eq!(chance_permille(&[0; 129], &[u32::MAX; 129], u64::from(u32::MAX)), 500);
    }

    proptest! {
        #[test]
        fn two_pointers_count_what_all_pairs_say(
            mut a in prop::collection::vec(0_u32..2_000, 129),
            mut b in prop::collection::vec(0_u32..2_000, 129),
            lead_us in 0_u64..2_100,
        ) {
            a.sort_unstable();
            b.sort_unstable();
            let a: [u32; 129] = a.try_into().unwrap();
            let b: [u32; 129] = b.try_into().unwrap();
            prop_assert_eq!(chance_permille(&a, &b, lead_us), by_pairs(&a, &b, lead_us));
        }
    }

    #[test]
    fn the_middle_ones_chance_falls_with_the_lead() {
        let leads = [0, 999, 1_000, 9_999, 10_000, u64::MAX];
        assert_eq!(leads.map(middle_permille), [500, 500, 387, 1, 1, 1]);
        assert!(MIDDLE_PERMILLE.iter().rev().is_sorted());
    }

    #[test]
    fn a_chance_is_said_in_steps() {
        for (permille, want) in [
            (0, "very unlikely"),
            (1, "very unlikely"),
            (14, "very unlikely"),
            (20, "about 1 in 50"),
            (50, "about 1 in 20"),
            (100, "about 1 in 10"),
            (200, "about 1 in 5"),
            (333, "about 1 in 3"),
            (500, "about 1 in 2"),
            (501, "more likely than not"),
            (999, "more likely than not"),
            (u16::MAX, "more likely than not"),
        ] {
            assert_eq!(Odds::of_permille(permille).to_string(), want, "{permille}");
        }
        // Never a jump back: a greater chance is never said to be smaller.
        let mut last = u16::MAX;
        for permille in 0..=500 {
            let many = match Odds::of_permille(permille) {
                Odds::OneIn(many) => many,
                Odds::VeryUnlikely => u16::MAX,
                Odds::MoreLikely => panic!("{permille}"),
            };
            assert!(many <= last, "{permille}");
            last = many;
        }
    }
}
