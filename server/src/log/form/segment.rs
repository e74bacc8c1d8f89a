//! Names of segments. In: a file name, or a number and a seq. Out: the other. Guarantee: names sort as the log runs, so
//! `cat *.jsonl` is the log; what is not named like this is no part of it.

use std::fmt;
use std::path::Path;

use super::line::SEQ_MAX;

/// A segment: `NNNNNN-<first seq>.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// From 1, in the order of the log. At 8 MiB a piece, a million of them are more than any disk of a quiz holds.
    pub number: u32,
    /// The seq of its first record.
    pub first_seq: u64,
}

impl SegmentName {
    /// The segment at this path, or of this name, if it is called like one.
    pub fn of(path: impl AsRef<Path>) -> Option<Self> {
        let name = path.as_ref().file_name()?.to_str()?;
        let (number, seq) = name.strip_suffix(".jsonl")?.split_once('-')?;
        let segment = Self { number: number.parse().ok()?, first_seq: seq.parse().ok()? };
        // One segment has one name.
        let fits = (1..=NUMBER_MAX).contains(&segment.number)
            && (1..=SEQ_MAX).contains(&segment.first_seq)
            && segment.to_string() == name;
        fits.then_some(segment)
    }
}

/// The most that six digits say.
const NUMBER_MAX: u32 = 999_999;

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}-{}.jsonl", self.number, self.first_seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_segment_has_one_name() {
        let name = SegmentName { number: 12, first_seq: 3456 };
        assert_eq!(name.to_string(), "000012-3456.jsonl");
        assert_eq!(SegmentName::of("000012-3456.jsonl"), Some(name));
        for bad in [
            "12-3456.jsonl",
            "000012-03456.jsonl",
            "000012-+3456.jsonl",
            "000000-1.jsonl",
            "000012-0.jsonl",
            "000012-9223372036854775808.jsonl",
            "1000000-1.jsonl",
            "000012-3456.jsonl.torn-7",
            "000012-3456",
            "buzzerd.jsonl",
            "",
        ] {
            assert_eq!(SegmentName::of(bad), None, "{bad}");
        }
    }
}
