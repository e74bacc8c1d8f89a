//! Edges that are too many to be told one by one. In: edges of buttons. Out: their sum per button. Guarantee: a sum is told
//! at most [`SUM_US`] after its first edge, so a button that flickers costs one record a second.

use std::collections::BTreeMap;

use buzzer_core::time::{KernelTime, Micros};

/// Edges are summed for so long.
const SUM_US: Micros = Micros::from_ms(1000);

/// The sums of all buttons, each known by its device and its number.
#[derive(Debug, Default)]
pub struct Sums(BTreeMap<(u32, u16), Sum>);

/// What one button did.
#[derive(Debug)]
pub struct Sum {
    /// How often.
    pub edges: u32,
    /// When first.
    pub since: KernelTime,
    /// When last.
    pub last: KernelTime,
    /// Where that left it.
    pub down: bool,
}

/// Which sums are taken.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// Those that are due at this time.
    Due(KernelTime),
    /// Those of this device.
    Of(u32),
    /// All.
    All,
}

impl Sums {
    /// Adds one.
    pub fn add(&mut self, button: (u32, u16), at: KernelTime, down: bool) {
        let sum = self.0.entry(button).or_insert(Sum { edges: 0, since: at, last: at, down });
        sum.edges = sum.edges.saturating_add(1);
        sum.last = sum.last.max(at);
        sum.down = down;
    }

    /// When each of them is due.
    pub fn due(&self) -> impl Iterator<Item = KernelTime> {
        self.0.values().map(|sum| sum.since + SUM_US)
    }

    /// Takes some, in the order of their buttons.
    pub fn take(&mut self, which: Which) -> Vec<((u32, u16), Sum)> {
        let taken = |(device, _): &(u32, u16), sum: &mut Sum| match which {
            Which::Due(now) => sum.since + SUM_US <= now,
            Which::Of(of) => *device == of,
            Which::All => true,
        };
        self.0.extract_if(.., taken).collect()
    }
}
