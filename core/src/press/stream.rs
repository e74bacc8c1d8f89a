//! One device from bytes to events. In: the bytes of its descriptor, in the pieces that reads gave, and the clocks
//! of those reads. Out: [`Event`]s with the time that counts, in stream order. Guarantee: how the bytes are cut into
//! reads makes no difference; garbage ends the stream and nothing before it is lost.

use crate::event::{DeviceId, Event, EventKind, Flags, Garbage};
use crate::press::debounce::{Contacts, EdgeVerdict, Moment};
use crate::press::decode::{Decoder, Edge, Fed, RECORD_BYTES, Record};
use crate::press::keys::{KeyBits, KeyMap};
use crate::press::stamp::{Judge, Judged, ReadClock, Stamps};
use crate::time::{KernelTime, Micros};

/// How a device is to be read.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Its name in the ring.
    pub device: DeviceId,
    /// Who stamps its events.
    pub stamps: Stamps,
    /// When its events begin.
    pub since: KernelTime,
    /// When it is known to have had nothing to read.
    pub drained: KernelTime,
    /// Which key is which buzzer.
    pub keys: KeyMap,
    /// Keys that are down already.
    pub held: KeyBits,
    /// A press counts if its contact was open for so long before it, by the frames' own stamps.
    pub debounce_us: Micros,
    /// The settle window W, from which the slack for stamps follows.
    pub settle_us: Micros,
}

/// The state of one device.
#[derive(Debug)]
pub struct Stream {
    device: DeviceId,
    stamps: Stamps,
    decoder: Decoder,
    contacts: Contacts,
    judge: Judge,
    /// The beginning of a record whose end has not come yet.
    partial: [u8; RECORD_BYTES],
    partial_len: usize,
    /// A gap whose key states have not been asked for.
    gap: bool,
    /// The stamp of the last frame with a press: the kernel cuts long reports into frames of one stamp.
    pressed: Option<KernelTime>,
}

impl Stream {
    /// A stream that has read nothing yet.
    pub fn new(options: &StreamOptions) -> Self {
        Self {
            device: options.device,
            stamps: options.stamps,
            decoder: Decoder::new(options.held),
            contacts: Contacts::new(&options.keys, &options.held, options.debounce_us),
            judge: Judge::new(options.stamps, options.settle_us, options.since, options.drained),
            partial: [0; RECORD_BYTES],
            partial_len: 0,
            gap: false,
            pressed: None,
        }
    }

    /// Its name in the ring.
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// Who stamps its events.
    pub const fn stamps(&self) -> Stamps {
        self.stamps
    }

    /// Everything stamped before this has been read, though more may wait.
    pub fn read_up_to(&self) -> KernelTime {
        self.judge.last()
    }

    /// The pass that began then found nothing more to read.
    pub fn set_drained(&mut self, pass: KernelTime) {
        self.judge.set_drained(pass);
    }

    /// The pass ended with more to read.
    pub fn set_backlog(&mut self) {
        self.judge.set_backlog();
    }

    /// The reader was short ([`crate::press::stamp::is_short`]) until this pass.
    pub const fn set_short(&mut self, pass: KernelTime) {
        self.judge.set_short(pass);
    }

    /// Up to when it holds up the others with what it has not been read of ([`Judge::holds_at`]).
    pub fn holds_at(&self, pass: KernelTime, settle_us: Micros) -> Option<KernelTime> {
        self.judge.holds_at(pass, settle_us)
    }

    /// It was open already, and nobody read it until this.
    pub const fn set_kept(&mut self, until: KernelTime) {
        self.judge.set_kept(until);
    }

    /// Whether the kernel dropped events and [`Stream::resync`] must be called once all that was read is fed.
    pub const fn needs_resync(&self) -> bool {
        self.gap
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Garbage`]: the stream is over; events before the garbage have been given.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        clock: &impl ReadClock,
        out: &mut impl FnMut(Event),
    ) -> Result<(), Garbage> {
        self.judge.count(bytes.len(), clock.pass());
        if self.partial_len > 0 {
            let take = bytes.len().min(RECORD_BYTES - self.partial_len);
            let (head, rest) = bytes.split_at(take);
            self.partial[self.partial_len..][..take].copy_from_slice(head);
            self.partial_len += take;
            bytes = rest;
            if self.partial_len < RECORD_BYTES {
                return Ok(());
            }
            self.partial_len = 0;
            self.record(Record::from_bytes(&self.partial), clock, out)?;
        }
        let (records, rest) = bytes.as_chunks::<RECORD_BYTES>();
        for record in records {
            self.record(Record::from_bytes(record), clock, out)?;
        }
        self.partial[..rest.len()].copy_from_slice(rest);
        self.partial_len = rest.len();
        Ok(())
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`Garbage::PartialRecord`] if it ended inside a record.
    pub const fn finish(&self) -> Result<(), Garbage> {
        if self.partial_len > 0 { Err(Garbage::PartialRecord) } else { Ok(()) }
    }

    /// Takes the true key states after a gap, read at `read`, and tells of the gap: it lasts until now, for to ask takes
    /// what came meanwhile out of the kernel's queue. A press that is found this way has no true time: it is ordered by
    /// `read` and flagged.
    pub fn resync(&mut self, actual: &KeyBits, read: KernelTime, out: &mut impl FnMut(Event)) {
        self.gap = false;
        let since = self.judge.known_up_to();
        let judged = self.judge.recover(read);
        let (device, contacts) = (self.device, &mut self.contacts);
        out(Event { at: judged.at, device, more: false, kind: EventKind::Gap { since } });
        self.decoder.resync(actual, |edge| {
            if let Some(event) = event(device, contacts, (edge, None), judged, false) {
                out(event);
            }
        });
    }

    fn record(
        &mut self,
        record: Record,
        clock: &impl ReadClock,
        out: &mut impl FnMut(Event),
    ) -> Result<(), Garbage> {
        match self.decoder.feed(record)? {
            Fed::Open => {}
            Fed::Frame(own) => {
                if self.decoder.edges().is_empty() {
                    self.judge.note(own, clock);
                    return Ok(());
                }
                let judged = self.judge.judge(own, clock);
                let when = Moment { own, at: judged.at, is_false: judged.is_false };
                if let Some(late) = judged.stall_us {
                    let kind = EventKind::ReaderStall { late_us: saturate(late) };
                    out(Event { at: judged.at, device: self.device, more: false, kind });
                }
                let presses = self.decoder.edges().iter().filter(|edge| edge.down).count();
                let multiple = presses > 1 || (presses == 1 && self.pressed == Some(own));
                // What an attachment says in two frames it says twice, also with one stamp.
                if presses > 0 && self.stamps == Stamps::Kernel {
                    self.pressed = Some(own);
                }
                let cut = self.stamps == Stamps::Kernel && self.decoder.is_cut();
                let mut stale = judged.flags.has(Flags::STALE_STAMP);
                for edge in self.decoder.edges() {
                    let Some(event) =
                        event(self.device, &mut self.contacts, (*edge, Some(when)), judged, multiple)
                    else {
                        continue;
                    };
                    // Said once a report; bounce, of which there may be any amount, is not worth a word of its own.
                    if stale && !matches!(event.kind, EventKind::Ignored { .. }) {
                        stale = false;
                        out(Event { kind: EventKind::StaleStamp { stamp: own }, ..event });
                    }
                    out(Event { more: cut, ..event });
                }
            }
            Fed::Gap if self.stamps == Stamps::Kernel => self.gap = true,
            // The other end of an attachment cannot be asked: it starts over with all keys up, from here on.
            Fed::Gap => self.resync(&KeyBits::NONE, clock.read(), out),
        }
        Ok(())
    }
}

/// `multiple`: the edge's report has more than one press.
fn event(
    device: DeviceId,
    contacts: &mut Contacts,
    (edge, when): (Edge, Option<Moment>),
    judged: Judged,
    multiple: bool,
) -> Option<Event> {
    let kind = match contacts.edge(edge, when)? {
        EdgeVerdict::Press { buzzer, proved } => {
            let suspect = if multiple && !proved { Flags::SUSPECT } else { Flags::NONE };
            let flags = judged.flags.with(suspect);
            let (back_us, early_us) = (saturate(judged.back_us), saturate(judged.early_us));
            EventKind::Press { buzzer, rank: judged.rank, flags, back_us, early_us }
        }
        EdgeVerdict::Release(buzzer) => EventKind::Release { buzzer },
        EdgeVerdict::Ignored(buzzer) => EventKind::Ignored { buzzer, down: edge.down },
    };
    Some(Event { at: judged.at, device, more: false, kind })
}

fn saturate(span: Micros) -> u32 {
    u32::try_from(span.as_us()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
