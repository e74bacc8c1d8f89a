//! Photo finishes. In: presses with their stamps and uncertainties, as they are told. Out: which earlier presses one of
//! them may in truth precede. Guarantee: the order of the stamps is not touched; a contest is between different
//! devices only, for presses of one device in different reports are certain; memory is bounded.
//!
//! A stamp is taken when the kernel learns of a press; the press was made up to the device's uncertainty earlier. So of
//! two presses A before B only B's device matters: B may have been first if its stamp follows by less than B's
//! uncertainty. A late press also contests what was told already and carries a later stamp.

use std::collections::VecDeque;

/// Presses that are remembered.
const RECENT_MAX: usize = 1024;
/// Presses that one press names: those with the earliest stamps. A record has to stay a short line.
const NAMED_MAX: usize = 64;

/// The presses that can still be contested.
#[derive(Clone, Debug, Default)]
pub struct Contests {
    /// By stamp.
    recent: VecDeque<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at_us: u64,
    seq: u64,
    device: u32,
}

impl Contests {
    /// The `seq`s of the presses that this one contests, earliest stamp first. To be asked for every press of a tie
    /// before any of them is told: a tie is no contest.
    pub fn of(&self, at_us: u64, device: u32, uncertainty_us: u64) -> Vec<u64> {
        let from = self.recent.partition_point(|told| told.at_us.saturating_add(uncertainty_us) <= at_us);
        let later_or_close = self.recent.range(from..).filter(|told| told.device != device);
        later_or_close.map(|told| told.seq).take(NAMED_MAX).collect()
    }

    /// This press was told.
    pub fn tell(&mut self, at_us: u64, device: u32, seq: u64) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        let place = self.recent.partition_point(|told| told.at_us <= at_us);
        self.recent.insert(place, Told { at_us, seq, device });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_later_devices_uncertainty_matters() {
        let mut contests = Contests::default();
        contests.tell(10_000, 1, 7);
        for (at_us, device, uncertainty_us, want, why) in [
            (14_999, 2, 5000, vec![7], "may have been 1 µs earlier"),
            (15_000, 2, 5000, vec![], "cannot have been earlier"),
            (10_001, 2, 0, vec![], "a device without doubt"),
            (10_001, 1, 5000, vec![], "one device's own reports are certain"),
            (9_000, 2, 0, vec![7], "late: its stamp precedes"),
            (10_000, 2, 0, vec![], "equal and without doubt"),
            (10_000, 2, 1, vec![7], "equal, told in another group"),
        ] {
            assert_eq!(contests.of(at_us, device, uncertainty_us), want, "{why}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_earliest_are_named() {
        let mut contests = Contests::default();
        for seq in 0..3000 {
            contests.tell(1_000_000 + seq, 1, seq);
        }
        assert_eq!(contests.recent.len(), RECENT_MAX);
        let named = contests.of(1_003_000, 2, 1_000_000);
        assert_eq!((named.len(), named[0]), (NAMED_MAX, 3000 - RECENT_MAX as u64));
    }
}
