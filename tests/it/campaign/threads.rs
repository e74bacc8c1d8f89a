//! The threads of a world, in virtual time. In: a [`Script`]. Out: the records, what clients were told, and the truth of
//! every device ([`Played`]). Guarantee: pass, ring, group and mediator are the program's own; the loop around them wakes,
//! stalls and finds no room as `core/src/io/reader.rs` and `server/src/io/daemon.rs` do.

use std::collections::BTreeSet;

use buzzer_core::event::{Event, EventKind, Flags};
use buzzer_core::merge::pass::{Next, Pass};
use buzzer_core::merge::ring;
use buzzer_core::merge::ring::{Receiver, Sender};
use buzzer_core::merge::source::Sink;
use buzzer_core::press::stamp::{BACKLOG_PASSES, KEPT_BYTES_MAX};
use buzzer_core::press::waits::Wait;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::game::mediator::{Mediator, Output};
use buzzer_server::game::pool::PoolSpec;
use buzzer_server::game::state::State;
use buzzer_server::record::{Fact, Record};
use buzzer_server::wire::v1;

use super::kernel::{Kernel, Source, at};
use super::script::{Frame, Life, START, Script, World, fault};
use super::truth::Truth;

/// What came of a world.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) records: Vec<Record>,
    pub(crate) told: Vec<String>,
    pub(crate) state: State,
    /// By device number.
    pub(crate) devices: Vec<(Life, Truth)>,
}

/// The reader's end of the ring.
struct Outlet {
    sender: Sender,
    published: bool,
    /// The latest time that has left, and the commands that have not.
    latest: u64,
    commands: BTreeSet<(u64, u64)>,
    /// In this pass there was no room; the heap was found full.
    ring_full: bool,
    heap_full: bool,
}

impl Outlet {
    /// What leaves is in the order of time, but for a press that says it is late; a command never is.
    fn look(&mut self, event: Event) {
        let at = event.at.as_us();
        let must_be_next = match event.kind {
            EventKind::Command { id, moved_us } | EventKind::Timer { id, moved_us } => {
                assert!(self.commands.remove(&(id, at - u64::from(moved_us))), "{event:?} is no command");
                assert!(moved_us == 0 || at == self.latest, "moved for nothing: {event:?}");
                true
            }
            EventKind::Press { flags, .. } => !flags.has(Flags::LATE),
            EventKind::Attached | EventKind::Detached(_) | EventKind::Held { .. } => true,
            _ => false,
        };
        assert!(!must_be_next || at >= self.latest, "an inversion behind {}: {event:?}", self.latest);
        self.latest = self.latest.max(at);
    }
}

impl Sink for Outlet {
    fn push(&mut self, event: Event, _: KernelTime) -> bool {
        let fits = self.sender.push(event);
        if fits {
            self.look(event);
        }
        self.published |= fits;
        self.ring_full |= !fits;
        fits
    }

    fn wake(&mut self) {
        assert!(self.published, "woken for nothing");
    }

    fn ring_is_full(&mut self) {
        assert!(self.ring_full, "it is not");
    }

    fn heap_is_full(&mut self) {
        self.heap_full = true;
    }
}

struct Threads {
    world: World,
    settle_us: u64,
    kernel: Kernel,
    // The reader.
    pass: Pass<usize>,
    outlet: Outlet,
    next: Next,
    reader_due: Option<u64>,
    /// The clock before its next wait.
    began: u64,
    /// When passes began: nothing is held for longer than the rules say.
    passes: Vec<u64>,
    stopping: bool,
    // The server.
    receiver: Receiver,
    server_due: Option<u64>,
    mediator: Mediator,
    records: Vec<Record>,
    told: Vec<String>,
}

/// Plays a world to its end.
pub(crate) fn play(world: World, mut script: Script) -> Result<Played, String> {
    let pool = |id: &str, autoconnect| PoolSpec { id: id.parse().unwrap(), autoconnect, slots: None };
    let pools = vec![pool("desk", true), pool("hall", true), pool("spare", false)];
    let (log, boot, version) = (String::new(), "boot".to_owned(), String::new());
    let start = Fact::Start { log, boot, version, wall_us: 0, settle_us: 0, realtime: false };
    let (sender, receiver) = ring::ring(script.ring_events);
    let commands = script.commands.iter().map(|(_, command)| (command.id, command.at.as_us())).collect();
    let (latest, published, ring_full, heap_full) = (0, false, false, false);
    let mut threads = Threads {
        world,
        settle_us: script.settle_us,
        kernel: Kernel::new(world, &mut script),
        pass: Pass::new(Micros::from_us(script.settle_us), script.reads_max),
        outlet: Outlet { sender, published, latest, commands, ring_full, heap_full },
        next: Next { again: false, due: None, is_over: false },
        reader_due: None,
        began: START,
        passes: Vec::new(),
        stopping: false,
        receiver,
        server_due: None,
        mediator: Mediator::new(State::default(), pools, start, at(START)),
        records: Vec::new(),
        told: Vec::new(),
    };
    threads.run()?;
    let Threads { kernel: Kernel { nodes, mut truths, .. }, mediator, records, told, .. } = threads;
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
                let ready = ready.max(self.kernel.now);
                self.reader_due = Some(ready + self.kernel.wake_latency(ready));
            }
            match (self.reader_due, self.server_due) {
                (Some(due), server) if server.is_none_or(|server| due < server) => {
                    self.kernel.now = self.kernel.now.max(due);
                    self.reader_due = None;
                    self.reader_pass();
                }
                (_, Some(due)) => {
                    self.kernel.now = self.kernel.now.max(due);
                    self.server_due = None;
                    self.server_turn()?;
                }
                (None | Some(_), None) if !self.stopping => {
                    self.stopping = true;
                    self.kernel.now += 11_000_000; // Long enough for a button to be called stuck.
                    self.server_turn()?;
                    self.kernel.stop = true;
                    self.reader_due = Some(self.kernel.now);
                }
                _ => {
                    if !self.next.is_over {
                        return Err("the reader sleeps on what waits".to_owned());
                    }
                    if !self.outlet.commands.is_empty() {
                        return Err(format!("commands that never came back: {:?}", self.outlet.commands));
                    }
                    self.mediator.handle_stop(at(self.kernel.now));
                    return self.take_outputs();
                }
            }
        }
        Err("it does not end".to_owned())
    }

    /// What makes epoll return next.
    fn next_ready(&self) -> Option<u64> {
        self.kernel.next_ready().into_iter().chain(self.next.due.map(KernelTime::as_us)).min()
    }

    fn reader_pass(&mut self) {
        let (last, now) = (self.kernel.pass, self.kernel.now);
        // Nothing was ready when it began to wait.
        let slept = !self.next.again
            && self.pass.must_look()
            && self.next_ready().is_none_or(|ready| ready > self.began);
        let pass = now.max(last + 1);
        let was_full = std::mem::take(&mut self.outlet.ring_full);
        self.kernel.heap_was_full |= self.outlet.heap_full;
        // For 10 ms it did not look, or it had no room.
        if pass - last > 10_000 || was_full || self.outlet.heap_full {
            self.kernel.short = pass;
        }
        (self.kernel.pass, self.kernel.now) = (pass, pass);
        self.passes.push(pass);
        for slot in self.kernel.ready() {
            self.pass.set_ready(slot);
        }
        let wait = Wait { began: at(self.began), pass: at(now), slept, complete: true };
        self.next = self.pass.pass(wait, &mut self.kernel, &mut self.outlet);
        self.kernel.end_pass();
        self.kernel.now += 1;
        for (device, announced) in self.kernel.announced.drain(..) {
            self.mediator.handle_announced(device, announced);
        }
        if std::mem::take(&mut self.outlet.published) && self.server_due.is_none() {
            let dice = &mut self.kernel.dice;
            let latency = match dice.below(10) {
                // With a ring of one event, so long that it is full.
                _ if self.kernel.is_exact() => 30,
                0 if self.world.has(fault::SLOW_SERVER) => self.kernel.dice.between(1000, 60_000),
                0 if self.world.has(fault::FLOOD) => self.kernel.dice.between(500_000, 2_000_000),
                _ => self.kernel.dice.between(2, 80),
            };
            self.server_due = Some(self.kernel.now + latency);
        }
        if let Some(due) = self.next.due.filter(|_| !self.outlet.ring_full) {
            self.assert_not_held(due.as_us());
        }
        if self.next.again {
            self.reader_due = Some(self.kernel.now);
        }
        self.began = self.kernel.now;
    }

    /// Whatever others have to say: what was due is held for W at most behind the first pass that could have let it go, for
    /// three passes, or for what a socket held when the reader was short, which is read in so many bytes. Who was given to
    /// the reader since then may have said something older.
    fn assert_not_held(&self, due: u64) {
        let Kernel { pass: now, given, short, sources, .. } = &self.kernel;
        let first = self.passes.partition_point(|pass| *pass < due);
        if let Some(first) = self.passes.get(first).filter(|_| *given < due) {
            let passes = self.passes.len() - self.passes.partition_point(|pass| pass < first);
            let is_kept = |source: &Source| {
                let before = source.reads.partition_point(|(pass, _)| pass <= first);
                let before = source.reads.get(before.wrapping_sub(1)).map_or(0, |(_, bytes)| *bytes);
                let read = source.reads.last().map_or(0, |(_, bytes)| bytes - before);
                // A count that was under way ends, and then one that began behind `first`.
                let is_short = source.reads.first().is_none_or(|(pass, _)| pass <= short);
                source.is_readable && is_short && read < 2 * KEPT_BYTES_MAX
            };
            let is_right = *now <= first + self.settle_us
                || passes <= BACKLOG_PASSES as usize
                || sources.iter().flatten().any(is_kept);
            assert!(is_right, "held for too long: due {due}, now {now}");
        }
    }

    /// The server takes what the ring has.
    fn server_turn(&mut self) -> Result<(), String> {
        if self.mediator.poll_timeout().is_some_and(|due| due <= at(self.kernel.now)) {
            self.mediator.handle_timeout(at(self.kernel.now));
        }
        // Sometimes it has other things to do in between.
        let mut left = if !self.kernel.is_exact() && self.world.has(fault::SLOW_SERVER) {
            self.kernel.dice.between(1, 40)
        } else {
            4096
        };
        while let Some(event) = self.receiver.pop() {
            let seed = self.kernel.dice.next();
            self.mediator.handle_event(event, || seed.to_be_bytes());
            left -= 1;
            if left == 0 {
                self.server_due = Some(self.kernel.now + self.kernel.dice.between(1, 3000));
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
