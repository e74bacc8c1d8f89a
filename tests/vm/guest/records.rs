//! The event log as the cases see it. The only place that knows the log's words.
//!
//! Enters the folder of a daemon that has ended; leaves its records in order.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::deadline::{Outcome, Why};

/// One line of the log.
#[derive(Debug, Clone)]
pub(crate) struct Record(Value);

/// A press as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Press {
    pub(crate) seq: u64,
    pub(crate) pool: String,
    pub(crate) buzzer: u64,
    pub(crate) at_us: i64,
    /// `late`, `stale_stamp`, `recovered`: its stamp does not decide where it stands.
    pub(crate) flags: Vec<String>,
    /// The presses that it may in truth precede.
    pub(crate) photo: Vec<u64>,
    /// The draw that placed it among presses of the same stamp.
    pub(crate) tie: Option<u64>,
}

impl Press {
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|has| has == flag)
    }

    /// Whether the log itself takes it out of the plain order by kernel time.
    pub(crate) fn is_marked(&self) -> bool {
        !self.flags.is_empty()
    }
}

/// All records at once; see [`each`].
pub(crate) fn read(folder: &Path) -> Outcome<Vec<Record>> {
    let mut records = Vec::new();
    each(folder, |record| records.push(record))?;
    Ok(records)
}

/// One record after another: the segments in the order of their names are one stream of lines.
pub(crate) fn each(folder: &Path, mut take: impl FnMut(Record)) -> Outcome {
    let entries = fs::read_dir(folder).why(folder.display())?;
    let mut segments: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    segments.sort();
    for segment in segments {
        let file = File::open(&segment).why(segment.display())?;
        for line in BufReader::new(file).lines() {
            let line = line.why(segment.display())?;
            take(Record(serde_json::from_str(&line).why(format!("record {line}"))?));
        }
    }
    Ok(())
}

impl Record {
    pub(crate) fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    /// Of an `attach`: the pool, and what the device calls itself.
    pub(crate) fn attached(&self) -> Option<(String, String)> {
        (self.kind() == "attach").then(|| (text(&self.0["pool"]), text(&self.0["name"])))
    }

    pub(crate) fn press(&self) -> Option<Press> {
        (self.kind() == "press").then(|| Press {
            seq: self.0["seq"].as_u64().unwrap_or(u64::MAX),
            pool: text(&self.0["pool"]),
            buzzer: self.0["buzzer"].as_u64().unwrap_or(u64::MAX),
            at_us: self.0["at_us"].as_i64().unwrap_or(-1),
            flags: self.0["flags"].as_array().into_iter().flatten().map(text).collect(),
            photo: self.0["photo"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|rival| rival["seq"].as_u64())
                .collect(),
            tie: self.0["tie"].as_u64(),
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The presses, in the order of the log.
pub(crate) fn presses(records: &[Record]) -> Vec<Press> {
    records.iter().filter_map(Record::press).collect()
}

/// Whether the log says that the kernel dropped events.
pub(crate) fn tells_overflow(records: &[Record]) -> bool {
    records.iter().any(|record| record.kind() == "gap")
}

/// Whether the log says of an unplug that presses may be missing.
pub(crate) fn tells_uncertain_unplug(records: &[Record]) -> bool {
    records.iter().any(|record| record.kind() == "detach" && record.0["certain"] == false)
}

/// How many records of this kind there are.
pub(crate) fn count(records: &[Record], kind: &str) -> usize {
    records.iter().filter(|record| record.kind() == kind).count()
}

/// The kinds in the order of the log, for the text of a failure.
pub(crate) fn kinds(records: &[Record]) -> String {
    records.iter().map(Record::kind).collect::<Vec<_>>().join(" ")
}
