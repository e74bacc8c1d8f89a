//! Sources in memory. In: bytes for each device, requests, and a time. Out: the events of a pass at that time, by the program's
//! own [`Pass`]. Guarantee: a pass takes no time, and the reader was never kept waiting.

use std::collections::VecDeque;
use std::io::Read;

use buzzer_core::event::{Event, Gone};
use buzzer_core::merge::order::Command;
use buzzer_core::merge::pass::{Next, Pass, READS_MAX};
use buzzer_core::merge::source::{PassRequest, Sink, Sources, Unread};
use buzzer_core::press::keys::KeyBits;
use buzzer_core::press::waits::{Late, Wait};
use buzzer_core::time::{KernelTime, Micros};

/// A pass and what it reads.
#[derive(Debug)]
pub struct Pipes {
    pass: Pass<usize>,
    sources: Memory,
    sink: Room,
}

#[derive(Debug, Default)]
struct Memory {
    requests: VecDeque<PassRequest<usize>>,
    commands: VecDeque<Command>,
    /// By the number that stands for a descriptor: the slot, what can be read, and whether that is all.
    sources: Vec<(usize, VecDeque<u8>, Option<Gone>)>,
    now: KernelTime,
}

#[derive(Debug)]
struct Room {
    events: Vec<Event>,
    /// So many more have room.
    left: usize,
}

impl Pipes {
    /// A pass with this window, without sources.
    pub fn new(settle_us: u64) -> Self {
        let pass = Pass::new(Micros::from_us(settle_us), READS_MAX);
        Self { pass, sources: Memory::default(), sink: Room { events: Vec::new(), left: usize::MAX } }
    }

    /// Asks the pass for this; an attachment's `fd` is the number of its source.
    pub fn post(&mut self, request: PassRequest<usize>) {
        let most = match &request {
            PassRequest::Attach(attachment) => Some(attachment.fd),
            PassRequest::Adopt(all) => all.iter().map(|(source, _)| source.fd).max(),
            PassRequest::Detach(_) | PassRequest::Stop => None,
        };
        if let Some(most) = most {
            let count = self.sources.sources.len().max(most + 1);
            self.sources.sources.resize_with(count, || (usize::MAX, VecDeque::new(), None));
        }
        self.sources.requests.push_back(request);
    }

    /// Posts a command or a timer.
    pub fn command(&mut self, command: Command) {
        self.sources.commands.push_back(command);
    }

    /// The source has these bytes to read.
    pub fn write(&mut self, source: usize, bytes: &[u8]) {
        let (slot, pipe, _) = &mut self.sources.sources[source];
        pipe.extend(bytes);
        self.pass.set_ready(*slot);
    }

    /// The source is gone, behind what can be read.
    pub fn end(&mut self, source: usize, gone: Gone) {
        self.sources.sources[source].2 = Some(gone);
        self.pass.set_ready(self.sources.sources[source].0);
    }

    /// From now on so many events have room, all passes together.
    pub fn set_room(&mut self, events: usize) {
        self.sink.left = events;
    }

    /// How many events wait.
    pub fn waiting(&self) -> usize {
        self.pass.waiting()
    }

    /// One pass that began `now`: what left, and what comes next.
    pub fn pass(&mut self, now: KernelTime) -> (Vec<Event>, Next) {
        self.sources.now = now;
        let wait = Wait { began: now, pass: now, slept: false, complete: true };
        let next = self.pass.pass(wait, &mut self.sources, &mut self.sink);
        (std::mem::take(&mut self.sink.events), next)
    }
}

impl Sources for Memory {
    type Fd = usize;

    fn take_request(&mut self, may: impl FnOnce(&PassRequest<usize>) -> bool) -> Option<PassRequest<usize>> {
        self.requests.front().is_some_and(may).then(|| self.requests.pop_front()).flatten()
    }

    fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    fn take_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    fn watch(&mut self, source: &usize, slot: usize) -> Result<(), Gone> {
        self.sources[*source].0 = slot;
        Ok(())
    }

    fn close(&mut self, source: usize) {
        self.sources[source].0 = usize::MAX;
    }

    fn read(&mut self, source: &usize, bytes: &mut [u8]) -> Result<usize, Unread> {
        let (_, pipe, gone) = &mut self.sources[*source];
        match (pipe.read(bytes), *gone) {
            (Ok(read @ 1..), _) => Ok(read),
            (_, Some(Gone::Closed)) => Ok(0),
            (_, Some(gone)) => Err(Unread::Gone(gone)),
            (_, None) => Err(Unread::Empty),
        }
    }

    fn clock_behind(&mut self, _: &usize, _: usize) -> KernelTime {
        self.now
    }

    fn key_state(&mut self, _: &usize) -> Result<KeyBits, Gone> {
        Ok(KeyBits::NONE)
    }

    fn now(&mut self) -> KernelTime {
        self.now
    }

    fn late(&self) -> Late {
        Late::Counted(Micros::ZERO)
    }

    fn mark(&mut self) -> Late {
        self.late()
    }
}

impl Sink for Room {
    fn push(&mut self, event: Event, _: KernelTime) -> bool {
        let fits = self.left > 0;
        if fits {
            self.left -= 1;
            self.events.push(event);
        }
        fits
    }

    fn wake(&mut self) {}

    fn ring_is_full(&mut self) {}

    fn heap_is_full(&mut self) {}
}
