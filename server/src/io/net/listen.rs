//! Listening sockets. In: addresses and paths from the configuration, and sockets that systemd has opened. Out: bound,
//! non-blocking listeners, and accepted streams with the options that a buzzer wants. Guarantee: an address that is taken is
//! refused with the command that shows by whom; where systemd has opened sockets, these are listened on and no others, which is
//! said if the configuration has others; a Unix socket is taken over only if nobody listens on it any more.

use buzzer_core::quote::{kernel_words, listed};
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UnixListener};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::io::store::obstacle;

/// mio's own `bind` listens with 128; clients that all come back at once would overflow it and wait seconds for
/// SYN retries. The kernel caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Enough for about 300 events. With the kernel's default a dead reader would hide behind 45 000 of them.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Why nothing can be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the address.
    #[error("{0} is taken by another program; `ss -ltnp 'sport = :{port}'` shows which", port = .0.port())]
    Taken(SocketAddr),
    /// Another program listens on the socket.
    #[error("{0}: another program listens here; `ss -lxp src {0}` shows which")]
    SocketTaken(PathBuf),
    /// Something that is no socket is in the way.
    #[error("{0}: is there and is no socket; move it away or name another path")]
    NoSocket(PathBuf),
    /// The kernel said no.
    #[error("{what}: cannot listen: {why}")]
    Io {
        /// Address or path.
        what: String,
        /// What the kernel answered, and what it lacks.
        why: String,
    },
}

/// Listens on the sockets that were handed over; if there is none, on the addresses of the configuration.
///
/// # Errors
/// [`ListenError`].
pub fn all(
    configured: &[SocketAddr],
    handed: Vec<(SocketAddr, OwnedFd)>,
) -> Result<Vec<TcpListener>, ListenError> {
    if handed.is_empty() {
        return configured.iter().map(|address| tcp(*address)).collect();
    }
    let given: Vec<SocketAddr> = handed.iter().map(|(address, _)| *address).collect();
    if !given.iter().all(|address| configured.contains(address)) || given.len() != configured.len() {
        ::log::warn!(
            "the socket unit of systemd has {}, server.listen has {}: the socket unit holds; `systemctl daemon-reload && systemctl \
             restart buzzerd.socket` brings it to server.listen",
            listed(&given),
            listed(configured)
        );
    }
    let listener = |(address, fd): (SocketAddr, OwnedFd)| {
        let listener = std::net::TcpListener::from(fd);
        listener.set_nonblocking(true).map_err(|error| refused(address, &error))?;
        Ok(TcpListener::from_std(listener))
    };
    handed.into_iter().map(listener).collect()
}

/// Listens on a TCP address.
///
/// # Errors
/// [`ListenError`].
pub fn tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bind = || -> io::Result<std::net::TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // After a restart the old connections' TIME_WAIT must not keep the port.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    match bind() {
        Ok(listener) => Ok(TcpListener::from_std(listener)),
        Err(error) => Err(refused(address, &error)),
    }
}

/// Why an address cannot be had.
fn refused(address: SocketAddr, error: &io::Error) -> ListenError {
    let said = kernel_words(error);
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => return ListenError::Taken(address),
        io::ErrorKind::PermissionDenied => format!(
            "{said}: port {} needs the right CAP_NET_BIND_SERVICE; ports from 1024 on need none",
            address.port()
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "{said}: no interface of this machine has {}; `ip address` shows what it has",
                address.ip()
            )
        }
        _ => said,
    };
    ListenError::Io { what: address.to_string(), why }
}

/// Listens on a Unix socket with mode 0660, in place of a dead one that an earlier process left.
///
/// # Errors
/// [`ListenError`].
pub fn unix(path: &Path) -> Result<UnixListener, ListenError> {
    let io_error =
        |error| ListenError::Io { what: path.display().to_string(), why: obstacle::of(path, &error) };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NoSocket(path.to_owned()));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(ListenError::SocketTaken(path.to_owned()));
        }
        Ok(_) => std::fs::remove_file(path).map_err(io_error)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error(error)),
    }
    let listener = UnixListener::bind(path).map_err(io_error)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(io_error)?;
    Ok(listener)
}

/// Makes an accepted stream prompt and mortal; a patient one only if its peer is gone, not if it takes nothing. An option that
/// the kernel refuses costs comfort, not correctness.
pub fn tune(stream: &TcpStream, patient: bool) {
    let socket = SockRef::from(stream);
    // Without it the second of two frames can wait 40 ms for an acknowledgement.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
    // A peer that vanished without a word: found by data in flight after 10 s, without data after 19 s. The first also ends a
    // peer that is there and reads nothing (tcp_probe_timer in net/ipv4/tcp_timer.c).
    if !patient {
        let _ = socket.set_tcp_user_timeout(Some(Duration::from_secs(10)));
    }
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(3))
        .with_retries(3);
    let _ = socket.set_tcp_keepalive(&keepalive);
}
