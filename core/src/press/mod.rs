//! One device: bytes become edges, and edges that count become events with a stamp. Nothing here knows another device.

pub mod debounce;
pub mod decode;
pub(crate) mod key_names;
pub mod keys;
pub mod stamp;
pub mod stream;
pub mod waits;
