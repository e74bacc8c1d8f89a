//! How sure "first" is. In: presses with their stamps and how long before them they can have been made, as they are told.
//! Out: for two presses, whether the order of their stamps is the true one ([`Press::before`]); for a new press, those
//! before it that it may in truth precede ([`Photos::of`]). Guarantee: *certain* is said only where no delay within the
//! intervals could turn the order round; the order of the stamps is not touched; memory is bounded, and a press that may
//! concern one that is forgotten says so.

use std::collections::VecDeque;

use crate::record::Rival;
use buzzer_core::device::delay::chance::chance_permille;
use buzzer_core::device::delay::models::Curve;
use buzzer_core::press::waits::READER_US as READER;

/// Presses that are remembered.
const RECENT_MAX: usize = 4096;
/// Presses that one press names: those with the earliest stamps. A record has to stay a short line.
const NAMED_MAX: usize = 64;

/// What a receipt pool's longest delay has room for: the reader's way from its wake-up to its clock.
const READER_US: i64 = READER.as_us().cast_signed();

/// How long before its stamp a device's press can have been made, as its `attach` record says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// The shortest, µs; negative only for a single press whose stamp may be too early.
    pub min_us: i64,
    /// The longest, µs.
    pub max_us: i64,
    /// Two presses through one path differ by no more, µs.
    pub width_us: i64,
    /// The time in which all contacts are looked at once, µs, where it is known; 0: at one moment.
    pub scan_us: Option<i64>,
    /// The time between two polls, µs, where it is known.
    pub poll_us: Option<i64>,
    /// Devices of one model at one polling interval have the same number.
    pub class: u32,
}

/// A press, as far as its certainty is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// Its stamp, µs.
    pub at_us: u64,
    /// Its device.
    pub device: u32,
    /// The number of its report among those of its device with this stamp.
    pub frame: u32,
    /// That of its device.
    pub delay: Delay,
    /// How long before `at_us` it can have been made, µs: wider than its device's where its stamp is worth less.
    pub own_us: [i64; 2],
    /// The distribution of its device's delays, where it was measured.
    pub curve: Option<&'static Curve>,
}

/// What is known of two presses, of which the first has the earlier stamp or the earlier place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sureness {
    /// The first was first.
    Certain,
    /// Either can have been first.
    Photo,
    /// The second was first.
    Reversed,
}

/// The presses before a new one that it may in truth precede.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Photo {
    /// Those, earliest stamp first.
    pub rivals: Vec<Rival>,
    /// Whether there may be more.
    pub more: bool,
}

/// The presses that were told.
#[derive(Clone, Debug, Default)]
pub struct Photos {
    /// By stamp.
    recent: VecDeque<(u64, Press)>,
    /// The latest moment at which a forgotten press can have been made, µs.
    forgotten_us: Option<i64>,
    /// The smallest shortest delay of all that were told, µs.
    min_us: i64,
}

impl Delay {
    /// How long before `at_us` a press of this device can have been made, µs. `back_us`, `early_us`: without a stamp of its
    /// own it is older than its time by that at most; with a receipt stamp it came to its source between so long before and
    /// so long after its time, of which the device's longest delay has room for the reader's usual part.
    pub fn of_press(&self, at_us: u64, is_without_stamp: bool, (back_us, early_us): (u32, u32)) -> [i64; 2] {
        // What does not fit may have been at any time of this boot.
        let back_us = if back_us == u32::MAX { at_us.cast_signed() } else { back_us.into() };
        let usual_us = match is_without_stamp {
            true => 0,
            false => READER_US.min(self.max_us.saturating_sub(self.min_us)),
        };
        let more_us = back_us.saturating_sub(usual_us).max(0);
        [self.min_us.saturating_sub(early_us.into()), self.max_us.saturating_add(more_us)]
    }
}

impl Press {
    /// The moments between which it was made, µs.
    fn made_us(&self) -> [i64; 2] {
        let at_us = self.at_us.cast_signed();
        [at_us.saturating_sub(self.own_us[1]), at_us.saturating_sub(self.own_us[0])]
    }

    /// Whether this one, which has the earlier stamp or place, was made before `later`.
    ///
    /// With different delays: certain if the lead is at least the later one's longest delay without this one's
    /// shortest. Where both came the same way, what is the same in both cancels, and the width of the interval counts.
    pub fn before(&self, later: &Self) -> Sureness {
        let [earliest, latest] = self.made_us();
        let [later_earliest, later_latest] = later.made_us();
        if latest <= later_earliest {
            return Sureness::Certain;
        }
        let lead_us = later.at_us.cast_signed().saturating_sub(self.at_us.cast_signed());
        if lead_us >= 0 && self.same_way_us(later).is_some_and(|us| lead_us >= us) {
            return Sureness::Certain;
        }
        if self.device != later.device && later_latest <= earliest {
            return Sureness::Reversed;
        }
        Sureness::Photo
    }

    /// By how much the delays of two presses that came the same way can differ, µs.
    fn same_way_us(&self, later: &Self) -> Option<i64> {
        let own = match (self.device == later.device, self.delay.scan_us, self.delay.poll_us) {
            // All contacts are looked at at one moment, so a later report is a later press.
            (true, Some(0), _) => {
                return (self.frame != later.frame || self.at_us != later.at_us).then_some(0);
            }
            (true, Some(scan_us), Some(poll_us)) => scan_us.saturating_add(poll_us),
            (true, ..) => self.delay.width_us,
            (false, ..) if self.delay.class == later.delay.class => self.delay.width_us,
            (false, ..) => return None,
        };
        // What this one's stamp may be too early by, and what the later one's may be too late by.
        let early_us = self.delay.min_us.saturating_sub(self.own_us[0]).max(0);
        let late_us = later.own_us[1].saturating_sub(later.delay.max_us).max(0);
        Some(own.saturating_add(early_us).saturating_add(late_us))
    }

    /// How probable it is that `later` was made before this one, in permille. `None` where a delay was not measured, or may be
    /// longer than what was, and for two presses of one device: their delays are not independent.
    fn chance_of(&self, later: &Self) -> Option<u16> {
        let measured = |press: &Self| {
            let is_own = press.own_us == [press.delay.min_us, press.delay.max_us];
            press.curve.filter(|_| is_own)
        };
        let (own, others) = (measured(self)?, measured(later)?);
        let lead_us = later.at_us.saturating_sub(self.at_us);
        (self.device != later.device)
            .then(|| chance_permille(&own.quantiles_us, &others.quantiles_us, lead_us))
    }

    /// Whether both are in one report: no device can tell which was first.
    pub fn is_of_report(&self, other: &Self) -> bool {
        self.device == other.device && self.at_us == other.at_us && self.frame == other.frame
    }
}

impl Photos {
    /// The presses told before that `press` may in truth precede, and those of which it certainly was ahead.
    pub fn of(&self, press: &Press) -> Photo {
        let earliest = press.made_us()[0];
        // A press that was made at `earliest` or later has at least this stamp.
        let since_us = earliest.saturating_add(self.min_us).max(0).cast_unsigned();
        let from = self.recent.partition_point(|(_, told)| told.at_us < since_us);
        let rivals = self.recent.range(from..).filter(|(_, told)| !told.is_of_report(press));
        let mut rivals = rivals.filter_map(|(seq, told)| {
            // What came late was told behind a press that its stamp precedes.
            let is_late = press.at_us < told.at_us;
            let (first, later) = if is_late { (press, told) } else { (told, press) };
            let chance = || first.chance_of(later).map(|chance| if is_late { 1000 - chance } else { chance });
            let chance_permille = match first.before(later) {
                Sureness::Photo => chance(),
                Sureness::Certain if is_late => Some(1000),
                Sureness::Reversed if !is_late => Some(1000),
                Sureness::Certain | Sureness::Reversed => return None,
            };
            Some(Rival { seq: *seq, chance_permille })
        });
        let named: Vec<_> = rivals.by_ref().take(NAMED_MAX).collect();
        let is_forgotten = self.forgotten_us.is_some_and(|latest| latest > earliest);
        Photo { more: is_forgotten || rivals.next().is_some(), rivals: named }
    }

    /// This press was told.
    pub fn tell(&mut self, seq: u64, press: Press) {
        if self.recent.len() == RECENT_MAX
            && let Some((_, gone)) = self.recent.pop_front()
        {
            self.forgotten_us = self.forgotten_us.max(Some(gone.made_us()[1]));
        }
        self.min_us = self.min_us.min(press.own_us[0]);
        let place = self.recent.partition_point(|(_, told)| told.at_us <= press.at_us);
        self.recent.insert(place, (seq, press));
    }
}

#[cfg(test)]
mod tests {
    use buzzer_core::device::catalogue;

    use super::*;

    fn delay(min_us: i64, max_us: i64, class: u32) -> Delay {
        Delay { min_us, max_us, width_us: max_us - min_us, class, ..Delay::default() }
    }

    fn press(device: u32, at_us: u64, delay: Delay) -> Press {
        Press { at_us, device, frame: 0, delay, own_us: [delay.min_us, delay.max_us], curve: None }
    }

    #[test]
    fn an_order_is_certain_photo_finish_or_reversed_by_both_intervals() {
        use Sureness::{Certain, Photo, Reversed};
        let (fast, slow) = (delay(0, 2_000, 1), delay(15_000, 25_000, 2));
        for (first, second, lead_us, want) in [
            (fast, slow, 25_000, Certain),
            (fast, slow, 24_999, Photo),
            (fast, slow, 13_001, Photo),
            (fast, slow, 13_000, Reversed),
            (fast, slow, 0, Reversed),
            (slow, fast, 0, Certain),
            (slow, slow, 10_000, Certain),
            (slow, slow, 9_999, Photo),
        ] {
            let (a, b) = (press(1, 100_000, first), press(2, 100_000 + lead_us, second));
            assert_eq!(a.before(&b), want, "{lead_us}");
        }
    }

    #[test]
    fn what_is_the_same_in_both_cancels() {
        use Sureness::{Certain, Photo};
        let unknown = Delay { width_us: 45_000, ..delay(0, 100_000, 1) };
        let other = Delay { class: 2, ..unknown };
        let scanned = Delay { scan_us: Some(5000), poll_us: Some(8000), ..unknown };
        let at_once = Delay { scan_us: Some(0), ..unknown };
        for (devices, delays, lead_us, want) in [
            ((1, 2), (unknown, unknown), 45_000, Certain),
            ((1, 2), (unknown, unknown), 44_999, Photo),
            ((1, 2), (unknown, other), 99_999, Photo),
            ((1, 2), (unknown, other), 100_000, Certain),
            ((1, 1), (unknown, unknown), 44_999, Photo),
            ((1, 1), (scanned, scanned), 13_000, Certain),
            ((1, 1), (scanned, scanned), 12_999, Photo),
            ((1, 2), (scanned, scanned), 13_000, Photo),
            ((1, 1), (at_once, at_once), 1, Certain),
        ] {
            let (a, b) = (press(devices.0, 0, delays.0), press(devices.1, lead_us, delays.1));
            assert_eq!(a.before(&b), want, "{devices:?} {lead_us}");
        }
        let a = press(1, 10, at_once);
        assert_eq!(a.before(&Press { frame: 1, ..a }), Certain, "a later report of one stamp");
        let widened = Press { own_us: [-3_000, 100_500], ..press(1, 0, unknown) };
        let b = press(2, 47_999, unknown);
        assert_eq!((widened.before(&b), press(1, 0, unknown).before(&b)), (Photo, Certain));
    }

    #[test]
    fn a_press_is_as_wide_as_what_nobody_saw_of_it() {
        let (receipt, own) = (delay(0, 1000, 1), delay(3000, 3300, 2));
        for (of, is_without_stamp, off_us, want) in [
            (receipt, false, (0, 0), [0, 1000]),
            (receipt, false, (1000, 12), [-12, 1000]),
            (receipt, false, (1001, 0), [0, 1001]),
            (receipt, false, (400_000, 2000), [-2000, 400_000]),
            (receipt, true, (400, 0), [0, 1400]),
            (own, false, (1000, 0), [3000, 4000]),
            (own, false, (300, 5), [2995, 3300]),
            (receipt, false, (u32::MAX, 0), [0, 9_000_000_000]),
        ] {
            let got = of.of_press(9_000_000_000, is_without_stamp, off_us);
            assert_eq!(got, want, "{of:?} {is_without_stamp} {off_us:?}");
        }
    }

    #[test]
    fn a_press_names_what_it_may_precede_and_a_late_one_what_it_precedes() {
        let mut photos = Photos::default();
        photos.tell(7, press(1, 100_000, delay(0, 5_000, 1)));
        let named = |photos: &Photos, press| {
            let photo = photos.of(&press);
            assert!(!photo.more);
            photo.rivals.into_iter().map(|rival| (rival.seq, rival.chance_permille)).collect::<Vec<_>>()
        };
        let of = |at_us| press(2, at_us, delay(0, 5_000, 1));
        assert_eq!(named(&photos, of(104_999)), [(7, None)]);
        assert_eq!(named(&photos, of(105_000)), []);
        assert_eq!(named(&photos, of(98_000)), [(7, None)], "late");
        assert_eq!(named(&photos, of(90_000)), [(7, Some(1000))], "late, and certainly first");
        photos.tell(8, Press { own_us: [-20_000, 0], ..press(3, 100_000, delay(0, 0, 3)) });
        assert_eq!(named(&photos, of(120_000)), [(8, None)], "its stamp may be too early");
    }

    #[test]
    fn a_chance_is_given_where_both_were_measured() {
        let curve = |name: &str| catalogue::model(name).map(|model| model.curve);
        let (quick, slow) = (curve("Logitech K120"), curve("DragonRise arcade encoder"));
        let of = |curve: Option<&'static Curve>, device, at_us| {
            let [min_us, max_us] =
                curve.map_or([0, 40_000], |curve| [curve.min_us().into(), curve.max_us().into()]);
            Press { curve, ..press(device, at_us, delay(min_us, max_us, device)) }
        };
        let chance = |first: Press, second: Press| {
            let mut photos = Photos::default();
            photos.tell(1, first);
            let photo = photos.of(&second);
            photo.rivals.first().map(|rival| rival.chance_permille)
        };
        assert_eq!(chance(of(quick, 1, 50_000), of(quick, 2, 50_000)), Some(Some(500)), "drawn");
        let (near, far) = (
            chance(of(quick, 1, 50_000), of(slow, 2, 51_000)),
            chance(of(quick, 1, 50_000), of(slow, 2, 54_000)),
        );
        assert!(
            matches!((near, far), (Some(Some(near)), Some(Some(far))) if near > far && far > 0),
            "{near:?} {far:?}"
        );
        let (prompt, late) = (
            chance(of(slow, 1, 50_000), of(quick, 2, 53_000)),
            chance(of(quick, 2, 53_000), of(slow, 1, 50_000)),
        );
        let sum = prompt.flatten().zip(late.flatten()).map(|(prompt, late)| prompt + late);
        assert_eq!(sum, Some(1000), "told late: what the other order has not");
        assert_eq!(chance(of(None, 1, 50_000), of(slow, 2, 51_000)), Some(None), "not measured");
        assert_eq!(chance(of(slow, 1, 50_000), of(slow, 1, 51_000)), Some(None), "one device");
        let wide = of(slow, 2, 51_000);
        let wide = Press { own_us: [wide.own_us[0], wide.own_us[1] + 1], ..wide };
        assert_eq!(chance(of(quick, 1, 50_000), wide), Some(None), "it may be older than what was measured");
    }

    #[test]
    fn what_is_forgotten_or_not_named_is_said() {
        let mut photos = Photos::default();
        for seq in 0..5000 {
            photos.tell(seq, press(1, 1_000_000 + seq, delay(0, 0, 1)));
        }
        assert_eq!(photos.recent.len(), RECENT_MAX);
        let of = |at_us, max_us| photos.of(&press(2, at_us, delay(0, max_us, 2)));
        let photo = of(1_005_000, 1_000_000);
        assert_eq!((photo.rivals.len(), photo.rivals[0].seq, photo.more), (NAMED_MAX, 904, true));
        assert!(!of(1_005_000, 50).more);
        assert_eq!(of(1_005_000, 65).rivals.len(), 64);
        assert!(of(1_000_900, 10).more, "it may precede a forgotten one");
    }
}
