//! The watchdog of systemd. In: the time, and how many passes the reader has made. Out: when the server is to look, and
//! whether systemd is told that all is well. Guarantee: it is told by the server thread, in its loop, and only if the reader has
//! made a pass since the last time; a disk or a client that hangs is no matter, for neither thread waits for one.

use std::time::Duration;

use buzzer_core::time::{KernelTime, Micros};
use sd_notify::NotifyState;

/// Looks in one period of the watchdog: one that is late is made up for by the next.
const LOOKS: u64 = 3;

/// The watchdog.
#[derive(Debug)]
pub(crate) struct Watchdog {
    between: Micros,
    due: KernelTime,
    /// The reader's passes when it was asked for one more.
    asked: Option<u64>,
}

impl Watchdog {
    /// The one that systemd asks for, if it does.
    pub(crate) fn new(now: KernelTime) -> Option<Self> {
        sd_notify::watchdog_enabled().map(|period| Self::every(period, now))
    }

    fn every(period: Duration, now: KernelTime) -> Self {
        let period_us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
        Self { between: Micros::from_us(period_us / LOOKS), due: now, asked: None }
    }

    /// When [`Self::look`] wants to be called.
    pub(crate) const fn due(&self) -> KernelTime {
        self.due
    }

    /// The server's loop has come round. `passes`: of the reader. True: the reader is to be woken, for it may sleep.
    pub(crate) fn look(&mut self, passes: u64, now: KernelTime) -> bool {
        if now < self.due {
            return false;
        }
        self.due = now + self.between;
        if self.is_fed(passes) {
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
        true
    }

    /// Whether the reader has done what it was asked for; it is asked again.
    fn is_fed(&mut self, passes: u64) -> bool {
        // The first time nobody has asked yet.
        let is_fed = self.asked.is_none_or(|asked| asked != passes);
        self.asked = Some(passes);
        is_fed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fed_while_the_reader_makes_passes() {
        let us = KernelTime::from_us;
        let mut watchdog = Watchdog::every(Duration::from_secs(3), us(10));
        assert_eq!(watchdog.due(), us(10));
        assert!(watchdog.look(7, us(10)) && !watchdog.look(8, us(1_000_009)));
        assert_eq!(watchdog.due(), us(1_000_010));
        let fed: Vec<bool> = [8, 9, 9, 9, 10].map(|passes| watchdog.is_fed(passes)).into();
        assert_eq!(fed, [true, true, false, false, true]);
    }
}
