//! From the ring to the screens: the second half of buzzerd.
//!
//! An event leaves the ring in kernel-time order, becomes a [`record::Record`] with a dense number in the
//! [`mediator`], is appended to the log, changes the [`state`] and leaves as a message through the [`outbox`]. Memory
//! may run ahead of the log by one batch; the world may not.
//!
//! Deliberately absent outside `io`: clocks, descriptors, threads, randomness. They are arguments.

pub mod admission;
pub mod button;
pub mod config;
pub mod counted;
pub mod diagnostics;
pub mod doctor;
pub mod draw;
pub mod frames;
pub mod game;
pub mod group;
pub mod http;
pub mod io;
pub mod log;
pub mod mediator;
pub mod outbox;
pub mod outgoing;
pub mod pace;
pub mod pages;
pub mod photo;
pub mod pool;
pub mod pool_id;
pub mod record;
pub mod replay;
pub mod settle;
pub mod state;
pub mod sums;
pub mod wire;
