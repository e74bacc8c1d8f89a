//! One `buzzerd` of one case: its folders, its process, its other commands.
//!
//! Enters a configuration without `[server]` and `[log]`, which stand here; leaves a daemon that answers `/healthz`.
//! Guarantees: dropped means killed; what it said on stderr is in the text of a failure.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::client::Client;
use crate::deadline::{LIMIT, Outcome, Why, ensure, until};
use crate::records::{self, Record};

pub(crate) const ADDRESS: &str = "127.0.0.1:7400";
/// Where each case has its folder. The guest's own: nothing else is in it.
const CASES: &str = "/tmp";
/// Somebody who may not open input devices: `nobody` of Debian.
const STRANGER: u32 = 65534;

/// A daemon and what it leaves behind.
#[derive(Debug)]
pub(crate) struct Daemon {
    folder: PathBuf,
    log: PathBuf,
    run: PathBuf,
    user: u32,
    /// Who plays the service manager listens there.
    notify: Option<PathBuf>,
    child: Option<Child>,
    clients: RefCell<Vec<TcpStream>>,
}

impl Daemon {
    /// Started as root.
    pub(crate) fn start(name: &str, config: &str) -> Outcome<Self> {
        Self::start_as(0, name, config)
    }

    /// Started as a user who is in no group that may read input devices.
    pub(crate) fn start_as_stranger(name: &str, config: &str) -> Outcome<Self> {
        Self::start_as(STRANGER, name, config)
    }

    fn start_as(user: u32, name: &str, config: &str) -> Outcome<Self> {
        let folder = folder(name);
        let (log, run) = (folder.join("log"), folder.join("run"));
        for folder in [&folder, &log, &run] {
            fs::create_dir_all(folder).why(folder.display())?;
            chown(folder, Some(user), Some(user)).why(folder.display())?;
        }
        let mut daemon = Self::configured(user, folder, log, run, config)?;
        daemon.start_again()?;
        Ok(daemon)
    }

    /// Not started, as root; it is to make its log directory and its runtime directory there.
    pub(crate) fn to_start_at(name: &str, log: PathBuf, run: PathBuf, config: &str) -> Outcome<Self> {
        Self::configured(0, folder(name), log, run, config)
    }

    /// Not started, as root, with a service manager that listens there.
    pub(crate) fn to_start_under(name: &str, notify: PathBuf, config: &str) -> Outcome<Self> {
        let folder = folder(name);
        fs::create_dir_all(&folder).why(folder.display())?;
        let (log, run) = (folder.join("log"), folder.join("run"));
        let mut daemon = Self::configured(0, folder, log, run, config)?;
        daemon.notify = Some(notify);
        Ok(daemon)
    }

    fn configured(user: u32, folder: PathBuf, log: PathBuf, run: PathBuf, config: &str) -> Outcome<Self> {
        let clients = RefCell::default();
        let daemon = Self { folder, log, run, user, notify: None, child: None, clients };
        daemon.configure(config)?;
        Ok(daemon)
    }

    /// Has the next process find this configuration.
    pub(crate) fn configure(&self, config: &str) -> Outcome {
        let log = self.log.display();
        let config = format!("[server]\nlisten = [\"{ADDRESS}\"]\n[log]\ndir = \"{log}\"\n{config}");
        fs::write(self.folder.join("buzzerd.toml"), config).why("configuration")
    }

    /// The next process on the same configuration and log.
    pub(crate) fn start_again(&mut self) -> Outcome {
        self.begin_again()?;
        self.up()
    }

    /// The same, and does not wait for it.
    pub(crate) fn begin_again(&mut self) -> Outcome {
        let said = fs::File::options().create(true).append(true).open(self.stderr()).why("stderr")?;
        let child =
            self.command(&["serve"]).stdout(Stdio::null()).stderr(said).spawn().why("buzzerd serve")?;
        self.child = Some(child);
        Ok(())
    }

    /// The next process, with at most two descriptors that the one before had stored.
    pub(crate) fn start_with(&mut self, stored: &[(String, OwnedFd)]) -> Outcome {
        let copy = |place: usize| -> Outcome<Stdio> {
            stored.get(place).map_or(Ok(Stdio::null()), |(_, fd)| Ok(fd.try_clone().why("a copy")?.into()))
        };
        let names: Vec<&str> = stored.iter().map(|(name, _)| name.as_str()).collect();
        let script = format!(
            "exec 3<&0 4<&1 0</dev/null 1>/dev/null; export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={}; exec \"$@\"",
            names.len(),
            names.join(":")
        );
        let serve = self.command(&["serve"]);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, "sh"]).arg(serve.get_program()).args(serve.get_args());
        command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let said = fs::File::options().create(true).append(true).open(self.stderr()).why("stderr")?;
        command.current_dir(&self.folder).stdin(copy(0)?).stdout(copy(1)?).stderr(said);
        self.child = Some(command.spawn().why("buzzerd serve")?);
        self.up()
    }

    /// Waits until it answers.
    pub(crate) fn up(&mut self) -> Outcome {
        until("/healthz of buzzerd", || {
            let ended = self
                .child
                .as_mut()?
                .try_wait()
                .ok()?
                .map(|status| Err(format!("buzzerd ended with {status}")));
            ended.or_else(|| {
                get("/healthz").filter(|answer| answer.starts_with("HTTP/1.1 200")).map(|_| Ok(()))
            })
        })
        .and_then(|up| up)
        .map_err(|why| format!("{why}{}", self.last_words()))
    }

    /// Where its journal is.
    pub(crate) fn runtime_folder(&self) -> &Path {
        &self.run
    }

    /// What it says of itself.
    pub(crate) fn healthz(&self) -> Outcome<Value> {
        let answer = get("/healthz").ok_or("/healthz: no answer")?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        serde_json::from_str(body).why(format!("/healthz: {answer}"))
    }

    pub(crate) fn client(&self) -> Outcome<Client> {
        let client = Client::connect(ADDRESS)?;
        self.clients.borrow_mut().push(client.stream()?);
        Ok(client)
    }

    /// Another command of `buzzerd` on the same configuration.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome<Output> {
        self.command(arguments).output().why(arguments.join(" "))
    }

    /// Another command of `buzzerd` that goes on while the case does; it talks through pipes.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Outcome<Child> {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().why(arguments.join(" "))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).arg("--config").arg(self.folder.join("buzzerd.toml"));
        command.env("RUNTIME_DIRECTORY", &self.run).current_dir(&self.folder).stdin(Stdio::null());
        if let Some(notify) = &self.notify {
            command.env("NOTIFY_SOCKET", notify);
        }
        if self.user != 0 {
            command.uid(self.user).gid(self.user);
        }
        command
    }

    /// Stops all threads of the daemon, and waits until they stand.
    pub(crate) fn freeze(&self) -> Outcome {
        self.signal(Signal::STOP)?;
        let tasks = format!("/proc/{}/task", self.pid()?.as_raw_nonzero());
        until("a frozen buzzerd", || {
            let stands = |task: fs::DirEntry| {
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
            };
            fs::read_dir(&tasks).ok()?.flatten().all(stands).then_some(())
        })
    }

    /// How often the reader thread has gone to sleep.
    pub(crate) fn reader_sleeps(&self) -> Outcome<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid()?.as_raw_nonzero())).why("threads")?;
        let mut status =
            tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
        let status = status.find(|status| status.starts_with("Name:\treader\n")).ok_or("no reader thread")?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:\t"));
        count.ok_or("no count of sleeps")?.parse().why("count of sleeps")
    }

    /// Whether the thread of that name sleeps uninterruptibly, as a driver's `msleep` does. On `PREEMPT_RT` any thread may,
    /// for a moment: locks that spin elsewhere sleep there.
    pub(crate) fn sleeps_in_the_kernel(&self, name: &str) -> bool {
        let tasks = self.pid().map(|pid| fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())));
        tasks.into_iter().flatten().flatten().flatten().any(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.contains(&format!("({name}) D "))
        })
    }

    pub(crate) fn thaw(&self) -> Outcome {
        self.signal(Signal::CONT)
    }

    pub(crate) fn terminate(&self) -> Outcome {
        self.signal(Signal::TERM)
    }

    /// A crash, as far as the daemon is concerned.
    pub(crate) fn crash(&mut self) -> Outcome {
        self.signal(Signal::KILL)?;
        self.wait().map(drop)
    }

    pub(crate) fn wait(&mut self) -> Outcome<ExitStatus> {
        let child = self.child.as_mut().ok_or("no buzzerd runs")?;
        let status = until("the end of buzzerd", || child.try_wait().transpose())?.why("wait")?;
        self.child = None;
        Ok(status)
    }

    /// Ends the daemon as systemd does, and gives what its log says then.
    pub(crate) fn stop(self) -> Outcome<Vec<Record>> {
        records::read(&self.end()?)
    }

    /// Ends the daemon as systemd does, and gives the folder of its log. Its clients are gone by then: for one that does
    /// not answer its close frame it would wait two seconds.
    pub(crate) fn end(mut self) -> Outcome<PathBuf> {
        for client in self.clients.take() {
            let _ = client.shutdown(Shutdown::Both);
        }
        self.terminate()?;
        let status = self.wait()?;
        ensure(status.success(), || format!("SIGTERM: buzzerd ended with {status}{}", self.last_words()))?;
        Ok(self.log.clone())
    }

    /// What stands behind these words in the lines of stderr.
    pub(crate) fn said(&self, words: &str) -> Outcome<Vec<String>> {
        let said = fs::read_to_string(self.stderr()).why("stderr")?;
        Ok(said.lines().filter_map(|line| Some(line.split_once(words)?.1.to_owned())).collect())
    }

    /// The last lines of stderr, for the text of a failure.
    pub(crate) fn last_words(&self) -> String {
        let said = fs::read_to_string(self.stderr()).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(12)..].iter().map(|line| format!("\n    buzzerd: {line}")).collect()
    }

    fn stderr(&self) -> PathBuf {
        self.folder.join("stderr")
    }

    fn pid(&self) -> Outcome<Pid> {
        self.child.as_ref().map(Pid::from_child).ok_or_else(|| "no buzzerd runs".to_owned())
    }

    fn signal(&self, signal: Signal) -> Outcome {
        kill_process(self.pid()?, signal).why("signal")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The folder of a case.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(CASES).join(name)
}

/// Removes what a case left behind.
pub(crate) fn clear() -> Outcome {
    for entry in fs::read_dir(CASES).why(CASES)? {
        let path = entry.why(CASES)?.path();
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.why(path.display())?;
    }
    Ok(())
}

/// The program under test.
fn program() -> String {
    std::env::args().nth(1).unwrap_or_else(|| "buzzerd".to_owned())
}

/// The whole answer to an HTTP request.
fn get(path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(ADDRESS).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    // A server may reset a connection that it closes; what came before still counts.
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned())
}
