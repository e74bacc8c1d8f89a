//! What recovery does about what it finds. In: what was observed, as small enums. Out: what is done. Guarantee: each pattern of
//! what can be observed matches one row, by a test over all of them; LOG.md prints the rows, under "What a start finds".

use std::cmp::Ordering;

/// What is observed of one thing, and what is done about it.
pub(super) struct Row<F, D> {
    /// The row's name, what is found and what is done, as LOG.md says it.
    #[cfg(test)]
    words: [&'static str; 3],
    matches: fn(&F) -> bool,
    done: D,
}

/// What the row that matches says.
pub(super) fn decide<F, D: Copy>(rows: &[Row<F, D>], found: &F) -> D {
    let row = rows.iter().find(|row| (row.matches)(found));
    // The last row is the one that touches least.
    row.unwrap_or(&rows[rows.len() - 1]).done
}

macro_rules! facts {
    ($($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $what:literal])* $value:ident,)* })*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($(#[doc = $what])* $value,)* }

        #[cfg(test)]
        impl tests::All for $name {
            fn all() -> Vec<Self> {
                vec![$(Self::$value),*]
            }
        }
    )*};
}

macro_rules! table {
    ($(#[doc = $doc:literal])* $name:ident: $found:ty => $done:ident {
        $($row:literal, $finds:literal, $does:literal: $pattern:pat => $value:ident;)*
    }) => {
        $(#[doc = $doc])*
        pub(super) const $name: &[Row<$found, $done>] = &[$(Row {
            #[cfg(test)]
            words: [$row, $finds, $does],
            matches: |found| matches!(found, $pattern),
            done: $done::$value,
        }),*];
    };
}

facts! {
    /// What a file of the journal is.
    Content { Absent, Unreadable, Empty, Zeros, Foreign, Journal, }
    /// What is done with a file of the journal.
    Take { PassOver, Report, SetAside, Read, }
    /// By what one of two ways is the log.
    By { Reach, Bad, Journal, Signed, LaterSegment, Lower, }
    /// How far the journal leads from before bad lines.
    Reach { Nowhere, Beyond, LogEnd, }
    /// What is done about bad lines with good ones behind them.
    Heal { GoBack, Complete, GoBackToJournal, Stay, }
    /// What no part of the log is: a file, or what is behind the last good line of one.
    Part { Whole, Rest, }
    /// What stands there.
    Bytes { Nothing, Blank, Begun, Other, }
    /// What is done with it.
    Clear { Remove, Leave, Cut, CopyAndCut, Rename, }
    /// A line of the journal, beside the log.
    Own { Older, Same, Differs, Next, Stray, }
    /// What is done about a line of the journal.
    Merge { Skip, Take, TakeAnew, Forget, End, }
    /// The segment that the log ends in.
    LastSegment { None, Damaged, Open, }
    /// What the journal has of it.
    HasOfIt { Lines, LogEnd, Nothing, }
    /// How the log goes on.
    GoOn { Begin, Sync, Rewrite, Resume, Append, Refill, }
}

/// Two ways behind one line; the second beside the first.
#[derive(Debug)]
pub(super) struct Fork {
    /// Both have the same line where the shorter one ends.
    pub(super) is_same: bool,
    pub(super) reach: Ordering,
    /// Greater: the second has fewer bad lines.
    pub(super) bad: Ordering,
    /// The first is the rest of an earlier segment.
    pub(super) is_rest: bool,
    pub(super) journal: Ordering,
    pub(super) signed: Ordering,
}

/// A place of bad lines with good ones behind them.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) reach: Reach,
    /// What the journal lacks from its end to the log's, the last segment has.
    pub(super) is_completed: bool,
    /// It begins a segment.
    pub(super) is_first: bool,
    /// The journal knows the log's end.
    pub(super) is_end_known: bool,
}

/// A line of the journal.
#[derive(Debug)]
pub(super) struct JournalLine {
    pub(super) own: Own,
    /// The journal has led to the log's end, or beyond.
    pub(super) is_past_end: bool,
    /// A line of this file was taken.
    pub(super) is_begun: bool,
    /// It stands right behind the one that was taken last.
    pub(super) goes_on: bool,
}

table! {
    /// Files of the journal.
    CONTENTS: Content => Take {
        "journal, none", "no file of the journal, or an empty one", "nothing":
            Content::Absent | Content::Empty => PassOver;
        "journal, unread", "one that cannot be read, or has nothing but zeros", "a record says so":
            Content::Unreadable | Content::Zeros => Report;
        "journal, foreign", "one that does not begin like a journal", "it is copied to `NAME.aside-N`":
            Content::Foreign => SetAside;
        "journal", "a journal", "its lines are read": Content::Journal => Read;
    }
}

table! {
    /// Two ways to go on behind one line.
    FORKS: Fork => By {
        "ways, one longer", "two that have the same line where the shorter one ends (a rewrite that was cut off; a copy)",
        "the one that reaches furthest is the log":
            Fork { is_same: true, reach: Ordering::Less | Ordering::Greater, .. } => Reach;
        "ways, one with less damage", "the same, and both end together", "the one with fewer bad lines is the log":
            Fork { is_same: true, reach: Ordering::Equal, bad: Ordering::Less | Ordering::Greater, .. } => Bad;
        "ways, a whole rewrite", "the same, and the first is the rest of an earlier segment",
        "the later segment is the log":
            Fork { is_same: true, reach: Ordering::Equal, bad: Ordering::Equal, is_rest: true, .. } => LaterSegment;
        "ways, a copy", "the same, and both are segments", "the lower number is the log":
            Fork { is_same: true, reach: Ordering::Equal, bad: Ordering::Equal, is_rest: false, .. } => Lower;
        "ways, one unknown to the journal", "two that differ there (forged, or of another log)",
        "the one that the journal leads on from is the log":
            Fork { is_same: false, journal: Ordering::Less | Ordering::Greater, .. } => Journal;
        "ways, one signed", "two that differ there, and the journal says nothing",
        "the one that holds more of the checkpoints that this log's key signed is the log":
            Fork { is_same: false, journal: Ordering::Equal, signed: Ordering::Less | Ordering::Greater, .. } => Signed;
        "ways, without evidence", "two that differ there, and those say nothing",
        "the rest of the segment, then the lower number is the log":
            Fork { is_same: false, journal: Ordering::Equal, signed: Ordering::Equal, .. } => Lower;
    }
}

table! {
    /// Bad lines with good ones behind them. Of several places the one whose row stands first is healed.
    BAD_LINES: Bad => Heal {
        "bad lines, healed", "the journal has all from there to the log's end: a failed sync has left a hole",
        "the segments end there, and the journal's lines follow":
            Bad { reach: Reach::LogEnd, .. } => GoBack;
        "bad lines, healed by both", "the journal has the next lines, and the last segment those that the journal lacks at its end",
        "these are appended to the journal, and then the same":
            Bad { reach: Reach::Beyond, is_completed: true, .. } => Complete;
        "bad lines, of a stranger", "a segment whose end the journal does not know, and the journal leads on from before it",
        "the segment is no part of the log, and the journal's lines follow":
            Bad { reach: Reach::Beyond, is_completed: false, is_first: true, is_end_known: false } => GoBackToJournal;
        "damage", "the journal says nothing better",
        "they stay, the log goes on in a new segment behind the last good line, and a record names the place":
            Bad { reach: Reach::Nowhere, .. }
            | Bad { reach: Reach::Beyond, is_completed: false, is_first: false, .. }
            | Bad { reach: Reach::Beyond, is_completed: false, is_first: true, is_end_known: true } => Stay;
    }
}

table! {
    /// What is no part of the log.
    RESTS: (Part, Bytes) => Clear {
        "stray, empty", "a segment of no bytes", "it is removed": (Part::Whole, Bytes::Nothing) => Remove;
        "stray", "a segment that is no part of the log", "it is renamed to `NAME.aside-N`":
            (Part::Whole, Bytes::Blank | Bytes::Begun | Bytes::Other) => Rename;
        "torn tail", "bytes behind the last good line of a segment, or lines that the next segment has as well",
        "they are copied to `NAME.torn-N`, then cut":
            (Part::Rest, Bytes::Other) => CopyAndCut;
        "blank line", "one blank line there", "it is cut": (Part::Rest, Bytes::Blank) => Cut;
        "whole", "nothing there, or the beginning of the next line, which the journal has, at the end of a log without damage",
        "nothing; that line is written over it":
            (Part::Rest, Bytes::Nothing | Bytes::Begun) => Leave;
    }
}

table! {
    /// Lines of the journal, in their order.
    LINES: JournalLine => Merge {
        "line, older", "older than the last segment", "it is durable, and passed over":
            JournalLine { own: Own::Older, .. } => Skip;
        "line, again", "not beyond the log's end, in a file of which nothing was taken, behind one that has led there",
        "it is passed over":
            JournalLine { own: Own::Same | Own::Differs, is_past_end: true, is_begun: false, .. } => Skip;
        "line, brought back", "not beyond the log's end, behind one that has led there: the file held it before, and a power cut \
         brought it back", "the file is copied to `NAME.aside-N`, and ends there":
            JournalLine { own: Own::Same | Own::Differs, is_past_end: true, is_begun: true, .. } => End;
        "line, differs", "other bytes than the last segment's",
        "the file is copied to `NAME.aside-N`; what was taken is let go, and what follows may count":
            JournalLine { own: Own::Differs, is_past_end: false, .. } => Forget;
        "line", "the same bytes as the last segment's, or the log's next line, right behind the line before",
        "it is taken, and written to the segment again":
            JournalLine { own: Own::Same, is_past_end: false, goes_on: true, .. }
            | JournalLine { own: Own::Next, goes_on: true, .. } => Take;
        "line, behind a gap", "the same, but not right behind it", "what was taken is let go, and it is taken":
            JournalLine { own: Own::Same, is_past_end: false, goes_on: false, .. }
            | JournalLine { own: Own::Next, goes_on: false, .. } => TakeAnew;
        "line, foreign", "beyond the log's end, and not its next line", "the file is copied to `NAME.aside-N`, and ends there":
            JournalLine { own: Own::Stray, .. } => End;
    }
}

table! {
    /// Where the next line goes.
    ENDS: (LastSegment, HasOfIt) => GoOn {
        "end, no segment", "no segment that has a line", "the log goes on in a new segment": (LastSegment::None, _) => Begin;
        "end, in the journal", "a last segment without damage, of whose lines the journal has the last",
        "it is gone on with; those lines are written over themselves":
            (LastSegment::Open, HasOfIt::Lines) => Resume;
        "end, durable", "the same, and the journal's lines begin behind it", "it is gone on with":
            (LastSegment::Open, HasOfIt::LogEnd) => Append;
        "end, not in the journal", "the same, and the journal does not lead to its end",
        "all its lines are taken into the journal, and written over themselves from there":
            (LastSegment::Open, HasOfIt::Nothing) => Refill;
        "end, damage, in the journal", "a last segment with damage before its end, whose last lines the journal has",
        "it is synced, and the log goes on in a new segment":
            (LastSegment::Damaged, HasOfIt::Lines) => Sync;
        "end, damage", "the same without the journal", "it is written over itself and synced, and the log goes on in a new segment":
            (LastSegment::Damaged, HasOfIt::LogEnd | HasOfIt::Nothing) => Rewrite;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All values.
    pub(super) trait All: Sized {
        fn all() -> Vec<Self>;
    }

    impl All for bool {
        fn all() -> Vec<Self> {
            vec![false, true]
        }
    }

    impl All for Ordering {
        fn all() -> Vec<Self> {
            vec![Self::Less, Self::Equal, Self::Greater]
        }
    }

    impl<A: All + Copy, B: All> All for (A, B) {
        fn all() -> Vec<Self> {
            A::all().into_iter().flat_map(|one| B::all().into_iter().map(move |other| (one, other))).collect()
        }
    }

    fn each<A: All + Copy, B: All>(make: impl FnMut((A, B))) {
        <(A, B)>::all().into_iter().for_each(make);
    }

    /// The words of the rows, once each pattern was seen to match one of them, and each row to be matched.
    fn rows<F: std::fmt::Debug, D>(table: &[Row<F, D>], patterns: Vec<F>) -> Vec<[&'static str; 3]> {
        let mut is_used = vec![false; table.len()];
        for found in patterns {
            let matching: Vec<usize> = (0..table.len()).filter(|row| (table[*row].matches)(&found)).collect();
            let names: Vec<&str> = matching.iter().map(|row| table[*row].words[0]).collect();
            assert_eq!(matching.len(), 1, "{found:?} matches {names:?}");
            is_used[matching[0]] = true;
        }
        let unused: Vec<&str> =
            table.iter().zip(is_used).filter(|(_, is)| !is).map(|(row, _)| row.words[0]).collect();
        assert!(unused.is_empty(), "nothing matches {unused:?}");
        table.iter().map(|row| row.words).collect()
    }

    #[test]
    fn each_pattern_has_one_row_and_log_md_prints_them() {
        let (mut forks, mut bad, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        each(|((reach, bad), ((journal, signed), (is_same, is_rest)))| {
            forks.push(Fork { is_same, reach, bad, is_rest, journal, signed });
        });
        each(|((reach, is_completed), (is_first, is_end_known))| {
            bad.push(Bad { reach, is_completed, is_first, is_end_known });
        });
        each(|((own, is_past_end), (is_begun, goes_on))| {
            lines.push(JournalLine { own, is_past_end, is_begun, goes_on });
        });
        let all = [
            rows(CONTENTS, All::all()),
            rows(FORKS, forks),
            rows(BAD_LINES, bad),
            rows(RESTS, All::all()),
            rows(LINES, lines),
            rows(ENDS, All::all()),
        ];
        let code: Vec<String> =
            all.concat().iter().map(|[name, found, done]| format!("| {name} | {found} | {done} |")).collect();
        let section = include_str!("../../../../LOG.md").split_once("\n### What a start finds\n").unwrap().1;
        let section = section.split("\n#").next().unwrap().lines().filter(|line| line.starts_with("| "));
        let printed: Vec<&str> = section.skip(1).collect();
        assert_eq!(printed.join("\n"), code.join("\n"), "server/LOG.md has other rows than the code");
    }
}
