//! How often a client may ask. In: the time of each request. Out: whether it may. Guarantee: [`PER_SECOND`] requests a second
//! for ever, and [`BURST`] at once, never more.

use buzzer_core::time::{KernelTime, Micros};

/// Requests a second.
pub const PER_SECOND: u64 = 50;
/// Requests at once, by who has been silent before.
pub const BURST: u64 = 100;

const EACH_US: u64 = 1_000_000 / PER_SECOND;

/// One client's allowance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// When all that was asked so far would have been asked at the even rate.
    even: KernelTime,
}

impl Rate {
    /// Whether a request may be made now; it counts then.
    pub fn take(&mut self, now: KernelTime) -> bool {
        let even = self.even.max(now);
        let may = even.since(now).as_us() <= (BURST - 1) * EACH_US;
        if may {
            self.even = even + Micros::from_us(EACH_US);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rate: &mut Rate, now: KernelTime) -> u64 {
        (0..1000).filter(|_| rate.take(now)).count() as u64
    }

    #[test]
    fn a_burst_then_so_many_a_second() {
        let (mut rate, start) = (Rate::default(), KernelTime::from_us(5_000_000));
        assert_eq!(taken(&mut rate, start), BURST);
        assert_eq!(taken(&mut rate, start + Micros::from_ms(1000)), PER_SECOND);
        assert_eq!(taken(&mut rate, start + Micros::from_ms(1010)), 0);
        assert_eq!(taken(&mut rate, start + Micros::from_ms(1020)), 1);
        assert_eq!(taken(&mut rate, start + Micros::from_ms(60_000)), BURST, "silence is not saved up");
    }

    #[test]
    fn who_keeps_to_the_rate_may_always() {
        let mut rate = Rate::default();
        for n in 0..10_000 {
            assert!(rate.take(KernelTime::from_us(n * EACH_US)), "{n}");
        }
    }
}
