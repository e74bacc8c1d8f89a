//! Which time an event is ordered by. In: the stamp a frame carries and what the reader knows about the device.
//! Out: the time that counts, and a flag if it is not the frame's own. Guarantee: a time that cannot be true never
//! wins: it is replaced by the time of reading and flagged `stale_stamp`.

use crate::event::Flags;
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

/// The clocks of one read.
#[derive(Clone, Copy, Debug)]
pub struct ReadClock {
    /// Read before the pass began; the same for all devices of the pass.
    pub pass: KernelTime,
    /// Read right after the data were in memory.
    pub read: KernelTime,
}

/// Judges the stamps of one device.
#[derive(Debug)]
pub struct Judge {
    stamps: Stamps,
    slack_us: Micros,
    /// When the device was last known to have nothing more to read.
    drained: KernelTime,
    /// The last time that counted.
    last: KernelTime,
    rank: u16,
}

/// A judged frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The time that counts.
    pub at: KernelTime,
    /// [`Flags::STALE_STAMP`] or nothing.
    pub flags: Flags,
    /// Place among the device's own frames of equal time.
    pub rank: u16,
}

impl Judge {
    /// A device whose events begin at `since`.
    pub fn new(stamps: Stamps, settle_us: Micros, since: KernelTime) -> Self {
        Self { stamps, slack_us: settle_us.max(SLACK_MIN_US), drained: since, last: since, rank: 0 }
    }

    /// When the device was last known to have nothing more to read.
    pub const fn drained(&self) -> KernelTime {
        self.drained
    }

    /// The last time that counted: all with earlier stamps has been read.
    pub const fn last(&self) -> KernelTime {
        self.last
    }

    /// The read that began with this pass found nothing more.
    pub fn set_drained(&mut self, pass: KernelTime) {
        self.drained = self.drained.max(pass);
    }

    /// Judges the frame that carries `own`.
    pub fn judge(&mut self, own: KernelTime, clock: ReadClock) -> Judged {
        let (at, flags) = match self.stamps {
            Stamps::Receipt => (clock.pass, Flags::NONE),
            // Nothing was there to read at `drained`, so nothing stamped well before it can be true. The known
            // cause: another program's EVIOCSCLOCKID leaves its own time in the device
            // (`evdev.c:__evdev_queue_syn_dropped` calls `input_get_timestamp` outside of any frame).
            Stamps::Kernel if own + self.slack_us < self.drained => (clock.read, Flags::STALE_STAMP),
            Stamps::Kernel => (own.max(self.last), Flags::NONE),
            Stamps::Sender if own > clock.read || own < self.last => (clock.read, Flags::STALE_STAMP),
            Stamps::Sender => (own, Flags::NONE),
        };
        // Whoever stamps: what one device said in different frames is in a certain order, which the rank keeps.
        let rank = if self.last == at { self.rank.saturating_add(1) } else { 0 };
        (self.last, self.rank) = (at, rank);
        Judged { at, flags, rank }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(pass: u64, read: u64) -> ReadClock {
        ReadClock { pass: KernelTime::from_us(pass), read: KernelTime::from_us(read) }
    }

    fn judged(judge: &mut Judge, own: u64, clock: ReadClock) -> (u64, bool, u16) {
        let judged = judge.judge(KernelTime::from_us(own), clock);
        (judged.at.as_us(), judged.flags.has(Flags::STALE_STAMP), judged.rank)
    }

    #[test]
    fn a_receipt_is_stamped_with_its_pass_and_keeps_stream_order() {
        let mut judge = Judge::new(Stamps::Receipt, Micros::ZERO, KernelTime::ZERO);
        assert_eq!(judged(&mut judge, 0, clock(100, 110)), (100, false, 0));
        assert_eq!(judged(&mut judge, 999, clock(100, 120)), (100, false, 1));
        assert_eq!(judged(&mut judge, 0, clock(200, 210)), (200, false, 0));
    }

    #[test]
    fn a_sender_may_neither_foresee_nor_go_back() {
        let mut judge = Judge::new(Stamps::Sender, Micros::ZERO, KernelTime::ZERO);
        assert_eq!(judged(&mut judge, 105, clock(100, 110)), (105, false, 0), "between pass and read");
        assert_eq!(judged(&mut judge, 105, clock(100, 110)), (105, false, 1), "equal is not stale");
        assert_eq!(judged(&mut judge, 104, clock(100, 110)), (110, true, 0), "before its last");
        assert_eq!(judged(&mut judge, 211, clock(200, 210)), (210, true, 0), "in the future");
    }

    #[test]
    fn a_kernel_stamp_from_before_the_last_empty_read_is_stale() {
        let settle = Micros::from_us(2000);
        let mut judge = Judge::new(Stamps::Kernel, settle, KernelTime::ZERO);
        judge.set_drained(KernelTime::from_us(10_000));
        assert_eq!(judged(&mut judge, 8_000, clock(10_500, 10_600)), (8_000, false, 0), "within the slack");
        assert_eq!(judged(&mut judge, 7_999, clock(10_500, 10_600)), (10_600, true, 0));
    }
}
