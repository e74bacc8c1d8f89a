//! Is this box fit for a match? In: [`Facts`], read from the machine by `io::facts`. Out: one [`Finding`] per check, in
//! the order in which a technician works: buzzers, machine, disk, daemon. Guarantee: nothing is read here; what could
//! not be read is [`CheckLevel::Unknown`] and never a made-up OK; everything that is not OK says why, in plain words.
//!
//! Checks that need a device are left out where there is none: a page without hardware says so once.

mod buzzers;
mod daemon;
pub mod facts;
mod fairness;
mod health;
mod machine;
pub mod page;
mod realtime;
mod storage;

use serde::Serialize;

use self::facts::{Facts, Missing, Read};

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    /// Nothing to do.
    Ok,
    /// It cannot be said on this machine, or by this account.
    Unknown,
    /// The match can go on; somebody should know.
    Warn,
    /// Buzzers will not work, or presses will be lost.
    Fail,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check: the same words in every release, so that a script may look for them.
    pub check: &'static str,
    /// How good it is.
    pub verdict: CheckLevel,
    /// What is there.
    pub found: String,
    /// What that means for a match.
    pub why: String,
    /// A command, or a line of configuration, that changes it; advice where no command can.
    pub cure: Option<String>,
}

impl Finding {
    fn new(
        check: &'static str,
        verdict: CheckLevel,
        found: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self { check, verdict, found: found.into(), why: why.into(), cure: None }
    }

    fn ok(check: &'static str, found: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(check, CheckLevel::Ok, found, why)
    }

    fn warn(check: &'static str, found: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(check, CheckLevel::Warn, found, why)
    }

    fn fail(check: &'static str, found: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(check, CheckLevel::Fail, found, why)
    }

    /// `why` says what would have been told, so that a person can judge whether it matters.
    fn unknown(check: &'static str, missing: &Missing, why: impl Into<String>) -> Self {
        Self::new(check, CheckLevel::Unknown, format!("cannot be read: {missing}"), why)
    }

    /// What `judge` makes of what was read, if it could be.
    fn of<T>(check: &'static str, read: &Read<T>, why: &'static str, judge: impl FnOnce(&T) -> Self) -> Self {
        read.as_ref().map_or_else(|missing| Self::unknown(check, missing, why), judge)
    }

    #[must_use]
    fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

/// Every check.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut findings = buzzers::check(facts);
    findings.extend(fairness::check(facts));
    findings.extend(realtime::check(facts));
    findings.extend(machine::check(facts));
    findings.extend(storage::check(facts));
    findings.extend(daemon::check(facts));
    findings
}

/// The worst of them; nothing at all is OK.
pub fn worst(findings: &[Finding]) -> CheckLevel {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(CheckLevel::Ok)
}

#[cfg(test)]
mod tests {
    use super::facts::tests::{fit, unreadable};
    use super::*;

    #[test]
    fn a_fit_box_is_ok_in_every_line() {
        for finding in diagnose(&fit()) {
            assert_eq!((finding.verdict, &finding.cure), (CheckLevel::Ok, &None), "{finding:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_never_ok() {
        let findings = diagnose(&unreadable());
        for finding in &findings {
            assert_ne!(finding.verdict, CheckLevel::Ok, "{finding:?}");
        }
        assert_eq!(findings.iter().filter(|finding| finding.verdict == CheckLevel::Fail).count(), 0);
    }

    #[test]
    fn everything_says_what_and_why_in_one_line_each() {
        for finding in diagnose(&fit()).into_iter().chain(diagnose(&unreadable())) {
            for text in [finding.check, &finding.found, &finding.why] {
                assert!(!text.is_empty() && !text.contains('\n'), "{finding:?}");
            }
        }
    }

    #[test]
    fn the_worst_holds() {
        let of = |verdict| Finding::new("x", verdict, "", "");
        assert_eq!(worst(&[]), CheckLevel::Ok);
        assert_eq!(
            worst(&[of(CheckLevel::Warn), of(CheckLevel::Fail), of(CheckLevel::Ok)]),
            CheckLevel::Fail
        );
        assert_eq!(worst(&[of(CheckLevel::Unknown), of(CheckLevel::Ok)]), CheckLevel::Unknown);
    }
}
