//! Who came where. In: a window. Out: its presses with place, margins and doubts, and its ties. Guarantee: the order is
//! the one that was told, never a new one; a margin is between stamps of one boot only; doubts go both ways, so the press that may have
//! been beaten says so too; every draw is drawn again from its seed, by the rule by which it was drawn.

use buzzer_core::press::waits::READER_US;
use serde::Serialize;

use super::roster::DeviceSeen;
use super::window::{Entry, Window};
use crate::game::draw::{self, Entrant};
use crate::record::pool_id::PoolId;
use crate::record::{Fact, Flag, Flags, Rival, Stamps};

/// A press of the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1; `None`: its buzzer has an earlier press in this window, and that one counts.
    pub place: Option<u32>,
    /// The pool.
    pub pool: PoolId,
    /// The buzzer.
    pub buzzer: u16,
    /// Its record.
    pub seq: u64,
    /// The device it came from.
    pub device: u32,
    /// Its stamp, µs of CLOCK_MONOTONIC.
    pub at_us: u64,
    /// The same by the wall clock, µs since 1970, if there is an anchor.
    pub wall_us: Option<u64>,
    /// After the first press, µs; negative: its stamp is earlier. `None`: another boot.
    pub to_first_us: Option<i64>,
    /// After the press before it.
    pub to_previous_us: Option<i64>,
    /// How long before its stamp it was made, µs, shortest and longest.
    pub delay_us: [i64; 2],
    /// The reader stamped it, and did not run in time: the interval is wider than its device's.
    pub read_late: bool,
    /// `late`, `stale_stamp`, `recovered`, `suspect`, `during_restart`.
    pub flags: Flags,
    /// Presses told before that this one may in truth precede.
    pub photo: Vec<Rival>,
    /// Whether there may be more of them.
    pub photo_more: bool,
    /// Presses told later that may in truth precede this one.
    pub photo_by: Vec<Rival>,
    /// The draw that placed it.
    pub tie: Option<u64>,
    /// The number of its report among its device's reports of this stamp.
    pub frame: u32,
    /// Whether no press can come any more that was made before it.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The boot, counted, as in its entry.
    #[serde(skip)]
    pub boot: u32,
}

/// Presses of one stamp, in the order that was drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tie {
    /// The draw's record.
    pub seq: u64,
    /// 8 random bytes in hex.
    pub seed: String,
    /// The presses, in the order that was told.
    pub presses: Vec<u64>,
    /// The first places that were drawn, each with those that might take it.
    pub places: Vec<DrawnPlace>,
    /// Whether the seed gives this order.
    pub holds: bool,
}

/// A place in a tie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrawnPlace {
    /// From 1, within the tie.
    pub place: usize,
    /// Who might take it, the smallest first.
    pub lots: Vec<Lot>,
}

/// What a press drew for a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lot {
    /// The press.
    pub seq: u64,
    /// The SHA-256 of seed, pool, a zero byte, the buzzer, a zero byte and the place, in hex.
    pub sha256: String,
}

/// Places of a tie that are shown with what was drawn for them.
const DRAWN_PLACES_MAX: usize = 8;

/// All presses of a window. Whatever was recorded until `known_us` in the boot `known_boot` is known.
pub fn of(window: &Window, (known_boot, known_us): (u32, u64)) -> Vec<Place> {
    let settle_us = window.origin.as_ref().map_or(0, |origin| origin.settle_us);
    let mut places: Vec<Place> = Vec::new();
    let mut count = 0;
    // The roster is that at the first press.
    let mut roster = window.roster.clone();
    for entry in &window.entries {
        if let Fact::Attach { .. } = entry.record.fact {
            roster.apply(&entry.record);
        }
        let at_us = entry.record.at_us;
        let Fact::Press { pool, buzzer, device, delay_us, final_at_us, flags, photo, photo_more, tie, frame } =
            &entry.record.fact
        else {
            continue;
        };
        let again = places.iter().any(|place| (&place.pool, place.buzzer) == (pool, *buzzer));
        count += u32::from(!again);
        let after = |place: &Place| {
            (place.boot == entry.boot).then(|| at_us.cast_signed().saturating_sub(place.at_us.cast_signed()))
        };
        places.push(Place {
            place: (!again).then_some(count),
            pool: pool.clone(),
            buzzer: *buzzer,
            seq: entry.record.seq,
            device: *device,
            at_us,
            wall_us: entry.wall_us,
            to_first_us: places.first().map_or(Some(0), after),
            to_previous_us: places.last().and_then(after),
            delay_us: *delay_us,
            read_late: roster.get(*device).is_some_and(|device| is_read_late(device, *delay_us, flags)),
            flags: flags.clone(),
            photo: photo.clone(),
            photo_more: *photo_more,
            photo_by: Vec::new(),
            tie: *tie,
            frame: *frame,
            is_final: entry.boot < known_boot || final_at_us.saturating_add(settle_us) <= known_us,
            boot: entry.boot,
        });
    }
    let photos: Vec<(u64, Vec<Rival>)> =
        places.iter().map(|place| (place.seq, place.photo.clone())).collect();
    for (seq, photo) in photos {
        for Rival { seq: of, chance_permille } in photo {
            if let Ok(at) = places.binary_search_by_key(&of, |place| place.seq) {
                places[at].photo_by.push(Rival { seq, chance_permille });
            }
        }
    }
    places
}

/// Whether the reader did not run in time for it. Without a stamp of its own a press is wide for another reason.
fn is_read_late(device: &DeviceSeen, [min_us, max_us]: [i64; 2], flags: &Flags) -> bool {
    let us = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
    let [least_us, most_us] = device.delay.delay_us.map(us);
    let usual_us = us(READER_US.as_us());
    let is_wide =
        max_us > most_us.max(least_us.saturating_add(usual_us)) || min_us < least_us.saturating_sub(usual_us);
    device.stamps == Stamps::Receipt && is_wide && !flags.has(&Flag::Recovered)
}

/// The ties among these presses.
pub fn ties(window: &Window, places: &[Place]) -> Vec<Tie> {
    let drawn = |entry: &Entry| match &entry.record.fact {
        Fact::Draw { seed, presses } => Some((entry.record.seq, seed.clone(), *presses)),
        _ => None,
    };
    let mut ties = Vec::new();
    for (seq, seed, presses) in window.entries.iter().filter_map(drawn) {
        let tied: Vec<&Place> = places.iter().filter(|place| place.tie == Some(seq)).collect();
        let whole = u32::try_from(tied.len()) == Ok(presses);
        // One draw may serve two stamps, when a late press stands within its group.
        for same in tied
            .chunk_by(|a, b| a.at_us == b.at_us && a.flags.is_without_stamp() == b.flags.is_without_stamp())
        {
            ties.push(tie(seq, &seed, same, whole));
        }
    }
    ties
}

fn tie(seq: u64, seed: &str, tied: &[&Place], whole: bool) -> Tie {
    let bytes = u64::from_str_radix(seed, 16).map(u64::to_be_bytes);
    let drawn_with = bytes.clone().unwrap_or_default();
    let entrant = |place: &&Place| {
        let Place { pool, buzzer, device, frame, .. } = place;
        Entrant { pool: pool.clone(), buzzer: *buzzer, device: *device, frame: *frame }
    };
    let entrants: Vec<Entrant> = tied.iter().map(entrant).collect();
    let holds = draw::order(drawn_with, &entrants).into_iter().eq(0..tied.len());
    let told: Vec<usize> = (0..tied.len()).collect();
    let places = told.iter().take(DRAWN_PLACES_MAX).filter_map(|before| {
        let (place, candidates) = (before + 1, draw::candidates(&entrants, &told[..*before]));
        let ticket = |index: &usize| draw::ticket(drawn_with, &entrants[*index], place);
        let mut lots: Vec<_> = candidates.iter().map(|index| (ticket(index), tied[*index].seq)).collect();
        lots.sort_unstable();
        let hex = |ticket: draw::Ticket| ticket.iter().map(|byte| format!("{byte:02x}")).collect();
        let lots: Vec<Lot> = lots.into_iter().map(|(ticket, seq)| Lot { seq, sha256: hex(ticket) }).collect();
        // A place that only one may take is not drawn.
        (lots.len() > 1).then_some(DrawnPlace { place, lots })
    });
    Tie {
        seq,
        seed: seed.to_owned(),
        places: places.collect(),
        presses: tied.iter().map(|place| place.seq).collect(),
        holds: whole && bytes.is_ok() && holds,
    }
}
