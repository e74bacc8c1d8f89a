//! Results, on stdout. In: text. Out: the same, with plain writes; many lines go in large pieces. Guarantee: every result of every
//! command goes this way, and [`print()`] and [`print_json`] let nothing through that a terminal takes for more than text. Who stops reading, as `head` does, ends the command without a complaint; any other failure to write
//! is a sentence and exit code 1.

use buzzer_core::quote::{Json, Plain, kernel_words};
use std::io::{self, BufWriter, IsTerminal, Write};

use anyhow::anyhow;

use super::Failure;
use super::stderr::write_all;

/// Prints a page: its lines end with `\n`, and no other control or direction character is shown raw.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let page: String = text.split_inclusive('\n').map(line).collect();
    print_own(&page)
}

fn line(text: &str) -> String {
    text.strip_suffix('\n').map_or_else(|| Plain(text).to_string(), |line| format!("{}\n", Plain(line)))
}

/// Prints JSON, one document or one a line; what a terminal would obey is spelt as JSON escapes it.
pub(crate) fn print_json(text: &str) -> Result<(), Failure> {
    print_own(&Json(text).to_string())
}

/// Prints JSON or a page.
pub(crate) fn print_as(is_json: bool, text: &str) -> Result<(), Failure> {
    if is_json { print_json(text) } else { print(text) }
}

/// Prints a result as a whole, with colours of our own: texts from outside are escaped already. One that nobody reads any
/// more is no failure: what the command found decides how it ends.
pub(crate) fn print_own(text: &str) -> Result<(), Failure> {
    match print_more(text) {
        Err(Failure::Unread) => Ok(()),
        printed => printed,
    }
}

/// Prints one of many results.
///
/// # Errors
/// [`Failure::Unread`] if there is no use in a further one.
pub(crate) fn print_more(text: &str) -> Result<(), Failure> {
    Unbuffered.write_all(text.as_bytes()).or_else(unless_unread)
}

/// Whether stdout may be coloured: a terminal that can do it, and nobody who does not want it (<https://no-color.org>: set
/// and not empty).
pub(crate) fn may_colour() -> bool {
    let is = |name: &str, like: fn(&str) -> bool| {
        std::env::var_os(name).is_some_and(|value| like(&value.to_string_lossy()))
    };
    io::stdout().is_terminal()
        && !is("NO_COLOR", |value| !value.is_empty())
        && !is("TERM", |value| value == "dumb")
}

/// Buffered stdout.
pub(super) fn buffered() -> BufWriter<Unbuffered> {
    BufWriter::with_capacity(64 * 1024, Unbuffered)
}

/// Stdout without the line buffer of `std`, whose last piece is lost without a word.
#[derive(Debug)]
pub(super) struct Unbuffered;

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all(io::stdout(), bytes).map_err(|(error, _)| error)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a failed write means for the command.
pub(super) fn unless_unread(error: io::Error) -> Result<(), Failure> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Err(Failure::Unread);
    }
    Err(Failure::Failed(anyhow!("the result cannot be written: {}", kernel_words(&error))))
}
