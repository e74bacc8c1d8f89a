//! A part of the log, as it is named on the command line. In: two numbers, or two times. Out: which records are meant.
//! Guarantee: the same text means the same to every command; both ends may be left out. A time that the log has twice is asked
//! back with both readings, where the answer can be one only.

use std::cmp::Ordering;
use std::str::FromStr;

use anyhow::anyhow;
use buzzer_server::judge::span::Spans;
use buzzer_server::log::form::strict::Said;
use clap::Args;
use jiff::civil::{Date, Time};

use super::records::{Records, Step};
use super::time::{self, Moment, Zone};
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

    /// Refuses numbers of which a log, read to its end, has none.
    pub(super) fn must_be_in(&self, records: &Records) -> Result<(), Failure> {
        match records.seqs {
            Some((first, last)) if self.first > last || self.last < first => {
                Err(Failure::Usage(anyhow!("the log has seq {first} to {last}")))
            }
            _ => Ok(()),
        }
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

/// A time of day on the command line.
#[derive(Clone, Debug, Args)]
pub(super) struct Period {
    /// From this time on: 19:30, 19:30:05.25, "2026-11-24 19:30" or 2026-11-24T18:30:00Z; without a date: on every day, or,
    /// where it can be about one day only, on the day that the log has it on
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    from: Option<Moment>,
    /// Until this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    to: Option<Moment>,
    /// Times in UTC instead of this computer's zone
    #[arg(long)]
    utc: bool,
}

/// Wall time from one moment until before another; all of it, if neither is named.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) zone: Zone,
    from: Option<Moment>,
    to: Option<Moment>,
}

impl Times {
    /// # Errors
    /// An end that is two moments, or the first behind the last.
    pub(super) fn new(period: &Period) -> Result<Self, Failure> {
        let Period { from, to, utc } = period.clone();
        let times = Self { zone: Zone::new(utc), from, to };
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
        Ok(times)
    }

    /// Whether an end is named.
    pub(super) const fn is_limited(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// Whether what was at this time, µs since 1970, is meant.
    pub(super) fn has(&self, wall_us: Option<u64>) -> bool {
        !self.is_limited() || wall_us.is_some_and(|wall_us| self.place(wall_us).is_eq())
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
        let mut records = records.again()?;
        let mut stretch = None;
        let mut days: Vec<Date> = Vec::new();
        while let Some(step) = records.next()? {
            let Step::Line(_, Ok(Said::Record(_)), Some(wall_us)) = step else { continue };
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
    fn place(&self, wall_us: u64) -> Ordering {
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
        let is_daily = self.daily().next().is_some();
        Spans::new(move |wall_us| self.place(wall_us), is_daily)
    }
}

fn twice(name: &str, [first, second]: &[String; 2]) -> Failure {
    Failure::Usage(anyhow!("{name}: clocks went back then, so this time came twice: say {first} or {second}"))
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
