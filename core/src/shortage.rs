//! A reader without room. In: when passes began, and whether there was room for what sources say. Out: how much longer
//! than the settle window a source that is behind may hold up the rest. Guarantee: a source that is behind because it was not
//! read is not taken for one that sends faster than it is read; and no more than [`SHORT_US_MAX`] is granted, for a flood can
//! take all the room as well.

use crate::time::{KernelTime, Micros};

/// The most that is granted, from when a source was behind until none is.
pub const SHORT_US_MAX: Micros = Micros::from_ms(1000);

/// For how long there was no room, since no source was behind.
#[derive(Clone, Copy, Debug)]
pub struct Shortage {
    pass: KernelTime,
    short_us: Micros,
}

impl Default for Shortage {
    fn default() -> Self {
        Self { pass: KernelTime::ZERO, short_us: Micros::ZERO }
    }
}

impl Shortage {
    /// A pass begins; `is_short`: since the last one there was no room for what came.
    pub fn begin(&mut self, pass: KernelTime, is_short: bool) {
        if is_short {
            self.short_us = (self.short_us + pass.since(self.pass)).min(SHORT_US_MAX);
        }
        self.pass = pass;
    }

    /// The pass has found all sources empty.
    pub const fn set_drained(&mut self) {
        self.short_us = Micros::ZERO;
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
        shortage.set_drained();
        assert_eq!(shortage.us(), Micros::ZERO);
        shortage.begin(us(50_000_000), true);
        assert_eq!(shortage.us(), SHORT_US_MAX);
    }
}
