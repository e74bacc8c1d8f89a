//! The wake-up protocol in every interleaving. In: the file that `core` ships, built on loom's atomics. Out: pass, or the
//! interleaving that loses a wake-up. Guarantee: it is the shipped source, not a copy.

#[path = "../../core/src/merge/wake.rs"]
pub mod wake;
