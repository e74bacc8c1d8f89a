//! The answer. In: what a pass over the log found. Out: the [`Story`]: a verdict or why there is none, the places, what else
//! happened, and what the log itself is worth. Guarantee: no verdict is given where a press may be missing or a time cannot be
//! compared; what is known is told all the same.

use serde::Serialize;

use super::chance::{self, Pair};
use super::evidence::{self, Decisive, Finding};
use super::places::{self, Place, Tie};
use super::uncounted::{self, Uncounted};
use super::window::{Damage, Found, Window};
use super::words::{label, list, ms, quoted};
use crate::pool_id::PoolId;
use crate::record::DeviceDelay;

/// What is known of the chain, from whoever read the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The last line: its `seq`.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// That, to be spoken.
    pub fingerprint: String,
    /// The first line that was there to be read.
    pub first_seq: u64,
    /// Bytes of a last line that has no end.
    pub incomplete_bytes: u64,
    /// Whether a daemon writes this log.
    pub is_written: bool,
}

impl Chain {
    /// The next line.
    pub const fn see(&mut self, seq: u64) {
        if self.first_seq == 0 {
            self.first_seq = seq;
        }
        self.seq = seq;
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Story {
    /// Who was first.
    pub verdict: Option<Verdict>,
    /// Why that is not certain, or why there is no verdict.
    pub why: Vec<String>,
    /// The first and last record that it is about.
    pub seqs: Option<(u64, u64)>,
    /// Every press, in the order that was told.
    pub places: Vec<Place>,
    /// The draws.
    pub ties: Vec<Tie>,
    /// Presses that did not count.
    pub uncounted: Vec<Uncounted>,
    /// Further presses or records that were not looked at.
    pub omitted: u64,
    /// What else happened.
    pub happened: Vec<Finding>,
    /// The pools that were connected at the first press, with their devices.
    pub pools: Vec<PoolThen>,
    /// Where it was recorded.
    pub origin: Option<Recorded>,
    /// The log.
    pub chain: Chain,
    /// Damage, wherever it is.
    pub damages: Vec<Damaged>,
    /// How much of it there is.
    pub damages_count: u64,
}

/// Who was first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
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

/// A pool that was connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolThen {
    /// The pool.
    pub pool: PoolId,
    /// Its devices.
    pub devices: Vec<DeviceThen>,
}

/// A device that served it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceThen {
    /// Its number.
    pub device: u32,
    /// What it calls itself.
    pub name: String,
    /// Where it was.
    pub place: String,
    /// Who stamps.
    pub stamps: String,
    /// Its buzzers.
    pub buzzers: Vec<u16>,
    /// How long before its stamp a press was made.
    pub delay: DeviceDelay,
    /// Buttons that were down already.
    pub down: Vec<DownThen>,
}

/// A button that was down already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DownThen {
    /// The buzzer.
    pub buzzer: u16,
    /// For how long, µs.
    pub for_us: u64,
    /// For longer than anybody presses.
    pub stuck: bool,
}

/// Where it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// The `start` record.
    pub seq: u64,
    /// The id of the log that it began.
    pub log: String,
    /// The boot.
    pub boot: String,
    /// The version of buzzerd.
    pub version: String,
    /// The settle window, µs.
    pub settle_us: u64,
}

/// Damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// File and line.
    pub place: String,
    /// What is wrong.
    pub why: String,
    /// The last good record before it.
    pub after_seq: u64,
}

impl Story {
    /// Tells what was found. `now_us`: the time, if the log's last start is of the boot that runs.
    pub fn tell(found: Found, chain: Chain, now_us: Option<u64>) -> Self {
        let known = (found.latest.0, now_us.unwrap_or(0).max(found.latest.1));
        let damages = found.damages.iter().map(Damaged::from).collect();
        let damages_count = found.damages_count;
        let mut story = match &found.window {
            Some(window) => Self::of_window(window, known),
            None => Self { why: vec![found.nothing], ..Self::empty() },
        };
        story.origin = story.origin.or_else(|| found.origin.as_deref().map(Recorded::from));
        Self { chain, damages, damages_count, ..story }
    }

    fn empty() -> Self {
        Self {
            verdict: None,
            why: Vec::new(),
            seqs: None,
            places: Vec::new(),
            ties: Vec::new(),
            uncounted: Vec::new(),
            omitted: 0,
            happened: Vec::new(),
            pools: Vec::new(),
            origin: None,
            chain: Chain::default(),
            damages: Vec::new(),
            damages_count: 0,
        }
    }

    fn of_window(window: &Window, known: (u32, u64)) -> Self {
        let decisive = Decisive::of(window);
        let places = places::of(window, known);
        let ties = places::ties(window, &places);
        let happened = evidence::of(window, decisive.as_ref());
        let uncounted = uncounted::of(window, decisive.as_ref(), &places);
        let bars = bars(window, &places, &ties, &happened, &uncounted);
        let pools = pools(window, decisive.as_ref());
        let (verdict, doubts) = match (bars.is_empty(), places.split_first()) {
            (true, Some((first, rest))) => {
                let (verdict, doubts) = verdict(window, &pools, first, rest);
                (Some(verdict), doubts)
            }
            _ => (None, Vec::new()),
        };
        let entries = &window.entries;
        Self {
            verdict,
            why: if bars.is_empty() { doubts } else { bars },
            seqs: entries.first().zip(entries.last()).map(|(a, b)| (a.record.seq, b.record.seq)),
            places,
            ties,
            uncounted,
            omitted: window.omitted,
            happened,
            pools,
            origin: window.origin.as_deref().map(Recorded::from),
            ..Self::empty()
        }
    }
}

/// Why nobody can say who was first; nothing, if somebody can.
fn bars(
    window: &Window,
    places: &[Place],
    ties: &[Tie],
    happened: &[Finding],
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
    use crate::record::Fact;
    let attached = |fact: &Fact| matches!(fact, Fact::Attach { device, .. } if *device == place.device);
    window.roster.get(place.device).is_some()
        || window.entries.iter().any(|entry| attached(&entry.record.fact))
}

/// Who was first, and why that is not certain.
fn verdict(window: &Window, pools: &[PoolThen], first: &Place, rest: &[Place]) -> (Verdict, Vec<String>) {
    let name = label(&first.pool, first.buzzer);
    let rival = |place: &&Place| (&place.pool, place.buzzer) != (&first.pool, first.buzzer);
    let rivals: Vec<&Place> = rest.iter().filter(rival).collect();
    let mut doubts = Vec::new();
    let rival_of = |place: &Place| first.photo_by.iter().find(|rival| rival.seq == place.seq);
    let doubtful = rivals.iter().copied().filter(|place| rival_of(place).is_some());
    let (late, close): (Vec<&Place>, Vec<&Place>) =
        doubtful.partition(|place| place.to_first_us.is_some_and(|us| us < 0));
    let is_sure = |place: &&&Place| rival_of(place).is_some_and(|rival| rival.chance_permille == Some(1000));
    let (reversed, close): (Vec<&Place>, Vec<&Place>) = close.iter().partition(|place| is_sure(place));
    let names = |places: &[&Place]| {
        let mut names: Vec<String> = places.iter().map(|place| label(&place.pool, place.buzzer)).collect();
        names.dedup();
        names.join(", ")
    };
    if !reversed.is_empty() {
        doubts.push(format!(
            "{} was certainly pressed before {name}, though its stamp is later: its button is slower. The order that was \
             told stays: the host decides",
            names(&reversed)
        ));
    }
    if !close.is_empty() {
        doubts.push(format!("{}; the host decides", photo_finish(first, &close, pools, &names(&close))));
    }
    if !late.is_empty() {
        doubts.push(format!(
            "{} has an earlier stamp, but came when {name} had been told already: the host decides",
            names(&late)
        ));
    }
    let tied: Vec<&Place> = rivals
        .iter()
        .copied()
        .filter(|place| first.tie.is_some() && place.tie == first.tie && place.at_us == first.at_us)
        .collect();
    if !tied.is_empty() {
        doubts.push(format!("{name} and {} cannot be told apart: a draw put {name} first", names(&tied)));
    }
    for flag in &first.flags {
        if let Some(words) = flag_words(flag, first) {
            doubts.push(format!("{name}: {words}"));
        }
    }
    let outside: Vec<u64> = first.photo.iter().map(|rival| rival.seq).collect();
    if !outside.is_empty() {
        let seqs: Vec<String> = outside.iter().map(u64::to_string).collect();
        doubts.push(format!(
            "{name} may in truth have been before seq {}, before this window",
            seqs.join(", ")
        ));
    }
    if first.photo_more || rivals.iter().any(|place| place.photo_more) {
        doubts.push("there were more close presses than their records can name".to_owned());
    }
    if let Some(seq) = window.cut {
        doubts.push(format!(
            "the window ends within a photo finish: seq {seq}, behind it, may have been before a press in it"
        ));
    }
    for (seq, kind) in &window.unknown {
        let kind = quoted(kind);
        doubts.push(format!(
            "seq {seq} is of a kind that this buzzerd does not know, {kind}; a later one may say more"
        ));
    }
    let certain = doubts.is_empty() && first.is_final;
    if !first.is_final {
        doubts.push("it is provisional: a press may still come that was made before it".to_owned());
    }
    let next = rivals.first();
    let verdict = Verdict {
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

/// That others may have been before the first, and how likely that is.
fn photo_finish(first: &Place, close: &[&Place], pools: &[PoolThen], names: &str) -> String {
    let name = label(&first.pool, first.buzzer);
    let chance = |rival: &Place| {
        let own = first.photo_by.iter().find(|of| of.seq == rival.seq);
        own.and_then(|rival| rival.chance_permille)
    };
    let may = format!("photo finish: {names} may in truth have been before {name}");
    if let Some(rival) = close.iter().find(|rival| chance(rival).is_none()) {
        return format!("{may}, {}", Pair { first, rival, pools }.words(None));
    }
    let chances: Vec<u16> = close.iter().filter_map(|rival| chance(rival)).collect();
    match chances[..] {
        [501..=u16::MAX] => format!(
            "photo finish: {names} is more likely: its button is slower. By the order of the stamps {name} is first"
        ),
        _ => format!("{may}; {}", chance::of_winner(&chances, &name)),
    }
}

/// What a flag says, for a person.
pub fn flag_words(flag: &str, place: &Place) -> Option<String> {
    Some(match flag {
        "late" => "it became visible after presses with later stamps had been told".into(),
        "stale_stamp" => "its own stamp could not be true: it is ordered by the time it was read".into(),
        "recovered" => match place.delay_us[1].max(0).cast_unsigned() {
            0 => "it was found after lost events; its true time is unknown".into(),
            us => {
                format!("it was found after lost events; its true time is unknown, up to {} earlier", ms(us))
            }
        },
        "suspect" => {
            "its button had not been seen to work on its own: it may have been held down before".into()
        }
        _ => format!("it is marked {}", quoted(flag)),
    })
}

fn pools(window: &Window, decisive: Option<&Decisive>) -> Vec<PoolThen> {
    let down = |device: u32| {
        let own = window.down.iter().filter(move |((of, _), _)| *of == device);
        own.filter_map(|((_, buzzer), button)| {
            let since = button.held_since_us?;
            let at_us = decisive.map_or(since, |decisive| decisive.first_us);
            Some(DownThen { buzzer: *buzzer, for_us: at_us.saturating_sub(since), stuck: button.stuck })
        })
    };
    let devices = |pool: &PoolId| {
        let own = window.roster.iter().filter(|(_, device)| device.pool == *pool);
        let then = own.map(|(number, device)| DeviceThen {
            device: number,
            name: device.name.clone(),
            place: device.place.clone(),
            stamps: device.stamps.clone(),
            buzzers: device.buzzers.clone(),
            delay: device.delay.clone(),
            down: down(number).collect(),
        });
        then.collect()
    };
    window.connected.iter().map(|pool| PoolThen { pool: pool.clone(), devices: devices(pool) }).collect()
}

impl From<&super::window::Origin> for Recorded {
    fn from(origin: &super::window::Origin) -> Self {
        Self {
            seq: origin.seq,
            log: origin.log.clone(),
            boot: origin.boot.clone(),
            version: origin.version.clone(),
            settle_us: origin.settle_us,
        }
    }
}

impl From<&Damage> for Damaged {
    fn from(damage: &Damage) -> Self {
        Self { place: damage.place.clone(), why: damage.why.clone(), after_seq: damage.after_seq }
    }
}

/// For the text: the buzzers of a device.
pub fn buzzers_of(device: &DeviceThen) -> String {
    list(&device.buzzers)
}
