//! Any bytes as what an earlier process left. In: bytes, which name files of a log and a journal. Out: what a start, a reader and a
//! verifier make of them, or a panic where a promise is broken: whatever is there, nothing panics, nothing is lost, what is
//! kept is a log, a second start changes nothing, and memory is not a matter of what the bytes say.
//!
//! A line `# 000001-1.jsonl` or `# 0.journal` begins a file; what stands before the first is `000001-1.jsonl`. A first
//! line `#chain` has every hash made right, in the order of the files: only so what lies behind the chain is reached.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use alloc_tracker::Session;
use buzzer_server::io::store::disk::Disk;
use buzzer_server::io::store::log_dir::{LOCK_NAME, Lock};
use buzzer_server::io::store::log_reader::LogReader;
use buzzer_server::judge::audit::Audit;
use buzzer_server::judge::explain::{Asked, GAP_US, Scan, Story};
use buzzer_server::judge::sentence;
use buzzer_server::log::store::journal;
use buzzer_server::log::store::journal::FILE_NAMES;
use buzzer_server::log::store::recovery;
use buzzer_server::log::store::recovery::{Recovered, RecoveryError};
use buzzer_server::log::store::storage::Directory;
use buzzer_server::log::{ChainHash, Line, SegmentName, Verifier, encode};
use buzzer_server::record::Fact;
use tempfile::TempDir;

use super::sim_disk::Dice;

/// More files than these only take time.
const FILES_MAX: usize = 8;
/// `,"h":"`, the hash, and what ends a line.
const TAIL_BYTES: usize = 72;
/// What recovery may hold beside its input: two buffers of a peek for each file, a state, the notes.
const MEMORY_BYTES: usize = 256 * 1024;

/// Files by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Takes an input apart.
pub fn files(input: &[u8]) -> Files {
    let (is_chained, input) = match input.strip_prefix(b"#chain\n") {
        Some(rest) => (true, rest),
        None => (false, input),
    };
    let mut files = Files::new();
    let mut name = SegmentName { number: 1, first_seq: 1 }.to_string();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"# ").and_then(|rest| std::str::from_utf8(rest).ok()) {
            Some(text) if is_name(text.trim_ascii_end()) && files.len() < FILES_MAX => {
                text.trim_ascii_end().clone_into(&mut name);
                files.entry(name.clone()).or_default();
            }
            _ => files.entry(name.clone()).or_default().extend_from_slice(line),
        }
    }
    if is_chained {
        chain(&mut files);
    }
    files
}

fn is_name(name: &str) -> bool {
    SegmentName::of(name).is_some_and(|parsed| parsed.to_string() == name) || FILE_NAMES.contains(&name)
}

/// The segments in the order of the log, then the journal.
fn order(files: &Files) -> Vec<String> {
    let mut names: Vec<String> = files.keys().cloned().collect();
    names.sort_by_key(|name| (SegmentName::of(name).is_none(), SegmentName::of(name), name.clone()));
    names
}

/// Makes every hash right.
fn chain(files: &mut Files) {
    let mut head = ChainHash::START;
    // The journal has lines that the segments have, too.
    let mut hashes: HashMap<Vec<u8>, ChainHash> = HashMap::new();
    for name in order(files) {
        let Some(bytes) = files.get_mut(&name) else { continue };
        for line in bytes.split_mut(|byte| *byte == b'\n') {
            let Some(end) = line.len().checked_sub(TAIL_BYTES) else { continue };
            let (body, tail) = line.split_at_mut(end);
            if !tail.starts_with(b",\"h\":\"") {
                continue;
            }
            head = *hashes.entry(body.to_vec()).or_insert_with(|| head.of_next(body));
            tail[6..70].copy_from_slice(head.as_str().as_bytes());
        }
    }
}

/// Changes an input a little, as a disk, a fault or somebody with an editor would.
pub fn spoil(input: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let others: Vec<&[u8]> = other.split_inclusive(|byte| *byte == b'\n').collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(lines.len());
        let is_chained = lines.first().is_some_and(|line| line == b"#chain\n");
        let Some(line) = lines.get_mut(at).filter(|line| !line.is_empty()) else { continue };
        let byte = dice.below(line.len());
        match dice.below(14) {
            0 => line[byte] ^= 1 << dice.below(8),
            1 => line.truncate(byte),
            2 => drop(lines.remove(at)),
            3 => lines.insert(at, lines[at].clone()),
            4 => {
                let with = dice.below(lines.len());
                lines.swap(at, with);
            }
            5 => lines
                .insert(at, others.get(dice.below(others.len())).map_or_else(Vec::new, |line| line.to_vec())),
            6 => {
                lines.truncate(at);
                lines.extend(others.iter().skip(dice.below(others.len())).map(|line| line.to_vec()));
            }
            7 => line[byte..].fill(0),
            8 => {
                let name = match dice.below(3) {
                    0 => FILE_NAMES[dice.below(2)].to_owned(),
                    _ => {
                        let seq = Line::parse(line.trim_ascii_end()).map_or(1, |line| line.seq);
                        SegmentName { number: dice.below(5) as u32 + 1, first_seq: seq }.to_string()
                    }
                };
                lines.insert(at, format!("# {name}\n").into_bytes());
            }
            9 => lines.insert(at, journal::header("0", "0")),
            10..=11 => number(line, dice),
            12 if !is_chained => lines.insert(0, b"#chain\n".to_vec()),
            12 => drop(lines.remove(0)),
            _ => line.insert(byte, dice.roll() as u8),
        }
    }
    lines.concat()
}

/// Writes another number where one stands.
fn number(line: &mut Vec<u8>, dice: &mut Dice) {
    let starts: Vec<usize> =
        (1..line.len()).filter(|at| line[*at].is_ascii_digit() && line[at - 1] == b':').collect();
    let Some(start) = starts.get(dice.below(starts.len())).copied() else { return };
    let digits = line[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let old: u64 = std::str::from_utf8(&line[start..start + digits])
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let new = match dice.below(6) {
        0 => u64::MAX,
        1 => u64::MAX - 1,
        2 => 0,
        3 => old.wrapping_add(1),
        4 => old.wrapping_sub(1),
        _ => dice.roll() >> dice.below(64),
    };
    line.splice(start..start + digits, new.to_string().into_bytes());
}

/// Directories that a case is tried in, one after the other; in memory, if there is room.
#[derive(Debug)]
pub struct Bench {
    dir: TempDir,
}

impl Default for Bench {
    fn default() -> Self {
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        Self { dir: dir.expect("a directory") }
    }
}

type DiskFile = <Disk as Directory>::File;

impl Bench {
    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn fill(&self, files: &Files) {
        for dir in [self.log(), self.journal()] {
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir(&dir).expect("a directory");
        }
        for (name, bytes) in files {
            let dir = if FILE_NAMES.contains(&&**name) { self.journal() } else { self.log() };
            fs::write(dir.join(name), bytes).expect("a file");
        }
        let lock = Lock { pid: 1, journal: Some(self.journal()), boot: None };
        fs::write(self.log().join(LOCK_NAME), lock.to_string()).expect("the lock");
    }

    fn recover(&self) -> Result<Recovered<DiskFile, DiskFile>, RecoveryError> {
        let dir = Disk::open(&self.log()).expect("the log");
        let journal = Disk::open(&self.journal()).expect("the journal");
        recovery::recover(&dir, &journal, &journal::header("0", "0"), &Vec::new)
    }

    fn files_of_log(&self) -> Files {
        let entries = fs::read_dir(self.log()).expect("the log").map(|entry| entry.expect("an entry"));
        let read = |entry: fs::DirEntry| {
            (entry.file_name().into_string().expect("text"), fs::read(entry.path()).expect("a file"))
        };
        entries.map(read).filter(|(name, _)| name != LOCK_NAME).collect()
    }

    /// Tries an input. Gives the most memory that recovery held, in bytes, if it is counted, and the input's own length.
    ///
    /// # Panics
    /// If a promise is broken.
    pub fn check(&self, input: &[u8]) -> (u64, usize) {
        let files = files(input);
        let bytes: usize = files.values().map(Vec::len).sum();
        for file in files.values() {
            check_lines(file);
        }
        self.fill(&files);
        self.read(bytes);
        let before = self.files_of_log();
        let session = Session::new().no_stdout().no_file();
        let operation = session.operation("recover");
        let found = {
            let _span = operation.measure_thread().iterations(1);
            self.recover()
        };
        let held = session.to_report().operations().next().and_then(|(_, all)| all.peak_outstanding_bytes());
        let held = held.unwrap_or(0.0) as u64;
        assert!(held as usize <= 2 * bytes + MEMORY_BYTES, "{held} bytes held for {bytes}");
        let after = self.files_of_log();
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                assert!(matches!(error, RecoveryError::Newer { .. }), "{error}");
                assert!(before == after, "what a newer one wrote is left alone");
                return (held, bytes);
            }
        };
        check_kept(&before, &after);
        let is_damage = |fact: &Fact| matches!(fact, Fact::Damage { .. });
        let (state, head) = (&found.state, &found.head);
        let again = self.recover().expect("it was a log");
        assert_eq!((&again.state, &again.head), (state, head), "a second start finds the same");
        let again_after = self.files_of_log();
        let changed =
            after.keys().chain(again_after.keys()).find(|name| after.get(*name) != again_after.get(*name));
        assert_eq!(changed, None, "and changes nothing");
        let news: Vec<&Fact> = again.notes.iter().filter(|note| !found.notes.contains(note)).collect();
        assert!(news.is_empty(), "nor has it news: {news:?}");
        // A reader believes the name of the first segment, and says so if that lies; a start believes its lines.
        let first = order(&after).into_iter().find(|name| SegmentName::of(name).is_some());
        let is_honest = first.is_none_or(|name| {
            let said = SegmentName::of(&name).map(|name| name.first_seq);
            said == buzzer_server::log::form::line::seq_of(&after[&name])
        });
        if is_honest && !found.notes.iter().any(is_damage) {
            self.take_journal(&again);
            let (last, faults) = self.read(bytes);
            assert_eq!((last, faults), (state.seq(), 0), "what is kept is a log: {:?}", found.notes);
        }
        (held, bytes)
    }

    /// Leaves of the journal what a daemon goes on with.
    fn take_journal(&self, found: &Recovered<DiskFile, DiskFile>) {
        for name in FILE_NAMES {
            let path = self.journal().join(name);
            let Some(resumed) = found.journal.iter().find(|resumed| resumed.name == name) else {
                let _ = fs::remove_file(path);
                continue;
            };
            let lines = &fs::read(&path).expect("it")[resumed.start as usize..resumed.end as usize];
            fs::write(path, [&journal::header("0", "0")[..], lines].concat()).expect("it");
        }
    }

    /// Everything that reads a log, on this one: the last seq, and how many faults there are.
    fn read(&self, bytes: usize) -> (u64, u64) {
        let mut reader = LogReader::open(&[self.log()]).expect("a log");
        let mut verifier = Verifier::from_seq(reader.first_seq());
        let (mut audit, mut found) = (Audit::default(), Vec::new());
        let mut scan = Scan::new(Asked::LastRace, GAP_US);
        // Each line of each file, each file of a journal twice.
        let mut lines_left = 4 * bytes + 16;
        while let Some(raw) = reader.next_line().expect("a file that can be read") {
            lines_left = lines_left.checked_sub(1).expect("a reader comes to an end");
            let checked =
                if raw.whole { verifier.check(&raw.bytes) } else { Err(verifier.incomplete(&raw.bytes)) };
            let Ok(Ok(record)) = checked.map(|line| line.record()) else { continue };
            assert!(!sentence::of(&record.fact).contains('\n'));
            audit.take(&record, &mut found);
            scan.feed(record);
        }
        Story::tell(scan.finish(), Default::default(), None);
        (verifier.next_seq() - 1, verifier.faults())
    }
}

/// The parsers of one line agree with each other.
fn check_lines(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(parsed) = Line::parse(line) else { continue };
        assert_eq!(buzzer_server::log::form::line::seq_of(line), Some(parsed.seq));
        let Ok(record) = parsed.record() else { continue };
        assert_eq!(record.seq, parsed.seq);
        let (mut head, mut again) = (ChainHash::START, Vec::new());
        encode(&record, &mut head, &mut again);
        again.pop();
        assert_eq!(Line::parse(&again).expect("a line").record().expect("a record"), record);
    }
}

/// Every byte of the log is where it was, or in a file that was set aside.
fn check_kept(before: &Files, after: &Files) {
    for (name, bytes) in before {
        let kept = after.get(name).map_or(&[][..], Vec::as_slice);
        let rest = bytes.strip_prefix(kept).unwrap_or_else(|| panic!("{name} was written over"));
        let mut copies = after.iter().filter(|(copy, _)| {
            copy.starts_with(&format!("{name}.torn-")) || copy.starts_with(&format!("{name}.aside-"))
        });
        assert!(rest.is_empty() || copies.any(|(_, copy)| copy == rest), "{name}: the rest is nowhere");
    }
}
