//! One page for people. In: findings. Out: text. Guarantee: the word that matters
//! stands first and in one column; colour is only ever added to that word; a command stays on one line, so that it
//! can be copied.

use buzzer_core::quote::Plain;

use super::{CheckLevel, Finding, worst};
use crate::judge::explain::words::wrap;

/// The longest name of a check, and two spaces.
const NAMES: usize = 20;
const WORDS: usize = 6;

const fn word(verdict: CheckLevel) -> (&'static str, &'static str) {
    match verdict {
        CheckLevel::Ok => ("OK", "32"),
        CheckLevel::Unknown => ("?", "36"),
        CheckLevel::Warn => ("warn", "33"),
        CheckLevel::Fail => ("FAIL", "1;31"),
    }
}

/// Findings, for people; `colour`: whether the word that says how good it is has one.
pub fn text(findings: &[Finding], colour: bool) -> String {
    let mut page = String::new();
    for finding in findings {
        let (word, code) = word(finding.verdict);
        let start = page.len();
        wrap(&mut page, &format!("{word:<WORDS$}{:<NAMES$}", finding.check), &finding.found);
        if colour {
            page.insert_str(start + WORDS, "\x1b[0m");
            page.insert_str(start, &format!("\x1b[{code}m"));
        }
        if finding.verdict != CheckLevel::Ok {
            let indent = " ".repeat(WORDS + NAMES);
            wrap(&mut page, &indent, &finding.why);
            if let Some(cure) = &finding.cure {
                page += &format!("{indent}-> {}\n", Plain(cure));
            }
        }
    }
    page + &format!("\n{}\n", summary(findings))
}

/// The last line.
fn summary(findings: &[Finding]) -> String {
    let number = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let counts: Vec<_> = [
        (CheckLevel::Fail, "failed"),
        (CheckLevel::Warn, "to know about"),
        (CheckLevel::Unknown, "could not be checked"),
        (CheckLevel::Ok, "OK"),
    ]
    .into_iter()
    .filter_map(|(verdict, name)| {
        Some(number(verdict)).filter(|number| *number > 0).map(|n| format!("{n} {name}"))
    })
    .collect();
    let verdict = match worst(findings) {
        CheckLevel::Fail => "Not ready for a match",
        CheckLevel::Warn => "Ready, with warnings",
        CheckLevel::Unknown => "Nothing wrong was found, but not everything could be checked",
        CheckLevel::Ok => "Ready for a match",
    };
    format!("{verdict}: {}.", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::diagnose;
    use super::super::facts::tests::{fit, unreadable};
    use serde_json::json;

    use super::*;

    #[test]
    fn words_come_first_and_the_sum_last() {
        let findings = [
            Finding::ok("kernel", "6.12", "unseen"),
            Finding::warn("disk space", "100 MiB free", "because ".repeat(20)).cure("rm -r /nowhere"),
        ];
        let because = |n| ["because"; 9][..n].join(" ");
        let want = format!(
            "OK    kernel              6.12\n\
             warn  disk space          100 MiB free\n\
             {0:26}{1}\n{0:26}{1}\n{0:26}{2}\n\
             {0:26}-> rm -r /nowhere\n\n\
             Ready, with warnings: 1 to know about, 1 OK.\n",
            "",
            because(9),
            because(2)
        );
        assert_eq!(text(&findings, false), want);
    }

    #[test]
    fn colour_is_around_the_word_only() {
        let coloured = text(&[Finding::fail("x", "y", "z")], true);
        assert!(coloured.starts_with("\x1b[1;31mFAIL  \x1b[0mx   "));
        let plain = coloured.replace("\x1b[1;31m", "").replace("\x1b[0m", "");
        assert_eq!(plain, text(&[Finding::fail("x", "y", "z")], false));
    }

    #[test]
    fn the_last_line_says_what_to_think() {
        for (findings, want) in [
            (vec![], "Ready for a match: ."),
            (vec![Finding::ok("a", "b", "c")], "Ready for a match: 1 OK."),
            (
                vec![Finding::ok("a", "b", "c"), Finding::fail("a", "b", "c")],
                "Not ready for a match: 1 failed, 1 OK.",
            ),
        ] {
            assert_eq!(summary(&findings), want);
        }
    }

    #[test]
    fn every_name_fits_its_column() {
        for finding in diagnose(&fit()).iter().chain(&diagnose(&unreadable())) {
            assert!(finding.check.len() + 2 <= NAMES, "{}", finding.check);
        }
    }

    #[test]
    fn a_program_gets_every_field() {
        let finding = Finding::warn("x", "y", "z").cure("c");
        let want = json!({"check": "x", "verdict": "warn", "found": "y", "why": "z", "cure": "c"});
        assert_eq!(json!(finding), want);
    }
}
