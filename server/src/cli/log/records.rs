//! A log for the commands that read it. In: paths of the command line. Out: its lines, checked against the chain, what
//! they say and when that was. Guarantee: damage is told with file and line and never passed over in silence; a kind that a later buzzerd
//! added is told apart from damage, and from a known one that cannot be read. What is no log at all, or of a later form, is
//! refused before anything is made of it. One blank line at the end of all is no damage.

use std::path::PathBuf;

use anyhow::anyhow;
use buzzer_server::config::Config;
use buzzer_server::io::store::log_dir;
use buzzer_server::io::store::log_reader::{LogReader, RawLine, ReadError};
use buzzer_server::judge::wall::WallClock;
use buzzer_server::log::form::names::Others;
use buzzer_server::log::form::strict::{self, Said, Unreadable};
use buzzer_server::log::form::verify::{LineFault, Wrong};
use buzzer_server::log::{BadLine, Line, SegmentName, Verifier};
use clap::Args;

use super::time::Zone;
use crate::cli::Failure;

/// What has so many lines and not one of a log is no log.
const FOREIGN_LINES_MAX: u32 = 100;

/// Which log.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The log's directory, or its .jsonl files in their order [default: that of the daemon that answers]
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
}

/// A log that is read, and what it was read from.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) lines: Lines,
    /// The log directory, if it is one.
    pub(super) dir: Option<PathBuf>,
    /// What else lies in it.
    pub(super) others: Others,
    paths: Vec<PathBuf>,
    wall: WallClock,
    /// The numbers of the first and the last line that was read, and when those were whose time is known, µs since 1970.
    pub(super) seqs: Option<(u64, u64)>,
    walls: Option<(u64, u64)>,
}

/// The lines of a log, checked against the chain.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) reader: LogReader,
    pub(super) verifier: Verifier,
    /// Segments whose name says another number than their first line.
    pub(super) misnamed: Vec<String>,
    /// A blank line, if nothing has come behind it yet.
    pub(super) blank: Option<RawLine>,
    /// The blank line behind which something came, which waits until that was told.
    told: RawLine,
    is_held: bool,
}

/// The next line.
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time is there, and it is nearly always a line in its place"
)]
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// The line that is due, what it says, and when that was, µs since 1970.
    Line(Line<'a>, Result<Said, Unreadable>, Option<u64>),
    /// Not the line that should stand here.
    Misplaced(Misplaced<'a>),
}

/// Not the line that should stand here, and where.
#[derive(Debug, thiserror::Error)]
#[error("{raw}: {fault}")]
pub(super) struct Misplaced<'a> {
    pub(super) raw: &'a RawLine,
    pub(super) fault: LineFault,
}

impl Step<'_> {
    /// What is wrong with a line that is not as it should be.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Line(line, Err(why), _) => Some(format!("seq {}: {why}", line.seq)),
            Self::Line(_, Ok(_), _) => None,
            Self::Misplaced(misplaced) => Some(misplaced.to_string()),
        }
    }
}

impl Source {
    /// Opens it.
    pub(super) fn open(&self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<Records, Failure> {
        let paths = if self.paths.is_empty() {
            vec![config()?.log.dir.ok_or_else(|| Failure::Usage(anyhow!("no log directory is configured")))?]
        } else {
            self.paths.clone()
        };
        let dir = paths.first().filter(|path| path.is_dir()).cloned();
        let cannot = |error| Failure::Usage(anyhow!("{}: cannot be read: {error}", paths[0].display()));
        let others = dir.as_deref().map(log_dir::others).transpose().map_err(cannot)?.unwrap_or_default();
        let reader = LogReader::open(&paths).map_err(unreadable)?;
        if !reader.is_named_as_log() {
            refuse_foreign(LogReader::open(&paths).map_err(unreadable)?)?;
        }
        Ok(Records { others, ..Records::new(reader, dir, paths) })
    }
}

/// There is a log, and nothing in it yet.
pub(super) fn empty() -> Failure {
    Failure::Usage(anyhow!("the log is empty: not one record was written yet"))
}

pub(super) fn unreadable(error: ReadError) -> Failure {
    Failure::Usage(error.into())
}

impl Records {
    fn new(reader: LogReader, dir: Option<PathBuf>, paths: Vec<PathBuf>) -> Self {
        let lines = Lines {
            verifier: Verifier::from_seq(reader.first_seq()),
            reader,
            misnamed: Vec::new(),
            blank: None,
            told: RawLine::default(),
            is_held: false,
        };
        let (others, wall) = (Others::default(), WallClock::default());
        Self { lines, dir, others, paths, wall, seqs: None, walls: None }
    }

    /// The same log, from its first line.
    pub(super) fn again(&self) -> Result<Self, Failure> {
        let reader = LogReader::open(&self.paths).map_err(unreadable)?;
        Ok(Self::new(reader, self.dir.clone(), self.paths.clone()))
    }

    /// Whether there is nothing in it, good or bad. A failure is that of its first line.
    pub(super) fn is_empty(&self) -> Result<bool, Failure> {
        Ok(self.again()?.lines.next()?.is_none())
    }

    /// The next line, what it says and when; none at the end of what is there now.
    pub(super) fn next(&mut self) -> Result<Option<Step<'_>>, Failure> {
        let line = match self.lines.next()? {
            None => return Ok(None),
            Some(Err(misplaced)) => return Ok(Some(Step::Misplaced(misplaced))),
            Some(Ok(line)) => line,
        };
        let said = line.record().map_or_else(|_| strict::read(&line), |record| Ok(Said::Record(record)));
        let at_us = match &said {
            Ok(Said::Record(record)) => {
                self.wall.take(record);
                Some(record.at_us)
            }
            _ => line.at_us(),
        };
        let wall_us = at_us.and_then(|at_us| self.wall.wall_us(at_us));
        self.seqs = Some((self.seqs.map_or(line.seq, |(first, _)| first), line.seq));
        if let Some(wall_us) = wall_us {
            self.walls = Some((self.walls.map_or(wall_us, |(first, _)| first), wall_us));
        }
        Ok(Some(Step::Line(line, said, wall_us)))
    }

    /// What the log has, for those who asked for something else: `the log has seq 1 to 7, 2026-11-24 19:30:05.123456 to …`.
    pub(super) fn extent(&self, zone: &Zone) -> String {
        let Some((first, last)) = self.seqs else { return "the log has no line that can be read".to_owned() };
        let times = self.walls.map(|(first, last)| format!(", {} to {}", zone.show(first), zone.show(last)));
        format!("the log has seq {first} to {last}{}", times.unwrap_or_default())
    }
}

impl Lines {
    /// The next line, of any kind; what it says is not looked at.
    pub(super) fn next(&mut self) -> Result<Option<Result<Line<'_>, Misplaced<'_>>>, Failure> {
        loop {
            if !std::mem::take(&mut self.is_held) && self.reader.next_line().map_err(unreadable)?.is_none() {
                return Ok(None);
            }
            // What the journal has beyond the files is written over a blank line at their end.
            if let Some(blank) = self.blank.take().filter(|_| !self.reader.is_in_journal()) {
                (self.told, self.is_held) = (blank, true);
                break;
            }
            let raw = self.reader.given();
            if !raw.whole || !raw.bytes.is_empty() {
                break;
            }
            self.blank = Some(raw.clone());
        }
        let raw = if self.is_held { &self.told } else { self.reader.given() };
        let checked = if raw.whole {
            self.verifier.check(&raw.bytes)
        } else {
            Err(self.verifier.incomplete(&raw.bytes))
        };
        if let Ok(line) = &checked
            && raw.number == 1
            && !self.reader.is_in_journal()
        {
            self.misnamed.extend(misnamed(raw, line.seq));
        }
        match checked.map_err(|fault| Misplaced { raw, fault }) {
            Err(newer) if matches!(newer.fault.wrong, Wrong::Newer(_)) => {
                Err(Failure::Usage(anyhow!("{newer}")))
            }
            checked => Ok(Some(checked)),
        }
    }
}

/// A segment whose name says another number than its first line.
fn misnamed(raw: &RawLine, seq: u64) -> Option<String> {
    let name = SegmentName::of(&raw.file)?;
    (name.first_seq != seq).then(|| format!("{raw}: it has seq {seq}, and its file is called otherwise"))
}

/// Refuses what has not one line of a log, however it is called.
fn refuse_foreign(mut reader: LogReader) -> Result<(), Failure> {
    let foreign = |raw: &RawLine, error| Failure::Usage(anyhow!("not a log of buzzerd: {raw}: {error}"));
    let mut first = None;
    for _ in 0..FOREIGN_LINES_MAX {
        let Some(raw) = reader.next_line().map_err(unreadable)? else { break };
        match Line::parse(&raw.bytes) {
            Ok(_) | Err(BadLine::Version(_) | BadLine::LineEnds(_) | BadLine::Mark(_)) => return Ok(()),
            Err(error) => first = first.or_else(|| Some(foreign(raw, error))),
        }
    }
    // The beginning of the first line may be all that there is.
    let beginning = |bytes: &[u8]| bytes.iter().zip(br#"{"v":"#).all(|(found, due)| found == due);
    let partial = reader.partial().filter(|raw| !beginning(&raw.bytes));
    let first = first.or_else(|| partial.map(|raw| foreign(&raw, BadLine::Beginning)));
    first.map_or(Ok(()), Err)
}
