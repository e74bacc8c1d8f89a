//! What takes the whole log: verify, explain, recover.
//!
//! In: a made log on the disk, and the database of the same lines. Out: how long each took.
//! Guarantees: what `buzzerd log` does is measured as the program that people run, its start included; recovery is what a
//! start does after a crash: the journal has lines that the last segment has too, and more. SQLite's WAL is hot.
//! Both have to come to the same answer.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use buzzer_benches::machine;
use buzzer_server::game::state::State;
use buzzer_server::io::store::disk::Disk;
use buzzer_server::log::ChainHash;
use buzzer_server::log::store::journal;
use buzzer_server::log::store::journal::FILE_NAMES;
use buzzer_server::log::store::recovery;
use buzzer_server::record::Record;
use buzzer_tests::Session;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::sheet::{Cost, timed};
use crate::sqlite::{Keeps, Sqlite};

/// What a crash leaves in the journal at most, half of it in the last segment as well; and in SQLite's WAL.
const IN_JOURNAL: usize = 4000;
/// Lines a transaction when the database is filled.
const TOGETHER: usize = 1000;

/// A log and the database of its lines.
#[derive(Debug)]
pub(crate) struct Evening {
    dir: PathBuf,
    segments: Vec<PathBuf>,
    pub(crate) records: u64,
}

impl Evening {
    /// Makes a log of so many records in a new directory, and fills the database.
    pub(crate) fn make(dir: PathBuf, records: u64) -> io::Result<Self> {
        fs::create_dir_all(dir.join("log"))?;
        let segments = Session::new(1).write(&dir.join("log"), records)?;
        let mut evening = Self { dir, segments, records: 0 };
        let sqlite = Sqlite::create(&evening.database(), Keeps::PowerCut)?;
        let mut rows = sqlite.inserter()?;
        let (mut lines, mut count, mut is_hot) = (Vec::new(), 0, false);
        for segment in &evening.segments {
            let mut reader = BufReader::new(File::open(segment)?);
            while reader.read_until(b'\n', &mut lines)? > 0 {
                evening.records += 1;
                count += 1;
                if count == TOGETHER {
                    rows.commit(&lines)?;
                    (count, _) = (0, lines.clear());
                    if !is_hot && evening.records + IN_JOURNAL as u64 >= records {
                        sqlite.checkpoint()?;
                        is_hot = true;
                    }
                }
            }
        }
        rows.commit(&lines)?;
        Ok(evening)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn database(&self) -> PathBuf {
        self.dir.join("db")
    }

    /// The first records.
    pub(crate) fn first(&self, count: usize) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for segment in &self.segments {
            for line in BufReader::new(File::open(segment)?).split(b'\n') {
                records.push(buzzer_server::log::decode(&line?).map_err(io::Error::other)?);
                if records.len() == count {
                    return Ok(records);
                }
            }
        }
        Err(io::Error::other("the made log is too short"))
    }

    /// `buzzerd log verify`, beside SQLite's own check and the same chain over its rows.
    pub(crate) fn verify(&self, buzzerd: &Path) -> io::Result<[Cost; 3]> {
        let ours = run(buzzerd, &["verify"], &self.log(), &[0])?;
        let sqlite = Sqlite::open(&self.database())?;
        let check = timed(|| sqlite.integrity_check())?;
        let chain = timed(|| self.whole(sqlite.chain()?).map(drop))?;
        Ok([ours, check, chain])
    }

    /// `buzzerd log verify --replay`, for which SQLite has nothing.
    pub(crate) fn replay(&self, buzzerd: &Path) -> io::Result<Cost> {
        run(buzzerd, &["verify", "--replay"], &self.log(), &[0])
    }

    /// `buzzerd log explain`, which checks every line first, beside the query alone and the same check before it.
    pub(crate) fn explain(&self, buzzerd: &Path) -> io::Result<[Cost; 3]> {
        // 1: no verdict, because of what the made log happens to end with.
        let ours = run(buzzerd, &["explain"], &self.log(), &[0, 1])?;
        let mut race = Vec::new();
        let query = timed(|| {
            race = Sqlite::open(&self.database())?.last_race()?;
            Ok(())
        })?;
        if race.is_empty() {
            return Err(io::Error::other("the database has no race"));
        }
        let chain = timed(|| self.whole(Sqlite::open(&self.database())?.chain()?).map(drop))?;
        Ok([ours, query, chain])
    }

    /// Where the log ends and what it folds to, at the start after a crash, beside the fold of the rows alone and the same
    /// check before it. `memory`: where the journal was.
    pub(crate) fn recover(&self, memory: &Path) -> io::Result<[Cost; 3]> {
        let last = self.segments.last().ok_or_else(|| io::Error::other("no segment"))?;
        let whole = fs::read(last)?;
        let header = journal::header(&"0".repeat(32), &"0".repeat(32));
        self.crash(last, &whole, &header, memory)?;
        let (mut found, mut state, mut end) = (None, State::default(), ChainHash::START);
        let ours = timed(|| {
            let (log, journal) = (Disk::open(&self.log())?, Disk::open(memory)?);
            found = Some(recovery::recover(&log, &journal, &header, &Vec::new).map_err(io::Error::other)?);
            Ok(())
        })?;
        fs::write(last, whole)?;
        let fold = timed(|| {
            state = Sqlite::open(&self.database())?.fold()?;
            Ok(())
        })?;
        let chain = timed(|| {
            end = self.whole(Sqlite::open(&self.database())?.chain()?)?;
            Ok(())
        })?;
        match found {
            Some(found) if found.head == end && found.state == state && found.notes.is_empty() => {
                Ok([ours, fold, chain])
            }
            found => {
                Err(io::Error::other(format!("the log and the database disagree: {found:?}, {state:?}")))
            }
        }
    }

    /// Leaves the log as a daemon does that is killed: its last lines are in the journal's two files alone.
    fn crash(&self, last: &Path, whole: &[u8], header: &[u8], memory: &Path) -> io::Result<()> {
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        let (durable, journal) = lines.split_at(lines.len() - IN_JOURNAL.min(lines.len() / 2));
        let (in_both, journal_only) = journal.split_at(journal.len() / 2);
        for (name, lines) in FILE_NAMES.iter().zip([in_both, journal_only]) {
            fs::write(memory.join(name), [header, &lines.concat()].concat())?;
        }
        fs::write(last, [durable, in_both].concat().concat())
    }

    fn whole(&self, (count, head): (u64, ChainHash)) -> io::Result<ChainHash> {
        if count == self.records { Ok(head) } else { Err(io::Error::other(format!("{count} rows"))) }
    }
}

fn run(buzzerd: &Path, command: &[&str], log: &Path, codes: &[i32]) -> io::Result<Cost> {
    let mut buzzerd = Command::new(buzzerd);
    buzzerd.arg("log").args(command).arg(log).stdin(Stdio::null()).stdout(Stdio::null());
    let mut cpu = Duration::ZERO;
    let cost = timed(|| {
        let mut child = buzzerd.spawn()?;
        let pid = Pid::from_child(&child);
        // Not yet buried, so that the kernel still knows what it took.
        while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).is_err() {}
        cpu = Duration::from_nanos(machine::cpu_time(child.id())?);
        let status = child.wait()?;
        let is_good = status.code().is_some_and(|code| codes.contains(&code));
        if is_good { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
    })?;
    Ok(Cost { cpu, ..cost })
}
