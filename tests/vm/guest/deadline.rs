//! Waiting for what is awaited, with a limit.
//!
//! Enters a probe that is asked again and again; leaves what it found, or a text that names what did not come.
//! Nothing here waits for a fixed while: a slow machine makes the tests slow, never wrong.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// What a case or a step of it comes to: a value, or why not, with what was seen.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Emulation stalls for tens of milliseconds and a crowded host for half a minute; a broken daemon stalls for ever.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A moment until which something may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    #[allow(clippy::disallowed_methods, reason = "a test's patience is no kernel time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now() + LIMIT)
    }

    #[allow(clippy::disallowed_methods, reason = "a test's patience is no kernel time")]
    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Asks `probe` until it has an answer.
#[allow(
    clippy::disallowed_methods,
    reason = "a pause between two probes of sysfs, which has nothing to wait on"
)]
pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> Outcome<T> {
    let deadline = Deadline::start();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if deadline.is_over() {
            return Err(format!("waited {} s in vain for {what}", LIMIT.as_secs()));
        }
        // What is waited for is a state of the kernel or of another process, which tells nobody.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Names the operation that failed.
pub(crate) trait Why<T> {
    fn why(self, what: impl Display) -> Outcome<T>;
}

impl<T, E: Display> Why<T> for Result<T, E> {
    fn why(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}

/// One fact, with what was seen instead.
pub(crate) fn ensure(holds: bool, seen: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(seen()) }
}

/// The usual fact: what came is what was expected.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, seen: &T, expected: &T) -> Outcome {
    ensure(seen == expected, || format!("{what}: saw {seen:?}, expected {expected:?}"))
}
