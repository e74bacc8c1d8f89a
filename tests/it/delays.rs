//! The table of models against the measurements it was made of, and the chance of a photo finish against drawn delays.
//! In: `delays.tsv` (41 devices, two polling intervals, 1001 sorted delays in µs a row), from where `BUZZERD_DELAYS`
//! points. Out: pass, fail, or a line that says what was left out. Guarantee: seeds are fixed, so every run draws
//! alike; delays are drawn as listed, never between two of them.

use std::cmp::Ordering;
use std::fs;

use buzzer_core::delay::chance::{chance_permille, middle_permille};
use buzzer_core::delay::models::{self, MODELS};

/// Readings that are the measuring box's own: device, polling, which is the row's last.
const BOX_READINGS: [(&str, &str); 2] = [("exxter", "default"), ("diamondback", "1ms")];
/// The rows that one curve is made of, as one list: device, polling.
type Rows = &'static [(&'static str, &'static str)];
/// Which rows a model's curves are made of, in the order of its curves.
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
/// Draws for each ordered pair of rows.
const DRAWS: u64 = 200;

/// A row of the measurements.
struct Row {
    device: String,
    polling: String,
    /// Every listed delay, ascending, the box's own readings apart.
    delays_us: Vec<u32>,
}

/// All rows, or none where the measurements are missing.
fn rows() -> Option<Vec<Row>> {
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
fn quantiles(sorted: &[u32]) -> [u32; 129] {
    std::array::from_fn(|place| sorted[(place * (sorted.len() - 1) + 64) / 128])
}

#[test]
fn every_curve_is_the_data() {
    let Some(rows) = rows() else { return };
    assert_eq!(MODELS.len(), MADE_OF.len());
    for (name, curves) in MADE_OF {
        let model = models::by_name(name).unwrap();
        assert_eq!(model.curves.len(), curves.len(), "{name}");
        for (curve, made_of) in model.curves.iter().zip(curves) {
            let mut delays_us = Vec::new();
            for (device, polling) in *made_of {
                let row = rows.iter().find(|row| row.device == *device && row.polling == *polling).unwrap();
                delays_us.extend_from_slice(&row.delays_us);
            }
            delays_us.sort_unstable();
            assert_eq!(curve.quantiles_us, quantiles(&delays_us), "{name} {:?}", curve.interval_us);
            let (shortest, longest) = (delays_us[0], delays_us[delays_us.len() - 1]);
            assert_eq!((curve.min_us(), curve.max_us()), (shortest, longest), "{name}");
            let forced = curve.interval_us.is_some();
            let (min_us, max_us) = model.delay_us(model.asked_us, forced);
            assert!(min_us < shortest && max_us > longest, "{name} {forced}");
        }
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

/// What was drawn in one class of predicted chances.
#[derive(Clone, Copy, Default)]
struct Class {
    draws: u64,
    predicted_permille: u64,
    /// Presses of which the later stamp was first, equal ones a half; counted in halves.
    halves: u64,
}

impl Class {
    /// How far the predicted share and the true one are apart, in permille.
    fn error_permille(&self) -> f64 {
        let draws = self.draws as f64;
        (self.predicted_permille as f64 / draws - self.halves as f64 * 500.0 / draws).abs()
    }
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

#[test]
fn a_predicted_chance_is_the_true_one() {
    let Some(rows) = rows() else { return };
    let lists: Vec<[u32; 129]> = rows.iter().map(|row| quantiles(&row.delays_us)).collect();
    let mut dice = Dice(20_260_101);
    let mut classes = [Class::default(); 10];
    for (a, b) in (0..rows.len()).flat_map(|a| (0..rows.len()).map(move |b| (a, b))) {
        for _ in 0..DRAWS {
            // B is pressed so much after A; what is seen is the stamps.
            let gap_us = dice.below(200_001) as i64 - 100_000;
            let drawn = |dice: &mut Dice, row: usize| {
                let delays_us = &rows[row].delays_us;
                i64::from(delays_us[dice.below(delays_us.len())])
            };
            let (a_stamp_us, b_stamp_us) = (drawn(&mut dice, a), gap_us + drawn(&mut dice, b));
            let (first, later, truth) = match b_stamp_us.cmp(&a_stamp_us) {
                Ordering::Less => (b, a, (-gap_us).cmp(&0)),
                _ => (a, b, gap_us.cmp(&0)),
            };
            let lead_us = (b_stamp_us - a_stamp_us).unsigned_abs();
            if is_photo(&lists[first], &lists[later], lead_us) {
                let chance = u64::from(chance_permille(&lists[first], &lists[later], lead_us));
                let class = &mut classes[(chance / 100) as usize];
                class.draws += 1;
                class.predicted_permille += chance;
                class.halves += match truth {
                    Ordering::Less => 2,
                    Ordering::Equal => 1,
                    Ordering::Greater => 0,
                };
            }
        }
    }
    for (place, class) in classes.iter().enumerate() {
        let error = class.error_permille();
        println!(
            "chance {} to {} %: {} draws, off by {error:.1} permille",
            place * 10,
            place * 10 + 10,
            class.draws
        );
        assert!(class.draws > 3_000, "class {place}: {} draws", class.draws);
        assert!(error <= 20.0, "class {place}: off by {error:.1} permille");
    }
}

/// Neither certain nor reversed.
fn is_photo(first: &[u32; 129], later: &[u32; 129], lead_us: u64) -> bool {
    let lead_us = lead_us as i64;
    let [first_min, first_max] = [first[0], first[128]].map(i64::from);
    let [later_min, later_max] = [later[0], later[128]].map(i64::from);
    lead_us < later_max - first_min && lead_us > later_min - first_max
}
