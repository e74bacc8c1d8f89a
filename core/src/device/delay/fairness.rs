//! Whether players have equal devices. In: the devices of a match, by name and [`Delay`]. Out: [`Fairness`]. Guarantee:
//! what a median is not known of is called equal only to devices of its own kind; one rule for everything that says it.

use super::{Basis, Delay};
use crate::time::Micros;

/// Medians that differ by more are unequal: with two players who are equally quick, this head start decides the close
/// races, and nobody sees it.
pub const UNEQUAL: Micros = Micros::from_ms(5);

/// How equal some devices are; numbers are places in what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fairness {
    /// Medians within [`UNEQUAL`], or devices of one kind.
    Equal,
    /// The quickest and the slowest of those that have a median, and how slow they are.
    Unequal {
        /// The quickest.
        quick: (usize, Micros),
        /// The slowest.
        slow: (usize, Micros),
    },
    /// This device has no median, and the other one is of another kind.
    Unknown {
        /// The one that nobody measured.
        unmeasured: usize,
        /// Another one.
        other: usize,
    },
}

impl Delay {
    /// Half of the presses are older than their stamps by less than this: measured, or the middle of an interval that
    /// somebody vouches for. `None`: an interval that only says what is possible has no middle worth the name.
    pub fn median_us(&self) -> Option<Micros> {
        match (self.curve, self.basis) {
            (Some(curve), _) => Some(Micros::from_us(curve.median_us().into())),
            (None, Basis::Configured | Basis::Receipt | Basis::Program) => {
                Some(Micros::from_us(self.us.min_us.as_us().midpoint(self.us.max_us.as_us())))
            }
            (None, Basis::Model | Basis::Bus | Basis::Unknown) => None,
        }
    }
}

impl Fairness {
    /// That of devices with these names and delays.
    pub fn of(devices: &[(&str, &Delay)]) -> Self {
        let medians = || {
            let known = devices.iter().enumerate();
            known.filter_map(|(place, (_, delay))| Some((place, delay.median_us()?)))
        };
        if let (Some(quick), Some(slow)) =
            (medians().min_by_key(|(_, us)| *us), medians().max_by_key(|(_, us)| *us))
            && slow.1.as_us() - quick.1.as_us() > UNEQUAL.as_us()
        {
            return Self::Unequal { quick, slow };
        }
        let unmeasured = devices.iter().position(|(_, delay)| delay.median_us().is_none());
        let stranger = |one: usize| devices.iter().position(|device| *device != devices[one]);
        match unmeasured.and_then(|one| Some((one, stranger(one)?))) {
            Some((unmeasured, other)) => Self::Unknown { unmeasured, other },
            None => Self::Equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::plugged;
    use super::super::{Configured, Span};
    use super::*;
    use crate::device::identity::{BUS_VIRTUAL, Identity};

    fn delay(ids: (u16, u16), interval: &str) -> Delay {
        Delay::of(&plugged(ids, interval, "12"), Configured::default())
    }

    fn configured(min_us: u64, max_us: u64) -> Delay {
        let us = Span::new(Micros::from_us(min_us), Micros::from_us(max_us));
        Delay::of(&plugged((1, 1), "8ms", "12"), Configured { delay_us: Some(us), scan_us: None })
    }

    fn median(delay: &Delay) -> Option<u64> {
        delay.median_us().map(Micros::as_us)
    }

    #[test]
    fn a_median_is_measured_or_the_middle_of_what_somebody_says() {
        let k120 = delay((0x046d, 0xc31c), "10ms");
        assert_eq!(median(&k120), k120.curve.map(|curve| curve.median_us().into()));
        assert!(median(&k120).is_some());
        assert_eq!(median(&delay((0x046d, 0xc31c), "4ms")), None, "not measured at this interval");
        assert_eq!(median(&delay((1, 1), "1ms")), None);
        assert_eq!(median(&configured(2_000, 8_001)), Some(5_000));
        let program = Identity { bus: BUS_VIRTUAL, ..plugged((1, 1), "1ms", "12") };
        assert_eq!(median(&Delay::of(&program, Configured::default())), Some(0));
    }

    #[test]
    fn devices_are_equal_by_their_medians_or_by_their_kind() {
        use Fairness::{Equal, Unequal, Unknown};
        let of = |delays: &[(&str, Delay)]| {
            Fairness::of(&delays.iter().map(|(name, delay)| (*name, delay)).collect::<Vec<_>>())
        };
        let at = |place, us| (place, Micros::from_us(us));
        let (hub, other) = (delay((0x054c, 2), "10ms"), delay((1, 2), "10ms"));
        let (four, nine) = (("a", configured(4_000, 4_000)), ("b", configured(8_000, 10_000)));
        assert_eq!(of(&[]), Equal);
        assert_eq!(of(&[("hub", hub)]), Equal);
        assert_eq!(of(&[("hub", hub), ("hub", hub)]), Equal);
        assert_eq!(of(&[("hub", hub), ("other", other)]), Unknown { unmeasured: 0, other: 1 });
        assert_eq!(of(&[("hub", hub), ("hub 2", hub)]), Unknown { unmeasured: 0, other: 1 }, "another name");
        let quicker = delay((0x054c, 2), "4ms");
        assert_eq!(of(&[("hub", hub), ("hub", quicker)]), Unknown { unmeasured: 0, other: 1 }, "polled more");
        assert_eq!(of(&[four, nine]), Equal, "by 5 ms, and no more");
        let later = ("c", configured(9_000, 9_001 + 1));
        assert_eq!(of(&[later, nine, four]), Unequal { quick: at(2, 4_000), slow: at(0, 9_001) });
        assert_eq!(of(&[nine, ("hub", hub), four]), Unknown { unmeasured: 1, other: 0 });
        let known = Unequal { quick: at(2, 4_000), slow: at(1, 9_001) };
        assert_eq!(of(&[("hub", hub), later, four]), known, "what is known comes first");
    }
}
