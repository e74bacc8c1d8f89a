//! Old segments go. In: evenings of a real mediator on a disk that forgets, and a daemon on a log of weeks. Out: what is left.
//! Guarantee checked after every crash between the record and the last removal: what is left is one whole log, it says what
//! it lacks, its claims follow, and who was connected still is.

use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind, Flags};
use buzzer_core::time::KernelTime;
use buzzer_server::game::mediator::{Announced, Mediator, Output};
use buzzer_server::game::pool::PoolSpec;
use buzzer_server::game::state::State;
use buzzer_server::judge::audit::Audit;
use buzzer_server::log::store::expiry;
use buzzer_server::log::store::expiry::{History, Now, RetentionLimits, Segment};
use buzzer_server::log::store::journal;
use buzzer_server::log::store::journal::Journal;
use buzzer_server::log::store::recovery;
use buzzer_server::log::store::segments::Segments;
use buzzer_server::log::store::storage::Directory;
use buzzer_server::log::store::writer::{Turn, Writer};
use buzzer_server::log::{ChainHash, Line, SegmentName, Verifier, encode};
use buzzer_server::record::pool_id::PoolId;
use buzzer_server::record::{DeviceDelay, Fact, Record};
use buzzer_tests::harness::session::place;
use buzzer_tests::harness::sim_disk::{SimDir, SimFile};
use buzzer_tests::harness::verifiers::{self, no_python};
use buzzer_tests::{Home, left_out, log};

const DAY_US: u64 = 24 * 3600 * 1_000_000;
const SEGMENT_BYTES: u64 = 4000;

/// A box that is never switched off.
struct Machine {
    dir: SimDir,
    runtime: SimDir,
    starts: u32,
    limits: RetentionLimits,
}

struct Running {
    mediator: Mediator,
    journal: Journal<SimFile>,
    writer: Writer<SimDir, SimDir>,
    /// Segments that go when what was made at the start is durable.
    going: Vec<String>,
    now_us: u64,
}

fn desk() -> PoolId {
    "desk".parse().unwrap()
}

impl Machine {
    fn new(seed: u64) -> Self {
        let limits = RetentionLimits { keep_days: Some(10), keep_bytes: None };
        Self { dir: SimDir::new(seed), runtime: SimDir::new(seed + 1), starts: 0, limits }
    }

    fn segments(&self) -> Vec<(SegmentName, Vec<u8>)> {
        let names = self.dir.list().unwrap();
        let mut segments: Vec<(SegmentName, Vec<u8>)> =
            names.iter().filter_map(|name| Some((SegmentName::of(name)?, self.dir.content(name)))).collect();
        segments.sort_by_key(|(name, _)| *name);
        segments
    }

    /// A process starts, as the daemon does it.
    fn start(&mut self, day: u64) -> Running {
        self.starts += 1;
        let (id, boot, now_us) = (format!("{:032x}", self.starts), "one boot".to_owned(), day * DAY_US);
        let header = journal::header(&id, &boot);
        let found = recovery::recover(&self.dir, &self.runtime, &header, &Vec::new).unwrap();
        assert!(found.notes.is_empty(), "{:?}", found.notes);
        let limits = journal::JournalLimits::default();
        let (journal, feed) = journal::open(self.runtime.clone(), header, found.journal, found.head, limits);
        let segments = Segments::new(self.dir.clone(), found.number, SEGMENT_BYTES, found.resume);
        let writer = Writer::new(feed, segments, found.durable_seq);
        let mut history = History::default();
        self.segments().iter().for_each(|(name, bytes)| history.take(*name, bytes));
        let now = Now { boot: boot.clone(), at_us: now_us, wall_us: None };
        let expired: Vec<Segment> = history.expired(self.limits, &now).to_vec();
        let version = String::new();
        let start = Fact::Start { log: id, boot, version, wall_us: 0, settle_us: 0, realtime: false };
        let specs = vec![PoolSpec { id: desk(), autoconnect: false, slots: None }];
        let at = KernelTime::from_us(now_us);
        let mut mediator = Mediator::new(found.state, specs, start, at);
        expired.iter().filter_map(Segment::note).for_each(|note| mediator.handle_note(note, at));
        let going = expired.iter().map(|segment| segment.name.to_string()).collect();
        let mut running = Running { mediator, journal, writer, going, now_us };
        running.append();
        running
    }

    /// What is on the disk: one chain, whole from its first line or from what a record of it names, and true.
    fn check(&self, connected: bool) -> (u64, u64) {
        let lines: Vec<u8> = self.segments().into_iter().flat_map(|(_, bytes)| bytes).collect();
        let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let first = Line::parse(lines[0]).unwrap();
        let mut verifier = Verifier::from_seq(first.seq);
        let (mut audit, mut found, mut state) = (Audit::default(), Vec::new(), State::default());
        let mut is_named = first.seq == 1;
        for line in &lines {
            let record = verifier.check(line).unwrap().record().unwrap();
            if let Fact::Expired { last_seq, last_hash, .. } = &record.fact {
                let hash: ChainHash = last_hash.parse().unwrap();
                is_named |= last_seq + 1 == first.seq && first.follows(&hash);
            }
            audit.take(&record, &mut found);
            state.apply(&record, |_| {});
        }
        assert!(is_named, "nothing says what seq {} follows from", first.seq);
        assert_eq!(found, []);
        assert_eq!(state.is_connected(&desk()), connected);
        (first.seq, state.seq())
    }
}

impl Running {
    fn append(&mut self) {
        let mut records = Vec::new();
        while let Some(output) = self.mediator.poll_output() {
            match output {
                Output::Record(record) => records.push(record),
                Output::Command(command) => place(&mut self.mediator, command),
                _ => {}
            }
        }
        self.journal.append(&records);
        while self.writer.turn(KernelTime::from_us(self.now_us)) == Turn::Again {}
        assert_eq!(self.writer.durable_seq(), self.mediator.state().seq());
    }

    fn event(&mut self, kind: EventKind) {
        let at = KernelTime::from_us(self.now_us);
        self.mediator.handle_event(Event { at, device: DeviceId::new(1), more: false, kind }, || [0; 8]);
    }

    /// So many days with a few presses each.
    fn play(&mut self, days: u64) {
        if self.mediator.state().devices().next().is_none() {
            let (name, place) = (String::new(), String::new());
            let (stamps, buzzers) = ("receipt".into(), vec![1]);
            let delay = DeviceDelay { delay_us: [0, 700], ..DeviceDelay::default() };
            let announced = Announced { pool: desk(), name, place, stamps, buzzers, delay, curve: None };
            self.mediator.handle_announced(1, announced);
            self.event(EventKind::Attached);
        }
        for _ in 0..days {
            self.now_us += DAY_US;
            for _ in 0..10 {
                self.now_us += 1_000_000;
                self.event(EventKind::Press {
                    buzzer: Buzzer(1),
                    rank: 0,
                    flags: Flags::NONE,
                    back_us: 0,
                    early_us: 0,
                });
                self.event(EventKind::Release { buzzer: Buzzer(1) });
            }
            self.append();
        }
    }

    fn connect(&mut self) {
        let request = buzzer_server::wire::v1::parse(r#"{"command":"connect","pool":"desk"}"#).unwrap();
        let client = buzzer_server::game::ClientId(1);
        self.mediator.handle_request(client, "somebody", request, KernelTime::from_us(self.now_us));
        self.append();
    }
}

#[test]
fn who_is_connected_stays_so_though_the_record_of_it_is_gone_wherever_it_crashes() {
    let mut removals = 0;
    for removed in 0..12 {
        for power in [false, true] {
            let mut machine = Machine::new(removed);
            let mut running = machine.start(1);
            assert_eq!(running.going, [""; 0]);
            running.connect();
            running.play(30);
            let day = running.now_us / DAY_US;
            let mut running = machine.start(day);
            assert!(running.going.len() >= 8, "{:?}", running.going);
            let crash = removed as usize;
            let going = std::mem::take(&mut running.going);
            for name in going.iter().take(crash) {
                expiry::remove(&machine.dir, name).unwrap();
                machine.check(true);
                removals += 1;
            }
            drop(running);
            if power {
                machine.dir.cut_power();
                machine.runtime.clear();
            } else {
                machine.dir.kill_process();
            }
            machine.check(true);
            // Whatever is left of it goes now, and what has become old since; again and again.
            let mut first = 1;
            for round in 1..4 {
                let mut running = machine.start(day + 12 * round);
                let is_asked = running.mediator.state().is_connected(&desk());
                assert!(is_asked, "it was connected, and nobody said otherwise");
                for name in std::mem::take(&mut running.going) {
                    expiry::remove(&machine.dir, &name).unwrap();
                }
                let (begins, _) = machine.check(true);
                assert!(begins > first, "{begins}");
                first = begins;
                running.play(3);
                machine.check(true);
            }
        }
    }
    assert!(removals > 100, "{removals}");
}

#[test]
fn a_wrong_state_is_found() {
    let mut machine = Machine::new(5);
    let mut running = machine.start(1);
    running.connect();
    running.play(30);
    let day = running.now_us / DAY_US;
    let _ = machine.start(day);
    let lines: Vec<u8> = machine.segments().into_iter().flat_map(|(_, bytes)| bytes).collect();
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let records: Vec<Record> = lines.map(|line| Line::parse(line).unwrap().record().unwrap()).collect();
    let audit = |records: &[Record]| {
        let (mut audit, mut found) = (Audit::default(), Vec::new());
        records.iter().for_each(|record| audit.take(record, &mut found));
        found.len()
    };
    assert_eq!(audit(&records), 0);
    for forge in 0..3 {
        let mut forged = records.clone();
        let expired = forged.iter_mut().find_map(|record| match &mut record.fact {
            Fact::Expired { boot, connected, parts, .. } => Some((boot, connected, parts)),
            _ => None,
        });
        let (boot, connected, parts) = expired.unwrap();
        match forge {
            0 => connected.clear(),
            1 => connected.push("other".parse().unwrap()),
            _ => *boot = Some("another".to_owned()),
        }
        assert_eq!(*parts, 1);
        assert!(audit(&forged) > 0, "{forge}");
    }
}

/// Segments of a box that ran for `days` in an earlier boot, and their names.
fn weeks(home: &Home, days: u64) -> Vec<String> {
    let (mut head, mut seq, mut names) = (ChainHash::START, 0, Vec::new());
    std::fs::create_dir_all(home.journal().dir()).unwrap();
    for day in 0..days {
        let name = SegmentName { number: u32::try_from(day + 1).unwrap(), first_seq: seq + 1 };
        let start = Fact::Start {
            log: format!("{:032x}", 7),
            boot: "an earlier boot".to_owned(),
            version: String::new(),
            wall_us: 0,
            settle_us: 2000,
            realtime: false,
        };
        let mut lines = Vec::new();
        for (fact, at_us) in [(start, day * DAY_US + 5), (Fact::Stop {}, day * DAY_US + 1_000_000)] {
            seq += 1;
            encode(&Record { seq, at_us, fact }, &mut head, &mut lines);
        }
        std::fs::write(home.journal().dir().join(name.to_string()), lines).unwrap();
        names.push(name.to_string());
    }
    names
}

/// The segments that are there when the daemon has ended.
fn left_by_a_daemon(home: &Home) -> Vec<String> {
    let daemon = home.serve();
    daemon.stop();
    home.journal().names().into_iter().filter(|name| SegmentName::of(name).is_some()).collect()
}

#[test]
fn a_daemon_removes_what_is_certainly_old_and_its_log_stays_whole() {
    let home = Home::with_config(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[log]\ndir = \"$DIR/log\"\nkeep_days = 6\n\
         [[pool]]\nid = \"desk\"\nsocket = \"$DIR/desk.sock\"\nautoconnect = true\n",
    );
    let names = weeks(&home, 10);
    let left = left_by_a_daemon(&home);
    // The last was written on day 9 of that boot, and for how long the box was off is not known.
    assert!(!left.contains(&names[0]) && left.contains(&names[9]), "{left:?}");
    let kept = left.len();
    log(&["verify", "--replay"], home.journal().dir()).good();
    let expired = log(&["show", "--utc", "--json", "--kind", "expired"], home.journal().dir());
    let gone = names.iter().filter(|name| !left.contains(name)).count();
    assert_eq!(expired.lines().len(), gone, "one for each that went");
    // The next start goes on from there; nothing has become older by a day meanwhile.
    assert_eq!(left_by_a_daemon(&home).len(), kept);
    log(&["verify", "--replay"], home.journal().dir()).good();
}

#[test]
fn a_stranger_checks_a_log_whose_beginning_expired_and_finds_what_was_changed() {
    if let Some(why) = no_python() {
        return left_out("a_stranger_checks_a_log_whose_beginning_expired", &why);
    }
    let home = Home::with_config(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[log]\ndir = \"$DIR/log\"\nkeep_days = 6\n\
         [[pool]]\nid = \"desk\"\nsocket = \"$DIR/desk.sock\"\nautoconnect = true\n",
    );
    let names = weeks(&home, 10);
    let left = left_by_a_daemon(&home);
    assert!(!left.contains(&names[1]), "more than one went: {left:?}");
    let dir = home.journal().dir().to_owned();
    for said in verifiers::both(&dir) {
        assert!(said.is_good, "{}", said.said);
    }
    log(&["verify", "--replay"], &dir).good();
    // One more segment than the records name, and a first line that is not the one they name.
    let first = dir.join(&left[0]);
    let bytes = std::fs::read(&first).unwrap();
    std::fs::remove_file(&first).unwrap();
    for said in verifiers::both(&dir) {
        assert!(!said.is_good, "{}", said.said);
    }
    let text = String::from_utf8(bytes).unwrap();
    std::fs::write(&first, text.replacen("an earlier boot", "an earlier bout", 1)).unwrap();
    for said in verifiers::both(&dir) {
        assert!(!said.is_good, "{}", said.said);
    }
}

#[test]
fn times_of_files_and_a_wrong_clock_remove_nothing_of_this_evening() {
    let home =
        Home::with_config("[server]\nlisten = [\"127.0.0.1:0\"]\n[log]\ndir = \"$DIR/log\"\nkeep_days = 1\n");
    // Two hours in three segments, of an earlier boot and of this one.
    let names = weeks(&home, 1);
    for _ in 0..2 {
        left_by_a_daemon(&home);
    }
    for name in home.journal().names() {
        let file = std::fs::File::options().append(true).open(home.journal().dir().join(name));
        let in_1970 = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        file.and_then(|file| file.set_times(in_1970)).ok();
    }
    assert!(left_by_a_daemon(&home).contains(&names[0]));
    assert!(home.journal().records().iter().all(|record| !matches!(record.fact, Fact::Expired { .. })));
}
