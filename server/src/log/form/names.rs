//! What may lie in a log directory. In: the names there, and which are files. Out: those that make the log suspect, and those
//! that are no part of it. Guarantee: nothing but a segment may be called like one: a file that somebody added beside
//! genuine segments is named, whether it is a log or not.

use std::ffi::{OsStr, OsString};

use crate::log::SegmentName;

/// The one file of an export, which has no segments.
pub const EXPORT_NAME: &str = "log.jsonl";
/// What buzzerd makes beside its segments, as LOG.md lists it; an export's files are the last four.
pub const KNOWN: [&str; 11] = [
    "lock",
    "key",
    "key.pub",
    "allowed_signers",
    "checkpoints",
    "journal",
    "spare",
    "log.csv",
    "log.json",
    "verify.py",
    "README.txt",
];
/// What was set aside has its name and one of these, with a number.
const ASIDE: [&str; 2] = [".torn-", ".aside-"];

/// What is there besides the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// What may not be there, and why.
    pub refused: Vec<(OsString, &'static str)>,
    /// What is no part of the log and does not touch it.
    pub unknown: Vec<OsString>,
}

/// Looks at the names in a directory; of each whether it is a file of some bytes: no directory, no link, not empty.
pub fn judge(mut entries: Vec<(OsString, bool)>) -> Others {
    entries.sort_unstable();
    let has_segments = entries.iter().any(|(name, _)| SegmentName::of(name).is_some());
    let mut others = Others::default();
    let mut last: Option<SegmentName> = None;
    for (name, is_file) in entries {
        let why = match SegmentName::of(&name) {
            // The order of `cat *.jsonl` is that of the numbers.
            Some(segment) if last.replace(segment).is_some_and(|last| segment < last) => {
                Some("two segments have one number")
            }
            None if !ends_like_a_log(&name) => {
                if !is_known(&name) {
                    others.unknown.push(name);
                }
                continue;
            }
            None if has_segments || name != EXPORT_NAME => {
                Some("it is no part of the log, and no other file may be called so")
            }
            _ => (!is_file).then_some("it is empty, or no file"),
        };
        others.refused.extend(why.map(|why| (name, why)));
    }
    others
}

/// However it is written: what a person takes for a part of the log may not lie there.
fn ends_like_a_log(name: &OsStr) -> bool {
    name.to_string_lossy().to_lowercase().ends_with(".jsonl")
}

fn is_known(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_aside = |mark| name.rsplit_once(mark).is_some_and(|(_, number): (&str, &str)| is_number(number));
    KNOWN.contains(&name) || ASIDE.into_iter().any(is_aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let others = judge(names.iter().map(|name| (name.into(), !name.contains("empty"))).collect());
        let text = |name: &OsString| name.to_string_lossy().into_owned();
        (
            others.refused.iter().map(|(name, _)| text(name)).collect(),
            others.unknown.iter().map(text).collect(),
        )
    }

    #[test]
    fn nothing_but_a_segment_is_called_like_one() {
        let log = ["000001-1.jsonl", "000002-40.jsonl", "lock", "key", "key.pub", "checkpoints", "spare"];
        let aside = ["000003-80.jsonl.torn-1", "0.journal.aside-12"];
        assert_eq!(judged(&[&log[..], &aside].concat()), (vec![], vec![]));
        for name in [
            "x.jsonl",
            ".x.jsonl",
            "000003-90.JSONL",
            "log.jsonl",
            "0000003-90.jsonl",
            "1000000-90.jsonl",
            "000003-090.jsonl",
            "000000-90.jsonl",
            "000003.jsonl",
            "000001-1 (copy).jsonl",
        ] {
            assert_eq!(judged(&[&log[..], &[name]].concat()).0, [name]);
        }
        for name in ["notes.txt", "000003-90.jsonl~", "000003-90.jsonl.bak", "x.torn-", "x.torn-1a", "key2"] {
            assert_eq!(judged(&[&log[..], &[name]].concat()), (vec![], vec![name.to_owned()]));
        }
    }

    #[test]
    fn an_export_has_one_file_and_segments_have_one_order() {
        assert_eq!(judged(&["log.jsonl", "log.csv", "verify.py", "README.txt"]), (vec![], vec![]));
        assert_eq!(judged(&["log.jsonl", "more.jsonl"]).0, ["more.jsonl"]);
        assert_eq!(judged(&["buzzerd.jsonl"]).0, ["buzzerd.jsonl"]);
        // As text 1000 is before 400.
        assert_eq!(judged(&["000004-1000.jsonl", "000004-400.jsonl"]).0, ["000004-400.jsonl"]);
        assert_eq!(judged(&["000004-400.jsonl", "000004-401.jsonl"]).0, Vec::<String>::new());
    }
}
