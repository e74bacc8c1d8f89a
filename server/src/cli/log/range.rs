//! A part of the log, as it is named on the command line. In: two numbers, or two times. Out: which records are meant.
//! Guarantee: the same text means the same to every command; both ends may be left out. A time that the log has twice is asked
//! back with both readings, where the answer can be one only.

use std::cmp::Ordering;
use std::str::FromStr;

use anyhow::anyhow;
use buzzer_server::judge::span::Spans;
use buzzer_server::judge::wall::WallClock;
use jiff::civil::{Date, Time};

use super::records::{Records, Step};
use super::time::{Moment, Zone};
use crate::cli::Failure;

/// Records by their numbers, both ends included: `1200`, `1200..1300`, `1200..`, `..1300`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seqs {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Seqs {
    pub(super) const ALL: Self = Self { first: 1, last: u64::MAX };
    pub(super) const NONE: Self = Self { first: u64::MAX, last: 0 };

    pub(super) fn contains(&self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }
}

impl FromStr for Seqs {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "expected a seq like 1200, or two like 1200..1300, of which either may be missing, the smaller first";
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let number =
            |text: &str, missing| if text.is_empty() { Ok(missing) } else { text.parse().map_err(|_| wrong) };
        let range = Self { first: number(first, Self::ALL.first)?, last: number(last, Self::ALL.last)? };
        if text.is_empty() || range.first > range.last { Err(wrong) } else { Ok(range) }
    }
}

/// A log that is silent for so long has not seen what was between, µs; so has a clock that was set from 1970 to today.
const STRETCH_US: u64 = 30 * 86_400_000_000;
/// Days that are counted.
const DAYS_MAX: usize = 1000;

/// Wall time from one moment until before another.
#[derive(Debug)]
pub(super) struct Times {
    zone: Zone,
    from: Option<Moment>,
    to: Option<Moment>,
}

impl Times {
    /// None if neither end is named.
    ///
    /// # Errors
    /// An end that is two moments, or the first behind the last.
    pub(super) fn new(zone: Zone, from: Option<Moment>, to: Option<Moment>) -> Result<Option<Self>, Failure> {
        let times = Self { zone, from, to };
        for (name, end) in times.ends() {
            if let Some(readings) = times.zone.readings(end) {
                return Err(twice(name, &readings));
            }
        }
        if let (Some(from), Some(to)) = (&times.from, &times.to)
            && times.zone.is_not_before(from, to)
        {
            return Err(Failure::Usage(anyhow!(
                "--from {from} is not before --to {to}, so nothing is between them (over midnight: with the dates)"
            )));
        }
        Ok((times.from.is_some() || times.to.is_some()).then_some(times))
    }

    fn ends(&self) -> impl Iterator<Item = (&'static str, &Moment)> {
        [("--from", &self.from), ("--to", &self.to)]
            .into_iter()
            .filter_map(|(name, end)| Some((name, end.as_ref()?)))
    }

    /// Its ends that come every day.
    fn daily(&self) -> impl Iterator<Item = (&'static str, Time)> {
        self.ends().filter_map(|(name, end)| match end {
            Moment::Daily(time) => Some((name, *time)),
            Moment::Once(_) | Moment::Local(_) => None,
        })
    }

    /// Looks through a log for a time without a date that is twice in it: in the night in which clocks go back, and on
    /// several days if there can be `one` answer only.
    ///
    /// # Errors
    /// Both readings.
    pub(super) fn ask_back(&self, records: &Records, one: bool) -> Result<(), Failure> {
        if self.daily().next().is_none() {
            return Ok(());
        }
        let mut records = records.again().map_err(super::records::unreadable)?;
        let (mut wall, mut stretch) = (WallClock::default(), None);
        let mut days: Vec<Date> = Vec::new();
        while let Some(step) = records.next()? {
            let Step::Record(record, _) = step else { continue };
            wall.take(&record);
            let Some(wall_us) = wall.wall_us(record.at_us) else { continue };
            stretch = Some(match stretch {
                Some((first_us, last_us)) if wall_us.abs_diff(last_us) < STRETCH_US => {
                    (wall_us.min(first_us), wall_us.max(last_us))
                }
                _ => {
                    self.ask_of_folds(stretch)?;
                    (wall_us, wall_us)
                }
            });
            if one && self.place(wall_us).is_eq() && days.len() < DAYS_MAX {
                days.extend(self.zone.date(wall_us).filter(|day| !days.contains(day)));
            }
        }
        self.ask_of_folds(stretch)?;
        days.sort_unstable();
        let ([.., first, last], Some((name, time))) = (&days[..], self.daily().next()) else { return Ok(()) };
        let many =
            if days.len() > 2 { format!("{} days, the last two", days.len()) } else { "two days".to_owned() };
        Err(Failure::Usage(anyhow!(
            "{name}: the log has {time} on {many}: say \"{first} {time}\" or \"{last} {time}\""
        )))
    }

    /// `stretch`: from when to when there are records.
    fn ask_of_folds(&self, stretch: Option<(u64, u64)>) -> Result<(), Failure> {
        let Some((first_us, last_us)) = stretch else { return Ok(()) };
        let mut found = self
            .daily()
            .filter_map(|(name, time)| Some((name, self.zone.readings_between(time, first_us, last_us)?)));
        found.next().map_or(Ok(()), |(name, readings)| Err(twice(name, &readings)))
    }

    /// Whether a time, µs since 1970, is before, in or after it.
    pub(super) fn place(&self, wall_us: u64) -> Ordering {
        if self.from.as_ref().is_some_and(|from| self.zone.is_before(wall_us, from)) {
            Ordering::Less
        } else if self.to.as_ref().is_some_and(|to| !self.zone.is_before(wall_us, to)) {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }

    /// To be found in a log.
    pub(super) fn into_spans(self) -> Spans {
        let is_daily =
            [&self.from, &self.to].into_iter().flatten().any(|end| matches!(end, Moment::Daily(_)));
        Spans::new(move |wall_us| self.place(wall_us), is_daily)
    }
}

fn twice(name: &str, [first, second]: &[String; 2]) -> Failure {
    Failure::Usage(anyhow!("{name}: clocks went back then, so this time came twice: say {first} or {second}"))
}

/// What a log has, for those who asked for something else.
#[derive(Debug, Default)]
pub(super) struct Extent {
    /// When the first and the last record were, µs since 1970.
    pub(super) walls: Option<(u64, u64)>,
}

impl Extent {
    /// The next record, and when it was.
    pub(super) fn take(&mut self, wall_us: Option<u64>) {
        let Some(wall_us) = wall_us else { return };
        self.walls = Some((self.walls.map_or(wall_us, |(first, _)| first), wall_us));
    }

    /// `the log has seq 1 to 7, 2026-11-24 19:30:05.123456 to …`.
    pub(super) fn text(&self, (first, last): (u64, u64), zone: &Zone) -> String {
        let times = self.walls.map_or_else(String::new, |(first, last)| {
            format!(", {} to {}", zone.show(first), zone.show(last))
        });
        format!("the log has seq {first} to {last}{times}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_end_may_be_missing_and_nonsense_is_refused() {
        for (text, first, last) in
            [("7", 7, 7), ("7..9", 7, 9), ("7..", 7, u64::MAX), ("..9", 1, 9), ("..", 1, u64::MAX)]
        {
            assert_eq!(text.parse(), Ok(Seqs { first, last }), "{text}");
        }
        for text in ["", "9..7", "a", "7..b", "7-9", "7...9", "-1", " 7"] {
            assert!(text.parse::<Seqs>().is_err(), "{text}");
        }
    }
}
