//! The same log in SQLite, as somebody would build it who wants the same of it.
//!
//! In: the lines of a log. Out: a database with a row for each, the same hash chain over them, and the answers.
//! Guarantees: journal_mode=WAL and synchronous=FULL, which keeps every commit over a power cut, unless a job says
//! otherwise; statements are prepared once; rows are read in place, without a copy.

use std::io;
use std::path::Path;

use buzzer_server::game::state::State;
use buzzer_server::log::{ChainHash, Line};
use buzzer_server::record::Record;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Statement, params};

/// The JSON without its hash; the hash as bytes. The index is the one that finds races.
const SCHEMA: &str = "
    CREATE TABLE record (seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
                         hash BLOB NOT NULL) STRICT;
    CREATE INDEX press ON record (seq, at_us) WHERE kind = 'press';
    CREATE INDEX outliving ON record (seq) WHERE kind IN ('start', 'connect');";
/// Fills the WAL once, so that from now on it is written over, which costs less than to let it grow: so it is in a database
/// that is in use.
const WARM: &str = "
    CREATE TABLE warm AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)
        SELECT randomblob(4000) FROM n;
    DROP TABLE warm;
    PRAGMA wal_checkpoint;";
const INSERT: &str = "INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5)";
/// A race begins with the first press after so long without one, as in `log explain`.
const GAP_US: i64 = 3_000_000;

/// What a commit means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keeps {
    /// It outlasts a power cut: one sync each.
    PowerCut,
    /// It outlasts a crash of the process: no sync.
    Crash,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Sqlite(Connection);

/// Prepared statements that fill a database.
#[derive(Debug)]
pub(crate) struct Inserter<'a> {
    begin: Statement<'a>,
    insert: Statement<'a>,
    commit: Statement<'a>,
}

/// A line, taken apart for a row.
#[derive(Debug)]
struct Row<'a> {
    seq: u64,
    at_us: u64,
    kind: &'a str,
    body: &'a str,
    hash: ChainHash,
}

impl<'a> Row<'a> {
    /// Of a line without its newline.
    fn of(bytes: &'a [u8]) -> io::Result<Self> {
        let wrong = || io::Error::other("a line of the bench's own log is none");
        let line = Line::parse(bytes).map_err(io::Error::other)?;
        let (body, _) = Line::body_and_hash(bytes).ok_or_else(wrong)?;
        let text = std::str::from_utf8(body).map_err(io::Error::other)?;
        let (_, at) = text.split_once(r#","at_us":"#).ok_or_else(wrong)?;
        let digits = at.find(',').ok_or_else(wrong)?;
        let at_us = at[..digits].parse().map_err(io::Error::other)?;
        Ok(Self { seq: line.seq, at_us, kind: line.kind().ok_or_else(wrong)?, body: text, hash: line.hash })
    }
}

impl Inserter<'_> {
    /// Commits these lines, each ending with its newline, as one transaction.
    pub(crate) fn commit(&mut self, lines: &[u8]) -> io::Result<()> {
        self.begin.execute([]).map_err(other)?;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Row { seq, at_us, kind, body, hash } = Row::of(line)?;
            let row = params![seq.cast_signed(), at_us.cast_signed(), kind, body, hash.to_digest()];
            self.insert.execute(row).map_err(other)?;
        }
        self.commit.execute([]).map_err(other)?;
        Ok(())
    }
}

fn other(error: rusqlite::Error) -> io::Error {
    io::Error::other(error)
}

impl Sqlite {
    /// A new database.
    pub(crate) fn create(path: &Path, keeps: Keeps) -> io::Result<Self> {
        let database = Self::open(path)?;
        let batch = |text: &str| database.0.execute_batch(text).map_err(other);
        batch(match keeps {
            Keeps::PowerCut => WARM,
            Keeps::Crash => "PRAGMA synchronous = OFF",
        })?;
        batch(SCHEMA)?;
        Ok(database)
    }

    /// One that is there, WAL and all. When it is closed the WAL stays as it is, so that it can be opened like this again.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let connection = Connection::open(path).map_err(other)?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").map_err(other)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(other)?;
        Ok(Self(connection))
    }

    /// To fill it.
    pub(crate) fn inserter(&self) -> io::Result<Inserter<'_>> {
        let prepare = |text| self.0.prepare(text).map_err(other);
        Ok(Inserter {
            begin: prepare("BEGIN IMMEDIATE")?,
            insert: prepare(INSERT)?,
            commit: prepare("COMMIT")?,
        })
    }

    /// Has the WAL moved into the database.
    pub(crate) fn checkpoint(&self) -> io::Result<()> {
        self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(other)
    }

    /// SQLite's own look at its pages and indexes; it knows nothing of the chain.
    pub(crate) fn integrity_check(&self) -> io::Result<()> {
        let answer: String =
            self.0.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(other)?;
        if answer == "ok" { Ok(()) } else { Err(io::Error::other(answer)) }
    }

    /// Computes the chain again, row by row, and gives how many there are and the last hash.
    pub(crate) fn chain(&self) -> io::Result<(u64, ChainHash)> {
        let (mut count, mut head) = (0, ChainHash::START);
        let mut select = self.0.prepare("SELECT seq, body, hash FROM record ORDER BY seq").map_err(other)?;
        let mut rows = select.query([]).map_err(other)?;
        while let Some(row) = rows.next().map_err(other)? {
            let blob = |at| row.get_ref(at).and_then(|value| Ok(value.as_bytes()?)).map_err(other);
            head = head.of_next(blob(1)?);
            count += 1;
            let seq: i64 = row.get(0).map_err(other)?;
            if head.to_digest() != blob(2)? || seq.cast_unsigned() != count {
                return Err(io::Error::other(format!("row {seq} does not follow")));
            }
        }
        Ok((count, head))
    }

    /// The state after the last row.
    pub(crate) fn fold(&self) -> io::Result<State> {
        let mut state = State::default();
        let of_kinds = "SELECT body FROM record WHERE kind IN ('start', 'connect') ORDER BY seq";
        let mut select = self.0.prepare(of_kinds).map_err(other)?;
        let mut rows = select.query([]).map_err(other)?;
        let mut text = Vec::new();
        while let Some(row) = rows.next().map_err(other)? {
            text.clear();
            text.extend_from_slice(row.get_ref(0).and_then(|value| Ok(value.as_bytes()?)).map_err(other)?);
            text.push(b'}');
            let record: Record = serde_json::from_slice(&text)?;
            state.apply(&record, |_| {});
        }
        let last = self.0.query_row("SELECT max(seq) FROM record", [], |row| row.get(0)).optional();
        let last: Option<i64> = last.map_err(other)?;
        state.skip_to(last.unwrap_or_default().cast_unsigned());
        Ok(state)
    }

    /// The records of the last race: back from the last press to the first before which there was quiet.
    pub(crate) fn last_race(&self) -> io::Result<Vec<String>> {
        let backwards = "SELECT seq, at_us FROM record WHERE kind = 'press' ORDER BY seq DESC";
        let mut select = self.0.prepare(backwards).map_err(other)?;
        let mut presses = select.query([]).map_err(other)?;
        let mut first: Option<(i64, i64)> = None;
        while let Some(press) = presses.next().map_err(other)? {
            let (seq, at_us) = (press.get(0).map_err(other)?, press.get(1).map_err(other)?);
            // A new boot begins its own time.
            if first.is_some_and(|(_, next_us): (i64, i64)| !(0..=GAP_US).contains(&(next_us - at_us))) {
                break;
            }
            first = Some((seq, at_us));
        }
        let from = first.map_or(0, |(seq, _)| seq);
        let mut select =
            self.0.prepare("SELECT body FROM record WHERE seq >= ?1 ORDER BY seq").map_err(other)?;
        let records = select.query_map([from], |row| row.get(0)).map_err(other)?;
        records.collect::<Result<_, _>>().map_err(other)
    }
}
