//! What `log verify` found. In: faults, claims, counts. Out: a page for people or a JSON object. Guarantee: the first line
//! that is wrong comes first, and every line of the page that is bad news begins with `NO`.

use buzzer_server::counted::counted;
use std::fmt;

use buzzer_core::quote::{Quoted, listed};
use buzzer_server::io::store::log_reader::RawLine;
use buzzer_server::judge::audit::Derived;
use buzzer_server::log::form::names::Others;
use buzzer_server::log::{ChainHash, Fingerprint};
use serde_json::{Value, json};

use super::claim::Claim;
use super::records::{Lines, Records};

/// Faults and discrepancies that are told; the rest is counted.
const TOLD_MAX: usize = 20;

/// How often something was found, and the first of it in words.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) all: u64,
    first: Vec<String>,
}

impl Told {
    pub(super) fn add(&mut self, text: String) {
        self.all += 1;
        if self.first.len() < TOLD_MAX {
            self.first.push(text);
        }
    }

    const fn has_more(&self) -> bool {
        self.all > self.first.len() as u64
    }
}

/// The whole of it.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) begins: u64,
    pub(super) expected_begin: u64,
    /// The log itself says that what was before was removed by configuration, and what it follows from.
    pub(super) is_expired: bool,
    pub(super) records: u64,
    pub(super) last_seq: u64,
    pub(super) head: Option<ChainHash>,
    pub(super) lost: u64,
    pub(super) faults: Told,
    pub(super) discrepancies: Told,
    /// Records that were read over, and the first of them.
    pub(super) unknown: u64,
    pub(super) first_unknown: Option<String>,
    pub(super) key: Option<String>,
    pub(super) checkpoints: Vec<Claim>,
    pub(super) bad_checkpoints: Vec<String>,
    pub(super) claims: Vec<Claim>,
    /// An incomplete line.
    pub(super) partial: Option<RawLine>,
    pub(super) is_written: bool,
    /// One blank line, behind everything.
    pub(super) blank: Option<RawLine>,
    /// What else lies in the directory.
    pub(super) others: Others,
    pub(super) misnamed: Vec<String>,
    /// What was derived once more, if that was asked for.
    pub(super) derived: Option<Derived>,
    pub(super) remark: Option<String>,
}

impl Verdict {
    /// Takes what a log showed that was read to its end.
    pub(super) fn take(&mut self, log: Records) {
        let Lines { mut reader, verifier, misnamed, blank, .. } = log.lines;
        (self.records, self.lost) = (verifier.records(), verifier.lost());
        (self.last_seq, self.head) = (verifier.next_seq() - 1, verifier.head().copied());
        (self.partial, self.is_written) = (reader.partial(), reader.is_written());
        (self.misnamed, self.others, self.blank) = (misnamed, log.others, blank);
        self.remark = reader.take_remark();
    }

    pub(super) fn unknown(&mut self, seq: u64, kind: &str) {
        self.unknown += 1;
        self.first_unknown.get_or_insert_with(|| format!("the first is seq {seq}, {}", Quoted(kind)));
    }

    pub(super) fn is_good(&self) -> bool {
        self.wrong().is_empty()
    }

    /// Everything that is bad news, the first line that is wrong first.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = self.faults.first.clone();
        if let Some(first) = wrong.first_mut() {
            first.push_str("  <- the first line that is wrong");
        }
        if self.faults.has_more() {
            wrong.push(format!("in all: {}", counted(self.faults.all, "wrong line")));
        }
        wrong.extend_from_slice(&self.discrepancies.first);
        if self.discrepancies.has_more() {
            let all = counted(self.discrepancies.all, "claim");
            wrong.push(format!("in all: {all} without what it follows from"));
        }
        let begins = self.begins;
        if begins != self.expected_begin && !self.is_expired {
            wrong.push(format!(
                "it begins with seq {begins}, what was before is not here (if that is kept elsewhere: --begins {begins})"
            ));
        }
        let refused = self.others.refused.iter();
        wrong.extend(refused.map(|(name, why)| format!("{}: {why}", Quoted(&name.to_string_lossy()))));
        wrong.extend_from_slice(&self.misnamed);
        // A line that is being written is no damage; one that nobody writes any more is cut off.
        wrong.extend(self.partial.iter().filter(|_| !self.is_written).map(|partial| {
            format!(
                "{partial}: cut off after {}, and no daemon is writing it (the next start of buzzerd sets that aside)",
                counted(partial.bytes.len() as u64, "byte")
            )
        }));
        wrong.extend_from_slice(&self.bad_checkpoints);
        let unmet = self.checkpoints.iter().chain(&self.claims).filter(|claim| claim.met.is_none());
        wrong.extend(unmet.map(|claim| format!("{}: {}", claim.what, self.why_unmet(claim))));
        wrong
    }

    fn why_unmet(&self, claim: &Claim) -> String {
        match claim.seq {
            Some(seq) if seq > self.last_seq => {
                let last = self.last_seq;
                format!("it knows seq {seq}, this log ends with seq {last}: its end was cut off, or lost")
            }
            Some(seq) if claim.is_lost => format!("the log says that seq {seq} is lost"),
            Some(seq) => {
                format!("seq {seq} is another record in this log: it, or one before it, was changed")
            }
            None => "no record of this log has it".to_owned(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let claim = |claim: &Claim| {
            json!({
                "what": claim.what,
                "seq": claim.seq,
                "met": claim.met,
                "why": claim.met.is_none().then(|| self.why_unmet(claim)),
            })
        };
        let claims = |claims: &[Claim]| claims.iter().map(claim).collect::<Vec<_>>();
        json!({
            "good": self.is_good(),
            "first_seq": self.begins,
            "last_seq": self.last_seq,
            "records": self.records,
            "head": self.head.map(|head| head.to_string()),
            "fingerprint": self.head.map(|head| Fingerprint::of(&head).to_string()),
            "faults": self.faults.all,
            "first_faults": self.faults.first,
            "discrepancies": self.discrepancies.all,
            "first_discrepancies": self.discrepancies.first,
            "lost": self.lost,
            "unknown": self.unknown,
            "refused_files": self.others.refused.iter().map(|(name, why)| format!("{}: {why}", name.display())).collect::<Vec<_>>(),
            "misnamed_files": self.misnamed,
            "other_files": self.others.unknown.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>(),
            "derived_again": self.derived,
            "key": self.key,
            "checkpoints": claims(&self.checkpoints),
            "bad_checkpoints": self.bad_checkpoints,
            "against": claims(&self.claims),
            "incomplete_bytes": self.partial.as_ref().map(|partial| partial.bytes.len()),
            "being_written": self.is_written,
            "remark": self.remark,
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wrong().iter().try_for_each(|wrong| writeln!(f, "NO  {wrong}"))?;
        self.whole(f)?;
        self.remarks(f)
    }
}

impl Verdict {
    fn whole(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begins, last) = (self.begins, self.last_seq);
        if let Some(partial) = self.partial.as_ref().filter(|_| self.is_written) {
            let bytes = counted(partial.bytes.len() as u64, "byte");
            writeln!(f, "ok  {partial}: being written: the first {bytes} of a line")?;
        }
        if self.faults.all == 0 {
            writeln!(
                f,
                "ok  seq {begins} to {last}: {}, each as it was written",
                counted(self.records, "record")
            )?;
        }
        if self.is_expired {
            writeln!(
                f,
                "    what was before seq {begins} was removed by configuration, and the log says so"
            )?;
        }
        if self.lost > 0 {
            let lost = counted(self.lost, "record");
            writeln!(f, "    lost when they were made, as the log itself says: {lost}")?;
        }
        if let Some(first) = &self.first_unknown {
            let unknown = counted(self.unknown, "record");
            writeln!(f, "    of kinds that this buzzerd does not know: {unknown}; {first}")?;
        }
        match &self.derived {
            Some(derived) if self.discrepancies.all == 0 => writeln!(
                f,
                "ok  derived again: who was connected, and {}, {}, {}, {}, {}; nothing contradicts",
                counted(derived.presses, "press"),
                counted(derived.draws, "draw"),
                counted(derived.photos, "photo finish"),
                counted(derived.late, "late press"),
                counted(derived.marks, "mark of a button"),
            ),
            _ => Ok(()),
        }?;
        let met = self.checkpoints.iter().filter(|claim| claim.met.is_some()).count();
        if let Some(key) = &self.key {
            writeln!(f, "ok  checkpoints: {met}, signed by {key}")?;
        }
        for claim in &self.claims {
            if let Some(seq) = claim.met {
                writeln!(f, "ok  {}: this log had it at seq {seq}", claim.what)?;
            }
        }
        Ok(())
    }

    fn remarks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.blank {
            writeln!(f, "    {place}: a blank line behind everything, which says nothing")?;
        }
        if !self.others.unknown.is_empty() {
            let names = self.others.unknown.iter().take(TOLD_MAX);
            let names = listed(names.map(|name| Quoted(&name.to_string_lossy()).to_string()));
            let more = self.others.unknown.len().saturating_sub(TOLD_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(f, "    also here, and no part of the log: {names}{more}")?;
        }
        if let Some(remark) = &self.remark {
            writeln!(f, "    {remark}")?;
        }
        if self.claims.is_empty() && self.is_good() {
            writeln!(
                f,
                "    that nothing was cut off at its end, and that it was not written anew as a whole, only --against shows: \
                 compare with a fingerprint or a checkpoint that left the box before"
            )?;
        }
        if let Some(head) = &self.head {
            writeln!(f, "    {}@{}", Fingerprint::of(head), self.last_seq)?;
        }
        Ok(())
    }
}
