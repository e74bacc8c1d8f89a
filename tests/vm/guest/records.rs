//! The event log as the cases see it. The only place that knows the log's words.
//!
//! Enters the folder of a daemon that has ended; leaves its records in order.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::deadline::{Outcome, Why};

/// One line of the log.
#[derive(Debug, Clone)]
pub(crate) struct Record(Value);

/// A press as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Press {
    pub(crate) pool: String,
    pub(crate) buzzer: u64,
    pub(crate) at_us: i64,
    /// `late`, `stale_stamp`, `recovered`: its stamp does not decide where it stands.
    pub(crate) flags: Vec<String>,
    /// The draw that placed it among presses of the same stamp.
    pub(crate) tie: Option<u64>,
}

impl Press {
    /// Whether the log itself takes it out of the plain order by kernel time.
    pub(crate) fn is_marked(&self) -> bool {
        !self.flags.is_empty()
    }
}

/// All records: the segments in the order of their names are one stream of lines.
pub(crate) fn read(folder: &Path) -> Outcome<Vec<Record>> {
    let entries = fs::read_dir(folder).why(folder.display())?;
    let mut segments: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    segments.sort();
    let mut records = Vec::new();
    for segment in segments {
        let text = fs::read_to_string(&segment).why(segment.display())?;
        for line in text.lines() {
            records.push(Record(serde_json::from_str(line).why(format!("record {line}"))?));
        }
    }
    Ok(records)
}

impl Record {
    pub(crate) fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    fn press(&self) -> Option<Press> {
        (self.kind() == "press").then(|| Press {
            pool: text(&self.0["pool"]),
            buzzer: self.0["buzzer"].as_u64().unwrap_or(u64::MAX),
            at_us: self.0["at_us"].as_i64().unwrap_or(-1),
            flags: self.0["flags"].as_array().into_iter().flatten().map(text).collect(),
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

/// The kinds in the order of the log, for the text of a failure.
pub(crate) fn kinds(records: &[Record]) -> String {
    records.iter().map(Record::kind).collect::<Vec<_>>().join(" ")
}
