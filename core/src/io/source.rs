//! A ready source of input events. In: an open, configured, non-blocking descriptor. Out: [`Attachment`], which the
//! reader takes over. Guarantee: whoever builds one has set the clock and knows which keys are down, so the
//! reader has nothing to ask and nothing that can sleep.

use std::os::fd::OwnedFd;

use crate::event::{Buzzer, DeviceId};
use crate::keys::{KeyBits, KeyMap};
use crate::stamp::Stamps;
use crate::time::{KernelTime, Micros};

/// A source on its way to the reader.
#[derive(Debug)]
pub struct Attachment {
    /// Its name in the ring.
    pub device: DeviceId,
    /// Non-blocking; gives `struct input_event` records.
    pub fd: OwnedFd,
    /// Who stamps its events.
    pub stamps: Stamps,
    /// When it was ready: its events begin here.
    pub since: KernelTime,
    /// When it is known to have had nothing to read. What is read first may be as old as this.
    pub drained: KernelTime,
    /// Which key is which buzzer.
    pub keys: KeyMap,
    /// A press counts if its contact was open for so long before it.
    pub debounce_us: Micros,
    /// Keys that are down already: each counts only after a release.
    pub held: KeyBits,
    /// Bytes of the stream that were read already (behind a virtual attachment's header). The reader takes them as the
    /// first that it reads.
    pub read_ahead: Vec<u8>,
}

impl Attachment {
    /// The buzzers that are down already.
    pub fn held_buzzers(&self) -> impl Iterator<Item = Buzzer> {
        self.keys.pairs().filter(|(key, _)| self.held.has(*key)).map(|(_, buzzer)| buzzer)
    }
}

/// What the reader is asked to do.
#[derive(Debug)]
pub enum ReaderRequest {
    /// Read this source from now on.
    Attach(Attachment),
    /// Read it no longer and close it.
    Detach(DeviceId),
    /// Hand over what is waiting and end the thread.
    Stop,
}
