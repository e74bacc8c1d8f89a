//! buzzerd: who was first? In: the command line. Out: results on stdout, everything else on stderr, and an exit code: 0
//! done, 1 failed, 2 wrong usage or configuration. Only this file and `cli` see `anyhow`.

mod cli;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Failure};

fn main() -> ExitCode {
    cli::logger::install();
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => {
            eprintln!("buzzerd: {error:#}");
            ExitCode::from(2)
        }
        Err(Failure::Told) => ExitCode::from(1),
        Err(Failure::Failed(error)) => {
            eprintln!("buzzerd: {error:#}");
            ExitCode::from(1)
        }
    }
}
