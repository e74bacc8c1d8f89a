//! HID devices made through `/dev/uhid`: the kernel's own HID drivers bind to them as to hardware.
//!
//! Enters reports of a test; leaves what the kernel makes of them. A thread answers the kernel's requests, as firmware
//! would (without an answer to its first light report hid-sony's probe stalls for 5 s). Dropping the value is the unplug.
//! The events of `/dev/uhid` are plain bytes (`include/uapi/linux/uhid.h`), put together here.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use evdev::KeyCode;

use crate::deadline::{Outcome, Why, until};
use crate::node::{self, Reader};

const DESTROY: u32 = 1;
const STOP: u32 = 3;
const OUTPUT: u32 = 6;
const GET_REPORT: u32 = 9;
const GET_REPORT_REPLY: u32 = 10;
const CREATE2: u32 = 11;
const INPUT2: u32 = 12;
const SET_REPORT: u32 = 13;
const SET_REPORT_REPLY: u32 = 14;
/// The largest event: CREATE2 with its 4 KiB of descriptor.
const EVENT_BYTES_MAX: usize = 4 + 128 + 64 + 64 + 2 + 2 + 4 * 4 + 4096;
/// `BUS_USB` of `include/uapi/linux/input.h`.
pub(crate) const BUS_USB: u16 = 3;
/// `BUS_BLUETOOTH`: phys is the address of the machine's own adapter.
pub(crate) const BUS_BLUETOOTH: u16 = 5;
const EIO: u16 = 5;

/// Sony's hub of four handsets: two axes, 20 buttons, 4 vendor bits in; 7 bytes of lights out.
/// hid-sony takes the buttons from the second collection and needs the output report with 7 values.
#[rustfmt::skip]
const BUZZ_DESCRIPTOR: &[u8] = &[
    0x05, 0x01,                    // usage page: generic desktop
    0x09, 0x04,                    // usage: joystick
    0xa1, 0x01,                    // collection: application
    0xa1, 0x02,                    //   collection: logical
    0x75, 0x08, 0x95, 0x02,        //     2 fields of 8 bits
    0x15, 0x00, 0x26, 0xff, 0x00,  //     logical 0 to 255
    0x35, 0x00, 0x46, 0xff, 0x00,  //     physical 0 to 255
    0x09, 0x30, 0x09, 0x31,        //     X, Y
    0x81, 0x02,                    //     input
    0x75, 0x01, 0x95, 0x14,        //     20 fields of 1 bit
    0x25, 0x01, 0x45, 0x01,        //     0 to 1
    0x05, 0x09, 0x19, 0x01, 0x29, 0x14, // buttons 1 to 20
    0x81, 0x02,                    //     input
    0x06, 0x00, 0xff,              //     vendor page
    0x75, 0x01, 0x95, 0x04,        //     4 bits that fill the last byte
    0x25, 0x01, 0x45, 0x01, 0x09, 0x01,
    0x81, 0x02,                    //     input
    0xc0,                          //   end
    0xa1, 0x02,                    //   collection: logical
    0x75, 0x08, 0x95, 0x07,        //     7 bytes
    0x26, 0xff, 0x00, 0x46, 0xff, 0x00,
    0x09, 0x02,
    0x91, 0x02,                    //     output
    0xc0,                          //   end
    0xc0,                          // end
];

/// A keyboard of six keys at once and no lights. hid-input gives it EV_REP, so the kernel itself makes the autorepeat.
#[rustfmt::skip]
const KEYBOARD_DESCRIPTOR: &[u8] = &[
    0x05, 0x01, 0x09, 0x06,        // generic desktop, keyboard
    0xa1, 0x01,                    // collection: application
    0x05, 0x07,                    //   usage page: keys
    0x15, 0x00, 0x25, 0x65,        //   usages 0 to 101
    0x19, 0x00, 0x29, 0x65,
    0x75, 0x08, 0x95, 0x06,        //   6 bytes
    0x81, 0x00,                    //   input, array
    0xc0,                          // end
];

/// Usages of the keys A and B on a HID keyboard.
pub(crate) const USAGE_A: u8 = 0x04;
/// See [`USAGE_A`].
pub(crate) const USAGE_B: u8 = 0x05;

/// A key that is no buzzer in any case.
const USAGE_Z: u8 = 0x1d;

/// Colours of a handset, in the order of its buttons.
pub(crate) const RED: u8 = 0;
/// See [`RED`].
pub(crate) const YELLOW: u8 = 1;

/// What a device says about itself. `uniq` is how the tests find its node, so no two at a time share one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) phys: &'a str,
    pub(crate) uniq: &'a str,
    pub(crate) bus: u16,
    pub(crate) vendor: u32,
    pub(crate) product: u32,
}

/// A light report that the device was sent: number of the report and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lights {
    /// SET_REPORT: from hid-sony.
    Set(Vec<u8>),
    /// An output report, which a device without an OUT endpoint gets as SET_REPORT (`usbhid_output_report` gives
    /// ENOSYS, and hidraw then asks for that): from hidraw.
    Output(Vec<u8>),
}

/// A HID device that is plugged in.
#[derive(Debug)]
pub(crate) struct Hid {
    file: File,
    uniq: String,
    node: PathBuf,
    unplugging: Arc<AtomicBool>,
    lights: Receiver<Lights>,
    firmware: Option<JoinHandle<()>>,
}

impl Hid {
    /// A Buzz! hub: 0x0002 is the wired one, 0x1000 the wireless one's receiver.
    pub(crate) fn plug_buzz(product: u32) -> Outcome<Self> {
        Self::plug_buzz_at(1, product)
    }

    /// The same at this USB port.
    pub(crate) fn plug_buzz_at(port: u8, product: u32) -> Outcome<Self> {
        let name = format!("Buzz {product:04x}");
        let phys = format!("usb-0000:00:01.2-{port}/input0");
        let uniq = format!("buzz-{port}");
        let identity =
            Identity { name: &name, phys: &phys, uniq: &uniq, bus: BUS_USB, vendor: 0x054c, product };
        let mut hub = Self::plug(identity, BUZZ_DESCRIPTOR)?;
        hub.sound_check(KeyCode::BTN_TRIGGER_HAPPY2, |hub, down| {
            hub.buzz_report(if down { &[(0, YELLOW)] } else { &[] })
        })?;
        Ok(hub)
    }

    pub(crate) fn plug_keyboard(identity: Identity<'_>) -> Outcome<Self> {
        let mut keyboard = Self::plug(identity, KEYBOARD_DESCRIPTOR)?;
        keyboard.sound_check(KeyCode::KEY_Z, |keyboard, down| {
            keyboard.keyboard_report(if down { &[USAGE_Z] } else { &[] })
        })?;
        Ok(keyboard)
    }

    /// Any device. A descriptor with several collections gives it several nodes.
    pub(crate) fn plug(identity: Identity<'_>, descriptor: &[u8]) -> Outcome<Self> {
        let mut file = File::options().read(true).write(true).open("/dev/uhid").why("/dev/uhid")?;
        let mut firmware_file = file.try_clone().why("/dev/uhid")?;
        let unplugging = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&unplugging);
        file.write_all(&create(identity, descriptor)).why("uhid create")?;
        let (sender, lights) = channel();
        let firmware = std::thread::spawn(move || answer(&mut firmware_file, &flag, &sender));
        let mut hid = Self {
            file,
            uniq: identity.uniq.to_owned(),
            node: PathBuf::new(),
            unplugging,
            lights,
            firmware: Some(firmware),
        };
        hid.node = node::by_uniq(identity.uniq)?;
        Ok(hid)
    }

    /// Presses and releases a key that is no buzzer in any case, until the kernel has taken both. The node appears
    /// while the driver's probe still runs, and during a probe the kernel drops reports (seen on PREEMPT_RT).
    fn sound_check(&mut self, key: KeyCode, report: impl Fn(&mut Self, bool) -> Outcome) -> Outcome {
        self.sound_check_at(&self.node.clone(), key, report)
    }

    /// The same at this one of its nodes.
    pub(crate) fn sound_check_at(
        &mut self,
        node: &Path,
        key: KeyCode,
        report: impl Fn(&mut Self, bool) -> Outcome,
    ) -> Outcome {
        let reader = Reader::open(node)?;
        for down in [true, false] {
            until("a report that the kernel takes", || {
                report(self, down).ok()?;
                (reader.is_down(key) == down).then_some(())
            })?;
        }
        Ok(())
    }

    pub(crate) fn node(&self) -> &Path {
        &self.node
    }

    /// The next light report that fits, in the order in which they were sent; those before it are gone then.
    pub(crate) fn next_lights(&self, what: &str, fits: impl Fn(&Lights) -> bool) -> Outcome<Lights> {
        until(what, || self.lights.try_iter().find(|lights| fits(lights)))
    }

    /// The light reports that were sent by now and not taken yet.
    pub(crate) fn lights(&self) -> Vec<Lights> {
        self.lights.try_iter().collect()
    }

    /// The state of all handsets: the buttons that are down, as (handset 0 to 3, colour).
    pub(crate) fn buzz_report(&mut self, down: &[(u8, u8)]) -> Outcome {
        let bits = down.iter().fold(0_u32, |bits, (handset, colour)| bits | 1 << (handset * 5 + colour));
        let [low, middle, high, _] = bits.to_le_bytes();
        self.report(&[0x7f, 0x7f, low, middle, high | 0xf0])
    }

    /// The state of the keyboard: the usages that are down, at most six.
    pub(crate) fn keyboard_report(&mut self, down: &[u8]) -> Outcome {
        let mut report = [0; 6];
        report[..down.len()].copy_from_slice(down);
        self.report(&report)
    }

    /// One report as its descriptor lays it out.
    pub(crate) fn report(&mut self, report: &[u8]) -> Outcome {
        let size = u16::try_from(report.len()).why("report")?;
        let event = [&INPUT2.to_ne_bytes()[..], &size.to_ne_bytes(), report].concat();
        self.file.write_all(&event).why("uhid input")
    }
}

impl Drop for Hid {
    fn drop(&mut self) {
        self.unplugging.store(true, Ordering::Release);
        let sent = self.file.write_all(&DESTROY.to_ne_bytes());
        // The kernel says STOP to a device that it had started, which ends the firmware's thread.
        if let (Ok(()), Some(firmware)) = (sent, self.firmware.take()) {
            let _ = firmware.join();
            let _ = node::gone(&self.uniq);
        }
    }
}

/// CREATE2: name, phys, uniq, size of the descriptor, bus, vendor, product, version, country, descriptor.
fn create(identity: Identity<'_>, descriptor: &[u8]) -> Vec<u8> {
    let mut event = Vec::with_capacity(EVENT_BYTES_MAX);
    event.extend(CREATE2.to_ne_bytes());
    for (text, room) in [(identity.name, 128), (identity.phys, 64), (identity.uniq, 64)] {
        assert!(text.len() < room, "the kernel's field for {text} is shorter");
        let end = event.len() + room;
        event.extend(text.as_bytes());
        event.resize(end, 0);
    }
    event.extend((descriptor.len() as u16).to_ne_bytes());
    event.extend(identity.bus.to_ne_bytes());
    for number in [identity.vendor, identity.product, 0x0111, 0] {
        event.extend(number.to_ne_bytes());
    }
    event.extend(descriptor);
    event.resize(EVENT_BYTES_MAX, 0);
    event
}

/// The firmware: takes and notes every light report, has no feature reports, ends when the unplugged device is stopped.
fn answer(file: &mut File, unplugging: &AtomicBool, lights: &Sender<Lights>) {
    let mut event = [0; EVENT_BYTES_MAX];
    while let Ok(size) = file.read(&mut event) {
        let [a, b, c, d, id @ ..] = &event[..size.max(8)] else { return };
        let (id, rest) = id.split_at(4);
        let noted = match u32::from_ne_bytes([*a, *b, *c, *d]) {
            SET_REPORT => Some(Lights::Set(sized(&rest[2..]))),
            OUTPUT => Some(Lights::Output(output(&event[4..]))),
            _ => None,
        };
        // Noted before it is answered: who waits for the answer finds the note.
        if let Some(noted) = noted {
            let _ = lights.send(noted);
        }
        let reply = match u32::from_ne_bytes([*a, *b, *c, *d]) {
            STOP if unplugging.load(Ordering::Acquire) => return,
            SET_REPORT => [&SET_REPORT_REPLY.to_ne_bytes()[..], id, &0_u16.to_ne_bytes()].concat(),
            GET_REPORT => {
                [&GET_REPORT_REPLY.to_ne_bytes()[..], id, &EIO.to_ne_bytes(), &0_u16.to_ne_bytes()].concat()
            }
            _ => continue,
        };
        if file.write_all(&reply).is_err() {
            return;
        }
    }
}

/// `struct uhid_set_report_req` behind its id and kinds: size, data.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let size = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
    bytes[2..2 + size].to_vec()
}

/// `struct uhid_output_req`: 4 KiB of data, then their size.
fn output(bytes: &[u8]) -> Vec<u8> {
    let size = usize::from(u16::from_ne_bytes([bytes[4096], bytes[4097]]));
    bytes[..size].to_vec()
}
