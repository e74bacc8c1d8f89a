//! Who an input device is. In: the text that sysfs shows of it. Out: [`Identity`], and what of it outlasts a replug
//! ([`Identity::stable`]) or names one plugging-in for ever ([`Identity::is_same_instance`]). Guarantee: nothing is opened
//! to learn this, and text of any kind is read without a panic.
//!
//! `eventN` is no identity: the kernel gives the lowest free number again at once (`evdev.c:evdev_connect`).

use crate::device::endpoint::Endpoint;
use crate::press::keys::{KEY_COUNT, KeyBits, KeyCode};
use crate::quote::Toml;

/// `BUS_USB` of `include/uapi/linux/input.h`.
pub const BUS_USB: u16 = 0x03;
/// `BUS_BLUETOOTH`.
pub const BUS_BLUETOOTH: u16 = 0x05;
/// `BUS_VIRTUAL`: made by a program through uinput.
pub const BUS_VIRTUAL: u16 = 0x06;

/// One evdev node as sysfs describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node's name in the device directory: `event7`.
    pub node: String,
    /// The number of the kernel's input device: 23 for `input23`, 0 if sysfs does not say. The kernel counts
    /// it up and never gives one again within a boot (`input.c:input_allocate_device`).
    pub instance: u64,
    /// Major and minor number of the node.
    pub dev: Option<(u32, u32)>,
    /// What the device calls itself.
    pub name: String,
    /// Where it is plugged in: `usb-0000:00:14.0-1.2/input0`. Empty if unknown.
    pub phys: String,
    /// Its serial number or address. Mostly empty.
    pub uniq: String,
    /// `BUS_*`.
    pub bus: u16,
    /// The vendor's number.
    pub vendor: u16,
    /// The product's number.
    pub product: u16,
    /// The product's version.
    pub version: u16,
    /// The keys it has.
    pub keys: KeyBits,
    /// Whether someone switched it off through sysfs: it opens, but gives no events.
    pub inhibited: bool,
    /// The USB endpoint that it reports through; `None` for what is not on USB.
    pub endpoint: Option<Endpoint>,
}

impl Identity {
    /// What stays the same when it is unplugged and comes back to the same port.
    pub fn stable(&self) -> (u16, u16, &str, &str) {
        (self.vendor, self.product, &self.phys, &self.uniq)
    }

    /// Whether `other` is the same device, plugged in once, also where its node has changed.
    pub fn is_same_instance(&self, other: &Self) -> bool {
        (&self.node, self.instance, self.dev) == (&other.node, other.instance, other.dev)
            && (self.bus, self.version, self.stable()) == (other.bus, other.version, other.stable())
    }

    /// Whether `other` is another node of the same physical unit (a keyboard's media keys, say): both hang on
    /// one place and differ at most in the interface behind the slash of `phys`. What is paired with one receiver is
    /// several units there.
    pub fn is_same_unit(&self, other: &Self) -> bool {
        self.is_same_instance(other)
            || (!self.phys.is_empty()
                && (self.vendor, self.product, &self.uniq) == (other.vendor, other.product, &other.uniq)
                && self.unit() == other.unit())
    }

    /// The place of the whole unit: `phys` without the interface behind its slash; all of it where that names one of the
    /// devices of a receiver.
    pub fn unit(&self) -> &str {
        unit_of(&self.phys)
    }

    /// The USB port as the sockets of the machine count it: `1.2` is socket 2 of the hub in socket 1. `None` for
    /// what is not on USB.
    pub fn usb_port(&self) -> Option<&str> {
        usb_place(&self.phys).map(|(_, port)| port)
    }

    /// The USB host controller: `0000:00:14.0`. Two controllers may both have a port 1.
    pub fn usb_controller(&self) -> Option<&str> {
        usb_place(&self.phys).map(|(controller, _)| controller)
    }

    /// Whether the device has this key.
    pub fn has(&self, code: u16) -> bool {
        KeyCode::new(code).is_some_and(|key| self.keys.has(key))
    }

    /// A line that tells a person which device is meant. Its texts are a stranger's, so they are quoted.
    pub fn describe(&self) -> String {
        let Self { node, name, vendor, product, phys, .. } = self;
        format!("{node} ({}, {vendor:04x}:{product:04x}, phys {})", Toml(name), Toml(phys))
    }
}

/// `usb-0000:00:14.0-1.2/input0` without what is behind the slash. The second device that is paired with a receiver is
/// `usb-0000:00:14.0-1.2/input2:2` (`hid-logitech-dj.c`): another one than `input2:1`.
fn unit_of(phys: &str) -> &str {
    match phys.split_once('/') {
        Some((unit, interface)) if !interface.contains(':') => unit,
        _ => phys,
    }
}

/// Controller and port of `phys`. The kernel makes it by `usb_make_path`: "usb-", the controller's name (which may
/// hold dashes), a dash, the port path.
fn usb_place(phys: &str) -> Option<(&str, &str)> {
    let (controller, port) = phys.split('/').next()?.strip_prefix("usb-")?.rsplit_once('-')?;
    let is_port = port.split('.').all(|hop| !hop.is_empty() && hop.bytes().all(|byte| byte.is_ascii_digit()));
    is_port.then_some((controller, port))
}

/// A vendor or product number as sysfs and `lsusb` write it: one to four hex digits, no `0x`.
pub fn parse_id(text: &str) -> Option<u16> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u16::from_str_radix(text, 16).ok()).flatten()
}

/// The number in a device name: 7 of `event7`, 23 of `input23`.
pub fn number_of(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The text of sysfs `dev`: `13:71`.
pub fn parse_dev(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The text of sysfs `capabilities/key`: hex words, the highest first, without leading zeros, leading words of zero
/// left out (`input.c:input_print_bitmap`). A word is a `long` of the program that reads
/// (`input_bits_to_string` looks at `in_compat_syscall`), so 64 bits wherever buzzerd ships. `None` if it is no
/// such text; keys above 0x2ff are left out.
pub fn parse_key_bits(text: &str) -> Option<KeyBits> {
    const WORD_BYTES: usize = size_of::<usize>();
    let mut bits = KeyBits::NONE;
    for (index, word) in text.split_ascii_whitespace().rev().enumerate() {
        let word = usize::from_str_radix(word, 16).ok()?;
        let start = index * WORD_BYTES;
        if start < KEY_COUNT / 8 {
            bits.0[start..start + WORD_BYTES].copy_from_slice(&word.to_le_bytes());
        }
    }
    Some(bits)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A made-up USB device; `instance` is the node's number.
    pub(crate) fn device(node: u64, (vendor, product): (u16, u16), phys: &str, keys: &[u16]) -> Identity {
        Identity {
            node: format!("event{node}"),
            instance: node,
            dev: Some((13, 64 + node as u32)),
            name: format!("device {node}"),
            phys: phys.to_owned(),
            bus: BUS_USB,
            vendor,
            product,
            keys: keys.iter().filter_map(|code| KeyCode::new(*code)).collect(),
            uniq: String::new(),
            version: 0,
            inhibited: false,
            endpoint: None,
        }
    }

    #[test]
    fn key_words_are_read_highest_first() {
        for (text, want) in [
            ("0\n", vec![]),
            ("1", vec![0]),
            ("8000000000000001 2", vec![1, 64, 127]),
            // A Buzz! dongle: 20 keys from 0x2c0 in the highest of twelve words.
            ("fffff 0 0 0 0 0 0 0 0 0 0 0", (0x2c0..0x2d4).collect()),
            ("f 0 0 0 0 0 0 0 0 0 0 0 0", vec![]),
        ] {
            let bits = parse_key_bits(text).unwrap();
            assert_eq!(bits.iter().map(KeyCode::get).collect::<Vec<_>>(), want, "{text}");
        }
        assert_eq!(parse_key_bits("xyz"), None);
        assert_eq!(parse_key_bits("10000000000000000"), None, "65 bits are no word");
    }

    #[test]
    fn the_port_comes_from_phys() {
        for (phys, want) in [
            ("usb-0000:00:14.0-1.2/input0", Some(("0000:00:14.0", "1.2"))),
            ("usb-xhci-hcd.0.auto-1/input1", Some(("xhci-hcd.0.auto", "1"))),
            ("usb-3f980000.usb-1.1.3/input0", Some(("3f980000.usb", "1.1.3"))),
            ("usb-0000:00:14.0-1.2/input2:3", Some(("0000:00:14.0", "1.2"))),
            ("usb-0000:00:14.0-", None),
            ("usb-0000:00:14.0-1./input0", None),
            ("isa0060/serio0/input0", None),
            ("00:1a:7d:da:71:13", None),
            ("", None),
        ] {
            assert_eq!(usb_place(phys), want, "{phys}");
        }
    }

    #[test]
    fn a_unit_is_one_place_and_one_product() {
        let keys = device(3, (0x1234, 1), "usb-0-1/input0", &[]);
        assert!(keys.is_same_unit(&device(4, (0x1234, 1), "usb-0-1/input1", &[])));
        assert!(!keys.is_same_unit(&device(4, (0x1234, 2), "usb-0-1/input1", &[])));
        assert!(!keys.is_same_unit(&device(4, (0x1234, 1), "usb-0-1.1/input1", &[])));
        let paired = device(3, (0x1234, 1), "usb-0-1/input2:1", &[]);
        assert!(paired.is_same_unit(&device(4, (0x1234, 1), "usb-0-1/input2:1", &[])));
        assert!(!paired.is_same_unit(&device(4, (0x1234, 1), "usb-0-1/input2:2", &[])), "another handset");
        assert!(!paired.is_same_unit(&keys), "its receiver");
        let virtual_one = device(3, (1, 1), "", &[]);
        assert!(!virtual_one.is_same_unit(&device(4, (1, 1), "", &[])), "no place, no unit");
    }

    #[test]
    fn a_node_number_used_again_is_another_instance() {
        let old = device(3, (1, 1), "usb-0-1/input0", &[]);
        assert!(old.is_same_instance(&old.clone()));
        assert!(!old.is_same_instance(&Identity { instance: 99, ..old.clone() }));
        assert_eq!(
            old.stable(),
            Identity { instance: 99, node: "event4".to_owned(), ..old.clone() }.stable()
        );
    }

    #[test]
    fn ids_are_hex_without_prefix() {
        for (text, want) in [
            ("054c", Some(0x54c)),
            ("0", Some(0)),
            ("FFFF", Some(0xffff)),
            ("0x54c", None),
            ("+54c", None),
            ("", None),
        ] {
            assert_eq!(parse_id(text), want, "{text}");
        }
        assert_eq!(number_of("event17", "event"), Some(17));
        assert_eq!(number_of("event", "event"), None);
        assert_eq!(parse_dev("13:71\n"), Some((13, 71)));
    }
}
