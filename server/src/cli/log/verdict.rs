//! What `log verify` found. In: faults, claims, counts. Out: a page for people or a JSON object. Guarantee: the first line
//! that is wrong comes first, and every line of the page that is bad news begins with `NO`.

use buzzer_server::counted::counted;
use std::fmt;

use buzzer_core::quote::{Quoted, listed};
use buzzer_server::judge::audit::Derived;
use buzzer_server::log::form::names::Others;
use buzzer_server::log::{ChainHash, Fingerprint, Verifier};
use serde_json::{Value, json};

use super::claim::Claim;

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
    /// Where an incomplete line is, and its bytes.
    pub(super) partial: Option<(String, usize)>,
    pub(super) is_written: bool,
    /// Where one blank line is, behind everything.
    pub(super) blank: Option<String>,
    /// What else lies in the directory.
    pub(super) others: Others,
    pub(super) misnamed: Vec<String>,
    /// What was derived once more, if that was asked for.
    pub(super) derived: Option<Derived>,
    pub(super) remark: Option<String>,
}

impl Verdict {
    pub(super) fn take(&mut self, verifier: &Verifier) {
        self.records = verifier.records();
        self.last_seq = verifier.next_seq() - 1;
        self.head = verifier.head().copied();
        self.lost = verifier.lost();
    }

    pub(super) fn unknown(&mut self, seq: u64, kind: &str) {
        self.unknown += 1;
        self.first_unknown.get_or_insert_with(|| format!("the first is seq {seq}, {}", Quoted(kind)));
    }

    /// A line that is being written is no damage; one that nobody writes any more is cut off.
    fn is_cut_off(&self) -> bool {
        self.partial.is_some() && !self.is_written
    }

    fn unmet(&self) -> impl Iterator<Item = &Claim> {
        self.checkpoints.iter().chain(&self.claims).filter(|claim| claim.met.is_none())
    }

    fn is_beheaded(&self) -> bool {
        self.begins != self.expected_begin && !self.is_expired
    }

    pub(super) fn is_good(&self) -> bool {
        self.faults.all == 0
            && self.discrepancies.all == 0
            && self.bad_checkpoints.is_empty()
            && self.unmet().next().is_none()
            && self.others.refused.is_empty()
            && self.misnamed.is_empty()
            && !self.is_cut_off()
            && !self.is_beheaded()
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
            "incomplete_bytes": self.partial.as_ref().map(|(_, bytes)| bytes),
            "being_written": self.is_written,
            "remark": self.remark,
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines_wrong(f)?;
        self.files_wrong(f)?;
        self.proofs_wrong(f)?;
        self.whole(f)?;
        self.proved(f)?;
        self.remarks(f)
    }
}

impl Verdict {
    fn lines_wrong(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.first.iter().enumerate() {
            writeln!(f, "NO  {fault}{}", if at == 0 { "  <- the first line that is wrong" } else { "" })?;
        }
        if self.faults.has_more() {
            writeln!(f, "NO  in all: {}", counted(self.faults.all, "wrong line"))?;
        }
        for discrepancy in &self.discrepancies.first {
            writeln!(f, "NO  {discrepancy}")?;
        }
        if self.discrepancies.has_more() {
            writeln!(
                f,
                "NO  in all: {} without what it follows from",
                counted(self.discrepancies.all, "claim")
            )?;
        }
        Ok(())
    }

    fn files_wrong(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_beheaded() {
            let begins = self.begins;
            writeln!(
                f,
                "NO  it begins with seq {begins}, what was before is not here (if that is kept elsewhere: --begins {begins})"
            )?;
        }
        for (name, why) in &self.others.refused {
            writeln!(f, "NO  {}: {why}", Quoted(&name.to_string_lossy()))?;
        }
        for misnamed in &self.misnamed {
            writeln!(f, "NO  {misnamed}")?;
        }
        match &self.partial {
            Some((place, bytes)) if self.is_written => {
                writeln!(
                    f,
                    "ok  {place}: being written: the first {} of a line",
                    counted(*bytes as u64, "byte")
                )
            }
            Some((place, bytes)) => writeln!(
                f,
                "NO  {place}: cut off after {}, and no daemon is writing it (the next start of buzzerd sets that aside)",
                counted(*bytes as u64, "byte")
            ),
            None => Ok(()),
        }
    }

    fn proofs_wrong(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bad in &self.bad_checkpoints {
            writeln!(f, "NO  {bad}")?;
        }
        for claim in self.unmet() {
            writeln!(f, "NO  {}: {}", claim.what, self.why_unmet(claim))?;
        }
        Ok(())
    }

    fn whole(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begins, last) = (self.begins, self.last_seq);
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
        }
    }

    fn proved(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
