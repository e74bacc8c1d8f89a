//! How likely it is that the order of two stamps is not the true one, for a person. In: the chance that is in the record, the
//! two presses and the devices. Out: words, and why a chance is not known. Guarantee: steps, never a precision that one
//! measured unit of a model cannot give.

use buzzer_core::device::delay::chance::{Odds, middle_permille};

use super::places::Place;
use super::roster::{DeviceSeen, PoolThen};
use super::words::quoted;

/// Two presses of a photo finish and what is known of their devices.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The one that was told first.
    pub first: &'a Place,
    /// The one that may in truth have been before it.
    pub rival: &'a Place,
    /// The pools that were connected.
    pub pools: &'a [PoolThen],
}

impl Pair<'_> {
    /// The chance that the rival was first: `about 1 in 5`.
    pub fn words(&self, chance_permille: Option<u16>) -> String {
        chance_permille.map_or_else(|| self.unknown(), |chance| Odds::of_permille(chance).to_string())
    }

    fn device(&self, place: &Place) -> Option<&DeviceSeen> {
        let mut devices = self.pools.iter().flat_map(|pool| &pool.devices);
        devices.find(|device| device.device == place.device).map(|device| &device.seen)
    }

    /// Why the chance is not known, and what it would be elsewhere.
    fn unknown(&self) -> String {
        let lead_us = self.rival.at_us.abs_diff(self.first.at_us);
        // What came late was told behind its stamp's place.
        let is_prompt = self.first.at_us <= self.rival.at_us;
        let middle = || Odds::of_permille(middle_permille(lead_us));
        if self.first.device == self.rival.device {
            let why = "how likely is not known: the delays of two buttons of one device are not independent";
            return match is_prompt {
                true => format!("{why} (of two like the middle one of 41 measured devices: {})", middle()),
                false => why.to_owned(),
            };
        }
        let (Some(first), Some(rival)) = (self.device(self.first), self.device(self.rival)) else {
            return "how likely is not known".to_owned();
        };
        let is_widened = |place: &Place, device: &DeviceSeen| {
            place.delay_us != device.delay.delay_us.map(u64::cast_signed)
        };
        if is_widened(self.first, first) || is_widened(self.rival, rival) {
            return "how likely is not known: a stamp is less exact than its device's stamps are".to_owned();
        }
        if is_prompt && (&first.name, &first.delay) == (&rival.name, &rival.delay) {
            let middle = middle();
            return format!("not measured: of two like the middle one of 41 measured devices {middle}");
        }
        let is_measured = |device: &DeviceSeen| device.delay.delay_basis == "model";
        let unmeasured = [rival, first].into_iter().find(|device| !is_measured(device));
        match unmeasured.map(|device| (device.delay.delay_basis.as_str(), quoted(&device.name))) {
            Some(("unknown" | "bus", name)) => format!("how likely is not known: {name} is not measured"),
            Some((_, name)) => {
                format!(
                    "how likely is not known: of {name} the shortest and the longest delay are known, no more"
                )
            }
            None => {
                "how likely is not known: a device was measured, but not at this polling interval".to_owned()
            }
        }
    }
}

/// The chance of the press that was told first, by those of all that may have been before it.
pub fn of_winner(chances_permille: &[u16], name: &str) -> String {
    let sum = chances_permille.iter().copied().map(u32::from).sum::<u32>().min(1000);
    let least = if chances_permille.len() > 1 { "at least " } else { "" };
    let more = match Odds::of_permille(u16::try_from(sum).unwrap_or(1000)) {
        Odds::OneIn(many) => format!("about {} in {many}", many.saturating_sub(1)),
        Odds::VeryUnlikely => "more than 49 in 50".to_owned(),
        Odds::MoreLikely => return format!("that {name} was first is less likely than not"),
    };
    format!("the chance that {name} was first is {least}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_winner_has_what_the_others_leave() {
        let of = |chances: &[u16]| of_winner(chances, "stage 2");
        assert_eq!(of(&[110]), "the chance that stage 2 was first is about 9 in 10");
        assert_eq!(of(&[110, 200]), "the chance that stage 2 was first is at least about 2 in 3");
        assert_eq!(of(&[500]), "the chance that stage 2 was first is about 1 in 2");
        assert_eq!(of(&[1]), "the chance that stage 2 was first is more than 49 in 50");
        assert_eq!(of(&[600, 600]), "that stage 2 was first is less likely than not");
    }
}
