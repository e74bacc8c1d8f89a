//! Which time of day was that? In: records, in order. Out: the wall clock's time for any `at_us`. Guarantee: derived, never
//! used for order: the box may believe what it likes about the date, and differences within one boot stay exact.

use crate::record::{Fact, Record};

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    known: Option<(u64, u64)>,
}

impl WallClock {
    /// Takes the next record.
    pub const fn take(&mut self, record: &Record) {
        if let Fact::Start { wall_us, .. } = &record.fact {
            self.known = Some((record.at_us, *wall_us));
        }
    }

    /// µs since 1970 at this time of the boot that runs; none before the first `start`.
    pub fn wall_us(&self, at_us: u64) -> Option<u64> {
        let (known_at_us, known_wall_us) = self.known?;
        // A stamp may be older than the start: what waited in a device.
        known_wall_us.checked_add(at_us)?.checked_sub(known_at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_the_last_start_in_both_directions() {
        let mut wall = WallClock::default();
        assert_eq!(wall.wall_us(5), None);
        let fact = Fact::Start {
            log: String::new(),
            boot: String::new(),
            version: String::new(),
            wall_us: 1_000_000,
            settle_us: 0,
            realtime: false,
        };
        wall.take(&Record { seq: 1, at_us: 300, fact });
        assert_eq!(
            [250, 300, 1300].map(|at_us| wall.wall_us(at_us)),
            [Some(999_950), Some(1_000_000), Some(1_001_000)]
        );
        assert_eq!(wall.wall_us(u64::MAX), None);
    }
}
