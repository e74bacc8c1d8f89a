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
//! `v` and `seq` are the first keys, `h` is the last; [`chain`] says what it is over. A line has at most 8192 bytes. A
//! reader takes keys it does not know as additions and passes over them.
//!
//! The log is one stream of lines. Segments are cuts in it, so `cat` of the files in the order of their names is the log.

pub mod audit;
pub mod chain;
pub mod checkpoint;
pub mod expiry;
pub mod explain;
pub mod fingerprint;
pub mod journal;
mod kept;
pub mod line;
pub mod names;
pub mod recovery;
pub mod segment;
pub mod segments;
pub mod sentence;
pub mod span;
pub mod storage;
pub mod strict;
pub mod verify;
pub mod wall;
pub mod writer;

pub use chain::ChainHash;
pub use fingerprint::Fingerprint;
pub use line::{BadLine, FORMAT_VERSION, Line, decode, encode};
pub use segment::SegmentName;
pub use verify::Verifier;
