//! Accepting. In: listeners that may have somebody, and what `accept` answers. Out: connections, one by one. Guarantee: who
//! cannot be accepted now waits in the kernel, and is accepted as soon as a descriptor is free; that is tried again without
//! spinning. A crowd leaves the log, its journal and the devices the descriptors that they open during a game.

use std::collections::VecDeque;
use std::io;

use buzzer_core::time::{KernelTime, Micros};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::io::share::Share;

/// When something is tried again that could not be done now.
pub(crate) const AGAIN_US: Micros = Micros::from_ms(100);

/// What a crowd leaves of the descriptors: the log opens a segment and a spare, and devices are plugged in. No more than half
/// of what the process may open, where that is little.
const KEPT: u64 = 128;
/// Attachments have one part in so many of the descriptors that a crowd may take, connections the others.
const PARTS: u64 = 4;

/// Who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Attachments,
    Connections,
}

impl Who {
    /// How many descriptors they may hold of `limit`.
    fn room(self, limit: u64) -> u64 {
        let crowd = limit - KEPT.min(limit / 2);
        match self {
            Self::Attachments => crowd / PARTS,
            Self::Connections => crowd - crowd / PARTS,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Attachments => "attachments",
            Self::Connections => "connections",
        }
    }
}

/// The listeners of one kind.
#[derive(Debug)]
pub(crate) struct Accepting {
    who: Who,
    /// So many may be held at one time.
    room: usize,
    /// Listeners that may have somebody.
    ready: VecDeque<usize>,
    /// Nobody can be accepted before this time, or before a descriptor is free.
    starved: Option<KernelTime>,
}

impl Accepting {
    pub(crate) fn new(who: Who) -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let room = usize::try_from(who.room(limit)).unwrap_or(usize::MAX);
        Self { who, room, ready: VecDeque::new(), starved: None }
    }

    /// A listener may have somebody.
    pub(crate) fn set_ready(&mut self, listener: usize) {
        if !self.ready.contains(&listener) {
            self.ready.push_back(listener);
        }
    }

    /// Whether it may have somebody.
    pub(crate) fn is_ready(&self, listener: usize) -> bool {
        self.ready.contains(&listener)
    }

    /// Whether there is work for the next turn.
    pub(crate) fn is_busy(&self) -> bool {
        !self.ready.is_empty() && self.starved.is_none()
    }

    /// When [`Accepting::handle_deadline`] wants to be called.
    pub(crate) const fn deadline(&self) -> Option<KernelTime> {
        self.starved
    }

    /// Does what was due at this time.
    pub(crate) fn handle_deadline(&mut self, asked: KernelTime) {
        self.starved = self.starved.filter(|until| *until > asked);
    }

    /// A descriptor is free.
    pub(crate) const fn set_free(&mut self) {
        self.starved = None;
    }

    /// Accepts nobody any more.
    pub(crate) fn clear(&mut self) {
        self.ready.clear();
    }

    /// Who comes next, and at which listener, while the share lasts and beside those that are `held`.
    pub(in crate::io) fn next<T>(
        &mut self,
        now: KernelTime,
        held: usize,
        share: &mut Share,
        accept: impl Fn(usize) -> io::Result<T>,
    ) -> Option<(usize, T)> {
        while self.starved.is_none()
            && let Some(listener) = self.ready.front().copied()
            && share.has_time()
        {
            let accepted = if held < self.room { accept(listener) } else { Err(Errno::MFILE.into()) };
            match accepted {
                Ok(accepted) => return Some((listener, accepted)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.ready.pop_front();
                    }
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        // Out of descriptors, most likely.
                        ::log::warn!("{}: none can be accepted at the moment: {error}", self.who.name());
                        self.starved = Some(now + AGAIN_US);
                    }
                },
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_leaves_descriptors_to_the_log() {
        for limit in [0, 1, 40, 256, 1024, 16_384, u64::MAX] {
            let crowd = Who::Attachments.room(limit) + Who::Connections.room(limit);
            assert!(limit - crowd >= (limit / 2).min(128), "{crowd} of {limit}");
        }
        assert_eq!((Who::Attachments.room(1024), Who::Connections.room(1024)), (224, 672));
    }
}
