//! Cases about the plug: the power goes at any moment, and the log has what it said to be durable.
//!
//! Enters seeds, which choose the moments; leaves, per case, how many cuts there were and what they cost. Guarantee checked
//! after every cut: all up to the last `durable_seq` that `/healthz` gave is on the disk byte for byte, before and after the
//! next start; `buzzerd log verify` finds one whole chain; bytes that were no whole line lie in a file of their own, for
//! good; the start has a name that was never used; and the next press is told. `BUZZERD_SLOW=1`: twenty times as many cuts.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use buzzer_server::log::store::segments::SEGMENT_BYTES_MAX;
use buzzer_server::log::{ChainHash, encode};
use buzzer_server::record::{Fact, Record};
use buzzer_tests::harness::sim_disk::Dice;
use buzzer_tests::is_slow;
use serde_json::{Value, json};

use crate::client::Client;
use crate::daemon::{self, Daemon};
use crate::deadline::{Outcome, Why, ensure, until};
use crate::disk::Disk;
use crate::promise::Promise;
use crate::uinput::{A, Button, let_pass};

/// Contacts that do not bounce: the tests press faster than people.
const CONFIG: &str = r#"
[[pool]]
id = "stage"
match = { name = "power button" }
buzzers = { "1" = "KEY_A" }
debounce_us = 0
"#;
/// Behind this the daemon says where a checkpoint is.
const SIGNED: &str = "signed in ";
/// A start under emulation takes a few hundred ms; a cut comes anywhere in it.
const START_US_MAX: usize = 500_000;
/// Room that is left in a segment: for the records of a start, and some presses.
const ROOM_BYTES: usize = 5_000;

/// Where the journal is.
#[derive(Clone, Copy, PartialEq)]
enum Journal {
    /// In memory, as it should be: it goes with the power.
    InMemory,
    /// On the same disk, for want of a runtime directory.
    OnDisk,
}

/// When the power goes.
#[derive(Debug)]
enum Moment {
    /// After so many edges of a contact, each of which was durable before the next: nothing is under way.
    Quiet(usize),
    /// While presses come as fast as the kernel takes them, when there are so many more records.
    Busy(u64),
    /// With the first record of a new segment.
    SegmentChange,
}

/// A box with a plug.
struct Machine {
    name: &'static str,
    dice: Dice,
    journal: Journal,
    // Before the disk: it must have ended when that is unmounted.
    daemon: Daemon,
    disk: Disk,
    button: Button,
    is_down: bool,
    log: Promise,
    cuts: usize,
    /// Records that were written and are gone; they were not promised.
    gone: u64,
}

impl Machine {
    fn new(name: &'static str, journal: Journal) -> Outcome<Self> {
        let folder = daemon::folder(name);
        remove_all(&folder)?;
        let disk = Disk::format_at(&folder.join("disk"))?;
        let log = disk.mount_point().join("log");
        let run = match journal {
            Journal::InMemory => folder.join("run"),
            Journal::OnDisk => disk.mount_point().join("run"),
        };
        Ok(Self {
            name,
            dice: Dice(0),
            journal,
            daemon: Daemon::to_start_at(name, log.clone(), run, CONFIG)?,
            disk,
            button: Button::plug("power button")?,
            is_down: false,
            log: Promise::of(log),
            cuts: 0,
            gone: 0,
        })
    }

    /// One evening: it starts, is played with, and loses its power.
    fn round(&mut self, seed: u64, moment: Option<Moment>) -> Outcome {
        self.dice = Dice(seed);
        // The power goes once more while it comes up.
        while self.dice.permille(300) {
            let us = self.dice.below(START_US_MAX);
            self.starting(us).map_err(|why| format!("seed {seed}, cut {us} us after a start: {why}"))?;
        }
        let moment = moment.unwrap_or_else(|| match self.dice.below(2) {
            0 => Moment::Quiet(self.dice.below(5)),
            _ => Moment::Busy(self.dice.below(60) as u64),
        });
        self.playing(&moment)
            .map_err(|why| format!("seed {seed}, cut {moment:?}: {why}{}", self.daemon.last_words()))
    }

    fn starting(&mut self, us: usize) -> Outcome {
        self.disk.prepare_cut()?;
        self.daemon.begin_again()?;
        let_pass(i64::try_from(us).why("moment")?)?;
        self.disk.cut()?;
        self.back(0)
    }

    fn playing(&mut self, moment: &Moment) -> Outcome {
        // Between a cut and the end of its process, a start may have said what no disk took any more.
        let said_before = self.daemon.said(SIGNED).map_or(0, |said| said.len());
        self.daemon.start_again()?;
        self.check_start()?;
        self.disk.prepare_cut()?;
        let durable_seq = match moment {
            Moment::Quiet(edges) => {
                (0..*edges).try_for_each(|_| self.edge_durably().map(drop))?;
                self.all_is_durable()?
            }
            Moment::Busy(records) => return self.busy(*records),
            Moment::SegmentChange => loop {
                let durable_seq = self.edge_durably()?;
                if self.log.segments()?.len() > 1 {
                    break durable_seq;
                }
            },
        };
        let signed = self.daemon.said(SIGNED)?;
        self.disk.cut()?;
        self.log.signed(signed.into_iter().skip(said_before));
        self.back(durable_seq)
    }

    fn busy(&mut self, records: u64) -> Outcome {
        let ends = AtomicBool::new(false);
        let (button, disk, daemon, dice) = (&mut self.button, &self.disk, &self.daemon, &mut self.dice);
        let durable_seq = std::thread::scope(|scope| {
            let pressing = scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    button.press(A)?;
                    button.release(A)?;
                    if dice.permille(200) {
                        let_pass(i64::try_from(dice.below(8_000)).why("pause")?)?;
                    }
                }
                Ok(())
            });
            let cut = (|| {
                let first_seq = number(&daemon.healthz()?, "durable_seq")?;
                let durable_seq = until("records", || match daemon.healthz() {
                    Ok(page) => {
                        let durable_seq = number(&page, "durable_seq");
                        durable_seq.map(|seq| (seq >= first_seq + records).then_some(seq)).transpose()
                    }
                    Err(why) => Some(Err(why)),
                })??;
                disk.cut()?;
                Ok(durable_seq)
            })();
            ends.store(true, Ordering::Relaxed);
            pressing.join().unwrap_or_else(|_| Err("panicked".to_owned())).and(cut)
        })?;
        self.back(durable_seq)
    }

    /// The contact closes or opens, once. No other record is on its way to the disk then: that would bring along what this
    /// one has left behind.
    fn edge_durably(&mut self) -> Outcome<u64> {
        let before = number(&self.daemon.healthz()?, "seq")?;
        self.is_down = !self.is_down;
        self.button.send(A, i32::from(self.is_down))?;
        until("the record", || (number(&self.daemon.healthz().ok()?, "seq").ok()? > before).then_some(()))?;
        self.all_is_durable()
    }

    fn all_is_durable(&self) -> Outcome<u64> {
        until("all records on the disk", || {
            let page = self.daemon.healthz().ok()?;
            let durable_seq = number(&page, "durable_seq").ok()?;
            (durable_seq == number(&page, "seq").ok()?).then_some(durable_seq)
        })
    }

    /// The process ends with the machine, and the machine boots again. Up to `durable_seq` all was durable.
    fn back(&mut self, durable_seq: u64) -> Outcome {
        self.cuts += 1;
        self.daemon.crash()?;
        let written = self.log.is_written(durable_seq)?;
        if self.journal == Journal::InMemory {
            remove_all(self.daemon.runtime_folder())?;
        }
        self.disk.restore()?;
        let kept = self.log.is_kept_by_the_disk()?;
        self.gone += written.saturating_sub(kept);
        if self.dice.permille(300) {
            self.log.tear(&mut self.dice)?;
        }
        // A journal that was not lost may have the whole line.
        if self.journal == Journal::InMemory { self.log.notice_torn() } else { Ok(()) }
    }

    /// A start remembers what was connected, unless the cut took that.
    fn connect(&self, client: &mut Client) -> Outcome {
        client.send(&json!({"command": "connect", "pool": "stage"}))?;
        let (mut is_answered, mut is_there) = (false, false);
        while !(is_answered && is_there) {
            let frame = client.next()?;
            is_answered |= frame["result"] == "connect";
            is_there |= frame["event"] == "connected" || frame["buzzers"] == json!([1]);
        }
        Ok(())
    }

    /// It is up after a cut: nothing that was promised is missing, and it plays.
    fn check_start(&mut self) -> Outcome {
        let mut client = self.daemon.client()?;
        self.connect(&mut client)?;
        self.button.release(A)?;
        self.button.press(A)?;
        client.expect_buzz("stage", 1)?;
        self.is_down = true;
        let verify = self.daemon.run(&["log", "verify"])?;
        let words = || String::from_utf8_lossy(&[&verify.stdout[..], &verify.stderr].concat()).into_owned();
        ensure(verify.status.success(), || format!("log verify: {}: {}", verify.status, words()))?;
        self.all_is_durable()?;
        self.log.is_kept_by_a_start()
    }

    fn end(&self, cuts: usize) -> Outcome {
        println!(
            "    {}: {} cuts, {} torn tails, {} records gone",
            self.name,
            self.cuts,
            self.log.torn(),
            self.gone
        );
        ensure(self.cuts >= cuts, || format!("{} cuts", self.cuts))
    }
}

fn times(rounds: u64) -> u64 {
    if is_slow() { rounds * 20 } else { rounds }
}

fn keeps_what_was_durable(name: &'static str, journal: Journal, rounds: u64) -> Outcome {
    let mut machine = Machine::new(name, journal)?;
    (1..=times(rounds)).try_for_each(|seed| machine.round(seed, None))?;
    machine.end(rounds as usize)
}

pub(crate) fn keeps_what_was_durable_without_the_journal() -> Outcome {
    keeps_what_was_durable("cut", Journal::InMemory, 26)
}

pub(crate) fn keeps_what_was_durable_with_the_journal() -> Outcome {
    keeps_what_was_durable("cut-journal", Journal::OnDisk, 12)
}

/// The name of a new segment is as durable as what stands in it.
pub(crate) fn keeps_a_new_segment() -> Outcome {
    let full = nearly_full_segment();
    for seed in 1..=times(4) {
        let mut machine = Machine::new("cut-segment", Journal::InMemory)?;
        let log = machine.disk.mount_point().join("log");
        fs::create_dir(&log).why(log.display())?;
        let path = log.join("000001-1.jsonl");
        fs::write(&path, &full).why(path.display())?;
        for path in [&path, &log, machine.disk.mount_point()] {
            File::open(path).and_then(|file| file.sync_all()).why(path.display())?;
        }
        machine.log.must_have(&full);
        machine.round(seed, Some(Moment::SegmentChange))?;
        machine.round(seed + 1_000, Some(Moment::Quiet(1)))?;
        machine.daemon.start_again()?;
        machine.check_start()?;
        machine.end(2)?;
    }
    Ok(())
}

fn nearly_full_segment() -> Vec<u8> {
    let (mut head, mut lines) = (ChainHash::START, Vec::new());
    let full = usize::try_from(SEGMENT_BYTES_MAX).unwrap_or(usize::MAX) - ROOM_BYTES;
    for seq in 1.. {
        let message = "x".repeat((full - lines.len()).min(4_000));
        let fact = Fact::Refuse {
            pool: "stage".to_owned(),
            by: "somebody".to_owned(),
            message,
            times: 1,
            since_us: None,
        };
        encode(&Record { seq, at_us: seq, fact }, &mut head, &mut lines);
        if lines.len() >= full {
            break;
        }
    }
    lines
}

fn number(page: &Value, key: &str) -> Outcome<u64> {
    page[key].as_u64().ok_or_else(|| format!("/healthz: no {key} in {page}"))
}

fn remove_all(folder: &Path) -> Outcome {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}
