//! What a record costs when it is made: on the way of a buzz, and until it is durable.
//!
//! In: records of the made log, and their lines. Out: how long it took to keep them, beside SQLite keeping the same.
//! Guarantees: it is the daemon's journal and writer, over real directories, without its thread, so that no hand-over
//! between threads is in the figures; SQLite is handed lines that are made and chained already.

use std::hint::black_box;
use std::io;
use std::path::Path;

use buzzer_core::time::KernelTime;
use buzzer_server::io::store::disk::Disk;
use buzzer_server::log::store::journal;
use buzzer_server::log::store::journal::{Feed, Journal, JournalLimits};
use buzzer_server::log::store::segments::{SEGMENT_BYTES_MAX, Segments};
use buzzer_server::log::store::storage::Directory;
use buzzer_server::log::store::writer::Writer;
use buzzer_server::log::{ChainHash, Line, encode};
use buzzer_server::record::Record;

use crate::sheet::{Cost, timed};
use crate::sqlite::{Keeps, Sqlite};

type DiskJournal = Journal<<Disk as Directory>::File>;

fn open_journal(dir: &Path) -> io::Result<(DiskJournal, Feed<Disk>)> {
    let header = journal::header(&"0".repeat(32), &"0".repeat(32));
    Ok(journal::open(Disk::open(dir)?, header, Vec::new(), ChainHash::START, JournalLimits::default()))
}

/// Lines by the commits that they are to be kept in, as one piece of text each.
fn lines_of(commits: &[&[Record]]) -> Vec<Vec<u8>> {
    let mut head = ChainHash::START;
    let lines = |records: &&[Record]| {
        let mut lines = Vec::new();
        records.iter().for_each(|record| encode(record, &mut head, &mut lines));
        lines
    };
    commits.iter().map(lines).collect()
}

/// Commits of so many records: journal (in `memory`), segment and sync, beside a synced transaction. The records are as many
/// as fit into whole commits.
pub(crate) fn group_commit(
    records: &[Record],
    together: usize,
    disk: &Path,
    memory: &Path,
) -> io::Result<[Cost; 2]> {
    let commits: Vec<&[Record]> = records.chunks_exact(together).collect();
    let segments = Segments::new(Disk::open(&disk.join("log"))?, 0, SEGMENT_BYTES_MAX, None);
    let (mut journal, feed) = open_journal(memory)?;
    let mut writer = Writer::new(feed, segments, 0);
    let now = KernelTime::from_us(1_000_000);
    // The first turn makes the files.
    writer.turn(now);
    let ours = timed(|| {
        for commit in &commits {
            journal.append(commit);
            writer.turn(now);
            if writer.durable_seq() != commit[together - 1].seq {
                return Err(io::Error::other(format!("not durable: {:?}", writer.poll_report())));
            }
        }
        Ok(())
    })?;
    let lines = lines_of(&commits);
    let sqlite = Sqlite::create(&disk.join("db"), Keeps::PowerCut)?;
    let mut rows = sqlite.inserter()?;
    let its = timed(|| lines.iter().try_for_each(|lines| rows.commit(lines)))?;
    Ok([ours, its])
}

/// One record after the other, each surviving a crash of the process, beside one unsynced transaction each.
pub(crate) fn buzz_path(records: &[Record], dir: &Path) -> io::Result<[Cost; 2]> {
    let (mut journal, mut feed) = open_journal(&dir.join("journal"))?;
    let (mut ours, mut read) = (Cost::default(), Vec::new());
    // In a daemon the writer empties the files while the other one is filled; here it is nobody's time.
    for piece in records.chunks(1000) {
        ours += timed(|| {
            piece.iter().for_each(|record| journal.append(std::slice::from_ref(record)));
            Ok(())
        })?;
        read.clear();
        feed.read(&mut read, 1 << 20)?;
        feed.settle(KernelTime::from_us(1_000_000));
    }
    if journal.suspended().is_some() || journal.is_losing() {
        return Err(io::Error::other("the journal did not take all"));
    }
    let commits: Vec<&[Record]> = records.chunks(1).collect();
    let lines = lines_of(&commits);
    let sqlite = Sqlite::create(&dir.join("db"), Keeps::Crash)?;
    let mut rows = sqlite.inserter()?;
    let its = timed(|| lines.iter().try_for_each(|line| rows.commit(line)))?;
    Ok([ours, its])
}

/// Of that, what it takes to make the lines, and of that, to hash them.
pub(crate) fn line_and_hash(records: &[Record]) -> io::Result<[Cost; 2]> {
    let mut lines = Vec::with_capacity(1 << 20);
    let mut head = ChainHash::START;
    let made = timed(|| {
        for record in records {
            lines.clear();
            encode(black_box(record), &mut head, &mut lines);
        }
        Ok(())
    })?;
    let all = lines_of(&[records]).concat();
    let bodies: Vec<&[u8]> =
        all.split(|byte| *byte == b'\n').filter_map(|line| Some(Line::body_and_hash(line)?.0)).collect();
    let mut head = ChainHash::START;
    let hashed = timed(|| {
        bodies.iter().for_each(|body| head = head.of_next(black_box(body)));
        black_box(head);
        Ok(())
    })?;
    Ok([made, hashed])
}
