//! How the log is kept: journal, segments, the writer, and recovery at a start.

pub mod expiry;
pub mod journal;
pub(crate) mod kept;
pub mod recovery;
pub mod segments;
pub mod storage;
pub mod writer;
