//! Cases about the plug: the power goes at any moment, and the log has what it said to be durable.
//!
//! Enters seeds, which choose the moments; leaves, per case, how many cuts there were and what they cost. Guarantee checked
//! after every cut: all up to the last `durable_seq` that `/healthz` gave is on the disk byte for byte, before and after the
//! next start; `buzzerd log verify` finds one whole chain; bytes that were no whole line lie in a file of their own, for
//! good; the start has a name that was never used; and the next press is told. `BUZZERD_SLOW=1`: twenty times as many cuts.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use buzzer_server::log::segments::SEGMENT_BYTES_MAX;
use buzzer_server::log::{ChainHash, encode};
use buzzer_server::record::{Fact, Record};
use buzzer_tests::harness::sim_disk::Dice;
use serde_json::{Value, json};

use crate::client::Client;
use crate::daemon::{self, Daemon};
use crate::deadline::{Outcome, Why, ensure, until};
use crate::disk::Disk;
use crate::uinput::{A, Button, let_pass};

/// Contacts that do not bounce: the tests press faster than people.
const CONFIG: &str = r#"
[[pool]]
id = "stage"
match = { name = "power button" }
buzzers = { "1" = "KEY_A" }
debounce_us = 0
"#;
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
    /// What must be there for ever.
    promised: Vec<u8>,
    /// Bytes behind the last whole line that a start has found, for ever too.
    torn: Vec<Vec<u8>>,
    /// Checkpoints that it said it had signed.
    signed: BTreeSet<PathBuf>,
    /// Names of starts that were seen on the disk or on their way to it.
    starts: BTreeSet<String>,
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
            daemon: Daemon::to_start_at(name, log, run, CONFIG)?,
            disk,
            button: Button::plug("power button")?,
            is_down: false,
            promised: Vec::new(),
            torn: Vec::new(),
            signed: BTreeSet::new(),
            starts: BTreeSet::new(),
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
                if self.segments()?.len() > 1 {
                    break durable_seq;
                }
            },
        };
        let signed = self.daemon.said("signed in ")?;
        self.disk.cut()?;
        self.signed.extend(signed.into_iter().map(PathBuf::from));
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
        let written = self.stream()?;
        self.promise(&written, durable_seq)?;
        self.starts.extend(starts(&written)?);
        if self.journal == Journal::InMemory {
            remove_all(self.daemon.runtime_folder())?;
        }
        self.disk.restore()?;
        let kept = self.stream()?;
        self.keeps_promise(&kept, "on the disk")?;
        for path in &self.signed {
            ensure(path.exists(), || format!("{} is gone", path.display()))?;
        }
        // What was signed must not be missing either, whether it came to say so or not.
        self.promise(&kept, self.signed_seq()?)?;
        self.gone += last_seq(&written).saturating_sub(last_seq(&kept));
        if self.dice.permille(300) {
            self.tear(&kept)?;
        }
        let kept = self.stream()?;
        let torn = &kept[whole(&kept)..];
        // A journal that was not lost may have the whole line.
        if !torn.is_empty() && self.journal == Journal::InMemory {
            self.torn.push(torn.to_vec());
        }
        Ok(())
    }

    /// From now on this must be there.
    fn promise(&mut self, stream: &[u8], durable_seq: u64) -> Outcome {
        let promised = lines(stream).take_while(|line| seq(line).is_ok_and(|seq| seq <= durable_seq));
        let promised = &stream[..promised.map(<[u8]>::len).sum()];
        ensure(durable_seq == 0 || last_seq(promised) == durable_seq, || {
            format!(
                "seq {durable_seq} was said to be durable, and there is no more than {}",
                last_seq(promised)
            )
        })?;
        if promised.len() > self.promised.len() {
            self.promised = promised.to_vec();
        }
        Ok(())
    }

    /// The last record of which a checkpoint is on the disk.
    fn signed_seq(&self) -> Outcome<u64> {
        let folder = self.disk.mount_point().join("log/checkpoints");
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let texts = names.filter(|name| name.ends_with(".txt"));
        let seqs = texts.map(|name| name.split('-').next().unwrap_or_default().parse().why(&name));
        Ok(seqs.collect::<Outcome<Vec<u64>>>()?.into_iter().max().unwrap_or_default())
    }

    /// What was not promised may be there in part: a card writes one block, and not the next.
    fn tear(&mut self, kept: &[u8]) -> Outcome {
        let Some(last) = self.segments()?.pop() else { return Ok(()) };
        let len = fs::metadata(&last).why(last.display())?.len();
        let spare = (kept.len() - self.promised.len()).min(usize::try_from(len).why("length")?);
        let cut = self.dice.below(spare) as u64;
        let file = File::options().write(true).open(&last).why(last.display())?;
        file.set_len(len - cut).and_then(|()| file.sync_all()).why(last.display())
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
        let stream = self.stream()?;
        self.keeps_promise(&stream, "after the start")?;
        let starts = starts(&stream)?;
        let unique: BTreeSet<&String> = starts.iter().collect();
        let last = starts.last().ok_or("no start in the log")?;
        ensure(unique.len() == starts.len() && !self.starts.contains(last), || {
            format!("{last}: a start of this name was there before")
        })?;
        let mut aside = Vec::new();
        for path in self.files()? {
            if path.to_string_lossy().contains(".torn-") {
                aside.push(fs::read(&path).why(path.display())?);
            }
        }
        self.torn.iter().try_for_each(|torn| {
            ensure(aside.contains(torn), || format!("{} bytes of a torn tail are gone", torn.len()))
        })
    }

    fn keeps_promise(&self, stream: &[u8], when: &str) -> Outcome {
        let equal = stream.iter().zip(&self.promised).take_while(|(kept, promised)| kept == promised).count();
        ensure(equal == self.promised.len(), || {
            format!(
                "{when}: the log was durable up to {}, and is so up to {}: {} of {} bytes",
                last_seq(&self.promised),
                last_seq(&stream[..equal]),
                equal,
                self.promised.len()
            )
        })
    }

    fn files(&self) -> Outcome<Vec<PathBuf>> {
        let log = self.disk.mount_point().join("log");
        if !log.exists() {
            // The power went before there was one.
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&log).why(log.display())?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        Ok(files)
    }

    fn segments(&self) -> Outcome<Vec<PathBuf>> {
        let mut files = self.files()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        Ok(files)
    }

    fn stream(&self) -> Outcome<Vec<u8>> {
        let segments = self.segments()?;
        let segments = segments.iter().map(|path| fs::read(path).why(path.display()));
        Ok(segments.collect::<Outcome<Vec<_>>>()?.concat())
    }

    fn end(&self, cuts: usize) -> Outcome {
        println!(
            "    {}: {} cuts, {} torn tails, {} records gone",
            self.name,
            self.cuts,
            self.torn.len(),
            self.gone
        );
        ensure(self.cuts >= cuts, || format!("{} cuts", self.cuts))
    }
}

fn times(rounds: u64) -> u64 {
    let slow = std::env::var("BUZZERD_SLOW").is_ok_and(|slow| !slow.is_empty());
    if slow { rounds * 20 } else { rounds }
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
        machine.promised.clone_from(&full);
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
        let fact = Fact::Refuse { pool: "stage".to_owned(), by: "somebody".to_owned(), message };
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

fn lines(stream: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    stream[..whole(stream)].split_inclusive(|byte| *byte == b'\n')
}

/// Where the last whole line ends.
fn whole(stream: &[u8]) -> usize {
    stream.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn seq(line: &[u8]) -> Outcome<u64> {
    buzzer_server::log::line::seq_of(line).ok_or_else(|| "a line without a seq".to_owned())
}

fn last_seq(stream: &[u8]) -> u64 {
    lines(stream).next_back().and_then(|line| seq(line).ok()).unwrap_or_default()
}

fn starts(stream: &[u8]) -> Outcome<Vec<String>> {
    let starts = lines(stream).filter(|line| line.windows(14).any(|bytes| bytes == br#""kind":"start""#));
    let name = |line: &[u8]| -> Outcome<String> {
        let record: Value = serde_json::from_slice(line).why("start")?;
        Ok(record["log"].as_str().unwrap_or_default().to_owned())
    };
    starts.map(name).collect()
}

fn remove_all(folder: &std::path::Path) -> Outcome {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}
