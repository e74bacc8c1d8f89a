//! What a node is by its keys. In: an [`Identity`]. Out: its [`DeviceKind`], and which keys are buttons of a pad. Guarantee: the
//! ranges of `include/uapi/linux/input-event-codes.h` stand here and nowhere else; a key without a name is in them too (a
//! HID gamepad's 16th button has code 0x13f, `drivers/hid/hid-input.c`).

use std::ops::RangeInclusive;

use crate::device::identity::Identity;
use crate::press::keys::{KeyBits, KeyCode};

const MISC: RangeInclusive<u16> = 0x100..=0x10f;
const MOUSE: RangeInclusive<u16> = 0x110..=0x117;
const JOYSTICK: RangeInclusive<u16> = 0x120..=0x12f;
const GAMEPAD: RangeInclusive<u16> = 0x130..=0x13f;
const DIGITISER: RangeInclusive<u16> = 0x140..=0x14f;
const DPAD_AND_GRIPS: RangeInclusive<u16> = 0x220..=0x22f;
const TRIGGER_HAPPY: RangeInclusive<u16> = 0x2c0..=0x2ff;
/// `KEY_ESC` to `KEY_KPDOT`: what makes a keyboard one.
const TYPING: RangeInclusive<u16> = 1..=83;
/// More of these than any box of buttons has.
const TYPING_MIN: usize = 20;

/// Control, shift, alt, meta and fn, and the locks: programs and number pads send them around other keys.
const MODIFIERS_AND_LOCKS: [u16; 14] = [29, 42, 54, 56, 58, 69, 70, 97, 100, 125, 126, 0x1d0, 0x1e5, 0x231];

/// Lighting and other controllers that declare buttons that nobody can press (systemd's hwdb, `60-input-id.hwdb`): vendor
/// and product.
const NO_BUTTONS: &[(u16, u16)] = &[
    (0x26ce, 0x01a2), // ASRock LED Controller
    (0x048d, 0x5702), // RGB Fusion of Gigabyte's boards: "ITE Tech. Inc. ITE Device"
    (0x048d, 0x8297),
];
/// What the makers of mainboards call theirs, in small letters. One that is a pad after all is no pool unasked, and no more.
const LIGHTING: [&str; 5] = ["led controller", "rgb controller", "lighting", "mystic light", "rgb fusion"];

/// What a node is by its keys; the likelier a buzzer, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// A mouse, a touch pad, a tablet.
    Pointer,
    /// A few keys: a single button, a foot pedal, media keys.
    Keys,
    /// A keyboard that one can type on.
    Keyboard,
    /// A joystick, gamepad or encoder.
    Pad,
}

/// What this node is.
pub fn of(device: &Identity) -> DeviceKind {
    let is_pad = has_pad_buttons(device);
    if is_pad && !any(device, DIGITISER) && !any(device, MOUSE) && (!types(device) || any(device, GAMEPAD)) {
        DeviceKind::Pad
    } else if types(device) {
        DeviceKind::Keyboard
    } else if any(device, MOUSE) || any(device, DIGITISER) {
        DeviceKind::Pointer
    } else {
        DeviceKind::Keys
    }
}

/// Whether it has a button of a joystick, gamepad or encoder, and is not known to have it in name only.
pub(crate) fn has_pad_buttons(device: &Identity) -> bool {
    let name = device.name.to_ascii_lowercase();
    let is_known_liar = NO_BUTTONS.contains(&(device.vendor, device.product))
        || LIGHTING.iter().any(|lighting| name.contains(lighting));
    !is_known_liar && [JOYSTICK, GAMEPAD, TRIGGER_HAPPY].into_iter().any(|range| any(device, range))
}

/// Whether it is a joystick or gamepad by more than a numbered button.
pub(crate) fn is_stick_or_pad(device: &Identity) -> bool {
    [JOYSTICK, GAMEPAD].into_iter().any(|range| any(device, range))
}

/// Whether it is a gamepad rather than a joystick.
pub(crate) fn is_gamepad(device: &Identity) -> bool {
    any(device, GAMEPAD)
}

/// Whether it also types, points or draws, so that somebody may need it for that.
pub(crate) fn is_more_than_a_pad(device: &Identity) -> bool {
    any(device, TYPING) || any(device, DIGITISER) || any(device, MOUSE)
}

/// Whether one can type on it.
pub fn types(device: &Identity) -> bool {
    TYPING.filter(|code| device.has(*code)).count() >= TYPING_MIN
}

/// The buttons of a pad, ascending; no stick, no hat, no key that types or points.
pub(crate) fn pad_buttons(keys: &KeyBits) -> impl Iterator<Item = KeyCode> + '_ {
    let ranges = [MISC, JOYSTICK, GAMEPAD, DPAD_AND_GRIPS, TRIGGER_HAPPY];
    keys.iter().filter(move |key| ranges.iter().any(|range| range.contains(&key.get())))
}

/// Every key but modifiers and locks, ascending; these too where a device has nothing else.
pub(crate) fn plain_keys(keys: &KeyBits) -> impl Iterator<Item = KeyCode> + '_ {
    let is_plain = |key: &KeyCode| !MODIFIERS_AND_LOCKS.contains(&key.get());
    let has_plain = keys.iter().any(|key| is_plain(&key));
    keys.iter().filter(move |key| !has_plain || is_plain(key))
}

fn any(device: &Identity, mut range: RangeInclusive<u16>) -> bool {
    range.any(|code| device.has(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::identity::tests::device;

    #[test]
    fn a_node_is_what_its_keys_say() {
        let typing: Vec<u16> = (1..=111).collect();
        let with = |more: &[u16]| typing.iter().chain(more).copied().collect::<Vec<_>>();
        for (keys, want) in [
            (vec![28], DeviceKind::Keys),
            (vec![0x100, 0x101], DeviceKind::Keys),
            (typing.clone(), DeviceKind::Keyboard),
            (with(&[0x120, 0x121]), DeviceKind::Keyboard),
            (with(&[0x130, 0x131]), DeviceKind::Pad),
            (vec![0x13f], DeviceKind::Pad),
            (vec![0x120, 0x220, 0x100], DeviceKind::Pad),
            (vec![0x2ff], DeviceKind::Pad),
            (vec![0x110, 0x111], DeviceKind::Pointer),
            (vec![0x110, 0x111, 0x120], DeviceKind::Pointer),
            (vec![0x130, 0x14b], DeviceKind::Pointer),
            (vec![1, 28, 0x130], DeviceKind::Pad),
        ] {
            assert_eq!(of(&device(3, (1, 1), "", &keys)), want, "{keys:x?}");
        }
    }

    #[test]
    fn a_lighting_controller_is_no_pad() {
        let buttons: Vec<u16> = (0x120..0x126).collect();
        for ids in [(0x26ce, 0x01a2), (0x048d, 0x8297)] {
            assert_eq!(of(&device(3, ids, "", &buttons)), DeviceKind::Keys);
        }
        let named = |name: &str| Identity { name: name.to_owned(), ..device(3, (1, 2), "", &buttons) };
        for name in ["Acme LED Controller", "MYSTIC LIGHT ", "Acme Lighting Node"] {
            assert_eq!(of(&named(name)), DeviceKind::Keys, "{name}");
        }
        assert_eq!(of(&named("Arcade Stick with LEDs")), DeviceKind::Pad);
    }
}
