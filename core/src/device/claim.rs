//! What the mediator wants of the machine. In: the configuration's matches, as the server read them. Out: [`Claims`],
//! and for a single device whether it fits ([`Match::matches`]). Guarantee: a claim that names keys fits only a
//! device that has all of them, so a composite unit's other nodes are never mistaken for the right one.

use std::fmt;

use wildmatch::WildMatch;

use crate::device::delay;
use crate::device::identity::Identity;
use crate::device::profile::{every_key, recognise};
use crate::event::Buzzer;
use crate::press::keys::{KeyCode, KeyMap};
use crate::quote::{Toml, listed};
use crate::time::Micros;

/// The place of one device: the index of its claim, or, without configuration, a number given at first sight of
/// the device and kept for it while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u32);

impl SlotId {
    /// The slot with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).expect("fewer than 2^32 slots"))
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A pattern over a whole text: `*` is any text, `?` any one character; nothing else is special.
#[derive(Clone, Debug, PartialEq)]
pub struct Glob {
    pattern: String,
    compiled: WildMatch,
}

impl Glob {
    /// The pattern; every text is one.
    pub fn new(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), compiled: WildMatch::new(pattern) }
    }

    /// As it is written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether all of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        self.compiled.matches(text)
    }
}

/// Which devices are meant; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// The vendor's number.
    pub vendor: Option<u16>,
    /// The product's number.
    pub product: Option<u16>,
    /// What the device calls itself.
    pub name: Option<Glob>,
    /// Where it is plugged in.
    pub phys: Option<Glob>,
    /// Its serial number or address.
    pub uniq: Option<Glob>,
}

impl Match {
    /// Whether the device is one of those that are meant.
    pub fn matches(&self, device: &Identity) -> bool {
        let number = |want: Option<u16>, is: u16| want.is_none_or(|want| want == is);
        let text = |want: &Option<Glob>, is: &str| want.as_ref().is_none_or(|want| want.matches(is));
        number(self.vendor, device.vendor)
            && number(self.product, device.product)
            && text(&self.name, &device.name)
            && text(&self.phys, &device.phys)
            && text(&self.uniq, &device.uniq)
    }

    /// Whether nothing is asked for, so that every device is meant; a configuration should refuse that.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How narrow it is: the characters that a device must have as they stand. Where two entries fit one device, the
    /// narrower one means it.
    pub(crate) fn narrowness(&self) -> usize {
        const ID_CHARS: usize = 4;
        let ids = [self.vendor, self.product].iter().flatten().count() * ID_CHARS;
        let globs = [&self.name, &self.phys, &self.uniq].into_iter().flatten();
        let literal = globs.flat_map(|glob| glob.pattern.chars()).filter(|c| !"*?".contains(*c)).count();
        ids + literal
    }
}

impl fmt::Display for Match {
    /// As the configuration writes it: `match = { vendor = "054c", product = "0002" }`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = [("vendor", self.vendor), ("product", self.product)];
        let ids = ids.into_iter().filter_map(|(key, id)| Some(format!("{key} = \"{:04x}\"", id?)));
        let globs = [("name", &self.name), ("phys", &self.phys), ("uniq", &self.uniq)];
        let globs = globs
            .into_iter()
            .filter_map(|(key, glob)| Some(format!("{key} = {}", Toml(&glob.as_ref()?.pattern))));
        write!(f, "match = {{ {} }}", listed(ids.chain(globs)))
    }
}

/// One device that the configuration asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Which entry of the configuration this is, for people: `pool "desk", device 2`.
    pub entry: String,
    /// Which one.
    pub matcher: Match,
    /// Which of its keys are buzzers. `None`: as its profile says, or else every key.
    pub buzzers: Option<Vec<(KeyCode, Buzzer)>>,
    /// A press counts if its contact was open for so long before it.
    pub debounce_us: Micros,
    /// What is set of how long before its stamp a press was made; the rest is as [`crate::device::delay`] derives it.
    pub delay: delay::Configured,
}

impl Claim {
    /// The keys that the configuration names and the device does not have, ascending.
    pub(crate) fn missing(&self, device: &Identity) -> Vec<KeyCode> {
        let named = self.buzzers.as_deref().unwrap_or_default();
        let mut missing: Vec<_> =
            named.iter().map(|(key, _)| *key).filter(|key| !device.keys.has(*key)).collect();
        missing.sort_unstable();
        missing
    }

    /// Whether the device can serve this claim: it is meant, and has keys, all that the configuration names among them.
    pub(crate) fn fits(&self, device: &Identity) -> bool {
        !device.keys.is_empty() && self.matcher.matches(device) && self.missing(device).is_empty()
    }

    /// Which key of the device is which buzzer.
    pub(crate) fn keys(&self, device: &Identity) -> KeyMap {
        match &self.buzzers {
            Some(pairs) => KeyMap::new(pairs.iter().copied()),
            None => natural_keys(device),
        }
    }
}

/// Which key of a device is which buzzer where no configuration says it.
pub fn natural_keys(device: &Identity) -> KeyMap {
    recognise(device).map_or_else(|| every_key(&device.keys), |profile| profile.keys(device))
}

/// Everything the mediator wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Claims {
    /// What the configuration lists; a claim's slot is its index.
    Listed(Vec<Claim>),
    /// No configuration: every recognised buzzer device has a slot.
    Known {
        /// As in [`Claim`].
        debounce_us: Micros,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::identity::tests::device;

    #[test]
    fn a_match_asks_only_for_what_it_names() {
        let mut hub = device(3, (0x054c, 0x0002), "usb-0000:00:14.0-1.2/input0", &[28]);
        hub.uniq = "A1".to_owned();
        let none = Match::default();
        let glob = |text| Some(Glob::new(text));
        for (want, matcher) in [
            (true, none.clone()),
            (true, Match { vendor: Some(0x054c), ..none.clone() }),
            (false, Match { vendor: Some(0x054d), ..none.clone() }),
            (true, Match { vendor: Some(0x054c), product: Some(2), ..none.clone() }),
            (false, Match { vendor: Some(0x054c), product: Some(3), ..none.clone() }),
            (true, Match { phys: glob("usb-*-1.2/*"), ..none.clone() }),
            (false, Match { phys: glob("usb-*-1.2"), ..none.clone() }),
            (false, Match { phys: glob("usb-*-1.?.2/*"), ..none.clone() }),
            (true, Match { name: glob("dev?ce 3"), uniq: glob("A1"), ..none.clone() }),
            (false, Match { name: glob("dev?ce 3"), uniq: glob("a1"), ..none.clone() }),
        ] {
            assert_eq!(matcher.matches(&hub), want, "{matcher:?}");
            assert_eq!(matcher.is_empty(), matcher == none);
        }
    }

    #[test]
    fn a_match_is_written_as_it_is_read() {
        let matcher = Match { vendor: Some(0x54c), name: Some(Glob::new("a\"b ")), ..Match::default() };
        assert_eq!(matcher.to_string(), r#"match = { vendor = "054c", name = "a\"b " }"#);
        let wide = Match { vendor: Some(0x54c), ..Match::default() };
        assert!(matcher.narrowness() > wide.narrowness());
        let phys = |text| Match { phys: Some(Glob::new(text)), ..wide.clone() }.narrowness();
        assert!(phys("usb-*-1.2/*") > phys("usb-*-1.*"));
        assert_eq!(phys("*"), wide.narrowness(), "which says nothing");
    }

    #[test]
    fn named_keys_must_all_be_there() {
        let key = |code| KeyCode::new(code).unwrap();
        let mut claim = Claim {
            entry: String::new(),
            matcher: Match::default(),
            buzzers: None,
            debounce_us: Micros::ZERO,
            delay: delay::Configured::default(),
        };
        let button = device(3, (1, 1), "", &[28, 57]);
        assert!(claim.fits(&button));
        assert!(!claim.fits(&device(3, (1, 1), "", &[])), "no key at all");
        claim.buzzers = Some(vec![(key(57), Buzzer(7))]);
        assert!(claim.fits(&button));
        assert_eq!(claim.keys(&button).pairs().collect::<Vec<_>>(), [(key(57), Buzzer(7))]);
        claim.buzzers = Some(vec![(key(57), Buzzer(7)), (key(30), Buzzer(8))]);
        assert_eq!((claim.fits(&button), claim.missing(&button)), (false, vec![key(30)]));
    }
}
