//! A clock that stands still. In: a time. Out: the clocks of one read. Guarantee: the reader was never kept waiting.

use buzzer_core::press::stamp::ReadClock;
use buzzer_core::time::{KernelTime, Micros};

/// It is this time, before, during and after the read.
#[derive(Clone, Copy, Debug)]
pub struct Still(pub KernelTime);

impl ReadClock for Still {
    fn pass(&self) -> KernelTime {
        self.0
    }

    fn read(&self) -> KernelTime {
        self.0
    }

    fn ran_late_us(&self) -> Micros {
        Micros::ZERO
    }

    fn empty_until(&self) -> KernelTime {
        self.0
    }
}
