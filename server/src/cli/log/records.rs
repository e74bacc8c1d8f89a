//! A log for the commands that read it. In: paths of the command line. Out: its lines, checked against the chain, and what
//! they say. Guarantee: damage is told with file and line and never passed over in silence; a kind that a later buzzerd
//! added is told apart from damage. What is no log at all, or of a later form, is refused before anything is made of it.

use std::path::PathBuf;

use anyhow::anyhow;
use buzzer_server::config::Config;
use buzzer_server::io::log_reader::{LogReader, RawLine, ReadError};
use buzzer_server::log::verify::{Fault, Wrong};
use buzzer_server::log::{BadLine, Line, Verifier};
use buzzer_server::record::Record;
use clap::Args;

use crate::cli::Failure;

/// What has so many lines and not one of a log is no log.
const FOREIGN_LINES_MAX: u32 = 100;

/// Which log.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The log's directory, or its .jsonl files in their order [default: log.dir of the configuration]
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
}

/// A log that is read and checked.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) reader: LogReader,
    pub(super) verifier: Verifier,
    /// The log directory, if it is one.
    pub(super) dir: Option<PathBuf>,
    paths: Vec<PathBuf>,
}

/// The next line.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A record, in its place.
    Record(Record, Line<'a>),
    /// A record of a kind that this buzzerd does not know, in its place.
    Unknown(Line<'a>, BadLine),
    /// A line in its place; what it says was not looked at.
    Unread(Line<'a>),
    /// Not the line that should stand here.
    Fault(RawLine<'a>, Fault),
}

impl Source {
    /// Opens it.
    pub(super) fn open(&self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<Records, Failure> {
        let paths = if self.paths.is_empty() {
            vec![config()?.log.dir.ok_or_else(|| Failure::Usage(anyhow!("no log directory is configured")))?]
        } else {
            self.paths.clone()
        };
        let reader = LogReader::open(&paths).map_err(unreadable)?;
        if !reader.is_named_as_log() {
            refuse_foreign(LogReader::open(&paths).map_err(unreadable)?)?;
        }
        let verifier = Verifier::from_seq(reader.first_seq());
        let dir = paths.first().filter(|path| path.is_dir()).cloned();
        Ok(Records { reader, verifier, dir, paths })
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
    /// The same log, from its first line.
    pub(super) fn again(&self) -> Result<Self, ReadError> {
        let reader = LogReader::open(&self.paths)?;
        let verifier = Verifier::from_seq(reader.first_seq());
        Ok(Self { reader, verifier, dir: self.dir.clone(), paths: self.paths.clone() })
    }

    /// Whether there is nothing in it, good or bad. A failure is that of its first line.
    pub(super) fn is_empty(&self) -> Result<bool, Failure> {
        Ok(self.again().map_err(unreadable)?.next_unread()?.is_none())
    }

    /// The next line, and what it says; none at the end of what is there now.
    pub(super) fn next(&mut self) -> Result<Option<Step<'_>>, Failure> {
        Ok(self.next_unread()?.map(|step| match step {
            Step::Unread(line) => match line.record() {
                Ok(record) => Step::Record(record, line),
                Err(error) => Step::Unknown(line, error),
            },
            step => step,
        }))
    }

    /// The next line, checked, whatever it says.
    pub(super) fn next_unread(&mut self) -> Result<Option<Step<'_>>, Failure> {
        let Some(raw) = self.reader.next_line().map_err(unreadable)? else { return Ok(None) };
        let checked =
            if raw.whole { self.verifier.check(raw.bytes) } else { Err(self.verifier.incomplete(raw.bytes)) };
        Ok(Some(match checked {
            Ok(line) => Step::Unread(line),
            Err(fault) if matches!(fault.wrong, Wrong::Newer(_)) => {
                return Err(Failure::Usage(anyhow!("{}: line {}: {fault}", raw.file.display(), raw.number)));
            }
            Err(fault) => Step::Fault(raw, fault),
        }))
    }
}

/// Refuses what has not one line of a log, however it is called.
fn refuse_foreign(mut reader: LogReader) -> Result<(), Failure> {
    let foreign = |raw: &RawLine<'_>, error: &dyn std::fmt::Display| {
        let place = format!("{}: line {}", raw.file.display(), raw.number);
        Failure::Usage(anyhow!("not a log of buzzerd: {place}: {error}"))
    };
    let mut first = None;
    for _ in 0..FOREIGN_LINES_MAX {
        let Some(raw) = reader.next_line().map_err(unreadable)? else { break };
        match Line::parse(raw.bytes) {
            Ok(_) | Err(BadLine::Version(_)) => return Ok(()),
            Err(error) => first = first.or_else(|| Some(foreign(&raw, &error))),
        }
    }
    // The beginning of the first line may be all that there is.
    let beginning = |bytes: &[u8]| bytes.iter().zip(br#"{"v":"#).all(|(found, due)| found == due);
    let partial = reader.partial().filter(|raw| !beginning(raw.bytes));
    let first = first.or_else(|| partial.map(|raw| foreign(&raw, &BadLine::Beginning)));
    first.map_or(Ok(()), Err)
}
