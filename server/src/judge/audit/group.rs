//! Presses of one stamp, and the draw that put them in order. In: a `draw` record, and the presses that stand behind it. Out:
//! what of it does not follow. Guarantee: each place is drawn again by the code that drew it, and presses that needed a
//! draw and had none are found.

use crate::counted::counted;
use crate::game::draw::{self, Entrant};

/// A press, as far as its place among those of its stamp is concerned.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) seq: u64,
    pub(super) at_us: u64,
    pub(super) without_stamp: bool,
    pub(super) is_late: bool,
    pub(super) tie: Option<u64>,
    pub(super) entrant: Entrant,
}

/// The presses since the last record that is none.
#[derive(Debug, Default)]
pub(super) struct Group {
    draw: Option<Draw>,
    last: Option<Told>,
}

#[derive(Debug)]
struct Draw {
    seq: u64,
    seed: Option<[u8; 8]>,
    presses: u32,
    drawn: Vec<Told>,
}

impl Told {
    /// Whether only a draw can put `next` behind this one.
    fn needs_draw(&self, next: &Self) -> bool {
        let (own, other) = (&self.entrant, &next.entrant);
        let is_in_order = own.device == other.device && own.frame < other.frame;
        self.is_alike(next) && !next.is_late && !is_in_order
    }

    fn is_alike(&self, other: &Self) -> bool {
        (self.at_us, self.without_stamp) == (other.at_us, other.without_stamp)
    }
}

impl Group {
    /// A draw; its presses follow.
    pub(super) fn begin(&mut self, seq: u64, seed: &str, presses: u32) {
        let bytes = u64::from_str_radix(seed, 16).ok().filter(|_| seed.len() == 16);
        self.draw = Some(Draw { seq, seed: bytes.map(u64::to_be_bytes), presses, drawn: Vec::new() });
    }

    /// The next press; what is wrong about its place.
    pub(super) fn take(&mut self, told: Told) -> Option<String> {
        let last = self.last.replace(told.clone());
        let Some(tie) = told.tie else {
            let last = last.filter(|last| last.tie.is_none() && last.needs_draw(&told))?;
            return Some(format!("it has the stamp of seq {}, and neither was drawn", last.seq));
        };
        match &mut self.draw {
            Some(draw) if draw.seq == tie => {
                draw.drawn.push(told);
                None
            }
            _ => Some(format!("its draw, seq {tie}, does not stand directly before it")),
        }
    }

    /// A record that is no press ends it: which records claim what does not follow, and what that is.
    pub(super) fn end(&mut self) -> Vec<(u64, String)> {
        self.last = None;
        self.draw.take().map(|draw| draw.check()).unwrap_or_default()
    }
}

impl Draw {
    fn check(&self) -> Vec<(u64, String)> {
        let Self { seq, seed, presses, drawn } = self;
        let mut wrong = Vec::new();
        if u32::try_from(drawn.len()) != Ok(*presses) {
            let presses = counted((*presses).into(), "press");
            let what = format!("a draw of {presses}, but of those that follow {} can be meant", drawn.len());
            wrong.push((*seq, what));
        }
        if seed.is_none() {
            wrong.push((*seq, "its seed is not 16 hex digits".to_owned()));
        }
        for tied in drawn.chunk_by(Told::is_alike) {
            let entrants: Vec<Entrant> = tied.iter().map(|told| told.entrant.clone()).collect();
            if !draw::is_tie(&entrants) {
                wrong.push((tied[0].seq, format!("the draw of seq {seq} had nothing to decide here")));
            }
            let order = draw::order(seed.unwrap_or_default(), &entrants);
            let misplaced = order.iter().enumerate().zip(tied).find(|((place, is), _)| place != *is);
            if let Some((_, told)) = misplaced {
                wrong.push((told.seq, format!("the draw of seq {seq} gave this place to another press")));
            }
        }
        wrong
    }
}
