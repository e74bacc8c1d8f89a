//! The USB endpoint behind an input device, in sysfs. In: the folder of the input device. Out: [`Endpoint`]; `None` for
//! what is not on USB, or vanished meanwhile. Guarantee: only attributes that the kernel keeps in memory are read, so
//! no device is woken; what lies outside the given root is never looked at.
//!
//! Above `input23` lies, for a HID device, its HID folder, and then the USB interface; for others (xpad) the interface
//! at once. The interface holds the endpoints, the folder above it is the USB device, and further up is the root
//! hub, whose parent is the host controller.

use std::fs;
use std::path::{Path, PathBuf};

use crate::device::endpoint::{Controller, Endpoint};
use crate::device::identity::number_of;

/// The interrupt endpoint through which the input device at this folder (`/sys/class/input/event7/device`) reports.
pub fn read(sysfs_root: &Path, input: &Path) -> Option<Endpoint> {
    let root = fs::canonicalize(sysfs_root).ok()?;
    let input = fs::canonicalize(input).ok()?;
    let interface = above(&root, &input).find(|folder| folder.join("bInterfaceNumber").exists())?;
    let endpoint = interrupt_in(interface)?;
    let usb_device = interface.parent()?;
    let text = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let endpoint = Endpoint::parse(
        &text(endpoint.join("interval")),
        &text(endpoint.join("bInterval")),
        &text(usb_device.join("speed")),
        &controller_driver(&root, usb_device).unwrap_or_default(),
    )?;
    let set = |name: &&str| {
        let value = text(root.join("module/usbhid/parameters").join(name));
        !matches!(value.trim(), "" | "0")
    };
    let is_set = ["jspoll", "kbpoll", "mousepoll"].iter().any(set);
    Some(Endpoint { is_forced: is_set && endpoint.controller != Controller::Xhci, ..endpoint })
}

/// The folder itself and those above it, up to the root.
fn above<'a>(root: &'a Path, folder: &'a Path) -> impl Iterator<Item = &'a Path> {
    folder.ancestors().take_while(move |folder| folder.starts_with(root) && *folder != root)
}

/// `ep_81`, say. Of several the lowest: that is the first of the descriptor, and the one that `usbhid_start` takes.
fn interrupt_in(interface: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(interface).ok()?.flatten();
    let mut endpoints: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    endpoints.retain(|name| name.starts_with("ep_"));
    endpoints.sort();
    endpoints.into_iter().map(|name| interface.join(name)).find(|endpoint| {
        let is = |file: &str, want: &str| {
            fs::read_to_string(endpoint.join(file)).is_ok_and(|text| text.trim() == want)
        };
        is("type", "Interrupt") && is("direction", "in")
    })
}

/// The driver of what the root hub (`usb1`) hangs on.
fn controller_driver(root: &Path, usb_device: &Path) -> Option<String> {
    let is_root_hub =
        |folder: &&Path| folder.file_name().and_then(|name| number_of(name.to_str()?, "usb")).is_some();
    let controller = above(root, usb_device).find(is_root_hub)?.parent()?;
    let driver = fs::read_link(controller.join("driver")).ok()?;
    Some(driver.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::endpoint::Speed;
    use crate::time::Micros;
    use std::os::unix::fs::symlink;

    /// A made-up sysfs with one USB device behind a hub.
    struct Tree {
        root: tempfile::TempDir,
    }

    const CONTROLLER: &str = "devices/pci0000:00/0000:00:14.0";
    const DEVICE: &str = "usb1/1-1/1-1.2";
    const INTERFACE: &str = "1-1.2:1.0";

    impl Tree {
        fn new() -> Self {
            let tree = Self { root: tempfile::tempdir().unwrap() };
            let controller = tree.root.path().join(CONTROLLER);
            fs::create_dir_all(controller.join(DEVICE).join(INTERFACE)).unwrap();
            symlink("../../../bus/pci/drivers/xhci_hcd", controller.join("driver")).unwrap();
            fs::write(controller.join(DEVICE).join("speed"), "1.5\n").unwrap();
            // The root hub has a speed of its own.
            fs::write(controller.join("usb1/speed"), "480\n").unwrap();
            fs::write(tree.interface().join("bInterfaceNumber"), "00\n").unwrap();
            tree
        }

        fn interface(&self) -> PathBuf {
            self.root.path().join(CONTROLLER).join(DEVICE).join(INTERFACE)
        }

        fn endpoint(&self, name: &str, kind: &str, direction: &str, interval: &str) {
            let endpoint = self.interface().join(name);
            fs::create_dir_all(&endpoint).unwrap();
            for (file, text) in
                [("type", kind), ("direction", direction), ("interval", interval), ("bInterval", "0a")]
            {
                fs::write(endpoint.join(file), format!("{text}\n")).unwrap();
            }
        }

        /// The endpoint of an input device at this place below the interface, found through the link of its class.
        fn read(&self, place: &str) -> Option<Endpoint> {
            let node = self.interface().join(place).join("event7");
            fs::create_dir_all(&node).unwrap();
            symlink("../../input23", node.join("device")).unwrap();
            let class = self.root.path().join("class/input");
            fs::create_dir_all(&class).unwrap();
            symlink(&node, class.join("event7")).unwrap();
            read(self.root.path(), &class.join("event7/device"))
        }
    }

    fn found(asked_ms: u64, controller: Controller) -> Option<Endpoint> {
        Some(Endpoint {
            asked_us: Micros::from_ms(asked_ms),
            speed: Speed::Low,
            controller,
            is_forced: false,
        })
    }

    #[test]
    fn a_hid_device_reports_through_its_interfaces_interrupt_endpoint() {
        let tree = Tree::new();
        tree.endpoint("ep_01", "Interrupt", "out", "1ms");
        tree.endpoint("ep_81", "Bulk", "in", "2ms");
        tree.endpoint("ep_82", "Interrupt", "in", "10ms");
        tree.endpoint("ep_83", "Interrupt", "in", "20ms");
        let got = tree.read("0003:054C:0002.0001/input/input23");
        assert_eq!(got, found(10, Controller::Xhci));
    }

    #[test]
    fn a_driver_of_its_own_sits_right_on_the_interface() {
        let tree = Tree::new();
        tree.endpoint("ep_81", "Interrupt", "in", "4ms");
        assert_eq!(tree.read("input/input23"), found(4, Controller::Xhci));
    }

    #[test]
    fn without_a_driver_there_is_still_an_interval() {
        let tree = Tree::new();
        fs::remove_file(tree.root.path().join(CONTROLLER).join("driver")).unwrap();
        tree.endpoint("ep_81", "Interrupt", "in", "");
        assert_eq!(tree.read("input/input23"), found(10, Controller::Other), "bInterval speaks");
    }

    #[test]
    fn what_is_no_usb_device_has_no_endpoint() {
        let tree = Tree::new();
        assert_eq!(tree.read("input/input23"), None, "no endpoint");
        let tree = Tree::new();
        tree.endpoint("ep_81", "Interrupt", "in", "4ms");
        fs::remove_file(tree.interface().join("bInterfaceNumber")).unwrap();
        assert_eq!(tree.read("input/input23"), None, "no interface");
        assert_eq!(read(tree.root.path(), &tree.root.path().join("gone")), None);
        // A link that leaves the root is not followed up there.
        let tree = Tree::new();
        tree.endpoint("ep_81", "Interrupt", "in", "4ms");
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path(), &tree.interface()), None);
    }
}
