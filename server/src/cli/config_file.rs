//! The configuration's file. In: its path. Out: its text. Guarantee: nothing is waited for, and nothing but a regular file of a
//! size that a configuration can have is read; what is wrong with it is said with the place.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use buzzer_server::counted::counted;

/// No configuration is longer.
const BYTES_MAX: u64 = 1 << 20;

pub(super) fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let kind = std::fs::metadata(path).with_context(|| format!("{shown}: cannot be read"))?;
    ensure!(kind.is_file(), "{shown}: it is {}, expected a file", what(&kind));
    let file = File::open(path).with_context(|| format!("{shown}: cannot be read"))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("{shown}: cannot be read"))?;
    ensure!(bytes.len() as u64 <= BYTES_MAX, "{shown}: it is longer than 1 MiB, which no configuration is");
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            let column = 1 + good.iter().rev().take_while(|byte| **byte != b'\n').count();
            bail!(
                "{shown}:{line}: it is not UTF-8 behind {} of this line: save it as UTF-8",
                counted(column as u64 - 1, "byte")
            )
        }
    }
}

fn what(kind: &std::fs::Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = kind.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
