//! Accepting. In: listeners that may have somebody, and what `accept` answers. Out: connections, one by one. Guarantee: who
//! cannot be accepted now waits in the kernel, and is accepted as soon as a descriptor is free; that is tried again without
//! spinning.

use std::collections::VecDeque;
use std::io;

use buzzer_core::time::{KernelTime, Micros};

use super::share::Share;

/// When something is tried again that could not be done now.
pub(super) const AGAIN_US: Micros = Micros::from_ms(100);

/// The listeners of one kind.
#[derive(Debug)]
pub(super) struct Accepting {
    /// What comes, for the diagnostic.
    who: &'static str,
    /// Listeners that may have somebody.
    ready: VecDeque<usize>,
    /// Nobody can be accepted before this time, or before a descriptor is free.
    starved: Option<KernelTime>,
}

impl Accepting {
    pub(super) const fn new(who: &'static str) -> Self {
        Self { who, ready: VecDeque::new(), starved: None }
    }

    /// A listener may have somebody.
    pub(super) fn set_ready(&mut self, listener: usize) {
        if !self.ready.contains(&listener) {
            self.ready.push_back(listener);
        }
    }

    /// Whether it may have somebody.
    pub(super) fn is_ready(&self, listener: usize) -> bool {
        self.ready.contains(&listener)
    }

    /// Whether there is work for the next turn.
    pub(super) fn is_busy(&self) -> bool {
        !self.ready.is_empty() && self.starved.is_none()
    }

    /// When [`Accepting::handle_deadline`] wants to be called.
    pub(super) const fn deadline(&self) -> Option<KernelTime> {
        self.starved
    }

    /// Does what was due at this time.
    pub(super) fn handle_deadline(&mut self, asked: KernelTime) {
        self.starved = self.starved.filter(|until| *until > asked);
    }

    /// A descriptor is free.
    pub(super) const fn set_free(&mut self) {
        self.starved = None;
    }

    /// Accepts nobody any more.
    pub(super) fn clear(&mut self) {
        self.ready.clear();
    }

    /// Who comes next, and at which listener, while the share lasts.
    pub(super) fn next<T>(
        &mut self,
        now: KernelTime,
        share: &mut Share,
        accept: impl Fn(usize) -> io::Result<T>,
    ) -> Option<(usize, T)> {
        while self.starved.is_none()
            && let Some(listener) = self.ready.front().copied()
            && share.has_time()
        {
            match accept(listener) {
                Ok(accepted) => return Some((listener, accepted)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.ready.pop_front();
                    }
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        // Out of descriptors, most likely.
                        ::log::warn!("{} wait, for none can be accepted: {error}", self.who);
                        self.starved = Some(now + AGAIN_US);
                    }
                },
            }
        }
        None
    }
}
