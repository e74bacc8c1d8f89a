//! Facts about this machine. In: nothing. Out: wall clock, boot id, its names, random bytes. Guarantee: the only place of this
//! crate that reads the wall clock, which is shown to people and never used for order.

use std::io;
use std::time::SystemTime;

use crate::config::Host;

/// µs since 1970, as this box believes.
pub fn wall_us() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// When this program was made, or earlier: the beginning of 2026.
const MADE_US: u64 = 1_767_225_600_000_000;

/// What to say of a wall clock that cannot be right: a box without a battery starts in 1970.
pub fn clock_doubt(wall_us: u64) -> Option<String> {
    let stands = jiff::Timestamp::from_microsecond(i64::try_from(wall_us).ok()?).ok()?;
    (wall_us < MADE_US).then(|| {
        format!(
            "the wall clock stands at {stands}, which is long ago: order and log do not depend on it, but times of day are wrong \
             until it is set; `timedatectl` shows whether a time server will"
        )
    })
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

/// The names by which the network may know this machine: its host name, and those with a domain that `/etc/hosts` has for it.
pub fn full_names() -> Vec<Host> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    names_in(read("/proc/sys/kernel/hostname").trim(), &read("/etc/hosts"))
}

fn names_in(own: &str, hosts: &str) -> Vec<Host> {
    if own.is_empty() {
        return Vec::new();
    }
    let words =
        hosts.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace().skip(1));
    let is_own = |name: &&str| name.strip_prefix(own).is_some_and(|rest| rest.starts_with('.'));
    std::iter::once(own).chain(words.filter(is_own)).filter_map(Host::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_said() {
        let said = clock_doubt(10_000_000).expect("it is 1970");
        assert!(
            said.starts_with("the wall clock stands at 1970-01-01T00:00:10Z, which is long ago: order"),
            "{said}"
        );
        assert_eq!((clock_doubt(MADE_US), clock_doubt(u64::MAX)), (None, None));
        assert!(clock_doubt(MADE_US - 1).is_some());
    }

    #[test]
    fn a_machine_has_the_names_with_its_own_in_front() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tbox.quiz.example box # box.evil.example\n1.2.3.4 boxer.example\n";
        let hosts_of =
            |own| names_in(own, hosts).into_iter().map(|host| format!("{host:?}")).collect::<Vec<_>>();
        assert_eq!(hosts_of("box"), [r#"Name("box")"#, r#"Name("box.quiz.example")"#]);
        assert_eq!(hosts_of("a.example"), [r#"Name("a.example")"#]);
        assert!(hosts_of("").is_empty());
    }
}
