//! The reader thread on real descriptors: pipes and sockets through mio's epoll. In: records with known stamps, written
//! by several threads. Out: the events that leave the ring. Guarantee: the oracle is "sort by stamp"; what may come late
//! on a loaded machine must say so, and nothing else may.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::thread;

use buzzer_core::event::{Buzzer, DeviceId, EventKind, Flags, Gone};
use buzzer_core::io::reader::source::{Attachment, ReaderRequest};
use buzzer_core::io::sys;
use buzzer_core::merge::order::WAITING_MAX;
use buzzer_core::merge::ring::RING_EVENTS;
use buzzer_core::press::decode::Record;
use buzzer_core::press::keys::{KeyBits, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::reader::Rig;

fn hit(at: KernelTime, n: u16) -> Vec<u8> {
    [frame(at, key(n), true), frame(at, key(n), false)].concat()
}

/// Two kinds of descriptor: what a device looks like and what an attachment looks like.
fn pipes_and_sockets(count: u32) -> Vec<(OwnedFd, Box<dyn Write + Send>)> {
    let ends = (0..count).map(|n| -> (OwnedFd, Box<dyn Write + Send>) {
        if n % 2 == 0 {
            let (read, write) = std::io::pipe().unwrap();
            (read.into(), Box::new(write))
        } else {
            let (read, write) = UnixStream::pair().unwrap();
            (read.into(), Box::new(write))
        }
    });
    ends.collect()
}

#[test]
fn many_writers_at_once_leave_in_the_order_of_their_stamps() {
    const WRITERS: u32 = 8;
    const HITS: u32 = 1500;
    for stamps in [Stamps::Kernel, Stamps::Sender] {
        let mut rig = Rig::new(2000, RING_EVENTS);
        let mut writers = Vec::new();
        for (fd, writer) in pipes_and_sockets(WRITERS) {
            rig.attach(fd, stamps);
            writers.push(writer);
        }
        let mut presses = Vec::new();
        thread::scope(|scope| {
            for mut writer in writers {
                scope.spawn(move || {
                    for n in 0..HITS {
                        writer.write_all(&hit(sys::now(), 1 + (n % 10) as u16)).unwrap();
                    }
                });
            }
            let mut gone = 0;
            while gone < WRITERS {
                let event = rig.wait_event();
                match event.kind {
                    EventKind::Press { buzzer, flags, .. } => presses.push((event, buzzer, flags)),
                    EventKind::Detached(gone_how) => {
                        assert_eq!(gone_how, Gone::Closed);
                        gone += 1;
                    }
                    // A writer may be kept from running between its stamp and its write, and the reader too.
                    EventKind::Release { .. }
                    | EventKind::RingFull { .. }
                    | EventKind::StaleStamp { .. }
                    | EventKind::ReaderStall { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(presses.len(), (WRITERS * HITS) as usize);
        let mut latest = KernelTime::ZERO;
        let mut next: BTreeMap<DeviceId, u32> = BTreeMap::new();
        for (event, buzzer, flags) in presses {
            assert!(flags.has(Flags::LATE) || event.at >= latest, "{event:?} after {latest}");
            latest = latest.max(event.at);
            let next = next.entry(event.device).or_default();
            assert_eq!(u32::from(buzzer.0), event.device.get() * 10 + 1 + *next % 10, "{event:?}");
            *next += 1;
        }
    }
}

#[test]
fn what_lies_ready_leaves_sorted_whatever_the_descriptors_numbers() {
    // Everything is written before the reader sees any of it: it must come sorted, and nothing can be late.
    let mut rig = Rig::new(2000, RING_EVENTS);
    let base = sys::now();
    let at = |us: u64| base + Micros::from_us(us);
    let stamps = [[5, 9, 9], [1, 5, 12], [5, 6, 7], [0, 2, 20]];
    let mut held = Vec::new();
    // The reader is asked to attach all of them in one go.
    for ((fd, mut writer), stamps) in pipes_and_sockets(4).into_iter().zip(stamps) {
        for (n, us) in (1..).zip(stamps) {
            writer.write_all(&frame(at(us), key(n), true)).unwrap();
        }
        held.push((fd, writer));
    }
    // Stamps must not lie before the attachment, and not in the future either when they are read.
    while sys::now() < at(20) {
        thread::yield_now();
    }
    let mut writers = Vec::new();
    for (device, (fd, writer)) in (1..).zip(held) {
        let flags = rustix::fs::fcntl_getfl(&fd).unwrap();
        rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        let attachment = Attachment {
            device: DeviceId::new(device),
            fd,
            stamps: Stamps::Kernel,
            since: base,
            drained: base,
            keys: KeyMap::new((1..=3).map(|n| (key(n), Buzzer(device as u16 * 10 + n)))),
            debounce_us: Micros::ZERO,
            held: KeyBits::NONE,
            read_ahead: Vec::new(),
        };
        writers.push(writer);
        rig.requests.post(ReaderRequest::Attach(attachment)).unwrap();
    }
    let mut told = Vec::new();
    while told.len() < 12 {
        let event = rig.wait_event();
        if let EventKind::Press { flags, .. } = event.kind {
            told.push((event.at.since(base).as_us(), event.device.get(), event.more, flags.has(Flags::LATE)));
        }
    }
    // The reader may have woken between two requests; then the rest is late, and says so.
    let mut latest = 0;
    for (us, _, _, late) in &told {
        assert!(*late || *us >= latest, "{told:?}");
        latest = latest.max(*us);
    }
    if told.iter().all(|(.., late)| !late) {
        let order: Vec<u64> = told.iter().map(|(us, ..)| *us).collect();
        assert_eq!(order, [0, 1, 2, 5, 5, 5, 6, 7, 9, 9, 12, 20]);
    }
}

#[test]
fn a_full_ring_loses_nothing_and_says_so() {
    const HITS: u32 = 1500;
    let mut rig = Rig::new(0, 4);
    let (fd, mut writer) = pipes_and_sockets(2).remove(1);
    rig.attach(fd, Stamps::Receipt);
    let writing = thread::spawn(move || {
        for n in 0..HITS {
            writer.write_all(&hit(KernelTime::ZERO, 1 + (n % 10) as u16)).unwrap();
        }
    });
    // Nothing is taken until the writer is done: its presses fit into the reader's heap.
    writing.join().unwrap();
    let (mut presses, mut full) = (0, 0);
    loop {
        let event = rig.wait_event();
        match event.kind {
            EventKind::Press { buzzer, .. } => {
                assert_eq!(u32::from(buzzer.0), 11 + presses % 10);
                presses += 1;
            }
            EventKind::RingFull { waiting_max } => {
                assert!(waiting_max > 0);
                full += 1;
            }
            EventKind::Detached(gone) => {
                assert_eq!(gone, Gone::Closed);
                // The word that the ring was full may come behind it.
                if full > 0 {
                    break;
                }
            }
            _ => {}
        }
        if full > 0 && presses == HITS {
            break;
        }
    }
    assert_eq!(presses, HITS);
    assert!(full > 0);
}

#[test]
fn a_full_heap_pushes_back_and_neither_stalls_nor_starves_an_idle_device() {
    const HITS: u32 = 40_000;
    for stamps in [Stamps::Receipt, Stamps::Sender] {
        let mut rig = Rig::new(2000, RING_EVENTS);
        let mut ends = pipes_and_sockets(4);
        let (idle, mut rare) = ends.remove(1);
        let (first, mut one) = ends.remove(0);
        let (second, mut two) = ends.remove(1);
        rig.attach(first, stamps);
        let idle = rig.attach(idle, stamps);
        rig.attach(second, stamps);
        // Two events a hit: twice what ring and heap hold, so the writers are held back.
        let flood = |writer: &mut Box<dyn Write + Send>| {
            for n in 0..HITS {
                writer.write_all(&hit(sys::now(), 1 + (n % 10) as u16)).unwrap();
            }
        };
        thread::scope(|scope| {
            let mut rig = rig; // If this fails, the reader ends and the writers with it.
            let flood = &flood;
            scope.spawn(move || flood(&mut one));
            scope.spawn(move || flood(&mut two));
            // Nothing is taken before ring and heap are full.
            while rig.stats.heap_full.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            let mut presses: BTreeMap<u32, u32> = BTreeMap::new();
            let (mut latest, mut asked, mut answered) = (KernelTime::ZERO, false, false);
            let mut stopped = 0;
            // The word that the heap was full may come behind the last of them.
            while presses.values().sum::<u32>() < 2 * HITS + 1 || stopped == 0 {
                let event = rig.wait_event();
                stopped += u32::from(matches!(event.kind, EventKind::HeapFull { .. }));
                let EventKind::Press { buzzer, flags, .. } = event.kind else {
                    assert!(
                        !matches!(event.kind, EventKind::Detached(gone) if gone != Gone::Closed),
                        "{event:?}"
                    );
                    continue;
                };
                assert!(flags.has(Flags::LATE) || event.at >= latest, "{event:?} after {latest}");
                latest = latest.max(event.at);
                let (device, count) = (event.device.get(), presses.entry(event.device.get()).or_default());
                if device == idle {
                    answered = true;
                } else {
                    assert_eq!(u32::from(buzzer.0), device * 10 + 1 + *count % 10);
                }
                *count += 1;
                if !asked && presses.values().sum::<u32>() > HITS / 4 {
                    rare.write_all(&frame(sys::now(), key(1), true)).unwrap();
                    asked = true;
                }
            }
            assert!(answered);
            // Before the heap is full again, what half of it holds has left: a server that is quicker than the senders for a
            // moment sees two floods, never one for every pass.
            let events = 2 * 2 * HITS + 2;
            assert!(stopped <= 1 + events / (WAITING_MAX as u32 / 2), "{stopped} words for {events} events");
        });
    }
}

#[test]
fn a_key_held_since_before_is_told_and_counts_only_after_its_release() {
    let mut rig = Rig::new(0, RING_EVENTS);
    let (fd, mut writer) = UnixStream::pair().map(|(read, write)| (OwnedFd::from(read), write)).unwrap();
    rustix::fs::fcntl_setfl(&fd, rustix::fs::OFlags::NONBLOCK).unwrap();
    let attachment = Attachment {
        device: DeviceId::new(1),
        fd,
        stamps: Stamps::Receipt,
        since: sys::now(),
        drained: sys::now(),
        keys: KeyMap::new((1..=2).map(|n| (key(n), Buzzer(n)))),
        debounce_us: Micros::ZERO,
        held: [key(2), key(9)].into_iter().collect(),
        read_ahead: Vec::new(),
    };
    rig.requests.post(ReaderRequest::Attach(attachment)).unwrap();
    // The reader may be kept from running, and says so.
    let mut next = || loop {
        let event = rig.wait_event();
        if !matches!(event.kind, EventKind::ReaderStall { .. }) {
            return event.kind;
        }
    };
    assert_eq!(next(), EventKind::Attached);
    assert_eq!(next(), EventKind::Held { buzzer: Buzzer(2) }, "9 is no buzzer");
    let now = sys::now();
    for down in [true, false, true] {
        writer.write_all(&frame(now, key(2), down)).unwrap();
    }
    assert!(matches!(next(), EventKind::Release { buzzer: Buzzer(2) }), "it was down: no press before that");
    assert!(matches!(next(), EventKind::Press { buzzer: Buzzer(2), .. }));
}

#[test]
fn a_gap_on_an_attachment_is_told_with_its_beginning() {
    let mut rig = Rig::new(2000, RING_EVENTS);
    let (fd, mut writer) = UnixStream::pair().map(|(read, write)| (OwnedFd::from(read), write)).unwrap();
    rig.attach(fd, Stamps::Sender);
    let now = sys::now();
    writer.write_all(&frame(now, key(1), true)).unwrap();
    let press = rig.wait_event();
    assert!(matches!(press.kind, EventKind::Press { buzzer: Buzzer(11), .. }), "{press:?}");
    let now = sys::now();
    let dropped = [Record::dropped(now).to_bytes(), Record::report(now).to_bytes()].concat();
    writer.write_all(&dropped).unwrap();
    let gap = rig.wait_event();
    assert!(matches!(gap.kind, EventKind::Gap { since } if since <= gap.at), "{gap:?}");
    let release = rig.wait_event();
    assert!(matches!(release.kind, EventKind::Release { buzzer: Buzzer(11) }), "it starts over: {release:?}");
    drop(writer);
    assert_eq!(rig.wait_event().kind, EventKind::Detached(Gone::Closed));
}

#[test]
fn nobody_waits_for_the_end_of_what_a_sender_has_sent() {
    const FRAMES: usize = 40_000;
    // Whether the other's press leaves before the last of the flood has been read, though it is stamped behind that: not if
    // the machine stops this thread between the two requests.
    let overtakes = |say: &dyn Fn(KernelTime) -> Vec<u8>| {
        let mut rig = Rig::new(0, RING_EVENTS);
        let at = sys::now();
        let last = frame(at, key(1), true);
        let other = frame(at + Micros::from_us(1), key(2), true);
        while sys::now() <= at + Micros::from_us(1) {}
        let (mut fds, mut held) = (Vec::new(), Vec::new());
        for (number, read_ahead) in (1..).zip([[say(at).repeat(FRAMES), last].concat(), other]) {
            let (fd, writer) = UnixStream::pair().unwrap();
            fd.set_nonblocking(true).unwrap();
            held.push(writer);
            fds.push(Attachment {
                device: DeviceId::new(number),
                fd: fd.into(),
                stamps: Stamps::Sender,
                since: at - Micros::from_ms(1),
                drained: at - Micros::from_ms(1),
                keys: KeyMap::new([(key(1), Buzzer(1)), (key(2), Buzzer(2))]),
                debounce_us: Micros::ZERO,
                held: KeyBits::NONE,
                read_ahead,
            });
        }
        for attachment in fds {
            rig.requests.post(ReaderRequest::Attach(attachment)).unwrap();
        }
        let mut presses = Vec::new();
        while presses.len() < 2 {
            let event = rig.wait_event();
            if let EventKind::Press { buzzer, flags, .. } = event.kind {
                presses.push((buzzer.0, flags.has(Flags::LATE)));
            }
        }
        let told = presses == [(2, false), (1, true)];
        assert!(told || presses == [(1, false), (2, false)], "{presses:?}");
        told
    };
    let nothing = |at| Record::report(at).to_bytes().to_vec();
    // Keys that go up and were not down move nothing either, and neither does autorepeat.
    let repeats = |at| {
        let repeat = Record { value: 2, ..Record::key(at, key(1), true) };
        [repeat.to_bytes(), Record::report(at).to_bytes()].concat()
    };
    for flood in [&nothing as &dyn Fn(KernelTime) -> Vec<u8>, &repeats] {
        assert!((0..100).any(|_| overtakes(flood)), "it waited for the end of the flood each time");
    }
}
