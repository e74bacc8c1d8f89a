//! What the benches share: one clock, figures from samples, the daemon and the machine. The benches are `table/main.rs`,
//! `micro/main.rs` and `log/main.rs`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

pub mod clock;
pub mod machine;
pub mod stats;
