//! The way along the segments, from the first line to the last that follows. In: the segments in their order. Out: where the
//! log ends and what it folds to, and every place that has what it should not have. Guarantee: nothing is changed; in memory
//! is one segment, and the first line of each.

use std::collections::BTreeSet;

use super::segment_files::read;
use super::tip::{Bad, Tip, Verdict, judge, pieces};
use super::ways::{Evidence, Point, Ways};
use super::{RecoveryError, newer};
use crate::game::state::State;
use crate::log::store::storage::Directory;
use crate::log::{ChainHash, SegmentName};

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
    /// The bytes of the segment that the log ends in.
    pub(super) bytes: Vec<u8>,
    /// Bad lines with good ones behind them.
    pub(super) damage: Vec<BadPlace>,
    /// Bad lines with none behind them.
    pub(super) pending: Option<BadPlace>,
    /// Overhangs, and segments that lost against others.
    pub(super) tails: Vec<Tail>,
    /// Segments of the log of which there was a copy.
    pub(super) copied: BTreeSet<usize>,
    /// Where the last good line ends.
    pub(super) last_good: Tail,
}

/// The last line that only its form keeps from being one.
struct Reformed {
    claim: (ChainHash, u64),
    end: Tail,
}

/// Goes along these segments.
pub(super) fn walk<D: Directory, F>(
    dir: &D,
    segments: &[SegmentName],
    evidence: &Evidence<'_, F>,
) -> Result<Walk, RecoveryError> {
    let mut tip = Tip { state: State::default(), head: ChainHash::START, seq: 0, at_us: 0 };
    let mut before = Some((tip.head, tip.seq));
    let (mut damage, mut pending): (Vec<BadPlace>, Option<BadPlace>) = (Vec::new(), None);
    let (mut last_good, mut reformed) = (Tail { segment: 0, from: 0 }, None);
    let mut ways = Ways::new(dir, segments, evidence)?;
    let (mut bytes, mut at) = (Vec::new(), 0);
    let mut place = ways.first()?;
    let mut tails: Vec<Tail> = (0..place).map(|segment| Tail { segment, from: 0 }).collect();
    while let Some(name) = segments.get(place) {
        bytes = read(dir, name)?;
        at = place;
        let mut next = None;
        for (piece, number) in pieces(&bytes).zip(1..) {
            let first = (place == 0 && number == 1).then_some(name);
            match judge(&piece, first, before, tip.seq).map_err(newer(name, number))? {
                Verdict::Good(line) => {
                    damage.extend(pending.take());
                    before = Some((line.hash, line.seq));
                    tip.take(&line);
                    (last_good, reformed) = (Tail { segment: place, from: piece.end }, None);
                    let from = Point { place, byte: piece.end, hash: line.hash, seq: line.seq };
                    next = ways.next(from, &bytes[piece.end..])?;
                    if let Some(behind) = next {
                        if piece.end < bytes.len() {
                            tails.push(Tail { segment: place, from: piece.end });
                        }
                        tails.extend((place + 1..behind).map(|segment| Tail { segment, from: 0 }));
                        break;
                    }
                }
                Verdict::Bad(Bad { why, claim, is_reformed }) => {
                    before = claim;
                    // Where nothing is good at all, the log goes on behind what can be read at least.
                    let counts = is_reformed || tip.seq == 0;
                    let beyond =
                        |seq| reformed.as_ref().map_or(tip.seq, |last: &Reformed| last.claim.1) < seq;
                    if let Some(claim) = claim.filter(|(_, seq)| counts && beyond(*seq)) {
                        reformed = Some(Reformed { claim, end: Tail { segment: place, from: piece.end } });
                    }
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
        place = next.unwrap_or_else(|| ways.behind(place));
    }
    if let Some(Reformed { claim: (hash, seq), end }) = reformed {
        damage.extend(pending.take());
        (tip.head, tip.seq, last_good) = (hash, seq, end);
        tip.state.skip_to(seq);
    }
    tails.extend(ways.lost.iter().map(|segment| Tail { segment: *segment, from: 0 }));
    let copied = ways.copied;
    if at != last_good.segment {
        drop(bytes);
        bytes = read(dir, &segments[last_good.segment])?;
    }
    Ok(Walk { tip, bytes, damage, pending, tails, copied, last_good })
}
