//! Results, many lines of them. In: text. Out: the same on stdout, in large pieces. Guarantee: whoever stops reading, as
//! `head` does, ends the command without a complaint.

use std::io::{self, BufWriter, Stdout as Unbuffered, StdoutLock, Write};

use anyhow::Context;

use crate::cli::Failure;

/// Buffered stdout.
#[derive(Debug)]
pub(super) struct Stdout(BufWriter<StdoutLock<'static>>);

impl Stdout {
    pub(super) fn new() -> Self {
        let out: Unbuffered = io::stdout();
        Self(BufWriter::with_capacity(64 * 1024, out.lock()))
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().or_else(unless_gone)
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Ends the process if nobody reads any more.
pub(super) fn unless_gone(error: io::Error) -> Result<(), Failure> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    Err(error).context("the result cannot be printed").map_err(Failure::Failed)
}
