//! The log on the disk.

pub mod disk;
pub(crate) mod earlier_journal;
pub mod event_log;
pub mod log_dir;
pub(crate) mod log_lock;
pub mod log_proof;
pub mod log_reader;
pub mod obstacle;
pub(crate) mod regular;
pub mod retention;
pub mod wall_clock;
pub mod writer;
