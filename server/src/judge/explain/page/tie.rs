//! A draw on the page. In: a tie and the places of the window. Out: who drew what for each place, with the command that checks it.
//! Guarantee: a command is one line that can be copied, and what a pool is called cannot break out of it.

use buzzer_core::quote::listed;

use super::super::places::{DrawnPlace, Place, Tie};
use super::super::words::{label, wrap};

/// How many of those that might take a place of a tie are shown.
const LOTS_MAX: usize = 16;

/// Writes which presses were drawn, and what each place stands on.
pub(super) fn write(page: &mut String, tie: &Tie, places: &[Place]) {
    let of = |seq: u64| places.iter().find(|place| place.seq == seq);
    let tied: Vec<&Place> = tie.presses.iter().filter_map(|seq| of(*seq)).collect();
    let names = listed(tied.iter().map(|place| label(&place.pool, place.buzzer)));
    page.push('\n');
    let text = format!(
        "{names} have one stamp; the hardware cannot tell them apart. The draw (seq {}, seed {}) decides, place by place: \
         of those that may come next the smallest SHA-256 of seed, pool, a zero byte, buzzer, a zero byte and \
         place in this tie does.{} To check it:",
        tie.seq,
        tie.seed,
        precedence(&tied)
    );
    wrap(page, "Tie      ", &text);
    let octal: Vec<u8> = u64::from_str_radix(&tie.seed, 16).unwrap_or(0).to_be_bytes().to_vec();
    let octal: String = octal.iter().map(|byte| format!("\\0{byte:03o}")).collect();
    for DrawnPlace { place: number, lots } in &tie.places {
        page.push_str(&format!("  place {number}\n"));
        for (place, lot) in lots.iter().filter_map(|lot| Some((of(lot.seq)?, lot))).take(LOTS_MAX) {
            let pool = place.pool.as_str().replace('\'', r"'\''");
            // A command must stay one line, to be copied.
            page.push_str(&format!(
                "  printf '%b%s%b%s%b%s' '{octal}' '{pool}' '\\0000' {} '\\0000' {number} | sha256sum\n",
                place.buzzer
            ));
            page.push_str(&format!("    {}  {}\n", lot.sha256, label(&place.pool, place.buzzer)));
        }
        if let Some(more @ 1..) = lots.len().checked_sub(LOTS_MAX) {
            page.push_str(&format!("    {more} more that drew a larger one\n"));
        }
    }
}

/// What a draw may not turn round.
fn precedence(tied: &[&Place]) -> String {
    let mut words = String::new();
    let is_shared = |place: &&Place| {
        let same = |other: &&&Place| (&other.pool, other.buzzer) == (&place.pool, place.buzzer);
        tied.iter().filter(same).any(|other| other.device != place.device)
    };
    if tied.iter().any(is_shared) {
        words.push_str(
            " Two devices that serve one buzzer draw the same: of these the smallest SHA-256 of the same, a zero byte \
             and the device's number does.",
        );
    }
    let later =
        |place: &&&Place| tied.iter().any(|other| other.device == place.device && other.frame < place.frame);
    let later = listed(tied.iter().filter(later).map(|place| label(&place.pool, place.buzzer)));
    if !later.is_empty() {
        words += &format!(" What a device reported later ({later}) comes behind what it reported before.");
    }
    words
}
