//! Which old segments may go. In: every line of the log, what this start knows of the time, what the configuration allows. Out:
//! how many segments of the beginning. Guarantee: an age is only what is certain of it. Kernel time counts; the
//! wall clock only where a time server kept it, then and now. So a box whose clock stands in
//! 1970, or in 2099, loses nothing; nothing of the last 24 h that are certain goes, nor the last segment.
//!
//! A clock that nobody keeps can say anything, and so can the times of files. Then a log gets older only while the box runs.

use std::io;

use super::storage::Directory;
use crate::log::{ChainHash, Line, SegmentName};
use crate::record::{Fact, Record};

const DAY_US: u64 = 24 * 3600 * 1_000_000;
/// Segments that go at one start; each needs a record.
const EXPIRED_MAX: usize = 64;

/// What the configuration allows. With both limits a segment goes only when both allow it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetentionLimits {
    /// Everything of so many days stays.
    pub keep_days: Option<u64>,
    /// So many bytes stay.
    pub keep_bytes: Option<u64>,
}

/// This start.
#[derive(Clone, Debug)]
pub struct Now {
    /// The kernel's name for this boot.
    pub boot: String,
    /// µs of CLOCK_MONOTONIC.
    pub at_us: u64,
    /// µs since 1970, if a time server keeps the clock.
    pub wall_us: Option<u64>,
}

/// A segment, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its name.
    pub name: SegmentName,
    /// Its length.
    pub bytes: u64,
    /// Its last line: number and hash; none, if that is no line.
    pub last: Option<(u64, ChainHash)>,
    /// The boot of its last line, counted.
    boot: usize,
    /// When that boot had got to by then.
    at_us: u64,
    /// When it was written at the latest, µs since 1970, if that is known.
    wall_us: Option<u64>,
    /// The next segment goes on behind its last line.
    is_joined: bool,
}

impl Segment {
    /// The record that says that it goes; the mediator adds the state.
    pub fn note(&self) -> Option<Fact> {
        let name = self.name.to_string();
        let (last_seq, last_hash) = self.last?;
        let (first_segment, last_segment, last_hash) = (name.clone(), name, last_hash.to_string());
        let (boot, connected, part, parts) = (None, Vec::new(), 1, 1);
        Some(Fact::Expired { first_segment, last_segment, last_seq, last_hash, boot, connected, part, parts })
    }
}

/// Removes the oldest segment. The disk knows it before the next one goes: a power cut must not leave a hole.
///
/// # Errors
/// What the file system answered.
pub fn remove<D: Directory>(dir: &D, name: &str) -> io::Result<()> {
    dir.remove(name)?;
    dir.sync()
}

#[derive(Clone, Debug, Default)]
struct Boot {
    id: String,
    /// For so long it ran, at least.
    ran_us: u64,
}

/// The past of a log.
#[derive(Clone, Debug)]
pub struct History {
    segments: Vec<Segment>,
    boots: Vec<Boot>,
}

impl Default for History {
    fn default() -> Self {
        // A log without its beginning can begin in the middle of a boot.
        Self { segments: Vec::new(), boots: vec![Boot::default()] }
    }
}

impl History {
    /// Another segment of the log, behind those before.
    pub fn take(&mut self, name: SegmentName, bytes: &[u8]) {
        let mut last = None;
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(0..) {
            // What is no line says nothing; it is for recovery to say so.
            let parsed = Line::parse(line).ok();
            if number == 0
                && let Some(before) = self.segments.last_mut()
            {
                let follows = |line: &Line<'_>, (seq, hash)| line.is_next(seq + 1) && line.follows(&hash);
                before.is_joined = parsed.zip(before.last).is_some_and(|(line, last)| follows(&line, last));
            }
            if let Some(line) = parsed {
                self.line(&line);
            }
            if !line.is_empty() {
                last = parsed.map(|line| (line.seq, line.hash));
            }
        }
        let (boot, length) = (self.boots.len() - 1, bytes.len() as u64);
        let at_us = self.boots[boot].ran_us;
        let segment = Segment { name, bytes: length, last, boot, at_us, wall_us: None, is_joined: false };
        self.segments.push(segment);
    }

    fn line(&mut self, line: &Line<'_>) {
        let has_words = matches!(line.kind(), Some("start" | "anchor"));
        match has_words.then(|| line.record()) {
            Some(Ok(Record { fact: Fact::Start { boot, .. }, .. })) => self.start(boot),
            Some(Ok(Record { fact: Fact::Anchor { wall_us, synced: Some(true), .. }, at_us, .. })) => {
                self.anchor(at_us, wall_us);
            }
            _ => {}
        }
        // A loss that a start found stands before its `start`, and has the time of another boot.
        let at_us = line.at_us().filter(|_| line.kind() != Some("lost"));
        if let (Some(boot), Some(at_us)) = (self.boots.last_mut(), at_us) {
            boot.ran_us = boot.ran_us.max(at_us);
        }
    }

    fn start(&mut self, id: String) {
        match self.boots.last_mut() {
            // The beginning of an unknown boot may be of this one.
            Some(boot) if boot.id == id || boot.id.is_empty() => boot.id = id,
            _ => self.boots.push(Boot { id, ran_us: 0 }),
        }
    }

    /// What was written before it was not written after it.
    fn anchor(&mut self, at_us: u64, wall_us: u64) {
        let current = self.boots.len() - 1;
        for segment in self.segments.iter_mut().rev().take_while(|segment| segment.wall_us.is_none()) {
            let since_us = if segment.boot == current { at_us.saturating_sub(segment.at_us) } else { 0 };
            segment.wall_us = Some(wall_us.saturating_sub(since_us));
        }
    }

    /// For how long a segment has not been written, at least, µs.
    fn age_us(&self, segment: &Segment, now: &Now) -> u64 {
        let last = self.boots.len() - 1;
        let is_running = |boot: usize| boot == last && self.boots[boot].id == now.boot;
        let by_wall = now.wall_us.zip(segment.wall_us);
        let by_wall = by_wall.map_or(0, |(now_us, wall_us)| now_us.saturating_sub(wall_us));
        if is_running(segment.boot) {
            return now.at_us.saturating_sub(segment.at_us).max(by_wall);
        }
        let own_us = self.boots[segment.boot].ran_us - segment.at_us;
        let between = (segment.boot + 1..=last).filter(|boot| !is_running(*boot));
        let between = between.map(|boot| self.boots[boot].ran_us).fold(own_us, u64::saturating_add);
        between.saturating_add(now.at_us).max(by_wall)
    }

    /// The segments that may go, the oldest first.
    pub fn expired(&self, limits: RetentionLimits, now: &Now) -> &[Segment] {
        let mut left: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let before_last = self.segments.split_last().map_or(&[][..], |(_, older)| older);
        let may_go = |segment: &&Segment| {
            left -= segment.bytes;
            let age_us = self.age_us(segment, now);
            let is_old = limits.keep_days.is_none_or(|days| age_us >= days.saturating_mul(DAY_US));
            let is_much = limits.keep_bytes.is_none_or(|keep| left >= keep);
            segment.is_joined && age_us >= DAY_US && is_old && is_much
        };
        let count = before_last.iter().take(EXPIRED_MAX).take_while(may_go).count();
        let is_asked = limits.keep_days.is_some() || limits.keep_bytes.is_some();
        if is_asked { &self.segments[..count] } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::encode;

    /// A log of segments, each of so many facts with their times.
    fn history(segments: &[&[(u64, Fact)]]) -> History {
        let (mut history, mut head, mut seq) = (History::default(), ChainHash::START, 0);
        for (facts, number) in segments.iter().zip(1..) {
            let (name, mut lines) = (SegmentName { number, first_seq: seq + 1 }, Vec::new());
            for (at_us, fact) in *facts {
                seq += 1;
                encode(&Record { seq, at_us: *at_us, fact: fact.clone() }, &mut head, &mut lines);
            }
            history.take(name, &lines);
        }
        history
    }

    fn start(boot: &str) -> Fact {
        let (log, version) = (String::new(), String::new());
        Fact::Start { log, boot: boot.into(), version, wall_us: 9, settle_us: 0, realtime: false }
    }

    fn anchor(day: u64, synced: Option<bool>) -> Fact {
        Fact::Anchor { wall_us: day * DAY_US, bracket_us: 1, synced }
    }

    fn expired(
        history: &History,
        keep_days: Option<u64>,
        keep_bytes: Option<u64>,
        now: (&str, u64, Option<u64>),
    ) -> usize {
        let (boot, days, wall) = now;
        let now = Now { boot: boot.into(), at_us: days * DAY_US, wall_us: wall.map(|day| day * DAY_US) };
        history.expired(RetentionLimits { keep_days, keep_bytes }, &now).len()
    }

    const STOP: Fact = Fact::Stop {};

    #[test]
    fn the_running_evening_stays_whatever_the_wall_clock_says() {
        // Written in 1970, and now a time server has set the clock.
        let log = history(&[&[(5, start("a")), (6, anchor(0, None))], &[(7, STOP)], &[(8, STOP)]]);
        for now in [("a", 0, Some(20_000)), ("a", 0, None), ("b", 0, None), ("b", 0, Some(u64::MAX / DAY_US))]
        {
            assert_eq!(expired(&log, Some(1), None, now), 0, "{now:?}");
            assert_eq!(expired(&log, None, Some(0), now), 0, "{now:?}");
        }
    }

    #[test]
    fn a_boot_that_runs_for_weeks_is_measured_by_its_own_clock() {
        let log = history(&[
            &[(5, start("a"))],
            &[(10 * DAY_US, STOP)],
            &[(19 * DAY_US, STOP)],
            &[(20 * DAY_US, STOP)],
        ]);
        assert_eq!(expired(&log, Some(5), None, ("a", 20, None)), 2);
        assert_eq!(expired(&log, Some(15), None, ("a", 20, None)), 1);
        assert_eq!(expired(&log, Some(1), None, ("a", 20, None)), 3);
        assert_eq!(expired(&log, Some(1), None, ("a", 0, None)), 0, "a clock that runs backwards");
    }

    #[test]
    fn without_a_time_server_a_log_ages_while_the_box_runs() {
        let log = history(&[
            &[(5, start("a")), (DAY_US, STOP)],
            &[(6, start("b")), (2 * DAY_US, STOP)],
            &[(6, start("c"))],
        ]);
        assert_eq!(expired(&log, Some(3), None, ("d", 0, None)), 0, "two days are certain");
        assert_eq!(expired(&log, Some(3), None, ("d", 1, None)), 1);
        assert_eq!(expired(&log, Some(3), None, ("c", 1, None)), 1, "the same boot");
        assert_eq!(expired(&log, Some(3), None, ("d", 3, None)), 2);
    }

    #[test]
    fn a_clock_that_a_time_server_keeps_counts_then_and_now() {
        let synced = Some(true);
        let log = history(&[
            &[(5, start("a")), (6, anchor(70, None))],
            &[(7, start("b")), (8, anchor(1000, synced))],
            &[(9, start("c")), (9, anchor(1010, synced))],
            &[(9, start("d"))],
        ]);
        // What has no right time of its own was written before what has one.
        assert_eq!(expired(&log, Some(20), None, ("e", 0, Some(1019))), 0);
        assert_eq!(expired(&log, Some(20), None, ("e", 0, Some(1020))), 1);
        assert_eq!(expired(&log, Some(20), None, ("e", 0, Some(1030))), 2, "the third has nothing behind it");
        assert_eq!(expired(&log, Some(20), None, ("e", 0, None)), 0, "now nobody keeps it");
    }

    #[test]
    fn all_limits_must_allow_it_and_what_does_not_join_stays() {
        let facts: Vec<(u64, Fact)> = (0..4).map(|day| (day * DAY_US, start("a"))).collect();
        let segments: Vec<&[(u64, Fact)]> = facts.chunks(1).collect();
        let mut log = history(&segments);
        let bytes = log.segments[0].bytes;
        let now = ("a", 30, None);
        assert_eq!(expired(&log, Some(3), None, now), 3, "the last one stays");
        assert_eq!(expired(&log, None, None, now), 0, "nobody asked");
        assert_eq!(expired(&log, Some(3), Some(3 * bytes), now), 1);
        assert_eq!(expired(&log, Some(29), Some(0), now), 2);
        log.segments[1].is_joined = false;
        assert_eq!(expired(&log, Some(3), None, now), 1, "what is left must follow from what is named");
    }
}
