//! What a log is compared with. In: fingerprints, hashes, checkpoints, and the lines of the log. Out: which record fits, if one
//! does. Guarantee: a claim that names its record fits no other.

use buzzer_server::log::form::checkpoint::Checkpoint;
use buzzer_server::log::{ChainHash, Fingerprint, Line};

/// What the log is compared with.
#[derive(Debug)]
pub(super) struct Claim {
    /// Where it comes from.
    pub(super) what: String,
    /// The record that it is about.
    pub(super) seq: Option<u64>,
    token: Token,
    /// The record that fits.
    pub(super) met: Option<u64>,
    /// The log says that its record is lost.
    pub(super) is_lost: bool,
}

#[derive(Debug)]
pub(super) enum Token {
    Short(Fingerprint),
    Whole(ChainHash),
}

impl Claim {
    pub(super) fn new(what: String, seq: Option<u64>, token: Token) -> Self {
        Self { what, seq, token, met: None, is_lost: false }
    }

    pub(super) fn of(what: String, checkpoint: &Checkpoint) -> Self {
        Self::new(what, Some(checkpoint.seq), Token::Whole(checkpoint.head))
    }

    pub(super) fn look(&mut self, line: &Line<'_>) {
        let is_lost = |(first, last): (u64, u64)| self.seq.is_some_and(|seq| (first..=last).contains(&seq));
        self.is_lost |= line.loss().is_some_and(is_lost);
        let fits = match &self.token {
            Token::Short(fingerprint) => Fingerprint::of(&line.hash) == *fingerprint,
            Token::Whole(head) => line.hash == *head,
        };
        if fits && self.seq.is_none_or(|seq| seq == line.seq) {
            self.met = Some(line.seq);
        }
    }
}
