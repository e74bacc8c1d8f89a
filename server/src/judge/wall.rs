//! Which time of day was that? In: records, in order. Out: the wall clock's time for any `at_us`. Guarantee: derived, never
//! used for order: the box may believe what it likes about the date, and differences within one boot stay exact.
//!
//! A `start` and every `anchor` name one moment on both clocks. What was later goes on from the last of them, so a clock that
//! somebody set shows from there on; what carries an earlier stamp, as a press that waited for the settle window, goes on
//! from the one before. What another boot said counts for nothing: its clock began elsewhere.

use crate::record::{Fact, Record};

/// The last moments that are known on both clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    boot: String,
    last: Option<Moment>,
    /// The one before it, of the same boot.
    before: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    at_us: u64,
    wall_us: u64,
}

impl WallClock {
    /// Takes the next record.
    pub fn take(&mut self, record: &Record) {
        let wall_us = match &record.fact {
            Fact::Start { boot, wall_us, .. } => {
                if self.boot != *boot {
                    self.boot.clone_from(boot);
                    self.last = None;
                }
                *wall_us
            }
            Fact::Anchor { wall_us, .. } => *wall_us,
            _ => return,
        };
        self.before = self.last.replace(Moment { at_us: record.at_us, wall_us });
    }

    /// µs since 1970 at this time of the boot that runs; none before its first `start` or `anchor`.
    pub fn wall_us(&self, at_us: u64) -> Option<u64> {
        let last = self.last?;
        let from = self.before.filter(|_| at_us < last.at_us).unwrap_or(last);
        // A stamp may be older than the start: what waited in a device.
        from.wall_us.checked_add(at_us)?.checked_sub(from.at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(boot: &str, at_us: u64, wall_us: u64) -> Record {
        let (log, version) = (String::new(), String::new());
        let fact = Fact::Start { log, boot: boot.into(), version, wall_us, settle_us: 0, realtime: false };
        Record { seq: 1, at_us, fact }
    }

    fn anchor(at_us: u64, wall_us: u64) -> Record {
        Record { seq: 2, at_us, fact: Fact::Anchor { wall_us, bracket_us: 1, synced: None } }
    }

    #[test]
    fn it_goes_on_from_the_last_start_in_both_directions() {
        let mut wall = WallClock::default();
        assert_eq!(wall.wall_us(5), None);
        wall.take(&start("a", 300, 1_000_000));
        assert_eq!(
            [250, 300, 1300].map(|at_us| wall.wall_us(at_us)),
            [Some(999_950), Some(1_000_000), Some(1_001_000)]
        );
        assert_eq!(wall.wall_us(u64::MAX), None);
    }

    #[test]
    fn a_clock_that_was_set_shows_from_there_on_and_not_before() {
        let mut wall = WallClock::default();
        wall.take(&start("a", 300, 1_000_000));
        wall.take(&anchor(1000, 500_000));
        assert_eq!(
            [300, 999, 1000, 1001].map(|at_us| wall.wall_us(at_us)),
            [Some(1_000_000), Some(1_000_699), Some(500_000), Some(500_001)]
        );
        // The next one knows no more than the one before it.
        wall.take(&anchor(2000, 501_000));
        assert_eq!(wall.wall_us(1999), Some(500_999));
        // Started again in the same boot: the clock runs on.
        wall.take(&start("a", 3000, 502_000));
        assert_eq!([2999, 3000].map(|at_us| wall.wall_us(at_us)), [Some(501_999), Some(502_000)]);
    }

    #[test]
    fn another_boot_begins_anew() {
        let mut wall = WallClock::default();
        wall.take(&start("a", 300, 1_000_000));
        wall.take(&anchor(5000, 1_004_700));
        wall.take(&start("b", 400, 9_000_000));
        // By the clock of the boot before this would be 1 004 600.
        assert_eq!([100, 400].map(|at_us| wall.wall_us(at_us)), [Some(8_999_700), Some(9_000_000)]);
    }

    #[test]
    fn without_its_beginning_a_log_has_times_from_the_first_anchor_on() {
        let mut wall = WallClock::default();
        wall.take(&anchor(1000, 500_000));
        assert_eq!([999, 1001].map(|at_us| wall.wall_us(at_us)), [Some(499_999), Some(500_001)]);
    }
}
