//! What the tests share. In: a configuration. Out: a real `buzzerd` on a free port, clients and attachments that talk
//! to it as any program would, and its log. Guarantee: whatever a test waits for has an event to wait for and a deadline
//! far beyond every honest delay, so a test neither sleeps nor hangs; nothing outlives its test.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

use std::time::Duration;

/// The parts.
pub mod harness {
    pub mod attachment;
    pub mod client;
    pub mod clock;
    pub mod daemon;
    pub mod journal;
    pub mod left_out;
    pub mod log_command;
    pub mod machine;
    pub mod pipes;
    pub mod raw;
    pub mod reader;
    pub mod session;
    pub mod sim_disk;
    pub mod spoilt;
    pub mod verifiers;
    pub mod written;
}

pub use harness::attachment::Attachment;
pub use harness::client::Client;
pub use harness::daemon::{Daemon, Ended, Home};
pub use harness::journal::Journal;
pub use harness::left_out::{is_slow, left_out};
pub use harness::log_command::{Said, log};
pub use harness::machine::Machine;
pub use harness::raw::Raw;
pub use harness::session::Session;

/// How long anything may take that must happen. Not a claim about speed: a shared machine may be stopped as a whole meanwhile,
/// and 39 s of that were seen.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Key code of buzzer 1 wherever a test does not care; buzzer 2 has the next, and so on.
pub const FIRST_KEY: u16 = 704;
