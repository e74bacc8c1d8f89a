//! Everybody on a TCP port.

pub(crate) mod accepting;
pub mod addresses;
pub mod client;
pub mod handshake;
pub mod listen;
pub mod peers;
pub(crate) mod vitals;
