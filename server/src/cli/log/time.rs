//! Times of day on the command line. In: what a moderator types, and µs since 1970. Out: the other. Guarantee: the zone of
//! this computer, or UTC if asked; a time without a date means that time on every day.

use std::fmt;

use buzzer_core::quote::Quoted;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// A moment, or a time of every day.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Moment {
    Once(Timestamp),
    Local(DateTime),
    Daily(Time),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(timestamp) => timestamp.fmt(f),
            Self::Local(local) => local.fmt(f),
            Self::Daily(time) => time.fmt(f),
        }
    }
}

/// `19:30`, `19:30:05.25`, `2026-11-24 19:30`, `2026-11-24T18:30:00Z`.
pub(super) fn parse(text: &str) -> Result<Moment, String> {
    if let Ok(timestamp) = text.parse() {
        return Ok(Moment::Once(timestamp));
    }
    // jiff takes a date alone as midnight, which is as good; but a time alone is no date.
    if text.contains('-')
        && let Ok(local) = text.parse()
    {
        return Ok(Moment::Local(local));
    }
    text.parse().map(Moment::Daily).map_err(|_| {
        format!(
            "{} is no time: expected 19:30, 19:30:05.25, \"2026-11-24 19:30\" or 2026-11-24T18:30:00Z",
            Quoted(text)
        )
    })
}

/// A time zone to show and compare times in.
#[derive(Clone, Debug)]
pub(super) struct Zone(TimeZone);

impl Zone {
    pub(super) fn new(utc: bool) -> Self {
        Self(if utc { TimeZone::UTC } else { TimeZone::system() })
    }

    /// For others to format with.
    pub(super) const fn get(&self) -> &TimeZone {
        &self.0
    }

    fn zoned(&self, wall_us: u64) -> Option<ZonedDateTime> {
        let timestamp = Timestamp::from_microsecond(i64::try_from(wall_us).ok()?).ok()?;
        Some(timestamp.to_zoned_datetime(self.0.clone()))
    }

    /// `2026-11-24 19:30:05.123456`.
    pub(super) fn show(&self, wall_us: u64) -> String {
        self.zoned(wall_us).map_or_else(|| "?".to_owned(), |zoned| zoned.strftime("%F %T.%6f").to_string())
    }

    /// The day of a time.
    pub(super) fn date(&self, wall_us: u64) -> Option<Date> {
        self.zoned(wall_us).map(|zoned| zoned.date())
    }

    /// The two moments that a time of day is in the night in which clocks go back.
    pub(super) fn readings(&self, moment: &Moment) -> Option<[String; 2]> {
        let Moment::Local(local) = moment else { return None };
        self.fold(*local).map(readable)
    }

    /// The same for a time of every day: of the last such night between two times, µs since 1970.
    pub(super) fn readings_between(&self, time: Time, first_us: u64, last_us: u64) -> Option<[String; 2]> {
        let at = |wall_us: u64| self.zoned(wall_us).map(|zoned| zoned.timestamp());
        let (first, last) = (at(first_us)?, at(last_us)?);
        // A fold is at its transition, or up to a few hours before it.
        let near = SignedDuration::from_hours(24);
        let changes = self.0.preceding(last.saturating_add(near).ok()?);
        let earliest = first.saturating_sub(near).ok()?;
        let mut nights = changes.take_while(|change| change.timestamp() >= earliest).flat_map(|change| {
            let date = change.offset().to_datetime(change.timestamp()).date();
            [date.tomorrow().ok(), Some(date)].into_iter().flatten()
        });
        nights.find_map(|date| {
            let fold = self.fold(date.to_datetime(time))?;
            (fold[0].timestamp() <= last && first <= fold[1].timestamp()).then(|| readable(fold))
        })
    }

    fn fold(&self, local: DateTime) -> Option<[ZonedDateTime; 2]> {
        let AmbiguousOffset::Fold { before, after } = self.0.to_ambiguous_zoned_datetime(local).offset()
        else {
            return None;
        };
        let at = |offset| local.to_zoned_datetime(TimeZone::fixed(offset)).ok();
        Some([at(before)?, at(after)?])
    }

    /// Whether the first is the same or behind the second; times of every day are compared with each other only.
    pub(super) fn is_not_before(&self, first: &Moment, second: &Moment) -> bool {
        let once = |moment: &Moment| match moment {
            Moment::Once(timestamp) => Some(*timestamp),
            Moment::Local(local) => Some(local.to_zoned_datetime(self.0.clone()).ok()?.timestamp()),
            Moment::Daily(_) => None,
        };
        match (first, second) {
            (Moment::Daily(first), Moment::Daily(second)) => first >= second,
            _ => once(first).zip(once(second)).is_some_and(|(first, second)| first >= second),
        }
    }

    /// Whether a time is before a moment.
    pub(super) fn is_before(&self, wall_us: u64, moment: &Moment) -> bool {
        let Some(zoned) = self.zoned(wall_us) else { return false };
        match moment {
            Moment::Once(timestamp) => zoned.timestamp() < *timestamp,
            Moment::Local(local) => zoned.datetime() < *local,
            Moment::Daily(time) => zoned.time() < *time,
        }
    }
}

fn readable(moments: [ZonedDateTime; 2]) -> [String; 2] {
    moments.map(|zoned| zoned.strftime("%FT%T%.f%:z").to_string())
}

/// RFC 3339 in UTC, for programs.
pub(super) fn utc(wall_us: u64) -> Option<String> {
    let timestamp = Timestamp::from_microsecond(i64::try_from(wall_us).ok()?).ok()?;
    Some(format!("{timestamp:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_US: u64 = 1_790_000_000_123_456; // 2026-09-21T14:13:20.123456Z

    #[test]
    fn what_people_type_is_a_time() {
        let zone = Zone::new(true);
        assert_eq!(zone.show(WALL_US), "2026-09-21 14:13:20.123456");
        assert_eq!(utc(WALL_US).unwrap(), "2026-09-21T14:13:20.123456Z");
        for (text, before) in [
            ("14:13", false),
            ("14:13:20.123456", false),
            ("14:13:20.123457", true),
            ("14:14", true),
            ("2026-09-21 14:13", false),
            ("2026-09-21 14:14", true),
            ("2026-09-22", true),
            ("2026-09-21T16:13:20+02:00", false),
            ("2026-09-21T16:13:21+02:00", true),
        ] {
            let moment = parse(text).unwrap();
            assert_eq!(zone.is_before(WALL_US, &moment), before, "{text}: {moment:?}");
        }
        for (first, second, want) in [
            ("14:13", "14:12", true),
            ("14:13", "14:13", true),
            ("14:13", "14:14", false),
            ("2026-09-22", "2026-09-21 23:00", true),
            ("2026-09-21", "2026-09-21T00:00:01Z", false),
            ("2026-09-22", "14:12", false),
        ] {
            let (first, second) = (parse(first).unwrap(), parse(second).unwrap());
            assert_eq!(zone.is_not_before(&first, &second), want, "{first} {second}");
        }
        let berlin = Zone(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
        let twice = |text: &str| berlin.readings(&parse(text).unwrap());
        let want = ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"].map(str::to_owned);
        assert_eq!(twice("2026-10-25 02:30"), Some(want.clone()));
        assert!(want.iter().all(|text| twice(text).is_none()), "each of them is one moment");
        assert_eq!(twice("2026-10-25 03:30"), None);
        let us = |text: &str| text.parse::<Timestamp>().unwrap().as_microsecond().cast_unsigned();
        let Moment::Daily(time) = parse("02:30").unwrap() else { panic!() };
        for (first, last, is_asked) in [
            ("2026-10-24T18:00:00Z", "2026-10-25T12:00:00Z", true),
            ("2026-10-25T00:31:00Z", "2026-10-25T00:32:00Z", true),
            ("2025-12-01T00:00:00Z", "2026-12-01T00:00:00Z", true),
            ("2026-10-24T18:00:00Z", "2026-10-25T00:29:00Z", false),
            ("2026-10-25T01:31:00Z", "2026-10-26T12:00:00Z", false),
            ("2026-03-28T18:00:00Z", "2026-03-29T18:00:00Z", false),
        ] {
            let found = berlin.readings_between(time, us(first), us(last));
            assert_eq!(found, is_asked.then(|| want.clone()), "{first} {last}");
        }
        for text in ["", "noon", "25:00", "2026-13-01"] {
            assert!(parse(text).unwrap_err().contains("expected 19:30"), "{text}");
        }
    }
}
