//! Tests that keep every processor busy, or that must get one when they ask. In: the real `buzzerd`, or its core. Out: pass,
//! fail, or a line that says what was left out. Guarantee: one at a time, in a program beside which no other test runs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

mod burst;
mod concurrent;
mod load;
mod receipt;
mod seen;
mod stall;

use std::sync::{Mutex, MutexGuard, PoisonError};

use buzzer_tests::harness::attachment::key;
use buzzer_tests::{Attachment, Daemon, Home};

/// Buttons of each device.
const KEYS: u16 = 32;

/// A pool of so many devices, all of them attached. Buzzer `n` of device `d` is `d * KEYS + n`.
fn desk(stamps: &str, devices: u16) -> (Home, Daemon, Vec<Attachment>) {
    let home = Home::desk(&format!("stamps = \"{stamps}\"\ndebounce_us = 0\nautoconnect = true"));
    let daemon = home.serve();
    let attach = |device| {
        let keys = (0..KEYS).map(|n| (key(1 + n), device * KEYS + n));
        Attachment::open_keys(&home.socket("desk"), &format!("device {device}"), keys)
    };
    let devices: Vec<Attachment> = (0..devices).map(attach).collect();
    home.journal().wait_attached(devices.len());
    (home, daemon, devices)
}

/// Held by the test that runs. One that failed is no reason for the next to fail.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
