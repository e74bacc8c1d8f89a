//! How long before its stamp a press was made. In: an [`Identity`] with its USB endpoint, and what the configuration
//! sets. Out: [`Delay`]: an interval, how wide it can be where its place is not known, and what it stands on. Guarantee:
//! what nobody has measured counts as the slowest device that somebody has; only the configuration can say less.
//!
//! The kernel stamps a press when it has come through the device's scan and firmware, perhaps a radio, the wait for the
//! next poll, and the interrupt's way through the kernel. The figures stand on measurements of 41 devices, 5000 presses
//! each: Wimmer, Schmid, Bockes, "On the Latency of USB-Connected Input Devices", CHI 2019, doi 10.1145/3290605.3300650.

pub mod chance;
pub(crate) mod curves;
pub mod fairness;
pub mod models;

use std::fmt;

use models::{Curve, Model};

use crate::device::catalogue;
use crate::device::identity::{BUS_BLUETOOTH, BUS_USB, BUS_VIRTUAL, Identity};
use crate::time::Micros;

/// The longest delay of a device that nobody has measured: the slowest of the 41 takes 71.2 ms at most
/// ([`models::SLOWEST_MEASURED_US`]), and a model slower than all of these may exist.
const UNKNOWN_US_MAX: Micros = Micros::from_ms(100);
/// The width of its interval, for two devices of it: the widest of the 41 is 42.9 ms ([`models::WIDEST_MEASURED_US`]).
const UNKNOWN_WIDTH_US: Micros = Micros::from_ms(45);
/// What a radio of which nothing is known may add to that. The measured radios are in the 100 ms; Bluetooth alone may
/// grant a slot every 7.5 to 30 ms and more (Core Specification, "connInterval").
const RADIO_US: Micros = Micros::from_ms(30);
/// What a receipt stamp of a virtual pool may lag behind the sender's `write`: the way of the reader from its wake-up
/// to its clock. What the sender itself takes to notice a press, only the configuration can say.
pub const RECEIPT: Span = Span { min_us: Micros::ZERO, max_us: Micros::from_ms(1) };

/// An interval of delays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The shortest.
    pub min_us: Micros,
    /// The longest.
    pub max_us: Micros,
}

/// What the configuration sets for a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// `delay_us`.
    pub delay_us: Option<Span>,
    /// `scan_us`.
    pub scan_us: Option<Micros>,
}

/// How long before its stamp a press was made; by default it is as old as its stamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// The interval.
    pub us: Span,
    /// Two presses through the same path differ by no more.
    pub width_us: Micros,
    /// What the interval stands on.
    pub basis: Basis,
    /// How long the device takes to look at all its contacts; zero: they are sampled at once. `None`: not known.
    pub scan_us: Option<Micros>,
    /// How often it is polled, where that is known.
    pub poll_us: Option<Micros>,
    /// Which model it is: USB vendor and product.
    pub model: Option<(u16, u16)>,
    /// That model, if it was measured.
    pub measured: Option<&'static Model>,
    /// The distribution of its delays at this polling interval, if that was measured and holds.
    pub curve: Option<&'static Curve>,
    /// Whether there is a radio on the way.
    pub wireless: bool,
}

/// What a delay stands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// The configuration says it.
    Configured,
    /// Its model was measured.
    Model,
    /// Nobody has measured it, and its bus is a radio.
    Bus,
    /// Nobody has measured it.
    Unknown,
    /// The mediator stamps what comes.
    Receipt,
    /// A program makes the presses and says what its stamps are.
    #[default]
    Program,
}

impl Span {
    /// From the shortest to the longest.
    pub const fn new(min_us: Micros, max_us: Micros) -> Self {
        Self { min_us, max_us }
    }

    /// The longest without the shortest.
    pub const fn width_us(self) -> Micros {
        Micros::from_us(self.max_us.as_us().saturating_sub(self.min_us.as_us()))
    }
}

impl Delay {
    /// The delay of a press of this device. What is configured replaces what is known otherwise.
    pub fn of(device: &Identity, configured: Configured) -> Self {
        if device.bus == BUS_VIRTUAL {
            return Self::of_program().configured(configured);
        }
        let wireless = is_wireless(device);
        let radio_us = if wireless { RADIO_US.as_us() } else { 0 };
        let more = |us: Micros| Micros::from_us(us.as_us() + radio_us);
        // A parameter of `usbhid` may have it polled otherwise than it asks: how often is not known then.
        let polled = device.endpoint.filter(|endpoint| !endpoint.is_forced);
        let poll_us = polled.map(|endpoint| endpoint.poll_us());
        let unknown = Self {
            us: Span::new(Micros::ZERO, more(UNKNOWN_US_MAX)),
            width_us: more(UNKNOWN_WIDTH_US),
            basis: if wireless { Basis::Bus } else { Basis::Unknown },
            poll_us,
            model: Some((device.vendor, device.product)),
            wireless,
            ..Self::default()
        };
        unknown.measured(device).configured(configured)
    }

    /// That of what a program stamps: it says its own order, and nothing else if its stamps are exact.
    pub fn of_program() -> Self {
        Self { scan_us: Some(Micros::ZERO), ..Self::default() }
    }

    /// That of what is stamped when it comes from a program.
    pub fn of_receipt() -> Self {
        Self { us: RECEIPT, width_us: RECEIPT.width_us(), basis: Basis::Receipt, ..Self::of_program() }
    }

    /// With what was measured of the model, on the bus on which it was measured.
    fn measured(self, device: &Identity) -> Self {
        // A pad has the same number over Bluetooth, where nobody has measured it.
        let found =
            catalogue::of(device).find_map(|row| row.model.as_ref()).filter(|_| device.bus == BUS_USB);
        let Some(model) = found else { return self };
        let poll_us = self.poll_us.and_then(|us| u32::try_from(us.as_us()).ok());
        let is_forced = device.endpoint.is_some_and(|endpoint| endpoint.is_forced);
        let (min_us, max_us) = if is_forced { model.delay_of_any_us() } else { model.delay_us(poll_us) };
        let us = |us: u32| Micros::from_us(us.into());
        let us = Span::new(us(min_us), us(max_us));
        let curve = model.curve_at(poll_us).filter(|_| !is_forced);
        Self { us, width_us: us.width_us(), basis: Basis::Model, measured: found, curve, ..self }
    }

    /// With what the configuration says instead.
    #[must_use]
    pub fn configured(self, by: Configured) -> Self {
        let (us, basis) = by.delay_us.map_or((self.us, self.basis), |us| (us, Basis::Configured));
        let (width_us, curve) = match by.delay_us {
            Some(us) => (us.width_us(), None),
            None => (self.width_us, self.curve),
        };
        Self { us, basis, width_us, curve, scan_us: by.scan_us.or(self.scan_us), ..self }
    }
}

fn is_wireless(device: &Identity) -> bool {
    // Cheap dongles share numbers, but tell what they are. "Wireless" tells nothing: a DualShock on its cable calls
    // itself that.
    let name = device.name.to_ascii_lowercase();
    device.bus == BUS_BLUETOOTH
        || name.contains("2.4g")
        || name.contains("receiver")
        || catalogue::of(device).any(|row| row.is_by_radio)
}

impl Basis {
    /// One word for programs and the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Model => "model",
            Self::Bus => "bus",
            Self::Unknown => "unknown",
            Self::Receipt => "receipt",
            Self::Program => "program",
        }
    }
}

/// For a person: how much, and why.
impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.us.min_us, self.us.max_us) {
            (Micros::ZERO, Micros::ZERO) => f.write_str("a press is taken to be as old as its stamp: ")?,
            (min_us, max_us) => {
                write!(f, "a press is {} to {} ms older than its stamp: ", min_us.in_ms(), max_us.in_ms())?;
            }
        }
        match self.basis {
            Basis::Configured => f.write_str("so says the configuration")?,
            Basis::Model => {
                let name = self.measured.map_or("its model", |model| model.name);
                write!(f, "{name} was measured")?;
            }
            Basis::Bus => f.write_str("nobody has measured it, and it has a radio")?,
            Basis::Unknown => f.write_str("nobody has measured it")?,
            Basis::Receipt => f.write_str("stamped when it comes")?,
            Basis::Program => f.write_str("a program makes it")?,
        }
        match self.poll_us {
            Some(poll_us) => write!(f, "; polled every {} ms", poll_us.in_ms()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::device::endpoint::Endpoint;
    use crate::device::identity::tests::device;

    pub(crate) fn plugged(ids: (u16, u16), interval: &str, speed: &str) -> Identity {
        let endpoint = Endpoint::parse(interval, "", speed, "xhci_hcd");
        Identity { endpoint, ..device(3, ids, "usb-0-1/input0", &[0x120]) }
    }

    fn summary(device: &Identity) -> (u64, u64, u64, &'static str) {
        let Delay { us, width_us, basis, .. } = Delay::of(device, Configured::default());
        (us.min_us.as_us(), us.max_us.as_us(), width_us.as_us(), basis.name())
    }

    #[test]
    fn what_nobody_measured_counts_as_the_slowest_that_was() {
        assert_eq!(summary(&plugged((1, 1), "1ms", "12")), (0, 100_000, 45_000, "unknown"));
        assert_eq!(summary(&plugged((0x054c, 0x0002), "", "")), (0, 100_000, 45_000, "unknown"));
        assert_eq!(summary(&plugged((0x054c, 0x1000), "10ms", "1.5")), (0, 130_000, 75_000, "bus"));
        let wired = plugged((1, 1), "4ms", "12");
        let over_bluetooth = Identity { bus: BUS_BLUETOOTH, endpoint: None, ..wired.clone() };
        assert_eq!(summary(&over_bluetooth), (0, 130_000, 75_000, "bus"));
        assert_eq!(summary(&Identity { bus: BUS_VIRTUAL, ..wired }), (0, 0, 0, "program"));
    }

    #[test]
    fn how_often_is_not_known_where_a_parameter_has_another_interval_set() {
        let keyboard = plugged((0x046d, 0xc31c), "10ms", "1.5");
        let endpoint = keyboard.endpoint.map(|endpoint| Endpoint { is_forced: true, ..endpoint });
        let scan_us = Some(Micros::from_ms(5));
        let of = |device: &Identity| Delay::of(device, Configured { delay_us: None, scan_us });
        let (asked, forced) = (of(&keyboard), of(&Identity { endpoint, ..keyboard.clone() }));
        assert_eq!((asked.poll_us, asked.curve.is_some()), (Some(Micros::from_ms(8)), true));
        // A later report of another button is certain by scan and poll; at a slower poll that would be too soon.
        assert_eq!((forced.poll_us, forced.curve.is_some()), (None, false));
        assert!(forced.us.min_us <= asked.us.min_us && asked.us.max_us <= forced.us.max_us);
    }

    #[test]
    fn a_radio_is_known_by_bus_number_or_name() {
        for (name, wireless) in [
            ("Wireless Controller", false),
            ("SHANWAN 2.4G Gamepad", true),
            ("USB Receiver", true),
            ("Twin USB Joystick", false),
        ] {
            let device = Identity { name: name.to_owned(), ..plugged((1, 1), "1ms", "12") };
            assert_eq!(Delay::of(&device, Configured::default()).wireless, wireless, "{name}");
        }
        assert!(Delay::of(&plugged((0x046d, 0x4024), "", ""), Configured::default()).wireless);
    }

    #[test]
    fn the_configuration_has_the_last_word_but_not_on_the_radio() {
        let wireless = plugged((0x054c, 0x1000), "10ms", "1.5");
        for (min, max) in [(0, 0), (3, 3), (2, 1_000_000)] {
            let us = Span::new(Micros::from_us(min), Micros::from_us(max));
            let got = Delay::of(&wireless, Configured { delay_us: Some(us), scan_us: None });
            assert_eq!((got.us, got.width_us.as_us(), got.basis), (us, max - min, Basis::Configured));
            assert!(got.wireless);
        }
        let scan_us = Some(Micros::from_us(5000));
        let got = Delay::of(&wireless, Configured { delay_us: None, scan_us });
        assert_eq!((got.scan_us, got.basis), (scan_us, Basis::Bus));
    }

    #[test]
    fn a_person_is_told_why() {
        let of = |device: &Identity, configured| Delay::of(device, configured).to_string();
        let hub = plugged((0x054c, 2), "10ms", "1.5");
        assert_eq!(
            of(&hub, Configured::default()),
            "a press is 0 to 100 ms older than its stamp: nobody has measured it; polled every 8 ms"
        );
        let us = Span::new(Micros::from_us(125), Micros::from_ms(9));
        assert_eq!(
            of(&hub, Configured { delay_us: Some(us), scan_us: None }),
            "a press is 0.125 to 9 ms older than its stamp: so says the configuration; polled every 8 ms"
        );
    }
}
