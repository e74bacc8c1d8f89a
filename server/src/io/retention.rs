//! Which old segments go. In: a log directory, what the configuration allows. Out: the record that says so, and the names.
//! Guarantee: without configuration nothing goes; only a beginning of the log does, never its last segment, never one that
//! was written to within a day or, as the clock has it, in the future; nothing is removed here.
//!
//! With both limits a segment goes only when both allow it. The log that is left goes on from a hash that the `expired`
//! record names, and the files are removed when that record is durable.

use std::fs;
use std::io;
use std::path::Path;

use super::host;
use crate::config::LogConfig;
use crate::log::{Line, SegmentName};
use crate::record::Fact;

const DAY_US: u64 = 24 * 3600 * 1_000_000;

/// What goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Segments, oldest first.
    pub names: Vec<String>,
    /// The record that says so.
    pub note: Option<Fact>,
}

struct Segment {
    name: SegmentName,
    bytes: u64,
    written_us: u64,
}

/// Finds what may go now.
pub(super) fn expired(config: &LogConfig, dir: &Path) -> Expired {
    if config.keep_days.is_none() && config.keep_bytes.is_none() {
        return Expired::default();
    }
    let found = segments(dir).and_then(|segments| {
        let going = beginning(config, &segments, host::wall_us());
        match (segments.first(), going.checked_sub(1).map(|last| &segments[last])) {
            (Some(first), Some(last)) => Ok(Expired {
                names: segments[..going].iter().map(|segment| segment.name.to_string()).collect(),
                note: Some(note(dir, first.name, last.name)?),
            }),
            _ => Ok(Expired::default()),
        }
    });
    found.unwrap_or_else(|error| {
        ::log::warn!("{}: old segments stay: {error}", dir.display());
        Expired::default()
    })
}

fn segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let found = entry.metadata()?;
        let written_us = found.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let written_us = u64::try_from(written_us.as_micros()).unwrap_or(u64::MAX);
        segments.push(Segment { name, bytes: found.len(), written_us });
    }
    segments.sort_by_key(|segment| segment.name);
    Ok(segments)
}

/// How many of the oldest may go.
fn beginning(config: &LogConfig, segments: &[Segment], now_us: u64) -> usize {
    let mut left: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let before_last = segments.split_last().map_or(&[][..], |(_, older)| older);
    let may_go = |segment: &&Segment| {
        left -= segment.bytes;
        let age_us = now_us.saturating_sub(segment.written_us);
        let is_old = config.keep_days.is_none_or(|days| age_us >= days.saturating_mul(DAY_US));
        let is_much = config.keep_bytes.is_none_or(|keep| left >= keep);
        age_us >= DAY_US && is_old && is_much
    };
    before_last.iter().take_while(may_go).count()
}

fn note(dir: &Path, first: SegmentName, last: SegmentName) -> io::Result<Fact> {
    let bytes = fs::read(dir.join(last.to_string()))?;
    let line = bytes.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
    let line = line.and_then(|line| Line::parse(line).ok());
    let line = line.ok_or_else(|| io::Error::other(format!("{last}: its last line is damaged")))?;
    Ok(Fact::Expired {
        first_segment: first.to_string(),
        last_segment: last.to_string(),
        last_seq: line.seq,
        last_hash: line.hash.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_go_and_only_when_all_limits_allow_it() {
        const NOW: u64 = 1000 * DAY_US;
        let segment = |number: u32, age_days: u64| Segment {
            name: SegmentName { number, first_seq: 1 },
            bytes: 10,
            written_us: NOW - age_days * DAY_US,
        };
        let segments = [segment(1, 30), segment(2, 20), segment(3, 20), segment(4, 0), segment(5, 40)];
        for (keep_days, keep_bytes, want) in [
            (Some(10), None, 3),
            (Some(25), None, 1),
            (Some(50), None, 0),
            (None, Some(40), 1),
            (None, Some(0), 3),
            (Some(10), Some(40), 1),
            (Some(25), Some(0), 1),
        ] {
            let config = LogConfig { dir: None, keep_days, keep_bytes };
            assert_eq!(beginning(&config, &segments, NOW), want, "{keep_days:?} {keep_bytes:?}");
        }
        let config = LogConfig { dir: None, keep_days: Some(1), keep_bytes: None };
        assert_eq!(beginning(&config, &segments[..1], NOW), 0, "the last one stays");
        assert_eq!(beginning(&config, &segments, 0), 0, "a clock that is behind removes nothing");
    }
}
