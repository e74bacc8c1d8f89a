//! Cases about opening a device: what the kernel makes of it, and that nobody else's presses suffer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::UNIX_EPOCH;

use buzzer_core::device::profile::every_key;
use buzzer_core::io::devices::{evdev_node, sysfs};
use rustix::fs::{FileType, Mode, OFlags};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::gadget::Pad;
use crate::node::Reader;
use crate::records;
use crate::uinput::{Button, TRIGGER, now_us};

/// `usbhid_open` sleeps until the device has surely sent what it had; whoever opens it first waits.
pub(crate) fn first_usb_open_sleeps() -> Outcome {
    let mut pad = Pad::plug()?;
    let before = now_us();
    let mut reader = Reader::open(pad.node())?;
    let took_us = now_us() - before;
    ensure(took_us >= 50_000, || format!("the first open took {took_us} µs"))?;
    pad.report(1)?;
    let (code, value, _) = reader.next_key()?;
    same("key and value", &(code, value), &(TRIGGER.code(), 1))
}

/// Setting the clock of a queue that is not empty leaves a stale stamp for every reader, so it is set before anything can be
/// in the queue. Here a press comes while the opener looks at sysfs: one of sysfs without haste, whose `name` is a pipe.
pub(crate) fn leaves_no_stale_stamp() -> Outcome {
    let mut button = Button::plug_with("looked at", &[TRIGGER])?;
    let node = button.node().to_owned();
    let name = node.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let identity = sysfs::read(Path::new("/sys"), &name).why("sysfs")?;
    let keys = every_key(&identity.keys);
    let mut observer = Reader::open(&node)?;
    observer.set_clock()?;
    let slow = Path::new("/tmp/slow-sysfs");
    let pipe = copy_with_pipe(slow, &name, identity.instance)?;
    thread::scope(|scope| {
        let opening = scope.spawn(|| {
            evdev_node::open(Path::new("/dev/input"), slow, &identity, Some(&keys), false)
                .map_err(|it| it.to_string())
        });
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // It can be opened once somebody reads it.
        let name =
            until("the opener's look at sysfs", || rustix::fs::open(&pipe, flags, Mode::empty()).ok())?;
        button.press(TRIGGER)?;
        rustix::io::write(&name, identity.name.as_bytes()).why("the name")?;
        drop(name);
        opening.join().unwrap_or_else(|_| Err("the opener panicked".to_owned())).map(drop)
    })?;
    let before = now_us();
    button.release(TRIGGER)?;
    observer.next_key()?;
    let (_, _, stamp) = observer.next_key()?;
    let at_us = stamp.duration_since(UNIX_EPOCH).why("stamp")?.as_micros();
    ensure(at_us >= before.unsigned_abs().into(), || format!("written at {before}, stamped {at_us}"))
}

/// What sysfs says of a node, elsewhere, its name as a pipe that nobody has written to yet. Gives the pipe.
fn copy_with_pipe(root: &Path, node: &str, instance: u64) -> Outcome<PathBuf> {
    let from = Path::new("/sys/class/input").join(node);
    let input = root.join(format!("devices/input{instance}"));
    for folder in
        [&root.join("class/input"), &input.join("id"), &input.join("capabilities"), &input.join(node)]
    {
        fs::create_dir_all(folder).why(folder.display())?;
    }
    for file in ["id/bustype", "id/vendor", "id/product", "id/version", "capabilities/key", "inhibited"] {
        fs::copy(from.join("device").join(file), input.join(file)).why(file)?;
    }
    fs::copy(from.join("dev"), input.join(node).join("dev")).why("dev")?;
    symlink(format!("../../input{instance}"), input.join(node).join("device")).why("device")?;
    symlink(input.join(node), root.join("class/input").join(node)).why(node)?;
    let pipe = input.join("name");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).why("pipe")?;
    Ok(pipe)
}

/// Both pads are known, so no configuration names them.
const NO_DEBOUNCE: &str = "[order]\ndebounce_us = 0\n";

/// While a thread of the daemon sleeps in the kernel because it opens a USB device, a press of another device comes and is
/// told.
pub(crate) fn delays_no_other_device() -> Outcome {
    let mut button = Button::plug_with("other pad", &[TRIGGER])?;
    let mut pad = Some(Pad::plug()?);
    let daemon = Daemon::start("opening", NO_DEBOUNCE)?;
    let mut client = daemon.client()?;
    client.connect_pool("joystick", &[1])?;
    client.connect_pool("joystick-1", &(1..=8).collect::<Vec<_>>())?;
    let (mut tries, mut told_meanwhile) = (0, 0);
    while tries < 5 {
        tries += 1;
        // What is connected is opened again when it comes back, as its first opener.
        drop(pad.take());
        client.expect_disconnected("joystick-1", None)?;
        pad = Some(Pad::plug()?);
        until("the opener in usbhid_open", || daemon.sleeps_in_the_kernel("devices").then_some(()))
            .map_err(|why| format!("{why}{}", daemon.last_words()))?;
        button.press(TRIGGER)?;
        button.release(TRIGGER)?;
        client.expect_buzz("joystick", 1)?;
        told_meanwhile += usize::from(daemon.sleeps_in_the_kernel("devices"));
        client.expect_connected("joystick-1", &(1..=8).collect::<Vec<_>>())?;
    }
    println!("vm: {told_meanwhile} of {tries} presses told while a device was being opened");
    ensure(told_meanwhile > 0, || "no press was told while the other device was being opened".to_owned())?;
    let records = daemon.stop()?;
    same("stalls", &records::count(&records, "reader_stall"), &0)
}

/// A button is down when its device is connected, and the kernel throws away the report that says so, because it comes
/// during the open. The next report shows it as freshly pressed.
pub(crate) fn report_during_it_leaves_a_suspect() -> Outcome {
    let mut pad = Pad::plug()?;
    let daemon = Daemon::start("held-usb", NO_DEBOUNCE)?;
    let mut client = daemon.client()?;
    // Nobody asks the device yet: the report waits for the open.
    pad.report(0b10)?;
    client.connect_pool("joystick-1", &(1..=8).collect::<Vec<_>>())?;
    pad.report(0b11)?;
    client.next()?;
    client.next()?;
    let presses = records::presses(&daemon.stop()?);
    let held = presses.iter().find(|press| press.buzzer == 2);
    ensure(held.is_some_and(|press| press.has("suspect")), || format!("not suspect: {presses:?}"))
}

/// The interval of the endpoint is in what `devices` says.
pub(crate) fn usb_device_tells_its_interval() -> Outcome {
    let _pad = Pad::plug()?;
    let daemon = Daemon::start("interval", "")?;
    let output = daemon.run(&["devices", "--json"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.contains("vm pad")).ok_or_else(|| text.to_string())?;
    let seen: Value = serde_json::from_str(line).why("its line")?;
    // usb_f_hid asks for 10 ms at full speed (`f_hid.c`).
    let endpoint = "/sys/bus/usb/devices/1-1/1-1:1.0/ep_81/interval";
    let interval = fs::read_to_string(endpoint).why(endpoint)?;
    same("interval in sysfs", &interval.trim_end(), &"10ms")?;
    println!("vm: {seen}");
    same("basis", &seen["delay_basis"], &json!("unknown"))?;
    // Linux rounds down to a power of two (`urb.c:usb_submit_urb`).
    same("poll", &seen["poll_us"], &json!(8_000))
}
