//! systemd's store of descriptors (sd_pid_notify_with_fds(3)). In: descriptors of devices, with names. Out: datagrams to
//! `$NOTIFY_SOCKET`: what is stored comes back at the next start ([`super::handed`]). Guarantee: no wait; without systemd nothing
//! happens; what is refused costs the presses of a restart, and is said once.

use std::env;
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use buzzer_core::io::devices::keep::Store;
use buzzer_core::quote::kernel_words;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// The store of this service; `None`: nobody has one.
#[derive(Debug)]
pub struct FdStore {
    notify: Option<OsString>,
    is_said: bool,
}

impl FdStore {
    /// The one that the environment names.
    pub fn of_service() -> Self {
        Self { notify: env::var_os("NOTIFY_SOCKET"), is_said: false }
    }

    fn send(&mut self, text: &str, fd: Option<BorrowedFd<'_>>) {
        let Some(path) = &self.notify else { return };
        if let Err(error) = send(path, text, fd)
            && !std::mem::replace(&mut self.is_said, true)
        {
            log::warn!(
                "systemd does not take a device into its store ({}): what is pressed during a restart is lost",
                kernel_words(&error)
            );
        }
    }
}

impl Store for FdStore {
    fn keep(&mut self, name: &str, fd: BorrowedFd<'_>) {
        self.send(&format!("FDSTORE=1\nFDNAME={name}\n"), Some(fd));
    }

    fn forget(&mut self, name: &str) {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), None);
    }
}

fn send(path: &OsString, text: &str, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    let socket = OwnedFd::from(socket);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    sendmsg(socket.as_fd(), &[IoSlice::new(text.as_bytes())], &mut ancillary, SendFlags::DONTWAIT)?;
    Ok(())
}
