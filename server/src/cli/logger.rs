//! Messages for people, on stderr. In: the `log` macros' records. Out: one line each; under systemd with the `<N>` prefix
//! from which the journal takes the priority (sd-daemon(3)). Guarantee: never on the reader thread, which says nothing.

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Logger {
    journal: bool,
}

/// Installs it. `BUZZERD_LOG` may be `error`, `warn`, `info` (default) or `debug`.
pub(crate) fn install() {
    let level = std::env::var("BUZZERD_LOG").ok().and_then(|level| level.parse().ok());
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    if log::set_boxed_logger(Box::new(Logger { journal })).is_ok() {
        log::set_max_level(level.unwrap_or(LevelFilter::Info));
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries have to say is theirs.
        metadata.target().starts_with("buzz")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (priority, word) = match record.level() {
            Level::Error => (3, "error: "),
            Level::Warn => (4, "warning: "),
            Level::Info => (6, ""),
            Level::Debug | Level::Trace => (7, "debug: "),
        };
        if self.journal {
            eprintln!("<{priority}>{}", record.args());
        } else {
            eprintln!("buzzerd: {word}{}", record.args());
        }
    }

    fn flush(&self) {}
}
