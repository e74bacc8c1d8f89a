//! A checkpoint: where a log stood, said by the box that wrote it. In: a record's number and hash, and the box's key. Out: a
//! short text and its signature, and back. Guarantee: the text is signed as it stands, in the form that `ssh-keygen -Y
//! verify` knows (SSHSIG, namespace [`NAMESPACE`]), so that a judge needs no tool of ours to check it.
//!
//! ```text
//! buzzerd-checkpoint 1
//! log: 32 hex digits            the start during which it was made
//! seq: 1234                     the last record that it vouches for
//! head: 64 hex digits           that record's hash, and with it every line before
//! wall: 2026-11-24T19:30:00Z    as the box believed
//! fingerprint: 7K3Q-9MZT-2WXA-H04E
//! ```

use std::fmt;
use std::str::{FromStr, Lines};

use jiff::Timestamp;
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use super::chain::ChainHash;
use super::fingerprint::Fingerprint;

/// What the signature is for: one that was made for anything else is refused.
pub const NAMESPACE: &str = "buzzerd-checkpoint";
/// Who signs, in `allowed_signers` and `ssh-keygen -I`.
pub const SIGNER: &str = "buzzerd";
const ORIGIN: &str = "buzzerd-checkpoint 1";

/// Where a log stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The start during which it was made, as its `start` record names it.
    pub log: String,
    /// The last record.
    pub seq: u64,
    /// Its hash.
    pub head: ChainHash,
    /// When, as the box believed, µs since 1970.
    pub wall_us: u64,
}

/// Why a checkpoint proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum BadCheckpoint {
    /// The text has not the form of one.
    #[error("not a checkpoint of this version: expected `{0}`")]
    Form(&'static str),
    /// The fingerprint is not that of the hash.
    #[error("its fingerprint is not that of its head")]
    Fingerprint,
    /// The signature is none.
    #[error("its signature cannot be read: {0}")]
    Signature(ssh_key::Error),
    /// It was signed by somebody else, or it, or the signature, was changed.
    #[error("its signature does not fit: it was changed, or another key signed it")]
    Forged,
}

impl Checkpoint {
    /// Its signature by this key, as a file for `ssh-keygen -Y verify -s`.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub fn sign(&self, key: &PrivateKey) -> Result<String, ssh_key::Error> {
        let signature = key.sign(NAMESPACE, HashAlg::Sha512, self.to_string().as_bytes())?;
        signature.to_pem(LineEnding::LF)
    }

    /// The checkpoint that this text is, if this key signed it.
    ///
    /// # Errors
    /// [`BadCheckpoint`].
    pub fn verify(text: &str, signature: &str, key: &PublicKey) -> Result<Self, BadCheckpoint> {
        let checkpoint: Self = text.parse()?;
        let signature: SshSig = signature.parse().map_err(BadCheckpoint::Signature)?;
        let verified = key.verify(NAMESPACE, text.as_bytes(), &signature);
        verified.map_err(|_| BadCheckpoint::Forged)?;
        Ok(checkpoint)
    }

    /// What its files are called, without an ending: they sort as the log runs, and two starts never share one.
    pub fn name(&self) -> String {
        format!("{:012}-{}", self.seq, self.log.get(..8).unwrap_or(&self.log))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = i64::try_from(self.wall_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
        let Self { log, seq, head, .. } = self;
        writeln!(f, "{ORIGIN}\nlog: {log}\nseq: {seq}\nhead: {head}\nwall: {}", wall.unwrap_or_default())?;
        writeln!(f, "fingerprint: {}", Fingerprint::of(head))
    }
}

impl FromStr for Checkpoint {
    type Err = BadCheckpoint;

    fn from_str(text: &str) -> Result<Self, BadCheckpoint> {
        let lines = &mut text.lines();
        if !next::<String>(lines, ORIGIN)?.is_empty() {
            return Err(BadCheckpoint::Form(ORIGIN));
        }
        let (log, seq, head) = (next(lines, "log: ")?, next(lines, "seq: ")?, next(lines, "head: ")?);
        let (wall, said): (Timestamp, Fingerprint) = (next(lines, "wall: ")?, next(lines, "fingerprint: ")?);
        let wall_us = u64::try_from(wall.as_microsecond()).map_err(|_| BadCheckpoint::Form("wall: "))?;
        let checkpoint = Self { log, seq, head, wall_us };
        if said != Fingerprint::of(&head) {
            return Err(BadCheckpoint::Fingerprint);
        }
        // One checkpoint has one spelling.
        if checkpoint.to_string() != text {
            return Err(BadCheckpoint::Form(ORIGIN));
        }
        Ok(checkpoint)
    }
}

/// The value of the next line, which has this key.
fn next<T: FromStr>(lines: &mut Lines<'_>, key: &'static str) -> Result<T, BadCheckpoint> {
    let value = lines.next().and_then(|line| line.strip_prefix(key)?.parse().ok());
    value.ok_or(BadCheckpoint::Form(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::private::Ed25519Keypair;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
    }

    fn checkpoint() -> Checkpoint {
        let head = ChainHash::START.of_next(b"line");
        Checkpoint { log: "0f".repeat(16), seq: 1234, head, wall_us: 1_790_000_000_123_456 }
    }

    #[test]
    fn it_is_text_and_back() {
        let text = checkpoint().to_string();
        let want = format!(
            "buzzerd-checkpoint 1\nlog: {}\nseq: 1234\nhead: {}\nwall: 2026-09-21T14:13:20.123456Z\nfingerprint: {}\n",
            "0f".repeat(16),
            checkpoint().head,
            Fingerprint::of(&checkpoint().head)
        );
        assert_eq!(text, want);
        assert_eq!(text.parse::<Checkpoint>().unwrap(), checkpoint());
    }

    #[test]
    fn every_changed_byte_of_text_or_signature_is_refused_and_so_is_another_key() {
        let (text, signature) = (checkpoint().to_string(), checkpoint().sign(&key(1)).unwrap());
        let public = key(1).public_key().clone();
        assert_eq!(Checkpoint::verify(&text, &signature, &public).unwrap(), checkpoint());
        assert!(Checkpoint::verify(&text, &signature, key(2).public_key()).is_err());
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(Checkpoint::verify(&changed, &signature, &public).is_err(), "byte {at}");
        }
        let other = checkpoint();
        let elsewhere = key(1).sign("file", HashAlg::Sha512, other.to_string().as_bytes()).unwrap();
        let elsewhere = elsewhere.to_pem(LineEnding::LF).unwrap();
        assert!(Checkpoint::verify(&text, &elsewhere, &public).is_err(), "signed for something else");
    }
}
