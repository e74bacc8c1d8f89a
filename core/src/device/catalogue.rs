//! The catalogue of hardware: what is known of a device by its USB number. In: vendor and product. Out: how its keys are
//! buzzers, whether there is a radio on the way, and what was measured of its delays. Guarantee: a fact about a product
//! stands here and nowhere else; its number has a source.
//!
//! Numbers without another source are those of `drivers/hid/hid-ids.h`, `drivers/input/joystick/xpad.c` and
//! `drivers/hid/hid-logitech-dj.c`.
//!
//! A measured row needs a number whose source can be named; it stands beside each. "The notebook" is
//! `LagBoxMeasurementsConverter.ipynb` of the measurements' repository: it has the full names, and how often each
//! device asks to be polled. Measured, but not here, because the number of what was measured is not certain: the
//! wireless Xbox pads (which receiver), DualShock 4 (which of two editions), Shield pad, Wingman, Tramani, the G15, G5,
//! IntelliMouse, Diamondback and Rival (several editions each), Optical Mouse 200 (its maker's number, or its chip's),
//! all PS/2 devices (the adapter answers) and the models without a maker's number. Not here either: the Arduino Micro,
//! whose sketch decides and not its number. GP2040-CE has no number of its own and no published distribution (0.7.x on
//! an RP2040 at 1000 Hz: 0.56 / 0.85 / 1.32 ms at least, on average, at most); it answers by [`Standing::Shared`] ones.

use std::ops::RangeInclusive;

use crate::device::delay::curves;
use crate::device::delay::models::{Curve, Model, Standing};
use crate::device::identity::Identity;

pub(crate) const BUZZ_WIRELESS: &str = "buzz-wireless";

/// Which buttons known hardware has (its rules: `profile.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// As `devices` and a pool's default id show it.
    pub name: &'static str,
    pub(crate) layout: Layout,
    /// What is made for play is known to be a buzzer; what sends keys may be anything.
    pub(crate) known: bool,
}

/// Which of a device's keys are buzzers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Four handsets on one node; the big red button of each.
    BuzzReds,
    /// The buttons of a joystick, gamepad or encoder; no stick, no hat.
    Buttons,
    /// All keys, modifiers among them: arcade encoders send them for a player's first buttons.
    Wired,
    /// Every key but modifiers and locks.
    EveryKey,
}

/// What a node must look like to have a profile of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Buttons,
    Keys,
    Typing,
}

/// What is known of some products of a vendor.
#[derive(Debug)]
pub struct Hardware {
    /// The USB vendor.
    pub vendor: u16,
    /// The USB products.
    pub products: RangeInclusive<u16>,
    /// What its node must look like, and which of its keys are buzzers then.
    pub(crate) profile: Option<(Needs, Profile)>,
    pub(crate) is_by_radio: bool,
    /// What was measured.
    pub model: Option<Model>,
}

impl Hardware {
    const fn new(vendor: u16, product: u16) -> Self {
        Self::range(vendor, product..=product)
    }

    const fn range(vendor: u16, products: RangeInclusive<u16>) -> Self {
        Self { vendor, products, profile: None, is_by_radio: false, model: None }
    }

    const fn profile(mut self, needs: Needs, name: &'static str, layout: Layout) -> Self {
        self.profile = Some((needs, Profile { name, layout, known: matches!(needs, Needs::Buttons) }));
        self
    }

    const fn by_radio(mut self) -> Self {
        self.is_by_radio = true;
        self
    }

    const fn measured(mut self, model: Model) -> Self {
        self.model = Some(model);
        self
    }

    const fn own(self, name: &'static str, asked_us: u32, curve: &'static Curve) -> Self {
        self.measured(Model { name, standing: Standing::Own, asked_us: Some(asked_us), curve })
    }

    const fn shared(self, name: &'static str, asked_us: u32, curve: &'static Curve) -> Self {
        self.measured(Model { name, standing: Standing::Shared, asked_us: Some(asked_us), curve })
    }

    const fn radio(self, name: &'static str, curve: &'static Curve) -> Self {
        self.measured(Model { name, standing: Standing::Radio, asked_us: None, curve })
    }
}

/// What is known of a device, of the most particular first.
pub(crate) fn of(device: &Identity) -> impl Iterator<Item = &'static Hardware> {
    let (vendor, product) = (device.vendor, device.product);
    CATALOGUE.iter().filter(move |row| row.vendor == vendor && row.products.contains(&product))
}

/// Every measured model, pads before keyboards before mice.
pub fn models() -> impl Iterator<Item = &'static Model> {
    CATALOGUE.iter().filter_map(|row| row.model.as_ref())
}

/// The model of this name, as a record has it.
pub fn model(name: &str) -> Option<&'static Model> {
    models().find(|model| model.name == name)
}

/// Everything that is known. The first row that fits holds.
pub static CATALOGUE: &[Hardware] = &[
    Hardware::new(0x054c, 0x0002).profile(Needs::Buttons, "buzz-wired", Layout::BuzzReds),
    Hardware::new(0x054c, 0x1000).profile(Needs::Buttons, BUZZ_WIRELESS, Layout::BuzzReds).by_radio(),
    // 0079:0006: usb.ids "PC TWIN SHOCK Gamepad"; `drivers/hid/hid-dr.c` "DragonRise Inc. Generic USB Joystick", the
    // name by which the measured pads (Speedlink Strike, black and green) and the usual arcade encoder report.
    Hardware::new(0x0079, 0x0006).profile(Needs::Buttons, "dragonrise", Layout::Buttons).shared(
        "DragonRise arcade encoder",
        10_000,
        &curves::DRAGONRISE,
    ),
    Hardware::new(0x0079, 0x0011).profile(Needs::Buttons, "dragonrise-pad", Layout::Buttons),
    Hardware::new(0x16c0, 0x05e1).profile(Needs::Buttons, "xin-mo", Layout::Buttons),
    Hardware::range(0xd209, 0x0000..=0xffff).profile(Needs::Buttons, "ipac", Layout::Buttons),
    // An encoder that poses as a keyboard is told by its vendor, but what it is wired to cannot be known.
    Hardware::range(0xd209, 0x0000..=0xffff).profile(Needs::Keys, "ipac-keyboard", Layout::Wired),
    // Pedals that can be set to send keys, mouse buttons or pad buttons have a node for each; as sold they send keys.
    Hardware::new(0x3553, 0xb001).profile(Needs::Typing, "foot-switch", Layout::EveryKey),
    Hardware::range(0x0c45, 0x7403..=0x7404).profile(Needs::Typing, "foot-switch", Layout::EveryKey),
    Hardware::new(0x413d, 0x2107).profile(Needs::Typing, "foot-switch", Layout::EveryKey),
    Hardware::new(0x1a86, 0xe026).profile(Needs::Typing, "foot-switch", Layout::EveryKey),
    // 045e:028e: usb.ids "Xbox360 Controller"; `drivers/input/joystick/xpad.c` "Microsoft X-Box 360 pad". Boards with
    // GP2040-CE and many pads of other makers answer by it.
    Hardware::new(0x045e, 0x028e).profile(Needs::Buttons, "xbox360-pad", Layout::Buttons).shared(
        "Microsoft Xbox 360 pad",
        4_000,
        &curves::XBOX360,
    ),
    Hardware::new(0x045e, 0x0719).profile(Needs::Buttons, "xbox360-pad", Layout::Buttons).by_radio(),
    Hardware::new(0x045e, 0x0291).by_radio(),
    // 054c:0268: `drivers/hid/hid-ids.h` USB_DEVICE_ID_SONY_PS3_CONTROLLER; usb.ids "PlayStation 3 Controller". It is
    // much imitated (`drivers/hid/hid-sony.c` knows some by their names).
    Hardware::new(0x054c, 0x0268).profile(Needs::Buttons, "ps3-pad", Layout::Buttons).shared(
        "Sony DualShock 3",
        1_000,
        &curves::DUALSHOCK3,
    ),
    Hardware::new(0x054c, 0x05c4).profile(Needs::Buttons, "ps4-pad", Layout::Buttons),
    Hardware::new(0x054c, 0x09cc).profile(Needs::Buttons, "ps4-pad", Layout::Buttons),
    // The DualShock 4's adaptor.
    Hardware::new(0x054c, 0x0ba0).by_radio(),
    Hardware::new(0x054c, 0x0ce6).profile(Needs::Buttons, "ps5-pad", Layout::Buttons),
    // The Steam controller.
    Hardware::new(0x28de, 0x1142).by_radio(),
    // 046d:c31c: usb.ids "Keyboard K120".
    Hardware::new(0x046d, 0xc31c).own("Logitech K120", 10_000, &curves::LOGITECH_K120),
    // 1e7d:3264: `drivers/hid/hid-ids.h` USB_DEVICE_ID_ROCCAT_ISKUFX; the notebook says "Roccat ISKU FX".
    Hardware::new(0x1e7d, 0x3264).own("Roccat Isku FX", 1_000, &curves::ROCCAT_ISKU_FX),
    // 05ac:0304: usb.ids "Mighty Mouse [Mitsumi, M1152]"; the notebook says "Apple A1152".
    Hardware::new(0x05ac, 0x0304).own("Apple Mighty Mouse A1152", 10_000, &curves::APPLE_A1152),
    // 046d:c03e: usb.ids "Premium Optical Wheel Mouse (M-BT58)"; the notebook says the same of `bt58`.
    Hardware::new(0x046d, 0xc03e).own("Logitech M-BT58", 10_000, &curves::LOGITECH_BT58),
    // 046d:c246: usb.ids "Gaming Mouse G300".
    Hardware::new(0x046d, 0xc246).own("Logitech G300", 1_000, &curves::LOGITECH_G300),
    // 046d:c06b: usb.ids "G700 Wireless Gaming Mouse"; systemd's `70-mouse.hwdb` says "(Wired)".
    Hardware::new(0x046d, 0xc06b).own("Logitech G700", 1_000, &curves::LOGITECH_G700),
    // 046d:1023: systemd's `70-mouse.hwdb`, "Logitech G700 Laser Mouse (Wireless)": the number that the kernel gives
    // the mouse behind its receiver. The receiver's own, c531, is other mice's too.
    Hardware::new(0x046d, 0x1023).radio("Logitech G700 by radio", &curves::LOGITECH_G700_RADIO),
    // 046d:c048: usb.ids "G9 Laser Mouse".
    Hardware::new(0x046d, 0xc048).own("Logitech G9", 10_000, &curves::LOGITECH_G9),
    // 046d:c050: usb.ids "RX 250 Optical Mouse".
    Hardware::new(0x046d, 0xc050).own("Logitech RX250", 10_000, &curves::LOGITECH_RX250),
    // Logitech: F710, the Unifying, Nano, Lightspeed and Bolt receivers; what is paired with them has a number of its
    // own below 0x5000, which no wired product has.
    Hardware::new(0x046d, 0xc219).by_radio(),
    Hardware::new(0x046d, 0xc21f).by_radio(),
    Hardware::range(0x046d, 0xc52b..=0xc548).by_radio(),
    Hardware::range(0x046d, 0x1000..=0x4fff).by_radio(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::identity::tests::device;

    #[test]
    fn a_number_and_a_name_belong_to_one_model() {
        let of =
            |vendor, product| of(&device(3, (vendor, product), "", &[])).find_map(|row| row.model.as_ref());
        for (place, row) in CATALOGUE.iter().enumerate() {
            let Some(measured) = &row.model else { continue };
            assert!(std::ptr::eq(model(measured.name).unwrap(), measured));
            for product in row.products.clone() {
                assert!(std::ptr::eq(of(row.vendor, product).unwrap(), measured), "{}", measured.name);
            }
            assert!(!row.products.is_empty());
            let mut others = CATALOGUE[..place].iter().filter_map(|row| row.model.as_ref());
            assert!(others.all(|other| other.name != measured.name), "{}", measured.name);
        }
        assert!(of(0x054c, 0x0002).is_none(), "nobody has measured a Buzz! hub");
        assert!(model("dragonrise arcade encoder").is_none());
    }
}
