//! By how much a press may be older than its stamp. In: an [`Identity`] with its USB endpoint, and what the
//! configuration sets. Out: [`Uncertainty`]: the span, what it stands on, whether there is a radio on the way.
//! Guarantee: what is not known counts as much, never as nothing; only the configuration can say less.
//!
//! Presses of two devices are in certain order only if they are further apart than the later one's uncertainty. The
//! kernel stamps a press when it has come through everything that is added up here: the device's firmware, a radio,
//! the wait for the next poll, and the interrupt's way through the kernel.

use std::fmt;
use std::ops::RangeInclusive;

use crate::endpoint::{Controller, Speed};
use crate::identity::{BUS_VIRTUAL, Identity};
use crate::time::Micros;

/// `BUS_BLUETOOTH` of `include/uapi/linux/input.h`.
const BUS_BLUETOOTH: u16 = 0x05;

/// From the end of a USB transfer to the stamp: the interrupt, and the softirq in which the completion runs
/// (`usb_giveback_urb_bh`). An estimate: tens of µs on an idle machine, more behind another device's interrupts. The
/// transaction translator of a hub (less than 1 ms) is in it too.
const SOFTIRQ: Micros = Micros::from_ms(1);
/// Scanning and debouncing in a device of which nothing is known. An estimate: Wimmer et al. (CHI 2019, doi
/// 10.1145/3290605.3300650) measured 36 devices and found them far apart; whoever needs better measures and configures.
const FIRMWARE_UNKNOWN: Micros = Micros::from_ms(10);
/// The console makers' wired pads. An estimate: they are made for play, and report far more often than they must.
const FIRMWARE_PAD: Micros = Micros::from_ms(5);
/// What a radio adds at least. An estimate: Bluetooth grants a slot every 7.5 to 30 ms and more (Core Specification,
/// "connInterval"); what a 2.4 GHz dongle does behind its fast USB poll, nobody tells.
const RADIO: Micros = Micros::from_ms(15);
/// The period of a device whose endpoint cannot be seen: what the slowest kind, low speed, may ask for at best (USB
/// 2.0, section 5.7.4: 10 ms).
const POLL_UNKNOWN: Micros = Micros::from_ms(10);
/// The wired Buzz! asks for 10 ms, so it is polled every 8 (`crate::endpoint`).
const POLL_BUZZ: Micros = Micros::from_ms(8);

/// What a receipt stamp of a virtual pool may lag behind the sender's `write`: the way of the reader from its wake-up
/// to its clock. An estimate. What the sender itself took to notice the press, only the configuration can say.
pub const RECEIPT: Micros = Micros::from_ms(1);
/// The smallest difference that makes two devices unequal: that between polls every 8 and every 4 ms.
const UNEQUAL: Micros = Micros::from_ms(4);

/// By how much a press may be older than its stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncertainty {
    /// The span.
    pub us: Micros,
    /// What it stands on.
    pub basis: Basis,
    /// The firmware's part, where it is known.
    pub firmware_us: Option<Micros>,
    /// Whether there is a radio on the way: its delay varies, and may be more than [`Self::us`] where that was not
    /// configured.
    pub wireless: bool,
}

/// What an uncertainty stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The configuration says it.
    Configured,
    /// A program made the device and says what its stamps are.
    Program,
    /// The USB endpoint says how often it is polled.
    Endpoint {
        /// The period.
        interval_us: Micros,
        /// The device's speed.
        speed: Speed,
        /// The host controller that polls.
        controller: Controller,
    },
    /// The endpoint cannot be seen, but the hardware is known.
    Table {
        /// The period.
        interval_us: Micros,
    },
    /// Nothing is known: no USB endpoint, no known hardware.
    Guess,
}

/// What is known of hardware.
#[derive(Clone, Copy, Default)]
struct Traits {
    poll: Option<Micros>,
    firmware: Option<Micros>,
    radio: bool,
}

struct Known(u16, RangeInclusive<u16>, Traits);

const PLAIN: Traits = Traits { poll: None, firmware: None, radio: false };
const RADIO_ONLY: Traits = Traits { radio: true, ..PLAIN };
const PAD: Traits = Traits { firmware: Some(FIRMWARE_PAD), ..PLAIN };

/// The first row that fits holds. Numbers are those of `drivers/hid/hid-ids.h`, `drivers/input/joystick/xpad.c` and
/// `drivers/hid/hid-logitech-dj.c`.
const TABLE: &[Known] = &[
    // Buzz!: RPCS3's description of the wired hub (`rpcs3/Emu/Io/Buzz.cpp`) has bInterval 10; the wireless receiver is
    // its successor, and a radio comes on top.
    Known(0x054c, 0x0002..=0x0002, Traits { poll: Some(POLL_BUZZ), ..PLAIN }),
    Known(0x054c, 0x1000..=0x1000, Traits { poll: Some(POLL_BUZZ), ..RADIO_ONLY }),
    // Wired pads: Xbox 360, DualShock 4 (two editions), DualSense. Over Bluetooth they have that bus and its radio.
    Known(0x045e, 0x028e..=0x028e, PAD),
    Known(0x054c, 0x05c4..=0x05c4, PAD),
    Known(0x054c, 0x09cc..=0x09cc, PAD),
    Known(0x054c, 0x0ce6..=0x0ce6, PAD),
    // Dongles: Xbox 360 receivers, the DualShock 4's adaptor, Steam controller.
    Known(0x045e, 0x0291..=0x0291, RADIO_ONLY),
    Known(0x045e, 0x0719..=0x0719, RADIO_ONLY),
    Known(0x054c, 0x0ba0..=0x0ba0, RADIO_ONLY),
    Known(0x28de, 0x1142..=0x1142, RADIO_ONLY),
    // Logitech: F710, the Unifying, Nano, Lightspeed and Bolt receivers; what is paired with them has a number of
    // its own below 0x5000, which no wired product has.
    Known(0x046d, 0xc219..=0xc219, RADIO_ONLY),
    Known(0x046d, 0xc21f..=0xc21f, RADIO_ONLY),
    Known(0x046d, 0xc52b..=0xc548, RADIO_ONLY),
    Known(0x046d, 0x1000..=0x4fff, RADIO_ONLY),
];

impl Uncertainty {
    /// That of a press of this device; `configured` holds whatever else is known.
    pub fn of(device: &Identity, configured: Option<Micros>) -> Self {
        let traits = traits(device);
        let (basis, interval_us) = match (configured, device.endpoint) {
            (Some(us), _) => {
                let (basis, firmware_us) = (Basis::Configured, traits.firmware);
                return Self { us, basis, firmware_us, wireless: traits.radio };
            }
            (None, _) if device.bus == BUS_VIRTUAL => return Self::of_program(Micros::ZERO),
            // Its own slots are in the radio's part.
            (None, _) if device.bus == BUS_BLUETOOTH => (Basis::Guess, Micros::ZERO),
            (None, Some(endpoint)) => {
                let (interval_us, speed, controller) =
                    (endpoint.poll_us(), endpoint.speed, endpoint.controller);
                (Basis::Endpoint { interval_us, speed, controller }, interval_us)
            }
            (None, None) => match traits.poll {
                Some(interval_us) => (Basis::Table { interval_us }, interval_us),
                None => (Basis::Guess, POLL_UNKNOWN),
            },
        };
        Self { us: sum(interval_us, traits), basis, firmware_us: traits.firmware, wireless: traits.radio }
    }

    /// That of what a program stamps, which says so itself.
    pub const fn of_program(us: Micros) -> Self {
        Self { us, basis: Basis::Program, firmware_us: None, wireless: false }
    }

    /// Whether two devices are so unlike that the same press on both might be told in the wrong order, or one of
    /// them has a radio and the other has none.
    pub fn is_unlike(&self, other: &Self) -> bool {
        self.us.as_us().abs_diff(other.us.as_us()) >= UNEQUAL.as_us() || self.wireless != other.wireless
    }
}

/// What to configure for a device whose reports were seen to come at this interval.
pub fn of_measured(device: &Identity, interval_us: Micros) -> Micros {
    sum(interval_us, traits(device))
}

fn sum(interval_us: Micros, traits: Traits) -> Micros {
    let radio = if traits.radio { RADIO } else { Micros::ZERO };
    let firmware = traits.firmware.unwrap_or(FIRMWARE_UNKNOWN);
    Micros::from_us([interval_us, SOFTIRQ, firmware, radio].into_iter().map(Micros::as_us).sum())
}

fn traits(device: &Identity) -> Traits {
    let row = TABLE
        .iter()
        .find(|Known(vendor, products, _)| *vendor == device.vendor && products.contains(&device.product));
    let mut traits = row.map_or(PLAIN, |Known(.., traits)| *traits);
    // Cheap dongles share numbers, but tell what they are. "Wireless" tells nothing: a DualShock on its cable calls
    // itself that.
    let name = device.name.to_ascii_lowercase();
    if device.bus == BUS_BLUETOOTH || name.contains("2.4g") || name.contains("receiver") {
        // A pad's wired firmware figure says nothing about its radio side.
        traits = Traits { firmware: None, radio: true, ..traits };
    }
    traits
}

impl Basis {
    /// One word for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Program => "program",
            Self::Endpoint { .. } => "endpoint",
            Self::Table { .. } => "table",
            Self::Guess => "guess",
        }
    }
}

/// A span in ms, with µs only where there are some: `8`, `0.125`.
fn ms(span: Micros) -> String {
    let us = span.as_us();
    if us.is_multiple_of(1000) {
        return (us / 1000).to_string();
    }
    format!("{}.{:03}", us / 1000, us % 1000).trim_end_matches('0').to_owned()
}

/// For a person: how much, and why.
impl fmt::Display for Uncertainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.us {
            Micros::ZERO => f.write_str("a press is taken to be as old as its stamp: ")?,
            us => write!(f, "a press may be up to {} ms older than its stamp: ", ms(us))?,
        }
        match self.basis {
            Basis::Configured => return f.write_str("so says the configuration"),
            Basis::Program => return f.write_str("a program makes it"),
            Basis::Endpoint { interval_us, controller, .. } => {
                write!(f, "polled every {} ms ({controller})", ms(interval_us))?;
            }
            Basis::Table { interval_us } => {
                write!(f, "such devices are polled every {} ms", ms(interval_us))?;
            }
            Basis::Guess if self.wireless => f.write_str("a guess")?,
            Basis::Guess => f.write_str("a guess, how often it is polled is unknown")?,
        }
        if self.wireless {
            f.write_str(", by radio with unknown delay")?;
        }
        match self.firmware_us {
            Some(us) => write!(f, ", firmware up to {} ms", ms(us)),
            None => f.write_str(", firmware unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;
    use crate::identity::tests::device;

    fn plugged(ids: (u16, u16), interval: &str, speed: &str) -> Identity {
        let endpoint = Endpoint::parse(interval, "", speed, "xhci_hcd");
        Identity { endpoint, ..device(3, ids, "usb-0-1/input0", &[0x120]) }
    }

    fn summary(device: &Identity) -> (u64, &'static str, bool) {
        let Uncertainty { us, basis, wireless, .. } = Uncertainty::of(device, None);
        (us.as_us(), basis.name(), wireless)
    }

    #[test]
    fn what_is_on_the_way_adds_up() {
        for (device, want) in [
            // Poll, softirq, firmware.
            (plugged((0x054c, 0x0002), "10ms", "1.5"), (19_000, "endpoint", false)),
            (plugged((0x054c, 0x0002), "", "1.5"), (19_000, "table", false)),
            (plugged((1, 1), "10ms", "12"), (19_000, "endpoint", false)),
            (plugged((1, 1), "1ms", "12"), (12_000, "endpoint", false)),
            (plugged((1, 1), "125us", "480"), (11_125, "endpoint", false)),
            (plugged((1, 1), "", ""), (21_000, "guess", false)),
            (plugged((0x045e, 0x028e), "4ms", "12"), (10_000, "endpoint", false)),
            // A radio on top.
            (plugged((0x054c, 0x1000), "10ms", "1.5"), (34_000, "endpoint", true)),
            (plugged((0x054c, 0x1000), "", ""), (34_000, "table", true)),
            (plugged((0x046d, 0xc52b), "1ms", "12"), (27_000, "endpoint", true)),
            (plugged((0x046d, 0x4024), "", ""), (36_000, "guess", true)),
            (plugged((0x046d, 0xc31c), "10ms", "1.5"), (19_000, "endpoint", false)),
        ] {
            assert_eq!(summary(&device), want, "{device:?}");
        }
    }

    #[test]
    fn the_bus_and_the_name_tell_too() {
        let pad = plugged((0x054c, 0x05c4), "4ms", "12");
        assert_eq!(summary(&pad), (10_000, "endpoint", false));
        let over_bluetooth = Identity { bus: BUS_BLUETOOTH, endpoint: None, ..pad.clone() };
        assert_eq!(summary(&over_bluetooth), (26_000, "guess", true), "not the firmware of the cable");
        for (name, wireless) in [
            ("Wireless Controller", false),
            ("SHANWAN 2.4G Gamepad", true),
            ("USB Receiver", true),
            ("Twin USB Joystick", false),
        ] {
            let device = Identity { name: name.to_owned(), ..plugged((1, 1), "1ms", "12") };
            assert_eq!(Uncertainty::of(&device, None).wireless, wireless, "{name}");
        }
        let made_up = Identity { bus: BUS_VIRTUAL, ..pad };
        assert_eq!(summary(&made_up), (0, "program", false));
    }

    #[test]
    fn the_configuration_has_the_last_word_but_not_on_the_radio() {
        let wireless = plugged((0x054c, 0x1000), "10ms", "1.5");
        for us in [0, 3, 1_000_000] {
            let got = Uncertainty::of(&wireless, Some(Micros::from_us(us)));
            assert_eq!((got.us.as_us(), got.basis, got.wireless), (us, Basis::Configured, true));
        }
    }

    #[test]
    fn a_person_is_told_why() {
        for (device, want) in [
            (
                plugged((0x054c, 2), "10ms", "1.5"),
                "a press may be up to 19 ms older than its stamp: polled every 8 ms (xHCI), firmware unknown",
            ),
            (
                plugged((0x045e, 0x028e), "125us", "480"),
                "a press may be up to 6.125 ms older than its stamp: polled every 0.125 ms (xHCI), firmware up to 5 ms",
            ),
            (
                plugged((0x054c, 0x1000), "", ""),
                "a press may be up to 34 ms older than its stamp: such devices are polled every 8 ms, by radio with \
                 unknown delay, firmware unknown",
            ),
            (
                plugged((1, 1), "", ""),
                "a press may be up to 21 ms older than its stamp: a guess, how often it is polled is unknown, firmware \
                 unknown",
            ),
        ] {
            assert_eq!(Uncertainty::of(&device, None).to_string(), want);
        }
        let none = Uncertainty::of(&plugged((1, 1), "", ""), Some(Micros::ZERO)).to_string();
        assert_eq!(none, "a press is taken to be as old as its stamp: so says the configuration");
    }

    #[test]
    fn unequal_devices_are_told_apart() {
        let of = |ids, interval| Uncertainty::of(&plugged(ids, interval, "12"), None);
        let (slow, fast, faster) = (of((1, 1), "8ms"), of((1, 1), "4ms"), of((1, 1), "1ms"));
        assert!(slow.is_unlike(&fast) && fast.is_unlike(&slow));
        assert!(!fast.is_unlike(&faster) && !slow.is_unlike(&slow));
        let radio = Uncertainty { wireless: true, ..fast };
        assert!(fast.is_unlike(&radio));
    }

    #[test]
    fn what_was_measured_takes_the_place_of_the_period() {
        let device = plugged((1, 1), "10ms", "12");
        assert_eq!(of_measured(&device, Micros::from_us(1_996)), Micros::from_us(12_996));
    }
}
