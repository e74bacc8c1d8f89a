//! The servers under test: the floor, and `buzzerd` in three configurations.
//!
//! In: which peer. Out: a child process that listens, and how long that took.
//! Guarantees: every start has a directory of its own with an empty log; the child is ended when its handle goes;
//! what it said on stderr is part of any error. The event log is on, as in real use.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::clock;
use crate::floor;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// (a) One epoll loop, one ready-made frame.
    Floor,
    /// (b) `settle_us = 0`, one device.
    Zero,
    /// (c) The default, two devices whose stamps are their own: presses are held for the settle window.
    Sender,
    /// (c) The default, two devices stamped at receipt, as an attachment is when nothing is said.
    Receipt,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Floor, Self::Zero, Self::Sender, Self::Receipt];

    /// As `--peers` takes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Zero => "zero",
            Self::Sender => "sender",
            Self::Receipt => "receipt",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Floor => "(a) bare epoll loop",
            Self::Zero => "(b) buzzerd, settle_us 0",
            Self::Sender => "(c) default, sender",
            Self::Receipt => "(c) default, receipt",
        }
    }

    /// Whether a second device, which is never pressed, is attached.
    pub(crate) fn has_idle_device(self) -> bool {
        matches!(self, Self::Sender | Self::Receipt)
    }

    fn config(self, address: SocketAddr, home: &Path) -> String {
        let settle = if self == Self::Zero { "settle_us = 0" } else { "# the default settle_us" };
        let stamps = if self == Self::Sender { "sender" } else { "receipt" };
        let home = home.display();
        format!(
            "[server]\nlisten = [\"{address}\"]\n[log]\ndir = \"{home}/log\"\n[order]\n{settle}\n[[pool]]\n\
             id = \"bench\"\nsocket = \"{home}/bench.sock\"\nstamps = \"{stamps}\"\ndebounce_us = 0\n"
        )
    }
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    home: TempDir,
    /// Stands in for the runtime directory that systemd makes: memory, where there is some.
    _runtime: TempDir,
    pub(crate) address: SocketAddr,
    /// From just before the start of the process to the first connection that it takes.
    pub(crate) listening: u64,
}

impl Server {
    /// Starts `peer` on the cores that this thread is held to at the moment.
    pub(crate) fn start(peer: Peer, buzzerd: &Path) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("buzzer-bench-").tempdir()?;
        let memory = Path::new("/dev/shm");
        let memory = if memory.is_dir() { memory } else { home.path() };
        let runtime = tempfile::Builder::new().prefix("buzzer-bench-").tempdir_in(memory)?;
        fs::create_dir(home.path().join("log"))?;
        let stderr = File::create(home.path().join("stderr"))?;
        let begin = clock::now();
        let (mut child, address) = match peer {
            Peer::Floor => {
                let mut command = Command::new(env::current_exe()?);
                command.arg(floor::ARGUMENT).arg(home.path().join("bench.sock"));
                let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn()?;
                let mut port = String::new();
                BufReader::new(child.stdout.take().expect("piped")).read_line(&mut port)?;
                let port = port.trim().parse().map_err(io::Error::other)?;
                (child, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            }
            _ => {
                let address = free_address()?;
                let config = home.path().join("buzzerd.toml");
                fs::write(&config, peer.config(address, home.path()))?;
                let mut command = Command::new(buzzerd);
                command.arg("serve").arg("--config").arg(&config).env("RUNTIME_DIRECTORY", runtime.path());
                (command.stdout(Stdio::null()).stderr(stderr).spawn()?, address)
            }
        };
        let ready = wait(&mut child, address, peer != Peer::Floor);
        let mut server = Self { child, home, _runtime: runtime, address, listening: 0 };
        server.listening = ready.map_err(|error| server.blame(error))? - begin;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("bench.sock")
    }

    /// `error`, and the end of what the server itself had to say.
    pub(crate) fn blame(&self, error: io::Error) -> io::Error {
        let said = fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(8)..].join("\n  ");
        io::Error::other(if tail.is_empty() {
            error.to_string()
        } else {
            format!("{error}; it said:\n  {tail}")
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // By its id, and only this child. SIGTERM first: the log ends as it does in real use.
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        for _ in 0..300 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            clock::sleep(10 * clock::MS);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The time at which the server takes connections; `health` waits for `/healthz` as well.
fn wait(child: &mut Child, address: SocketAddr, health: bool) -> io::Result<u64> {
    let deadline = clock::now() + 10 * clock::SECOND;
    let mut listening = None;
    loop {
        if let Ok(stream) = TcpStream::connect(address) {
            let since = *listening.get_or_insert_with(clock::now);
            if !health || healthy(stream, address) {
                return Ok(since);
            }
        }
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("the server ended with {status}")));
        }
        if clock::now() > deadline {
            return Err(io::Error::other("the server does not answer on /healthz"));
        }
        clock::sleep(clock::MS / 2);
    }
}

fn healthy(mut stream: TcpStream, address: SocketAddr) -> bool {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = [0; 12];
    let patience = stream.set_read_timeout(Some(std::time::Duration::from_secs(2)));
    patience
        .and_then(|()| stream.write_all(request.as_bytes()))
        .and_then(|()| stream.read_exact(&mut answer))
        .is_ok()
        && answer == *b"HTTP/1.1 200"
}

/// A port that was free a moment ago. `listen` says a port and the server tells nobody which one 0 became.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
