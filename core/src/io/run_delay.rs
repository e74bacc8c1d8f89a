//! How late the scheduler let this thread run. In: `/proc/thread-self/schedstat`. Out: the time, since a mark, for which
//! the thread was ready to run and did not. Guarantee: read on the thread that made it; where the kernel keeps no such
//! count it says that the thread was never late, and an old stamp then counts as stale, which never wins.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::time::Micros;

/// The thread's run delay.
#[derive(Debug)]
pub struct RunDelay {
    file: Option<File>,
    mark_us: u64,
}

impl RunDelay {
    /// Of the calling thread; with it, if it is not counted, why.
    pub fn new() -> (Self, Option<io::Error>) {
        let (file, error) = match File::open("/proc/thread-self/schedstat") {
            Ok(file) => (Some(file), None),
            Err(error) => (None, Some(error)),
        };
        let mut delay = Self { file, mark_us: 0 };
        delay.mark();
        (delay, error)
    }

    /// From here on is counted.
    pub fn mark(&mut self) {
        self.mark_us = self.total_us();
    }

    /// The delay since the mark.
    pub fn since_mark(&self) -> Micros {
        Micros::from_us(self.total_us().saturating_sub(self.mark_us))
    }

    /// "Time spent on the cpu, time spent waiting on a runqueue (ns), timeslices" (Documentation/scheduler/sched-stats.rst).
    fn total_us(&self) -> u64 {
        let mut text = [0; 64];
        let read = self.file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let text = std::str::from_utf8(&text[..read]).unwrap_or("");
        let waited_ns: u64 = text.split(' ').nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0);
        waited_ns / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sys;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::sync::Barrier;
    use std::thread;

    /// Keeps the calling thread on one processor, the same for all who ask.
    fn share_one_processor() {
        let all = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap();
        let mut one = CpuSet::new();
        one.set(first);
        sched_setaffinity(None, &one).unwrap();
    }

    #[test]
    fn a_thread_that_must_wait_for_its_processor_sees_it() {
        let wait_us = Micros::from_ms(20);
        let start = Barrier::new(2);
        thread::scope(|scope| {
            let counts = scope.spawn(|| {
                share_one_processor();
                let (mut delay, missing) = RunDelay::new();
                assert!(missing.is_none(), "{missing:?}");
                start.wait();
                // Two that never sleep on one processor: each waits while the other runs.
                let end = sys::now() + Micros::from_ms(20_000);
                while delay.since_mark() < wait_us {
                    assert!(sys::now() < end, "it never waited");
                }
                let before = delay.since_mark();
                delay.mark();
                assert!(delay.since_mark() < before, "a mark begins anew");
            });
            let start = &start;
            scope.spawn(move || {
                share_one_processor();
                start.wait();
                while !counts.is_finished() {
                    std::hint::spin_loop();
                }
            });
        });
    }
}
