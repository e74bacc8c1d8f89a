//! A timer for µs deadlines. In: points on CLOCK_MONOTONIC. Out: readiness of a token. Guarantee: a deadline in the
//! past fires at once; arming it again with the same deadline costs nothing. mio's own poll timeout is rounded up to
//! whole milliseconds (`epoll_wait`), which would double a settle window of 1 ms; hence timerfd.

use std::io;
use std::os::fd::OwnedFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::io::sys;
use crate::time::KernelTime;

/// A timer of this clock that is not set, whose readiness comes as `token`.
///
/// # Errors
/// What the kernel answered to timerfd_create or epoll_ctl.
pub fn create(registry: &Registry, token: Token, clock: TimerfdClockId) -> io::Result<OwnedFd> {
    let fd = timerfd_create(clock, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    registry.register(&mut SourceFd(&sys::raw(&fd)), token, Interest::READABLE)?;
    Ok(fd)
}

/// Has it fire once.
///
/// # Errors
/// What the kernel answered.
pub fn set(fd: &OwnedFd, at: Timespec, flags: TimerfdTimerFlags) -> io::Result<()> {
    let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
    timerfd_settime(fd, flags, &spec)?;
    Ok(())
}

/// One deadline at a time.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
    armed: Option<KernelTime>,
}

impl Timer {
    /// A timer without a deadline, whose readiness comes as `token`.
    ///
    /// # Errors
    /// What the kernel answered to timerfd_create or epoll_ctl.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { fd: create(registry, token, TimerfdClockId::Monotonic)?, armed: None })
    }

    /// Sets the deadline, or none.
    pub fn arm(&mut self, deadline: Option<KernelTime>) {
        if deadline == self.armed {
            return;
        }
        // Zero would disarm: the first microsecond after boot is as much in the past.
        let us = deadline.map_or(0, |deadline| deadline.as_us().max(1)).cast_signed();
        let at = Timespec { tv_sec: us / 1_000_000, tv_nsec: us % 1_000_000 * 1000 };
        set(&self.fd, at, TimerfdTimerFlags::ABSTIME)
            .expect("timerfd_settime refuses only a bad descriptor or time, and both are made here");
        self.armed = deadline;
    }

    /// It fired: the deadline is gone.
    pub fn acknowledge(&mut self) {
        self.armed = None;
        // The count of expirations; of no interest, and EAGAIN if it was armed anew meanwhile.
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
    }
}
