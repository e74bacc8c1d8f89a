//! A USB device in software: the kernel's own USB controller, hub and HID drivers see it as hardware.
//!
//! Enters reports of a test; leaves what usbhid makes of them: a poll interval in sysfs, a first open that sleeps. Built
//! of `dummy_hcd` (a controller whose one port leads to a device end) and `usb_f_hid`, put together in configfs
//! (Documentation/usb/gadget_configfs.rst). There is one port, so one device at a time. Dropping the value is the unplug.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::deadline::{Outcome, Why, until};

const GADGET: &str = "/sys/kernel/config/usb_gadget/pad";
const PRODUCT: &str = "vm pad";

/// A joystick of eight buttons: one byte, a bit a button.
#[rustfmt::skip]
const DESCRIPTOR: &[u8] = &[
    0x05, 0x01, 0x09, 0x04,        // generic desktop, joystick
    0xa1, 0x01,                    // collection: application
    0x05, 0x09,                    //   usage page: buttons
    0x19, 0x01, 0x29, 0x08,        //   1 to 8
    0x15, 0x00, 0x25, 0x01,
    0x75, 0x01, 0x95, 0x08,
    0x81, 0x02,                    //   input
    0xc0,                          // end
];

/// The device end of a pad that is plugged in.
#[derive(Debug)]
pub(crate) struct Pad {
    reports: File,
    node: PathBuf,
}

impl Pad {
    pub(crate) fn plug() -> Outcome<Self> {
        make().inspect_err(|_| unmake())?;
        // What a host has not asked for is not queued behind: a report that finds no room is told, not waited for.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).why("flags")?;
        let reports = until("the device end", || {
            OpenOptions::new().write(true).custom_flags(flags).open("/dev/hidg0").ok()
        });
        let reports = reports.inspect_err(|_| unmake())?;
        let mut pad = Self { reports, node: PathBuf::new() };
        pad.node = until("the node of the pad", || node().filter(|node| node.exists()))?;
        Ok(pad)
    }

    pub(crate) fn node(&self) -> &Path {
        &self.node
    }

    /// The buttons that are down, as bits. Waits until the last report was fetched.
    pub(crate) fn report(&mut self, down: u8) -> Outcome {
        until("room for a report", || self.reports.write_all(&[down]).ok())
    }
}

impl Drop for Pad {
    fn drop(&mut self) {
        unmake();
        let _ = until("the end of the pad", || node().is_none().then_some(()));
    }
}

fn make() -> Outcome {
    let gadget = Path::new(GADGET);
    let function = gadget.join("functions/hid.usb0");
    let config = gadget.join("configs/c.1");
    for folder in [gadget, &gadget.join("strings/0x409"), &config, &function] {
        fs::create_dir(folder).why(folder.display())?;
    }
    let write = |file: PathBuf, value: &[u8]| fs::write(&file, value).why(file.display());
    write(gadget.join("idVendor"), b"0x1209")?;
    write(gadget.join("idProduct"), b"0x0bad")?;
    write(gadget.join("strings/0x409/product"), PRODUCT.as_bytes())?;
    write(function.join("report_length"), b"1")?;
    write(function.join("report_desc"), DESCRIPTOR)?;
    symlink(&function, config.join("hid.usb0")).why("the function's link")?;
    let controllers = fs::read_dir("/sys/class/udc").why("/sys/class/udc")?;
    let controller = controllers.flatten().next().ok_or("no USB device controller")?.file_name();
    write(gadget.join("UDC"), controller.as_encoded_bytes())
}

/// Takes apart what is there, from the top.
fn unmake() {
    let gadget = Path::new(GADGET);
    let _ = fs::write(gadget.join("UDC"), "\n");
    let _ = fs::remove_file(gadget.join("configs/c.1/hid.usb0"));
    for folder in ["configs/c.1", "functions/hid.usb0", "strings/0x409", ""] {
        let _ = fs::remove_dir(gadget.join(folder));
    }
}

/// Its node; in the name that the kernel gives it stands the product's.
fn node() -> Option<PathBuf> {
    let nodes = fs::read_dir("/sys/class/input").ok()?.flatten();
    let mut nodes = nodes.filter(|node| node.file_name().as_encoded_bytes().starts_with(b"event"));
    let node = nodes.find(|node| {
        fs::read_to_string(node.path().join("device/name")).is_ok_and(|name| name.contains(PRODUCT))
    })?;
    Some(Path::new("/dev/input").join(node.file_name()))
}
