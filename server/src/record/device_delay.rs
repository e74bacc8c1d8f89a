//! What an `attach` record says of a device's delay. In: the [`Delay`] that was found for it. Out: the keys of the record.
//! Guarantee: what is not known is absent, never a number.

use buzzer_core::device::delay::Delay;
use buzzer_core::time::Micros;
use serde::{Deserialize, Serialize};

/// How long before its stamp a press of a device was made, and what that stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDelay {
    /// The shortest and the longest, µs.
    pub delay_us: [u64; 2],
    /// `configured`, `model`, `bus`, `unknown`, `receipt`, `program`.
    pub delay_basis: String,
    /// Two presses that came the same way differ by no more, µs. Absent: by the longest without the shortest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width_us: Option<u64>,
    /// In this time the device looks at all its contacts, µs; 0: at one moment. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan_us: Option<u64>,
    /// The time between two polls, µs. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_us: Option<u64>,
    /// USB vendor and product: `054c:0002`. Absent: a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl From<&Delay> for DeviceDelay {
    fn from(delay: &Delay) -> Self {
        let us = |span: Micros| span.as_us();
        Self {
            delay_us: [us(delay.us.min_us), us(delay.us.max_us)],
            delay_basis: delay.basis.name().to_owned(),
            width_us: (delay.width_us != delay.us.width_us()).then(|| us(delay.width_us)),
            scan_us: delay.scan_us.map(us),
            poll_us: delay.poll_us.map(us),
            model: delay.model.map(|(vendor, product)| format!("{vendor:04x}:{product:04x}")),
        }
    }
}
