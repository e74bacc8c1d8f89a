//! What a source has left to be read when a pass ends. In: when passes end with more to come, how many bytes they read, when the
//! reader was short. Out: whether others are held up for it. Guarantee: who sends faster than it is read holds up the others
//! for a bounded time.

use crate::time::{KernelTime, Micros};

/// Passes in which all is read that a socket holds, be the window as short as it may: a burst is no flood.
pub const BACKLOG_PASSES: u32 = 3;
/// What the kernel keeps of a source until it is read. A Unix socket holds 208 KiB (`net.core.wmem_default`) and the end of
/// the last write beyond; an evdev node holds 64 records. What a sender with a larger buffer has beyond that can be late.
pub const KEPT_BYTES_MAX: usize = 256 << 10;

/// The backlog of one source.
#[derive(Debug)]
pub(super) struct Backlog {
    /// After how many passes it had more to read, if it has not been emptied since.
    passes: Option<u32>,
    /// What was there to be read at this time has been read.
    flushed: KernelTime,
    /// The pass that is to be `flushed` next, and the bytes until then.
    flushing: (KernelTime, usize),
    /// The last pass that began behind a reader that was short.
    short: KernelTime,
}

impl Backlog {
    /// None; the source begins at `since`.
    pub(super) const fn new(since: KernelTime) -> Self {
        Self { passes: None, flushed: since, flushing: (since, KEPT_BYTES_MAX), short: since }
    }

    /// Whether there is one.
    pub(super) const fn is_there(&self) -> bool {
        self.passes.is_some()
    }

    /// What was there to be read at this time has been read.
    pub(super) const fn flushed(&self) -> KernelTime {
        self.flushed
    }

    /// Whether others wait for a source of which all is known up to `known`.
    pub(super) fn is_waited_for(&self, known: KernelTime, pass: KernelTime, settle_us: Micros) -> bool {
        let is_late =
            |passes| known >= self.short && pass.since(known) > settle_us && passes > BACKLOG_PASSES;
        self.passes.is_some_and(|passes| !is_late(passes))
    }

    /// A pass ended with more to come.
    pub(super) fn go_on(&mut self) {
        self.passes = Some(self.passes.unwrap_or(0).saturating_add(1));
    }

    /// The source was emptied.
    pub(super) const fn end(&mut self) {
        self.passes = None;
    }

    /// The reader was short ([`super::is_short`]) until this pass.
    pub(super) const fn set_short(&mut self, pass: KernelTime) {
        self.short = pass;
    }

    /// So many bytes were read in this pass. A source can name any time, but what the kernel keeps for it has an end.
    pub(super) const fn count(&mut self, bytes: usize, pass: KernelTime) {
        let (since, left) = self.flushing;
        self.flushing = (since, left.saturating_sub(bytes));
        if left <= bytes {
            self.flushed = since;
            self.flushing = (pass, KEPT_BYTES_MAX);
        }
    }
}
