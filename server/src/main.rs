//! buzzerd: who was first? In: the command line. Out: results on stdout, everything else on stderr, and an exit code: 0
//! done, 1 failed, 2 wrong usage or configuration. Only this file and `cli` see `anyhow`.

mod cli;

use std::process::ExitCode;

use crate::cli::{Failure, stderr};

fn main() -> ExitCode {
    stderr::install();
    let code = match cli::run() {
        Ok(()) | Err(Failure::Unread) => 0,
        Err(Failure::Usage(error)) => {
            stderr::say(format_args!("{error:#}"));
            2
        }
        Err(Failure::Told) => 1,
        Err(Failure::Misused) => 2,
        Err(Failure::Failed(error)) => {
            stderr::say(format_args!("{error:#}"));
            1
        }
    };
    stderr::end();
    ExitCode::from(code)
}
