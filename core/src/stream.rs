//! One device from bytes to events. In: the bytes of its descriptor, in the pieces that reads gave, and the clocks
//! of those reads. Out: [`Event`]s with the time that counts, in stream order. Guarantee: how the bytes are cut into
//! reads makes no difference; garbage ends the stream and nothing before it is lost.

use crate::debounce::{Contacts, Verdict};
use crate::decode::{Decoder, Edge, Fed, RECORD_BYTES, Record};
use crate::event::{DeviceId, Event, Flags, Garbage, Kind};
use crate::keys::{KeyBits, KeyMap};
use crate::stamp::{Judge, Judged, ReadClock, Stamps};
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
    /// Which key is which buzzer.
    pub keys: KeyMap,
    /// Keys that are down already.
    pub held: KeyBits,
    /// A press counts if its contact was open for so long before it.
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
}

impl Stream {
    /// A stream that has read nothing yet.
    pub fn new(options: &StreamOptions) -> Self {
        Self {
            device: options.device,
            stamps: options.stamps,
            decoder: Decoder::new(options.held),
            contacts: Contacts::new(&options.keys, &options.held, options.debounce_us),
            judge: Judge::new(options.stamps, options.settle_us, options.since),
            partial: [0; RECORD_BYTES],
            partial_len: 0,
            gap: false,
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

    /// Everything stamped up to here has been read, though more may wait.
    pub const fn read_up_to(&self) -> KernelTime {
        self.judge.last()
    }

    /// The pass that began then found nothing more to read.
    pub fn set_drained(&mut self, pass: KernelTime) {
        self.judge.set_drained(pass);
    }

    /// Whether events were dropped and [`Stream::resync`] must be called once all that was read is fed.
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
        clock: ReadClock,
        out: &mut impl FnMut(Event),
    ) -> Result<(), Garbage> {
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

    /// Takes the true key states after a gap, read at `read`. A press that is found this way has no true time: it is
    /// ordered by `read` and flagged.
    pub fn resync(&mut self, actual: &KeyBits, read: KernelTime, out: &mut impl FnMut(Event)) {
        self.gap = false;
        let judged = Judged { at: read.max(self.judge.last()), flags: Flags::RECOVERED, rank: 0 };
        let (device, contacts) = (self.device, &mut self.contacts);
        self.decoder.resync(actual, |edge| {
            if let Some(event) = event(device, contacts, edge, judged) {
                out(event);
            }
        });
    }

    fn record(
        &mut self,
        record: Record,
        clock: ReadClock,
        out: &mut impl FnMut(Event),
    ) -> Result<(), Garbage> {
        match self.decoder.feed(record)? {
            Fed::Open => {}
            Fed::Frame(own) => {
                if self.decoder.edges().is_empty() {
                    return Ok(());
                }
                let judged = self.judge.judge(own, clock);
                for edge in self.decoder.edges() {
                    if let Some(event) = event(self.device, &mut self.contacts, *edge, judged) {
                        out(event);
                    }
                }
            }
            Fed::Gap(own) => {
                let since = self.judge.drained();
                let at = self.judge.judge(own, clock).at;
                out(Event { at, device: self.device, more: false, kind: Kind::Gap { since } });
                self.gap = true;
            }
        }
        Ok(())
    }
}

fn event(device: DeviceId, contacts: &mut Contacts, edge: Edge, judged: Judged) -> Option<Event> {
    let kind = match contacts.edge(edge, judged.at)? {
        Verdict::Press(buzzer) => Kind::Press { buzzer, rank: judged.rank, flags: judged.flags },
        Verdict::Release(buzzer) => Kind::Release { buzzer },
        Verdict::Ignored(buzzer) => Kind::Ignored { buzzer },
    };
    Some(Event { at: judged.at, device, more: false, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Buzzer;
    use crate::keys::KeyCode;
    use proptest::prelude::*;

    fn stream() -> Stream {
        let keys = (0..4).map(|n| (KeyCode::new(704 + n).unwrap(), Buzzer(n + 1)));
        Stream::new(&StreamOptions {
            device: DeviceId::new(1),
            stamps: Stamps::Kernel,
            since: KernelTime::ZERO,
            keys: KeyMap::new(keys),
            held: KeyBits::NONE,
            debounce_us: Micros::ZERO,
            settle_us: Micros::ZERO,
        })
    }

    fn clock(us: u64) -> ReadClock {
        ReadClock { pass: KernelTime::from_us(us), read: KernelTime::from_us(us) }
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_into_reads_makes_no_difference(
            keys in prop::collection::vec((700u16..710, any::<bool>()), 0..50),
            cuts in prop::collection::vec(1usize..60, 1..50),
        ) {
            let mut bytes = Vec::new();
            for (at, (code, down)) in keys.iter().enumerate() {
                let at = KernelTime::from_us(at as u64);
                bytes.extend(Record::key(at, KeyCode::new(*code).unwrap(), *down).to_bytes());
                bytes.extend(Record::report(at).to_bytes());
            }
            let mut whole = Vec::new();
            stream().feed(&bytes, clock(100), &mut |event| whole.push(event)).unwrap();
            let (mut cut, mut pieces, mut cuts) = (stream(), Vec::new(), cuts.iter().cycle());
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                cut.feed(piece, clock(100), &mut |event| pieces.push(event)).unwrap();
                rest = tail;
            }
            prop_assert_eq!(cut.finish(), Ok(()));
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = stream().feed(&bytes, clock(100), &mut |_| {});
        }
    }

    #[test]
    fn an_end_inside_a_record_is_garbage() {
        let mut stream = stream();
        stream.feed(&[0; 23], clock(1), &mut |_| {}).unwrap();
        assert_eq!(stream.finish(), Err(Garbage::PartialRecord));
    }

    #[test]
    fn a_gap_is_told_and_what_is_down_behind_it_is_recovered() {
        let at = KernelTime::from_us(5);
        let mut events = Vec::new();
        let mut stream = stream();
        let bytes = [Record::dropped(at).to_bytes(), Record::report(at).to_bytes()].concat();
        stream.feed(&bytes, clock(9), &mut |event| events.push(event.kind)).unwrap();
        assert!(stream.needs_resync());
        let red = KeyCode::new(704).unwrap();
        let read = KernelTime::from_us(12);
        stream.resync(&[red].into_iter().collect(), read, &mut |event| {
            assert_eq!(event.at, read);
            events.push(event.kind);
        });
        let press = Kind::Press { buzzer: Buzzer(1), rank: 0, flags: Flags::RECOVERED };
        assert_eq!(events, [Kind::Gap { since: KernelTime::ZERO }, press]);
        assert!(!stream.needs_resync());
    }
}
