//! Keys. In: Linux key codes. Out: [`KeyMap`], which key of a device is which buzzer, and [`KeyBits`], which keys
//! are down. Guarantee: a code outside the kernel's range (0 to 0x2ff, `KEY_MAX` in `input-event-codes.h`) cannot
//! be built, so tables indexed by a [`KeyCode`] need no check.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::event::Buzzer;
use crate::press::key_names;
use crate::quote::Quoted;

/// Codes that exist: `KEY_CNT` of `include/uapi/linux/input-event-codes.h`.
pub const KEY_COUNT: usize = 0x300;

/// A Linux key or button code, 0 to 0x2ff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyCode(u16);

impl KeyCode {
    /// The code with this number; `None` above 0x2ff.
    pub const fn new(code: u16) -> Option<Self> {
        if (code as usize) < KEY_COUNT { Some(Self(code)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Every name that [`KeyCode::from_str`] takes.
    pub fn names() -> impl Iterator<Item = String> {
        let shown = (0..KEY_COUNT as u16).map(|code| Self(code).to_string());
        shown.filter(|name| name.starts_with(['K', 'B'])).chain(key_names::all())
    }
}

impl fmt::Display for KeyCode {
    /// The kernel's name (`KEY_ENTER`, `BTN_TRIGGER_HAPPY1`), or the number where it has none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = format!("{:?}", evdev::KeyCode::new(self.0));
        match key_names::name(self.0) {
            Some(name) => f.write_str(&name),
            None if known.starts_with("KEY_") || known.starts_with("BTN_") => f.write_str(&known),
            None => self.0.fmt(f),
        }
    }
}

impl FromStr for KeyCode {
    type Err = UnknownKey;

    /// A kernel name (`KEY_ENTER`), also a second one (`BTN_A`), or a decimal number (`704`).
    fn from_str(text: &str) -> Result<Self, UnknownKey> {
        let number = if text.starts_with(|c: char| c.is_ascii_digit()) {
            text.parse().ok()
        } else {
            key_names::code(text).or_else(|| evdev::KeyCode::from_str(text).ok().map(|key| key.code()))
        };
        number.and_then(Self::new).ok_or_else(|| UnknownKey(text.to_owned()))
    }
}

/// Neither a kernel key name nor a number from 0 to 767.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no key: expected a name such as KEY_ENTER or BTN_TRIGGER_HAPPY1, or a code from 0 to 767", Quoted(.0))]
pub struct UnknownKey(pub String);

/// Which key of a device is which buzzer. Several keys may be one buzzer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMap(BTreeMap<KeyCode, Buzzer>);

impl KeyMap {
    /// A map of these pairs; for a key that comes twice the last pair holds.
    pub fn new(pairs: impl IntoIterator<Item = (KeyCode, Buzzer)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The buzzer of a key.
    pub fn buzzer(&self, key: KeyCode) -> Option<Buzzer> {
        self.0.get(&key).copied()
    }

    /// Every pair, by key code.
    pub fn pairs(&self) -> impl Iterator<Item = (KeyCode, Buzzer)> + '_ {
        self.0.iter().map(|(key, buzzer)| (*key, *buzzer))
    }

    /// Every buzzer once, ascending.
    pub fn buzzers(&self) -> Vec<Buzzer> {
        let mut all: Vec<_> = self.pairs().map(|(_, buzzer)| buzzer).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// One bit per key code, laid out as the kernel's `EVIOCGKEY` and sysfs `capabilities/key` mean it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyBits(pub [u8; KEY_COUNT / 8]);

impl KeyBits {
    /// No key.
    pub const NONE: Self = Self([0; KEY_COUNT / 8]);

    /// Whether the key's bit is set.
    pub fn has(&self, key: KeyCode) -> bool {
        self.0[key.index() / 8] & (1 << (key.index() % 8)) != 0
    }

    /// Sets or clears the key's bit.
    pub fn set(&mut self, key: KeyCode, on: bool) {
        let bit = 1 << (key.index() % 8);
        if on {
            self.0[key.index() / 8] |= bit;
        } else {
            self.0[key.index() / 8] &= !bit;
        }
    }

    /// The keys whose bit is set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = KeyCode> + '_ {
        (0..KEY_COUNT as u16).map(KeyCode).filter(|key| self.has(*key))
    }

    /// Whether no bit is set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }
}

impl FromIterator<KeyCode> for KeyBits {
    fn from_iter<I: IntoIterator<Item = KeyCode>>(keys: I) -> Self {
        let mut bits = Self::NONE;
        keys.into_iter().for_each(|key| bits.set(key, true));
        bits
    }
}

impl fmt::Debug for KeyBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_the_kernel_names_them() {
        let red: KeyCode = "BTN_TRIGGER_HAPPY1".parse().unwrap();
        assert_eq!((red.get(), red.to_string().as_str()), (704, "BTN_TRIGGER_HAPPY1"));
        assert_eq!("704".parse(), Ok(red));
        assert_eq!(KeyCode(0x13f).to_string(), "319", "no name");
        assert!(
            ["768", "+704", " 704", "unknown key: 319"].iter().all(|text| text.parse::<KeyCode>().is_err())
        );
        for (name, code) in [("BTN_A", 0x130), ("BTN_Y", 0x134), ("BTN_GAMEPAD", 0x130), ("BTN_MISC", 0x100)]
        {
            assert_eq!(name.parse(), Ok(KeyCode(code)), "{name}");
        }
        for (name, code) in [("KEY_HANGUEL", 122), ("KEY_SCREENLOCK", 152), ("KEY_MACRO30", 0x2ad)] {
            assert_eq!(name.parse(), Ok(KeyCode(code)), "{name}");
        }
        assert!("KEY_NONSENSE".parse::<KeyCode>().is_err());
    }

    #[test]
    fn what_is_shown_can_be_written() {
        for code in (0..KEY_COUNT as u16).map(KeyCode) {
            assert_eq!(code.to_string().parse(), Ok(code));
        }
        for name in KeyCode::names() {
            assert!(name.parse::<KeyCode>().is_ok(), "{name}");
        }
    }

    #[test]
    fn bits_hold_the_first_and_the_last_key() {
        let ends = [KeyCode(0), KeyCode(0x2ff)];
        let bits: KeyBits = ends.into_iter().collect();
        assert_eq!(bits.iter().collect::<Vec<_>>(), ends);
    }
}
