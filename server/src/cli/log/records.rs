//! A log for the commands that read it. In: paths of the command line. Out: its lines, checked against the chain, and what
//! they say. Guarantee: damage is told with file and line and never passed over in silence; a kind that a later buzzerd
//! added is told apart from damage, and from a known one that cannot be read. What is no log at all, or of a later form, is
//! refused before anything is made of it. One blank line at the end of all is no damage.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use buzzer_server::config::Config;
use buzzer_server::io::store::log_dir;
use buzzer_server::io::store::log_reader::{LogReader, RawLine, ReadError};
use buzzer_server::log::form::names::Others;
use buzzer_server::log::form::strict::{self, Said, Unreadable};
use buzzer_server::log::form::verify::{LineFault, Wrong};
use buzzer_server::log::{BadLine, Line, SegmentName, Verifier};
use buzzer_server::record::Record;
use clap::Args;

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

/// A log that is read and checked.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) reader: LogReader,
    pub(super) verifier: Verifier,
    /// The log directory, if it is one.
    pub(super) dir: Option<PathBuf>,
    /// What else lies in it.
    pub(super) others: Others,
    /// Segments whose name says another number than their first line.
    pub(super) misnamed: Vec<String>,
    /// Every line is to be read as strictly as the form says.
    pub(super) is_strict: bool,
    /// A blank line, if nothing has come behind it yet.
    pub(super) blank: Option<(PathBuf, u64)>,
    /// What came behind a blank line, and waits until that was told; whether it is whole.
    held: Option<bool>,
    told: (PathBuf, u64),
    paths: Vec<PathBuf>,
}

/// The next line.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A record, in its place.
    Record(Record, Line<'a>),
    /// A record of a kind that this buzzerd does not know, in its place.
    Unknown(Line<'a>, String),
    /// A line in its place that says nothing.
    Unreadable(Line<'a>, Unreadable),
    /// A line in its place; what it says was not looked at.
    Unread(Line<'a>),
    /// Not the line that should stand here.
    Fault(RawLine<'a>, LineFault),
}

impl Step<'_> {
    /// Where a line is that is not as it should be, and why.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Unreadable(line, why) => Some(format!("seq {}: {why}", line.seq)),
            Self::Fault(raw, fault) => Some(format!("{}: line {}: {fault}", raw.file.display(), raw.number)),
            Self::Record(..) | Self::Unknown(..) | Self::Unread(_) => None,
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
        Self {
            verifier: Verifier::from_seq(reader.first_seq()),
            reader,
            dir,
            others: Others::default(),
            misnamed: Vec::new(),
            is_strict: false,
            blank: None,
            held: None,
            told: Default::default(),
            paths,
        }
    }

    /// The same log, from its first line.
    pub(super) fn again(&self) -> Result<Self, ReadError> {
        Ok(Self::new(LogReader::open(&self.paths)?, self.dir.clone(), self.paths.clone()))
    }

    /// The numbers of the first line and of the last one that was read.
    pub(super) fn seqs(&self) -> (u64, u64) {
        (self.reader.opened_seq(), self.verifier.next_seq() - 1)
    }

    /// Whether there is nothing in it, good or bad. A failure is that of its first line.
    pub(super) fn is_empty(&self) -> Result<bool, Failure> {
        Ok(self.again().map_err(unreadable)?.next_unread()?.is_none())
    }

    /// The next line, and what it says; none at the end of what is there now.
    pub(super) fn next(&mut self) -> Result<Option<Step<'_>>, Failure> {
        let is_strict = self.is_strict;
        Ok(self.next_unread()?.map(|step| match step {
            Step::Unread(line) => match line.record() {
                Ok(record) if !is_strict => Step::Record(record, line),
                _ => match strict::read(&line) {
                    Ok(Said::Record(record)) => Step::Record(record, line),
                    Ok(Said::Unknown(kind)) => Step::Unknown(line, kind),
                    Err(error) => Step::Unreadable(line, error),
                },
            },
            step => step,
        }))
    }

    /// The next line, checked, of any kind.
    pub(super) fn next_unread(&mut self) -> Result<Option<Step<'_>>, Failure> {
        let whole = loop {
            let whole = match self.held.take() {
                Some(whole) => whole,
                None => match self.reader.next_line().map_err(unreadable)? {
                    Some(raw) => raw.whole,
                    None => return Ok(None),
                },
            };
            // What the journal has beyond the files is written over a blank line at their end.
            if let Some(blank) = self.blank.take().filter(|_| !self.reader.is_in_journal()) {
                (self.held, self.told) = (Some(whole), blank);
                return self.check(RawPlace::Blank).map(Some);
            }
            match self.reader.given(whole) {
                Some(raw) if raw.whole && raw.bytes.is_empty() => {
                    self.blank = Some((raw.file.to_owned(), raw.number));
                }
                _ => break whole,
            }
        };
        self.check(RawPlace::Given(whole)).map(Some)
    }

    fn check(&mut self, place: RawPlace) -> Result<Step<'_>, Failure> {
        let blank = RawLine { bytes: b"", file: &self.told.0, number: self.told.1, whole: true };
        let raw = match place {
            RawPlace::Blank => blank,
            RawPlace::Given(whole) => self.reader.given(whole).unwrap_or(blank),
        };
        let checked =
            if raw.whole { self.verifier.check(raw.bytes) } else { Err(self.verifier.incomplete(raw.bytes)) };
        match checked {
            Ok(line) => {
                if raw.number == 1 && !self.reader.is_in_journal() {
                    self.misnamed.extend(misnamed(raw.file, line.seq));
                }
                Ok(Step::Unread(line))
            }
            Err(fault) if matches!(fault.wrong, Wrong::Newer(_)) => {
                Err(Failure::Usage(anyhow!("{}: line {}: {fault}", raw.file.display(), raw.number)))
            }
            Err(fault) => Ok(Step::Fault(raw, fault)),
        }
    }
}

/// Which line is looked at.
#[derive(Clone, Copy)]
enum RawPlace {
    /// A blank one that is not the last.
    Blank,
    /// The one that the reader gave; whether it is whole.
    Given(bool),
}

/// A segment whose name says another number than its first line.
fn misnamed(file: &Path, seq: u64) -> Option<String> {
    let name = SegmentName::of(file)?;
    (name.first_seq != seq)
        .then(|| format!("{}: line 1: it has seq {seq}, and its file is called otherwise", file.display()))
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
            Ok(_) | Err(BadLine::Version(_) | BadLine::LineEnds(_) | BadLine::Mark(_)) => return Ok(()),
            Err(error) => first = first.or_else(|| Some(foreign(&raw, &error))),
        }
    }
    // The beginning of the first line may be all that there is.
    let beginning = |bytes: &[u8]| bytes.iter().zip(br#"{"v":"#).all(|(found, due)| found == due);
    let partial = reader.partial().filter(|raw| !beginning(raw.bytes));
    let first = first.or_else(|| partial.map(|raw| foreign(&raw, &BadLine::Beginning)));
    first.map_or(Ok(()), Err)
}
