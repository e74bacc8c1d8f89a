//! A reader thread without a daemon. In: descriptors. Out: its events, as the server's end of the ring gets them.
//! Guarantee: the thread ends with its rig, and its panic is the test's failure.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind};
use buzzer_core::io::mailbox::Mailbox;
use buzzer_core::io::reader;
use buzzer_core::io::reader::reader_stats::ReaderStats;
use buzzer_core::io::reader::source::{Attachment, ReaderRequest};
use buzzer_core::io::sys;
use buzzer_core::merge::ring;
use buzzer_core::merge::ring::Receiver;
use buzzer_core::press::keys::{KeyBits, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::Micros;
use mio::{Events, Poll, Token, Waker};

use super::attachment::key;
use crate::PATIENCE;

/// A reader and the server's end of its ring.
#[derive(Debug)]
pub struct Rig {
    poll: Poll,
    ring: Receiver,
    /// Where it takes requests.
    pub requests: Mailbox<ReaderRequest>,
    /// What it counts.
    pub stats: Arc<ReaderStats>,
    thread: Option<JoinHandle<()>>,
    devices: u32,
}

impl Rig {
    /// Starts a reader with this window, and a ring for so many events.
    pub fn new(settle_us: u64, ring_events: usize) -> Self {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let (sender, ring) = ring::ring(ring_events);
        let stats = Arc::new(ReaderStats::default());
        let running = reader::spawn(Micros::from_us(settle_us), sender, waker, Arc::clone(&stats)).unwrap();
        Self { poll, ring, requests: running.requests, stats, thread: Some(running.thread), devices: 0 }
    }

    /// Has the reader read this; the device's buzzers are its number times 10, and on.
    pub fn attach(&mut self, fd: impl Into<OwnedFd>, stamps: Stamps) -> u32 {
        let fd = fd.into();
        let flags = rustix::fs::fcntl_getfl(&fd).unwrap();
        rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        self.devices += 1;
        let device = self.devices;
        let keys = KeyMap::new((1..=10).map(|n| (key(n), Buzzer(device as u16 * 10 + n))));
        let attachment = Attachment {
            device: DeviceId::new(device),
            fd,
            stamps,
            since: sys::now(),
            drained: sys::now(),
            keys,
            debounce_us: Micros::ZERO,
            held: KeyBits::NONE,
            read_ahead: Vec::new(),
        };
        self.requests.post(ReaderRequest::Attach(attachment)).unwrap();
        let attached = self.wait_event();
        assert_eq!((attached.device, attached.kind), (DeviceId::new(device), EventKind::Attached));
        device
    }

    /// The next event; waits for the reader's wake-up as the server does.
    pub fn wait_event(&mut self) -> Event {
        let mut events = Events::with_capacity(4);
        loop {
            if let Some(event) = self.ring.pop() {
                return event;
            }
            if self.ring.may_sleep() {
                self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
                self.ring.awake();
                assert!(!events.is_empty(), "the reader says nothing");
            }
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.requests.post(ReaderRequest::Stop);
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() {
            while self.ring.pop().is_some() {}
            thread::yield_now();
        }
        // A panic of the reader is the test's failure, unless it is failing already.
        if thread.join().is_err() && !thread::panicking() {
            panic!("the reader panicked");
        }
    }
}
