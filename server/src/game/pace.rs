//! How often something may happen. In: the time, and what has happened. Out: whether it may happen now, or when. Guarantee: over
//! any span no more than `burst`, and one more for each `every` of it; two numbers are all that is kept.
//!
//! The rule is GCRA, the leaky bucket of ATM networks (ITU-T I.371): `empty_at` is when the bucket will have run empty.

use buzzer_core::time::{KernelTime, Micros};

/// A limit.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    every_us: Micros,
    burst: u32,
    empty_at: KernelTime,
}

impl Pace {
    /// `burst` at once, and then one every `every_us`.
    pub const fn new(burst: u32, every_us: Micros) -> Self {
        Self { every_us, burst, empty_at: KernelTime::ZERO }
    }

    /// When the next one may happen; a time that has passed: at once.
    pub fn may_at(&self) -> KernelTime {
        self.empty_at - self.us(self.burst.saturating_sub(1))
    }

    /// Whether one may happen now; it counts then.
    pub fn take(&mut self, now: KernelTime) -> bool {
        let may = self.may_at() <= now;
        if may {
            self.charge(now, 1);
        }
        may
    }

    /// So many have happened, whether they might or not.
    pub fn charge(&mut self, now: KernelTime, count: u32) {
        self.empty_at = self.empty_at.max(now) + self.us(count);
    }

    const fn us(&self, count: u32) -> Micros {
        Micros::from_us(self.every_us.as_us().saturating_mul(count as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let mut pace = Pace::new(3, Micros::from_us(100));
        let at = KernelTime::from_us(10_000);
        assert_eq!([(); 4].map(|()| pace.take(at)), [true, true, true, false]);
        assert_eq!(pace.may_at(), at + Micros::from_us(100));
        assert!(!pace.take(at + Micros::from_us(99)) && pace.take(at + Micros::from_us(100)));
        // What is charged beyond the burst has to be made up for.
        pace.charge(at + Micros::from_us(100), 10);
        assert_eq!(pace.may_at(), at + Micros::from_us(1200));
        // A pause gives a whole burst back, and no more.
        let later = at + Micros::from_us(1_000_000);
        assert_eq!([(); 4].map(|()| pace.take(later)), [true, true, true, false]);
        assert!(!pace.take(at), "a clock that runs backwards gives nothing");
    }
}
