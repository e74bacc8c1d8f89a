//! Keeps the server thread on the reader's core. In: the core on which the reader last ran, and how long this thread
//! waited for its own. Out: this thread's affinity. Guarantee: nothing is followed unless the reader has real-time
//! priority (it then takes the core from this thread at once; without it a long fan-out could hold the reader up); a
//! reader that only visits a core is not followed; on a core that others want too the scheduler chooses again.
//!
//! Why: to wake another core costs more than all work on a press. In a virtual machine with 2 quiet cores one client had
//! its frame 100 µs after the press with the scheduler's choice of cores and after 19 µs with both threads on one; the
//! CPU time of a press fell from 110 to 22 µs (`cargo bench -p buzzer-benches -- --clients 1 --free`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use buzzer_core::io::reader::reader_stats::ReaderStats;
use buzzer_core::io::reader::run_delay::RunDelay;
use buzzer_core::time::Micros;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Turns for which the reader must have been elsewhere.
const TURNS_ELSEWHERE: u32 = 16;
/// Turns between two looks at the own delay, which cost a system call each.
const TURNS_LOOK: u32 = 64;
/// A thread that waited for longer than this between two looks has no core for itself: the wake-up of another one would
/// have cost less.
const DELAY_MAX: Micros = Micros::from_ms(5);
/// Turns for which the scheduler chooses then: some minutes of a quiz, a second of a flood.
const TURNS_REST: u32 = 4096;

/// The calling thread's affinity.
#[derive(Debug)]
pub(crate) struct Follower {
    reader: Arc<ReaderStats>,
    /// Where this process may run.
    allowed: CpuSet,
    delay: RunDelay,
    /// The core this thread is held to.
    held: Option<u32>,
    turns_elsewhere: u32,
    turns_held: u32,
    turns_rest: u32,
}

impl Follower {
    /// Of a thread that follows this reader; `None` where there is nothing to gain or it is not safe.
    pub(crate) fn new(reader: &Arc<ReaderStats>, is_realtime: bool) -> Option<Self> {
        let allowed = sched_getaffinity(None).ok().filter(|cores| is_realtime && cores.count() > 1)?;
        Some(Self {
            reader: Arc::clone(reader),
            allowed,
            delay: RunDelay::new().0,
            held: None,
            turns_elsewhere: 0,
            turns_held: 0,
            turns_rest: 0,
        })
    }

    /// A turn ends. To be called on the thread that follows.
    pub(crate) fn follow(&mut self) {
        if self.turns_rest > 0 {
            self.turns_rest -= 1;
            return;
        }
        let core = self.reader.core.load(Ordering::Relaxed);
        if self.held == Some(core) {
            self.turns_elsewhere = 0;
            self.turns_held += 1;
            if self.turns_held == TURNS_LOOK {
                self.look();
            }
            return;
        }
        self.turns_elsewhere += 1;
        if self.turns_elsewhere == TURNS_ELSEWHERE {
            let mut cores = CpuSet::new();
            cores.set(core as usize);
            self.hold(&cores, Some(core));
            self.delay.mark();
        }
    }

    /// Whether the core is worth it.
    fn look(&mut self) {
        self.turns_held = 0;
        if self.delay.counted_us() > DELAY_MAX {
            self.hold(&self.allowed.clone(), None);
            self.turns_rest = TURNS_REST;
        }
        self.delay.mark();
    }

    fn hold(&mut self, cores: &CpuSet, held: Option<u32>) {
        // Fails if the core has gone or is forbidden by now; the scheduler's choice is good enough.
        self.held = sched_setaffinity(None, cores).ok().and(held);
        (self.turns_elsewhere, self.turns_held) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Vec<usize> {
        let cores = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect()
    }

    #[test]
    fn a_core_is_followed_when_the_reader_stays_there() {
        // A thread of its own, because affinity is a thread's.
        let body = || {
            let allowed = held();
            let reader = Arc::new(ReaderStats::default());
            assert!(Follower::new(&reader, false).is_none(), "the reader could not take its core back");
            let Some(mut follower) = Follower::new(&reader, true) else {
                assert_eq!(allowed.len(), 1);
                eprintln!("left out: following the reader: this machine has one core");
                return;
            };
            let turns = |follower: &mut Follower, core: usize, count: u32| {
                reader.core.store(core as u32, Ordering::Relaxed);
                (0..count).for_each(|_| follower.follow());
                held()
            };
            let [here, there] = [allowed[0], allowed[1]];
            assert_eq!(turns(&mut follower, here, TURNS_ELSEWHERE - 1), allowed);
            assert_eq!(turns(&mut follower, here, 1), [here]);
            assert_eq!(turns(&mut follower, there, TURNS_ELSEWHERE - 1), [here], "a visit");
            assert_eq!(turns(&mut follower, here, 1), [here]);
            assert_eq!(turns(&mut follower, there, TURNS_ELSEWHERE), [there]);
        };
        std::thread::spawn(body).join().unwrap();
    }
}
