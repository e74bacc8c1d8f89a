//! Hardware that needs no explanation. In: an [`Identity`]. Out: its [`Profile`]: a name, the default [`KeyMap`],
//! and whether it may be taken without being asked for. Guarantee: what types, points or draws is never free to take, so
//! nobody loses a console to a quiz; the number of a button depends on the buttons before it and on nothing else.
//!
//! Where neither configuration nor profile says which key is which buzzer, **every key** but modifiers and locks is one:
//! buzzers 1 to n in ascending key code ([`every_key`]).

use crate::device::catalogue::{self, BUZZ_WIRELESS, CATALOGUE, Layout, Needs, Profile};
use crate::device::identity::{BUS_VIRTUAL, Identity};
use crate::device::kind;
use crate::event::Buzzer;
use crate::press::keys::{KeyBits, KeyCode, KeyMap};

const BTN_TRIGGER: u16 = 0x120;
const BTN_TRIGGER_HAPPY1: u16 = 0x2c0;
/// Each handset has five buttons, the red one first (`hid-sony.c`, `buzz_keymap`).
const BUZZ_BUTTONS: u16 = 5;

const GENERIC_GAMEPAD: Profile = Profile { name: "gamepad", layout: Layout::Buttons, known: true };
const GENERIC_JOYSTICK: Profile = Profile { name: "joystick", layout: Layout::Buttons, known: true };

/// The names of all profiles whose devices may be taken though no configuration names them.
pub fn free_names() -> impl Iterator<Item = &'static str> {
    let models = CATALOGUE.iter().filter_map(|row| row.profile.as_ref()).map(|(_, profile)| profile);
    let all = models.chain([&GENERIC_GAMEPAD, &GENERIC_JOYSTICK]);
    all.filter(|profile| profile.known).map(|profile| profile.name)
}

/// The profile of a device. `None`: nothing to go by (a keyboard, a single button, a mouse).
pub fn recognise(device: &Identity) -> Option<Profile> {
    if let Some(profile) = known_model(device) {
        return Some(profile);
    }
    let generic = if kind::is_gamepad(device) { GENERIC_GAMEPAD } else { GENERIC_JOYSTICK };
    (kind::of(device) == kind::DeviceKind::Pad && kind::is_stick_or_pad(device)).then_some(generic)
}

/// The profile of a device whose very model is in the catalogue.
pub(crate) fn known_model(device: &Identity) -> Option<Profile> {
    let mut profiles = catalogue::of(device).filter_map(|row| row.profile);
    let fits = |needs| match needs {
        Needs::Buttons => kind::has_pad_buttons(device),
        Needs::Keys => !device.keys.is_empty(),
        Needs::Typing => kind::types(device),
    };
    profiles.find(|(needs, _)| fits(*needs)).map(|(_, profile)| profile)
}

impl Profile {
    /// Whether this device may be taken though no configuration names it: what is made for play, is real (not
    /// from uinput) and types nothing.
    pub fn is_free_to_take(&self, device: &Identity) -> bool {
        self.known && device.bus != BUS_VIRTUAL && !kind::is_more_than_a_pad(device)
    }

    /// Whether its handsets fall asleep unless the host keeps talking to them.
    pub fn needs_keep_awake(&self) -> bool {
        self.name == BUZZ_WIRELESS
    }

    /// Which key of this device is which buzzer, from 1.
    pub fn keys(&self, device: &Identity) -> KeyMap {
        match self.layout {
            Layout::BuzzReds => numbered(buzz_reds(device)),
            Layout::Buttons => numbered(kind::pad_buttons(&device.keys)),
            Layout::Wired => numbered(device.keys.iter()),
            Layout::EveryKey => every_key(&device.keys),
        }
    }
}

/// Every key but modifiers and locks a buzzer: 1 to n in ascending key code.
pub fn every_key(keys: &KeyBits) -> KeyMap {
    numbered(kind::plain_keys(keys))
}

/// Which light of a device belongs to a buzzer, from 1: a handset's own, also where the configuration gave another number to its
/// buttons; else the buzzer's number. `None` if the buzzer is none of the device's.
pub fn light_of(device: &Identity, keys: &KeyMap, buzzer: Buzzer) -> Option<u16> {
    let (key, _) = keys.pairs().find(|(_, of)| *of == buzzer)?;
    match recognise(device).map(|profile| profile.layout) {
        Some(Layout::BuzzReds) => Some(key.get().checked_sub(first_red(device))? / BUZZ_BUTTONS + 1),
        _ => Some(buzzer.0),
    }
}

fn numbered(keys: impl Iterator<Item = KeyCode>) -> KeyMap {
    KeyMap::new(keys.zip(1..).map(|(key, number)| (key, Buzzer(number))))
}

fn buzz_reds(device: &Identity) -> impl Iterator<Item = KeyCode> {
    let first = first_red(device);
    (0..4).filter_map(move |handset| KeyCode::new(first + handset * BUZZ_BUTTONS))
}

/// hid-sony numbers the twenty buttons from `BTN_TRIGGER_HAPPY1`. Without it the generic driver starts at
/// `BTN_TRIGGER` and goes on at `BTN_TRIGGER_HAPPY1` after sixteen: there 0x2c0 is a yellow button, so the map is
/// chosen by whether 0x120 exists, never by a code alone.
fn first_red(device: &Identity) -> u16 {
    if device.has(BTN_TRIGGER) { BTN_TRIGGER } else { BTN_TRIGGER_HAPPY1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::identity::tests::device;

    fn pairs(map: &KeyMap) -> Vec<(u16, u16)> {
        map.pairs().map(|(key, buzzer)| (key.get(), buzzer.0)).collect()
    }

    #[test]
    fn hardware_is_recognised_by_what_it_is_and_has() {
        let sony: Vec<u16> = (0x2c0..0x2d4).collect();
        let buttons: Vec<u16> = (0x120..0x12c).collect();
        let keyboard: Vec<u16> = (1..128).collect();
        let both: Vec<u16> = (1..128).chain(0x120..0x130).collect();
        let padded: Vec<u16> = (1..128).chain(0x130..0x13f).collect();
        for (ids, keys, want) in [
            ((0x054c, 0x0002), &sony, Some(("buzz-wired", true))),
            ((0x054c, 0x1000), &sony, Some(("buzz-wireless", true))),
            ((0x0079, 0x0006), &buttons, Some(("dragonrise", true))),
            ((0xd209, 0x0501), &buttons, Some(("ipac", true))),
            ((0xd209, 0x0310), &keyboard, Some(("ipac-keyboard", false))),
            ((0x045e, 0x028e), &vec![0x130, 0x131, 0x133], Some(("xbox360-pad", true))),
            ((0x1234, 0x5678), &vec![0x130, 0x131], Some(("gamepad", true))),
            ((0x1234, 0x5678), &buttons, Some(("joystick", true))),
            // Never unasked: a keyboard, one with phantom joystick buttons, a mouse, a tablet, one button.
            ((0x1234, 0x5678), &keyboard, None),
            ((0x1234, 0x5678), &both, None),
            ((0x1234, 0x5678), &padded, Some(("gamepad", false))),
            ((0x0079, 0x0006), &both, Some(("dragonrise", false))),
            ((0x3553, 0xb001), &keyboard, Some(("foot-switch", false))),
            ((0x26ce, 0x01a2), &buttons, None),
            ((0x1234, 0x5678), &vec![0x13f], Some(("gamepad", true))),
            ((0x1234, 0x5678), &vec![0x110, 0x111, 0x120], None),
            ((0x1234, 0x5678), &vec![0x130, 0x14b], None),
            ((0x1234, 0x5678), &vec![28], None),
            ((0x1234, 0x5678), &vec![], None),
            ((0x054c, 0x0002), &vec![], None),
            ((0x054c, 0x0002), &keyboard, None),
        ] {
            let device = device(3, ids, "usb-0-1/input0", keys);
            let got = recognise(&device).map(|profile| (profile.name, profile.is_free_to_take(&device)));
            assert_eq!(got, want, "{ids:04x?} {keys:x?}");
        }
    }

    #[test]
    fn what_a_program_made_up_is_never_free_to_take() {
        let mut fake = device(3, (0x054c, 0x0002), "", &[0x2c0, 0x2c5, 0x2ca, 0x2cf]);
        fake.bus = BUS_VIRTUAL;
        let profile = recognise(&fake).unwrap();
        assert!(!profile.is_free_to_take(&fake));
    }

    #[test]
    fn the_reds_are_found_under_both_drivers() {
        let sony: Vec<u16> = (0x2c0..0x2d4).collect();
        let generic: Vec<u16> = (0x120..0x130).chain(0x2c0..0x2c4).collect();
        for (keys, reds) in [(sony, [0x2c0, 0x2c5, 0x2ca, 0x2cf]), (generic, [0x120, 0x125, 0x12a, 0x12f])] {
            let hub = device(3, (0x054c, 0x1000), "usb-0-1/input0", &keys);
            let want: Vec<_> = reds.into_iter().zip(1..).collect();
            assert_eq!(pairs(&recognise(&hub).unwrap().keys(&hub)), want);
        }
    }

    #[test]
    fn buttons_and_keys_count_up_by_code() {
        let pad = device(3, (1, 1), "", &[0x133, 0x130, 0x13f, 0x220, 0x2c0, 0x2ff, 0x100]);
        let want = [(0x100, 1), (0x130, 2), (0x133, 3), (0x13f, 4), (0x220, 5), (0x2c0, 6), (0x2ff, 7)];
        assert_eq!(pairs(&recognise(&pad).unwrap().keys(&pad)), want);
        let odd = device(3, (1, 1), "", &[116, 28]);
        assert_eq!(pairs(&every_key(&odd.keys)), [(28, 1), (116, 2)]);
    }

    #[test]
    fn modifiers_and_locks_are_no_buzzers_of_their_own_accord() {
        let pad = device(3, (1, 1), "", &[69, 29, 42, 71, 72, 0x1d0]);
        assert_eq!(pairs(&every_key(&pad.keys)), [(71, 1), (72, 2)]);
        let only = device(3, (1, 1), "", &[29]);
        assert_eq!(pairs(&every_key(&only.keys)), [(29, 1)], "a button that sends nothing else");
        // An I-PAC sends control, alt, space and shift for player 1.
        let keys: Vec<u16> = (1..=84).collect();
        let encoder = device(3, (0xd209, 0x0310), "", &keys);
        assert_eq!(
            recognise(&encoder).unwrap().keys(&encoder).buzzer(KeyCode::new(29).unwrap()),
            Some(Buzzer(29))
        );
    }

    proptest! {
        /// A key behind a button, or a keyboard on its node, changes no button's number.
        #[test]
        fn numbers_do_not_depend_on_what_stands_behind(
            first in 0x130_u16..0x140,
            buttons in proptest::collection::btree_set(0x130_u16..0x300, 1..12),
            keyboard in any::<bool>(),
        ) {
            let has = |code: &u16| !(0x140..0x150).contains(code);
            let buttons: Vec<u16> = buttons.into_iter().chain([first]).filter(has).collect();
            let all: Vec<u16> = buttons.iter().copied().chain((1..112).filter(|_| keyboard)).collect();
            let whole = device(3, (1, 1), "", &all);
            let numbers = recognise(&whole).unwrap().keys(&whole);
            for end in &buttons {
                let cut: Vec<u16> = buttons.iter().copied().filter(|code| code <= end || *code == first).collect();
                let part = device(3, (1, 1), "", &cut);
                let part = recognise(&part).unwrap().keys(&part);
                for code in cut.iter().filter(|code| *code <= end) {
                    let key = KeyCode::new(*code).unwrap();
                    prop_assert_eq!(part.buzzer(key), numbers.buzzer(key));
                }
            }
        }
    }

    #[test]
    fn a_light_belongs_to_the_handset_whose_button_it_is() {
        let hub = device(3, (0x054c, 2), "usb-0-1/input0", &(0x2c0..0x2d4).collect::<Vec<_>>());
        let reds = recognise(&hub).unwrap().keys(&hub);
        let lights = |keys: &KeyMap, device: &Identity| {
            [1, 2, 4, 9].map(|number| light_of(device, keys, Buzzer(number)).unwrap_or_default())
        };
        assert_eq!(lights(&reds, &hub), [1, 2, 4, 0]);
        let own = [(0x2cf, 1), (0x2cc, 2), (0x2c4, 9)];
        let own = KeyMap::new(own.map(|(key, number)| (KeyCode::new(key).unwrap(), Buzzer(number))));
        assert_eq!(lights(&own, &hub), [4, 3, 0, 1], "as configured");
        let pad = device(4, (1, 1), "", &[0x130, 0x131]);
        assert_eq!(lights(&recognise(&pad).unwrap().keys(&pad), &pad), [1, 2, 0, 0]);
        assert!(recognise(&device(3, (0x054c, 0x1000), "", &[0x2c0])).unwrap().needs_keep_awake());
        assert!(!recognise(&hub).unwrap().needs_keep_awake());
    }
}
