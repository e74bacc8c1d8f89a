//! The threads of a world, in virtual time. In: a [`Script`]. Out: the records, what clients were told, and the truth of
//! every device ([`Played`]). Guarantee: streams, order, ring, group and mediator are the program's own; the loop around
//! them wakes, reads, stalls and finds no room as `core/src/io/reader.rs` and `server/src/io/daemon.rs` do.

use std::collections::VecDeque;

use buzzer_core::event::{Buzzer, DeviceId, Event, Garbage, Gone, Kind};
use buzzer_core::keys::{KeyBits, KeyMap};
use buzzer_core::order::{Order, Released, WAITING_MAX};
use buzzer_core::ring::{self, Receiver, Sender};
use buzzer_core::stamp::{BACKLOG_PASSES, KEPT_BYTES_MAX, ReadClock, Stamps, is_short};
use buzzer_core::stream::{Stream, StreamOptions};
use buzzer_core::time::{KernelTime, Micros};
use buzzer_core::waits::{Wait, Waits};
use buzzer_server::mediator::{Announced, Mediator, Output};
use buzzer_server::pool::PoolSpec;
use buzzer_server::record::{DeviceDelay, Fact, Record};
use buzzer_server::state::State;
use buzzer_server::wire::v1;
use buzzer_tests::harness::attachment::key;

use super::dice::Dice;
use super::node::{Item, Node, Read};
use super::script::{Frame, KEYS_MAX, Life, START, Script, World, fault};
use super::truth::{Clocks, Truth};

/// Free places for what a read makes at most: a gap of all keys, a frame begun before, two for each record.
const READ_EVENTS_MAX: usize = 0x300 + 64 + 2 * 64 + 2;
/// Reads of a pass.
const PASS_READS_MAX: usize = 512;

/// What came of a world.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) records: Vec<Record>,
    pub(crate) told: Vec<String>,
    pub(crate) state: State,
    /// By device number.
    pub(crate) devices: Vec<(Life, Truth)>,
}

const fn at(us: u64) -> KernelTime {
    KernelTime::from_us(us)
}

struct Clock<'a>(Clocks, &'a Waits);

impl ReadClock for Clock<'_> {
    fn pass(&self) -> KernelTime {
        at(self.0.pass)
    }
    fn read(&self) -> KernelTime {
        at(self.0.read)
    }
    fn ran_late_us(&self) -> Micros {
        Micros::from_us(self.0.ran_late_us)
    }
    fn empty_until(&self) -> KernelTime {
        self.1.since(|| (!self.0.stopped).then(|| Micros::from_us(self.0.ran_late_us)))
    }
}

struct Source {
    device: usize,
    stream: Stream,
    /// What was read behind its greeting.
    read_ahead: VecDeque<(Vec<u8>, Vec<Item>)>,
    ready: bool,
    /// Since it was empty: the passes that read of it, and how much it had been read of then.
    reads: Vec<(u64, usize)>,
}

struct Threads {
    world: World,
    dice: Dice,
    now: u64,
    settle_us: u64,
    reads_max: usize,
    exact: Option<Vec<(u64, u64)>>,
    // The kernel and the truth.
    nodes: Vec<Node>,
    truths: Vec<Truth>,
    // The reader.
    order: Order,
    sources: Vec<Option<Source>>,
    /// Lives that it will be given, the next one last.
    coming: Vec<Life>,
    first: usize,
    pass: u64,
    ring_full: Option<(DeviceId, usize)>,
    timer: Option<u64>,
    reader_due: Option<u64>,
    ran_late_us: u64,
    /// Since it went to sleep the last time, which was then: it was stopped; it lost time that nothing counts.
    marked: u64,
    stopped: bool,
    robbed: bool,
    waits: Waits,
    /// The clock before its next wait, and whether it goes on without one.
    began: u64,
    busy: bool,
    /// Its memory is full: the first device that was not read, and since when.
    heap_full: Option<(DeviceId, u64)>,
    /// It has been full: what follows may be late.
    heap_was_full: bool,
    /// The last pass behind a reader that was short.
    short: u64,
    /// When passes began, and when a device was given to it last: nothing is held for longer than the rules say.
    passes: Vec<u64>,
    given: u64,
    stopping: bool,
    sender: Sender,
    // The server.
    receiver: Receiver,
    server_due: Option<u64>,
    mediator: Mediator,
    records: Vec<Record>,
    told: Vec<String>,
}

/// Plays a world to its end.
pub(crate) fn play(world: World, script: Script) -> Result<Played, String> {
    let pool = |id: &str, autoconnect| PoolSpec { id: id.parse().unwrap(), autoconnect, slots: None };
    let pools = vec![pool("desk", true), pool("hall", true), pool("spare", false)];
    let (log, boot, version) = (String::new(), "boot".to_owned(), String::new());
    let start = Fact::Start { log, boot, version, wall_us: 0, settle_us: 0, realtime: false };
    let (sender, receiver) = ring::ring(script.ring_events);
    let mut coming = script.lives;
    coming.sort_by_key(|life| std::cmp::Reverse((life.handed, life.slot)));
    let mut threads = Threads {
        world,
        dice: Dice::new(world.seed, [7, 0, 0]),
        now: START,
        settle_us: script.settle_us,
        reads_max: script.reads_max,
        exact: script.exact,
        nodes: Vec::new(),
        truths: Vec::new(),
        order: Order::new(Micros::from_us(script.settle_us)),
        sources: Vec::new(),
        coming,
        first: 0,
        pass: 0,
        ring_full: None,
        timer: None,
        reader_due: None,
        ran_late_us: 0,
        marked: START,
        stopped: false,
        robbed: false,
        waits: Waits::default(),
        began: START,
        busy: false,
        heap_full: None,
        heap_was_full: false,
        short: 0,
        passes: Vec::new(),
        given: 0,
        stopping: false,
        sender,
        receiver,
        server_due: None,
        mediator: Mediator::new(State::default(), pools, start, at(START)),
        records: Vec::new(),
        told: Vec::new(),
    };
    threads.run()?;
    let Threads { nodes, mut truths, mediator, records, told, .. } = threads;
    for (node, truth) in nodes.iter().zip(&mut truths) {
        let lost = node.lost.iter().map(|frame| node.frame(*frame));
        let when = |frame: &Frame| {
            if frame.visible > frame.made + truth.slack_us() { frame.visible } else { frame.made }
        };
        truth.lost = lost.map(when).collect();
    }
    let devices = nodes.into_iter().map(|node| node.life).zip(truths).collect();
    Ok(Played { records, told, state: mediator.state().clone(), devices })
}

impl Threads {
    fn run(&mut self) -> Result<(), String> {
        for _ in 0..50_000_000 {
            if self.reader_due.is_none()
                && let Some(ready) = self.next_ready()
            {
                let ready = ready.max(self.now);
                self.reader_due = Some(ready + self.wake_latency(ready));
            }
            match (self.reader_due, self.server_due) {
                (Some(due), server) if server.is_none_or(|server| due < server) => {
                    self.now = self.now.max(due);
                    self.reader_due = None;
                    self.reader_pass();
                }
                (_, Some(due)) => {
                    self.now = self.now.max(due);
                    self.server_due = None;
                    self.server_turn()?;
                }
                (None | Some(_), None) if !self.stopping => {
                    self.stopping = true;
                    self.now += 11_000_000; // Long enough for a button to be called stuck.
                    self.server_turn()?;
                    for slot in 0..self.sources.len() {
                        self.detach(slot, Gone::Released);
                    }
                    self.reader_due = Some(self.now);
                }
                _ => {
                    if self.order.waiting() > 0 {
                        return Err("the reader sleeps on what waits".to_owned());
                    }
                    self.mediator.handle_stop(at(self.now));
                    return self.take_outputs();
                }
            }
        }
        Err("it does not end".to_owned())
    }

    /// What makes epoll return next.
    fn next_ready(&self) -> Option<u64> {
        let nodes = self.sources.iter().flatten().filter_map(|source| self.nodes[source.device].next_ready());
        nodes.chain(self.timer).chain(self.coming.last().map(|life| life.handed)).min()
    }

    /// How long the reader takes to run when it can.
    fn wake_latency(&mut self, ready: u64) -> u64 {
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
            6 if self.world.has(fault::STOP) => self.stop(),
            _ => self.dice.between(1, 60),
        }
    }

    fn stop(&mut self) -> u64 {
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
            40 if self.world.has(fault::STOP) => self.stop(),
            _ => 1,
        };
    }

    /// What the reader's own clocks say at a read.
    fn clocks(&self) -> Clocks {
        let (stopped, robbed) = (self.stopped, self.robbed);
        let ran_late_us = if stopped { self.now - self.marked } else { self.ran_late_us };
        Clocks { pass: self.pass, read: self.now, ran_late_us, stopped, robbed }
    }

    fn reader_pass(&mut self) {
        let last = self.pass;
        // Nothing was ready when it began to wait.
        let slept = !self.busy && self.next_ready().is_none_or(|ready| ready > self.began);
        self.pass = self.now.max(last + 1);
        let (began, pass) = (at(self.began), at(self.pass));
        self.waits.end(Wait { began, pass, slept, complete: true });
        let has_room = self.ring_full.is_none() && self.heap_full.is_none();
        if is_short(Micros::from_us(self.pass - last), has_room) {
            self.short = self.pass;
        }
        self.now = self.pass;
        self.passes.push(self.pass);
        if self.timer.is_some_and(|timer| timer <= self.now) {
            self.timer = None;
        }
        for source in self.sources.iter_mut().flatten() {
            source.ready |= self.nodes[source.device].next_ready().is_some_and(|us| us <= self.now);
        }
        while self.coming.last().is_some_and(|life| life.handed <= self.now && self.room() > KEYS_MAX.into())
        {
            if let Some(life) = self.coming.pop() {
                self.attach(life);
            }
        }
        self.busy = self.drain_all();
        if self.busy {
            self.reader_due = Some(self.now);
        } else {
            self.waits.settle((!self.stopped).then(|| Micros::from_us(self.ran_late_us)));
            (self.ran_late_us, self.marked, self.stopped, self.robbed) = (0, self.now, false, false);
        }
        self.began = self.now;
    }

    fn attach(&mut self, life: Life) {
        let device = self.nodes.len();
        let id = DeviceId::new(device as u32);
        let number = |n: u16| life.first_buzzer + n;
        let stamps = life.stamps;
        self.mediator.handle_announced(
            id.get(),
            Announced {
                pool: life.pool.parse().unwrap(),
                name: String::new(),
                place: String::new(),
                stamps: if stamps == Stamps::Receipt { "receipt" } else { "kernel" },
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
            },
        );
        let held = (0..life.keys).filter(|n| life.held >> n & 1 == 1);
        let stream = Stream::new(&StreamOptions {
            device: id,
            stamps,
            since: at(life.since),
            drained: at(life.since),
            keys: KeyMap::new((0..life.keys).map(|n| (key(1 + n), Buzzer(number(n))))),
            held: held.clone().map(|n| key(1 + n)).collect(),
            debounce_us: Micros::from_us(life.debounce_us),
            settle_us: Micros::from_us(self.settle_us),
        });
        let event = |kind| Event { at: at(life.since), device: id, more: false, kind };
        self.order.push(event(Kind::Attached), stamps != Stamps::Receipt);
        for n in held {
            self.order.push(event(Kind::Held { buzzer: Buzzer(number(n)) }), stamps != Stamps::Receipt);
        }
        let mut node = Node::new(life, self.world.seed);
        let mut read_ahead = VecDeque::new();
        // The server reads greetings 4 096 bytes at a time.
        while self.world.has(fault::AHEAD) && stamps != Stamps::Kernel && read_ahead.len() < 3 {
            match node.read(node.life.handed) {
                Read::Bytes(bytes, items) => read_ahead.push_back((bytes, items)),
                Read::Again | Read::End | Read::Gone => break,
            }
        }
        self.truths.push(Truth::new(&node, self.settle_us, self.pass));
        self.nodes.push(node);
        let slot = self.sources.iter().position(Option::is_none).unwrap_or(self.sources.len());
        if slot == self.sources.len() {
            self.sources.push(None);
        }
        self.given = self.pass;
        self.sources[slot] = Some(Source { device, stream, read_ahead, ready: true, reads: Vec::new() });
    }

    fn detach(&mut self, slot: usize, gone: Gone) {
        let Some(source) = self.sources[slot].take() else { return };
        let truth = &mut self.truths[source.device];
        truth.end = Some(gone.to_string());
        truth.certain = !matches!(gone, Gone::Unplugged);
        self.nodes[source.device].abandon();
        let when = at(self.now).max(source.stream.read_up_to());
        let stamped = source.stream.stamps() != Stamps::Receipt;
        let device = source.stream.device();
        self.order.push(Event { at: when, device, more: false, kind: Kind::Detached(gone) }, stamped);
    }

    /// Places that are not kept for the end of a device, nor for the two words of the reader.
    fn room(&self) -> usize {
        self.order.room() - self.sources.iter().flatten().count() - 2
    }

    fn has_room(&self) -> bool {
        self.room() >= READ_EVENTS_MAX
    }

    /// Reads everybody and lets go of what is due. Whether another pass must follow at once.
    fn drain_all(&mut self) -> bool {
        let mut drained_at = self.pass;
        let mut busy = false;
        let mut unread = None;
        let mut reads_left = PASS_READS_MAX;
        for slot in (self.first..self.sources.len()).chain(0..self.first) {
            let has_room = self.has_room();
            let Some(source) = &mut self.sources[slot] else { continue };
            let stamped = source.stream.stamps() != Stamps::Receipt;
            if !stamped && !source.ready {
                continue;
            }
            if !has_room {
                unread = unread.or(Some((slot, source.stream.device())));
            }
            if self.short == self.pass {
                source.stream.set_short(at(self.pass));
            }
            match self.drain(slot, &mut reads_left) {
                Err(gone) => self.detach(slot, gone),
                Ok(empty) => {
                    let Some(source) = &mut self.sources[slot] else { continue };
                    source.ready = !empty;
                    let truth = &mut self.truths[source.device];
                    if empty {
                        source.stream.set_drained(at(self.pass));
                        truth.set_drained(self.pass);
                        source.reads.clear();
                    } else {
                        source.stream.set_backlog();
                        truth.set_backlog(self.pass, self.short);
                        busy = true;
                        let held = source.stream.holds_at(at(self.pass), Micros::from_us(self.settle_us));
                        if stamped && let Some(held) = held {
                            drained_at = drained_at.min(held.as_us());
                        }
                    }
                }
            }
        }
        if let Some((slot, device)) = unread {
            self.first = slot;
            self.heap_was_full = true;
            self.heap_full = self.heap_full.or(Some((device, self.pass)));
            drained_at = self.pass + self.settle_us;
        } else if self.order.waiting() < WAITING_MAX / 2
            && let Some((device, since)) = self.heap_full.take()
        {
            let kind = Kind::HeapFull { full_us: (self.pass - since) as u32 };
            self.order.push(Event { at: at(self.pass), device, more: false, kind }, false);
        }
        busy & self.release(drained_at)
    }

    /// Whether the source is empty.
    fn drain(&mut self, slot: usize, reads_left: &mut usize) -> Result<bool, Gone> {
        for _ in 0..self.reads_max.min((*reads_left).max(2)) {
            if !self.has_room() {
                return Ok(false);
            }
            *reads_left = reads_left.saturating_sub(1);
            self.tick();
            let clocks = self.clocks();
            let Some(source) = &mut self.sources[slot] else { return Ok(true) };
            let (node, truth, order) =
                (&mut self.nodes[source.device], &mut self.truths[source.device], &mut self.order);
            let stamped = source.stream.stamps() != Stamps::Receipt;
            let mut out = |event| order.push(event, stamped);
            let read = source.read_ahead.pop_front().map(|(bytes, items)| Read::Bytes(bytes, items));
            let (bytes, items) = match read.unwrap_or_else(|| node.read(self.now)) {
                Read::Again => return Ok(true),
                Read::Gone => return Err(Gone::Unplugged),
                Read::End => {
                    let clock = Clock(clocks, &self.waits);
                    source.stream.feed(node.torn().unwrap_or_default(), &clock, &mut out).unwrap();
                    return Err(source.stream.finish().map_or_else(Gone::Garbage, |()| Gone::Closed));
                }
                Read::Bytes(bytes, items) => (bytes, items),
            };
            let before = source.reads.last().map_or(0, |(_, bytes)| *bytes);
            source.reads.push((self.pass, before + bytes.len()));
            truth.read(node, &items, bytes.len(), clocks, self.heap_was_full);
            if let Err(garbage) = source.stream.feed(&bytes, &Clock(clocks, &self.waits), &mut out) {
                assert_eq!(garbage, Garbage::Type(0x20));
                return Err(Gone::Garbage(garbage));
            }
            if source.stream.needs_resync() != truth.gap {
                panic!("a gap that is none, or none where one is");
            }
            if truth.gap {
                let (down, after) = node.key_state(self.now);
                self.now = after + if self.exact.is_some() { 1 } else { self.dice.below(5) };
                let keys: KeyBits = (0..16).filter(|n| down >> n & 1 == 1).map(|n| key(1 + n)).collect();
                truth.resync(down, self.now);
                source.stream.resync(&keys, at(self.now), &mut out);
            }
        }
        Ok(false)
    }

    fn release(&mut self, drained_at: u64) -> bool {
        let mut published = false;
        let mut no_room_for = None;
        let sender = &mut self.sender;
        let released = self.order.release(at(drained_at), |event| {
            let fits = sender.push(event);
            published |= fits;
            if !fits {
                no_room_for = Some(event.device);
            }
            fits
        });
        self.now += 1;
        if published && self.server_due.is_none() {
            let latency = match self.dice.below(10) {
                // With a ring of one event, so long that it is full.
                _ if self.exact.is_some() => 30,
                0 if self.world.has(fault::SLOW_SERVER) => self.dice.between(1000, 60_000),
                0 if self.world.has(fault::FLOOD) => self.dice.between(500_000, 2_000_000),
                _ => self.dice.between(2, 80),
            };
            self.server_due = Some(self.now + latency);
        }
        match released {
            Released::AllDue(due) => {
                self.timer = due.map(KernelTime::as_us);
                self.timer.inspect(|due| self.assert_not_held(*due));
                if let Some((device, waiting_max)) = self.ring_full.take() {
                    let kind = Kind::RingFull { waiting_max: waiting_max as u32 };
                    self.order.push(Event { at: at(self.pass), device, more: false, kind }, false);
                    self.timer = Some(self.pass);
                }
                true
            }
            Released::NoRoom => {
                let waiting = self.order.waiting();
                match &mut self.ring_full {
                    Some((_, most)) => *most = waiting.max(*most),
                    none => *none = no_room_for.map(|device| (device, waiting)),
                }
                self.timer = Some(self.now + 1000);
                false
            }
        }
    }

    /// Whatever others have to say: what was due is held for W at most behind the first pass that could have let it go, for
    /// three passes, or for what a socket held when the reader was short, which is read in so many bytes. Who was given to
    /// the reader since then may have said something older.
    fn assert_not_held(&self, due: u64) {
        let first = self.passes.partition_point(|pass| *pass < due);
        if let Some(first) = self.passes.get(first).filter(|_| self.given < due) {
            let passes = self.passes.len() - self.passes.partition_point(|pass| pass < first);
            let is_kept = |source: &Source| {
                let before = source.reads.partition_point(|(pass, _)| pass <= first);
                let before = source.reads.get(before.wrapping_sub(1)).map_or(0, |(_, bytes)| *bytes);
                let read = source.reads.last().map_or(0, |(_, bytes)| bytes - before);
                // A count that was under way ends, and then one that began behind `first`.
                let is_short = source.reads.first().is_none_or(|(pass, _)| *pass <= self.short);
                source.ready && is_short && read < 2 * KEPT_BYTES_MAX
            };
            let is_right = self.pass <= first + self.settle_us
                || passes <= BACKLOG_PASSES as usize
                || self.sources.iter().flatten().any(is_kept);
            assert!(is_right, "held for too long: due {due}, now {}", self.pass);
        }
    }

    /// The server takes what the ring has.
    fn server_turn(&mut self) -> Result<(), String> {
        if self.mediator.poll_timeout().is_some_and(|due| due <= at(self.now)) {
            self.mediator.handle_timeout(at(self.now));
        }
        // Sometimes it has other things to do in between.
        let mut left = if self.exact.is_none() && self.world.has(fault::SLOW_SERVER) {
            self.dice.between(1, 40)
        } else {
            4096
        };
        while let Some(event) = self.receiver.pop() {
            let seed = self.dice.next();
            self.mediator.handle_event(event, || seed.to_be_bytes());
            left -= 1;
            if left == 0 {
                self.server_due = Some(self.now + self.dice.between(1, 3000));
                break;
            }
        }
        self.take_outputs()
    }

    fn take_outputs(&mut self) -> Result<(), String> {
        while let Some(output) = self.mediator.poll_output() {
            match output {
                Output::Record(record) => self.records.push(record),
                Output::TellAll(news, except) if except.is_empty() => self.told.push(v1::event(&news)),
                other => return Err(format!("the mediator wants {other:?}")),
            }
        }
        Ok(())
    }
}
