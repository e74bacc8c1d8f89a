//! When a record is due. In: the records' times and when the replay began. Out: the time at which each is to be told.
//! Guarantee: never before the one before it; between two boots, whose clocks cannot be compared, there is no pause.

use std::fmt;
use std::str::FromStr;

use buzzer_core::time::{KernelTime, Micros};

use crate::record::{Fact, Record};

/// The slowest: a second takes a quarter of an hour.
const SPEED_MIN: f64 = 0.001;
/// The fastest that still waits; beyond it nobody sees a difference.
const SPEED_MAX: f64 = 1_000_000.0;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was.
    Times(f64),
    /// As fast as the clients read.
    Max,
}

/// The text is no speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number from 0.001 to 1000000 (1: as it was, 2: twice as fast), or max")]
pub struct NoSpeed;

impl FromStr for Speed {
    type Err = NoSpeed;

    fn from_str(text: &str) -> Result<Self, NoSpeed> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Self::Max),
            Ok(0.0) => Ok(Self::Max),
            Ok(times) if (SPEED_MIN..=SPEED_MAX).contains(&times) => Ok(Self::Times(times)),
            _ => Err(NoSpeed),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}x"),
            Self::Max => f.write_str("as fast as clients read"),
        }
    }
}

/// The clock of a replay.
#[derive(Clone, Debug)]
pub struct ReplayClock {
    speed: Speed,
    /// The boot that is played.
    boot: String,
    /// A recorded time, and when that is.
    origin: Option<(u64, KernelTime)>,
    /// When the last record was due.
    last: KernelTime,
}

impl ReplayClock {
    /// A replay whose first record is due at `begin`.
    pub const fn new(speed: Speed, begin: KernelTime) -> Self {
        Self { speed, boot: String::new(), origin: None, last: begin }
    }

    /// When this record, the next one, is due.
    pub fn due(&mut self, record: &Record) -> KernelTime {
        if let Fact::Start { boot, .. } = &record.fact
            && self.boot != *boot
        {
            self.boot.clone_from(boot);
            self.origin = None;
        }
        let Speed::Times(times) = self.speed else { return self.last };
        let (from_us, since) = *self.origin.get_or_insert((record.at_us, self.last));
        let us = record.at_us.saturating_sub(from_us) as f64 / times;
        // Late presses and sums carry a time before that of the record before them.
        self.last = self.last.max(since + Micros::from_us(us as u64));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(boot: &str) -> Fact {
        let (log, version) = (String::new(), String::new());
        Fact::Start { log, boot: boot.into(), version, wall_us: 0, settle_us: 0, realtime: false }
    }

    #[test]
    fn records_are_due_as_they_were_and_boots_follow_at_once() {
        let facts = [
            (5_000, start("a")),
            (1_005_000, Fact::RingFull { waiting_max: 1 }),
            (1_004_000, Fact::RingFull { waiting_max: 1 }),
            (2_005_000, start("a")),
            (100, start("b")),
            (400, Fact::Stop {}),
        ];
        for (speed, want) in [
            ("1", [7, 1_000_007, 1_000_007, 2_000_007, 2_000_007, 2_000_307]),
            ("2.5", [7, 400_007, 400_007, 800_007, 800_007, 800_127]),
            ("max", [7; 6]),
            ("0", [7; 6]),
        ] {
            let mut clock = ReplayClock::new(speed.parse().unwrap(), KernelTime::from_us(7));
            let due: Vec<u64> = facts
                .iter()
                .zip(1..)
                .map(|((at_us, fact), seq)| Record { seq, at_us: *at_us, fact: fact.clone() })
                .map(|record| clock.due(&record).as_us())
                .collect();
            assert_eq!(due, want, "{speed}");
        }
    }

    #[test]
    fn what_is_no_speed_is_refused() {
        for text in ["", "-1", "0.0001", "1e9", "nan", "inf", "fast"] {
            assert_eq!(text.parse::<Speed>(), Err(NoSpeed), "{text}");
        }
    }
}
