//! What the other cases take for granted of the kernel, checked without `buzzerd`.
//!
//! When one of these fails, the harness or the kernel is broken; when only later ones fail, `buzzerd` is.

use std::time::UNIX_EPOCH;

use evdev::{EventType, SynchronizationCode};

use crate::deadline::{Outcome, Why, ensure, same};
use crate::node::{self, Reader};
use crate::uhid::{BUS_USB, Hid, Identity, RED, USAGE_A};
use crate::uinput::{A, Button, let_pass, now_us};

/// Keys of the reds, 1 to 4, when hid-sony has the hub.
const REDS: [u16; 4] = [0x2c0, 0x2c5, 0x2ca, 0x2cf];

pub(crate) fn uinput_presses_arrive() -> Outcome {
    let mut button = Button::plug("kernel button")?;
    let mut reader = Reader::open(button.node())?;
    button.press(A)?;
    button.release(A)?;
    let (code, value, pressed) = reader.next_key()?;
    same("press", &(code, value), &(A.code(), 1))?;
    let (code, value, released) = reader.next_key()?;
    same("release", &(code, value), &(A.code(), 0))?;
    ensure(released >= pressed, || format!("release stamped {released:?}, its press {pressed:?}"))
}

/// hid-sony binds; four reds in one report have one stamp and come in the order of the handsets.
pub(crate) fn hid_sony_has_the_hub() -> Outcome {
    for product in [0x0002, 0x1000] {
        let mut hub = Hid::plug_buzz(product)?;
        same("driver", &node::driver(hub.node())?, &"sony".to_owned())?;
        let mut reader = Reader::open(hub.node())?;
        same("keys", &reader.keys(), &(0x2c0..=0x2d3).collect())?;
        hub.buzz_report(&[(0, RED), (1, RED), (2, RED), (3, RED)])?;
        let (first, _, stamp) = reader.next_key()?;
        same("first red", &first, &REDS[0])?;
        for red in &REDS[1..] {
            let (code, value, at) = reader.next_key()?;
            same("a red of the same report", &(code, value, at), &(*red, 1, stamp))?;
        }
    }
    Ok(())
}

pub(crate) fn keyboard_repeats() -> Outcome {
    let identity = Identity {
        name: "kernel keyboard",
        phys: "usb-0000:00:01.2-2/input0",
        uniq: "kernel-keyboard",
        bus: BUS_USB,
        vendor: 0x1209,
        product: 1,
    };
    let mut keyboard = Hid::plug_keyboard(identity)?;
    let mut reader = Reader::open(keyboard.node())?;
    ensure(reader.repeats(), || "no EV_REP".to_owned())?;
    keyboard.keyboard_report(&[USAGE_A])?;
    for value in [1, 2, 2, 2] {
        let (code, seen, _) = reader.next_key()?;
        same("key and value", &(code, seen), &(A.code(), value))?;
    }
    Ok(())
}

/// A replug takes the same node again, so that a path says nothing about who is there.
pub(crate) fn replug_reuses_the_node() -> Outcome {
    let first = Button::plug("kernel button")?.node().to_owned();
    let second = Button::plug("kernel button")?.node().to_owned();
    same("node after the replug", &second, &first)
}

pub(crate) fn full_queue_is_dropped() -> Outcome {
    let mut button = Button::plug("kernel button")?;
    let mut reader = Reader::open(button.node())?;
    for _ in 0..20 {
        button.press(A)?;
        button.release(A)?;
    }
    let first = reader.next()?;
    same(
        "first event",
        &(first.event_type(), first.code()),
        &(EventType::SYNCHRONIZATION, SynchronizationCode::SYN_DROPPED.0),
    )
}

/// The kernel's defect behind stale stamps: another program sets its clock while something waits in its queue.
pub(crate) fn clock_change_leaves_its_time() -> Outcome {
    let mut button = Button::plug("kernel button")?;
    let mut reader = Reader::open(button.node())?;
    reader.set_clock()?;
    let other = Reader::open(button.node())?;
    button.press(A)?;
    other.set_clock()?;
    let after = now_us();
    let_pass(20_000)?;
    button.release(A)?;
    reader.next_key()?;
    let (_, _, released) = reader.next_key()?;
    let at_us = released.duration_since(UNIX_EPOCH).why("stamp")?.as_micros();
    ensure(at_us <= after.unsigned_abs().into(), || format!("released at {at_us}, clock set before {after}"))
}
