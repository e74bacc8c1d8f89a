//! Facts about this machine. In: nothing. Out: wall clock, boot id, random bytes. Guarantee: the only place of this
//! crate that reads the wall clock, which is shown to people and never used for order.

use std::io;
use std::time::SystemTime;

/// µs since 1970, as this box believes.
pub fn wall_us() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The kernel's name for this boot. `BUZZERD_BOOT_ID` stands in where `/proc` is restricted (systemd's `%b`).
///
/// # Errors
/// If neither can be read.
pub fn boot_id() -> io::Result<String> {
    let text = match std::env::var("BUZZERD_BOOT_ID") {
        Ok(text) => text,
        Err(_) => std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?,
    };
    Ok(text.trim().replace('-', ""))
}

/// Random bytes from the kernel.
///
/// # Panics
/// If the kernel has no randomness to give, which on Linux happens only before early boot is over.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("getrandom(2) works once the machine has booted");
    bytes
}
