//! Which time an event is ordered by. In: the stamp a frame carries and what the reader knows about the device.
//! Out: the time that counts, and a flag if it is not the frame's own. Guarantee: a time that cannot be true never
//! wins: it is replaced by the time of reading and flagged `stale_stamp`. One that may be true, but showed later than the
//! settle window allows, is treated the same and flagged `late` as well. A receipt press is ordered by the clock of its pass;
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
const WAKE_US_MAX: Micros = Micros::from_ms(50);

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
    /// [`Flags::STALE_STAMP`], that and [`Flags::LATE`], or nothing.
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
            last: since,
            last_is_own: true,
            rank: 0,
        }
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
        self.last_is_own = judged.flags == Flags::NONE;
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
pub(crate) mod tests {
    use super::*;

    /// A clock that says what it is told to.
    pub(crate) struct Clock {
        pub(crate) pass: u64,
        pub(crate) read: u64,
        pub(crate) late: u64,
    }

    impl ReadClock for Clock {
        fn pass(&self) -> KernelTime {
            KernelTime::from_us(self.pass)
        }
        fn read(&self) -> KernelTime {
            KernelTime::from_us(self.read)
        }
        fn ran_late_us(&self) -> Micros {
            Micros::from_us(self.late)
        }
        fn empty_until(&self) -> KernelTime {
            self.pass() - READER_US - self.ran_late_us()
        }
    }

    fn clock(pass: u64, read: u64) -> Clock {
        Clock { pass, read, late: 0 }
    }

    fn judged(judge: &mut Judge, own: u64, clock: Clock) -> (u64, bool, u32) {
        let judged = judge.judge(KernelTime::from_us(own), &clock);
        (judged.at.as_us(), judged.flags.has(Flags::STALE_STAMP), judged.rank)
    }

    #[test]
    fn a_receipt_is_stamped_with_its_pass_and_keeps_stream_order() {
        let mut judge = Judge::new(Stamps::Receipt, Micros::ZERO, KernelTime::ZERO, KernelTime::ZERO);
        assert_eq!(judged(&mut judge, 0, clock(100, 110)), (100, false, 0));
        assert_eq!(judged(&mut judge, 999, clock(100, 120)), (100, false, 1));
        assert_eq!(judged(&mut judge, 0, clock(200, 210)), (200, false, 0));
    }

    #[test]
    fn a_receipt_says_when_it_can_have_come() {
        let us = KernelTime::from_us;
        let mut judge = Judge::new(Stamps::Receipt, Micros::ZERO, us(90_000), us(50_000));
        let off = |judge: &mut Judge, clock: Clock| {
            let judged = judge.judge(KernelTime::ZERO, &clock);
            let stall_us = judged.stall_us.map(Micros::as_us);
            (judged.back_us.as_us(), judged.early_us.as_us(), stall_us)
        };
        let at_once = off(&mut judge, clock(100_000, 100_004));
        assert_eq!(at_once, (50_000, 4, Some(50_000)), "never emptied: since it was there");
        assert_eq!(off(&mut judge, clock(100_000, 100_009)), (50_000, 9, None), "said once a pass");
        judge.set_drained(us(100_000));
        assert_eq!(off(&mut judge, clock(101_000, 101_001)), (1000, 1, None), "emptied just before");
        judge.set_drained(us(101_000));
        assert_eq!(off(&mut judge, clock(900_000, 900_003)), (1000, 3, None), "the reader slept");
        judge.set_drained(us(900_000));
        let late = Clock { late: 70_000, ..clock(1_700_000, 1_703_000) };
        assert_eq!(off(&mut judge, late), (71_000, 3000, Some(71_000)), "and was kept from running");
        judge.set_backlog();
        assert_eq!(off(&mut judge, clock(1_800_000, 1_800_001)), (900_000, 1, Some(900_000)), "not emptied");
        judge.set_drained(us(1_800_000));
        let behind = off(&mut judge, clock(1_800_500, 1_802_000));
        assert_eq!(behind, (500, 1500, Some(1500)), "written while the pass ran");
    }

    #[test]
    fn a_sender_may_neither_foresee_nor_go_back() {
        let mut judge = Judge::new(Stamps::Sender, Micros::ZERO, KernelTime::ZERO, KernelTime::ZERO);
        assert_eq!(judged(&mut judge, 105, clock(100, 110)), (105, false, 0), "between pass and read");
        assert_eq!(judged(&mut judge, 105, clock(100, 110)), (105, false, 1), "equal is not stale");
        assert_eq!(judged(&mut judge, 104, clock(100, 110)), (110, true, 0), "before its last");
        assert_eq!(judged(&mut judge, 211, clock(200, 210)), (210, true, 0), "in the future");
    }

    #[test]
    fn a_kernel_stamp_from_before_the_last_empty_read_is_stale() {
        let settle = Micros::from_us(2000);
        let mut judge = Judge::new(Stamps::Kernel, settle, KernelTime::ZERO, KernelTime::ZERO);
        judge.set_drained(KernelTime::from_us(10_000));
        assert_eq!(judged(&mut judge, 8_000, clock(10_500, 10_600)), (8_000, false, 0), "within the slack");
        let stale = judge.judge(KernelTime::from_us(7_999), &clock(10_500, 10_600));
        assert_eq!((stale.at.as_us(), stale.flags), (10_600, Flags::STALE_STAMP.with(Flags::LATE)));
        assert_eq!(stale.back_us.as_us(), 2601, "the stamp may be true and have been shown late");
        let next = judge.judge(KernelTime::from_us(7_999), &clock(10_500, 10_600));
        assert_eq!((next.at, next.rank), (stale.at, 1), "read together, the stream's order holds");
        assert_eq!(
            judged(&mut judge, 10_590, clock(10_500, 10_600)),
            (10_600, true, 2),
            "for true ones as well"
        );
        assert_eq!(judged(&mut judge, 10_601, clock(10_500, 10_610)), (10_601, false, 0));
        judge.set_drained(KernelTime::from_us(900_000));
        let old = judge.judge(KernelTime::from_us(11_000), &clock(900_500, 900_600));
        assert_eq!(
            old.back_us.as_us(),
            2600,
            "so late is nothing shown: it happened since the last empty read"
        );
    }

    #[test]
    fn a_backlog_holds_up_the_others_from_what_is_known_and_not_for_longer_than_the_window() {
        let us = KernelTime::from_us;
        let settle = Micros::from_us(500);
        let mut judge = Judge::new(Stamps::Sender, settle, us(1000), us(1000));
        assert_eq!(judge.holds_at(us(2000), settle), None, "nothing is known to wait");
        judge.set_backlog();
        assert_eq!(judge.holds_at(us(2000), settle), Some(us(1000)), "it began then");
        judge.note(us(1800), &clock(2000, 2010));
        assert_eq!(judge.holds_at(us(2100), settle), Some(us(1799)), "a frame without an edge counts");
        judge.note(us(9000), &clock(2000, 2010));
        judge.note(us(1500), &clock(2000, 2010));
        assert_eq!(judge.holds_at(us(2100), settle), Some(us(1799)), "one that cannot be true does not");
        judge.set_backlog();
        judge.set_backlog();
        assert_eq!(judge.holds_at(us(9000), settle), Some(us(1799)), "three passes are no flood");
        judge.set_backlog();
        assert_eq!(judge.holds_at(us(2299), settle), Some(us(1799)));
        assert_eq!(judge.holds_at(us(2300), settle), None, "for longer than that nobody waits");
        judge.set_short(us(2300));
        assert_eq!(judge.holds_at(us(2_000_000), settle), Some(us(1799)), "unless it was not read");
        judge.note(us(2000), &clock(2300, 2310));
        assert_eq!(judge.holds_at(us(2300), settle), Some(us(1999)), "it has caught up");
        judge.set_drained(us(2600));
        judge.set_backlog();
        assert_eq!(judge.holds_at(us(2700), settle), Some(us(2600)), "all that it has came later");
        assert_eq!(
            judged(&mut judge, 1799, clock(2700, 2710)),
            (2710, true, 0),
            "it goes back behind a frame"
        );
    }

    #[test]
    fn after_a_shortage_a_backlog_holds_up_the_others_for_what_was_kept_and_no_more() {
        let us = KernelTime::from_us;
        let settle = Micros::from_us(500);
        let mut judge = Judge::new(Stamps::Sender, settle, us(1000), us(1000));
        (0..=BACKLOG_PASSES).for_each(|_| judge.set_backlog());
        judge.set_short(us(900_000));
        judge.count(KEPT_BYTES_MAX / 2, us(900_000));
        assert_eq!(judge.holds_at(us(900_000), settle), Some(us(1000)));
        judge.count(KEPT_BYTES_MAX / 2, us(901_000));
        assert_eq!(
            judge.holds_at(us(902_000), settle),
            Some(us(1000)),
            "all that was there in the beginning"
        );
        // It is short over and over, and the source says the same time for ever.
        judge.set_short(us(903_000));
        judge.count(KEPT_BYTES_MAX, us(903_000));
        assert_eq!(judge.holds_at(us(904_000), settle), Some(us(901_000)), "what is held moves on");
        judge.count(KEPT_BYTES_MAX, us(905_000));
        assert_eq!(judge.holds_at(us(906_000), settle), None, "all that was there when it was short last");
        judge.set_short(us(907_000));
        judge.set_drained(us(907_000));
        (0..=BACKLOG_PASSES).for_each(|_| judge.set_backlog());
        assert_eq!(judge.holds_at(us(908_000), settle), None, "it was emptied");
    }

    #[test]
    fn an_old_stamp_after_a_sleep_is_stale_unless_the_reader_was_kept_from_running() {
        let judge = || Judge::new(Stamps::Kernel, Micros::ZERO, KernelTime::ZERO, KernelTime::ZERO);
        assert_eq!(judged(&mut judge(), 10_000, clock(60_000, 60_010)), (10_000, false, 0), "50 ms");
        assert_eq!(judged(&mut judge(), 10_000, clock(60_001, 60_010)), (60_010, true, 0), "more");
        let stalled = Clock { pass: 90_000, read: 90_010, late: 70_000 };
        let kept = judge().judge(KernelTime::from_us(10_000), &stalled);
        assert_eq!((kept.at.as_us(), kept.stall_us), (10_000, Some(Micros::from_us(70_000))));
        let mut busy = judge();
        busy.set_backlog();
        assert_eq!(judged(&mut busy, 10_000, clock(90_000, 90_010)), (10_000, false, 0), "never slept");
    }
}
