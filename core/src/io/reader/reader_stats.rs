//! What the reader counts. In: events as they are handed over. Out: numbers that any thread may read. Guarantee: counting
//! neither waits nor allocates.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::event::{Event, EventKind, Flags};
use crate::time::KernelTime;

/// What the reader counts, for `/healthz`.
#[derive(Debug, Default)]
pub struct ReaderStats {
    /// Presses handed over.
    pub presses: AtomicU64,
    /// Presses that came later than the settle window allows.
    pub late: AtomicU64,
    /// The greatest age that one of them had when it left, µs: a settle window of this length would have held the others
    /// back for it.
    pub late_us_max: AtomicU64,
    /// Presses whose stamp could not be true.
    pub stale: AtomicU64,
    /// Gaps (`SYN_DROPPED`).
    pub gaps: AtomicU64,
    /// Times the ring was full.
    pub ring_full: AtomicU64,
    /// Times the reader's own memory was full too, and it stopped reading.
    pub heap_full: AtomicU64,
    /// Passes that are over: the reader makes progress.
    pub passes: AtomicU64,
    /// The core on which the reader last ran.
    pub core: AtomicU32,
}

impl ReaderStats {
    /// Counts an event that was handed over in the pass of that time.
    pub fn count(&self, event: Event, pass: KernelTime) {
        let (flags, back_us) = match event.kind {
            EventKind::Press { flags, back_us, .. } => (flags, back_us),
            EventKind::Gap { .. } => {
                self.gaps.fetch_add(1, Ordering::Relaxed);
                return;
            }
            _ => return,
        };
        self.presses.fetch_add(1, Ordering::Relaxed);
        if flags.has(Flags::LATE) {
            self.late.fetch_add(1, Ordering::Relaxed);
            let back_us = if flags.is_without_stamp() { back_us.into() } else { 0 };
            self.late_us_max.fetch_max(pass.since(event.at).as_us() + back_us, Ordering::Relaxed);
        }
        if flags.has(Flags::STALE_STAMP) {
            self.stale.fetch_add(1, Ordering::Relaxed);
        }
    }
}
