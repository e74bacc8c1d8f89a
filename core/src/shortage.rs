//! A reader without room or time. In: when passes began, and whether there was room for what sources say. Out: how much longer
//! than the settle window a source that is behind may hold up the rest. Guarantee: a source that is behind because it was not
//! read is not taken for one that sends faster than it is read; and no more than [`SHORT_US_MAX`] is granted, for a flood can
//! take all the room as well.

use crate::time::{KernelTime, Micros};

/// The most that is granted, from when a source was behind until none is.
pub const SHORT_US_MAX: Micros = Micros::from_ms(1000);

/// A pass takes so long only if the reader was kept from running.
const PASS_US_MAX: Micros = Micros::from_ms(10);

/// For how long there was no room, or the reader did not run, since no source was behind.
#[derive(Clone, Copy, Debug)]
pub struct Shortage {
    pass: KernelTime,
    is_behind: bool,
    short_us: Micros,
}

impl Default for Shortage {
    fn default() -> Self {
        Self { pass: KernelTime::ZERO, is_behind: false, short_us: Micros::ZERO }
    }
}

impl Shortage {
    /// A pass begins; `is_short`: since the last one there was no room for what came.
    pub fn begin(&mut self, pass: KernelTime, is_short: bool) {
        let since = pass.since(self.pass);
        if is_short || (self.is_behind && since > PASS_US_MAX) {
            self.short_us = (self.short_us + since).min(SHORT_US_MAX);
        }
        self.pass = pass;
    }

    /// The pass ends; `is_behind`: a source has more to read.
    pub const fn end(&mut self, is_behind: bool) {
        self.is_behind = is_behind;
        if !is_behind {
            self.short_us = Micros::ZERO;
        }
    }

    /// What is granted.
    pub const fn us(&self) -> Micros {
        self.short_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_without_room_is_granted_and_only_so_much_of_it() {
        let us = KernelTime::from_us;
        let mut shortage = Shortage::default();
        shortage.begin(us(5_000), false);
        shortage.begin(us(6_000), true);
        shortage.begin(us(9_000), false);
        shortage.begin(us(9_500), true);
        assert_eq!(shortage.us(), Micros::from_us(1_500));
        shortage.end(true);
        shortage.begin(us(12_000), false);
        assert_eq!(shortage.us(), Micros::from_us(1_500), "reading takes time");
        shortage.begin(us(32_000), false);
        assert_eq!(shortage.us(), Micros::from_us(21_500), "but not so much");
        shortage.end(false);
        assert_eq!(shortage.us(), Micros::ZERO);
        shortage.begin(us(100_000), false);
        assert_eq!(shortage.us(), Micros::ZERO, "it slept");
        shortage.begin(us(50_000_000), true);
        assert_eq!(shortage.us(), SHORT_US_MAX);
    }
}
