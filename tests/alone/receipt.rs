//! Receipt presses of a reader that is kept from running. In: a thread of higher real-time priority on the reader's processor,
//! or more work than there are processors and a reader without real-time priority; hits between two readings of the clock.
//! Out: the log of the real `buzzerd`. Guarantee: every record's interval has the hit in it, and no order that is called
//! certain is wrong; needs the right to real-time priority, and says when it was left out.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use buzzer_core::io::sys;
use buzzer_core::time::Micros;
use buzzer_tests::harness::written::{Dice, Judged, Written, hit, judge, pause, proved};
use buzzer_tests::{Attachment, Client, Daemon, Home, left_out};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::alone;

/// Above all that buzzerd has, and the interrupt threads of PREEMPT_RT.
const HOG_PRIORITY: i32 = 60;
const HOGS: usize = 12;
const BUSY_LOOPS: usize = 4;
const HITS: usize = 200;

struct Table {
    home: Home,
    daemon: Daemon,
    client: Client,
    devices: Vec<Attachment>,
    written: Vec<Written>,
}

impl Table {
    /// Two pools of one device each: buzzer 1, and buzzer 2.
    fn new() -> Self {
        let pool = |id| {
            format!(
                "[[pool]]\nid = \"{id}\"\nsocket = \"$DIR/{id}.sock\"\nstamps = \"receipt\"\nautoconnect = true\n"
            )
        };
        let home = Home::new(&(pool("desk") + &pool("hall")));
        let daemon = home.serve();
        let attach = |(id, buzzer)| Attachment::open(&home.socket(id), id, &[buzzer]);
        let devices: Vec<Attachment> = [("desk", 1), ("hall", 2)].map(attach).into();
        home.journal().wait_attached(2);
        let client = daemon.client();
        Self { home, daemon, client, devices, written: Vec::new() }
    }

    /// The daemon's reader.
    fn reader(&self) -> Pid {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.daemon.pid())).expect("its threads");
        let mut named = tasks.filter_map(|task| {
            let task = task.ok()?;
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            (name.trim() == "reader")
                .then(|| task.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))?
        });
        named.next().expect("a reader")
    }

    fn hit(&mut self, buzzer: u16) {
        let written = hit(&mut self.devices[usize::from(buzzer) - 1], buzzer);
        self.written.push(written);
    }

    fn wait_told(&mut self, presses: usize) {
        let mut told = 0;
        while told < presses {
            told += usize::from(self.client.text().starts_with(r#"{"event":"buzz""#));
        }
    }

    fn judged(self) -> Result<Judged, String> {
        self.daemon.kill();
        judge(&self.home.journal().records(), &self.written, [0, 1000])
    }
}

/// Keeps a thread (`None`: this one) on the first processor that this process may use, or off it.
fn pin(thread: Option<Pid>, on: bool) {
    let all = sched_getaffinity(None).expect("processors");
    let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).expect("a processor");
    let mut some = all;
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| all.is_set(*cpu) && (*cpu == first) != on)
        .for_each(|cpu| some.unset(cpu));
    if some.count() > 0 {
        sched_setaffinity(thread, &some).expect("it may run there");
    }
}

/// Takes the first processor for so long. False: it is not allowed to.
fn hog(us: u64, took: &AtomicBool) -> bool {
    pin(None, true);
    let end = sys::now() + Micros::from_us(us);
    let is_allowed = sys::set_fifo(HOG_PRIORITY).is_ok();
    took.store(true, Ordering::Release);
    while is_allowed && sys::now() < end {
        std::hint::spin_loop();
    }
    is_allowed
}

#[test]
fn a_reader_without_its_processor_knows_how_old_a_receipt_may_be() {
    let _alone = alone();
    if !thread::scope(|scope| scope.spawn(|| hog(0, &AtomicBool::new(false))).join().expect("it ends")) {
        return left_out(
            "receipts of a reader without its processor",
            "real-time priority is not allowed here",
        );
    }
    let judged = proved(without_its_processor);
    assert!(judged.wide > 0 && judged.stalls > 0 && judged.photos > 0, "{judged:?}");
}

fn without_its_processor() -> Result<Judged, String> {
    let mut table = Table::new();
    let mut dice = Dice(sys::now().as_us());
    pin(Some(table.reader()), true);
    for round in 0..HOGS {
        let took = AtomicBool::new(false);
        let us = 40_000 + dice.below(80_000);
        thread::scope(|scope| {
            scope.spawn(|| hog(us, &took));
            scope.spawn(|| {
                pin(None, false);
                while !took.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                table.hit(1 + (round % 2) as u16);
                pause(dice.below(us * 3 / 4));
                table.hit(2 - (round % 2) as u16);
            });
        });
        table.wait_told(2);
    }
    table.judged()
}

#[test]
fn a_reader_like_any_other_among_busy_ones_knows_how_old_a_receipt_may_be() {
    let _alone = alone();
    if !make_ordinary(&Table::new()) {
        return left_out("receipts of an ordinary reader", "chrt is not here, or may not");
    }
    let judged = proved(among_busy_ones);
    assert!(judged.certain > 0, "{judged:?}");
}

/// Takes the reader's real-time priority away, where it has one.
fn make_ordinary(table: &Table) -> bool {
    let reader = table.reader().as_raw_nonzero().to_string();
    let ordinary =
        Command::new("chrt").args(["--other", "--pid", "0", &reader]).stderr(Stdio::null()).status();
    ordinary.is_ok_and(|status| status.success())
}

fn among_busy_ones() -> Result<Judged, String> {
    let mut table = Table::new();
    let mut dice = Dice(sys::now().as_us());
    make_ordinary(&table);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..BUSY_LOOPS {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for _ in 0..HITS / 2 {
            table.hit(1 + dice.below(2) as u16);
            pause(dice.below(6000));
            table.hit(1 + dice.below(2) as u16);
            table.wait_told(2);
        }
        done.store(true, Ordering::Relaxed);
    });
    table.judged()
}
