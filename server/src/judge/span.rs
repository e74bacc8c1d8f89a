//! A span of wall time and which records are in it. In: the span, and when each record was, in the log's order. Out: where the
//! span begins and goes on. Guarantee: a span that comes every day, and one into which somebody set the clock back, begins
//! again; so the last of them is what a question means that can have one answer only.

use std::cmp::Ordering;
use std::fmt;

/// What comes every day is another one after so long without a record, µs.
const HALF_DAY_US: u64 = 12 * 3_600_000_000;
/// Records are not sorted by time to the last µs: late presses and sums of ignored edges carry an earlier one.
const JITTER_US: u64 = 2_000_000;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// It is the first of the span, or of the next one.
    Begins,
    /// It is in the span, or stands between records that are.
    In,
    /// It is out of the span by less than records are out of order.
    Behind,
    /// It is not in the span.
    Out,
}

/// Goes through a log and finds a span in it.
pub struct Spans {
    place: Box<dyn Fn(u64) -> Ordering>,
    is_daily: bool,
    is_open: bool,
    /// When the last record in it was.
    last_us: u64,
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("is_open", &self.is_open).finish_non_exhaustive()
    }
}

impl Spans {
    /// Before the first record. `place`: whether a time, µs since 1970, is before, in or after the span; `is_daily`: it comes
    /// every day.
    pub fn new(place: impl Fn(u64) -> Ordering + 'static, is_daily: bool) -> Self {
        Self { place: Box::new(place), is_daily, is_open: false, last_us: 0 }
    }

    /// The next record, of this wall time, µs since 1970.
    pub fn see(&mut self, wall_us: u64) -> Where {
        let place = &self.place;
        if self.is_daily && self.last_us.saturating_add(HALF_DAY_US) < wall_us {
            self.is_open = false;
        }
        let found = match place(wall_us) {
            Ordering::Equal if self.is_open => Where::In,
            Ordering::Equal => Where::Begins,
            Ordering::Less if self.is_open && place(wall_us.saturating_add(JITTER_US)) != Ordering::Less => {
                Where::In
            }
            Ordering::Greater
                if self.is_open && place(wall_us.saturating_sub(JITTER_US)) != Ordering::Greater =>
            {
                Where::Behind
            }
            Ordering::Less | Ordering::Greater => Where::Out,
        };
        self.is_open = found != Where::Out;
        if matches!(found, Where::Begins | Where::In) {
            self.last_us = wall_us;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    /// From second 100 to second 200, the end excluded; of every day, if so.
    fn spans(is_daily: bool) -> Spans {
        let place = move |wall_us: u64| match (if is_daily { wall_us % (86_400 * S) } else { wall_us }) / S {
            ..100 => Ordering::Less,
            100..200 => Ordering::Equal,
            _ => Ordering::Greater,
        };
        Spans::new(place, is_daily)
    }

    fn seen(spans: &mut Spans, seconds: &[u64]) -> Vec<Where> {
        seconds.iter().map(|at| spans.see(*at * S)).collect()
    }

    #[test]
    fn a_span_begins_goes_on_and_ends() {
        use Where::{Begins, Behind, In, Out};
        // What carries an earlier stamp than the record before it is in it, just behind its end is not.
        let found = seen(&mut spans(false), &[99, 100, 150, 99, 199, 201, 199, 203, 201]);
        assert_eq!(found, [Out, Begins, In, In, In, Behind, In, Out, Out]);
    }

    #[test]
    fn it_begins_again_where_the_clock_was_set_back_and_every_day() {
        use Where::{Begins, In, Out};
        assert_eq!(seen(&mut spans(false), &[150, 4000, 150, 151]), [Begins, Out, Begins, In]);
        let day = 86_400;
        // Nobody played in the night: the next record is of the next evening.
        assert_eq!(seen(&mut spans(true), &[150, 151, day + 140, day + 141]), [Begins, In, Begins, In]);
        assert_eq!(seen(&mut spans(false), &[150, day + 140]), [Begins, Out]);
    }
}
