//! How late this thread was let run. In: `/proc/thread-self/schedstat`, how often it slept, and whether a wait was interrupted.
//! Out: the time, since a mark, for which the thread may have had something to do and did not run ([`Late`]). Guarantee: read
//! on the thread that made it; a stop, which the kernel counts neither as running nor as ready to run, is told apart from
//! a sleep, wherever it comes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::io::sys;
use crate::press::waits::Late;
use crate::time::{KernelTime, Micros};

/// A kernel that has this is PREEMPT_RT. There a thread sleeps for a spinlock too, so how often it slept says nothing.
const REALTIME: &str = "/sys/kernel/realtime";

/// The thread's run delay.
#[derive(Debug)]
pub struct RunDelay {
    /// `None`: the kernel keeps no count.
    file: Option<File>,
    is_realtime: bool,
    mark: Counts,
    mark_slept: u64,
    marked: KernelTime,
    interrupted: bool,
}

/// What the kernel counts of a thread.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// For how long it was ready to run and did not.
    waited_us: u64,
    /// How often it was let run.
    slices: u64,
}

impl RunDelay {
    /// Of the calling thread; with it, if it is not counted, why.
    pub fn new() -> (Self, Option<io::Error>) {
        let counted = File::open("/proc/thread-self/schedstat").and_then(|file| match counts(&file) {
            Some(_) => Ok(file),
            None => Err(io::Error::other("the kernel does not count it (delayacct, schedstats)")),
        });
        let (file, error) = match counted {
            Ok(file) => (Some(file), None),
            Err(error) => (None, Some(error)),
        };
        let is_realtime = Path::new(REALTIME).exists();
        let (mark, marked) = (Counts::default(), KernelTime::ZERO);
        let mut delay = Self { file, is_realtime, mark, mark_slept: 0, marked, interrupted: false };
        delay.mark();
        (delay, error)
    }

    /// Counts from here on; what there was since the mark before. Between two marks the thread sleeps once at most, in its
    /// wait.
    pub fn mark(&mut self) -> Late {
        let counts = self.counts();
        let late = self.late(counts);
        (self.mark, self.mark_slept) = (counts.unwrap_or_default(), sys::slept());
        self.marked = sys::now();
        self.interrupted = false;
        late
    }

    /// A wait ended with EINTR. The signals that have a handler here end the daemon, so this was a stop.
    pub const fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// The delay since the mark.
    pub fn since_mark(&self) -> Late {
        self.late(self.counts())
    }

    /// What is counted since the mark, however often the thread slept.
    pub fn counted_us(&self) -> Micros {
        self.since(self.counts().unwrap_or_default())
    }

    fn since(&self, counts: Counts) -> Micros {
        Micros::from_us(counts.waited_us.saturating_sub(self.mark.waited_us))
    }

    fn counts(&self) -> Option<Counts> {
        self.file.as_ref().and_then(counts)
    }

    fn late(&self, counts: Option<Counts>) -> Late {
        // A stop counts as a sleep that is not the wait's: a signal that comes when the wait has something to name already
        // stops the thread on its way out, and there is no EINTR. Who was let run once has slept once at most.
        let slices = counts.map_or(0, |counts| counts.slices.saturating_sub(self.mark.slices));
        let is_stopped = || slices > 1 && sys::slept().saturating_sub(self.mark_slept) > 1;
        if self.interrupted || (!self.is_realtime && is_stopped()) {
            return Late::Stopped(sys::now().since(self.marked));
        }
        counts.map_or(Late::Unknown, |counts| Late::Counted(self.since(counts)))
    }
}

/// "Time spent on the cpu, time spent waiting on a runqueue (ns), timeslices" (Documentation/scheduler/sched-stats.rst); all
/// of them 0 where nothing is counted, for a thread that reads this has run.
fn counts(file: &File) -> Option<Counts> {
    let mut text = [0; 64];
    let read = file.read_at(&mut text, 0).ok()?;
    let mut fields = std::str::from_utf8(&text[..read]).ok()?.split_ascii_whitespace();
    let mut field = || fields.next()?.parse::<u64>().ok();
    let (ran_ns, waited_ns, slices) = (field()?, field()?, field()?);
    ((ran_ns, slices) != (0, 0)).then_some(Counts { waited_us: waited_ns / 1000, slices })
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
                while delay.since_mark().excuse_us() < wait_us {
                    assert!(sys::now() < end, "it never waited");
                }
                let before = delay.since_mark().excuse_us();
                delay.mark();
                assert!(delay.since_mark().excuse_us() < before, "a mark begins anew");
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
