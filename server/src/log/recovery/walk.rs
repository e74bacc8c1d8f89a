//! The way along the segments, from the first line to the last that follows. In: the segments in their order. Out: where the
//! log ends and what it folds to, and every place that has what it should not have. Guarantee: nothing is changed; in memory
//! is one segment, and the first line of each.

use super::RecoveryError;
use super::segment_files::{peek, read};
use super::tip::{Tip, Verdict, follows, judge, pieces};
use crate::log::ChainHash;
use crate::log::SegmentName;
use crate::log::line::{Line, seq_of};
use crate::log::storage::Directory;
use crate::state::State;

/// A place behind which a segment has what it should not have.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    pub(super) segment: usize,
    pub(super) from: usize,
}

/// Where lines begin to be bad.
pub(super) struct BadPlace {
    pub(super) segment: SegmentName,
    pub(super) line: u64,
    pub(super) why: String,
    /// The log up to it.
    pub(super) before: Tip,
    /// Where that ends.
    pub(super) last_good: Tail,
}

/// What was found.
pub(super) struct Walk {
    /// The log's end.
    pub(super) tip: Tip,
    /// The bytes of the segment that was looked at last.
    pub(super) bytes: Vec<u8>,
    /// Bad lines with good ones behind them.
    pub(super) damage: Vec<BadPlace>,
    /// Bad lines with none behind them.
    pub(super) pending: Option<BadPlace>,
    /// Overhangs.
    pub(super) tails: Vec<Tail>,
    /// Where the last good line ends.
    pub(super) last_good: Tail,
}

/// Goes along these segments.
pub(super) fn walk<D: Directory>(dir: &D, segments: &[SegmentName]) -> Result<Walk, RecoveryError> {
    let mut tip = Tip { state: State::default(), head: ChainHash::START, seq: 0 };
    let mut before = Some((tip.head, tip.seq));
    let (mut damage, mut pending): (Vec<BadPlace>, Option<BadPlace>) = (Vec::new(), None);
    let (mut tails, mut last_good) = (Vec::new(), Tail { segment: 0, from: 0 });
    let firsts = segments.iter().map(|name| peek(dir, name)).collect::<Result<Vec<_>, _>>()?;
    // The last segment from `from` on that goes on behind this line: whatever stands between the two is an overhang.
    let next_behind = |from: usize, hash: &ChainHash, seq: u64| {
        let goes_on = |place: &usize| segments[*place].first_seq == seq + 1 && follows(&firsts[*place], hash);
        (from..segments.len()).rev().find(goes_on)
    };
    // Asked for only where a later segment begins.
    let mut earliest = vec![u64::MAX; segments.len() + 1];
    for (place, name) in segments.iter().enumerate().rev() {
        earliest[place] = earliest[place + 1].min(name.first_seq);
    }
    let mut bytes = Vec::new();
    let mut place = next_behind(0, &tip.head, 0).unwrap_or(0);
    tails.extend((0..place).map(|segment| Tail { segment, from: 0 }));
    while let Some(name) = segments.get(place) {
        bytes = read(dir, name)?;
        let mut next = place + 1;
        // If older segments were removed, it is not known here from what the first line follows.
        let is_cut_off = place == 0 && name.first_seq > 1;
        for (piece, number) in pieces(&bytes).zip(1..) {
            let verdict = if is_cut_off
                && piece.is_whole
                && number == 1
                && seq_of(piece.line) == Some(name.first_seq)
            {
                Line::parse(piece.line)
                    .map_or_else(|error| Verdict::Bad(error.to_string(), None), Verdict::Good)
            } else if piece.is_whole {
                judge(piece.line, before).map_err(|error| RecoveryError::Newer {
                    segment: name.to_string(),
                    line: number,
                    error,
                })?
            } else {
                Verdict::Bad("it is incomplete".to_owned(), None)
            };
            match verdict {
                Verdict::Good(line) => {
                    damage.extend(pending.take());
                    before = Some((line.hash, line.seq));
                    tip.take(&line);
                    last_good = Tail { segment: place, from: piece.end };
                    if line.seq + 1 >= earliest[place + 1]
                        && let Some(behind) = next_behind(place + 1, &line.hash, line.seq)
                    {
                        if piece.end < bytes.len() {
                            tails.push(Tail { segment: place, from: piece.end });
                        }
                        tails.extend((place + 1..behind).map(|segment| Tail { segment, from: 0 }));
                        next = behind;
                        break;
                    }
                }
                Verdict::Bad(why, claim) => {
                    before = claim;
                    pending.get_or_insert_with(|| BadPlace {
                        segment: *name,
                        line: number,
                        why,
                        before: tip.clone(),
                        last_good,
                    });
                }
            }
        }
        place = next;
    }
    Ok(Walk { tip, bytes, damage, pending, tails, last_good })
}
