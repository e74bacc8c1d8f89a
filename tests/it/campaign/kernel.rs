//! What the reader's system calls give, in virtual time. In: the lives of a [`Script`] and the moments at which the reader
//! asks. Out: requests, bytes, key states and clocks, as [`Sources`]. Guarantee: what is read is told to the truth of its
//! device before the program has judged it, and why a source ends is known here, not taken from the program.

use std::collections::VecDeque;

use buzzer_core::event::{Buzzer, DeviceId, Gone};
use buzzer_core::merge::order::Command;
use buzzer_core::merge::source::{NewSource, PassRequest, Sources, Unread};
use buzzer_core::press::keys::{KeyBits, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::press::waits::Late;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::game::mediator::Announced;
use buzzer_server::record::DeviceDelay;
use buzzer_tests::harness::attachment::key;

use super::dice::Dice;
use super::node::{Item, Node, Read};
use super::script::{End, Life, START, Said, Script, World, fault};
use super::truth::{Clocks, Truth};

const RECORD_BYTES: usize = 24;

pub(crate) const fn at(us: u64) -> KernelTime {
    KernelTime::from_us(us)
}

/// A device that the reader has.
pub(crate) struct Source {
    pub(crate) device: usize,
    /// Its slot there.
    slot: usize,
    stamps: Stamps,
    /// Records that it was given, or has ahead, and has not looked at; and how many bytes of the first it has seen.
    pending: VecDeque<Item>,
    seen: usize,
    /// Bytes that were read before the reader got it.
    ahead: usize,
    torn: bool,
    /// It was named, or has not been empty since; the last pass that found it empty.
    pub(crate) is_readable: bool,
    emptied: u64,
    /// Since it was empty: the passes that read of it, and how much it had been read of then.
    pub(crate) reads: Vec<(u64, usize)>,
    let_go: bool,
}

pub(crate) struct Kernel {
    world: World,
    pub(crate) dice: Dice,
    pub(crate) now: u64,
    settle_us: u64,
    exact: Option<Vec<(u64, u64)>>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) truths: Vec<Truth>,
    /// By device number.
    pub(crate) sources: Vec<Option<Source>>,
    /// Lives that the reader will be given, the next one last; and the one that had no room yet.
    coming: Vec<Life>,
    refused: Option<PassRequest<usize>>,
    /// Commands and timers, and when the server posts them, the next one last.
    commands: Vec<(u64, Command)>,
    /// What the server is told of devices before their first event.
    pub(crate) announced: Vec<(u32, Announced)>,
    pub(crate) stop: bool,
    /// The clock of the pass.
    pub(crate) pass: u64,
    /// When a device was given to the reader last.
    pub(crate) given: u64,
    /// The last pass behind a reader that was short, and whether its memory has ever been full.
    pub(crate) short: u64,
    pub(crate) heap_was_full: bool,
    ran_late_us: u64,
    /// Since it went to sleep the last time, which was then: it was stopped; it lost time that nothing counts.
    marked: u64,
    stopped: bool,
    robbed: bool,
}

impl Kernel {
    pub(crate) fn new(world: World, script: &mut Script) -> Self {
        let mut coming = std::mem::take(&mut script.lives);
        let mut commands = std::mem::take(&mut script.commands);
        commands.sort_by_key(|(posted, command)| std::cmp::Reverse((*posted, command.id)));
        coming.sort_by_key(|life| std::cmp::Reverse((life.handed, life.slot)));
        Self {
            world,
            dice: Dice::new(world.seed, [7, 0, 0]),
            now: START,
            settle_us: script.settle_us,
            exact: script.exact.take(),
            nodes: Vec::new(),
            truths: Vec::new(),
            sources: Vec::new(),
            coming,
            refused: None,
            commands,
            announced: Vec::new(),
            stop: false,
            pass: 0,
            given: 0,
            short: 0,
            heap_was_full: false,
            ran_late_us: 0,
            marked: START,
            stopped: false,
            robbed: false,
        }
    }

    pub(crate) const fn is_exact(&self) -> bool {
        self.exact.is_some()
    }

    /// What makes epoll return next, but for the timer.
    pub(crate) fn next_ready(&self) -> Option<u64> {
        let nodes = self.sources.iter().flatten().filter_map(|source| self.nodes[source.device].next_ready());
        let requests = self.coming.last().map(|life| life.handed).filter(|_| self.refused.is_none());
        nodes.chain(requests).chain(self.commands.last().map(|(posted, _)| *posted)).min()
    }

    /// The slots that a wait names now.
    pub(crate) fn ready(&mut self) -> Vec<usize> {
        let (nodes, now) = (&self.nodes, self.now);
        let mut slots = Vec::new();
        for source in self.sources.iter_mut().flatten() {
            if nodes[source.device].next_ready().is_some_and(|us| us <= now) {
                source.is_readable = true;
                slots.push(source.slot);
            }
        }
        slots
    }

    /// How long the reader takes to run when it can.
    pub(crate) fn wake_latency(&mut self, ready: u64) -> u64 {
        if let Some(stalls) = &mut self.exact {
            let stall = stalls.first().copied().filter(|(us, _)| *us <= ready);
            let us = stall.map_or(0, |(_, us)| us);
            stalls.drain(..usize::from(stall.is_some()));
            self.ran_late_us += us;
            return 1 + us;
        }
        match self.dice.below(200) {
            0 if self.world.has(fault::STALL) => {
                let us = self.dice.between(5000, 250_000);
                self.ran_late_us += us;
                us
            }
            // The hypervisor took the CPU: nobody counts that.
            1 if self.world.has(fault::STEAL) => {
                self.robbed = true;
                self.dice.between(5000, 120_000)
            }
            2..6 => {
                let us = self.dice.between(100, 3000);
                self.ran_late_us += us;
                us
            }
            6 if self.world.has(fault::STOP) => self.be_stopped(),
            _ => self.dice.between(1, 60),
        }
    }

    fn be_stopped(&mut self) -> u64 {
        self.stopped = true;
        self.dice.between(5000, 400_000)
    }

    /// Time passes while the reader works.
    fn tick(&mut self) {
        if self.exact.is_some() {
            self.now += 1;
            return;
        }
        self.now += match self.dice.below(400) {
            0 if self.world.has(fault::STALL) => {
                let us = self.dice.between(500, 90_000);
                self.ran_late_us += us;
                us
            }
            1..40 => self.dice.between(1, 30),
            40 if self.world.has(fault::STOP) => self.be_stopped(),
            _ => 1,
        };
    }

    /// What the reader's own clocks say at a read.
    fn clocks(&self) -> Clocks {
        let ran_late_us = if self.stopped { self.now - self.marked } else { self.ran_late_us };
        Clocks { pass: self.pass, read: self.now, ran_late_us, robbed: self.robbed }
    }

    /// The pass is over: who was not emptied has more to read.
    pub(crate) fn end_pass(&mut self) {
        for source in self.sources.iter_mut().flatten() {
            let truth = &mut self.truths[source.device];
            assert!(!truth.gap, "a gap for which nobody asked");
            // Stamps of their own are asked for in every pass.
            source.is_readable |= source.stamps != Stamps::Receipt && source.emptied != self.pass;
            if source.is_readable {
                truth.set_backlog(self.pass, self.short);
            }
        }
    }

    /// The first request, if there is one now.
    fn request(&mut self) -> Option<PassRequest<usize>> {
        if self.refused.is_some() {
            return self.refused.take();
        }
        if self.stop {
            self.stop = false;
            return Some(PassRequest::Stop);
        }
        for source in self.sources.iter_mut().flatten() {
            let end = self.nodes[source.device].life.end;
            if !source.let_go && end.is_some_and(|(us, end)| end == End::LetGo && us <= self.now) {
                source.let_go = true;
                return Some(PassRequest::Detach(DeviceId::new(source.device as u32)));
            }
        }
        self.coming.pop_if(|life| life.handed <= self.now).map(|life| self.attachment(life))
    }

    fn attachment(&mut self, life: Life) -> PassRequest<usize> {
        let device = self.nodes.len();
        let number = |n: u16| life.first_buzzer + n;
        let stamps = life.stamps;
        let announced = Announced {
            pool: life.pool.parse().unwrap(),
            name: String::new(),
            place: String::new(),
            stamps: if stamps == Stamps::Receipt { Stamps::Receipt.into() } else { Stamps::Kernel.into() },
            buzzers: (0..life.keys).map(number).collect(),
            delay: DeviceDelay {
                delay_us: life.delay.us,
                delay_basis: "configured".to_owned(),
                width_us: life.delay.width_us,
                scan_us: life.delay.scan_us,
                poll_us: life.delay.poll_us,
                model: life.delay.model.map(|model| model.to_string()),
            },
            curve: None,
        };
        self.announced.push((device as u32, announced));
        let keys = KeyMap::new((0..life.keys).map(|n| (key(1 + n), Buzzer(number(n)))));
        let held = (0..life.keys).filter(|n| life.held >> n & 1 == 1).map(|n| key(1 + n)).collect();
        let since = at(life.since);
        let debounce_us = Micros::from_us(life.debounce_us);
        let mut node = Node::new(life, self.world);
        let (mut read_ahead, mut pending) = (Vec::new(), VecDeque::new());
        // The server reads greetings 4 096 bytes at a time.
        for _ in 0..if self.world.has(fault::AHEAD) && stamps != Stamps::Kernel { 3 } else { 0 } {
            let Read::Bytes(bytes, items) = node.read(node.life.handed) else { break };
            read_ahead.extend(bytes);
            pending.extend(items);
        }
        self.truths.push(Truth::new(&node, self.settle_us));
        self.nodes.push(node);
        self.sources.push(Some(Source {
            device,
            slot: usize::MAX,
            stamps,
            pending,
            seen: 0,
            ahead: read_ahead.len(),
            torn: false,
            is_readable: false,
            emptied: 0,
            reads: Vec::new(),
            let_go: false,
        }));
        let device = DeviceId::new(device as u32);
        let fd = self.nodes.len() - 1;
        let drained = since;
        PassRequest::Attach(NewSource {
            device,
            fd,
            stamps,
            since,
            drained,
            keys,
            debounce_us,
            held,
            read_ahead,
        })
    }

    fn source(&mut self, device: usize) -> &mut Source {
        self.sources[device].as_mut().expect("the reader has it")
    }
}

impl Sources for Kernel {
    type Fd = usize;

    fn take_request(&mut self, may: impl FnOnce(&PassRequest<usize>) -> bool) -> Option<PassRequest<usize>> {
        let request = self.request()?;
        if !may(&request) {
            self.refused = Some(request);
            return None;
        }
        match &request {
            PassRequest::Attach(attachment) => self.given = self.truths[attachment.fd].be_handed(self.pass),
            PassRequest::Adopt(_) => unreachable!("no reader came before this one"),
            PassRequest::Detach(device) => self.truths[device.get() as usize].end("released"),
            PassRequest::Stop => {
                for source in self.sources.iter().flatten() {
                    self.truths[source.device].end("released");
                }
            }
        }
        Some(request)
    }

    fn has_requests(&self) -> bool {
        let is_let_go = |source: &Source| {
            let end = self.nodes[source.device].life.end;
            !source.let_go && end.is_some_and(|(us, end)| end == End::LetGo && us <= self.now)
        };
        self.stop
            || self.refused.is_some()
            || self.coming.last().is_some_and(|life| life.handed <= self.now)
            || self.sources.iter().flatten().any(is_let_go)
    }

    fn take_command(&mut self) -> Option<Command> {
        let next = *self.commands.last().filter(|(posted, _)| *posted <= self.now)?;
        self.commands.pop();
        Some(next.1)
    }

    fn has_commands(&self) -> bool {
        self.commands.last().is_some_and(|(posted, _)| *posted <= self.now)
    }

    fn watch(&mut self, device: &usize, slot: usize) -> Result<(), Gone> {
        let source = self.source(*device);
        (source.slot, source.is_readable) = (slot, true);
        Ok(())
    }

    fn close(&mut self, device: usize) {
        assert!(self.truths[device].end.is_some(), "device {device} is closed for no reason");
        self.nodes[device].abandon();
        self.sources[device] = None;
    }

    fn read(&mut self, device: &usize, bytes: &mut [u8]) -> Result<usize, Unread> {
        self.tick();
        let (now, pass) = (self.now, self.pass);
        let read = self.nodes[*device].read(now);
        let torn = self.nodes[*device].torn();
        let truth = &mut self.truths[*device];
        let source = self.sources[*device].as_mut().expect("the reader has it");
        assert!(!truth.gap, "it reads on behind a gap");
        assert_eq!(source.ahead, 0, "what was read ahead comes first");
        match read {
            Read::Again => {
                truth.set_drained(pass);
                source.reads.clear();
                (source.is_readable, source.emptied) = (false, pass);
                Err(Unread::Empty)
            }
            Read::Gone => {
                truth.end("unplugged");
                truth.certain = false;
                Err(Unread::Gone(Gone::Unplugged))
            }
            Read::End => match torn {
                Some(torn) if !source.torn => {
                    source.torn = true;
                    bytes[..torn.len()].copy_from_slice(torn);
                    Ok(torn.len())
                }
                Some(_) => {
                    truth.end("garbage: the stream ended inside a 24-byte record");
                    Ok(0)
                }
                None => {
                    truth.end("closed by its sender");
                    Ok(0)
                }
            },
            Read::Bytes(read, items) => {
                source.pending.extend(items);
                bytes[..read.len()].copy_from_slice(&read);
                Ok(read.len())
            }
        }
    }

    fn clock_behind(&mut self, device: &usize, read: usize) -> KernelTime {
        let source = self.source(*device);
        let is_ahead = source.ahead > 0;
        source.ahead = source.ahead.saturating_sub(read);
        if is_ahead {
            self.tick();
        }
        let (clocks, excused, pass) = (self.clocks(), self.heap_was_full, self.pass);
        let source = self.source(*device);
        source.seen += read;
        let records = (source.seen / RECORD_BYTES).min(source.pending.len());
        source.seen -= records * RECORD_BYTES;
        let items: Vec<Item> = source.pending.drain(..records).collect();
        let before = source.reads.last().map_or(0, |(_, bytes)| *bytes);
        source.reads.push((pass, before + read));
        let (truth, node) = (&mut self.truths[*device], &self.nodes[*device]);
        truth.read(node, &items, read, clocks, excused);
        if items.iter().any(|item| item.said == Said::Nonsense) {
            truth.end("garbage: event type 0x20 is above 0x1f");
        }
        at(self.now)
    }

    fn key_state(&mut self, device: &usize) -> Result<KeyBits, Gone> {
        assert!(self.truths[*device].gap, "a gap that is none");
        let (down, after) = self.nodes[*device].key_state(self.now);
        self.now = after + if self.exact.is_some() { 1 } else { self.dice.below(5) };
        self.truths[*device].resync(down, self.now);
        Ok((0..16).filter(|n| down >> n & 1 == 1).map(|n| key(1 + n)).collect())
    }

    fn now(&mut self) -> KernelTime {
        at(self.now)
    }

    fn late(&self) -> Late {
        if self.stopped {
            Late::Stopped(Micros::from_us(self.now - self.marked))
        } else {
            Late::Counted(Micros::from_us(self.ran_late_us))
        }
    }

    fn mark(&mut self) -> Late {
        let late = self.late();
        (self.ran_late_us, self.marked, self.stopped, self.robbed) = (0, self.now, false, false);
        late
    }
}
