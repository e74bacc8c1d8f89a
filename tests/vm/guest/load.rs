//! A machine that is busy: one loop on each CPU that never rests.
//!
//! Enters how many CPUs and with which priority; leaves when dropped. A thread inherits the scheduling of the one that
//! starts it, so each loop asks for its own priority, and a load that is to be fair is started by an ordinary thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use buzzer_core::io::sys;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::deadline::{Outcome, Why, until};

pub(crate) const CPUS: usize = 2;

/// Loops that run until this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    enough: Arc<AtomicBool>,
    loops: Vec<JoinHandle<()>>,
}

impl Load {
    /// Ordinary loops: everybody else gets a share.
    pub(crate) fn fair() -> Outcome<Self> {
        Self::start(None)
    }

    /// Loops of real-time priority: nobody below gets anything.
    pub(crate) fn starving(priority: i32) -> Outcome<Self> {
        Self::start(Some(priority))
    }

    fn start(priority: Option<i32>) -> Outcome<Self> {
        let enough = Arc::new(AtomicBool::new(false));
        let running = Arc::new(AtomicUsize::new(0));
        let loops = (0..CPUS)
            .map(|cpu| {
                let (enough, running) = (Arc::clone(&enough), Arc::clone(&running));
                thread::spawn(move || {
                    let ready = pin(cpu).is_ok() && priority.is_none_or(|level| sys::set_fifo(level).is_ok());
                    running.fetch_add(usize::from(ready), Ordering::Release);
                    while ready && !enough.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        let load = Self { enough, loops };
        until("a loop on each CPU", || (running.load(Ordering::Acquire) == CPUS).then_some(()))?;
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        for thread in self.loops.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Holds the calling thread on this CPU.
pub(crate) fn pin(cpu: usize) -> Outcome {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).why("affinity")
}
