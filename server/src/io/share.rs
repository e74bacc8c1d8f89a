//! Shares of a turn. In: the monotonic clock. Out: whether one more piece of a kind of work may be done before others have
//! their turn. Guarantee: the first piece always may, so all work goes on; a share ends after [`SHARE_US`] or [`SHARE_PIECES`].

use std::collections::VecDeque;

use buzzer_core::io::sys;
use buzzer_core::time::{KernelTime, Micros};

/// How long one kind of work may keep the others waiting, and how many pieces it may do meanwhile.
const SHARE_US: Micros = Micros::from_us(300);
const SHARE_PIECES: usize = 64;

/// One kind of work's share of one turn.
#[derive(Debug, Default)]
pub(super) struct Share {
    end: Option<KernelTime>,
    pieces: usize,
}

impl Share {
    /// Whether one more piece may be done.
    pub(super) fn has_time(&mut self) -> bool {
        self.pieces += 1;
        let Some(end) = self.end else {
            self.end = Some(sys::now() + SHARE_US);
            return true;
        };
        self.pieces <= SHARE_PIECES && sys::now() < end
    }

    /// The first of a queue, if one more piece may be done.
    pub(super) fn take(&mut self, queue: &mut VecDeque<usize>) -> Option<usize> {
        if self.has_time() { queue.pop_front() } else { None }
    }
}
