//! A part of the log, as it is named on the command line. In: two numbers, or two times. Out: which records are meant.
//! Guarantee: the same text means the same to every command; both ends may be left out.

use std::cmp::Ordering;
use std::str::FromStr;

use anyhow::anyhow;
use buzzer_server::log::span::Span;

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
        for (name, end) in [("--from", &from), ("--to", &to)] {
            if let Some([first, second]) = end.as_ref().and_then(|end| zone.readings(end)) {
                return Err(Failure::Usage(anyhow!(
                    "{name}: clocks went back then, so this time came twice: say {first} or {second}"
                )));
            }
        }
        if let (Some(from), Some(to)) = (&from, &to)
            && zone.is_not_before(from, to)
        {
            return Err(Failure::Usage(anyhow!(
                "--from {from} is not before --to {to}, so nothing is between them (over midnight: with the dates)"
            )));
        }
        Ok((from.is_some() || to.is_some()).then_some(Self { zone, from, to }))
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
    pub(super) fn into_span(self) -> Span {
        let is_daily =
            [&self.from, &self.to].into_iter().flatten().any(|end| matches!(end, Moment::Daily(_)));
        Span { place: Box::new(move |wall_us| self.place(wall_us)), is_daily }
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
