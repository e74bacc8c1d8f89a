//! The end of a log, short enough to read out. In: a hash of the chain. Out: 80 bits of it as four groups of four
//! characters, and back from what somebody wrote down. Guarantee: what is misheard or mistyped easily is the same
//! character, so `o` is 0, `i` and `l` are 1, and case does not matter.
//!
//! 80 bits, because somebody who prepares two logs in advance looks for any two that match: 2^40 tries for 80 bits, an
//! hour's work for 64. Crockford's base32: <https://www.crockford.com/base32.html>.

use std::fmt;
use std::str::FromStr;

use super::chain::ChainHash;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters without the dashes, 5 bits each.
const CHARS: usize = 16;

/// The first 80 bits of a hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 10]);

impl Fingerprint {
    /// Of this hash.
    pub fn of(hash: &ChainHash) -> Self {
        let digest = hash.to_digest();
        Self(std::array::from_fn(|at| digest[at]))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
        for at in 0..CHARS {
            if at > 0 && at % 4 == 0 {
                f.write_str("-")?;
            }
            let digit = bits >> (5 * (CHARS - 1 - at)) & 31;
            write!(f, "{}", char::from(ALPHABET[usize::try_from(digit).unwrap_or(0)]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a fingerprint: expected 16 letters and digits like 7K3Q-9MZT-2WXA-H04E (no U), with or without @SEQ"
)]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let mut bits = 0u128;
        let mut chars = 0;
        for char in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
            let char = match char.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            let digit = ALPHABET.iter().position(|known| *known == char).ok_or(NoFingerprint)?;
            bits = bits << 5 | digit as u128;
            chars += 1;
        }
        let bytes = bits.to_be_bytes();
        (chars == CHARS).then(|| Self(std::array::from_fn(|at| bytes[at + 6]))).ok_or(NoFingerprint)
    }
}

/// A fingerprint and the record after which it was taken, as they are read out: `7K3Q-9MZT-2WXA-H04E@1234`. Without the
/// record any will do.
///
/// # Errors
/// [`NoFingerprint`].
pub fn spoken(text: &str) -> Result<(Fingerprint, Option<u64>), NoFingerprint> {
    let Some((fingerprint, seq)) = text.split_once('@') else { return Ok((text.parse()?, None)) };
    let seq = seq.trim();
    let seq = seq.strip_prefix("seq").unwrap_or(seq).trim();
    Ok((fingerprint.parse()?, Some(seq.parse().map_err(|_| NoFingerprint)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_first_80_bits_five_by_five() {
        // python3: n = int(hex[:20], 16); the digits of n in base 32, from the alphabet without I, L, O and U.
        for (hex, want) in [
            ("00".repeat(32), "0000-0000-0000-0000"),
            ("ff".repeat(32), "ZZZZ-ZZZZ-ZZZZ-ZZZZ"),
            ("0123456789abcdef0123".to_owned() + &"45".repeat(22), "04HM-ASW9-NF6Y-Y093"),
        ] {
            let fingerprint = Fingerprint::of(&hex.parse().unwrap());
            assert_eq!(fingerprint.to_string(), want);
            assert_eq!(want.parse(), Ok(fingerprint));
        }
    }

    #[test]
    fn what_a_person_wrote_down_is_understood() {
        let want: Fingerprint = "04HM-1SW9-0F6Y-Y093".parse().unwrap();
        for text in
            ["04hm-1sw9-0f6y-y093", "04HMlSW9OF6YY093", "o4hm Isw9 of6y yo93", " 04HM-LSW9-0F6Y-Y093 "]
        {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for text in
            ["", "04HM-1SW9-0F6Y", "04HM-1SW9-0F6Y-Y093-0", "U4HM-1SW9-0F6Y-Y093", "04HM_1SW9-0F6Y-Y093"]
        {
            assert_eq!(text.parse::<Fingerprint>(), Err(NoFingerprint), "{text}");
        }
        for (text, seq) in [("04HM-1SW9-0F6Y-Y093@1234", 1234), ("04hm 1sw9 0f6y y093 @ seq 7", 7)] {
            assert_eq!(spoken(text), Ok((want, Some(seq))), "{text}");
        }
        assert!(spoken("04HM-1SW9-0F6Y-Y093@x").is_err());
    }
}
