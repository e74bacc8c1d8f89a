//! Which way the log goes where segments disagree. In: the segments, and a line behind which more than one of them goes on.
//! Out: the one that is the log, and those that are not. Guarantee: neither the length nor the order of names decides between
//! lines that differ; nothing is changed; each way is walked once, with any number of files.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::leftover::{JournalFile, index};
use super::segment_files::{peek, read};
use super::table::{By, FORKS, Fork, decide};
use super::tip::{Verdict, follows, judge, pieces};
use super::{RecoveryError, Signed, newer};
use crate::log::form::line::{Line, seq_of};
use crate::log::store::storage::Directory;
use crate::log::{ChainHash, SegmentName};

/// What a way can be measured by.
pub(super) struct Evidence<'a, F> {
    pub(super) files: &'a [JournalFile<F>],
    pub(super) signed: Signed<'a>,
    lines: OnceCell<BTreeMap<u64, Vec<&'a [u8]>>>,
    checkpoints: OnceCell<HashSet<(u64, ChainHash)>>,
}

impl<'a, F> Evidence<'a, F> {
    pub(super) const fn new(files: &'a [JournalFile<F>], signed: Signed<'a>) -> Self {
        Self { files, signed, lines: OnceCell::new(), checkpoints: OnceCell::new() }
    }

    /// Whether the journal has this line, or the one that follows it.
    fn leads_on(&self, line: &Line<'_>) -> bool {
        let lines = self.lines.get_or_init(|| index(self.files));
        let any = |seq: u64, fits: &dyn Fn(Line<'_>) -> bool| {
            let found = lines.get(&seq).into_iter().flatten();
            found.filter_map(|bytes| Line::parse(bytes).ok()).any(fits)
        };
        any(line.seq, &|own| own.hash == line.hash) || any(line.seq + 1, &|next| next.follows(&line.hash))
    }

    /// Whether this log's key signed for it.
    fn is_signed(&self, line: &Line<'_>) -> bool {
        self.checkpoints
            .get_or_init(|| (self.signed)().into_iter().collect())
            .contains(&(line.seq, line.hash))
    }
}

/// A part of a way within one segment.
#[derive(Clone, Copy)]
struct Leg {
    place: usize,
    from: usize,
    last_seq: u64,
}

/// A way to go on, to its end.
#[derive(Clone, Default)]
struct Way {
    legs: Vec<Leg>,
    /// How many of them follow without a bad line between.
    linked: usize,
    end: u64,
    bad: u64,
    is_in_journal: bool,
    signed: usize,
}

impl Way {
    fn extend(&mut self, rest: &Self) {
        if self.bad == 0 {
            self.linked = self.legs.len() + rest.linked;
        }
        self.legs.extend(&rest.legs);
        self.end = self.end.max(rest.end);
        self.bad += rest.bad;
        self.is_in_journal |= rest.is_in_journal;
        self.signed += rest.signed;
    }
}

/// Where a way begins: a segment, a byte in it, and the line before.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) place: usize,
    pub(super) byte: usize,
    pub(super) hash: ChainHash,
    pub(super) seq: u64,
}

/// The ways through these segments.
pub(super) struct Ways<'a, 'e, D, F> {
    dir: &'a D,
    segments: &'a [SegmentName],
    firsts: Vec<Vec<u8>>,
    /// The smallest first seq of the segments from there on: later ones are only looked at where one can begin.
    earliest: Vec<u64>,
    evidence: &'a Evidence<'e, F>,
    known: HashMap<(usize, usize), Rc<Way>>,
    chosen: HashMap<(usize, usize), Option<usize>>,
    /// Segments that lost against another one.
    pub(super) lost: BTreeSet<usize>,
    /// Segments that another one had to the byte.
    pub(super) copied: BTreeSet<usize>,
}

impl<'a, 'e, D: Directory, F> Ways<'a, 'e, D, F> {
    pub(super) fn new(
        dir: &'a D,
        segments: &'a [SegmentName],
        evidence: &'a Evidence<'e, F>,
    ) -> Result<Self, RecoveryError> {
        let firsts = segments.iter().map(|name| peek(dir, name)).collect::<Result<Vec<_>, _>>()?;
        let mut earliest = vec![u64::MAX; segments.len() + 1];
        for (place, name) in segments.iter().enumerate().rev() {
            earliest[place] = earliest[place + 1].min(name.first_seq);
        }
        let (known, chosen) = (HashMap::new(), HashMap::new());
        let (lost, copied) = (BTreeSet::new(), BTreeSet::new());
        Ok(Self { dir, segments, firsts, earliest, evidence, known, chosen, lost, copied })
    }

    /// The segment that the log begins with.
    pub(super) fn first(&mut self) -> Result<usize, RecoveryError> {
        let start = Point { place: 0, byte: 0, hash: ChainHash::START, seq: 0 };
        let goes_on = |place: &usize| {
            *place == 0
                || (self.segments[*place].first_seq == 1 && follows(&self.firsts[*place], &start.hash))
        };
        let options: Vec<usize> = (0..self.segments.len()).filter(goes_on).collect();
        Ok(match options[..] {
            [] | [_] => 0,
            _ => {
                self.best(options.iter().map(|place| Point { place: *place, ..start }).collect(), 0)?.0.place
            }
        })
    }

    /// The later segment that goes on behind this line, if one does and it is the log. `rest`: of the segment, from `from.byte`.
    pub(super) fn next(&mut self, from: Point, rest: &[u8]) -> Result<Option<usize>, RecoveryError> {
        if from.seq + 1 < self.earliest[from.place + 1] {
            return Ok(None);
        }
        if let Some(chosen) = self.chosen.get(&(from.place, from.byte)) {
            return Ok(*chosen);
        }
        let number = self.segments[from.place].number;
        let goes_on = |place: &usize| {
            let name = self.segments[*place];
            name.number > number
                && name.first_seq == from.seq + 1
                && !self.lost.contains(place)
                && follows(&self.firsts[*place], &from.hash)
        };
        let later = (from.place + 1..self.segments.len()).filter(goes_on);
        let mut options: Vec<Point> = later.map(|place| Point { place, byte: 0, ..from }).collect();
        if options.is_empty() {
            return Ok(None);
        }
        if follows(rest, &from.hash) {
            options.insert(0, from);
        }
        let chosen = if options.len() == 1 { options[0] } else { self.best(options, from.byte)?.0 };
        let next = (chosen.place != from.place).then_some(chosen.place);
        self.chosen.insert((from.place, from.byte), next);
        Ok(next)
    }

    /// The segment behind this one that is not known to be no part of the log.
    pub(super) fn behind(&self, place: usize) -> usize {
        (place + 1..self.segments.len()).find(|next| !self.lost.contains(next)).unwrap_or(self.segments.len())
    }

    /// The best of these ways, the rest of a segment first.
    fn best(&mut self, options: Vec<Point>, byte: usize) -> Result<(Point, Rc<Way>), RecoveryError> {
        let mut ways = Vec::new();
        for from in options {
            ways.push((from, self.way(from)?));
        }
        let mut best = ways[0].clone();
        for (from, way) in &ways[1..] {
            let found = Fork {
                is_same: self.are_same(&best.1, way)?,
                reach: way.end.cmp(&best.1.end),
                bad: best.1.bad.cmp(&way.bad),
                is_rest: byte > 0 && best.0.byte == byte,
                journal: way.is_in_journal.cmp(&best.1.is_in_journal),
                signed: way.signed.cmp(&best.1.signed),
            };
            let is_second = match decide(FORKS, &found) {
                By::Reach => found.reach.is_gt(),
                By::Bad => found.bad.is_gt(),
                By::Journal => found.journal.is_gt(),
                By::Signed => found.signed.is_gt(),
                By::LaterSegment => true,
                By::Lower => false,
            };
            if is_second {
                best = (*from, Rc::clone(way));
            } else if found.is_same {
                self.copied.insert(best.0.place);
            }
        }
        let kept: BTreeSet<usize> = best.1.legs.iter().map(|leg| leg.place).collect();
        for (_, way) in &ways {
            // Of a segment that is left in the middle the beginning is part of the log.
            let linked = way.legs[..way.linked.min(way.legs.len())].iter().filter(|leg| leg.from == 0);
            self.lost.extend(linked.map(|leg| leg.place).filter(|place| !kept.contains(place)));
        }
        Ok(best)
    }

    /// The way from there, as far as it goes: bad lines with good ones behind them do not end it.
    fn way(&mut self, from: Point) -> Result<Rc<Way>, RecoveryError> {
        if let Some(way) = self.known.get(&(from.place, from.byte)) {
            return Ok(Rc::clone(way));
        }
        let mut way = Way { end: from.seq, ..Way::default() };
        let (mut place, mut byte) = (from.place, from.byte);
        let mut before = Some((from.hash, from.seq));
        // Bad lines count once a good one stands behind them: another file behind the end of a way does not.
        let mut bad = 0;
        while place < self.segments.len() {
            way.legs.push(Leg { place, from: byte, last_seq: way.end });
            let bytes = read(self.dir, &self.segments[place])?;
            let rest = bytes.get(byte..).unwrap_or_default();
            let mut next = None;
            for (piece, number) in pieces(rest).zip(1..) {
                let is_beginning = place == 0 && byte + piece.start == 0;
                let name = is_beginning.then_some(&self.segments[place]);
                match judge(&piece, name, before, way.end).map_err(newer(&self.segments[place], number))? {
                    Verdict::Good(line) => {
                        before = Some((line.hash, line.seq));
                        way.end = line.seq;
                        way.bad += std::mem::take(&mut bad);
                        if way.bad == 0 {
                            way.linked = way.legs.len();
                        }
                        way.legs.last_mut().into_iter().for_each(|leg| leg.last_seq = line.seq);
                        way.is_in_journal |= self.evidence.leads_on(&line);
                        way.signed += usize::from(self.evidence.is_signed(&line));
                        let here = Point { place, byte: byte + piece.end, hash: line.hash, seq: line.seq };
                        next = self.next(here, &rest[piece.end..])?;
                        if next.is_some() {
                            break;
                        }
                    }
                    Verdict::Bad(line) => {
                        before = line.claim;
                        bad += 1;
                    }
                }
            }
            if let Some(known) = next.and_then(|next| self.known.get(&(next, 0))) {
                let known = Rc::clone(known);
                way.extend(&known);
                break;
            }
            (place, byte) = (next.unwrap_or_else(|| self.behind(place)), 0);
        }
        let way = Rc::new(way);
        self.known.insert((from.place, from.byte), Rc::clone(&way));
        Ok(way)
    }

    /// Whether both have the same line where the shorter one ends.
    fn are_same(&self, one: &Way, other: &Way) -> Result<bool, RecoveryError> {
        let end = one.end.min(other.end);
        let (one, other) = (self.hash_at(one, end)?, self.hash_at(other, end)?);
        Ok(one.is_some() && one == other)
    }

    fn hash_at(&self, way: &Way, seq: u64) -> Result<Option<ChainHash>, RecoveryError> {
        let Some(leg) = way.legs.iter().find(|leg| leg.last_seq >= seq) else { return Ok(None) };
        let bytes = read(self.dir, &self.segments[leg.place])?;
        let mut lines = pieces(bytes.get(leg.from..).unwrap_or_default());
        let line = lines.find(|piece| piece.is_whole && seq_of(piece.line) == Some(seq));
        Ok(line.and_then(|piece| Line::parse(piece.line).ok()).map(|line| line.hash))
    }
}
