//! From the ring to the screens.

pub mod config;
pub mod pool_id;
