//! Deep sleep of the processors, put off while somebody plays. In: how many µs of wake-up latency are wanted, and whether a
//! pool with buzzers is connected. Out: an open `/dev/cpu_dma_latency`. Guarantee: held only as long as that, and the
//! kernel ends the request by itself when the process does; a refusal is told once. What it buys: a processor that sleeps
//! must wake before it can take the interrupt whose press it is to stamp.
//!
//! "To register the default PM QoS target for the CPU latency QoS, the process must open /dev/cpu_dma_latency. As long as the
//! device node is held open that process has a registered request on the parameter. To change the requested target value,
//! the process needs to write an s32 value to the open device node" (Documentation/power/pm_qos_interface.rst). It is not
//! the reader's work: the write may wake every processor.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use buzzer_core::time::Micros;

/// Where the kernel takes the request.
pub const CPU_LATENCY_PATH: &str = "/dev/cpu_dma_latency";

/// The request.
#[derive(Debug)]
pub struct CpuLatency {
    path: PathBuf,
    /// `None`: not configured.
    wanted_us: Option<Micros>,
    held: Option<File>,
    is_refused: bool,
}

impl CpuLatency {
    /// A request that is not made yet.
    pub fn new(path: &Path, wanted_us: Option<Micros>) -> Self {
        Self { path: path.to_owned(), wanted_us, held: None, is_refused: false }
    }

    /// Makes the request if somebody plays, ends it if nobody does.
    ///
    /// # Errors
    /// Why it cannot be made, the first time.
    pub fn follow(&mut self, is_played: bool) -> Result<(), String> {
        let Some(us) = self.wanted_us else { return Ok(()) };
        if !is_played {
            self.held = None;
            return Ok(());
        }
        if self.held.is_some() || self.is_refused {
            return Ok(());
        }
        match request(&self.path, us) {
            Ok(file) => self.held = Some(file),
            Err(error) => {
                self.is_refused = true;
                return Err(format!("{}: {error}", self.path.display()));
            }
        }
        Ok(())
    }
}

fn request(path: &Path, us: Micros) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let us = i32::try_from(us.as_us()).unwrap_or(i32::MAX);
    file.write_all(&us.to_ne_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_made_while_somebody_plays_and_a_refusal_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cpu_dma_latency");
        let mut latency = CpuLatency::new(&path, Some(Micros::from_us(20)));
        let refused = latency.follow(true).unwrap_err();
        assert!(refused.contains("cpu_dma_latency: No such file"), "{refused}");
        assert_eq!(latency.follow(true), Ok(()), "told once");

        std::fs::write(&path, "").unwrap();
        let mut latency = CpuLatency::new(&path, Some(Micros::from_us(20)));
        assert_eq!(latency.follow(false), Ok(()));
        assert_eq!(std::fs::read(&path).unwrap(), b"", "nobody plays");
        assert_eq!(latency.follow(true), Ok(()));
        assert_eq!(std::fs::read(&path).unwrap(), 20i32.to_ne_bytes());
        assert!(latency.held.is_some());
        assert_eq!(latency.follow(false), Ok(()));
        assert!(latency.held.is_none(), "closing it ends the request");

        let mut off = CpuLatency::new(&path, None);
        assert_eq!(off.follow(true), Ok(()));
        assert!(off.held.is_none(), "not configured");
    }
}
