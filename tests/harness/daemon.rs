//! A real daemon. In: the rest of a configuration. Out: a running `buzzerd` with its address, or how it ended.
//! Guarantee: each [`Home`] is a directory of its own, so tests run side by side; a daemon is killed by its own pid when
//! it is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use buzzer_core::io::sys;
use buzzer_core::time::Micros;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Attachment, Client, Journal, PATIENCE, Raw};

/// The `buzzerd` under test: `$BUZZERD`, else the one beside this test, built once if cargo is there to do it. Without
/// that, `cargo test -p buzzer-tests` would try yesterday's binary.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("BUZZERD") {
            return path.into();
        }
        let profile_dir = profile_dir();
        let target_dir = profile_dir.parent().expect("the target directory");
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--package", "buzzer-server", "--target-dir"]).arg(target_dir);
            if profile_dir.ends_with("release") {
                build.arg("--release");
            }
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
            let built = build.current_dir(root).status().expect("cargo runs");
            assert!(built.success(), "buzzerd does not build");
        }
        let path = profile_dir.join("buzzerd");
        assert!(path.exists(), "{}: not built; set BUZZERD", path.display());
        path
    })
}

/// `target/debug` or `target/release`: this test is in its `deps`.
pub(crate) fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let deps = test.parent().expect("a directory");
    deps.parent().expect("a directory above `deps`").to_owned()
}

/// A configuration and everything that belongs to it: log directory and sockets. It outlives a daemon, so that another
/// can be started on it.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    boot: Option<String>,
    wrapper: Vec<String>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it said on stderr, all of it.
    pub stderr: String,
}

impl Home {
    /// A home whose configuration is a free port, a log directory and `rest`, in which `$DIR` is the home.
    pub fn new(rest: &str) -> Self {
        let head = "[server]\nlisten = [\"127.0.0.1:0\"]\n[log]\ndir = \"$DIR/log\"\n";
        Self::with_config(&format!("{head}{rest}"))
    }

    /// A home with this whole configuration.
    pub fn with_config(config: &str) -> Self {
        let home = Self { dir: tempfile::tempdir().expect("a directory"), boot: None, wrapper: Vec::new() };
        let config = config.replace("$DIR", &home.path().display().to_string());
        std::fs::write(home.config(), config).expect("the configuration");
        home
    }

    /// One virtual pool `desk` with these further settings.
    pub fn desk(settings: &str) -> Self {
        Self::new(&format!("[[pool]]\nid = \"desk\"\nsocket = \"$DIR/desk.sock\"\n{settings}\n"))
    }

    /// The next daemon believes to run in this boot.
    pub fn set_boot(&mut self, boot: &str) {
        self.boot = Some(boot.to_owned());
    }

    /// The next daemon is started by this command, which takes rights away or gives limits.
    pub fn set_wrapper(&mut self, command: &[impl ToString]) {
        self.wrapper = command.iter().map(ToString::to_string).collect();
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.path().join("buzzerd.toml")
    }

    /// The log of its daemons.
    pub fn journal(&self) -> Journal {
        Journal::new(self.path().join("log"))
    }

    /// `buzzerd` with these arguments and this home's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => Command::new(binary()),
            Some((wrapper, rest)) => {
                let mut command = Command::new(wrapper);
                command.args(rest).arg(binary());
                command
            }
        };
        command.args(arguments).arg("--config").arg(self.config());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // What the test's own environment says is not the configuration under test.
        for name in [
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "JOURNAL_STREAM",
            "STATE_DIRECTORY",
            "BUZZERD_LOG",
            "LISTEN_PID",
        ] {
            command.env_remove(name);
        }
        command.env("RUNTIME_DIRECTORY", self.path().join("run"));
        if let Some(boot) = &self.boot {
            command.env("BUZZERD_BOOT_ID", boot);
        }
        command
    }

    /// Starts the daemon and waits until it listens.
    pub fn serve(&self) -> Daemon {
        Daemon::spawn(self.command(&["serve"]))
    }

    /// Starts the daemon through another program, which becomes it: `strace -D`, or a shell that ends in `exec "$@"`. Waits
    /// until it listens.
    ///
    /// # Errors
    /// How it ended, if it ended before that.
    pub fn serve_under(&self, wrapper: &[String]) -> Result<Daemon, Ended> {
        let serve = self.command(&["serve"]);
        let mut command = Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).arg(serve.get_program()).args(serve.get_args());
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the wrapper starts");
        let stderr = child.stderr.take().expect("its stderr");
        let mut daemon = Daemon { child, stderr: follow(stderr), said: Vec::new(), address: None };
        loop {
            match daemon.stderr.recv_timeout(PATIENCE) {
                Ok(line) => {
                    daemon.said.push(line.clone());
                    // One that is killed while it says so has said half of it.
                    let address =
                        line.split_once("listening: ws://").and_then(|(_, it)| it.strip_suffix('/'));
                    daemon.address = address.and_then(|address| address.parse().ok());
                    if daemon.address.is_some() {
                        return Ok(daemon);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(daemon.wait()),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("neither ended nor listens:\n{}", daemon.said.join("\n"))
                }
            }
        }
    }

    /// Starts the daemon with this stderr, of which nothing is read here, and waits until it listens.
    pub fn serve_saying_to(&self, stderr: impl Into<Stdio>) -> Daemon {
        let mut command = self.command(&["serve"]);
        let child = command.stderr(stderr).spawn().expect("buzzerd starts");
        let (_, silent) = mpsc::channel();
        let mut daemon = Daemon { child, stderr: silent, said: Vec::new(), address: None };
        let patience = sys::now() + Micros::from_us(PATIENCE.as_micros() as u64);
        while daemon.address.is_none() {
            daemon.assert_alive();
            assert!(sys::now() < patience, "it does not listen");
            daemon.address = listening(daemon.pid());
            thread::yield_now();
        }
        daemon
    }

    /// Starts a daemon that is to fail, and waits for its end.
    pub fn refused(&self) -> Ended {
        let mut child = self.command(&["serve"]).spawn().expect("buzzerd starts");
        let stderr = child.stderr.take().expect("its stderr");
        Daemon { child, stderr: follow(stderr), said: Vec::new(), address: None }.wait()
    }

    /// Attaches buzzers 1 to `buzzers` to pool `desk`.
    pub fn attach(&self, buzzers: u16) -> Attachment {
        Attachment::open(&self.socket("desk"), "test", &(1..=buzzers).collect::<Vec<_>>())
    }

    /// The socket of a pool.
    pub fn socket(&self, pool: &str) -> PathBuf {
        self.path().join(format!("{pool}.sock"))
    }
}

/// Where a process listens, from what the kernel says of its sockets.
fn listening(pid: u32) -> Option<SocketAddr> {
    const LISTEN: &str = "0A";
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = fds.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    let own: Vec<String> = links.map(|link| link.display().to_string()).collect();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let is_own = own.contains(&format!("socket:[{}]", fields.get(9)?)) && fields[3] == LISTEN;
        let address = u32::from_str_radix(address, 16).ok().filter(|_| is_own)?;
        Some((address.to_ne_bytes(), u16::from_str_radix(port, 16).ok()?).into())
    })
}

fn follow(stderr: ChildStderr) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    stderr: Receiver<String>,
    said: Vec<String>,
    address: Option<SocketAddr>,
}

impl Daemon {
    /// Starts a command of buzzerd that listens, and waits until it does.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("buzzerd starts");
        let stderr = child.stderr.take().expect("its stderr");
        let mut daemon = Self { child, stderr: follow(stderr), said: Vec::new(), address: None };
        let line = daemon.wait_said("listening: ws://");
        let address = line.split("ws://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        daemon.address = Some(address.unwrap_or_else(|| panic!("an address in {line:?}")));
        daemon
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it listens")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client that asks for no subprotocol.
    pub fn client(&self) -> Client {
        Client::open(self.address())
    }

    /// A client that has connected pool `desk`.
    pub fn desk(&self) -> Client {
        let mut client = self.client();
        let answer = client.ask(r#"{"command":"connect","pool":"desk"}"#);
        assert!(answer.starts_with(r#"{"result":"connect","pool":"desk""#), "{answer}");
        client
    }

    /// A bare TCP connection.
    pub fn raw(&self) -> Raw {
        Raw::open(self.address())
    }

    /// Waits for a line on stderr with this text, and gives it.
    pub fn wait_said(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.stderr.recv_timeout(PATIENCE) else {
                panic!("it never said {text:?}, but:\n{}", self.said.join("\n"));
            };
            self.said.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Fails if the process is gone.
    pub fn assert_alive(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            self.said.extend(self.stderr.iter());
            panic!("buzzerd has ended: {status}\n{}", self.said.join("\n"));
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).expect("it is there");
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// SIGTERM, unless it has ended already, and waits for the end.
    pub fn stop_or_gone(self) -> Ended {
        let _ = kill_process(self.process(), Signal::TERM);
        self.wait()
    }

    /// What is at this path: head and body.
    pub fn get(&self, path: &str) -> (String, String) {
        self.try_get(path).expect("an answer")
    }

    /// What is at this path, if the daemon lives.
    pub fn try_get(&self, path: &str) -> Option<(String, String)> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((format!("{head}\r\n"), body.to_owned()))
    }

    /// `/healthz`, if the daemon lives.
    pub fn try_healthz(&self) -> Option<Value> {
        serde_json::from_str(&self.try_get("/healthz")?.1).ok()
    }

    /// Asks for `/healthz` until it is like this, and gives it.
    pub fn wait_healthz(&self, what: &str, like: impl Fn(&Value) -> bool) -> Value {
        let patience = sys::now() + Micros::from_us(PATIENCE.as_micros() as u64);
        loop {
            let page = self.try_healthz().expect("a page of JSON");
            if like(&page) {
                return page;
            }
            assert!(sys::now() < patience, "{what}: {page}");
            thread::yield_now();
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(self) -> Ended {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// Waits until it ends.
    pub fn wait(mut self) -> Ended {
        let process = pidfd_open(self.process(), PidfdFlags::empty()).expect("a pidfd");
        let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience)).expect("poll");
        if ready == 0 {
            self.said.extend(self.stderr.try_iter());
            panic!("buzzerd does not end\n{}", self.said.join("\n"));
        }
        let status = self.child.wait().expect("its status");
        self.said.extend(self.stderr.iter());
        Ended { code: status.code(), stderr: std::mem::take(&mut self.said).join("\n") }
    }

    fn process(&self) -> Pid {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.expect("a child has a pid")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.said.extend(self.stderr.iter());
            eprintln!("--- what buzzerd said\n{}", self.said.join("\n"));
        }
    }
}
