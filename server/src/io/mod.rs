//! Everything below may make a system call; nothing outside this folder may.

pub mod attachments;
pub mod client;
pub mod daemon;
pub mod disk;
pub mod event_log;
pub mod facts;
pub mod handshake;
pub mod hardware;
pub mod holder;
pub mod host;
pub mod listen;
pub mod peers;
pub mod retention;
pub mod virtual_pool;
pub mod wall_clock;
pub mod writer;
