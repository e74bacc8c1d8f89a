//! The log on a disk that fails and forgets. In: seeds. Out: what a log is worth after a few hundred appends, faults, crashes
//! and power cuts. Guarantee checked after every crash:
//!
//! - A. what was said to be durable is there, byte for byte; after a crash of the process alone, also what was in the journal;
//! - B. what is there was written, in this order, and is one chain; only what was reported as damage or lost is missing;
//! - C. the fold of it is the state that the daemon had when it wrote the last of these records;
//! - D. no number was given twice within one start.
//!
//! `BUZZERD_SLOW=1`: a hundred times as many seeds.

use std::collections::BTreeMap;

use buzzer_core::time::KernelTime;
use buzzer_server::game::state::State;
use buzzer_server::log::store::journal;
use buzzer_server::log::store::journal::{Journal, JournalLimits};
use buzzer_server::log::store::recovery;
use buzzer_server::log::store::segments::Segments;
use buzzer_server::log::store::storage::Directory;
use buzzer_server::log::store::writer::{Turn, Writer};
use buzzer_server::log::{Line, SegmentName};
use buzzer_server::record::{DeviceDelay, Fact, Record, Stamps};
use buzzer_tests::harness::sim_disk::{Dice, Faults, SimDir, SimFile};
use buzzer_tests::is_slow;

const SEEDS: u64 = 20_000;
const STEPS: usize = 60;
const SEGMENT_BYTES: u64 = 3000;
const LIMITS: JournalLimits = JournalLimits { turn: 700, file: 4000, memory: 3000 };

/// A box: its disk, and everything that was ever written there.
struct Machine {
    dice: Dice,
    dir: SimDir,
    runtime: SimDir,
    /// Whether the runtime directory is memory.
    is_memory: bool,
    running: Option<Running>,
    now: KernelTime,
    boot: u64,
    starts: u64,
    /// Every record that was ever made and is not known to be lost, with the state after it.
    history: BTreeMap<u64, (Record, State)>,
    /// The last record that was said to be durable.
    durable_seq: u64,
    /// The last record that was in the journal.
    kept_seq: u64,
    /// Records that were reported as lost.
    losses: u64,
    /// Records that were reported as damaged.
    holes: u64,
}

struct Running {
    journal: Journal<SimFile>,
    writer: Writer<SimDir, SimDir>,
    state: State,
}

impl Machine {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let dir = SimDir::new(dice.roll());
        Self {
            runtime: SimDir::new(dice.roll()),
            is_memory: dice.permille(700),
            dir,
            dice,
            running: None,
            now: KernelTime::from_us(1),
            boot: 0,
            starts: 0,
            history: BTreeMap::new(),
            durable_seq: 0,
            kept_seq: 0,
            losses: 0,
            holes: 0,
        }
    }

    fn quiet(&self) {
        [&self.dir, &self.runtime].into_iter().for_each(|dir| {
            dir.set_faults(Faults::default());
            dir.set_room(usize::MAX);
        });
    }

    /// Starts a process; false: it could not.
    fn start(&mut self) -> bool {
        let header = journal::header(&format!("{:032x}", self.starts + 1), &self.boot.to_string());
        let Ok(found) = recovery::recover(&self.dir, &self.runtime, &header, &Vec::new) else { return false };
        let tip = found.state.seq();
        if std::env::var_os("BUZZERD_SEED").is_some() {
            let from: Vec<_> = found.journal.iter().map(|file| (file.name, file.start, file.end)).collect();
            self.tell();
            println!("found {tip}, durable {}, journal {from:?}, {:?}", found.durable_seq, found.notes);
        }
        let journal = found.journal.iter().flat_map(|file| {
            self.runtime.content(file.name)[file.start as usize..file.end as usize].to_vec()
        });
        let is_damaged = found.notes.iter().any(|note| matches!(note, Fact::Damage { .. }));
        self.check(tip, &found.state, &journal.collect::<Vec<_>>(), is_damaged);
        self.starts += 1;
        let (journal, feed) = journal::open(self.runtime.clone(), header, found.journal, found.head, LIMITS);
        let segments = Segments::new(self.dir.clone(), found.number, SEGMENT_BYTES, found.resume);
        let writer = Writer::new(feed, segments, found.durable_seq);
        self.running = Some(Running { journal, writer, state: found.state });
        self.kept_seq = tip;
        let start = Fact::Start {
            log: format!("{:032x}", self.starts),
            boot: self.boot.to_string(),
            version: String::new(),
            wall_us: self.dice.roll() >> 20, // The wall clock steps as it likes.
            settle_us: 0,
            realtime: false,
        };
        let notes = [start].into_iter().chain(found.notes).collect();
        self.append(notes);
        true
    }

    fn append(&mut self, facts: Vec<Fact>) {
        let Some(running) = &mut self.running else { return };
        let records: Vec<Record> = facts
            .into_iter()
            .map(|fact| {
                let record = Record { seq: running.state.seq() + 1, at_us: self.now.as_us(), fact };
                running.state.apply(&record, |_| {});
                self.history.insert(record.seq, (record.clone(), running.state.clone()));
                record
            })
            .collect();
        let hole = running.journal.hole();
        running.journal.append(&records);
        if let Some(hole) = hole.and_then(|_| running.journal.hole()) {
            let (first_seq, last_seq) = (hole.first_seq, running.state.seq());
            let record = Record {
                seq: last_seq + 1,
                at_us: self.now.as_us(),
                fact: Fact::Lost { first_seq, last_seq },
            };
            running.state.apply(&record, |_| {});
            self.history.insert(record.seq, (record.clone(), running.state.clone()));
            running.journal.end_hole(&record);
            if !running.journal.is_losing() {
                for seq in first_seq..=last_seq {
                    self.history.remove(&seq);
                    self.losses += 1;
                }
            }
        }
        if running.journal.suspended().is_none() && !running.journal.is_losing() {
            self.kept_seq = running.state.seq();
        }
    }

    /// Looks at what a start has found.
    fn check(&mut self, tip: u64, state: &State, journal: &[u8], is_damaged: bool) {
        assert!(tip >= self.durable_seq, "A: {} was durable, {tip} is the last", self.durable_seq);
        assert!(tip >= self.kept_seq, "A: {} was in the journal, {tip} is the last", self.kept_seq);
        let mut segments: Vec<(SegmentName, Vec<u8>)> = Vec::new();
        let names = self.dir.list().unwrap();
        segments
            .extend(names.iter().filter_map(|name| Some((SegmentName::of(name)?, self.dir.content(name)))));
        segments.sort_by_key(|(name, _)| *name);
        let stream: Vec<u8> =
            segments.into_iter().flat_map(|(_, bytes)| bytes).chain(journal.to_vec()).collect();
        let parsed = stream.split(|byte| *byte == b'\n').filter_map(|line| Line::parse(line).ok());
        let lines: BTreeMap<u64, Record> =
            parsed.filter_map(|line| Some((line.seq, line.record().ok()?))).collect();
        for (seq, (record, _)) in self.history.range(..=self.durable_seq.max(self.kept_seq)) {
            assert_eq!(lines.get(seq), Some(record), "A, B: record {seq} is there as it was written");
        }
        // What was neither durable nor in the journal may have left a hole, which is said then.
        // Or a line of a process before the last one is back, with all that it followed from.
        let missing = self.history.range(..=tip).filter(|(seq, _)| !lines.contains_key(seq)).count();
        assert!(missing == 0 || is_damaged, "B: {missing} records are missing, and nothing says so");
        let before = self.history.range(..=tip).count();
        self.history.retain(|seq, (record, _)| lines.get(seq).is_none_or(|line| line == record));
        self.history.retain(|seq, _| *seq > tip || lines.contains_key(seq));
        self.holes += (before - self.history.range(..=tip).count()) as u64;
        if let Some((_, live)) = self.history.get(&tip) {
            // Devices and buttons end with the process: compared is what the next start makes of it.
            let start = Record {
                seq: tip + 1,
                at_us: 0,
                fact: Fact::Start {
                    log: String::new(),
                    boot: self.boot.to_string(),
                    version: String::new(),
                    wall_us: 0,
                    settle_us: 0,
                    realtime: false,
                },
            };
            let (mut live, mut found) = (live.clone(), state.clone());
            live.apply(&start, |_| {});
            found.apply(&start, |_| {});
            // A hole is named, but what the lost records changed is not known to the log.
            assert!(self.losses + self.holes > 0 || live == found, "C: {live:?} {found:?}");
        } else {
            assert!(tip == 0 || self.holes > 0, "B: the last record was written");
        }
        // D: what comes now has numbers that no record has that could still be found.
        self.history.retain(|seq, _| *seq <= tip);
        self.durable_seq = self.durable_seq.min(tip);
    }

    fn turns(&mut self, turns: usize) {
        let Some(running) = &mut self.running else { return };
        for _ in 0..turns {
            let turn = running.writer.turn(self.now);
            if turn == Turn::Idle || !running.writer.is_failing() {
                self.durable_seq = self.durable_seq.max(running.writer.durable_seq());
            }
            if turn != Turn::Again {
                break;
            }
        }
    }

    fn step(&mut self) {
        self.now = self.now + buzzer_core::time::Micros::from_us(self.dice.roll() % 400_000);
        let what = self.dice.below(100);
        if self.running.is_none() {
            self.quiet();
            assert!(self.start(), "a disk without faults has a log to go on with");
            return;
        }
        match what {
            0..45 => {
                let count = 1 + self.dice.below(6);
                let facts = (0..count).map(|_| self.fact()).collect();
                self.append(facts);
            }
            45..75 => {
                let turns = 1 + self.dice.below(4);
                self.turns(turns);
            }
            75..83 => {
                let mut rate = || if self.dice.permille(400) { self.dice.roll() % 300 } else { 0 };
                let faults = Faults { short: rate(), write: rate(), sync: rate(), names: rate() };
                let dir = if self.dice.permille(500) { &self.dir } else { &self.runtime };
                dir.set_faults(faults);
            }
            83..86 => {
                let room = 1000 + self.dice.below(40_000);
                let dir = if self.dice.permille(500) { &self.dir } else { &self.runtime };
                dir.set_room(room);
            }
            86..90 => self.quiet(),
            90..95 => {
                self.running = None;
                [&self.dir, &self.runtime].into_iter().for_each(SimDir::kill_process);
            }
            _ => {
                self.running = None;
                self.dir.cut_power();
                if self.is_memory {
                    self.runtime.clear();
                } else {
                    self.runtime.cut_power();
                }
                self.kept_seq = 0;
                self.boot += 1;
            }
        }
    }

    /// What there is after a step, if one seed alone is looked at.
    fn tell(&self) {
        if std::env::var_os("BUZZERD_SEED").is_none() {
            return;
        }
        let seqs = |dir: &SimDir, name: &str| -> Vec<u64> {
            let content = dir.content(name);
            content
                .split(|byte| *byte == b'\n')
                .filter_map(|line| Line::parse(line).ok())
                .map(|line| line.seq)
                .collect()
        };
        let seq = self.running.as_ref().map(|running| running.state.seq());
        println!("seq {seq:?}, durable {}, kept {}", self.durable_seq, self.kept_seq);
        for dir in [&self.dir, &self.runtime] {
            for name in dir.list().unwrap() {
                println!("    {name}: {:?}", seqs(dir, &name));
            }
        }
    }

    fn fact(&mut self) -> Fact {
        let pool = format!("pool{}", self.dice.below(4)).parse().unwrap();
        match self.dice.below(4) {
            0 => Fact::Connect { pool, by: "somebody".to_owned(), asked_us: None },
            1 => Fact::Anchor { wall_us: self.dice.roll() >> 20, bracket_us: 1, synced: None },
            2 => Fact::Refuse {
                pool: "x".repeat(self.dice.below(64)),
                by: String::new(),
                message: String::new(),
                times: 1,
                since_us: None,
            },
            _ => Fact::Attach {
                device: self.dice.below(9) as u32,
                pool,
                name: String::new(),
                place: String::new(),
                stamps: Stamps::Kernel,
                buzzers: vec![1, 2],
                delay: DeviceDelay { delay_us: [0, self.dice.roll() % 9], ..DeviceDelay::default() },
            },
        }
    }
}

fn run(seed: u64) -> Machine {
    let mut machine = Machine::new(seed);
    for _ in 0..STEPS {
        machine.step();
        machine.tell();
    }
    // In the end all is well again, and all that is left becomes durable.
    machine.quiet();
    if machine.running.is_none() {
        assert!(machine.start());
    }
    machine.now = machine.now + buzzer_core::time::Micros::from_ms(60_000);
    machine.append(vec![Fact::Stop {}]);
    machine.turns(10_000);
    machine.append(vec![Fact::Stop {}]);
    machine.turns(10_000);
    let last = machine.running.as_ref().unwrap().state.seq();
    assert_eq!(machine.durable_seq, last, "all is durable");
    machine.running = None;
    machine.dir.cut_power();
    machine.runtime.clear();
    machine.kept_seq = 0;
    assert!(machine.start());
    machine
}

#[test]
fn a_log_survives_every_disk_that_keeps_what_it_has_synced() {
    let slow = is_slow();
    let seeds = if slow { SEEDS * 100 } else { SEEDS };
    let seeds = std::env::var("BUZZERD_SEEDS").map_or(seeds, |seeds| seeds.parse().unwrap());
    let only = std::env::var("BUZZERD_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    if let Some(seed) = only {
        run(seed);
        return;
    }
    let threads = 2;
    let (records, losses) = std::thread::scope(|scope| {
        let part = |thread: u64| {
            let (mut records, mut losses) = (0, 0);
            for seed in (thread..seeds).step_by(threads as usize) {
                let machine = std::panic::catch_unwind(|| run(seed));
                let machine = machine
                    .unwrap_or_else(|_| panic!("seed {seed}: see above; BUZZERD_SEED={seed} runs it alone"));
                records += machine.history.len() as u64;
                losses += machine.losses;
            }
            (records, losses)
        };
        let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        let parts = parts.into_iter().map(|part| part.join().expect("every seed holds"));
        parts.fold((0, 0), |(records, losses), (more, lost)| (records + more, losses + lost))
    });
    println!("{seeds} seeds, {records} records kept, {losses} lost and named");
    assert!(losses > 0, "some disks were full for long");
}

/// A log of so many records, and where its lines end.
fn written(records: u64) -> (Vec<u8>, Vec<usize>) {
    let (mut head, mut lines, mut ends) = (buzzer_server::log::ChainHash::START, Vec::new(), vec![0]);
    let mut dice = Dice(7);
    for seq in 1..=records {
        let fact = match dice.below(3) {
            0 => Fact::Connect {
                pool: "stage".parse().unwrap(),
                by: "x".repeat(dice.below(30)),
                asked_us: None,
            },
            1 => Fact::Anchor { wall_us: dice.roll(), bracket_us: 1, synced: None },
            _ => Fact::RingFull { waiting_max: 7 },
        };
        buzzer_server::log::encode(&Record { seq, at_us: dice.roll() >> 30, fact }, &mut head, &mut lines);
        ends.push(lines.len());
    }
    (lines, ends)
}

/// What a start makes of these bytes as segment `name`, which must end with a whole line at `want`.
fn cut_is_found(name: SegmentName, bytes: &[u8], want: usize, last_seq: u64) {
    let (dir, runtime) = (SimDir::new(1), SimDir::new(2));
    let name = name.to_string();
    dir.put(&name, bytes);
    let found = recovery::recover(&dir, &runtime, b"{}\n", &Vec::new).unwrap();
    assert_eq!(found.state.seq(), last_seq, "{} bytes", bytes.len());
    assert_eq!(dir.content(&name), bytes[..want], "the whole lines stay, and nothing else");
    let rest = format!("{name}.{}-1", if want > 0 { "torn" } else { "aside" });
    assert_eq!(dir.content(&rest), bytes[want..], "the rest is kept, byte for byte");
    assert_eq!(found.notes.len(), usize::from(bytes.len() > want), "and it is said");
    // All of it is so after a power cut, too.
    dir.cut_power();
    assert_eq!(dir.content(&name), bytes[..want], "the cut is durable");
    assert_eq!(dir.content(&rest), bytes[want..], "and so is the copy");
}

/// The journal took no more lines after the seventh; a sync failed, the kernel forgot the sector that it could not write,
/// and the process died. Seven are in the journal, the last two only in the segment.
#[test]
fn a_hole_in_the_segment_is_filled_from_a_journal_that_ends_before_it() {
    let (lines, ends) = written(9);
    let header = b"{\"v\":1,\"journal\":\"0\",\"boot\":\"0\"}\n";
    for first_kept in 1..=4 {
        let (dir, runtime) = (SimDir::new(1), SimDir::new(2));
        let mut holed = lines.clone();
        holed[ends[3]..ends[5]].fill(0);
        dir.put("000001-1.jsonl", &holed);
        runtime.put("0.journal", &[&header[..], &lines[ends[first_kept - 1]..ends[7]]].concat());
        let found = recovery::recover(&dir, &runtime, header, &Vec::new).unwrap();
        assert_eq!(found.state.seq(), 9);
        let kept = runtime.content("0.journal");
        assert!(kept.ends_with(&lines[ends[3]..]), "from the hole on, all is in the journal");
        assert!(found.durable_seq <= 3, "and is written again");
        assert_eq!(dir.content("000001-1.jsonl"), lines[..ends[3]], "behind the last line that is good");
        assert!(matches!(&found.notes[..], [Fact::Recovered { .. }]), "it is no damage: {:?}", found.notes);
    }
}

#[test]
fn a_log_that_was_cut_at_any_byte_keeps_every_whole_record() {
    /// Whole records before the cut. Those before them were removed, as `log.keep_days` does it, or this takes an hour.
    const BEFORE: usize = 3;
    let (lines, ends) = written(1000);
    let slow = is_slow();
    let mut cuts = 0;
    for (seq, (start, end)) in (1u64..).zip(ends.iter().zip(&ends[1..])) {
        let from = (seq as usize - 1).saturating_sub(BEFORE);
        let name = SegmentName { number: 1, first_seq: from as u64 + 1 };
        let base = ends[from];
        for cut in *start..*end {
            if cut > base {
                cut_is_found(name, &lines[base..cut], start - base, seq - 1);
                cuts += 1;
            }
        }
        // The whole log, at some bytes of every line or at all of them.
        let name = SegmentName { number: 1, first_seq: 1 };
        let step = if slow { 1 } else { 61 };
        for cut in (start + seq as usize % 61 % (end - start)..*end).step_by(step).filter(|cut| *cut > 0) {
            if slow || seq % 8 == 0 {
                cut_is_found(name, &lines[..cut], if seq == 1 { 0 } else { *start }, seq - 1);
            }
        }
    }
    assert!(cuts > 150_000, "{cuts}");
}
