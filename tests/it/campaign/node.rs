//! The kernel's side of one device. In: a [`Life`] and the time. Out: what `read(2)` and `EVIOCGKEY` would answer, and what
//! was lost on the way. Guarantee: a queue that overflows, a state that is asked for and a device that is unplugged
//! lose what the kernel loses, no more and no less (`drivers/input/evdev.c`: `__pass_event`, `__evdev_flush_queue`,
//! `evdev_read`).

use std::collections::VecDeque;

use buzzer_core::press::decode::{RECORD_BYTES, Record};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::KernelTime;
use buzzer_tests::harness::attachment::key;

use super::dice::Dice;
use super::script::{End, Frame, Life, Said, World, fault};

/// Records that a socket holds for its reader.
const SOCKET_RECORDS: usize = (208 << 10) / RECORD_BYTES;

/// A record in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) said: Said,
    /// The frame it belongs to.
    pub(crate) frame: usize,
}

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Read {
    /// Bytes, and the records that end in them.
    Bytes(Vec<u8>, Vec<Item>),
    Again,
    End,
    Gone,
}

/// A device that is there.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) life: Life,
    next: usize,
    queue: VecDeque<Item>,
    /// Bytes of the first record in the queue that were read already.
    sent: usize,
    /// A bit for each key that is down.
    down: u16,
    dice: Dice,
    /// Its reads end anywhere, within reports too.
    cuts: bool,
    /// Its socket is full, so its sender waits.
    waits: bool,
    /// Frames of which a press was lost.
    pub(crate) lost: Vec<usize>,
}

impl Node {
    pub(crate) fn new(life: Life, world: World) -> Self {
        let dice = Dice::new(world.seed, [6, life.slot, life.since]);
        let down = life.held;
        let (queue, cuts) = (VecDeque::new(), world.has(fault::CUT));
        Self { life, next: 0, queue, sent: 0, down, dice, cuts, waits: false, lost: Vec::new() }
    }

    fn is_kernel(&self) -> bool {
        self.life.stamps == Stamps::Kernel
    }

    pub(crate) fn frame(&self, frame: usize) -> &Frame {
        &self.life.frames[frame]
    }

    /// When the next thing happens that makes its descriptor ready.
    pub(crate) fn next_ready(&self) -> Option<u64> {
        let frame = self.life.frames.get(self.next).map(|frame| frame.visible);
        let end = self.life.end.map(|(us, _)| us);
        frame.into_iter().chain(end).min()
    }

    fn publish(&mut self, now: u64) {
        let is_kernel = self.is_kernel();
        while let Some(frame) = self.life.frames.get_mut(self.next).filter(|frame| frame.visible <= now) {
            if !is_kernel && self.queue.len() >= SOCKET_RECORDS {
                self.waits = true;
                return;
            }
            if self.waits {
                frame.visible = now;
            }
            self.publish_next();
        }
        self.waits = false;
    }

    fn publish_next(&mut self) {
        let frame = self.next;
        self.next += 1;
        for said in self.life.frames[frame].says.clone() {
            if let Said::Key(key, value @ (0 | 1)) = said {
                self.down = self.down & !(1 << key) | (value as u16) << key;
            }
            self.queue.push_back(Item { said, frame });
            // Full: everything goes but the newest record, and SYN_DROPPED before it says so.
            if self.is_kernel() && self.queue.len() > self.life.queue_max {
                let newest = self.queue.pop_back();
                self.lose(|_| true);
                self.queue.push_back(Item { said: Said::Dropped, frame });
                self.queue.extend(newest);
            }
        }
    }

    /// Takes out of the queue what `which` says, and remembers the presses among it.
    fn lose(&mut self, which: impl Fn(Said) -> bool) {
        let lost = &mut self.lost;
        self.queue.retain(|item| {
            let goes = which(item.said);
            if goes && matches!(item.said, Said::Key(_, 1)) {
                lost.push(item.frame);
            }
            !goes
        });
    }

    /// Reads at most 64 records at `now`.
    pub(crate) fn read(&mut self, now: u64) -> Read {
        let over = self.life.end.filter(|(us, end)| *us <= now && *end != End::LetGo);
        if over.is_some() && self.is_kernel() {
            // What was not read goes with the device.
            self.publish(now);
            self.lose(|_| true);
            return Read::Gone;
        }
        self.publish(now);
        if self.queue.is_empty() {
            return if over.is_some() { Read::End } else { Read::Again };
        }
        let mut bytes = Vec::new();
        let mut items = Vec::new();
        // A socket gives any number of bytes.
        let all = self.queue.len().min(64) * RECORD_BYTES - self.sent;
        let mut room = if !self.is_kernel() && self.dice.one_in(4) {
            self.dice.between(1, all as u64) as usize
        } else if self.cuts && self.dice.one_in(2) {
            (self.dice.between(1, 5) as usize * RECORD_BYTES - self.sent).min(all)
        } else {
            all
        };
        while room > 0 {
            let Some(item) = self.queue.front().copied() else { break };
            let record = self.record(item);
            let part = &record[self.sent..];
            let part = &part[..part.len().min(room)];
            bytes.extend_from_slice(part);
            room -= part.len();
            self.sent += part.len();
            if self.sent == RECORD_BYTES {
                self.sent = 0;
                items.push(item);
                self.queue.pop_front();
            }
        }
        Read::Bytes(bytes, items)
    }

    /// Bytes of a record that its sender did not finish.
    pub(crate) fn torn(&self) -> Option<&'static [u8]> {
        self.life.end.filter(|(_, end)| *end == End::Cut).map(|_| [0u8; 7].as_slice())
    }

    fn record(&self, item: Item) -> [u8; RECORD_BYTES] {
        let at = KernelTime::from_us(self.frame(item.frame).stamp);
        let record = match item.said {
            Said::Key(number, value) => Record { value, ..Record::key(at, key(1 + number), true) },
            Said::Report => Record::report(at),
            Said::Dropped => Record::dropped(at),
            Said::Nonsense => Record { kind: 0x20, ..Record::report(at) },
        };
        record.to_bytes()
    }

    /// Asks for the keys that are down (a bit each) at `now`, and until when that took.
    pub(crate) fn key_state(&mut self, now: u64) -> (u16, u64) {
        let mut now = now;
        self.publish(now);
        // A frame on its way holds the device's lock.
        while let Some(frame) = self.life.frames.get(self.next).filter(|frame| frame.made <= now) {
            now = now.max(frame.visible);
            self.publish_next();
        }
        // EVIOCGKEY takes the keys out of the queue, and reports that are empty then, but not the first of them.
        self.lose(|said| matches!(said, Said::Key(..)));
        let mut has_something = true;
        self.queue.retain(|item| {
            let keep = item.said != Said::Report || has_something;
            has_something = item.said != Said::Report;
            keep
        });
        (self.down, now)
    }

    /// It is read no longer: the rest is lost.
    pub(crate) fn abandon(&mut self) {
        let rest = self.next..self.life.frames.len();
        let pressing =
            |frame: &usize| self.life.frames[*frame].says.iter().any(|said| matches!(said, Said::Key(_, 1)));
        let rest: Vec<usize> = rest.filter(pressing).collect();
        self.lose(|_| true);
        self.lost.extend(rest);
    }
}
