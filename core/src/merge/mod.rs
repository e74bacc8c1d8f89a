//! From many devices to one order. In: ready sources. Out: events in the ring. Guarantee: pure; descriptors, clocks and threads
//! are reached through the two traits of [`source`], so a test drives the machine that ships.

pub mod order;
pub mod pass;
pub mod ring;
pub mod source;
pub mod wake;
