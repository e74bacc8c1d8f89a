//! How often reports come. In: the stamps of one device's reports. Out: [`Cadence`]: how many, the smallest and the
//! usual interval between them. Guarantee: an interval counts only if nothing was lost in it and nothing says that the device
//! had nothing to report meanwhile.
//!
//! A device reports only what changes, so most intervals are those of the hand, not of the bus. A stick in motion, or
//! many buttons at once, has something new at every poll: then the interval is the poll period.

use crate::time::{KernelTime, Micros};

/// Longer intervals are pauses of the hand. An estimate: a finger holds a button for longer than this, and no device
/// made for play is known to be polled more slowly.
pub const PAUSE: Micros = Micros::from_ms(40);
/// Fewer intervals show nothing: a press and its bounces make three or four.
pub const INTERVALS_MIN: usize = 20;
/// Intervals this much apart are the same one with jitter: stamps are taken in a softirq.
const JITTER: Micros = Micros::from_us(200);

/// The stamps seen so far.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    reports: usize,
    /// The last report, if nothing was lost since.
    last: Option<KernelTime>,
    intervals: Vec<Micros>,
}

/// What the stamps say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Reports seen.
    pub reports: usize,
    /// Intervals between consecutive ones that were no pause.
    pub intervals: usize,
    /// The smallest of these.
    pub smallest_us: Option<Micros>,
    /// The one that most of these are close to; `None` below [`INTERVALS_MIN`].
    pub usual_us: Option<Micros>,
}

impl Watch {
    /// A report with this stamp came.
    pub fn handle_report(&mut self, at: KernelTime) {
        let interval = self.last.map(|last| at.since(last));
        // One report in several frames: the kernel cuts at 8 values, and gives all the same stamp.
        if interval == Some(Micros::ZERO) {
            return;
        }
        self.reports += 1;
        self.last = Some(at);
        self.intervals.extend(interval.filter(|interval| *interval <= PAUSE));
    }

    /// Reports were lost: the next interval says nothing.
    pub fn handle_loss(&mut self) {
        self.last = None;
    }

    /// What it comes to.
    pub fn cadence(&self) -> Cadence {
        let mut sorted = self.intervals.clone();
        sorted.sort_unstable();
        Cadence {
            reports: self.reports,
            intervals: sorted.len(),
            smallest_us: sorted.first().copied(),
            usual_us: (sorted.len() >= INTERVALS_MIN).then(|| usual(&sorted)).flatten(),
        }
    }
}

/// The middle of the densest stretch. A mean would follow the pauses of the hand, a minimum one late softirq.
fn usual(sorted: &[Micros]) -> Option<Micros> {
    let mut densest = &sorted[..0];
    let mut end = 0;
    for (start, first) in sorted.iter().enumerate() {
        let reach = first.as_us() + first.as_us() / 4 + JITTER.as_us();
        while sorted.get(end).is_some_and(|interval| interval.as_us() <= reach) {
            end += 1;
        }
        if end - start > densest.len() {
            densest = &sorted[start..end];
        }
    }
    densest.get(densest.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn watched(stamps: impl IntoIterator<Item = u64>) -> Watch {
        let mut watch = Watch::default();
        for at in stamps {
            watch.handle_report(KernelTime::from_us(at));
        }
        watch
    }

    /// Stamps with these intervals.
    fn stamps(intervals: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut at = 1_000_000;
        let next = |interval| {
            at += interval;
            at
        };
        intervals.into_iter().map(next).collect()
    }

    fn usual_of(intervals: impl IntoIterator<Item = u64>) -> Option<u64> {
        watched(stamps(std::iter::once(0).chain(intervals))).cadence().usual_us.map(Micros::as_us)
    }

    #[test]
    fn continuous_motion_shows_the_period() {
        assert_eq!(usual_of([8_000; 100]), Some(8_000));
        // A poll without news now and then, a late softirq, pauses of the hand.
        let lively = (0..100).map(|i| match i % 10 {
            0 => 16_000,
            1 => 9_000,
            2 => 7_000,
            3 => 700_000,
            _ => 8_000,
        });
        assert_eq!(usual_of(lively), Some(8_000));
        assert_eq!(usual_of((0..100).map(|i| 900 + i % 3 * 100)), Some(1_000));
    }

    #[test]
    fn of_two_equal_heaps_the_smaller_counts() {
        assert_eq!(usual_of((0..40).map(|i| if i % 2 == 0 { 8_000 } else { 16_000 })), Some(8_000));
    }

    #[test]
    fn too_little_shows_nothing() {
        let nothing = Cadence { reports: 0, intervals: 0, smallest_us: None, usual_us: None };
        assert_eq!(Watch::default().cadence(), nothing);
        assert_eq!(watched([5]).cadence(), Cadence { reports: 1, ..nothing });
        // Presses by hand: reports, but none in a row.
        let slow = watched(stamps([150_000; 50])).cadence();
        assert_eq!(slow, Cadence { reports: 50, ..nothing });
        assert_eq!(usual_of([8_000; INTERVALS_MIN - 1]), None);
        assert_eq!(usual_of([8_000; INTERVALS_MIN]), Some(8_000));
        let edge = watched(stamps([0, PAUSE.as_us(), PAUSE.as_us() + 1])).cadence();
        assert_eq!((edge.intervals, edge.smallest_us), (1, Some(PAUSE)));
    }

    #[test]
    fn a_report_cut_in_two_is_one() {
        let cadence = watched([0, 8_000, 8_000, 8_000, 16_000]).cadence();
        assert_eq!((cadence.reports, cadence.intervals), (3, 2));
        assert_eq!(cadence.smallest_us, Some(Micros::from_ms(8)));
    }

    #[test]
    fn what_was_lost_makes_no_interval() {
        let mut watch = watched([0, 8_000]);
        watch.handle_loss();
        watch.handle_report(KernelTime::from_us(24_000));
        watch.handle_report(KernelTime::from_us(32_000));
        let cadence = watch.cadence();
        assert_eq!((cadence.reports, cadence.intervals), (4, 2));
        assert_eq!(cadence.smallest_us, Some(Micros::from_ms(8)));
    }

    proptest! {
        // A period that most intervals show is found, to within its jitter, among intervals of any length.
        #[test]
        fn the_period_is_found_in_noise(
            period in 500u64..33_000,
            noise in proptest::collection::vec(1u64..200_000, 0..40),
            jitter in proptest::collection::vec(0u64..200, 60),
        ) {
            let mut intervals = noise;
            for (at, jitter) in jitter.iter().enumerate() {
                intervals.insert(at * 7 % (intervals.len() + 1), period - 100 + jitter);
            }
            let usual = usual_of(intervals).unwrap();
            prop_assert!(usual.abs_diff(period) <= period / 4 + JITTER.as_us(), "{usual} for {period}");
        }
    }
}
