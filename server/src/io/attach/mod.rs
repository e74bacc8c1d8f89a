//! Programs at the sockets of virtual pools.

pub mod attachments;
pub mod virtual_pool;
