//! The story as a page. In: a [`Story`] and the zone of the reader's clock. Out: text of at most 100 columns.
//! Guarantee: it can be read by somebody who has never seen one: the verdict comes first, every doubt beside what it is
//! about, and how to check it last.

mod tie;

use buzzer_core::device::delay::chance::Odds;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::chance::Pair;
use super::evidence::Evidence;
use super::places::Place;
use super::roster::DeviceSeen;
use super::story::{Chain, Story};
use super::uncounted::Uncounted;
use super::verdict::{Ruling, flag_words};
use super::words::{between, label, list, ms, pool_label, quoted, signed, wrap};
use crate::counted::{counted, more};
use crate::record::pool_id::PoolId;
use crate::record::{Flag, Stamps};

/// Presses that are listed. A quiz has a few; the others are in the JSON.
const PLACES_MAX: usize = 100;
/// Ties that are spelled out.
const TIES_MAX: usize = 10;
/// Reasons that are given.
const WHY_MAX: usize = 10;
/// Presses that did not count and are named in the verdict; the others are below it.
const UNCOUNTED_MAX: usize = 8;
/// A label is cut in the table if it is longer; the pool's whole name stands below.
const LABEL_MAX: usize = 24;

/// The page.
pub fn text(story: &Story, zone: &TimeZone) -> String {
    let mut page = String::new();
    head(&mut page, story, zone);
    verdict(&mut page, story);
    if !story.places.is_empty() {
        order(&mut page, story);
    }
    for tie in story.ties.iter().take(TIES_MAX) {
        tie::write(&mut page, tie, &story.places);
    }
    and_more(&mut page, "         ", story.ties.len(), TIES_MAX, "tie");
    pools(&mut page, story);
    happened(&mut page, story, zone);
    log(&mut page, story);
    page
}

/// What is left out of a list.
fn and_more(page: &mut String, indent: &str, all: usize, shown: usize, one: &str) {
    if let Some(left @ 1..) = all.checked_sub(shown) {
        page.push_str(&format!("{indent}and {}; --json has them\n", more(left as u64, one)));
    }
}

fn head(page: &mut String, story: &Story, zone: &TimeZone) {
    let seqs = story.seqs.map_or_else(String::new, |(first, last)| match first == last {
        true => format!("record seq {first}"),
        false => format!("records seq {first} to {last}"),
    });
    match story.places.first() {
        Some(first) => {
            let when = wall(first.wall_us, zone, "%Y-%m-%d %H:%M:%S%.6f (UTC%:z)");
            wrap(page, "", &format!("First press {when}; {seqs}"));
        }
        None if story.seqs.is_some() => wrap(page, "", &format!("No press; {seqs}")),
        None => wrap(page, "", "No press"),
    }
    page.push('\n');
}

/// A point of wall time in the reader's zone.
fn wall(wall_us: Option<u64>, zone: &TimeZone, format: &str) -> String {
    let stamp = wall_us.and_then(|us| Timestamp::from_microsecond(us.cast_signed()).ok());
    stamp.map_or_else(
        || "at a time that the log does not tell".to_owned(),
        |stamp| stamp.to_zoned_datetime(zone.clone()).strftime(format).to_string(),
    )
}

fn verdict(page: &mut String, story: &Story) {
    let Some(verdict) = &story.verdict else {
        page.push_str("NO VERDICT. Who was first cannot be said from this log:\n");
        story.why.iter().take(WHY_MAX).for_each(|why| wrap(page, "  - ", why));
        and_more(page, "  - ", story.why.len(), WHY_MAX, "reason");
        in_vain(page, "  - ", None, &story.uncounted);
        if !story.places.is_empty() {
            page.push_str("What is known all the same:\n");
        }
        return;
    };
    wrap(page, "VERDICT  ", &first(verdict, story));
    match &story.why[..] {
        [] => page.push_str("         Certain.\n"),
        [why] => wrap(page, "         Not certain: ", &format!("{why}.")),
        whys => {
            page.push_str("         Not certain:\n");
            whys.iter().for_each(|why| wrap(page, "         - ", why));
        }
    }
    in_vain(page, "         ", Some(&label(&verdict.pool, verdict.buzzer)), &story.uncounted);
    let down = down(story);
    if !down.is_empty() {
        let were = if down.len() == 1 { "was" } else { "were" };
        wrap(page, "         ", &format!("{} {were} down already and could not press.", down.join(", ")));
    }
}

/// Who pressed, and it did not count.
fn in_vain(page: &mut String, indent: &str, first: Option<&str>, uncounted: &[Uncounted]) {
    uncounted.iter().take(UNCOUNTED_MAX).for_each(|one| wrap(page, indent, &one.sentence(first)));
    if let Some(more @ 1..) = uncounted.len().checked_sub(UNCOUNTED_MAX) {
        page.push_str(&format!("{indent}and {more} more that did not count, below\n"));
    }
}

/// Buttons that were down before the first press and have no press of their own here.
fn down(story: &Story) -> Vec<String> {
    let own = story.pools.iter().flat_map(|pool| {
        let down = pool.devices.iter().flat_map(|device| &device.down);
        down.map(move |down| (&pool.pool, down.buzzer))
    });
    let has_place = |(pool, buzzer): &(&PoolId, u16)| {
        story.places.iter().any(|place| (&place.pool, place.buzzer) == (*pool, *buzzer))
    };
    let mut down: Vec<String> =
        own.filter(|button| !has_place(button)).map(|(pool, buzzer)| label(pool, buzzer)).collect();
    down.dedup();
    down
}

fn first(verdict: &Ruling, story: &Story) -> String {
    let name = label(&verdict.pool, verdict.buzzer);
    let next = verdict.next_seq.and_then(|seq| story.places.iter().find(|place| place.seq == seq));
    let next = next.map(|next| label(&next.pool, next.buzzer));
    match (verdict.lead_us, next) {
        (Some(0), Some(next)) if verdict.drawn => {
            format!("{name} was drawn first; {next} has the same stamp.")
        }
        (Some(0), Some(next)) => format!("{name} was first; {next} has the same stamp."),
        (Some(us @ 0..), Some(next)) => format!("{name} was first, {} before {next}.", ms(us.unsigned_abs())),
        (Some(us), Some(next)) => {
            format!("{name} was told first; the stamp of {next} is {} earlier.", ms(us.unsigned_abs()))
        }
        _ if story.uncounted.is_empty() => format!("{name} was first. Nobody else pressed."),
        _ => format!("{name} was first. No other press counts."),
    }
}

fn order(page: &mut String, story: &Story) {
    page.push('\n');
    let labels = story.places.iter().take(PLACES_MAX).map(|place| short_label(place).chars().count());
    let width = labels.max().unwrap_or(0).max("buzzer".len());
    let seq_width = story.places.last().map_or(0, |place| place.seq.to_string().len()).max("seq".len());
    page.push_str(&format!(
        "place  {:<width$}  {:>13}  {:>13}  {:>seq_width$}  how sure\n",
        "buzzer", "to first", "to previous", "seq"
    ));
    for place in story.places.iter().take(PLACES_MAX) {
        let margin = |us: Option<i64>| us.map_or_else(|| "other boot".to_owned(), signed);
        let is_first = place.seq == story.places[0].seq;
        let (to_first, to_previous) = match is_first {
            true => (String::new(), String::new()),
            false => (margin(place.to_first_us), margin(place.to_previous_us)),
        };
        let rank = place.place.map_or_else(|| "again".to_owned(), |place| place.to_string());
        let row = format!(
            "{rank:>5}  {:<width$}  {to_first:>13}  {to_previous:>13}  {:>seq_width$}  ",
            short_label(place),
            place.seq
        );
        wrap(page, &row, &tags(place));
        notes(place, story).iter().for_each(|note| wrap(page, "       - ", note));
    }
    and_more(page, "       ", story.places.len(), PLACES_MAX, "press");
}

fn short_label(place: &Place) -> String {
    let name = label(&place.pool, place.buzzer);
    let count = name.chars().count();
    if count <= LABEL_MAX {
        return name;
    }
    // The number is at the end, and must stay.
    format!("\u{2026}{}", name.chars().skip(count - LABEL_MAX + 1).collect::<String>())
}

/// How sure, in a word or two.
fn tags(place: &Place) -> String {
    let mut tags: Vec<&str> = Vec::new();
    let rivals = || place.photo.iter().chain(&place.photo_by);
    if rivals().any(|rival| rival.chance_permille == Some(1000)) {
        tags.push("reversed");
    }
    if place.photo_more || rivals().any(|rival| rival.chance_permille != Some(1000)) {
        tags.push("photo finish");
    }
    if place.tie.is_some() {
        tags.push("tie, drawn");
    }
    tags.extend(place.flags.0.iter().map(|flag| match flag {
        Flag::StaleStamp => "stale stamp",
        Flag::DuringRestart => "during a restart",
        flag => flag.as_str(),
    }));
    if !place.is_final {
        tags.push("provisional");
    }
    if tags.is_empty() { "certain".to_owned() } else { tags.join(", ") }
}

/// Why it is not certain, both ways.
fn notes(place: &Place, story: &Story) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(place.photo.iter().map(|rival| {
        let (name, older) = (name(rival.seq, story), older(place.delay_us));
        match rival.chance_permille {
            Some(1000) => format!("was certainly pressed before {name}: it is {older}"),
            chance => {
                let words = odds(chance, rival.seq, place.seq, story);
                format!("may in truth have been before {name}, {words}; it is {older}")
            }
        }
    }));
    if place.photo_more {
        notes.push("may in truth have been before more presses than its record can name".to_owned());
    }
    notes.extend(place.photo_by.iter().map(|rival| {
        let name = name(rival.seq, story);
        match rival.chance_permille {
            Some(1000) => format!("{name} was certainly pressed before it"),
            chance => {
                format!(
                    "{name} may in truth have been before it, {}",
                    odds(chance, place.seq, rival.seq, story)
                )
            }
        }
    }));
    if place.read_late {
        notes.push(format!(
            "its stamp is when it was read, and the reader did not run when it came: it is {}",
            older(place.delay_us)
        ));
    }
    notes.extend(place.flags.0.iter().map(|flag| flag_words(flag, place.delay_us)));
    notes
}

/// How likely the press `rival` was before the press `first`, which was told first.
fn odds(chance_permille: Option<u16>, first: u64, rival: u64, story: &Story) -> String {
    let of = |seq: u64| story.places.iter().find(|place| place.seq == seq);
    match (chance_permille, of(first), of(rival)) {
        (_, Some(first), Some(rival)) => Pair { first, rival, pools: &story.pools }.words(chance_permille),
        (Some(chance), ..) => Odds::of_permille(chance).to_string(),
        (None, ..) => "how likely is not known".to_owned(),
    }
}

/// How old a press was when it was stamped.
fn older(delay_us: [i64; 2]) -> String {
    match delay_us {
        [0, 0] => "taken to be as old as its stamp".to_owned(),
        [min_us @ ..0, max_us] => {
            format!("{} older than its stamp, or {} younger", between([0, max_us]), ms(min_us.unsigned_abs()))
        }
        us => format!("{} older than its stamp", between(us)),
    }
}

fn name(seq: u64, story: &Story) -> String {
    match story.places.iter().find(|place| place.seq == seq) {
        Some(Place { place: Some(place), pool, buzzer, .. }) => {
            format!("{} (place {place})", label(pool, *buzzer))
        }
        Some(place) => format!("{} (seq {seq})", label(&place.pool, place.buzzer)),
        None => format!("seq {seq} (outside of this window)"),
    }
}

fn pools(page: &mut String, story: &Story) {
    page.push_str("\nWho was there\n");
    if story.pools.is_empty() {
        page.push_str("  no pool was connected when this window began\n");
    }
    for pool in &story.pools {
        let name = pool_label(&pool.pool);
        if pool.devices.is_empty() {
            wrap(page, &format!("  {name}: "), "connected, without a device");
        }
        for device in &pool.devices {
            wrap(page, &format!("  {name}: "), &serving(&device.seen));
            for down in &device.down {
                let stuck = if down.stuck { ", stuck" } else { "" };
                let span =
                    if down.for_us == 0 { String::new() } else { format!(", for {}", ms(down.for_us)) };
                let text = format!("buzzer {} was down already{span}{stuck}", down.buzzer);
                wrap(page, "    ", &text);
            }
        }
    }
}

fn serving(device: &DeviceSeen) -> String {
    let stamped = match &device.stamps {
        Stamps::Kernel => "stamped by the kernel",
        Stamps::Receipt => "stamped by buzzerd when it came",
        Stamps::Sender => "stamped by its sender",
        Stamps::Other(other) => other,
    };
    let older = format!("a press is {}{}", older(device.delay.delay_us.map(u64::cast_signed)), basis(device));
    format!(
        "{} ({}), buzzers {}; {stamped}, {older}",
        quoted(&device.name),
        device.place,
        list(&device.buzzers)
    )
}

/// What the delay stands on.
fn basis(device: &DeviceSeen) -> &'static str {
    match device.delay.delay_basis.as_str() {
        "configured" => " (configured)",
        "model" => " (this model was measured)",
        "bus" | "unknown" => " (not measured)",
        _ => "",
    }
}

fn happened(page: &mut String, story: &Story, zone: &TimeZone) {
    page.push_str("\nWhat else happened\n");
    if story.happened.is_empty() {
        page.push_str("  nothing: no fault, no lost, ignored or refused press, nobody came or went\n");
    }
    // Of another boot than the first press, or without one, the wall clock is all there is.
    let offset = |finding: &Evidence| match finding.to_first_us {
        Some(us) => signed(us),
        None => wall(finding.wall_us, zone, "%H:%M:%S%.3f"),
    };
    let width = story.happened.iter().map(|finding| offset(finding).len()).max().unwrap_or(0);
    for finding in &story.happened {
        let mark = if finding.bars { '!' } else { ' ' };
        let first = format!("{mark} {:>width$}  ", offset(finding));
        wrap(page, &first, &format!("seq {}: {}; {}", finding.seq, finding.what, finding.means));
    }
}

fn log(page: &mut String, story: &Story) {
    page.push_str("\nThe log\n");
    let Chain { seq, hash, fingerprint, first_seq, incomplete_bytes, is_written } = &story.chain;
    if story.damages_count > 0 {
        let lines = counted(story.damages_count, "wrong line");
        wrap(page, "  chain        ", &format!("DAMAGED: {lines}"));
        for damage in &story.damages {
            wrap(
                page,
                "               ",
                &format!("{}, behind seq {}: {}", damage.place, damage.after_seq, damage.why),
            );
        }
    } else {
        wrap(page, "  chain        ", &format!("whole, from seq {first_seq} to {seq}"));
    }
    match (incomplete_bytes, is_written) {
        (0, _) => {}
        (_, true) => page.push_str("               a further line is being written\n"),
        (bytes, false) => {
            let text =
                format!("the last line has no end ({}): what wrote it was cut off", counted(*bytes, "byte"));
            wrap(page, "               ", &text);
        }
    }
    if !fingerprint.is_empty() {
        wrap(
            page,
            "  fingerprint  ",
            &format!("{fingerprint}@{seq}; compare it with one that was noted then"),
        );
        wrap(page, "               ", &format!("(SHA-256 {hash})"));
    }
    if let Some(origin) = &story.origin {
        let text = format!("buzzerd {}, start seq {}, log id {}", origin.version, origin.seq, origin.log);
        wrap(page, "  recorded by  ", &text);
        let text = format!("boot {}, settle window {}", origin.boot, ms(origin.settle_us));
        wrap(page, "               ", &text);
    }
    wrap(
        page,
        "  times        ",
        "order and margins: stamps of one boot's CLOCK_MONOTONIC, to 1 \u{b5}s; time of day: derived from the anchors in the log",
    );
}
