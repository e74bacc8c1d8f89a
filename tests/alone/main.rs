//! Tests that keep every processor busy, or that must get one when they ask. In: the real `buzzerd`, or its core. Out: pass,
//! fail, or a line that says what was left out. Guarantee: one at a time, in a program beside which no other test runs.

mod burst;
mod concurrent;
mod load;
mod seen;
mod stall;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by the test that runs. One that failed is no reason for the next to fail.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
