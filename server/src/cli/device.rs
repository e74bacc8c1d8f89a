//! A row of `buzzerd devices`. In: what the survey found. Out: the same with the pool it serves. Guarantee: none of its own.

pub(super) use buzzer_core::io::devices::survey::Row;

/// A device, and the pool it serves.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) row: Row,
    pub(super) pool: Option<String>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use buzzer_core::device::assign::Assignment;
    use buzzer_core::device::claim::SlotId;
    use buzzer_core::device::delay::{Configured, Delay};
    use buzzer_core::device::endpoint::Endpoint;
    use buzzer_core::device::identity::{BUS_USB, Identity};
    use buzzer_core::press::keys::KeyBits;

    /// A device of nobody's make that is polled every so many ms.
    pub(crate) fn device(node: &str, pool: Option<&str>, poll_ms: u64, name: &str) -> Device {
        let identity = Identity {
            node: node.to_owned(),
            instance: 7,
            dev: None,
            name: name.to_owned(),
            phys: String::new(),
            uniq: String::new(),
            bus: BUS_USB,
            vendor: 1,
            product: 1,
            version: 0,
            keys: KeyBits::NONE,
            inhibited: false,
            endpoint: Endpoint::parse(&format!("{poll_ms}ms"), "", "12", "xhci_hcd"),
        };
        let row = Row {
            delay: Delay::of(&identity, Configured::default()),
            identity,
            profile: None,
            verdict: Assignment::Slot(SlotId::new(0)),
            label: None,
            buzzers: Vec::new(),
            left_out: Vec::new(),
            trouble: None,
            remark: None,
        };
        Device { row, pool: pool.map(str::to_owned) }
    }
}
