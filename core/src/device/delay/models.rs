//! A measured model: how long before its stamp a press of it was made. In: how often Linux polls it. Out: its measured
//! delays as a sorted list, and the interval that every unit of it keeps to. Guarantee: the interval is never narrower
//! than the data; what nobody has measured has no list. Which models there are: `catalogue.rs`.
//!
//! What was measured: one unit of each model (two pads with DragonRise's chip), 5000 presses or more for each curve, by
//! a box that closes the contact and waits for the event. So a figure has the radio, the scan, the firmware and the
//! poll in it, and 0.1 to 0.3 ms of the box's own; it has no bounce. Source and licence: `curves.rs`.
//!
//! In no figure here, because they are the box's own: the four longest readings of exxter at its own interval (0.2 to
//! 6.06 s) and the longest of diamondback at 1 ms (177 ms, with 18, 28 and 53 ms behind it).

/// A sorted list of delays.
pub(crate) type Quantiles = [u32; 129];

/// The longest delay of all 41 devices: 6312kw, a PS/2 keyboard behind an adapter.
pub const SLOWEST_MEASURED_US: u32 = 71_161;
/// The widest interval of all 41 devices: the same keyboard's.
pub const WIDEST_MEASURED_US: u32 = 42_867;
/// The longest delay of the wired pads among them at their own interval: the Tramani CT-P3000.
pub const SLOWEST_WIRED_PAD_US: u32 = 27_359;

/// What a press may be quicker than the quickest that was measured. Each row has five runs of 1000 presses: of the
/// wired devices no run was below the other four by more than 0.675 ms, one reading of one pad apart (3.8 ms, and it
/// is in the data). The box's own path, up to 0.3 ms, is no part of the device.
pub(crate) const BELOW_US: u32 = 1_000;
/// What a press may be slower than the slowest that was measured. Of the 410 such runs seven were above the other four
/// by more than 2.6 ms, each by one or two readings, which are in the data. A hub's translator adds up to 1 ms. Real
/// contacts bounce, and firmware that waits for rest adds that: 1.6 ms on average (Ganssle, "A Guide to Debouncing",
/// 18 switches); the box's contact does not bounce. Worn contacts bounce longer: such a device is to be measured.
pub(crate) const ABOVE_US: u32 = 5_000;
/// What a radio may be quicker or slower than the one that was measured, by the room and the pairing: the runs of one
/// and the same wireless mouse (trust_oni) have medians of 14.1 to 25.6 ms.
pub(crate) const RADIO_US: u32 = 12_000;

/// Whose number a model's USB number is: how far its figures hold for what answers by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// One maker's for one product, wired.
    Own,
    /// Other products answer by it too: chips that are sold to everybody, and imitations. Such a product may be as
    /// quick as an RP2040 board (0.56 ms) and, by assumption, no slower than the slowest wired pad that was measured.
    /// An arcade encoder with DragonRise's chip was seen to take 2 to 31 ms, that box's 1 to 2 ms included (maziac,
    /// LagMeter, `Docs/LagMeasurements.md`).
    Shared,
    /// One maker's for one product, with a radio.
    Radio,
}

/// A model that was measured.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name for people.
    pub name: &'static str,
    /// How far the figures hold for what answers by these numbers.
    pub standing: Standing,
    /// How often it asks to be polled; `None`: not known.
    pub asked_us: Option<u32>,
    /// What was measured.
    pub curve: &'static Curve,
}

/// The measured delays of a model at its own polling interval.
#[derive(Debug, PartialEq, Eq)]
pub struct Curve {
    /// 129 delays in ascending order, for places 0/128 to 128/128 of the distribution.
    pub quantiles_us: Quantiles,
    /// The first, the middle and the last where `usbhid` was told to poll every 1 ms; `None`: that is what it asks for.
    pub forced_us: Option<[u32; 3]>,
}

impl Curve {
    pub(crate) const fn own(quantiles_us: Quantiles) -> Self {
        Self { quantiles_us, forced_us: None }
    }

    pub(crate) const fn and_forced(self, forced_us: [u32; 3]) -> Self {
        Self { forced_us: Some(forced_us), ..self }
    }

    /// The shortest delay that was measured.
    pub const fn min_us(&self) -> u32 {
        self.quantiles_us[0]
    }

    /// Half of the delays were shorter.
    pub const fn median_us(&self) -> u32 {
        self.quantiles_us[64]
    }

    /// The longest delay that was measured.
    pub const fn max_us(&self) -> u32 {
        self.quantiles_us[128]
    }
}

impl Model {
    /// The delays measured at this polling interval; `None`: nobody has measured it there.
    ///
    /// `poll_us` is the period at which Linux polls (`Endpoint::poll_us`), `None` where it cannot be seen, which counts
    /// as the device's own. Linux rounds down to a power of two, so a device that asks for 10 ms is polled every 8.
    pub fn curve_at(&self, poll_us: Option<u32>) -> Option<&'static Curve> {
        let is_own = poll_us
            .zip(self.asked_us)
            .is_none_or(|(poll_us, asked_us)| poll_us <= asked_us && poll_us > asked_us / 2);
        is_own.then_some(self.curve)
    }

    /// The interval within which every unit's delay lies, from the data and the margins above; `poll_us` as with
    /// [`Self::curve_at`]. Where the polling interval was not measured, it covers all that were; a slower poll is added.
    pub fn delay_us(&self, poll_us: Option<u32>) -> (u32, u32) {
        if let Some(curve) = self.curve_at(poll_us) {
            return self.with_margins(curve.min_us(), curve.max_us());
        }
        let slower_us = poll_us.unwrap_or(0).saturating_sub(self.asked_us.unwrap_or(0));
        let (min_us, max_us) = self.delay_of_any_us();
        (min_us, max_us.saturating_add(slower_us))
    }

    /// The interval that covers all polling intervals that were measured.
    pub fn delay_of_any_us(&self) -> (u32, u32) {
        let (own_min_us, own_max_us) = (self.curve.min_us(), self.curve.max_us());
        let [min_us, _, max_us] = self.curve.forced_us.unwrap_or([own_min_us, 0, own_max_us]);
        self.with_margins(min_us.min(own_min_us), max_us.max(own_max_us))
    }

    fn with_margins(&self, min_us: u32, max_us: u32) -> (u32, u32) {
        match self.standing {
            Standing::Own => (min_us.saturating_sub(BELOW_US), max_us + ABOVE_US),
            Standing::Shared => (0, max_us.max(SLOWEST_WIRED_PAD_US) + ABOVE_US),
            Standing::Radio => (min_us.saturating_sub(RADIO_US), max_us + RADIO_US),
        }
    }
}

#[cfg(test)]
mod tests;
