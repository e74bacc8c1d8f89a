//! Where a device's lights are, and how they are written. In: an [`Identity`], sysfs, the device directory. Out:
//! [`Leds`], by which a light is switched and a bank is written. Guarantee: what is written is the very device that
//! was described, though names are used again: paths are kept behind their links, and there a HID device and an
//! input device have numbers that the kernel never gives again (`hid-core.c:hid_add_device`,
//! `input.c:input_allocate_device`).
//!
//! Three ways, all root's unless a rule says otherwise (`deploy/71-buzzerd.rules`):
//! - a Buzz! hub's lights are LED class devices, `…/leds/0003:054C:0002.0001::buzz1`; hid-sony sends the bank;
//! - a device with EV_LED takes written events: a process that may open its node may switch it. Without the node (the command
//!   line opens none) the same lights are LED class devices of input-leds, `…/input7/input7::numlock`;
//! - a bank that must be sent though nothing changed goes through hidraw, past hid-sony, which would not send it
//!   (`sony_led_set_brightness` compares; measured: a second equal write gives no SET_REPORT).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::permission;
use crate::device::identity::{Identity, number_of, parse_dev, parse_key_bits};
use crate::press::keys::KeyCode;
use crate::quote::listed;

/// Names that `drivers/input/input-leds.c` gives to LED codes, from `LED_NUML` = 0.
const LED_NAMES: [&str; 11] = [
    "numlock",
    "capslock",
    "scrolllock",
    "compose",
    "kana",
    "sleep",
    "suspend",
    "mute",
    "misc",
    "mail",
    "charging",
];
/// Lights of a Buzz! hub.
const BUZZ_LIGHTS: usize = 4;
const EV_SYN: u16 = 0;
const EV_LED: u16 = 0x11;

/// The lights of one device, from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leds {
    /// What the device is called in messages.
    device: String,
    lights: BTreeMap<u16, Way>,
    /// Where a whole bank can be sent.
    hidraw: Option<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// The LED's folder in sysfs.
    Class(PathBuf),
    /// The LED's code on this node.
    Event(Node, u16),
}

/// A node and the proof that it is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    path: PathBuf,
    /// The file in sysfs that has its number, gone as soon as the device is.
    dev: PathBuf,
}

/// Why a light could not be switched, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LightError {
    /// The device has no such light.
    #[error("{device}: there is no light {light}: {has}")]
    None {
        /// The device.
        device: String,
        /// Which light.
        light: u16,
        /// Which it has.
        has: String,
    },
    /// EACCES.
    #[error("{}", permission::denied(.0))]
    Denied(PathBuf),
    /// EPERM: file permissions would do, a device rule forbids it.
    #[error(
        "{0}: forbidden by a device rule of the service or container: allow it (systemd: \
         `DeviceAllow=char-hidraw rw`; container: a cgroup rule for it)"
    )]
    Forbidden(PathBuf),
    /// EROFS: sysfs is mounted without writing for this process.
    #[error(
        "{0}: sysfs cannot be written by this service or container: allow it (systemd: \
         `ReadWritePaths=/sys/devices`)"
    )]
    ReadOnly(PathBuf),
    /// ENOENT, though sysfs has the device.
    #[error("{}", permission::absent(.0))]
    Absent(PathBuf),
    /// ENOENT, ENODEV or ENXIO, or another device has its name.
    #[error("{0}: the device behind it is gone: plug it in again")]
    Gone(PathBuf),
    /// Nothing leads past hid-sony.
    #[error("{0}: its handsets will fall asleep: this kernel has no hidraw (CONFIG_HIDRAW)")]
    NoHidraw(String),
    /// Anything else.
    #[error("{path}: {source}: unplug the device and plug it in again")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl LightError {
    fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::ACCESS) => Self::Denied(path),
            Some(Errno::PERM) => Self::Forbidden(path),
            Some(Errno::ROFS) => Self::ReadOnly(path),
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Self::Gone(path),
            _ => Self::Failed { path, source },
        }
    }
}

impl Leds {
    /// Looks for the lights of a device. `input_dir`: where evdev nodes are, `None` for a process that opens none.
    pub fn find(sysfs_root: &Path, input_dir: Option<&Path>, identity: &Identity) -> Self {
        let device = identity.describe();
        let node = sysfs_root.join("class/input").join(&identity.node);
        let is_its = |input: &PathBuf| {
            let name = input.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            number_of(name, "input").is_some_and(|number| number == identity.instance)
        };
        let Some(input) = fs::canonicalize(node.join("device")).ok().filter(is_its) else {
            return Self { device, ..Self::default() };
        };
        // What is no HID device has none, and then nothing is found there.
        let hid = input.join("device");
        let hid = fs::canonicalize(&hid).unwrap_or(hid);
        let mut lights: BTreeMap<u16, Way> = names(&hid.join("leds"))
            .into_iter()
            .filter_map(|name| {
                let (_, light) = name.rsplit_once("::")?;
                let number = u16::try_from(number_of(light, "buzz")?).ok()?;
                Some((number, Way::Class(hid.join("leds").join(name))))
            })
            .collect();
        if lights.is_empty() {
            let ways = match input_dir {
                Some(dir) => {
                    let dev = input.join(&identity.node).join("dev");
                    event_leds(&input, Node { path: dir.join(&identity.node), dev })
                }
                None => input_leds(&input),
            };
            lights = (1..).zip(ways).collect();
        }
        let hidraw = input_dir.and_then(Path::parent).and_then(|dev| {
            let name =
                names(&hid.join("hidraw")).into_iter().find(|name| number_of(name, "hidraw").is_some())?;
            Some(Node { path: dev.join(&name), dev: hid.join("hidraw").join(name).join("dev") })
        });
        Self { device, lights, hidraw }
    }

    /// Switches a light.
    ///
    /// # Errors
    /// [`LightError`]
    pub fn write(&self, light: u16, on: bool) -> Result<(), LightError> {
        match self.lights.get(&light) {
            None => Err(self.none(light)),
            Some(Way::Class(led)) => {
                let full = fs::read_to_string(led.join("max_brightness")).unwrap_or_default();
                let full = Some(full.trim()).filter(|text| !text.is_empty()).unwrap_or("1");
                let path = led.join("brightness");
                let mut file =
                    OpenOptions::new().write(true).open(&path).map_err(|e| LightError::new(&path, e))?;
                let text = if on { full } else { "0" };
                file.write_all(text.as_bytes()).map_err(|error| LightError::new(&path, error))
            }
            Some(Way::Event(node, code)) => {
                let event = |kind, code, value| input_event(kind, code, value);
                let events = [event(EV_LED, *code, i32::from(on)), event(EV_SYN, 0, 0)].concat();
                node.write(&events)
            }
        }
    }

    /// Sends the whole bank as it is, which keeps wireless handsets awake. It is read just before, so that lights of
    /// other programs stay.
    ///
    /// # Errors
    /// [`LightError`]
    pub fn write_bank(&self) -> Result<(), LightError> {
        let Some(hidraw) = &self.hidraw else {
            return Err(LightError::NoHidraw(self.device.clone()));
        };
        hidraw.write(&report((1..).map(|light| self.is_lit(light) == Some(true))))
    }

    /// Whether a whole bank can be sent.
    pub const fn has_bank(&self) -> bool {
        self.hidraw.is_some()
    }

    /// Whether its lights were found as well.
    pub fn is_whole(&self) -> bool {
        self.has_bank() && !self.lights.is_empty()
    }

    /// Whether a light is on, where sysfs says it.
    pub fn is_lit(&self, light: u16) -> Option<bool> {
        let Some(Way::Class(led)) = self.lights.get(&light) else { return None };
        let text = fs::read_to_string(led.join("brightness")).ok()?;
        Some(text.trim() != "0")
    }

    /// Whether the device has this light.
    ///
    /// # Errors
    /// [`LightError::None`]
    pub fn check(&self, light: u16) -> Result<(), LightError> {
        if self.lights.contains_key(&light) { Ok(()) } else { Err(self.none(light)) }
    }

    fn none(&self, light: u16) -> LightError {
        let has = match self.lights.is_empty() {
            true => "the kernel shows no light of this device".to_owned(),
            false => format!("it has {}", listed(self.lights.keys())),
        };
        LightError::None { device: self.device.clone(), light, has }
    }
}

impl Node {
    /// Opens it, writes this in one call, closes it: a node that is kept open would collect input reports.
    fn write(&self, bytes: &[u8]) -> Result<(), LightError> {
        let failed = |error| LightError::new(&self.path, error);
        let mut file =
            OpenOptions::new().write(true).open(&self.path).map_err(|error| match failed(error) {
                LightError::Gone(path) if self.dev.exists() => LightError::Absent(path),
                error => error,
            })?;
        // Asked after opening: while the file in sysfs exists, nobody else has its number.
        if !self.is_behind(&file) {
            return Err(LightError::Gone(self.path.clone()));
        }
        file.write_all(bytes).map_err(failed)
    }

    fn is_behind(&self, file: &File) -> bool {
        let number = fs::read_to_string(&self.dev).ok().as_deref().and_then(parse_dev);
        let is = file.metadata().map(|node| (rustix::fs::major(node.rdev()), rustix::fs::minor(node.rdev())));
        is.is_ok_and(|is| number == Some(is))
    }
}

/// The output report of a Buzz! hub behind the number of the report, 0: a zero, a byte a light, two zeros
/// (`hid-sony.c:buzz_set_leds`).
fn report(lit: impl Iterator<Item = bool>) -> [u8; 8] {
    let mut report = [0; 8];
    for (byte, lit) in report[2..].iter_mut().zip(lit).take(BUZZ_LIGHTS) {
        *byte = if lit { 0xff } else { 0 };
    }
    report
}

/// `struct input_event`; the kernel takes no notice of the time of one that is written.
fn input_event(kind: u16, code: u16, value: i32) -> Vec<u8> {
    let time = [0; 2 * size_of::<usize>()];
    [&time[..], &kind.to_ne_bytes(), &code.to_ne_bytes(), &value.to_ne_bytes()].concat()
}

/// EV_LED: the light with the lowest code first. A key bitmap and a LED bitmap have the same form.
fn event_leds(input: &Path, node: Node) -> Vec<Way> {
    let text = fs::read_to_string(input.join("capabilities/led")).unwrap_or_default();
    let codes = parse_key_bits(&text).map(|bits| bits.iter().map(KeyCode::get).collect::<Vec<_>>());
    codes.unwrap_or_default().into_iter().map(|code| Way::Event(node.clone(), code)).collect()
}

/// The same lights in the LED class, in the same order.
fn input_leds(input: &Path) -> Vec<Way> {
    let mut found: Vec<(usize, PathBuf)> = names(input)
        .into_iter()
        .filter_map(|name| {
            let (_, led) = name.split_once("::").filter(|(of, _)| number_of(of, "input").is_some())?;
            Some((LED_NAMES.iter().position(|known| *known == led)?, input.join(name)))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, led)| Way::Class(led)).collect()
}

/// What is in a folder; nothing, if there is no such folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
