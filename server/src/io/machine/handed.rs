//! What systemd hands over at the start. In: the environment (sd_listen_fds(3)). Out: descriptors by their kind. Guarantee: no
//! child inherits one; what is none of ours is closed and named; without systemd there is nothing.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use buzzer_core::io::sys;
use buzzer_core::quote::{Quoted, kernel_words};
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{SocketType, getsockname};

/// Descriptors that were handed over.
#[derive(Debug, Default)]
pub struct Handed {
    /// TCP sockets that listen, and where.
    pub listening: Vec<(SocketAddr, OwnedFd)>,
    /// Devices that were kept over a restart ([`super::fd_store`]), with the names they were kept as.
    pub devices: Vec<(String, OwnedFd)>,
}

/// How the names of kept devices begin.
const DEVICE: &str = "ev-";

impl Handed {
    /// Takes all of them. To be called once, before anything is opened.
    pub fn take() -> Self {
        let mut handed = Self::default();
        let names: Vec<String> = match sd_notify::listen_fds_with_names() {
            Ok(named) => named.map(|(_, name)| name).collect(),
            Err(error) => {
                log::warn!(
                    "what LISTEN_FDS says was handed over is not there ({}): it is passed over",
                    kernel_words(&error)
                );
                return handed;
            }
        };
        for (fd, name) in sys::handed_over(names.len()).into_iter().zip(names) {
            if name.starts_with(DEVICE) {
                handed.devices.push((name, fd));
                continue;
            }
            match listening(&fd) {
                Some(address) => handed.listening.push((address, fd)),
                None => log::warn!(
                    "systemd handed over {}, which is no TCP socket that listens: it is closed; a socket unit for buzzerd has \
                     ListenStream= with an address and a port, and Accept=no",
                    Quoted(&name)
                ),
            }
        }
        handed
    }
}

/// Where this descriptor listens, if it is a TCP socket that does.
fn listening(fd: &OwnedFd) -> Option<SocketAddr> {
    let is_listening = socket_type(fd).ok()? == SocketType::STREAM && socket_acceptconn(fd).ok()?;
    getsockname(fd).ok().filter(|_| is_listening)?.try_into().ok()
}
