//! What a pass reads from and writes to. In: nothing; these are the words that the reader thread and a simulation share. Out:
//! [`NewSource`] and [`PassRequest`], and the traits [`Sources`] and [`Sink`]. Guarantee: who builds an attachment has set the
//! clock and knows which keys are down, so the reader has nothing to ask and nothing that can sleep.

use crate::event::{Buzzer, DeviceId, Event, Gone};
use crate::merge::order::Command;
use crate::press::keys::{KeyBits, KeyMap};
use crate::press::stamp::Stamps;
use crate::press::waits::Late;
use crate::time::{KernelTime, Micros};

/// A source on its way to the reader.
#[derive(Debug)]
pub struct NewSource<F> {
    /// Its name in the ring.
    pub device: DeviceId,
    /// What is read: a non-blocking descriptor that gives `struct input_event` records.
    pub fd: F,
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
    /// Bytes of the stream that were read already (behind a virtual attachment's header, or of one that was kept). The pass takes them as the first
    /// that it reads.
    pub read_ahead: Vec<u8>,
}

impl<F> NewSource<F> {
    /// The events that it makes before it says anything, and its end.
    pub(crate) fn events(&self) -> usize {
        2 + self.held_buzzers().count()
    }

    /// The buzzers that are down already.
    pub fn held_buzzers(&self) -> impl Iterator<Item = Buzzer> {
        self.keys.pairs().filter(|(key, _)| self.held.has(*key)).map(|(_, buzzer)| buzzer)
    }
}

/// What the reader is asked to do.
#[derive(Debug)]
pub enum PassRequest<F> {
    /// Read this source from now on.
    Attach(NewSource<F>),
    /// Read all of these from now on: nothing leaves before each of them was read. They were open already, and nobody read them
    /// until this: what is stamped up to then is believed, however old.
    Adopt(Vec<(NewSource<F>, KernelTime)>),
    /// Read it no longer and close it.
    Detach(DeviceId),
    /// Hand over what is waiting and end.
    Stop,
}

/// Why a read gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// There is nothing more at the moment.
    Empty,
    /// There never will be.
    Gone(Gone),
}

/// Where a pass reads.
pub trait Sources {
    /// One source.
    type Fd;

    /// The first request, if it `may` be taken.
    fn take_request(
        &mut self,
        may: impl FnOnce(&PassRequest<Self::Fd>) -> bool,
    ) -> Option<PassRequest<Self::Fd>>;
    /// The first command.
    fn take_command(&mut self) -> Option<Command>;
    /// Whether requests wait.
    fn has_requests(&self) -> bool;
    /// Whether commands wait.
    fn has_commands(&self) -> bool;
    /// Names this slot to the pass when the source has something to read.
    ///
    /// # Errors
    /// Why that is not possible.
    fn watch(&mut self, fd: &Self::Fd, slot: usize) -> Result<(), Gone>;
    /// The source is read no longer.
    fn close(&mut self, fd: Self::Fd);
    /// The next bytes of a source; 0 at its end.
    ///
    /// # Errors
    /// [`Unread`]: none now, or never again.
    fn read(&mut self, fd: &Self::Fd, bytes: &mut [u8]) -> Result<usize, Unread>;
    /// The clock behind a read, or behind what was read ahead, that gave so many bytes.
    fn clock_behind(&mut self, fd: &Self::Fd, read: usize) -> KernelTime;
    /// The keys that are down now.
    ///
    /// # Errors
    /// Why they cannot be known any more.
    fn key_state(&mut self, fd: &Self::Fd) -> Result<KeyBits, Gone>;
    /// The clock.
    fn now(&mut self) -> KernelTime;
    /// How late the reader ran since the last mark.
    fn late(&self) -> Late;
    /// The same, which counts anew from here on: the reader is about to sleep.
    fn mark(&mut self) -> Late;
}

/// Where a pass writes.
pub trait Sink {
    /// Takes an event that leaves in the pass of that time; `false` if there is no room.
    fn push(&mut self, event: Event, pass: KernelTime) -> bool;
    /// A batch was pushed: who takes it is to be woken.
    fn wake(&mut self);
    /// The ring was found full.
    fn ring_is_full(&mut self);
    /// The heap was found full: something is not read.
    fn heap_is_full(&mut self);
}
