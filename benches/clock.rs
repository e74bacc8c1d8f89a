//! The one clock of the measurement.
//!
//! In: nothing. Out: CLOCK_MONOTONIC in nanoseconds, and sleeps until such a time.
//! Guarantees: presses, frames and the stamps in the records are all taken from the same clock, so their
//! differences are exact; nothing else in this program reads or waits for time by another way.

use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::{Timespec, clock_gettime};

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000 * MS;

/// Nanoseconds since boot, suspended time left out.
pub fn now() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// What this process has spent on a CPU. Its own schedstat lags behind by up to a tick; this does not.
pub fn own_cpu() -> u64 {
    nanos(clock_gettime(ClockId::ProcessCPUTime))
}

/// An absolute time, so that a signal in between makes no pause longer.
pub fn sleep_until(at: u64) {
    while clock_nanosleep_absolute(ClockId::Monotonic, &span(at)).is_err() {}
}

/// From now on.
pub fn sleep(nanos: u64) {
    sleep_until(now() + nanos);
}

/// For the time-out of `epoll_wait`.
pub fn span(nanos: u64) -> Timespec {
    Timespec { tv_sec: (nanos / SECOND) as i64, tv_nsec: (nanos % SECOND) as i64 }
}

fn nanos(time: Timespec) -> u64 {
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}
