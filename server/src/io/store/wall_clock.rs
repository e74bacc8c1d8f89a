//! The wall clock beside the kernel's. In: both clocks. Out: anchors, pairs of readings of one moment; readiness when somebody
//! sets the wall clock. Guarantee: nothing is woken while nothing happens: the kernel itself says that the clock was set
//! (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`), and an anchor that is due waits for a record to come with.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use buzzer_core::io::reader::timer;
use buzzer_core::io::sys;
use buzzer_core::time::{KernelTime, Micros};
use mio::{Registry, Token};
use rustix::time::{TimerfdClockId, TimerfdTimerFlags, Timespec};

use crate::io::machine::host;
use crate::record::Fact;

/// The first record after this long brings an anchor along.
const ANCHOR_US: Micros = Micros::from_ms(60_000);
/// Readings of which the tightest counts: one of them may be interrupted.
const READINGS: usize = 5;
/// systemd-timesyncd(8) makes it once the clock is right.
const SYNCED: &str = "/run/systemd/timesync/synchronized";

/// Tells when the wall clock is set.
#[derive(Debug)]
pub struct AnchorClock {
    fd: OwnedFd,
    last: Option<KernelTime>,
}

impl AnchorClock {
    /// Its readiness comes as `token`.
    ///
    /// # Errors
    /// What the kernel answered to timerfd_create or epoll_ctl.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let clock = Self { fd: timer::create(registry, token, TimerfdClockId::Realtime)?, last: None };
        clock.arm()?;
        Ok(clock)
    }

    /// Far in the future: it is not there to expire.
    fn arm(&self) -> io::Result<()> {
        let never = Timespec { tv_sec: i64::MAX / 1_000_000_000, tv_nsec: 0 };
        timer::set(&self.fd, never, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET)
    }

    /// The clock was set: gives the new anchor.
    pub fn handle_set(&mut self) -> (KernelTime, Fact) {
        // ECANCELED; armed again before the clock is read, so that the next step is not missed.
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
        if let Err(error) = self.arm() {
            ::log::warn!("steps of the wall clock are no longer seen: {error}");
        }
        self.anchor()
    }

    /// Whether a record that comes now should bring an anchor along.
    pub fn is_due(&self, now: KernelTime) -> bool {
        self.last.is_none_or(|last| last + ANCHOR_US <= now)
    }

    /// Both clocks, now.
    pub fn anchor(&mut self) -> (KernelTime, Fact) {
        let readings = (0..READINGS).map(|_| {
            let (before, wall_us, after) = (sys::now(), host::wall_us(), sys::now());
            (after.since(before).as_us(), before, wall_us)
        });
        let (bracket_us, at, wall_us) = readings.min_by_key(|(bracket, ..)| *bracket).unwrap_or_default();
        self.last = Some(at);
        (at, Fact::Anchor { wall_us, bracket_us, synced: is_synced() })
    }
}

/// Whether a time server keeps the wall clock; `None`: not known.
pub(crate) fn is_synced() -> Option<bool> {
    // That the file is not there says nothing: other time services do not make it.
    Path::new(SYNCED).exists().then_some(true)
}
