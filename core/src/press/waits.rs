//! Since when what is read can have been there. In: the clocks around each wait of the reader, and for how long it was kept
//! from running. Out: a moment before which a source that was empty had nothing ([`Waits::since`]). Guarantee: the moment is
//! never too late, also where the reader was stopped or kept from running; it is early where nobody knows better.
//!
//! A press without a stamp of its own is written to its source at some moment W and gets the clock P that the reader reads
//! behind its wait. How much later P is than W cannot be seen, but it has a bound:
//!
//! - A wait names every source that got something since the wait before looked. If the wait before named all there was and
//!   not this source, W is behind the beginning of that wait.
//! - If the reader looked, found nothing at all and then slept, W is behind that look, and the write made the reader ready
//!   to run at once. P is later than W by what the kernel counts as the thread's run delay, and by what it does not count:
//!   an interrupt, a processor's way out of a deep sleep ([`READER_US`]). A hypervisor that takes a processor for longer
//!   than that is counted by nothing; where there is one, that is the limit of what can be known.
//! - The same bound holds for the moment at which a wait that slept looked for the last time, hence for the waits behind it.
//! - A stopped reader (SIGSTOP, a debugger, a freezer) is not ready to run, so the run delay says nothing. Then, and where
//!   nothing is counted, W is only known to be behind the look.

use std::cell::Cell;

use crate::time::{KernelTime, Micros};

/// What passes between a write and the clock behind the reader's wait without being counted. A receipt pool's own interval
/// has room for it ([`crate::device::delay::RECEIPT`]).
pub const READER_US: Micros = Micros::from_ms(1);
/// A run delay that fits into that as well: the thread is not the only one of its processor.
const ORDINARY_US: Micros = Micros::from_us(250);

/// For how long the thread may have had something to do, and did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// So long, as the kernel counts it.
    Counted(Micros),
    /// It was stopped (SIGSTOP, a debugger, a freezer). When that began nobody knows: at the mark at the earliest.
    Stopped(Micros),
    /// The kernel keeps no count.
    Unknown,
}

impl Late {
    /// What is certainly no more than that, and counted.
    pub fn counted_us(self) -> Option<Micros> {
        match self {
            Self::Counted(us) => Some(us),
            Self::Stopped(_) | Self::Unknown => None,
        }
    }

    /// How old a true stamp can be because of it. Without a count none is believed to be old: a stale one never wins.
    pub fn excuse_us(self) -> Micros {
        match self {
            Self::Counted(us) | Self::Stopped(us) => us,
            Self::Unknown => Micros::ZERO,
        }
    }
}

/// One wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// The clock before it, and before the look that found nothing if there was one.
    pub began: KernelTime,
    /// The clock behind it: the pass that it began.
    pub pass: KernelTime,
    /// A look had found nothing to read, so that it slept, unless something came in the very next moment.
    pub slept: bool,
    /// It named all that was ready.
    pub complete: bool,
}

/// What the waits of a reader prove.
#[derive(Debug, Default)]
pub struct Waits {
    /// All that was written before this was named by the wait before the last, or earlier.
    named: KernelTime,
    /// That wait slept until then, and for how long it was late has not been asked.
    woke: Option<KernelTime>,
    last: Wait,
    /// The answer, once somebody has asked in this pass.
    since: Cell<Option<KernelTime>>,
}

impl Waits {
    /// Another wait has ended.
    pub fn end(&mut self, wait: Wait) {
        if self.last.complete {
            self.woke = self.last.slept.then_some(self.last.pass);
            self.named = self.named.max(self.last.began);
        }
        self.last = wait;
        self.since = Cell::new(None);
    }

    /// A source that was empty, and is named by the last wait, had nothing before this. `late`: the reader's run delay since
    /// it went to sleep the last time; `None`: nobody knows. It is asked only where it matters.
    pub fn since(&self, late: impl FnOnce() -> Option<Micros>) -> KernelTime {
        let since = self.since.get().unwrap_or_else(|| {
            let Wait { began, pass, slept, .. } = self.last;
            match (slept, self.woke) {
                (true, _) => began.max(behind(pass, late())),
                (false, Some(woke)) => self.named.max(behind(woke, late())),
                (false, None) => self.named,
            }
        });
        self.since.set(Some(since));
        since
    }

    /// The pass is over. `late`: the run delay since the reader went to sleep the last time; from here on it may be counted
    /// anew.
    pub fn settle(&mut self, late: Option<Micros>) {
        let woke = if self.last.slept && self.last.complete { Some(self.last.pass) } else { self.woke };
        if let Some(woke) = woke {
            self.named = self.named.max(behind(woke, late));
        }
        (self.woke, self.last.slept) = (None, false);
    }
}

/// When what woke the reader came at the earliest.
fn behind(pass: KernelTime, late: Option<Micros>) -> KernelTime {
    match late {
        Some(late) if late <= ORDINARY_US => pass - READER_US,
        Some(late) => pass - late - READER_US,
        None => KernelTime::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(began: u64, pass: u64, slept: bool) -> Wait {
        let us = KernelTime::from_us;
        Wait { began: us(began), pass: us(pass), slept, complete: true }
    }

    fn since(waits: &Waits, late: Option<u64>) -> u64 {
        waits.since(|| late.map(Micros::from_us)).as_us()
    }

    #[test]
    fn a_reader_that_slept_was_woken_at_once_unless_it_was_kept_from_running() {
        for (late, want) in [
            (Some(0), 899_000),
            (Some(250), 899_000),
            (Some(251), 898_749),
            (Some(400_000), 499_000),
            (Some(899_500), 1000),
            (None, 1000),
        ] {
            let mut waits = Waits::default();
            waits.end(wait(1000, 900_000, true));
            assert_eq!(since(&waits, late), want, "{late:?}");
            assert_eq!(since(&waits, Some(7)), want, "one pass, one answer");
        }
    }

    #[test]
    fn what_a_wait_did_not_name_came_after_it_had_begun_or_had_woken() {
        let asked = || -> Option<Micros> { panic!("nothing to ask for") };
        let mut waits = Waits::default();
        waits.end(wait(1000, 900_000, true));
        // The pass took long, and another follows at once: the count still begins where the reader went to sleep.
        waits.end(wait(950_000, 950_001, false));
        assert_eq!(since(&waits, Some(70_000)), 829_000);
        waits.end(wait(980_000, 980_001, false));
        assert_eq!(waits.since(asked).as_us(), 950_000);
        // The same, when what was counted has been taken before it is counted anew.
        let mut waits = Waits::default();
        waits.end(wait(1000, 900_000, true));
        waits.settle(Some(Micros::from_us(70_000)));
        waits.end(wait(950_000, 950_001, false));
        assert_eq!(waits.since(asked).as_us(), 829_000);
        let mut waits = Waits::default();
        waits.end(wait(1000, 900_000, true));
        waits.settle(None);
        waits.end(wait(950_000, 950_001, false));
        assert_eq!(waits.since(asked).as_us(), 1000, "it was stopped, nobody knows when");
    }

    #[test]
    fn a_wait_that_could_not_name_all_proves_nothing() {
        let mut waits = Waits::default();
        waits.end(wait(1000, 1001, false));
        waits.end(Wait { complete: false, ..wait(2000, 2001, false) });
        waits.end(wait(3000, 3001, false));
        assert_eq!(since(&waits, Some(0)), 1000);
        waits.settle(Some(Micros::ZERO));
        waits.end(wait(4000, 4001, false));
        assert_eq!(since(&waits, Some(0)), 3000);
    }
}
