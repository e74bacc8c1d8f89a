//! The table of models against the measurements it was made of. In: `delays.tsv` (41 devices, two polling intervals, 1001
//! sorted delays in µs a row), from where `BUZZERD_DELAYS` points. Out: pass, fail, or a line that says what was left
//! out. Guarantee: every number that the product has of a model is one of these.

use std::fs;

use buzzer_core::device::catalogue;
use buzzer_core::device::delay::chance::{chance_permille, middle_permille};
use buzzer_core::device::delay::models;

/// Readings that are the measuring box's own: device, polling, which is the row's last.
const BOX_READINGS: [(&str, &str); 2] = [("exxter", "default"), ("diamondback", "1ms")];
/// The rows that one curve is made of, as one list: device, polling.
type Rows = &'static [(&'static str, &'static str)];
/// Which rows a model's curve is made of, and which its figures at a forced 1 ms.
const MADE_OF: [(&str, &[Rows]); 12] = [
    (
        "DragonRise arcade encoder",
        &[
            &[("dragonrise_black", "default"), ("dragonrise_green", "default")],
            &[("dragonrise_black", "1ms"), ("dragonrise_green", "1ms")],
        ],
    ),
    ("Microsoft Xbox 360 pad", &[&[("xbox360_wired", "default"), ("xbox360_wired", "1ms")]]),
    ("Sony DualShock 3", &[&[("dualshock3_wired", "default"), ("dualshock3_wired", "1ms")]]),
    ("Logitech K120", &[&[("k120", "default")], &[("k120", "1ms")]]),
    ("Roccat Isku FX", &[&[("roccat", "default"), ("roccat", "1ms")]]),
    ("Apple Mighty Mouse A1152", &[&[("apple1152", "default")], &[("apple1152", "1ms")]]),
    ("Logitech M-BT58", &[&[("bt58", "default")], &[("bt58", "1ms")]]),
    ("Logitech G300", &[&[("g300", "default"), ("g300", "1ms")]]),
    ("Logitech G700", &[&[("g700_wired", "default"), ("g700_wired", "1ms")]]),
    ("Logitech G700 by radio", &[&[("g700_wireless", "default"), ("g700_wireless", "1ms")]]),
    ("Logitech G9", &[&[("g9", "default")], &[("g9", "1ms")]]),
    ("Logitech RX250", &[&[("rx250", "default")], &[("rx250", "1ms")]]),
];
/// The wired pads, by which an imitation's longest delay is judged.
const WIRED_PADS: [&str; 8] = [
    "dragonrise_black",
    "dragonrise_green",
    "dualshock3_wired",
    "dualshock4_wired",
    "nvidiashield",
    "tramani_wired",
    "wingman",
    "xbox360_wired",
];
/// A row of the measurements.
pub(crate) struct Row {
    /// Its short name.
    pub(crate) device: String,
    /// `default` or `1ms`.
    pub(crate) polling: String,
    /// Every listed delay, ascending, the box's own readings apart.
    pub(crate) delays_us: Vec<u32>,
}

/// All rows, or none where the measurements are missing.
pub(crate) fn rows() -> Option<Vec<Row>> {
    let Some(path) = std::env::var_os("BUZZERD_DELAYS") else {
        println!("left out: BUZZERD_DELAYS does not say where delays.tsv is");
        return None;
    };
    let text = fs::read_to_string(path).unwrap();
    let rows: Vec<Row> = text.lines().skip(1).map(row).collect();
    assert_eq!(rows.len(), 82);
    Some(rows)
}

fn row(line: &str) -> Row {
    let [device, polling, "5000", delays_us] = line.split('\t').collect::<Vec<_>>()[..] else {
        panic!("not a row: {line:.40}");
    };
    let mut delays_us: Vec<u32> = delays_us.split(',').map(|us| us.parse().unwrap()).collect();
    assert!(delays_us.len() == 1001 && delays_us.is_sorted(), "{device} {polling}");
    if BOX_READINGS.contains(&(device, polling)) {
        delays_us.pop();
    }
    Row { device: device.to_owned(), polling: polling.to_owned(), delays_us }
}

/// 129 quantiles of a sorted list: the nearest listed delay.
pub(crate) fn quantiles(sorted: &[u32]) -> [u32; 129] {
    std::array::from_fn(|place| sorted[(place * (sorted.len() - 1) + 64) / 128])
}

#[test]
fn every_curve_is_the_data() {
    let Some(rows) = rows() else { return };
    assert_eq!(catalogue::models().count(), MADE_OF.len());
    for (name, made_of) in MADE_OF {
        let model = catalogue::model(name).unwrap();
        let sorted = |rows_of: Rows| {
            let mut delays_us = Vec::new();
            for (device, polling) in rows_of {
                let row = rows.iter().find(|row| row.device == *device && row.polling == *polling).unwrap();
                delays_us.extend_from_slice(&row.delays_us);
            }
            delays_us.sort_unstable();
            delays_us
        };
        let own_us = sorted(made_of[0]);
        assert_eq!(model.curve.quantiles_us, quantiles(&own_us), "{name}");
        let (shortest, longest) = (own_us[0], own_us[own_us.len() - 1]);
        assert_eq!((model.curve.min_us(), model.curve.max_us()), (shortest, longest), "{name}");
        let (min_us, max_us) = model.delay_us(model.asked_us);
        assert!(min_us < shortest && max_us > longest, "{name}");
        let forced_us = made_of.get(1).map(|rows_of| quantiles(&sorted(rows_of)));
        assert_eq!(model.curve.forced_us, forced_us.map(|us| [us[0], us[64], us[128]]), "{name}");
        let (min_us, max_us) = model.delay_of_any_us();
        assert!(forced_us.is_none_or(|us| min_us < us[0] && max_us > us[128]), "{name} forced");
    }
}

#[test]
fn the_slowest_and_the_widest_are_what_the_product_says() {
    let Some(rows) = rows() else { return };
    let ends = |row: &Row| (row.delays_us[0], row.delays_us[row.delays_us.len() - 1]);
    let slowest = rows.iter().map(|row| ends(row).1).max();
    let widest = rows.iter().map(|row| ends(row).1 - ends(row).0).max();
    let pads = rows.iter().filter(|row| WIRED_PADS.contains(&&*row.device) && row.polling == "default");
    assert_eq!(slowest, Some(71_161));
    assert_eq!(slowest, Some(models::SLOWEST_MEASURED_US));
    assert_eq!(widest, Some(42_867));
    assert_eq!(widest, Some(models::WIDEST_MEASURED_US));
    assert_eq!(pads.map(|row| ends(row).1).max(), Some(models::SLOWEST_WIRED_PAD_US));
}

#[test]
fn the_middle_one_is_the_middle_one() {
    let Some(rows) = rows() else { return };
    let lists: Vec<[u32; 129]> =
        rows.iter().filter(|row| row.polling == "default").map(|row| quantiles(&row.delays_us)).collect();
    for ms in 0..45 {
        let mut chances: Vec<u16> = lists.iter().map(|list| chance_permille(list, list, ms * 1000)).collect();
        chances.sort_unstable();
        // The table has it from all 1001 delays of a row, these lists have 129.
        assert!(middle_permille(ms * 1000).abs_diff(chances[20]) <= 3, "{ms} ms: {}", chances[20]);
    }
}
