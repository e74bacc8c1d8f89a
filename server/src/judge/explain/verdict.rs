//! Who was first. In: a window of the log, its places, and what else is known of it. Out: why nobody can say ([`bars`]), or a
//! [`Ruling`] and every doubt about it. Guarantee: *certain* is said only without a doubt.

use buzzer_core::quote::listed;
use serde::Serialize;

use super::chance::{self, Pair};
use super::evidence::Evidence;
use super::places::{Place, Tie};
use super::roster::PoolThen;
use super::uncounted::Uncounted;
use super::window::Window;
use super::words::{label, ms, quoted};
use crate::record::pool_id::PoolId;
use crate::record::{Fact, Flag};

/// Who was first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ruling {
    /// The pool.
    pub pool: PoolId,
    /// The buzzer.
    pub buzzer: u16,
    /// Its press.
    pub seq: u64,
    /// How far the next buzzer's press is behind it, µs; negative: its stamp is earlier, it was told later. `None`: nobody else pressed.
    pub lead_us: Option<i64>,
    /// The next buzzer's press.
    pub next_seq: Option<u64>,
    /// Whether nobody else can have been first.
    pub certain: bool,
    /// Whether no press can come any more that was made before it.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// A draw decided.
    pub drawn: bool,
}

/// Why nobody can say who was first; nothing, if somebody can.
pub fn bars(
    window: &Window,
    places: &[Place],
    ties: &[Tie],
    happened: &[Evidence],
    uncounted: &[Uncounted],
) -> Vec<String> {
    let mut bars = Vec::new();
    if places.is_empty() {
        let nobody =
            if uncounted.is_empty() { "nobody pressed a buzzer here" } else { "no press counts here" };
        bars.push(nobody.to_owned());
    }
    for finding in happened.iter().filter(|finding| finding.bars) {
        bars.push(format!("{} (seq {}): {}", finding.what, finding.seq, finding.means));
    }
    for damage in &window.damages {
        bars.push(format!(
            "the log is damaged behind seq {} ({}: {}): what was there may have been a press",
            damage.after_seq, damage.place, damage.why
        ));
    }
    for tie in ties.iter().filter(|tie| !tie.holds) {
        bars.push(format!(
            "the draw (seq {}) does not give the order that was told, or not all its presses are in this window",
            tie.seq
        ));
    }
    // A press comes from a device that is attached; where it is not, records are missing.
    if let Some(stranger) = places.iter().find(|place| !is_known(window, place)) {
        bars.push(format!(
            "seq {} is a press of device {}, and the log does not say what that is: records are missing",
            stranger.seq, stranger.device
        ));
    }
    for (seq, _) in window.unknown.iter().filter(|(_, kind)| kind == "lost") {
        bars.push(format!("seq {seq} says that records before it could not be kept: presses may be missing"));
    }
    if window.omitted > 0 {
        bars.push(format!(
            "more records are here than are looked at, by {}; ask for less, with --from and --to",
            window.omitted
        ));
    }
    bars
}

fn is_known(window: &Window, place: &Place) -> bool {
    let attached = |fact: &Fact| matches!(fact, Fact::Attach { device, .. } if *device == place.device);
    window.roster.get(place.device).is_some()
        || window.entries.iter().any(|entry| attached(&entry.record.fact))
}

impl Ruling {
    /// Who was first, and why that is not certain. `rest`: the places behind the first.
    pub fn of(window: &Window, pools: &[PoolThen], first: &Place, rest: &[Place]) -> (Self, Vec<String>) {
        let is_rival = |place: &&Place| (&place.pool, place.buzzer) != (&first.pool, first.buzzer);
        let rivals: Vec<&Place> = rest.iter().filter(is_rival).collect();
        let is_tied =
            |place: &&&Place| first.tie.is_some() && place.tie == first.tie && place.at_us == first.at_us;
        let tied: Vec<&Place> = rivals.iter().filter(is_tied).copied().collect();
        let mut doubts = of_photo(pools, first, &rivals);
        let name = label(&first.pool, first.buzzer);
        if !tied.is_empty() {
            doubts.push(format!("{name} and {} cannot be told apart: a draw put {name} first", names(&tied)));
        }
        let flags = first.flags.0.iter().map(|flag| flag_words(flag, first.delay_us));
        doubts.extend(flags.map(|words| format!("{name}: {words}")));
        doubts.extend(of_window(window, first, &rivals));
        let certain = doubts.is_empty() && first.is_final;
        if !first.is_final {
            doubts.push("it is provisional: a press may still come that was made before it".to_owned());
        }
        let next = rivals.first();
        let verdict = Self {
            pool: first.pool.clone(),
            buzzer: first.buzzer,
            seq: first.seq,
            lead_us: next.and_then(|next| next.to_first_us),
            next_seq: next.map(|next| next.seq),
            certain,
            is_final: first.is_final,
            drawn: !tied.is_empty(),
        };
        (verdict, doubts)
    }
}

fn names(places: &[&Place]) -> String {
    let mut names: Vec<String> = places.iter().map(|place| label(&place.pool, place.buzzer)).collect();
    names.dedup();
    listed(names)
}

/// Presses that may have been made before the first, or certainly were.
fn of_photo(pools: &[PoolThen], first: &Place, rivals: &[&Place]) -> Vec<String> {
    let name = label(&first.pool, first.buzzer);
    let (mut late, mut reversed, mut close, mut chances) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for place in rivals {
        let Some(rival) = first.photo_by.iter().find(|rival| rival.seq == place.seq) else { continue };
        match rival.chance_permille {
            _ if place.to_first_us.is_some_and(|us| us < 0) => late.push(*place),
            Some(1000) => reversed.push(*place),
            chance => {
                close.push(*place);
                chances.push(chance);
            }
        }
    }
    let mut doubts = Vec::new();
    if !reversed.is_empty() {
        doubts.push(format!(
            "{} was certainly pressed before {name}, though its stamp is later: its button is slower. The order that was \
             told stays: the host decides",
            names(&reversed)
        ));
    }
    if !close.is_empty() {
        let may = format!("photo finish: {} may in truth have been before {name}", names(&close));
        let unknown = close.iter().zip(&chances).find(|(_, chance)| chance.is_none());
        let known: Vec<u16> = chances.iter().copied().flatten().collect();
        let words = match (unknown, &known[..]) {
            (Some((rival, _)), _) => format!("{may}, {}", Pair { first, rival, pools }.words(None)),
            (None, [501..=u16::MAX]) => format!(
                "photo finish: {} is more likely: its button is slower. By the order of the stamps {name} is first",
                names(&close)
            ),
            (None, _) => format!("{may}; {}", chance::of_winner(&known, &name)),
        };
        doubts.push(format!("{words}; the host decides"));
    }
    if !late.is_empty() {
        doubts.push(format!(
            "{} has an earlier stamp, but came when {name} had been told already: the host decides",
            names(&late)
        ));
    }
    doubts
}

/// What is not in the window, or is there and cannot be read.
fn of_window(window: &Window, first: &Place, rivals: &[&Place]) -> Vec<String> {
    let name = label(&first.pool, first.buzzer);
    let mut doubts = Vec::new();
    if !first.photo.is_empty() {
        let seqs = listed(first.photo.iter().map(|rival| rival.seq));
        doubts.push(format!("{name} may in truth have been before seq {seqs}, before this window"));
    }
    if first.photo_more || rivals.iter().any(|place| place.photo_more) {
        doubts.push("there were more close presses than their records can name".to_owned());
    }
    if let Some(seq) = window.cut {
        doubts.push(format!(
            "the window ends within a photo finish: seq {seq}, behind it, may have been before a press in it"
        ));
    }
    doubts.extend(window.unknown.iter().map(|(seq, kind)| {
        let kind = quoted(kind);
        format!("seq {seq} is of a kind that this buzzerd does not know, {kind}; a later one may say more")
    }));
    doubts
}

/// What a flag says, for a person; `delay_us`: how long before its stamp the press was made.
pub fn flag_words(flag: &Flag, delay_us: [i64; 2]) -> String {
    match flag {
        Flag::Late => "it became visible after presses with later stamps had been told".into(),
        Flag::StaleStamp => "its own stamp could not be true: it is ordered by the time it was read".into(),
        Flag::Recovered => match delay_us[1].max(0).cast_unsigned() {
            0 => "it was found after lost events; its true time is unknown".into(),
            us => {
                format!("it was found after lost events; its true time is unknown, up to {} earlier", ms(us))
            }
        },
        Flag::Suspect => {
            "its button had not been seen to work on its own: it may have been held down before".into()
        }
        Flag::DuringRestart => {
            "it was pressed while buzzerd restarted, and waited in the kernel: its stamp is true, it was told late".into()
        }
        Flag::Other(flag) => format!("it is marked {}", quoted(flag)),
    }
}
