//! Stamps that are judged. In: made-up clocks. Out: which time counts, and with which flags.

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
    assert_eq!(judged(&mut judge, 10_590, clock(10_500, 10_600)), (10_600, true, 2), "for true ones as well");
    assert_eq!(judged(&mut judge, 10_601, clock(10_500, 10_610)), (10_601, false, 0));
    judge.set_drained(KernelTime::from_us(900_000));
    let old = judge.judge(KernelTime::from_us(11_000), &clock(900_500, 900_600));
    assert_eq!(old.back_us.as_us(), 2600, "so late is nothing shown: it happened since the last empty read");
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
    assert_eq!(judged(&mut judge, 1799, clock(2700, 2710)), (2710, true, 0), "it goes back behind a frame");
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
    assert_eq!(judge.holds_at(us(902_000), settle), Some(us(1000)), "all that was there in the beginning");
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

#[test]
fn what_waited_while_no_reader_ran_is_as_old_as_it_says() {
    let us = KernelTime::from_us;
    let (since, drained, until) = (1_000_000, 990_000, 8_000_000);
    let mut judge = Judge::new(Stamps::Kernel, Micros::ZERO, us(since), us(drained));
    judge.set_kept(us(until));
    let flags = |judge: &mut Judge, own: u64| {
        let judged = judge.judge(us(own), &clock(9_000_000, 9_000_010));
        assert_eq!(judged.stall_us, None, "{own}");
        (judged.at.as_us(), judged.flags.names().collect::<Vec<_>>())
    };
    let waited = vec!["during_restart"];
    assert_eq!(flags(&mut judge, 1_000_000), (1_000_000, waited.clone()));
    assert_eq!(flags(&mut judge, 1_000_000), (1_000_000, waited.clone()), "one stamp is one moment");
    assert_eq!(flags(&mut judge, 8_000_000), (8_000_000, waited));
    assert_eq!(flags(&mut judge, 8_900_000), (8_900_000, vec![]), "a reader is there, and on its way");
    assert_eq!(flags(&mut judge, 5_000_000).1, ["stale_stamp"], "behind a later one");
    judge.set_drained(us(9_000_000));
    assert_eq!(flags(&mut judge, 8_000_000).1, ["stale_stamp"], "it has been emptied");
    // Another program's time, from long before the end of the last reader.
    let mut judge = Judge::new(Stamps::Kernel, Micros::ZERO, us(900_000), us(990_000));
    judge.set_kept(us(until));
    assert_eq!(flags(&mut judge, 930_000).1, ["stale_stamp"]);
    assert_eq!(flags(&mut judge, 940_000).1, ["stale_stamp"], "like what it was read with");
}
