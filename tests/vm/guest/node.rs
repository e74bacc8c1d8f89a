//! Evdev nodes as the kernel shows them, without `buzzerd`.
//!
//! Enters an input device of sysfs; leaves its node in `/dev/input`, its driver and its raw events. Used to make a
//! case wait until a device is really there, and to tell a broken harness from a broken daemon.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use buzzer_core::io::sys::set_clock_monotonic;
use evdev::raw_stream::RawDevice;
use evdev::{EventType, InputEvent, KeyCode};
use rustix::fs::{Mode, OFlags};

use crate::deadline::{Outcome, Why, until};

const CLASS: &str = "/sys/class/input";

/// Waits for the node of the input device whose `uniq` is this.
pub(crate) fn by_uniq(uniq: &str) -> Outcome<PathBuf> {
    until(&format!("the node of {uniq}"), || find(uniq))
}

/// Waits until no input device has this `uniq`.
pub(crate) fn gone(uniq: &str) -> Outcome {
    until(&format!("the end of {uniq}"), || find(uniq).is_none().then_some(()))
}

fn find(uniq: &str) -> Option<PathBuf> {
    found(uniq).into_iter().next()
}

/// Waits for so many nodes of one device: those with this `uniq`, in the order in which the kernel made them.
pub(crate) fn all_by_uniq(uniq: &str, count: usize) -> Outcome<Vec<PathBuf>> {
    until(&format!("{count} nodes of {uniq}"), || Some(found(uniq)).filter(|nodes| nodes.len() == count))
}

fn found(uniq: &str) -> Vec<PathBuf> {
    let nodes = fs::read_dir(CLASS).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names = nodes.filter_map(|name| name.into_string().ok()).filter(|name| {
        let seen = fs::read_to_string(Path::new(CLASS).join(name).join("device/uniq"));
        name.starts_with("event") && seen.is_ok_and(|seen| seen.trim_end() == uniq)
    });
    let mut nodes: Vec<PathBuf> = names.map(|name| Path::new("/dev/input").join(name)).collect();
    nodes.retain(|node| node.exists());
    nodes.sort_by_key(|node| (node.as_os_str().len(), node.clone()));
    nodes
}

/// Waits for the node below an input device's folder in sysfs.
pub(crate) fn below(input: &Path) -> Outcome<PathBuf> {
    until(&format!("a node of {}", input.display()), || {
        let names =
            fs::read_dir(input).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let node = Path::new("/dev/input").join(names.into_iter().find(|name| name.starts_with("event"))?);
        node.exists().then_some(node)
    })
}

/// The driver that the kernel bound to the HID device behind a node.
pub(crate) fn driver(node: &Path) -> Outcome<String> {
    let name = node.file_name().unwrap_or_default();
    let link = Path::new(CLASS).join(name).join("device/device/driver");
    let target = fs::read_link(&link).why(format!("the driver of {}", node.display()))?;
    Ok(target.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// A node read as it is.
#[derive(Debug)]
pub(crate) struct Reader {
    device: RawDevice,
    queue: VecDeque<InputEvent>,
}

impl Reader {
    pub(crate) fn open(node: &Path) -> Outcome<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(node, flags, Mode::empty()).why(node.display())?;
        let device = RawDevice::from_fd(fd).why(node.display())?;
        Ok(Self { device, queue: VecDeque::new() })
    }

    pub(crate) fn keys(&self) -> Vec<u16> {
        self.device
            .supported_keys()
            .map(|keys| keys.iter().map(|key| key.code()).collect())
            .unwrap_or_default()
    }

    pub(crate) fn repeats(&self) -> bool {
        self.device.supported_events().contains(EventType::REPEAT)
    }

    /// Sets the clock of this reader. If something waits in its queue, that is flushed, and every reader finds the
    /// time of this call in the device's next frame, however much later that comes (`evdev.c`,
    /// `__evdev_queue_syn_dropped`).
    pub(crate) fn set_clock(&self) -> Outcome {
        set_clock_monotonic(&self.device).why("EVIOCSCLOCKID")
    }

    /// What the kernel says about this key now.
    pub(crate) fn is_down(&self, key: KeyCode) -> bool {
        self.device.get_key_state().is_ok_and(|keys| keys.contains(key))
    }

    /// The next event of any type.
    pub(crate) fn next(&mut self) -> Outcome<InputEvent> {
        until("an event", || {
            if self.queue.is_empty() {
                self.queue.extend(self.device.fetch_events().ok()?);
            }
            self.queue.pop_front()
        })
    }

    /// The next key edge: code, value, stamp.
    pub(crate) fn next_key(&mut self) -> Outcome<(u16, i32, SystemTime)> {
        loop {
            let event = self.next()?;
            if event.event_type() == EventType::KEY {
                return Ok((event.code(), event.value(), event.timestamp()));
            }
        }
    }
}
