//! Everything below may make a system call; nothing outside this folder may.

pub mod client;
pub mod daemon;
pub mod handshake;
pub mod host;
pub mod listen;
pub mod log_file;
pub mod virtual_pool;
