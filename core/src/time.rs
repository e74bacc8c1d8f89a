//! Kernel time. In: seconds and microseconds as the kernel writes them. Out: [`KernelTime`], a point on
//! CLOCK_MONOTONIC, and [`Micros`], a span. Guarantee: nothing here reads a clock, and no operation panics.
//!
//! The unit is the microsecond because that is all there is: evdev truncates the stamp to µs
//! (`drivers/input/evdev.c`, `evdev_pass_values`), so equal stamps happen and mean "cannot be told apart".

use std::fmt;
use std::ops::{Add, Sub};

/// A point in time: µs on CLOCK_MONOTONIC of this boot. Two boots cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelTime(u64);

/// A span of time in µs, 0 to 2^64-1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(u64);

impl KernelTime {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// A point given in µs since the clock started.
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// The time of a `struct input_event`. `None` if the seconds are negative or overflow, or the
    /// microseconds are outside 0..=999 999: no kernel writes that.
    pub fn from_timeval(sec: i64, usec: i64) -> Option<Self> {
        let usec = u64::try_from(usec).ok().filter(|usec| *usec <= 999_999)?;
        u64::try_from(sec).ok()?.checked_mul(1_000_000)?.checked_add(usec).map(Self)
    }

    /// µs since the clock started.
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it was not earlier.
    pub const fn since(self, earlier: Self) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

impl Micros {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `us` microseconds.
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// A span of `ms` milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1000))
    }

    /// The span in µs.
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// In ms, with µs only where there are some: `8`, `0.125`.
    pub fn in_ms(self) -> String {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Add<Micros> for KernelTime {
    type Output = Self;
    fn add(self, span: Micros) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Add for Micros {
    type Output = Self;
    fn add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Micros> for KernelTime {
    type Output = Self;
    fn sub(self, span: Micros) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for KernelTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeval_outside_the_kernels_range_is_refused() {
        for (sec, usec, want) in [
            (0, 0, Some(0)),
            (12, 999_999, Some(12_999_999)),
            (12, 1_000_000, None),
            (12, -1, None),
            (-1, 0, None),
            (i64::MAX, 0, None),
        ] {
            assert_eq!(KernelTime::from_timeval(sec, usec).map(KernelTime::as_us), want, "{sec}.{usec}");
        }
    }
}
