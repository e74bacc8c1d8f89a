//! The devices thread against a made-up sysfs and a real inotify. In: files that come and go. Out: reports, and what
//! reaches the reader. No real device can be had here, so success is played by an opener of the test's own.

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use super::*;
use crate::device::claim::{Claim, Match};
use crate::device::identity::Identity;
use crate::device::identity::tests::device;
use crate::device::lights::FLASH_MIN;
use crate::io::devices::keep::Store;
use crate::io::devices::leds::tests::{brightness, plug_hub};
use crate::io::devices::sysfs::tests::{plug, unplug};
use crate::io::reader::source::Attachment;
use crate::press::keys::{KeyBits, KeyCode};
use crate::press::stamp::Stamps;

const SLOT: SlotId = SlotId::new(0);
/// Only how long a broken test takes to fail.
const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    dir: tempfile::TempDir,
    devices: Devices,
    reports: Receiver<Report>,
    poll: Poll,
    reader: Mailbox<ReaderRequest>,
}

fn hub() -> Identity {
    device(7, (0x054c, 2), "usb-0-1.2/input0", &[0x2c0, 0x2c5, 0x2ca, 0x2cf])
}

/// The file that stands for the hub's node.
fn node(dir: &Path) -> PathBuf {
    dir.join("dev/input/event7")
}

impl Bench {
    /// Starts a thread in a world that `make` has furnished.
    fn start(make: impl FnOnce(&Path), reader_letters_max: usize, open: Option<Opener>) -> Self {
        Self::start_keeping(make, reader_letters_max, open, Keep::nothing())
    }

    fn start_keeping(
        make: impl FnOnce(&Path),
        reader_letters_max: usize,
        open: Option<Opener>,
        keep: Keep,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let matcher = Match { vendor: Some(0x054c), ..Match::default() };
        let options = Options {
            claims: Claims::Listed(vec![Claim {
                entry: "pool \"a\"".to_owned(),
                matcher,
                buzzers: None,
                debounce_us: Micros::from_ms(15),
                delay: crate::device::delay::Configured::default(),
            }]),
            input_dir: dir.path().join("dev/input"),
            sysfs_root: dir.path().join("sys"),
            device_ids: Arc::new(AtomicU32::new(40)),
        };
        let poll = Poll::new().unwrap();
        let reader =
            Mailbox::new(reader_letters_max, Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let (sender, reports) = channel();
        let to_server = Box::new(move |report| drop(sender.send(report)));
        let devices = match open {
            Some(open) => spawn_with(options, to_server, reader.clone(), keep, open),
            None => spawn(options, to_server, reader.clone(), keep),
        };
        Self { dir, devices: devices.unwrap(), reports, poll, reader }
    }

    /// A world with a directory for nodes, and the hub in it.
    fn with_hub(dir: &Path) {
        fs::create_dir_all(dir.join("dev/input")).unwrap();
        fs::write(node(dir), "no device").unwrap();
        plug(&dir.join("sys"), &hub());
    }

    fn ask(&self, request: Request) {
        self.devices.requests().post(request).unwrap();
    }

    /// The next report, in short.
    fn report(&self) -> String {
        match self.reports.recv_timeout(PATIENCE).unwrap() {
            Report::Present { slot, found } => {
                format!("{slot} present {} {}", found.identity.node, found.label)
            }
            Report::Absent { slot } => format!("{slot} absent"),
            Report::Trouble { text, .. } => format!("trouble {text}"),
            Report::Opened { slot, device } => format!("{slot} opened {device}"),
            Report::Failed { slot, error } => format!("{slot} failed {error}"),
            Report::Listed => "listed".to_owned(),
            Report::Adopted => "adopted".to_owned(),
        }
    }

    fn expect(&self, want: &str) {
        let report = self.report();
        assert!(report.contains(want), "{report:?} is not {want:?}");
    }

    /// What the reader gets next.
    fn letters(&mut self) -> Vec<ReaderRequest> {
        loop {
            let letters = self.reader.collect();
            if !letters.is_empty() {
                return letters.into();
            }
            let mut events = Events::with_capacity(1);
            self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty(), "nothing for the reader");
        }
    }

    fn attachment(&mut self) -> Attachment {
        match self.letters().pop() {
            Some(ReaderRequest::Attach(attachment)) => attachment,
            other => panic!("{other:?}"),
        }
    }
}

/// Opens anything. The other ends of what it opened are closed, which does not matter: nobody reads here.
fn opener(held: KeyBits) -> Option<Opener> {
    Some(Box::new(move |opening| {
        let fd = OwnedFd::from(UnixStream::pair().unwrap().0);
        Ok(Node { fd, since: sys::now(), held, grabbed: opening.grab && held.is_empty() })
    }))
}

#[test]
fn a_node_that_fails_comes_and_goes() {
    let bench = Bench::start(Bench::with_hub, 8, None);
    bench.expect("0 present event7 buzz-wired-1.2");
    bench.expect("listed");
    bench.ask(Request::Want(SLOT));
    bench.expect("event7: the clock cannot be set to CLOCK_MONOTONIC");

    fs::remove_file(node(bench.dir.path())).unwrap();
    let report = bench.report();
    // An attempt may fall between the removal and its being told.
    if report.contains("failed") {
        assert!(report.contains("does not exist"), "{report}");
        bench.expect("0 absent");
    } else {
        assert_eq!(report, "0 absent", "though sysfs shows it still");
    }
    fs::write(node(bench.dir.path()), "no device").unwrap();
    bench.expect("0 present");
    bench.expect("0 failed");

    unplug(&bench.dir.path().join("sys"), &hub());
    fs::remove_file(node(bench.dir.path())).unwrap();
    while bench.report() != "0 absent" {}
    bench.devices.stop();
}

#[test]
fn a_device_is_reported_before_the_reader_gets_it() {
    let mut bench = Bench::start(Bench::with_hub, 8, opener(KeyBits::NONE));
    bench.expect("0 present");
    bench.expect("listed");
    bench.ask(Request::Want(SLOT));
    let first = bench.attachment();
    assert_eq!(bench.reports.try_recv().unwrap(), Report::Opened { slot: SLOT, device: first.device });
    assert_eq!(
        (first.device.get(), first.stamps, first.debounce_us),
        (40, Stamps::Kernel, Micros::from_ms(15))
    );
    assert_eq!(first.keys.buzzers().len(), 4);

    bench.ask(Request::Ended(first.device));
    let second = bench.attachment();
    assert_eq!(second.device.get(), 41, "opened again, under a new name");
    bench.expect("0 opened 41");
    bench.ask(Request::Unwant(SLOT));
    assert!(matches!(bench.letters()[..], [ReaderRequest::Detach(device)] if device == second.device));
    bench.ask(Request::Want(SLOT));
    assert_eq!(bench.attachment().device.get(), 42);
    bench.devices.stop();
}

#[test]
fn a_device_with_a_key_down_is_not_grabbed_and_says_so() {
    let red = KeyCode::new(0x2c0).unwrap();
    let mut bench = Bench::start(Bench::with_hub, 8, opener([red].into_iter().collect()));
    bench.ask(Request::Want(SLOT));
    assert!(bench.attachment().held.has(red));
    for want in ["0 present", "listed", "0 opened 40", "BTN_TRIGGER_HAPPY1 was down"] {
        bench.expect(want);
    }
    bench.devices.stop();
}

#[test]
fn a_reader_with_a_full_box_gets_everything_later_and_in_order() {
    let mut bench = Bench::start(Bench::with_hub, 1, opener(KeyBits::NONE));
    let stopper = DeviceId::new(0);
    bench.reader.post(ReaderRequest::Detach(stopper)).unwrap();
    bench.ask(Request::Want(SLOT));
    for want in ["0 present", "listed", "0 opened 40"] {
        bench.expect(want);
    }
    bench.ask(Request::Unwant(SLOT));
    assert!(matches!(bench.letters()[..], [ReaderRequest::Detach(device)] if device == stopper));
    let attached = bench.attachment().device;
    assert!(matches!(bench.letters()[..], [ReaderRequest::Detach(device)] if device == attached));
    bench.devices.stop();
}

#[test]
fn the_first_device_of_a_machine_is_seen() {
    let make = |dir: &Path| fs::create_dir(dir.join("dev")).unwrap();
    let bench = Bench::start(make, 8, opener(KeyBits::NONE));
    bench.expect("listed");
    bench.ask(Request::Want(SLOT));
    plug(&bench.dir.path().join("sys"), &hub());
    fs::create_dir(bench.dir.path().join("dev/input")).unwrap();
    bench.expect("0 present event7");
    bench.expect("0 opened 40");
    bench.devices.stop();
}

#[test]
fn without_hotplug_asking_looks_again() {
    let bench = Bench::start(|_| (), 8, opener(KeyBits::NONE));
    bench.expect("dev/input cannot be watched");
    bench.expect("listed");
    plug(&bench.dir.path().join("sys"), &hub());
    bench.ask(Request::Want(SLOT));
    bench.expect("0 present event7");
    bench.expect("0 opened 40");
    bench.devices.stop();
}

#[test]
fn lights_are_written_and_what_has_none_says_so() {
    let bench = Bench::start(Bench::with_hub, 8, opener(KeyBits::NONE));
    bench.expect("0 present event7");
    bench.expect("listed");
    let light = |slot, buzzer| Request::Light { slot, buzzer: Buzzer(buzzer), light: Light::Set };
    bench.ask(light(SLOT, 2));
    bench.expect("trouble event7 (\"device 7\", 054c:0002, phys \"usb-0-1.2/input0\"): there is no light 2");
    let root = bench.dir.path();
    unplug(&root.join("sys"), &hub());
    plug_hub(root, &hub());
    bench.ask(light(SLOT, 2));
    bench.ask(light(SLOT, 9));
    bench.expect("trouble event7");
    assert_eq!(brightness(root, &hub()), "0100");
    bench.ask(light(SlotId::new(5), 1));
    bench.expect("not plugged in");
    let blink = |on_us| {
        let light = Light::Blink { on_us, off_us: FLASH_MIN, times: 2 };
        Request::Light { slot: SLOT, buzzer: Buzzer(1), light }
    };
    // On, off, on, off: the thread wakes up for the last three by itself.
    let inotify = inotify::init(CreateFlags::CLOEXEC).unwrap();
    let leds = fs::canonicalize(root.join("sys/class/input/event7/device/device/leds")).unwrap();
    let file = fs::read_dir(leds).unwrap().map(|led| led.unwrap().path().join("brightness"));
    let file = file.into_iter().find(|file| file.to_str().unwrap().contains("buzz1")).unwrap();
    // With the openings in between: equal events in a row may be told as one.
    inotify::add_watch(&inotify, file, WatchFlags::OPEN | WatchFlags::CLOSE_WRITE).unwrap();
    bench.ask(blink(FLASH_MIN));
    let (mut writes, mut buffer) = (0, [std::mem::MaybeUninit::uninit(); 512]);
    let mut reader = Reader::new(&inotify, &mut buffer);
    while writes < 4 {
        writes += usize::from(reader.next().unwrap().events() == ReadFlags::CLOSE_WRITE);
    }
    assert_eq!(brightness(root, &hub()), "0100");
    bench.ask(blink(Micros::from_ms(3_600_000)));
    bench.ask(light(SLOT, 9));
    bench.expect("trouble event7");
    assert_eq!(brightness(root, &hub()), "1100");
    let dir = bench.dir;
    bench.devices.stop();
    assert_eq!(brightness(dir.path(), &hub()), "0100", "what blinked is put back at the end");
}

/// Says what it is asked to keep.
struct Told(Sender<String>);

impl Store for Told {
    fn keep(&mut self, name: &str, _fd: BorrowedFd<'_>) {
        self.0.send(format!("keep {name}")).unwrap();
    }
    fn forget(&mut self, name: &str) {
        self.0.send(format!("forget {name}")).unwrap();
    }
}

#[test]
fn what_was_kept_and_is_no_good_is_closed_and_the_device_opened_anew() {
    // The hub is 13:71; nobody wants the other one, and the last has no name of ours.
    let names = ["ev-13-71-grabbed", "ev-13-99-shared", "ev-13-71"];
    let kept = names.map(|name| (name.to_owned(), OwnedFd::from(UnixStream::pair().unwrap().0))).into();
    let (told, store) = channel();
    let keep = Keep { kept, drained: KernelTime::ZERO, store: Box::new(Told(told)) };
    let mut bench = Bench::start_keeping(Bench::with_hub, 8, opener(KeyBits::NONE), keep);
    bench.expect("0 present");
    bench.expect("listed");
    bench.ask(Request::Want(SLOT));
    bench.expect("did not stay open over the restart");
    bench.ask(Request::AllWanted);
    bench.expect("adopted");
    bench.expect("0 opened 40");
    assert_eq!(bench.attachment().device, DeviceId::new(40));
    bench.ask(Request::Unwant(SLOT));
    assert!(matches!(bench.letters().pop(), Some(ReaderRequest::Detach(_))));
    let said: Vec<String> = (0..5).map(|_| store.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(
        said,
        [
            "forget ev-13-71",
            "forget ev-13-71-grabbed",
            "forget ev-13-99-shared",
            "keep ev-13-71-grabbed",
            "forget ev-13-71-grabbed"
        ]
    );
}

#[test]
fn the_end_of_the_process_keeps_what_is_open() {
    let (told, store) = channel();
    let keep = Keep { kept: Vec::new(), drained: KernelTime::ZERO, store: Box::new(Told(told)) };
    let bench = Bench::start_keeping(Bench::with_hub, 8, opener(KeyBits::NONE), keep);
    bench.expect("0 present");
    bench.expect("listed");
    bench.ask(Request::Want(SLOT));
    bench.expect("0 opened 40");
    bench.devices.stop();
    assert_eq!(store.iter().collect::<Vec<_>>(), ["keep ev-13-71-grabbed"]);
}
