//! The outgoing side of a client. In: its session, and a socket that takes something. Out: frames, whole and in order.
//! Guarantee: bytes are made when the socket can take them and are not kept: of a frame that is half sent the place is known,
//! and its bytes are made again.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::net::Shutdown;

use super::{Client, Scratch, Standing, State};
use crate::wire::outbox::{Next, Outbox};
use crate::wire::outgoing::Outgoing;

/// Frames are gathered up to here, then one `write(2)` sends them all.
const GATHER_BYTES: usize = 4 * 1024;
/// Frames gathered at most.
const GATHER_FRAMES: usize = 64;
/// Writes in one go.
const WRITES_MAX: usize = 4;

impl Client {
    /// Sends it what waits for it, until its socket takes no more or others are to have their turn.
    pub fn serve(&mut self, outbox: &mut Outbox, scratch: &mut Scratch) -> Standing {
        for _ in 0..WRITES_MAX {
            if !self.gather(outbox, scratch) {
                return Standing::Lost;
            }
            if scratch.frames.is_empty() {
                return self.served();
            }
            match self.write(scratch) {
                Standing::Idle => {}
                standing => return standing,
            }
        }
        Standing::Unsent
    }

    /// Makes bytes of what is to be sent next; false if the outbox has it no more.
    fn gather(&mut self, outbox: &mut Outbox, scratch: &mut Scratch) -> bool {
        let Scratch { output, frames, .. } = scratch;
        output.clear();
        frames.clear();
        let mut add = |frame: Outgoing| {
            frame.encode(output);
            frames.push_back((frame, output.len()));
            output.len() < GATHER_BYTES && frames.len() < GATHER_FRAMES
        };
        let mut has_room = true;
        while has_room && let Some(frame) = self.taken.pop_front() {
            has_room = add(frame);
        }
        while has_room && matches!(self.state, State::Open | State::Leaving) {
            match self.session.next(outbox) {
                Next::Frame(frame) => has_room = add(frame),
                Next::Done => {
                    if self.session.is_answered()
                        && let Some(last) = self.last.take()
                    {
                        self.state = State::Draining;
                        add(last);
                    }
                    break;
                }
                Next::Lost => {
                    self.put_back(frames);
                    return false;
                }
            }
        }
        true
    }

    /// Writes the bytes that were made; `Idle` if all of them were taken.
    fn write(&mut self, scratch: &mut Scratch) -> Standing {
        let Scratch { output, frames, .. } = scratch;
        while self.sent < output.len() {
            match self.stream.write(&output[self.sent..]) {
                Ok(0) => return Standing::Gone,
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    let mut done = 0;
                    while let Some((_, end)) = frames.front().filter(|(_, end)| *end <= self.sent) {
                        done = *end;
                        frames.pop_front();
                    }
                    self.sent -= done;
                    self.put_back(frames);
                    return Standing::Blocked;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Standing::Gone,
            }
        }
        self.sent = 0;
        Standing::Idle
    }

    fn put_back(&mut self, frames: &mut VecDeque<(Outgoing, usize)>) {
        frames.drain(..).rev().for_each(|(frame, _)| self.taken.push_front(frame));
    }

    /// All is sent.
    fn served(&mut self) -> Standing {
        // Memory of a time when its socket took nothing.
        if self.taken.capacity() > 0 {
            self.taken = VecDeque::new();
        }
        match self.state {
            State::Open if self.readable || self.session.is_parked() || self.decoder.waiting_bytes() > 0 => {
                Standing::More
            }
            State::Open => Standing::Idle,
            State::Draining => {
                let _ = self.stream.shutdown(Shutdown::Write);
                self.state = State::Shut;
                Standing::Closing
            }
            State::Leaving | State::Closing | State::Shut => Standing::Closing,
        }
    }
}
