//! What a client has seen so far. In: frames. Out: counts to wait for. Guarantee: whoever waits in vain fails.

use std::sync::{Condvar, Mutex};

use buzzer_tests::PATIENCE;

/// How many presses of a device a client has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<u64>, Condvar);

impl Seen {
    /// One more.
    pub(crate) fn count(&self) {
        *self.0.lock().expect("seen") += 1;
        self.1.notify_one();
    }

    /// Waits until it has seen so many.
    pub(crate) fn wait(&self, presses: u64) {
        let seen = self.0.lock().expect("seen");
        let (_seen, timeout) =
            self.1.wait_timeout_while(seen, PATIENCE, |seen| *seen < presses).expect("seen");
        assert!(!timeout.timed_out(), "a press was not told");
    }
}

/// Which buzzer of the desk this frame tells of.
pub(crate) fn buzzer(text: &str) -> Option<u16> {
    let number = text.strip_prefix(r#"{"event":"buzz","pool":"desk","buzzer":"#)?;
    number.strip_suffix('}')?.parse().ok()
}
