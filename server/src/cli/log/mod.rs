//! `buzzerd log`. In: a log directory, or files of a log. Out: what they say, on stdout; everything else on stderr.
//! Guarantee: nothing of the log is changed and no lock is taken, so all of it works beside a running daemon; a
//! log of any length takes a few buffers of memory. Exit codes: 0 done, 1 failed or damaged, 2 wrong usage, or nothing
//! here that can be read as a log.

mod claim;
mod explain;
mod export;
mod fingerprint;
mod range;
mod records;
mod replay;
mod show;
mod time;
mod verdict;
mod verify;

use buzzer_server::config::Config;
use clap::{Args, Subcommand};

use super::Failure;

/// The log: is it whole, what does it say, what does it prove?
#[derive(Debug, Args)]
#[command(after_long_help = "\
Is it whole?          buzzerd log verify
Who was first?        buzzerd log explain
What happened?        buzzerd log show --from 19:30 --to 19:45
See it once more      buzzerd log replay --listen 127.0.0.1:7401
For the score sheet:  buzzerd log fingerprint
For somebody else:    buzzerd log export --dir DIR

Each takes the log's directory, or its .jsonl files in their order; with neither it reads log.dir of --config, else the log of
the daemon that answers on the default port, else /var/lib/buzzerd, else that in the state directory of this user.
A daemon may be running; what it has not written to the disk yet is read as well.

Exit codes: 0 done, 1 failed or damaged, 2 wrong usage, or not a log, of a newer version, empty or unreadable.")]
pub(crate) struct Log {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that not a byte was changed, removed, added or moved, and name the first line where one was
    Verify(verify::Verify),
    /// Answer a dispute: who was first, by how much, how sure that is, and what else happened
    Explain(explain::Explain),
    /// Serve a recorded log over WebSocket as if it were live
    Replay(replay::Replay),
    /// What happened, a line per record, with the time of day
    Show(show::Show),
    /// Hand it to somebody else: CSV, JSON, or a directory with everything to check it without buzzerd
    Export(export::Export),
    /// 16 characters that stand for the whole log up to a record: to read out, or to write on the score sheet
    Fingerprint(fingerprint::Print),
}

impl Log {
    pub(crate) fn run(self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
        match self.command {
            Command::Verify(verify) => verify.run(config),
            Command::Explain(explain) => explain.run(config),
            Command::Replay(replay) => replay.run(config),
            Command::Show(show) => show.run(config),
            Command::Export(export) => export.run(config),
            Command::Fingerprint(print) => print.run(config),
        }
    }
}
