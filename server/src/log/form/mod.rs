//! The form of the log: lines, their chain, names of segments, fingerprints, and what checks them.

pub mod chain;
pub mod checkpoint;
pub mod fingerprint;
pub mod line;
pub mod names;
pub mod segment;
pub mod strict;
pub mod verify;
