//! Is this the log as it was written? In: lines, in order. Out: each line again, or the [`LineFault`] in it. Guarantee: a
//! line that was changed, added, removed or moved is found at the first place where it shows, and named; what a line
//! says is believed only after that. Only the bytes and the chain are looked at, so kinds of a later buzzerd pass too.
//!
//! What this cannot find: lines cut off at the end, and a chain that was recomputed as a whole. For both, compare
//! with a fingerprint or a checkpoint that left the box before ([`super::fingerprint`], [`super::checkpoint`]).

use super::chain::ChainHash;
use super::line::{BadLine, Line};
use crate::counted::counted;

/// Checks a log, line after line.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// The seq that the next line must have.
    next_seq: u64,
    /// The hash that it must follow; none before the first line of a log without its beginning.
    head: Option<ChainHash>,
    /// The line before, if it was not the one that is due.
    aside: Aside,
    records: u64,
    faults: u64,
    lost: u64,
}

/// A line that is wrong, behind which the log may go on.
#[derive(Clone, Copy, Debug)]
enum Aside {
    /// The line before was right.
    Nothing,
    /// It has these.
    Line { seq: u64, hash: ChainHash },
    /// Nothing of it can be known.
    Unknown,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[error("seq {expected}: {wrong}")]
pub struct LineFault {
    /// The seq that was due here.
    pub expected: u64,
    /// What was found instead.
    pub wrong: Wrong,
}

/// The ways in which a line can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// It has not the form of a line.
    #[error("{0}")]
    Form(BadLine),
    /// Another number was due.
    #[error("the line says seq {found}: {}", what_jumped(*.found, *.due))]
    Seq {
        /// What it says.
        found: u64,
        /// What was due.
        due: u64,
    },
    /// Its hash is not what the lines up to here give.
    #[error(
        "its hash does not follow from the line before it: this line was changed, or is from another log, or is not \
         the one that stood here"
    )]
    Chain,
    /// The file ends in the middle of it, and more files follow.
    #[error("the file ends after {} of this line, and the log goes on in another file", counted(*.0 as u64, "byte"))]
    Incomplete(usize),
    /// A later buzzerd wrote it: the chain holds, the form is not known here.
    #[error(
        "format version {0} is newer than this buzzerd knows (1): use the buzzerd that wrote it, or a later one"
    )]
    Newer(u64),
}

fn what_jumped(found: u64, due: u64) -> &'static str {
    if found > due { "lines before it are missing" } else { "it stood further up already, or was moved" }
}

/// How many records a log lacks that begins with the loss of all before: nothing of them is elsewhere.
pub fn lost_from_start(line: &Line<'_>) -> Option<u64> {
    let (first_seq, last_seq) = line.loss()?;
    (first_seq == 1 && last_seq.checked_add(1) == Some(line.seq) && line.follows(&ChainHash::START))
        .then_some(last_seq)
}

impl Verifier {
    /// For a log from this record on, and so from its first line if that is 1. Whether the first line is the one that was written
    /// cannot be known where the older part is elsewhere; all others follow from it.
    pub const fn from_seq(seq: u64) -> Self {
        let (next_seq, head) = if seq <= 1 { (1, Some(ChainHash::START)) } else { (seq, None) };
        Self { next_seq, head, aside: Aside::Nothing, records: 0, faults: 0, lost: 0 }
    }

    /// Takes the next line, without its newline. A line that is wrong is left aside: the log goes on with the line that is due,
    /// or behind the wrong one with what follows from it. So what follows damage can still be read and checked, and what
    /// stood further up already is wrong line by line.
    ///
    /// # Errors
    /// [`LineFault`], if this is not the line that has to stand here.
    pub fn check<'a>(&mut self, bytes: &'a [u8]) -> Result<Line<'a>, LineFault> {
        let expected = self.next_seq;
        let before = std::mem::replace(&mut self.aside, Aside::Nothing);
        match Line::parse(bytes) {
            Ok(line) => match self.wrong(&line, before) {
                None => {
                    if self.faults == 0 {
                        self.lost += line.seq - self.next_seq;
                    }
                    if self.records == 0 {
                        self.lost += lost_from_start(&line).unwrap_or(0);
                    }
                    self.next_seq = line.seq.saturating_add(1);
                    self.head = Some(line.hash);
                    self.records += 1;
                    Ok(line)
                }
                Some(wrong) => {
                    self.aside = Aside::Line { seq: line.seq, hash: line.hash };
                    Err(self.fault(expected, wrong))
                }
            },
            Err(error) => {
                let newer = match error {
                    BadLine::Version(version) => self.follows_in_a_newer_form(bytes).then_some(version),
                    _ => None,
                };
                self.aside = Aside::Unknown;
                Err(self.fault(expected, newer.map_or(Wrong::Form(error), Wrong::Newer)))
            }
        }
    }

    /// A file ended in the middle of a line, and there are later ones.
    pub fn incomplete(&mut self, bytes: &[u8]) -> LineFault {
        let expected = self.next_seq;
        self.aside = Aside::Unknown;
        self.fault(expected, Wrong::Incomplete(bytes.len()))
    }

    fn fault(&mut self, expected: u64, wrong: Wrong) -> LineFault {
        self.faults += 1;
        LineFault { expected, wrong }
    }

    /// What is wrong with a line that stands behind one of these.
    fn wrong(&self, line: &Line<'_>, before: Aside) -> Option<Wrong> {
        let is_next = line.is_next(self.next_seq);
        if is_next && self.head.is_none_or(|head| line.follows(&head)) {
            return None;
        }
        // What has a number that was there already goes on behind nothing.
        let (goes_on, is_numbered) = match before {
            Aside::Nothing => (false, is_next),
            Aside::Line { seq, hash } => (
                line.seq > self.next_seq && line.follows(&hash),
                is_next || seq.checked_add(1) == Some(line.seq) && line.seq > self.next_seq,
            ),
            Aside::Unknown => (line.seq > self.next_seq, is_next),
        };
        match (goes_on, is_numbered) {
            (true, _) => None,
            (false, true) => Some(Wrong::Chain),
            (false, false) => Some(Wrong::Seq { found: line.seq, due: self.next_seq }),
        }
    }

    /// A flipped bit can make a version 3 of a 1; but then the hash does not follow.
    fn follows_in_a_newer_form(&self, bytes: &[u8]) -> bool {
        let (Some(head), Some((body, hash))) = (self.head, Line::body_and_hash(bytes)) else { return false };
        head.of_next(body) == hash
    }

    /// The seq that the next line must have.
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The hash of the last line that was right; none before the first line of a log without its beginning.
    pub const fn head(&self) -> Option<&ChainHash> {
        self.head.as_ref()
    }

    /// Lines that were right.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Records that were made and could not be kept, as the log itself says.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Lines that were not.
    pub const fn faults(&self) -> u64 {
        self.faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::encode;
    use crate::record::{Fact, Record};

    /// A log of so many lines, without their newlines.
    fn lines(count: u64) -> Vec<Vec<u8>> {
        let mut head = ChainHash::START;
        let line = |seq| {
            let mut line = Vec::new();
            encode(
                &Record { seq, at_us: seq * 1000, fact: Fact::RingFull { waiting_max: 7 } },
                &mut head,
                &mut line,
            );
            line.pop();
            line
        };
        (1..=count).map(line).collect()
    }

    /// The first fault: in which line, from 1, and what it says.
    fn first_fault<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<(usize, String)> {
        let mut verifier = Verifier::from_seq(1);
        let checked = lines.into_iter().zip(1..).map(|(line, number)| (number, verifier.check(line).err()));
        let mut faults = checked.filter_map(|(number, fault)| Some((number, fault?.to_string())));
        faults.next()
    }

    #[test]
    fn a_whole_log_passes() {
        let lines = lines(50);
        let mut verifier = Verifier::from_seq(1);
        for line in &lines {
            verifier.check(line).unwrap();
        }
        assert_eq!((verifier.records(), verifier.faults(), verifier.next_seq()), (50, 0, 51));
        assert_eq!(*verifier.head().unwrap(), Line::parse(&lines[49]).unwrap().hash);
    }

    #[test]
    fn every_flipped_bit_is_found_in_its_line() {
        let log = lines(200);
        let mut before = Verifier::from_seq(1);
        for (place, line) in log.iter().enumerate() {
            // With its newline, which is the end of the line only as long as it is one. What is behind the last line is the
            // reader's business.
            let behind = log.get(place + 1).map_or_else(Vec::new, |next| [&b"\n"[..], next].concat());
            for at in 0..line.len() + behind.len().min(1) {
                for bit in 0..8 {
                    let mut changed = [&line[..], &behind].concat();
                    changed[at] ^= 1 << bit;
                    let first = changed.split(|byte| *byte == b'\n').next().unwrap();
                    assert!(before.clone().check(first).is_err(), "bit {bit} of byte {at}");
                }
            }
            before.check(line).unwrap();
        }
    }

    #[test]
    fn what_was_moved_removed_repeated_or_brought_from_elsewhere_is_named() {
        let log = lines(40);
        let all: Vec<&[u8]> = log.iter().map(Vec::as_slice).collect();
        let mut other_head = ChainHash::START.of_next(b"another box");
        for at in 1..all.len() - 1 {
            let named = |lines: &[&[u8]]| first_fault(lines.iter().copied()).unwrap();
            let mut swapped = all.clone();
            swapped.swap(at, at + 1);
            assert_eq!(named(&swapped).0, at + 1);
            let mut removed = all.clone();
            removed.remove(at);
            let (line, text) = named(&removed);
            assert_eq!(line, at + 1);
            assert!(text.ends_with("lines before it are missing"), "{text}");
            let mut repeated = all.clone();
            repeated.insert(at, all[at - 1]);
            let (line, text) = named(&repeated);
            assert_eq!(line, at + 1);
            assert!(text.contains("stood further up already"), "{text}");
            // A line of another log, with the right number and a right hash of its own.
            let (mut foreign, seq) = (Vec::new(), at as u64 + 1);
            let fact = Fact::RingFull { waiting_max: 7 };
            encode(&Record { seq, at_us: seq * 1000, fact }, &mut other_head, &mut foreign);
            foreign.pop();
            let mut spliced = all.clone();
            spliced[at] = &foreign;
            let (line, text) = named(&spliced);
            assert_eq!(line, at + 1);
            assert!(text.contains("does not follow"), "{text}");
        }
    }

    #[test]
    fn a_hole_that_the_log_names_is_no_damage_and_any_other_is() {
        let whole = lines(3);
        let line = |head: &ChainHash, seq: u64, fact: &str| {
            let body = format!(r#"{{"v":1,"seq":{seq},"at_us":1,{fact}"#);
            format!("{body},\"h\":\"{}\"}}", head.of_next(body.as_bytes()))
        };
        let mut before = Verifier::from_seq(1);
        for line in &whole {
            before.check(line).unwrap();
        }
        let head = *before.head().unwrap();
        for (seq, fact, is_whole) in [
            (8, r#""kind":"lost","first_seq":4,"last_seq":7"#, true),
            (9, r#""kind":"lost","first_seq":4,"last_seq":7"#, false),
            (8, r#""kind":"lost","first_seq":5,"last_seq":7"#, false),
            (8, r#""kind":"stop","first_seq":4,"last_seq":7"#, false),
        ] {
            let mut verifier = before.clone();
            let line = line(&head, seq, fact);
            assert_eq!(verifier.check(line.as_bytes()).is_ok(), is_whole, "{line}");
            assert_eq!(verifier.lost(), if is_whole { 4 } else { 0 });
        }
    }

    #[test]
    fn what_follows_damage_is_checked_again() {
        let mut log = lines(9);
        log[3].truncate(20);
        let mut verifier = Verifier::from_seq(1);
        let wrong: Vec<bool> = log.iter().map(|line| verifier.check(line).is_err()).collect();
        assert_eq!(wrong, [false, false, false, true, false, false, false, false, false]);
        assert_eq!((verifier.records(), verifier.next_seq()), (8, 10));
    }

    #[test]
    fn what_was_added_is_wrong_line_by_line_and_the_log_goes_on_behind_it() {
        let log = lines(9);
        let all: Vec<&[u8]> = log.iter().map(Vec::as_slice).collect();
        let mut far = Vec::new();
        encode(
            &Record { seq: 900, at_us: 1, fact: Fact::RingFull { waiting_max: 7 } },
            &mut ChainHash::START.clone(),
            &mut far,
        );
        far.pop();
        for (what, added) in [
            ("the same once more", &all[1..7]),
            ("all of it", &all[..7]),
            ("a line of another log", &[&far[..]]),
            ("no lines", &[&b"x"[..], b"", b"{}"]),
        ] {
            let mut verifier = Verifier::from_seq(1);
            let with = [&all[..7], added, &all[7..]].concat();
            let wrong: Vec<usize> = (0..with.len()).filter(|at| verifier.check(with[*at]).is_err()).collect();
            assert_eq!(wrong, (7..7 + added.len()).collect::<Vec<_>>(), "{what}");
            assert_eq!((verifier.records(), verifier.next_seq()), (9, 10), "{what}");
        }
        // A damaged number is one wrong line, also if it is that of an earlier one.
        let mut changed = log.clone();
        let at = changed[6].iter().position(|byte| *byte == b'7').expect("its seq");
        changed[6][at] = b'3';
        let mut verifier = Verifier::from_seq(1);
        let wrong: Vec<bool> = changed.iter().map(|line| verifier.check(line).is_err()).collect();
        assert_eq!(wrong, [false, false, false, false, false, false, true, false, false]);
    }

    #[test]
    fn a_newer_version_is_told_from_a_flipped_bit() {
        let body = br#"{"v":2,"seq":1,"news":[]"#;
        let hash = ChainHash::START.of_next(body);
        let line = [&body[..], br#","h":""#, hash.as_str().as_bytes(), br#""}"#].concat();
        let fault = Verifier::from_seq(1).check(&line).unwrap_err();
        assert!(matches!(fault.wrong, Wrong::Newer(2)), "{fault}");
        let mut flipped = lines(1).remove(0);
        flipped[5] ^= 2;
        let fault = Verifier::from_seq(1).check(&flipped).unwrap_err();
        assert!(matches!(fault.wrong, Wrong::Form(BadLine::Version(3))), "{fault}");
    }

    #[test]
    fn a_log_without_its_beginning_is_checked_from_where_it_is_said_to_begin() {
        let log = lines(9);
        let mut verifier = Verifier::from_seq(5);
        for line in &log[4..] {
            verifier.check(line).unwrap();
        }
        assert!(Verifier::from_seq(4).check(&log[4]).is_err());
        assert!(Verifier::from_seq(1).check(&log[4]).is_err());
    }
}
