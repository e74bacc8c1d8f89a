//! How often a USB device is asked for reports. In: what sysfs says of its interrupt endpoint, its speed and its host
//! controller. Out: [`Endpoint`], and the period at which Linux really polls it ([`Endpoint::poll_us`]). Guarantee:
//! text of any kind is read without a panic; what says no interval is no endpoint.
//!
//! A button that goes down just after a poll is seen by the next one: the period is how much older than its stamp a
//! press may be on account of the bus.

use crate::time::Micros;

/// How fast a device signals, as sysfs `speed` says in Mbit/s (`drivers/usb/core/sysfs.c:speed_show`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// 1.5: the wired Buzz! and most keyboards.
    Low,
    /// 12: most gamepads and encoders.
    Full,
    /// 480.
    High,
    /// 5000 and more.
    Super,
    /// What sysfs says is none of these.
    Unknown,
}

/// The kind of host controller, where its driver decides over the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// USB 3, and every port of a machine that has it.
    Xhci,
    /// USB 1.
    Ohci,
    /// Another one, or none was found.
    Other,
}

/// The interrupt endpoint that a device reports through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How often the device asks to be polled.
    pub asked_us: Micros,
    /// Its speed.
    pub speed: Speed,
    /// Its host controller.
    pub controller: Controller,
    /// Whether a parameter of `usbhid` (`jspoll`, `kbpoll`, `mousepoll`) may have it polled at another interval. Not under
    /// xHCI, which sets the device's own again (`xhci-ring.c:check_interval`).
    pub is_forced: bool,
}

impl Speed {
    /// The text of sysfs `speed`.
    pub fn parse(text: &str) -> Self {
        match text.trim() {
            "1.5" => Self::Low,
            "12" => Self::Full,
            "480" => Self::High,
            "5000" | "10000" | "20000" => Self::Super,
            _ => Self::Unknown,
        }
    }

    /// Whether the bus counts intervals of this device in frames of 1 ms rather than in microframes of 125 µs.
    const fn counts_frames(self) -> bool {
        matches!(self, Self::Low | Self::Full)
    }
}

impl Controller {
    /// By the name of its driver in sysfs: `xhci_hcd`, `xhci-hcd`, `ohci-platform`.
    pub fn of_driver(driver: &str) -> Self {
        match driver {
            _ if driver.contains("xhci") => Self::Xhci,
            _ if driver.contains("ohci") => Self::Ohci,
            _ => Self::Other,
        }
    }
}

impl Endpoint {
    /// From the endpoint's `interval` (`10ms`, `125us`) or, where that says nothing, its `bInterval` (hex); the
    /// device's `speed`; the name of the controller's driver. `None`: there is no interval in it.
    pub fn parse(interval: &str, b_interval: &str, speed: &str, driver: &str) -> Option<Self> {
        let speed = Speed::parse(speed);
        let asked_us = decoded(interval).or_else(|| encoded(b_interval, speed))?;
        Some(Self { asked_us, speed, controller: Controller::of_driver(driver), is_forced: false })
    }

    /// The period at which Linux polls it.
    ///
    /// What counts in frames is rounded down to a power of two: `usb_submit_urb` does it for every controller
    /// (`drivers/usb/core/urb.c`), and xHCI goes by the same value of its own making
    /// (`xhci-mem.c:xhci_microframes_to_exponent`). At most 128 ms there, 32 ms with OHCI (`ohci-hcd`: its schedule
    /// has 32 frames). What counts in microframes asks for a power of two already.
    ///
    /// Not what [`Self::is_forced`] asks for; `buzzerd devices --measure` sees that.
    pub fn poll_us(&self) -> Micros {
        const FRAME_US: u64 = 1000;
        if !self.speed.counts_frames() {
            return self.asked_us;
        }
        let frames_max = if self.controller == Controller::Ohci { 32 } else { 128 };
        let frames = (self.asked_us.as_us() / FRAME_US).clamp(1, frames_max);
        Micros::from_us((1 << frames.ilog2()) * FRAME_US)
    }
}

/// The text of `interval` (`drivers/usb/core/endpoint.c:interval_show`): a whole number with `ms` or `us`.
fn decoded(text: &str) -> Option<Micros> {
    let text = text.trim();
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1000),
        None => (text.strip_suffix("us")?, 1),
    };
    let number: u32 = digits.parse().ok()?;
    (number > 0).then(|| Micros::from_us(u64::from(number) * unit))
}

/// The text of `bInterval`: two hex digits without `0x`; frames, or from high speed on the exponent of a power of two
/// of microframes, from 1 to 16 (USB 2.0, table 9-13).
fn encoded(text: &str, speed: Speed) -> Option<Micros> {
    let value = u8::from_str_radix(text.trim(), 16).ok().filter(|value| *value > 0)?;
    match speed {
        Speed::Low | Speed::Full => Some(Micros::from_ms(value.into())),
        Speed::High | Speed::Super => Some(Micros::from_us(125 << (value.min(16) - 1))),
        Speed::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_is_what_linux_polls_at() {
        for (interval, b_interval, speed, driver, want) in [
            // A wired Buzz!: asks for 10 ms, is polled every 8.
            ("10ms\n", "0a\n", "1.5\n", "xhci_hcd", Some(8_000)),
            ("10ms", "0a", "1.5", "ehci-pci", Some(8_000)),
            ("10ms", "0a", "12", "dwc2", Some(8_000)),
            ("5ms", "05", "12", "xhci-hcd", Some(4_000)),
            ("4ms", "04", "12", "xhci_hcd", Some(4_000)),
            ("1ms", "01", "12", "xhci_hcd", Some(1_000)),
            ("255ms", "ff", "1.5", "xhci_hcd", Some(128_000)),
            ("255ms", "ff", "1.5", "ohci-platform", Some(32_000)),
            ("125us", "01", "480", "xhci_hcd", Some(125)),
            ("1ms", "04", "480", "xhci_hcd", Some(1_000)),
            ("4ms", "06", "5000", "xhci_hcd", Some(4_000)),
            ("10ms", "0a", "unknown", "", Some(10_000)),
            // Only bInterval speaks: hexadecimal, and an exponent at high speed.
            ("", "0a", "1.5", "xhci_hcd", Some(8_000)),
            ("", "10", "12", "xhci_hcd", Some(16_000)),
            ("", "04", "480", "xhci_hcd", Some(1_000)),
            ("", "ff", "480", "xhci_hcd", Some(4_096_000)),
            ("0ms", "00", "12", "xhci_hcd", None),
            ("", "0a", "unknown", "xhci_hcd", None),
            ("soon", "0x0a", "12", "xhci_hcd", None),
            ("-1ms", "-1", "12", "xhci_hcd", None),
        ] {
            let endpoint = Endpoint::parse(interval, b_interval, speed, driver);
            let got = endpoint.map(|endpoint| endpoint.poll_us().as_us());
            assert_eq!(got, want, "{interval} {b_interval} {speed} {driver}");
        }
    }

    #[test]
    fn a_controller_is_known_by_its_driver() {
        for (driver, want) in [
            ("xhci_hcd", Controller::Xhci),
            ("xhci-hcd", Controller::Xhci),
            ("ehci-pci", Controller::Other),
            ("ohci-platform", Controller::Ohci),
            ("uhci_hcd", Controller::Other),
            ("dwc2", Controller::Other),
            ("dwc_otg", Controller::Other),
            ("vhci_hcd", Controller::Other),
            ("", Controller::Other),
        ] {
            assert_eq!(Controller::of_driver(driver), want, "{driver}");
        }
    }
}
