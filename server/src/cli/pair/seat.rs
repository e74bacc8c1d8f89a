//! One of the two buttons of `buzzerd devices --measure-pair`. In: what was found. Out: what it is called. Guarantee: pure.

use buzzer_core::device::assign::Found;
use buzzer_server::judge::explain::words::in_ms;

/// One of the two buzzers.
#[derive(Debug)]
pub(super) struct Seat {
    /// `stage 1`.
    pub(super) name: String,
    pub(super) pool: String,
    pub(super) buzzer: u16,
    /// What the configuration calls its device's entry; `None`: there is no configuration of pools.
    pub(super) entry: Option<String>,
    pub(super) found: Found,
}

/// Whether both are buttons of one device.
pub(super) fn is_one_device([a, b]: &[Seat; 2]) -> bool {
    a.found.identity.is_same_instance(&b.found.identity)
}

/// `6.120`.
pub(super) fn us_as_ms(us: u64) -> String {
    in_ms(us.cast_signed())
}
