//! The name of a pool. In: text from a configuration, or a profile and a USB port. Out: [`PoolId`]. Guarantee: 1 to
//! 64 printable ASCII bytes, so an id looks the same in a log, a frame, a metric and a terminal, and what a client
//! types is what is compared.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most bytes of an id.
pub const POOL_ID_BYTES_MAX: usize = 64;

/// The name of a pool. A clone is one counter, not a copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(Arc<str>);

impl PoolId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PoolId {
    type Err = InvalidPoolId;

    fn from_str(text: &str) -> Result<Self, InvalidPoolId> {
        // ASCII, because "ü" has two spellings in Unicode that look alike and are not equal.
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if printable && (1..=POOL_ID_BYTES_MAX).contains(&text.len()) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidPoolId)
        }
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for PoolId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PoolId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text cannot name a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no pool id: expected 1 to 64 printable ASCII characters")]
pub struct InvalidPoolId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_1_to_64_printable_bytes() {
        for (text, valid) in [
            ("stage", true),
            ("buzz 1-1.4:1.0 ~", true),
            (&"x".repeat(64), true),
            (&"x".repeat(65), false),
            ("", false),
            ("a\tb", false),
            ("a\u{7f}", false),
            ("B\u{fc}hne", false),
        ] {
            assert_eq!(text.parse::<PoolId>().is_ok(), valid, "{text:?}");
        }
    }
}
