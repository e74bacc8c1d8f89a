//! Which old segments go, from the disk. In: a log directory, what the configuration allows. Out: those, the oldest first.
//! Guarantee: without configuration nothing is read and nothing goes; nothing is removed here; what cannot be
//! read stays, with all behind it.
//!
//! Each segment that goes has a record of its own, with the hash that what is left follows from: they are removed one by
//! one, the oldest first, when the last of these records is durable, and what is left is a whole log at any time.

use std::path::Path;
use std::{fs, io};

use buzzer_core::io::sys;

use super::{log_dir, wall_clock};
use crate::config::LogConfig;
use crate::io::machine::host;
use crate::log::store::expiry::{History, Now, RetentionLimits, Segment};

/// Finds what may go now, in this boot.
pub(crate) fn expired(config: &LogConfig, dir: &Path, boot: &str) -> Vec<Segment> {
    let limits = RetentionLimits { keep_days: config.keep_days, keep_bytes: config.keep_bytes };
    if limits.keep_days.is_none() && limits.keep_bytes.is_none() {
        return Vec::new();
    }
    let wall_us = (wall_clock::is_synced() == Some(true)).then(host::wall_us);
    let now = Now { boot: boot.to_owned(), at_us: sys::now().as_us(), wall_us };
    let history = history(dir).unwrap_or_else(|error| {
        ::log::warn!("{}: old segments stay: {error}", dir.display());
        History::default()
    });
    history.expired(limits, &now).to_vec()
}

fn history(dir: &Path) -> io::Result<History> {
    let mut history = History::default();
    for (name, path) in log_dir::segments(dir)? {
        history.take(name, &fs::read(path)?);
    }
    Ok(history)
}
