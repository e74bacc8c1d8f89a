//! Lines that a program for texts has changed. In: a line that has not the form of one. Out: what was done to it, and the number
//! and the hash that it had. Guarantee: what an interrupted write leaves is never taken for one.

use serde::Deserialize;

use crate::log::ChainHash;
use crate::log::form::line::{Line, SEQ_MAX};

/// The mark with which some programs begin a file in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What was done to a line, and what it said of itself.
pub(super) fn reformed(line: &[u8], is_whole: bool) -> Option<(&'static str, (ChainHash, u64))> {
    let claim = |bytes: &[u8]| Line::parse(bytes).ok().map(|line| (line.hash, line.seq));
    // With CR alone as its ends the whole file is one line.
    let last = line.strip_suffix(b"\r").unwrap_or(line).rsplit(|byte| *byte == b'\r').next();
    if let Some(claim) = last.filter(|last| last.len() + 1 < line.len()).and_then(claim) {
        return Some(("its line ends were changed: they are CR, and were LF", claim));
    }
    if !is_whole {
        return None;
    }
    if let Some(claim) = line.strip_prefix(BOM).and_then(|rest| claim(rest.trim_ascii_end())) {
        return Some(("it begins with a byte order mark (BOM), which no line of a log has", claim));
    }
    if let Some(claim) = line.strip_suffix(b"\r").and_then(claim) {
        return Some(("its line end was changed: it is CR LF, and was LF", claim));
    }
    if let Some(claim) = narrow(line).and_then(|text| claim(text.trim_ascii())) {
        return Some(("it is UTF-16, and was UTF-8", claim));
    }
    let claim = anew(line.strip_prefix(BOM).unwrap_or(line).trim_ascii())?;
    Some(("it was written anew by another program: it is JSON, but not the bytes of a line", claim))
}

/// The text of what looks like UTF-16, every other byte of which is zero; the mark and half a newline may be left.
fn narrow(line: &[u8]) -> Option<Vec<u8>> {
    let zeros = line.iter().filter(|byte| **byte == 0).count();
    let is_wide =
        zeros > 0 && (zeros * 2).abs_diff(line.len()) <= 4 && !line.windows(2).any(|two| two == [0, 0]);
    is_wide.then(|| line.iter().copied().filter(|byte| !matches!(byte, 0 | 0xfe | 0xff)).collect())
}

fn anew(line: &[u8]) -> Option<(ChainHash, u64)> {
    #[derive(Deserialize)]
    struct Claim {
        seq: u64,
        h: String,
    }
    let Claim { seq, h } = serde_json::from_slice(line).ok()?;
    Some((ChainHash::from_hex(h.as_bytes())?, seq)).filter(|(_, seq)| *seq <= SEQ_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::encode;
    use crate::record::{Fact, Record};

    #[test]
    fn what_an_editor_does_is_named_and_what_a_crash_does_is_not() {
        let (mut head, mut lines) = (ChainHash::START, Vec::new());
        encode(&Record { seq: 1, at_us: 7, fact: Fact::Stop {} }, &mut head, &mut lines);
        encode(&Record { seq: 2, at_us: 8, fact: Fact::Stop {} }, &mut head, &mut lines);
        let first = lines.split(|byte| *byte == b'\n').next().unwrap();
        let second = lines.split(|byte| *byte == b'\n').nth(1).unwrap();
        let wide = |line: &[u8]| line.iter().flat_map(|byte| [*byte, 0]).collect::<Vec<u8>>();
        for (line, words, seq) in [
            ([first, b"\r"].concat(), "CR LF", 1),
            ([BOM, first].concat(), "BOM", 1),
            ([BOM, first, b"\r"].concat(), "BOM", 1),
            ([first, b"\r", second, b"\r"].concat(), "they are CR", 2),
            ([b"\xff\xfe", &wide(first)[..]].concat(), "UTF-16", 1),
            ([b"\0", &wide(second)[..], b"\r\0"].concat(), "UTF-16", 2),
            (String::from_utf8(first.to_vec()).unwrap().replace(':', ": ").into_bytes(), "written anew", 1),
        ] {
            let (why, claim) = reformed(&line, true).unwrap_or_else(|| panic!("{words}"));
            assert!(why.contains(words), "{why}: {words}");
            assert_eq!(claim.1, seq, "{words}");
        }
        let torn = &first[..first.len() - 9];
        for line in [torn, &[], &[0; 300], &[&[0; 100], first].concat(), &[first, &[0; 100]].concat()] {
            assert!(reformed(line, true).is_none());
        }
        assert!(reformed(first, false).is_none(), "a newline that is missing");
    }
}
