//! Figures from samples.
//!
//! In: nanoseconds, one per press. Out: percentiles, medians, ratios.
//! Guarantees: a percentile is one of the samples (nearest rank), never an interpolation, so a tail that is
//! printed did happen.

/// All samples of one kind, ready to be asked for percentiles.
#[derive(Debug, Clone, Default)]
pub struct Sorted(Vec<u64>);

impl Sorted {
    /// Sorts them.
    pub fn new(mut samples: Vec<u64>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }

    /// The smallest sample that `share` (0 to 1) of all samples do not exceed.
    pub fn percentile(&self, share: f64) -> Option<u64> {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied()
    }

    /// The largest.
    pub fn max(&self) -> Option<u64> {
        self.0.last().copied()
    }

    /// All of them, ascending.
    pub fn samples(&self) -> &[u64] {
        &self.0
    }
}

/// The middle value; of an even number the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let (upper, lower) = (values.len() / 2, values.len().checked_sub(1)? / 2);
    Some((values[lower] + values[upper]) / 2.0)
}

/// Small, seeded, good enough to keep presses from falling in step with a timer (SplitMix64).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
