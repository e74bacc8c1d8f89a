//! Everything below may make a system call; nothing outside this folder may.

pub mod attach;
pub mod daemon;
pub mod machine;
pub mod net;
pub mod replay;
mod share;
pub mod store;
