//! From the ring to the screens: the second half of buzzerd.
//!
//! An event leaves the ring in kernel-time order, becomes a [`record::Record`] with a dense number in the
//! [`game::mediator`], is appended to the log, changes the [`game::state`] and leaves as a message through the [`wire::outbox`]. Memory
//! may run ahead of the log by one batch; the world may not.
//!
//! Deliberately absent outside `io`: clocks, descriptors, threads, randomness. They are arguments.

pub mod config;
pub mod counted;
pub mod diagnostics;
pub mod doctor;
pub mod game;
pub mod io;
pub mod judge;
pub mod log;
pub mod record;
pub mod wire;
