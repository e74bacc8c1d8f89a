//! Buttons made through `/dev/uinput`: any keys, any name.
//!
//! Enters key edges of a test; leaves kernel input events. A device exists as long as its value: dropping it is the
//! unplug. (A uinput device made with the released `evdev` crate has no `phys`; `uhid` has.)

use std::path::{Path, PathBuf};

use evdev::uinput::VirtualDevice;
use evdev::{AttributeSet, BusType, EventType, InputEvent, InputId, KeyCode};
use rustix::time::{ClockId, clock_gettime};

use crate::deadline::{Outcome, Why, until};
use crate::node;

/// What the configurations of the cases call the keys, in the order of their codes.
pub(crate) const A: KeyCode = KeyCode::KEY_A;
/// The second key, for a marker press: what comes before its frame would have come before.
pub(crate) const B: KeyCode = KeyCode::KEY_B;

/// The button of a joystick: a device with this one is known, so it needs no configuration and is not grabbed.
pub(crate) const TRIGGER: KeyCode = KeyCode::BTN_TRIGGER;

/// Now, on the clock of the kernel's stamps.
pub(crate) fn now_us() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// Lets time pass that a case is about (a debounce, a held key); never to give something the time to happen.
pub(crate) fn let_pass(us: i64) -> Outcome {
    let end = now_us() + us;
    until("the clock", || (now_us() >= end).then_some(()))
}

/// One device.
#[derive(Debug)]
pub(crate) struct Button {
    device: VirtualDevice,
    node: PathBuf,
}

impl Button {
    /// A device with the keys A and B.
    pub(crate) fn plug(name: &str) -> Outcome<Self> {
        Self::plug_with(name, &[A, B])
    }

    pub(crate) fn plug_with(name: &str, keys: &[KeyCode]) -> Outcome<Self> {
        let keys = AttributeSet::from_iter(keys.iter().copied());
        let mut device = VirtualDevice::builder()
            .and_then(|builder| {
                let id = InputId::new(BusType::BUS_USB, 0x1209, 0xb022, 1);
                builder.name(name).input_id(id).with_keys(&keys)?.build()
            })
            .why(format!("uinput device {name}"))?;
        let input = device.get_syspath().why(name)?;
        let node = node::below(&input)?;
        Ok(Self { device, node })
    }

    pub(crate) fn node(&self) -> &Path {
        &self.node
    }

    /// One frame: this key with this value (0 up, 1 down, 2 autorepeat).
    pub(crate) fn send(&mut self, key: KeyCode, value: i32) -> Outcome {
        let event = InputEvent::new(EventType::KEY.0, key.code(), value);
        self.device.emit(&[event]).why("uinput write")
    }

    pub(crate) fn press(&mut self, key: KeyCode) -> Outcome {
        self.send(key, 1)
    }

    pub(crate) fn release(&mut self, key: KeyCode) -> Outcome {
        self.send(key, 0)
    }
}
