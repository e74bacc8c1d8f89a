//! The devices thread. In: [`Request`]s from the server, and what the kernel tells of devices. Out: [`Report`]s for
//! the server, ready devices for the reader. Guarantee: devices are opened and lights are written on this thread and no
//! other (opening may sleep for 50 ms and more, a light is a USB control transfer); a report about a device leaves before the device itself, so the server knows every
//! [`DeviceId`] that it meets in the ring; while nothing failed, the thread sleeps until something happens.
//!
//! What is decided, is decided in [`crate::device::roster`]; this is its pump.

mod attaching;
pub mod endpoint;
pub mod evdev_node;
pub mod hotplug;
pub mod keep;
pub mod lamps;
pub mod leds;
pub mod measure;
pub mod pair;
pub mod permission;
pub mod survey;
pub mod sysfs;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::mailbox::{Full, Mailbox};
use super::sys;
use crate::device::claim::{Claims, SlotId};
use crate::device::kept::Turn;
use crate::device::lights::Light;
use crate::device::roster::{Action, Opening, Roster};
use crate::event::{Buzzer, DeviceId};
use crate::io::devices::attaching::Adopting;
use crate::io::devices::evdev_node::{Node, OpenError};
use crate::io::devices::hotplug::{Change, Hotplug};
use crate::io::devices::keep::Keep;
use crate::io::devices::lamps::Lamps;
use crate::io::reader::source::ReaderRequest;
use crate::time::{KernelTime, Micros};

pub use crate::device::roster::Report;

/// Requests that may wait: far more than slots, so that a full box means a stuck thread.
const REQUESTS_MAX: usize = 4096;
/// How long to wait before posting again to a reader whose box is full.
const READER_FULL_WAIT: Micros = Micros::from_ms(50);
/// The end waits so long for the thread, which may hang in the kernel.
const STOP_US: Micros = Micros::from_ms(3000);
/// Between two looks whether it has ended.
const STOP_LOOK: Duration = Duration::from_millis(1);

const WAKER: Token = Token(0);
const HOTPLUG: Token = Token(1);

/// Where to look, for what.
#[derive(Debug)]
pub struct Options {
    /// What is wanted of the machine.
    pub claims: Claims,
    /// The directory of device nodes: `/dev/input`.
    pub input_dir: PathBuf,
    /// The root of sysfs: `/sys`.
    pub sysfs_root: PathBuf,
    /// The next free [`DeviceId`], shared with all that attach devices.
    pub device_ids: Arc<AtomicU32>,
}

/// What the server asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Keep this slot open: now, and whenever its device comes back.
    Want(SlotId),
    /// Let go of this slot. After a failed `connect` nothing stays wanted: ask for this then.
    Unwant(SlotId),
    /// The reader told of this device's end.
    Ended(DeviceId),
    /// Do this with the light of a buzzer; its device need not be open. What is in the way comes as a
    /// [`Report::Trouble`].
    Light {
        /// The slot of its device.
        slot: SlotId,
        /// Whose light.
        buzzer: Buzzer,
        /// What to do with it.
        light: Light,
    },
    /// All that is wanted at the start has been asked for: what was kept for others is closed. Answered by
    /// [`Report::Adopted`].
    AllWanted,
    /// End the thread. What the reader has stays open, and what is kept stays kept.
    Stop,
}

/// The running thread.
#[derive(Debug)]
pub struct Devices {
    requests: Mailbox<Request>,
    thread: JoinHandle<()>,
}

impl Devices {
    /// Where to post requests.
    pub fn requests(&self) -> Mailbox<Request> {
        self.requests.clone()
    }

    /// Ends the thread and waits for its end, but not for one that hangs in the kernel.
    pub fn stop(self) {
        let until = sys::now() + STOP_US;
        let mut unposted = Some(Request::Stop);
        while !self.thread.is_finished() && sys::now() < until {
            if let Some(request) = unposted.take()
                && let Err(Full(request)) = self.requests.post(request)
            {
                unposted = Some(request);
            }
            std::thread::park_timeout(STOP_LOOK);
        }
    }
}

/// Starts the thread. The first reports are those of the devices that are there, then [`Report::Listed`].
/// `to_server` is called on the thread and must not block. If anything was kept, [`Request::AllWanted`] must follow.
///
/// # Errors
/// When the kernel gives no epoll instance, no eventfd or no thread. Without inotify the thread runs on, and
/// says so in a [`Report::Trouble`]: devices that come later are then found when somebody asks for a slot.
pub fn spawn(
    options: Options,
    to_server: Box<dyn Fn(Report) + Send>,
    to_reader: Mailbox<ReaderRequest>,
    keep: Keep,
) -> io::Result<Devices> {
    let (input_dir, sysfs_root) = (options.input_dir.clone(), options.sysfs_root.clone());
    let open = move |opening: &Opening| {
        evdev_node::open(&input_dir, &sysfs_root, &opening.identity, Some(&opening.keys), opening.grab)
    };
    spawn_with(options, to_server, to_reader, keep, Box::new(open))
}

type Opener = Box<dyn FnMut(&Opening) -> Result<Node, OpenError> + Send>;

fn spawn_with(
    options: Options,
    to_server: Box<dyn Fn(Report) + Send>,
    to_reader: Mailbox<ReaderRequest>,
    keep: Keep,
    open: Opener,
) -> io::Result<Devices> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let requests = Mailbox::new(REQUESTS_MAX, waker);
    let lamps = Lamps::new(options.sysfs_root.clone(), options.input_dir.clone());
    let pump = Pump {
        poll,
        requests: requests.clone(),
        roster: Roster::new(options.claims.clone()),
        lamps,
        options,
        hotplug: None,
        to_server,
        to_reader,
        for_reader: VecDeque::new(),
        adopting: Adopting::new(keep),
        open,
    };
    let thread = std::thread::Builder::new().name("devices".to_owned()).spawn(move || pump.run())?;
    Ok(Devices { requests, thread })
}

struct Pump {
    poll: Poll,
    requests: Mailbox<Request>,
    roster: Roster,
    lamps: Lamps,
    options: Options,
    /// None: no inotify.
    hotplug: Option<Hotplug>,
    to_server: Box<dyn Fn(Report) + Send>,
    to_reader: Mailbox<ReaderRequest>,
    /// What its box had no room for, in order. Bounded by the slots: each has one device at most, and its next
    /// one is attached behind the detaching of the last.
    for_reader: VecDeque<ReaderRequest>,
    adopting: Adopting,
    open: Opener,
}

impl Pump {
    fn run(mut self) {
        // Watch first, then list: what comes in between is told twice, not never.
        self.hotplug = match self.watch() {
            Ok(hotplug) => Some(hotplug),
            Err(error) => {
                self.report_no_inotify(&error);
                None
            }
        };
        self.list();
        let mut events = Events::with_capacity(8);
        loop {
            self.carry_out();
            match self.poll.poll(&mut events, self.sleep_at_most()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Only a broken descriptor table can do this; no device could be looked after any more.
                Err(error) => panic!("devices: epoll failed: {error}"),
                Ok(()) => {}
            }
            let mut is_stale = self.take_changes();
            for request in self.requests.collect() {
                let now = sys::now();
                match request {
                    Request::Want(slot) => {
                        self.roster.handle_want(slot, now);
                        is_stale = true;
                    }
                    Request::Unwant(slot) => self.roster.handle_unwant(slot),
                    Request::Ended(device) => {
                        self.lamps.closed(device);
                        self.adopting.forget(device);
                        self.roster.handle_ended(device, now);
                    }
                    Request::Light { slot, buzzer, light } => self.light(slot, buzzer, light, now),
                    Request::AllWanted => {
                        self.list();
                        self.carry_out();
                        self.take_over();
                        is_stale = false;
                    }
                    Request::Stop => return self.lamps.stop(),
                }
            }
            if is_stale || self.roster.poll_timeout().is_some_and(|due| due <= sys::now()) {
                self.list();
            }
        }
    }

    fn watch(&self) -> io::Result<Hotplug> {
        let hotplug = Hotplug::start(&self.options.input_dir)?;
        self.poll.registry().register(&mut SourceFd(&sys::raw(&hotplug)), HOTPLUG, Interest::READABLE)?;
        Ok(hotplug)
    }

    fn report_no_inotify(&self, error: &io::Error) {
        let text = format!(
            "{} cannot be watched ({error}): devices that come or go are noticed only when a client connects; check \
             that the directory exists and raise fs.inotify.max_user_instances",
            self.options.input_dir.display()
        );
        (self.to_server)(Report::Trouble { slot: None, text });
    }

    /// Takes what inotify has. True if the last listing may be out of date.
    fn take_changes(&mut self) -> bool {
        let Some(hotplug) = &mut self.hotplug else { return false };
        let changes = match hotplug.changes() {
            Ok(changes) => changes,
            Err(error) => {
                self.report_no_inotify(&error);
                self.hotplug = None; // Closing the descriptor takes it out of the poll.
                self.roster.handle_lost_changes(sys::now());
                return true;
            }
        };
        let now = sys::now();
        for change in &changes {
            match change {
                Change::Created(node) => self.roster.handle_created(node, now),
                Change::Attributes(node) => self.roster.handle_attributes(node, now),
                Change::Deleted(node) => self.roster.handle_deleted(node),
                Change::Rescan => self.roster.handle_lost_changes(now),
            }
        }
        !changes.is_empty()
    }

    fn list(&mut self) {
        match sysfs::list(&self.options.sysfs_root) {
            Ok(devices) => self.roster.handle_listing(devices, sys::now()),
            Err(error) => {
                let text = format!(
                    "{}/class/input cannot be listed ({error}): check that sysfs is mounted and readable",
                    self.options.sysfs_root.display()
                );
                (self.to_server)(Report::Trouble { slot: None, text });
            }
        }
    }

    /// Opens, detaches and tells until there is nothing left that is due.
    fn carry_out(&mut self) {
        self.roster.handle_timeout(sys::now());
        while let Some(action) = self.roster.poll_action() {
            match action {
                Action::Report(report) => (self.to_server)(report),
                Action::Detach(device) => {
                    self.lamps.closed(device);
                    self.adopting.forget(device);
                    self.for_reader.push_back(ReaderRequest::Detach(device));
                }
                Action::Open(opening) => match self.adopting.kept.handle_opening(*opening) {
                    Turn::Open(opening) => self.attach(opening),
                    Turn::Adopt(opening, name, fd) => self.adopt(opening, name, fd),
                    Turn::Later => {}
                },
            }
        }
        for (slot, text) in self.lamps.handle_timeout(sys::now()) {
            (self.to_server)(Report::Trouble { slot: Some(slot), text });
        }
        self.post_to_reader();
    }

    fn post_to_reader(&mut self) {
        while let Some(letter) = self.for_reader.pop_front() {
            if let Err(Full(letter)) = self.to_reader.post(letter) {
                self.for_reader.push_front(letter);
                break;
            }
        }
    }

    fn light(&mut self, slot: SlotId, buzzer: Buzzer, light: Light, now: KernelTime) {
        let trouble = match self.roster.found(slot) {
            Some(found) => self.lamps.light(slot, (&found.identity, &found.keys), (buzzer, light), now),
            None => Some(format!("the device with buzzer {buzzer} is not plugged in, so it has no light")),
        };
        if let Some(text) = trouble {
            (self.to_server)(Report::Trouble { slot: Some(slot), text });
        }
    }

    /// How long to sleep; `None`: until something happens.
    fn sleep_at_most(&self) -> Option<Duration> {
        let now = sys::now();
        let full = (!self.for_reader.is_empty()).then_some(now + READER_FULL_WAIT);
        let due: Option<KernelTime> =
            self.roster.poll_timeout().into_iter().chain(full).chain(self.lamps.poll_timeout()).min();
        due.map(|due| Duration::from_micros(due.since(now).as_us()))
    }
}

#[cfg(test)]
mod tests;
