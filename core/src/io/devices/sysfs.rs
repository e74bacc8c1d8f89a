//! The input devices of this machine, as sysfs shows them. In: the root of sysfs (`/sys`; a test makes up its own).
//! Out: one [`Identity`] per evdev node. Guarantee: no device is opened, so none is woken, and a device that
//! vanishes while it is read is left out, never half told.

use std::path::Path;
use std::{fs, io};

use super::endpoint;
use crate::device::identity::{Identity, number_of, parse_dev, parse_id, parse_key_bits};
use crate::press::keys::KeyBits;

/// Every evdev node, in the order of their numbers. A machine without an input layer has none.
///
/// # Errors
/// When the list itself cannot be read.
pub fn list(sysfs_root: &Path) -> io::Result<Vec<Identity>> {
    let entries = match fs::read_dir(sysfs_root.join("class/input")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut nodes = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some(node) = name.to_str().filter(|name| number_of(name, "event").is_some()) {
            nodes.push(node.to_owned());
        }
    }
    nodes.sort_by_key(|node| number_of(node, "event"));
    Ok(nodes.iter().filter_map(|node| read(sysfs_root, node).ok()).collect())
}

/// One evdev node.
///
/// # Errors
/// When sysfs does not have it (any longer), or a number that every device has cannot be read.
pub fn read(sysfs_root: &Path, node: &str) -> io::Result<Identity> {
    let node_dir = sysfs_root.join("class/input").join(node);
    let device = node_dir.join("device");
    let id = |file: &str| {
        let text = fs::read_to_string(device.join("id").join(file))?;
        parse_id(text.trim())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("id/{file}: {text:?}")))
    };
    // The link points at `../../input23`.
    let instance =
        fs::read_link(&device).ok().and_then(|target| number_of(target.file_name()?.to_str()?, "input"));
    Ok(Identity {
        node: node.to_owned(),
        instance: instance.unwrap_or(0),
        dev: parse_dev(&text(&node_dir.join("dev"))),
        bus: id("bustype")?,
        vendor: id("vendor")?,
        product: id("product")?,
        version: id("version")?,
        name: text(&device.join("name")),
        phys: text(&device.join("phys")),
        uniq: text(&device.join("uniq")),
        keys: parse_key_bits(&text(&device.join("capabilities/key"))).unwrap_or(KeyBits::NONE),
        inhibited: text(&device.join("inhibited")) == "1",
        endpoint: endpoint::read(sysfs_root, &device),
    })
}

/// An attribute that not every device has. A name may be any bytes: what is no UTF-8 is replaced. The last newline is
/// sysfs's own; blanks before it belong to the name.
fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::device::identity::tests::device;
    use std::os::unix::fs::symlink;

    /// Writes a device into a made-up sysfs, with the links of a real one.
    pub(crate) fn plug(sysfs_root: &Path, identity: &Identity) {
        let class = sysfs_root.join("class/input");
        let input = sysfs_root.join(format!("devices/input{}", identity.instance));
        let node = input.join(&identity.node);
        for dir in [&class, &input.join("id"), &input.join("capabilities"), &node] {
            fs::create_dir_all(dir).unwrap();
        }
        let write = |file: &str, text: String| fs::write(input.join(file), format!("{text}\n")).unwrap();
        write("name", identity.name.clone());
        write("phys", identity.phys.clone());
        write("uniq", identity.uniq.clone());
        write("inhibited", u8::from(identity.inhibited).to_string());
        write("id/bustype", format!("{:04x}", identity.bus));
        write("id/vendor", format!("{:04x}", identity.vendor));
        write("id/product", format!("{:04x}", identity.product));
        write("id/version", format!("{:04x}", identity.version));
        let words: Vec<_> =
            identity.keys.0.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        write("capabilities/key", words.iter().rev().map(|word| format!("{word:x} ")).collect());
        if let Some((major, minor)) = identity.dev {
            fs::write(node.join("dev"), format!("{major}:{minor}\n")).unwrap();
        }
        // As the kernel has it: from devices/input23/event7 up to devices, and down again.
        symlink(format!("../../input{}", identity.instance), node.join("device")).unwrap();
        let link = class.join(&identity.node);
        symlink(format!("../../devices/input{}/{}", identity.instance, identity.node), link).unwrap();
    }

    /// Takes it out again.
    pub(crate) fn unplug(sysfs_root: &Path, identity: &Identity) {
        fs::remove_file(sysfs_root.join("class/input").join(&identity.node)).unwrap();
        fs::remove_dir_all(sysfs_root.join(format!("devices/input{}", identity.instance))).unwrap();
    }

    #[test]
    fn what_was_plugged_in_is_what_is_listed() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(list(root.path()).unwrap(), [], "no input layer");
        let mut hub = device(12, (0x054c, 0x0002), "usb-0-1/input0", &[0, 63, 64, 0x2c0, 0x2ff]);
        hub.uniq = "A 1".to_owned();
        hub.inhibited = true;
        let plain = Identity { dev: None, ..device(2, (1, 2), "", &[]) };
        for identity in [&hub, &plain] {
            plug(root.path(), identity);
        }
        fs::create_dir(root.path().join("class/input/mouse0")).unwrap();
        assert_eq!(list(root.path()).unwrap(), [plain.clone(), hub.clone()]);
        unplug(root.path(), &plain);
        assert_eq!(list(root.path()).unwrap(), [hub.clone()]);
        fs::remove_file(root.path().join("devices/input12/id/vendor")).unwrap();
        assert_eq!(list(root.path()).unwrap(), [], "half gone is gone");
    }

    #[test]
    fn a_name_of_any_bytes_is_read() {
        let root = tempfile::tempdir().unwrap();
        plug(root.path(), &device(1, (1, 2), "", &[]));
        fs::write(root.path().join("devices/input1/name"), b"B\xfczz!\n").unwrap();
        assert_eq!(read(root.path(), "event1").unwrap().name, "B\u{fffd}zz!");
        fs::write(root.path().join("devices/input1/name"), b" Buzz \n\n").unwrap();
        assert_eq!(read(root.path(), "event1").unwrap().name, " Buzz \n", "as it is, blanks and all");
    }
}
