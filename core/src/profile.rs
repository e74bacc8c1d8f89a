//! Hardware that needs no explanation. In: an [`Identity`]. Out: its [`Profile`]: a name, the default [`KeyMap`],
//! and whether it may be taken without being asked for. Guarantee: a keyboard, a mouse or a touch pad is never
//! recognised, so nobody loses a console to a quiz.
//!
//! Where neither configuration nor profile says which key is which buzzer, **every key** is one: buzzers 1 to n in
//! ascending key code ([`every_key`]).

use std::ops::RangeInclusive;

use crate::event::Buzzer;
use crate::identity::{BUS_VIRTUAL, Identity};
use crate::keys::{KeyBits, KeyCode, KeyMap};

/// Known hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    name: &'static str,
    layout: Layout,
    known: bool,
}

/// Which of a device's keys are buzzers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Four handsets on one node; the big red button of each.
    BuzzReds,
    /// The numbered buttons of a joystick, gamepad or encoder; no stick, no hat.
    Buttons,
    /// Whatever it has.
    EveryKey,
}

// Names of include/uapi/linux/input-event-codes.h.
const BTN_LEFT: u16 = 0x110;
const BTN_TRIGGER: u16 = 0x120;
const JOYSTICK: RangeInclusive<u16> = 0x120..=0x12f;
const GAMEPAD: RangeInclusive<u16> = 0x130..=0x13e;
const DIGITISER: RangeInclusive<u16> = 0x140..=0x14f;
const TRIGGER_HAPPY: RangeInclusive<u16> = 0x2c0..=0x2e7;
const BTN_TRIGGER_HAPPY1: u16 = 0x2c0;
/// `KEY_ESC` to `KEY_KPDOT`: what makes a keyboard one.
const TYPING: RangeInclusive<u16> = 1..=83;
/// Each handset has five buttons, the red one first (`hid-sony.c`, `buzz_keymap`).
const BUZZ_BUTTONS: u16 = 5;

const BUZZ_WIRELESS: &str = "buzz-wireless";

/// What a node must look like to have a profile of the table.
#[derive(Clone, Copy)]
enum Needs {
    Buttons,
    Keys,
}

struct Known(u16, RangeInclusive<u16>, Needs, Profile);

const fn known(vendor: u16, product: RangeInclusive<u16>, name: &'static str, layout: Layout) -> Known {
    Known(vendor, product, Needs::Buttons, Profile { name, layout, known: true })
}

/// The first row that fits holds. Numbers are those of `drivers/hid/hid-ids.h` and `drivers/input/joystick/xpad.c`.
const TABLE: &[Known] = &[
    known(0x054c, 0x0002..=0x0002, "buzz-wired", Layout::BuzzReds),
    known(0x054c, 0x1000..=0x1000, BUZZ_WIRELESS, Layout::BuzzReds),
    known(0x0079, 0x0006..=0x0006, "dragonrise", Layout::Buttons),
    known(0x0079, 0x0011..=0x0011, "dragonrise-pad", Layout::Buttons),
    known(0x16c0, 0x05e1..=0x05e1, "xin-mo", Layout::Buttons),
    known(0xd209, 0x0000..=0xffff, "ipac", Layout::Buttons),
    // An encoder that poses as a keyboard is told by its vendor, but what it is wired to cannot be known.
    Known(
        0xd209,
        0x0000..=0xffff,
        Needs::Keys,
        Profile { name: "ipac-keyboard", layout: Layout::EveryKey, known: false },
    ),
    known(0x045e, 0x028e..=0x028e, "xbox360-pad", Layout::Buttons),
    known(0x045e, 0x0719..=0x0719, "xbox360-pad", Layout::Buttons),
    known(0x054c, 0x0268..=0x0268, "ps3-pad", Layout::Buttons),
    known(0x054c, 0x05c4..=0x05c4, "ps4-pad", Layout::Buttons),
    known(0x054c, 0x09cc..=0x09cc, "ps4-pad", Layout::Buttons),
    known(0x054c, 0x0ce6..=0x0ce6, "ps5-pad", Layout::Buttons),
];

const GENERIC_GAMEPAD: Profile = Profile { name: "gamepad", layout: Layout::Buttons, known: true };
const GENERIC_JOYSTICK: Profile = Profile { name: "joystick", layout: Layout::Buttons, known: true };

/// The profile of a device. `None`: nothing to go by (a keyboard, a single button, a mouse).
pub fn recognise(device: &Identity) -> Option<Profile> {
    let has_buttons = has_buttons(device);
    let row = TABLE.iter().find(|Known(vendor, product, needs, _)| {
        *vendor == device.vendor
            && product.contains(&device.product)
            && match needs {
                Needs::Buttons => has_buttons,
                Needs::Keys => !device.keys.is_empty(),
            }
    });
    if let Some(Known(.., profile)) = row {
        return Some(*profile);
    }
    let generic = if any(device, GAMEPAD) { GENERIC_GAMEPAD } else { GENERIC_JOYSTICK };
    (has_buttons && any(device, 0x120..=0x13e)).then_some(generic)
}

/// Buttons of a joystick, gamepad or encoder, and nothing of a keyboard, a mouse or a tablet: some keyboards and
/// graphics tablets declare joystick buttons that they do not have.
fn has_buttons(device: &Identity) -> bool {
    [JOYSTICK, GAMEPAD, TRIGGER_HAPPY].into_iter().any(|range| any(device, range))
        && !any(device, TYPING)
        && !any(device, DIGITISER)
        && !device.has(BTN_LEFT)
}

fn any(device: &Identity, mut range: RangeInclusive<u16>) -> bool {
    range.any(|code| device.has(code))
}

impl Profile {
    /// Its name, as `devices` and a pool's default id show it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether this device may be taken though no configuration names it: what is made for play, is real (not
    /// from uinput) and types nothing.
    pub const fn is_free_to_take(&self, device: &Identity) -> bool {
        self.known && device.bus != BUS_VIRTUAL
    }

    /// Whether its handsets fall asleep unless the host keeps talking to them.
    pub fn needs_keep_awake(&self) -> bool {
        self.name == BUZZ_WIRELESS
    }

    /// Which key of this device is which buzzer, from 1.
    pub fn keys(&self, device: &Identity) -> KeyMap {
        match self.layout {
            Layout::BuzzReds => numbered(buzz_reds(device)),
            Layout::Buttons => numbered(device.keys.iter().filter(|key| {
                [JOYSTICK, GAMEPAD, TRIGGER_HAPPY].iter().any(|range| range.contains(&key.get()))
            })),
            Layout::EveryKey => every_key(&device.keys),
        }
    }
}

/// Every key a buzzer: 1 to n in ascending key code.
pub fn every_key(keys: &KeyBits) -> KeyMap {
    numbered(keys.iter())
}

/// Which light of a device belongs to a buzzer, from 1: a handset's own, whatever number the configuration gave its
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
    use super::*;
    use crate::identity::tests::device;

    fn pairs(map: &KeyMap) -> Vec<(u16, u16)> {
        map.pairs().map(|(key, buzzer)| (key.get(), buzzer.0)).collect()
    }

    #[test]
    fn hardware_is_recognised_by_what_it_is_and_has() {
        let sony: Vec<u16> = (0x2c0..0x2d4).collect();
        let buttons: Vec<u16> = (0x120..0x12c).collect();
        let keyboard: Vec<u16> = (1..128).collect();
        let both: Vec<u16> = (1..128).chain(0x120..0x130).collect();
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
            ((0x1234, 0x5678), &vec![0x110, 0x111, 0x120], None),
            ((0x1234, 0x5678), &vec![0x130, 0x14b], None),
            ((0x1234, 0x5678), &vec![28], None),
            ((0x1234, 0x5678), &vec![], None),
            ((0x054c, 0x0002), &vec![], None),
            ((0x054c, 0x0002), &keyboard, None),
        ] {
            let device = device(3, ids, "usb-0-1/input0", keys);
            let got = recognise(&device).map(|profile| (profile.name(), profile.is_free_to_take(&device)));
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
        let pad = device(3, (1, 1), "", &[0x133, 0x130, 0x220, 0x2c0]);
        assert_eq!(pairs(&recognise(&pad).unwrap().keys(&pad)), [(0x130, 1), (0x133, 2), (0x2c0, 3)]);
        let odd = device(3, (1, 1), "", &[116, 28]);
        assert_eq!(pairs(&every_key(&odd.keys)), [(28, 1), (116, 2)]);
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
