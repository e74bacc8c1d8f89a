//! What the machine is and does.

pub mod cpu_latency;
pub mod facts;
pub mod fd_store;
pub(crate) mod follow;
pub mod handed;
pub mod hardware;
pub mod holder;
pub mod host;
pub mod paths;
pub mod program;
pub mod signals;
pub(crate) mod watchdog;
