//! Which time an event is ordered by. In: the stamp a frame carries and what the reader knows about the device.
//! Out: the time that counts, and a flag if it is not the frame's own. Guarantee: a time that cannot be true never
//! wins: it is replaced by the time of reading and flagged `stale_stamp`. One that may be true, but showed later than the
//! settle window allows, is treated the same and flagged `late` as well. What waited in the kernel while no reader ran is as old
//! as it says, and flagged `during_restart`. A receipt press is ordered by the clock of its pass;
//! when it can have come to its source, before that clock and after it, is said with it, and is true.

mod backlog;

use backlog::Backlog;
pub use backlog::{BACKLOG_PASSES, KEPT_BYTES_MAX};

use crate::event::Flags;
use crate::press::waits::READER_US;
use crate::time::{KernelTime, Micros};

/// Who stamps the events of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// The kernel: an evdev node with its clock set to CLOCK_MONOTONIC.
    Kernel,
    /// The reader: all that is found in one pass gets the clock read before that pass.
    Receipt,
    /// The program at the other end, in CLOCK_MONOTONIC time.
    Sender,
}

/// Delays between stamp and visibility that are still normal, however short the settle window is. Inside one
/// interrupt-off section (`input_event`) it is a few µs; emulated CPUs showed up to some ms.
const SLACK_MIN_US: Micros = Micros::from_us(2000);
/// A reader that slept is woken well within this time, or was itself kept from running.
pub(crate) const WAKE_US_MAX: Micros = Micros::from_ms(50);

/// A pass begins so long after the one before only if the reader slept or was kept from running.
const PASS_US_MAX: Micros = Micros::from_ms(10);

/// Whether what the kernel keeps may be older than W through the reader's own fault: it did not run since the last pass, or
/// had no room for what it read.
pub fn is_short(since_last_pass: Micros, has_room: bool) -> bool {
    !has_room || since_last_pass > PASS_US_MAX
}

/// The clocks of one read.
pub trait ReadClock {
    /// Read before the pass began; the same for all devices of the pass.
    fn pass(&self) -> KernelTime;
    /// Read right after the data were in memory.
    fn read(&self) -> KernelTime;
    /// For how long, since it last went to sleep, the reader was ready to run and did not. Asked only in doubt.
    fn ran_late_us(&self) -> Micros;
    /// A source that was empty, and has something in this pass, had nothing before this ([`crate::press::waits`]). Asked only in
    /// doubt.
    fn empty_until(&self) -> KernelTime;
}

/// Judges the stamps of one device.
#[derive(Debug)]
pub struct Judge {
    stamps: Stamps,
    slack_us: Micros,
    /// When the device was last known to have nothing more to read.
    drained: KernelTime,
    /// Its last read found nothing more.
    is_empty: bool,
    /// The last time that counted for which it was said that the reader was kept from running.
    stalled: Option<KernelTime>,
    /// What it had more to read than a pass reads.
    backlog: Backlog,
    /// The latest stamp of a frame that said nothing.
    noted: KernelTime,
    /// Until it is emptied for the first time: what is stamped up to this waited while no reader ran.
    kept_until: Option<KernelTime>,
    /// The last time that counted, and whether it was the frame's own.
    last: KernelTime,
    last_is_own: bool,
    rank: u32,
}

/// A judged frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The time that counts.
    pub at: KernelTime,
    /// [`Flags::STALE_STAMP`], that and [`Flags::LATE`], [`Flags::DURING_RESTART`], or nothing.
    pub flags: Flags,
    /// Place among the device's own frames of equal time.
    pub rank: u32,
    /// The interval before `at` in which it must have happened, if its own stamp is not to be trusted. With a receipt stamp:
    /// how long before `at` it can have come to its source, at most.
    pub back_us: Micros,
    /// With a receipt stamp: how long after `at` it can have come, at most.
    pub early_us: Micros,
    /// The frame's own stamp is that of something before it: it says nothing of when the frame was made.
    pub is_false: bool,
    /// The stamp is old because the reader was kept from running for so long; a receipt stamp can be wrong by so much.
    pub stall_us: Option<Micros>,
}

impl Judge {
    /// A device whose events begin at `since`, and that had nothing to read at `drained`.
    pub fn new(stamps: Stamps, settle_us: Micros, since: KernelTime, drained: KernelTime) -> Self {
        let slack_us = settle_us.max(SLACK_MIN_US);
        Self {
            stamps,
            slack_us,
            drained,
            is_empty: false,
            stalled: None,
            backlog: Backlog::new(since),
            noted: since,
            kept_until: None,
            last: since,
            last_is_own: true,
            rank: 0,
        }
    }

    /// The device was open already, and nobody read it until this: what waited is as old as it says.
    pub const fn set_kept(&mut self, until: KernelTime) {
        self.kept_until = Some(until);
    }

    /// What was stamped before this has been read. A read that finds nothing more proves it for all but the last
    /// moments before: what the kernel has stamped it shows a moment later.
    pub fn known_up_to(&self) -> KernelTime {
        self.drained - self.slack_us
    }

    /// The last time that counted: everything with an earlier stamp has been read.
    pub fn last(&self) -> KernelTime {
        self.last.max(self.noted)
    }

    /// Up to when others can be let go of though this device has more to read: what it has not shown yet is stamped later,
    /// or became visible later than that. `None` if that is longer ago than `settle_us`, there were [`BACKLOG_PASSES`], and all
    /// has been read that was kept when the reader was short last: who sends faster than it is read would hold up all others
    /// for as long as it likes.
    pub fn holds_at(&self, pass: KernelTime, settle_us: Micros) -> Option<KernelTime> {
        // What it has not shown yet may still carry the very stamp of its last.
        let known = self.drained.max(self.backlog.flushed()).max(self.last() - Micros::from_us(1));
        self.backlog.is_waited_for(known, pass, settle_us).then_some(known)
    }

    /// The read that began with this pass found nothing more.
    pub fn set_drained(&mut self, pass: KernelTime) {
        self.drained = self.drained.max(pass);
        self.is_empty = true;
        self.kept_until = None;
        self.backlog.end();
    }

    /// The reader was short ([`is_short`]) until this pass.
    pub const fn set_short(&mut self, pass: KernelTime) {
        self.backlog.set_short(pass);
    }

    /// So many bytes were read in this pass.
    pub const fn count(&mut self, bytes: usize, pass: KernelTime) {
        self.backlog.count(bytes, pass);
    }

    /// The pass ended with more to come.
    pub fn set_backlog(&mut self) {
        self.is_empty = false;
        self.backlog.go_on();
    }

    /// Takes note of a frame that moved no key: what the device says from now on was not earlier.
    pub fn note(&mut self, own: KernelTime, clock: &impl ReadClock) {
        // A stamp that cannot be true says nothing; the reader's own are made when they are asked for.
        if self.stamps != Stamps::Receipt && own <= clock.read() {
            self.noted = self.noted.max(own);
        }
    }

    /// Judges the frame that carries `own`.
    pub fn judge(&mut self, own: KernelTime, clock: &impl ReadClock) -> Judged {
        let judged = match self.stamps {
            Stamps::Receipt => self.judge_receipt(clock),
            Stamps::Kernel => self.judge_kernel(own, clock),
            Stamps::Sender if own > clock.read() || self.is_passed(own) => self.stale(own, clock),
            // Equal to its last is not stale, and what one sender says in two frames it says in that order. (The
            // kernel cuts one report into frames of one stamp; there equal is a tie.)
            Stamps::Sender if own == self.last => {
                Judged { rank: self.rank.saturating_add(1), ..Judged::at(own) }
            }
            Stamps::Sender => Judged::at(own),
        };
        (self.last, self.rank) = (judged.at, judged.rank);
        self.last_is_own = !judged.flags.is_without_stamp();
        judged
    }

    /// The time of a receipt is that of its pass, and when it was written is another matter: after the source was known to
    /// be empty, and before the clock that follows the read. A source that was not emptied is known by no wait.
    fn judge_receipt(&mut self, clock: &impl ReadClock) -> Judged {
        // Frames found in one pass keep their stream order through the rank.
        // What was asked for after a gap has the time of the answer, which is later than the pass.
        let at = clock.pass().max(self.last);
        let rank = if self.last == at { self.rank.saturating_add(1) } else { 0 };
        let mut since = self.drained;
        if self.is_empty && at.since(since) > READER_US {
            since = since.max(clock.empty_until());
        }
        let (back_us, early_us) = (at.since(since), clock.read().since(at));
        let off_us = back_us.max(early_us);
        // Said once a pass.
        let stalls = off_us > READER_US && self.stalled != Some(at);
        if stalls {
            self.stalled = Some(at);
        }
        Judged { rank, back_us, early_us, stall_us: stalls.then_some(off_us), ..Judged::at(at) }
    }

    /// The kernel's stamps are true but for one defect: another program's EVIOCSCLOCKID leaves the time of that call
    /// in the device, and its next frame is stamped with it, for every reader (`evdev.c:__evdev_queue_syn_dropped`
    /// calls `input_get_timestamp` outside of any frame).
    fn judge_kernel(&self, own: KernelTime, clock: &impl ReadClock) -> Judged {
        // What was to be read long before the end of the reader before this one has been read by it.
        if let Some(until) = self.kept_until
            && !self.is_passed(own)
            && own + WAKE_US_MAX >= self.drained
        {
            let flags = if own <= until { Flags::DURING_RESTART } else { Flags::NONE };
            return Judged { flags, ..Judged::at(own) };
        }
        // All of that was read already.
        if own < self.known_up_to() || self.is_passed(own) {
            return self.stale(own, clock);
        }
        // The call may also have come after that, while the reader slept; but a press wakes the reader at once.
        let age = clock.pass().since(own);
        if age > WAKE_US_MAX && !self.backlog.is_there() {
            let late = clock.ran_late_us();
            if late + WAKE_US_MAX < age {
                return self.stale(own, clock);
            }
            return Judged { stall_us: Some(late), ..Judged::at(own) };
        }
        Judged::at(own)
    }

    /// Whether the device has said something already that is ordered behind this stamp. After a frame that was ordered by
    /// the time of its reading, those that were read with it keep the stream's order, and are flagged like it.
    fn is_passed(&self, own: KernelTime) -> bool {
        own < self.last() || (own == self.last && !self.last_is_own)
    }

    /// What was found by asking at `read`: it happened since the device was known to be empty.
    pub fn recover(&mut self, read: KernelTime) -> Judged {
        let at = read.max(self.last);
        let rank = if at == self.last { self.rank.saturating_add(1) } else { 0 };
        // What the device says from now on is not ordered before this.
        (self.last, self.last_is_own, self.rank) = (at, false, rank);
        let back_us = at.since(self.known_up_to());
        Judged { flags: Flags::RECOVERED, back_us, rank, ..Judged::at(at) }
    }

    fn stale(&self, own: KernelTime, clock: &impl ReadClock) -> Judged {
        let at = clock.read().max(self.last);
        // It happened since the device was known to be empty; or the stamp is true and was shown later than the window
        // allows (its interrupt thread was preempted, its emulated CPU stood still). That is not to be told apart (in
        // campaigns under QEMU it was 1 189 of 225 000 presses, all of them true), so it is told as both, and the interval
        // has room for both.
        let known = self.known_up_to();
        let shown_late = known.since(own) <= WAKE_US_MAX;
        let is_late = self.stamps == Stamps::Kernel && shown_late && at.since(own) <= WAKE_US_MAX;
        // A stamp that the device's last one has passed is that of what was read together with it, and true.
        let is_false = self.stamps == Stamps::Kernel && !is_late && !self.is_passed(own);
        let late = if is_late { Flags::LATE } else { Flags::NONE };
        let back_us = at.since(if shown_late { own.min(known) } else { known });
        // Two of one device, read together: the stream's order is certain though neither time is.
        let rank = if at == self.last { self.rank.saturating_add(1) } else { 0 };
        Judged { flags: Flags::STALE_STAMP.with(late), back_us, rank, is_false, ..Judged::at(at) }
    }
}

impl Judged {
    const fn at(at: KernelTime) -> Self {
        let (back_us, early_us) = (Micros::ZERO, Micros::ZERO);
        Self { at, flags: Flags::NONE, rank: 0, back_us, early_us, is_false: false, stall_us: None }
    }
}

#[cfg(test)]
pub(crate) mod tests;
