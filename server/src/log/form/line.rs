//! One line of the log. In: a record and the hash of the line before it. Out: the line, and the record again. Guarantee:
//! one record is one line of at most [`LINE_BYTES_MAX`] bytes; a line is checked against the chain without being
//! parsed, so damage is found before anything believes what it says.

use serde::{Deserialize, Serialize};

use super::chain::{ChainHash, HEX_LEN};
use crate::record::{Fact, Record};

/// The version of the form that is written.
pub const FORMAT_VERSION: u8 = 1;
/// A line with its newline: the buffer that the reader of a log needs. The longest record is the `attach` of a
/// device of 768 keys, with numbers of five digits. The maker of a record keeps its texts short enough.
pub const LINE_BYTES_MAX: usize = 8192;

/// No log has so many records; what says so is no line. One more than a number that is read is a number, too.
pub const SEQ_MAX: u64 = u64::MAX >> 1;

/// What stands between a line's body and its hash, and what ends it.
const HASH_KEY: &[u8] = br#","h":""#;
const END: &[u8] = br#""}"#;
const KIND_KEY: &[u8] = br#""kind":""#;
const TAIL_LEN: usize = HASH_KEY.len() + HEX_LEN + END.len();

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
    /// It does not begin with `{"v":`, a version, `,"seq":` and a number.
    #[error("it does not begin with a version and a seq")]
    Beginning,
    /// It does not end with a hash.
    #[error("it does not end with \"h\" and 64 hex digits")]
    Hash,
    /// Longer than a line can be.
    #[error("it has {0} bytes; a line has {LINE_BYTES_MAX} at most")]
    TooLong(usize),
    /// An editor or a transfer as text went over the file.
    #[error(
        "its line ends were changed ({0} instead of LF), as an editor or a transfer as text does; the bytes of a log must \
         stay as they are"
    )]
    LineEnds(&'static str),
    /// An editor saved the file in another encoding.
    #[error("it begins with a byte order mark ({0}), which an editor put there; no line of a log has one")]
    Mark(&'static str),
    /// Written by a newer buzzerd.
    #[error("format version {0} is newer than this buzzerd knows (1)")]
    Version(u64),
}

/// A line that has the outer form of one; what it says was not looked at.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    whole: &'a [u8],
    body: &'a [u8],
    /// Its number.
    pub seq: u64,
    /// The hash it claims.
    pub hash: ChainHash,
}

/// Appends the record's line, newline included, behind the line whose hash is `head`, and makes its own the new `head`.
pub fn encode(record: &Record, head: &mut ChainHash, lines: &mut Vec<u8>) {
    let start = lines.len();
    serde_json::to_writer(&mut *lines, &WriteLine { v: FORMAT_VERSION, record })
        .expect("a record has string keys only, and memory takes every byte");
    // The closing brace comes behind the hash.
    lines.pop();
    *head = head.of_next(&lines[start..]);
    lines.extend_from_slice(HASH_KEY);
    lines.extend_from_slice(head.as_str().as_bytes());
    lines.extend_from_slice(END);
    lines.push(b'\n');
    debug_assert!(lines.len() - start <= LINE_BYTES_MAX, "the maker of a record keeps its texts short");
}

impl<'a> Line<'a> {
    /// Takes a line, without its newline, apart.
    ///
    /// # Errors
    /// [`BadLine`] if its outer form is not that of this version.
    pub fn parse(whole: &'a [u8]) -> Result<Self, BadLine> {
        Self::parse_form(whole).map_err(|error| match error {
            BadLine::Version(_) => error,
            error => retyped(whole).unwrap_or(error),
        })
    }

    fn parse_form(whole: &'a [u8]) -> Result<Self, BadLine> {
        if whole.len() >= LINE_BYTES_MAX {
            return Err(BadLine::TooLong(whole.len() + 1));
        }
        let (version, rest) = number(whole, br#"{"v":"#).ok_or(BadLine::Beginning)?;
        if version != u64::from(FORMAT_VERSION) {
            return Err(if version > 1 { BadLine::Version(version) } else { BadLine::Beginning });
        }
        let seq = number(rest, br#","seq":"#).filter(|(seq, rest)| *seq <= SEQ_MAX && rest.starts_with(b","));
        let (seq, _) = seq.ok_or(BadLine::Beginning)?;
        let (body, hash) = Self::body_and_hash(whole).ok_or(BadLine::Hash)?;
        Ok(Self { whole, body, seq, hash })
    }

    /// What the hash of a line is over, and the hash it claims; the same for every version of the form.
    pub fn body_and_hash(whole: &'a [u8]) -> Option<(&'a [u8], ChainHash)> {
        let (body, tail) = whole.split_at_checked(whole.len().checked_sub(TAIL_LEN)?)?;
        let hex = tail.strip_prefix(HASH_KEY)?.strip_suffix(END)?;
        Some((body, ChainHash::from_hex(hex)?))
    }

    /// The line itself, without its newline.
    pub const fn bytes(&self) -> &'a [u8] {
        self.whole
    }

    /// Whether it follows the line with this hash.
    pub fn follows(&self, head: &ChainHash) -> bool {
        head.of_next(self.body) == self.hash
    }

    /// Whether its number is the one that is due, or it is the record that names those that are missing: they were made when
    /// neither journal nor memory took them. A loss that ran backwards would have numbers come twice.
    pub fn is_next(&self, due: u64) -> bool {
        let names_them = |(first_seq, last_seq): (u64, u64)| {
            first_seq == due && last_seq >= due && last_seq.checked_add(1) == Some(self.seq)
        };
        self.seq == due || self.loss().is_some_and(names_them)
    }

    /// What a `lost` record names. The keys must stand where [`encode`] puts them: a jump is allowed to these bytes only, so that
    /// every verifier sees the same one.
    pub fn loss(&self) -> Option<(u64, u64)> {
        let (_, rest) = time(self.whole)?;
        let (first_seq, rest) = number(rest, br#","kind":"lost","first_seq":"#)?;
        let (last_seq, rest) = number(rest, br#","last_seq":"#)?;
        rest.starts_with(b",").then_some((first_seq, last_seq))
    }

    /// When it was, µs of its boot, if that stands where [`encode`] puts it.
    pub fn at_us(&self) -> Option<u64> {
        self.at_us_and_kind().map(|(at_us, _)| at_us)
    }

    /// Its kind, if it stands where [`encode`] puts it.
    pub fn kind(&self) -> Option<&'a str> {
        let (_, kind) = self.at_us_and_kind()?;
        let kind = kind.strip_prefix(KIND_KEY)?;
        let end = kind.iter().position(|byte| *byte == b'"')?;
        std::str::from_utf8(&kind[..end]).ok()
    }

    /// What it says.
    ///
    /// # Errors
    /// What the parser says if that is no record.
    pub fn record(&self) -> Result<Record, serde_json::Error> {
        let Some((at_us, kind)) = self.at_us_and_kind() else {
            // `v` was read, but serde has to see it: what is flattened collects unknown keys otherwise.
            let ReadLine { v, record } = serde_json::from_slice(self.whole)?;
            debug_assert_eq!(v, FORMAT_VERSION);
            return Ok(record);
        };
        // Flattening makes serde collect every key and value of a record before it looks at one: that took a third of the
        // time of reading a log.
        let fact = serde_json::from_slice::<Fact>(&[b"{", kind, b"}"].concat())?;
        Ok(Record { seq: self.seq, at_us, fact })
    }

    /// The time, and everything from the kind to the hash.
    fn at_us_and_kind(&self) -> Option<(u64, &'a [u8])> {
        let (at_us, rest) = time(self.body)?;
        let kind = rest.strip_prefix(b",")?;
        kind.starts_with(KIND_KEY).then_some((at_us, kind))
    }
}

/// Reads a line, without its newline; the line before it is not compared.
///
/// # Errors
/// [`BadLine`] if it is no record of this version.
pub fn decode(line: &[u8]) -> Result<Record, BadLine> {
    Ok(Line::parse(line)?.record()?)
}

/// What an editor made of a line of a log, or of several.
fn retyped(whole: &[u8]) -> Option<BadLine> {
    let marks: [(&[u8], &str); 3] =
        [(b"\xef\xbb\xbf", "BOM"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")];
    let mark = marks.iter().find(|(bytes, _)| whole.starts_with(bytes));
    if let Some((_, name)) = mark {
        return Some(BadLine::Mark(name));
    }
    if whole.ends_with(b"\"}\r") {
        return Some(BadLine::LineEnds("CRLF"));
    }
    // No record has a bare carriage return: JSON writes it as two characters.
    whole.windows(3).any(|bytes| bytes == b"}\r{").then_some(BadLine::LineEnds("CR"))
}

/// The number of the first of these lines, without looking further.
pub fn seq_of(lines: &[u8]) -> Option<u64> {
    seq(lines).map(|(seq, _)| seq).filter(|seq| *seq <= SEQ_MAX)
}

/// The number of a line, and everything behind it.
fn seq(line: &[u8]) -> Option<(u64, &[u8])> {
    let (_, rest) = number(line, br#"{"v":"#)?;
    number(rest, br#","seq":"#)
}

/// The time of a line, and everything behind it.
fn time(line: &[u8]) -> Option<(u64, &[u8])> {
    let (_, rest) = seq(line)?;
    number(rest, br#","at_us":"#)
}

/// A number behind `before`, and the rest. One number has one spelling: no sign, no leading zero.
fn number<'a>(bytes: &'a [u8], before: &[u8]) -> Option<(u64, &'a [u8])> {
    let rest = bytes.strip_prefix(before)?;
    let (mut value, mut len) = (0u64, 0);
    while let Some(digit) = rest.get(len).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.checked_mul(10)?.checked_add(digit.into())?;
        len += 1;
    }
    // What has no end is no line.
    let rest = &rest[len..];
    let is_one = len > 0 && !rest.is_empty() && (len == 1 || bytes[before.len()] != b'0');
    is_one.then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Flags;
    use crate::record::Rival;

    fn press() -> Record {
        let fact = Fact::Press {
            pool: "stage".parse().unwrap(),
            buzzer: 3,
            device: 2,
            delay_us: [0, 9000],
            final_at_us: 81_243_567,
            flags: Flags::default(),
            photo: vec![Rival { seq: 5, chance_permille: None }],
            photo_more: false,
            tie: None,
            frame: 0,
        };
        Record { seq: 7, at_us: 81_234_567, fact }
    }

    #[test]
    fn a_record_is_one_line_with_version_and_seq_first_and_the_hash_last() {
        let (mut head, mut lines) = (ChainHash::START, Vec::new());
        encode(&press(), &mut head, &mut lines);
        let body = r#"{"v":1,"seq":7,"at_us":81234567,"kind":"press","pool":"stage","buzzer":3,"device":2,"delay_us":[0,9000],"final_at_us":81243567,"photo":[{"seq":5,"chance_permille":null}]"#;
        assert_eq!(head, ChainHash::START.of_next(body.as_bytes()));
        assert_eq!(String::from_utf8(lines.clone()).unwrap(), format!("{body},\"h\":\"{head}\"}}\n"));
        let line = Line::parse(&lines[..lines.len() - 1]).unwrap();
        assert_eq!((line.seq, line.hash, line.record().unwrap()), (7, head, press()));
        assert!(line.follows(&ChainHash::START) && !line.follows(&head));
    }

    #[test]
    fn a_line_that_somebody_else_wrote_may_have_its_keys_in_another_order() {
        let body = br#"{"v":1,"seq":7,"kind":"ring_full","waiting_max":9,"new":[1],"at_us":5"#;
        let head = ChainHash::START.of_next(body);
        let line = [&body[..], HASH_KEY, head.as_str().as_bytes(), END].concat();
        let want = Record { seq: 7, at_us: 5, fact: Fact::RingFull { waiting_max: 9 } };
        assert_eq!(decode(&line).unwrap(), want);
        assert_eq!(Line::parse(&line).unwrap().kind(), None);
    }

    #[test]
    fn what_is_no_line_is_refused_by_name() {
        let (mut head, mut lines) = (ChainHash::START, Vec::new());
        encode(&press(), &mut head, &mut lines);
        lines.pop();
        let text = String::from_utf8(lines).unwrap();
        let upper = text.replace(head.as_str(), &head.as_str().to_uppercase());
        for (line, want) in [
            (text.replace("{\"v\":1", "{\"v\":2"), "format version 2 is newer"),
            (text.replace("\"seq\":7", "\"seq\":07"), "does not begin"),
            (text.replace("\"seq\":7", "\"seq\":-7"), "does not begin"),
            (text.replace("\"seq\":7", "\"seq\":9223372036854775808"), "does not begin"),
            // One more than 2^64 - 1, and ten times it.
            (text.replace("\"seq\":7", "\"seq\":18446744073709551616"), "does not begin"),
            (text.replace("\"seq\":7", "\"seq\":184467440737095516150"), "does not begin"),
            ("{\"v\":1,\"seq\":7".to_owned(), "does not begin"),
            ("{\"v\":1,\"seq\":,".to_owned(), "does not begin"),
            (text.replace("\"seq\"", "\"Seq\""), "does not begin"),
            (String::new(), "does not begin"),
            ("{\"v\":1,\"seq\":1}".to_owned(), "does not begin"),
            (upper, "does not end"),
            (text.replace("\"press\"", "\"nonsense\""), "not a log record"),
            (text.replace("stage", &"x".repeat(LINE_BYTES_MAX)), "a line has 8192 at most"),
        ] {
            let error = decode(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(want), "{line}: {error}");
        }
    }
}
