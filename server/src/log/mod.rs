//! The event log's form: JSON Lines, chained. In: records. Out: lines, and records again. Guarantee: one record is one
//! line; any changed, removed, added or reordered byte is found, but for a cut at the end of a line of the newest file.
//!
//! ```text
//! {"v":1,"seq":7,"at_us":81234567,"kind":"press","pool":"stage","buzzer":3,"device":2,"h":"0f3c…"}\n
//! |_____|________|_______________|________________________________________|____________________|_|
//!   |       |         |                 what the kind calls for                the hash         newline, only here
//!   |       |         µs of CLOCK_MONOTONIC in the boot that the last `start` record names
//!   |       dense, from 1; goes on over restarts
//!   the version of this form
//! ```
//! `v` and `seq` are the first keys, `h` is the last; [`form::chain`] says what it is over. A line has at most 8192 bytes. A
//! reader takes keys it does not know as additions and passes over them.
//!
//! The log is one stream of lines. Segments are cuts in it, so `cat` of the files in the order of their names is the log.

pub mod form;
pub mod store;

pub use form::chain::ChainHash;
pub use form::fingerprint::Fingerprint;
pub use form::line::{BadLine, FORMAT_VERSION, Line, decode, encode};
pub use form::segment::SegmentName;
pub use form::verify::Verifier;
