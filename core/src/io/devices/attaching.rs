//! Devices on their way to the reader. In: openings that are due, and what is kept over a restart. Out: attachments; those that
//! stayed open all in one request, so that nothing leaves before each was read; what is to be kept. Guarantee: what nobody wants,
//! and what is no good, is closed and kept no longer; what could not be gone on with is opened anew, and said.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::keep::{self, Adopted, Keep, Store};
use super::{Pump, Report};
use crate::device::identity::Identity;
use crate::device::kept::{Kept, KeptName};
use crate::device::roster::Opening;
use crate::event::DeviceId;
use crate::io::devices::evdev_node::Node;
use crate::io::reader::source::{Attachment, ReaderRequest};
use crate::io::sys;
use crate::press::stamp::Stamps;
use crate::quote::{kernel_words, listed};
use crate::time::KernelTime;

/// What is kept, from before and from now on.
pub(super) struct Adopting {
    pub(super) kept: Kept<OwnedFd>,
    store: Box<dyn Store>,
    drained: KernelTime,
    /// Taken up, and still to be handed over; until when nobody read them.
    adopted: Vec<(Attachment, KernelTime)>,
    /// What open devices are kept as.
    names: BTreeMap<DeviceId, KeptName>,
}

impl Adopting {
    pub(super) fn new(keep: Keep) -> Self {
        let Keep { kept, drained, mut store } = keep;
        let mut named = Vec::with_capacity(kept.len());
        for (name, fd) in kept {
            match KeptName::parse(&name) {
                Some(name) => named.push((name, fd)),
                None => store.forget(&name),
            }
        }
        Self { kept: Kept::new(named), store, drained, adopted: Vec::new(), names: BTreeMap::new() }
    }

    /// Has an open device kept.
    pub(super) fn keep(&mut self, device: DeviceId, identity: &Identity, node: &Node) {
        let Some(dev) = identity.dev else { return };
        let name = KeptName { dev, is_grabbed: node.grabbed };
        self.store.keep(&name.to_string(), node.fd.as_fd());
        self.names.insert(device, name);
    }

    /// A device is closed.
    pub(super) fn forget(&mut self, device: DeviceId) {
        if let Some(name) = self.names.remove(&device) {
            self.store.forget(&name.to_string());
        }
    }
}

impl fmt::Debug for Adopting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopting").field("kept", &self.kept).finish_non_exhaustive()
    }
}

impl Pump {
    pub(super) fn attach(&mut self, opening: Opening) {
        let node = match (self.open)(&opening) {
            Ok(node) => node,
            Err(error) => {
                return self.roster.handle_failed(opening.slot, kernel_words(&error), sys::now());
            }
        };
        let device = self.opened(&opening, &node);
        let drained = node.since;
        let attachment = attachment(device, opening, node, (drained, Vec::new()));
        self.for_reader.push_back(ReaderRequest::Attach(attachment));
    }

    /// A device is open: it gets its id, everybody who must know of it is told, and it is kept over a restart.
    fn opened(&mut self, opening: &Opening, node: &Node) -> DeviceId {
        let slot = opening.slot;
        let device = DeviceId::new(self.options.device_ids.fetch_add(1, Ordering::Relaxed));
        self.roster.handle_opened(opening, device, sys::now());
        self.lamps.opened(slot, device, &opening.identity, sys::now());
        self.adopting.keep(device, &opening.identity, node);
        (self.to_server)(Report::Opened { slot, device });
        if opening.grab && !node.grabbed {
            let text = format!(
                "{} is shared with the rest of the machine, because {} was down when it was opened: release it and \
                 connect again",
                opening.identity.describe(),
                listed(node.held.iter())
            );
            (self.to_server)(Report::Trouble { slot: Some(slot), text });
        }
        device
    }

    /// Takes up a device that stayed open.
    pub(super) fn adopt(&mut self, opening: Opening, name: KeptName, fd: OwnedFd) {
        let (dir, root, drained) = (&self.options.input_dir, &self.options.sysfs_root, self.adopting.drained);
        match keep::adopt(dir, root, (&opening, name), fd, drained) {
            Ok(Adopted { node, queue, until }) => {
                if node.grabbed != name.is_grabbed {
                    self.adopting.store.forget(&name.to_string());
                }
                let device = self.opened(&opening, &node);
                // Never behind its beginning, or the first press would have been read before.
                let read = (drained.min(node.since), queue);
                self.adopting.adopted.push((attachment(device, opening, node, read), until));
            }
            Err(error) => {
                self.adopting.store.forget(&name.to_string());
                let text = format!(
                    "{} did not stay open over the restart ({}): it is opened anew, and what was pressed meanwhile is lost",
                    opening.identity.describe(),
                    kernel_words(&error)
                );
                (self.to_server)(Report::Trouble { slot: Some(opening.slot), text });
                self.adopting.kept.handle_refused(opening);
            }
        }
    }

    /// Hands over what was taken up, all at once, and goes on with what was to wait for that.
    pub(super) fn take_over(&mut self) {
        let (unwanted, later) = self.adopting.kept.handle_all_wanted();
        for (name, fd) in unwanted {
            keep::let_go(fd);
            self.adopting.store.forget(&name.to_string());
        }
        let adopted = std::mem::take(&mut self.adopting.adopted);
        if !adopted.is_empty() {
            self.for_reader.push_back(ReaderRequest::Adopt(adopted));
        }
        self.post_to_reader();
        (self.to_server)(Report::Adopted);
        later.into_iter().for_each(|opening| self.attach(opening));
    }
}

/// A device on its way to the reader. Of what it is `read`: when it is known to have had nothing to read, and what was read of it
/// already.
fn attachment(device: DeviceId, opening: Opening, node: Node, read: (KernelTime, Vec<u8>)) -> Attachment {
    let Node { fd, since, held, .. } = node;
    let Opening { keys, debounce_us, .. } = opening;
    let ((drained, read_ahead), stamps) = (read, Stamps::Kernel);
    Attachment { device, fd, stamps, since, drained, keys, debounce_us, held, read_ahead }
}
