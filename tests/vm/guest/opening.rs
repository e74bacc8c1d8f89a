//! Cases about opening a device: what the kernel makes of it, and that nobody else's presses suffer.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::UNIX_EPOCH;

use buzzer_core::io::{evdev_node, sysfs};
use buzzer_core::profile::every_key;
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

/// How often the device of this case is opened.
const OPENS: usize = 40;

/// Setting the clock of a queue that is not empty leaves a stale stamp for every reader. So it is set before anything can
/// be in the queue: of 40 openings beside frames every 0.5 ms few may do so, and with a later place nearly all would.
pub(crate) fn leaves_no_stale_stamp() -> Outcome {
    let mut button = Button::plug_with("opened often", &[TRIGGER])?;
    let node = button.node().to_owned();
    let mut observer = Reader::open(&node)?;
    observer.set_clock()?;
    let name = node.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let identity = sysfs::read(Path::new("/sys"), &name).why("sysfs")?;
    let keys = every_key(&identity.keys);
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let (mut spans, mut stale) = (0, 0);
            while !enough.load(Ordering::Acquire) {
                let before = now_us();
                button.send(TRIGGER, 1 - spans % 2)?;
                spans += 1;
                let (_, _, stamp) = observer.next_key()?;
                let at_us = stamp.duration_since(UNIX_EPOCH).why("stamp")?.as_micros();
                stale += usize::from(at_us < u128::from(before.unsigned_abs()));
                let next = before + 500;
                while now_us() < next {
                    thread::yield_now();
                }
            }
            Ok(stale)
        });
        let opened = (0..OPENS).try_for_each(|_| {
            let open = evdev_node::open(Path::new("/dev/input"), Path::new("/sys"), &identity, &keys, false);
            open.map(drop).or_else(|error| match error {
                // A key was down and another opening's trial grab was seen: nothing else grabs here.
                evdev_node::OpenError::Grabbed { .. } => Ok(()),
                other => Err(other.to_string()),
            })
        });
        enough.store(true, Ordering::Release);
        let stale: usize = writing.join().unwrap_or_else(|_| Err("the writer panicked".to_owned()))?;
        opened?;
        println!("vm: {stale} stale stamps after {OPENS} openings");
        ensure(stale < OPENS / 2, || format!("{OPENS} openings left {stale} stale stamps"))
    })
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
        let opening = until("a thread in usbhid_open", || daemon.sleeping_in_the_kernel());
        let opening = opening.map_err(|why| format!("{why}{}", daemon.last_words()))?;
        same("who opens", &opening.as_str(), &"devices")?;
        button.press(TRIGGER)?;
        button.release(TRIGGER)?;
        client.expect_buzz("joystick", 1)?;
        told_meanwhile += usize::from(daemon.sleeping_in_the_kernel().is_some());
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
    same("basis", &seen["uncertainty_basis"], &json!("endpoint"))
}
