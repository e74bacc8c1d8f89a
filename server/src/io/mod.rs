//! Everything below may make a system call; nothing outside this folder may.

pub mod addresses;
pub mod attachments;
pub mod client;
pub mod cpu_latency;
pub mod daemon;
pub mod disk;
pub mod event_log;
pub mod facts;
mod follow;
pub mod handshake;
pub mod hardware;
pub mod holder;
pub mod host;
pub mod listen;
pub mod log_dir;
pub mod log_proof;
pub mod log_reader;
pub mod obstacle;
pub mod peers;
pub mod replay;
pub mod retention;
mod share;
pub mod signals;
pub mod virtual_pool;
mod vitals;
pub mod wall_clock;
pub mod writer;
