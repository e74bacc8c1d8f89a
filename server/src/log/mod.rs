//! The event log's form: JSON Lines. In: records. Out: lines, and records again. Guarantee: one record is one line,
//! one line is one JSON object whose first keys are `v` and `seq`.
//!
//! ```text
//! {"v":1,"seq":7,"at_us":81234567,"kind":"press","pool":"stage","buzzer":3,"device":2}\n
//! ```
//! `v` is the version of this form. A reader takes keys it does not know as additions and passes over them.

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// The version of the form that is written.
pub const FORMAT_VERSION: u8 = 1;

#[derive(Serialize)]
struct WriteLine<'a> {
    v: u8,
    #[serde(flatten)]
    record: &'a Record,
}

#[derive(Deserialize)]
struct ReadLine {
    v: u8,
    #[serde(flatten)]
    record: Record,
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// Not what this form looks like.
    #[error("not a log record: {0}")]
    Form(#[from] serde_json::Error),
    /// Written by a newer buzzerd.
    #[error("format version {0} is newer than this buzzerd knows (1)")]
    Version(u8),
}

/// Appends the record's line, newline included.
pub fn encode(record: &Record, lines: &mut Vec<u8>) {
    serde_json::to_writer(&mut *lines, &WriteLine { v: FORMAT_VERSION, record })
        .expect("a record has string keys only, and memory takes every byte");
    lines.push(b'\n');
}

/// Reads a line, without its newline.
///
/// # Errors
/// [`BadLine`] if it is no record of this version.
pub fn decode(line: &[u8]) -> Result<Record, BadLine> {
    #[derive(Deserialize)]
    struct Version {
        v: u8,
    }
    match serde_json::from_slice::<ReadLine>(line) {
        Ok(line) if line.v == FORMAT_VERSION => Ok(line.record),
        Ok(line) => Err(BadLine::Version(line.v)),
        Err(error) => match serde_json::from_slice::<Version>(line) {
            Ok(Version { v }) if v > FORMAT_VERSION => Err(BadLine::Version(v)),
            _ => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Fact;

    #[test]
    fn a_record_is_one_line_with_the_version_first() {
        let press = Fact::Press {
            pool: "stage".parse().unwrap(),
            buzzer: 3,
            device: 2,
            uncertainty_us: 9000,
            final_at_us: 81_243_567,
            flags: Vec::new(),
            contests: vec![5],
            tie: None,
        };
        let record = Record { seq: 7, at_us: 81_234_567, fact: press };
        let mut lines = Vec::new();
        encode(&record, &mut lines);
        let want = r#"{"v":1,"seq":7,"at_us":81234567,"kind":"press","pool":"stage","buzzer":3,"device":2,"uncertainty_us":9000,"final_at_us":81243567,"contests":[5]}"#;
        assert_eq!(String::from_utf8(lines.clone()).unwrap(), format!("{want}\n"));
        assert_eq!(decode(&lines[..lines.len() - 1]).unwrap(), record);
    }

    #[test]
    fn what_is_no_record_is_refused_by_name() {
        assert!(matches!(decode(br#"{"v":2,"seq":1,"new":true}"#), Err(BadLine::Version(2))));
        for line in [&b"{}"[..], b"", b"{\"v\":1,\"seq\":1,\"at_us\":1,\"kind\":\"nonsense\"}", b"\xff"] {
            assert!(matches!(decode(line), Err(BadLine::Form(_))), "{line:?}");
        }
    }
}
