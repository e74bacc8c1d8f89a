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
mod tests {
    use super::*;
    use crate::event::Buzzer;
    use crate::press::keys::KeyCode;
    use crate::press::stamp::tests::Clock;
    use proptest::prelude::*;

    fn stream() -> Stream {
        let keys = (0..4).map(|n| (KeyCode::new(704 + n).unwrap(), Buzzer(n + 1)));
        Stream::new(&StreamOptions {
            device: DeviceId::new(1),
            stamps: Stamps::Kernel,
            since: KernelTime::ZERO,
            drained: KernelTime::ZERO,
            keys: KeyMap::new(keys),
            held: KeyBits::NONE,
            debounce_us: Micros::ZERO,
            settle_us: Micros::ZERO,
        })
    }

    fn clock(us: u64) -> Clock {
        Clock { pass: us, read: us, late: 0 }
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
            stream().feed(&bytes, &clock(100), &mut |event| whole.push(event)).unwrap();
            let (mut cut, mut pieces, mut cuts) = (stream(), Vec::new(), cuts.iter().cycle());
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                cut.feed(piece, &clock(100), &mut |event| pieces.push(event)).unwrap();
                rest = tail;
            }
            prop_assert_eq!(cut.finish(), Ok(()));
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = stream().feed(&bytes, &clock(100), &mut |_| {});
        }
    }

    /// One report of these buttons (0 to 3) going down or up, at `us`.
    fn report(stream: &mut Stream, us: u64, buttons: &[u16], down: bool) -> Vec<(u16, Flags)> {
        let at = KernelTime::from_us(us);
        let keys = buttons.iter().map(|n| Record::key(at, KeyCode::new(704 + n).unwrap(), down));
        let bytes: Vec<u8> = keys.chain([Record::report(at)]).flat_map(Record::to_bytes).collect();
        let mut presses = Vec::new();
        let out = &mut |event: Event| {
            if let EventKind::Press { buzzer, flags, .. } = event.kind {
                presses.push((buzzer.0, flags));
            }
        };
        stream.feed(&bytes, &clock(us), out).unwrap();
        presses
    }

    #[test]
    fn a_button_never_proved_is_suspect_in_a_report_of_several() {
        let mut stream = stream();
        assert_eq!(report(&mut stream, 10, &[0], true), [(1, Flags::NONE)], "alone: nothing to suspect");
        report(&mut stream, 20, &[0], false);
        let both = report(&mut stream, 30, &[0, 1], true);
        assert_eq!(both, [(1, Flags::NONE), (2, Flags::SUSPECT)], "1 is proved, 2 is not");
        // The kernel cuts a long report: a second frame of the same stamp belongs to it.
        assert_eq!(report(&mut stream, 30, &[2], true), [(3, Flags::SUSPECT)]);
    }

    #[test]
    fn an_impossible_stamp_is_told_once_a_report_before_what_counts() {
        let mut stream = stream();
        stream.set_drained(KernelTime::from_us(100_000));
        let frame = |buttons: &[u16], down| -> Vec<u8> {
            let at = KernelTime::from_us(7);
            let keys = buttons.iter().map(|n| Record::key(at, KeyCode::new(704 + n).unwrap(), down));
            keys.chain([Record::report(at)]).flat_map(Record::to_bytes).collect()
        };
        let mut kinds = Vec::new();
        let now = KernelTime::from_us(100_500);
        let mut feed = |bytes: &[u8]| {
            stream
                .feed(bytes, &clock(100_500), &mut |event| {
                    assert_eq!(event.at, now, "by the time it was read");
                    kinds.push(event.kind);
                })
                .unwrap();
            std::mem::take(&mut kinds)
        };
        let stale = EventKind::StaleStamp { stamp: KernelTime::from_us(7) };
        let told = feed(&frame(&[0, 1], true));
        assert_eq!((told.len(), told[0]), (3, stale), "{told:?}");
        assert!(told[1..].iter().all(|kind| matches!(kind, EventKind::Press { .. })), "{told:?}");
        assert_eq!(feed(&frame(&[0], false)), [stale, EventKind::Release { buzzer: Buzzer(1) }]);
        assert_eq!(feed(&frame(&[], false)), [], "nothing was said");
    }

    #[test]
    fn presses_that_are_read_together_with_stamps_that_cannot_be_true_are_no_bounce() {
        let options = StreamOptions {
            device: DeviceId::new(1),
            stamps: Stamps::Kernel,
            since: KernelTime::ZERO,
            drained: KernelTime::ZERO,
            keys: KeyMap::new([(KeyCode::new(704).unwrap(), Buzzer(1))]),
            held: KeyBits::NONE,
            debounce_us: Micros::from_ms(15),
            settle_us: Micros::ZERO,
        };
        let frame = |us: u64, down: bool| {
            let at = KernelTime::from_us(us);
            [Record::key(at, KeyCode::new(704).unwrap(), down), Record::report(at)]
                .map(Record::to_bytes)
                .concat()
        };
        // Five presses 120 ms apart, each with 1 ms of bounce, and nothing explains that they show only now.
        let presses = (0..5).map(|n| 1_000_000 + 120_000 * n);
        let bytes: Vec<u8> = presses
            .flat_map(|us| {
                [(0, true), (300, false), (600, true), (50_000, false)].map(|(d, down)| frame(us + d, down))
            })
            .flatten()
            .collect();
        let (mut stream, mut counts) = (Stream::new(&options), [0; 3]);
        stream.set_drained(KernelTime::from_us(900_000));
        let out = &mut |event: Event| match event.kind {
            EventKind::Press { flags, .. } => {
                assert!(flags.has(Flags::STALE_STAMP));
                counts[0] += 1;
            }
            EventKind::Release { .. } => counts[1] += 1,
            EventKind::Ignored { .. } => counts[2] += 1,
            _ => {}
        };
        stream.feed(&bytes, &clock(2_000_000), out).unwrap();
        assert_eq!(counts, [5, 5, 10]);
        // Another program took the device's clock 5 ms after a release: the next press, much later, has that stamp.
        let (mut stream, mut presses) = (Stream::new(&options), Vec::new());
        for (us, read, down) in [(10_000, 10_050, true), (80_000, 80_050, false), (85_000, 700_000, true)] {
            let out = &mut |event: Event| {
                if let EventKind::Press { flags, .. } = event.kind {
                    presses.push((event.at.as_us(), flags));
                }
            };
            stream.feed(&frame(us, down), &clock(read), out).unwrap();
            stream.set_drained(KernelTime::from_us(read));
        }
        assert_eq!(presses, [(10_000, Flags::NONE), (700_000, Flags::STALE_STAMP)]);
    }

    #[test]
    fn a_reader_that_ran_late_says_so_and_the_stamp_stays_true() {
        let at = KernelTime::from_us(10_000);
        let red = KeyCode::new(704).unwrap();
        let bytes = [Record::key(at, red, true).to_bytes(), Record::report(at).to_bytes()].concat();
        let mut events = Vec::new();
        let late = Clock { pass: 90_000, read: 90_010, late: 70_000 };
        stream().feed(&bytes, &late, &mut |event| events.push((event.at, event.kind))).unwrap();
        let press =
            EventKind::Press { buzzer: Buzzer(1), rank: 0, flags: Flags::NONE, back_us: 0, early_us: 0 };
        assert_eq!(events, [(at, EventKind::ReaderStall { late_us: 70_000 }), (at, press)]);
    }

    #[test]
    fn a_report_that_moves_no_key_says_how_far_the_device_is_read() {
        let mut stream = stream();
        for (us, want) in [(50, 50), (40, 50), (90, 50), (60, 60)] {
            let bytes = Record::report(KernelTime::from_us(us)).to_bytes();
            stream.feed(&bytes, &clock(70), &mut |event| panic!("{event:?}")).unwrap();
            assert_eq!(stream.read_up_to().as_us(), want, "{us}");
        }
    }

    #[test]
    fn a_report_that_the_kernel_cut_says_so() {
        let at = KernelTime::from_us(5);
        for (value, want) in [(0, false), (1, true)] {
            let key = Record::key(at, KeyCode::new(704).unwrap(), true);
            let bytes = [key, Record { value, ..Record::report(at) }].map(Record::to_bytes).concat();
            let mut more = Vec::new();
            stream().feed(&bytes, &clock(5), &mut |event| more.push(event.more)).unwrap();
            assert_eq!(more, [want]);
        }
    }

    #[test]
    fn an_end_inside_a_record_is_garbage() {
        let mut stream = stream();
        stream.feed(&[0; 23], &clock(1), &mut |_| {}).unwrap();
        assert_eq!(stream.finish(), Err(Garbage::PartialRecord));
    }

    #[test]
    fn a_gap_is_told_and_what_is_down_behind_it_is_recovered() {
        let at = KernelTime::from_us(5);
        let mut events = Vec::new();
        let mut stream = stream();
        let bytes = [Record::dropped(at).to_bytes(), Record::report(at).to_bytes()].concat();
        stream.feed(&bytes, &clock(9), &mut |event| events.push(event.kind)).unwrap();
        assert!(stream.needs_resync());
        let red = KeyCode::new(704).unwrap();
        let read = KernelTime::from_us(12);
        stream.resync(&[red].into_iter().collect(), read, &mut |event| {
            assert_eq!(event.at, read);
            events.push(event.kind);
        });
        let press = EventKind::Press {
            buzzer: Buzzer(1),
            rank: 0,
            flags: Flags::RECOVERED,
            back_us: 12,
            early_us: 0,
        };
        assert_eq!(events, [EventKind::Gap { since: KernelTime::ZERO }, press]);
        assert!(!stream.needs_resync());
    }
}
