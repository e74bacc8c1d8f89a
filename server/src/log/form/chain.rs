//! The chain that holds the log together. In: the bytes of a line and the hash of the line before it. Out: its own hash.
//! Guarantee: it is over bytes as written, so nobody has to agree on a canonical form; a changed, removed, added or
//! reordered line no longer follows from the line before it.
//!
//! `hash = SHA-256( the previous hash as 64 ASCII hex digits || the line up to, not including, its `,"h":"` )`. The first
//! line of all follows [`ChainHash::START`], 64 zeros.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Hex digits of a hash.
pub const HEX_LEN: usize = 64;

/// A hash of the chain, as the 64 lower-case hex digits that stand in the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; HEX_LEN]);

impl ChainHash {
    /// What the first line of a log follows.
    pub const START: Self = Self([b'0'; HEX_LEN]);

    /// The hash of a line with this body that follows this one.
    #[must_use]
    pub fn of_next(&self, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(body);
        Self::from_digest(hash.finalize().into())
    }

    /// The hash with these bytes.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; HEX_LEN];
        for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(digest) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        Self(hex)
    }

    /// These hex digits, if they are 64 in lower case: one hash has one spelling.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let hex: [u8; HEX_LEN] = hex.try_into().ok()?;
        // Every digit is looked at: without an early end the compiler looks at many at once.
        hex.iter()
            .fold(true, |are, digit| are & matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
            .then_some(Self(hex))
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The hash's own 32 bytes.
    pub fn to_digest(&self) -> [u8; 32] {
        let value = |digit: u8| if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 };
        let pairs = self.0.as_chunks::<2>().0;
        std::array::from_fn(|at| value(pairs[at][0]) << 4 | value(pairs[at][1]))
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hex digits in lower case")]
pub struct NoHash;

impl FromStr for ChainHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        Self::from_hex(text.as_bytes()).ok_or(NoHash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_sha256sum_says() {
        // printf '%064d{"v":1,"seq":1' 0 | sha256sum
        let want = "6c54455a0d8989d61a16cb3d0b7659f8b6014ec4b1554e84d4bb3ac3797eec6d";
        let hash = ChainHash::START.of_next(b"{\"v\":1,\"seq\":1");
        assert_eq!(hash.as_str(), want);
        assert_eq!(ChainHash::from_digest(hash.to_digest()), hash);
    }

    #[test]
    fn one_hash_has_one_spelling() {
        let text = "00ff".repeat(16);
        assert_eq!(text.parse::<ChainHash>().unwrap().as_str(), text);
        for bad in [&text[1..], &text.to_uppercase(), &"g".repeat(64), ""] {
            assert_eq!(bad.parse::<ChainHash>(), Err(NoHash), "{bad}");
        }
    }
}
