//! The system around the cases: commands, units, the daemon's answers, and the end.
//!
//! Enters command lines; leaves what they said. A command that fails is an error with its words. Guarantee: nothing here waits
//! without a limit.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::deadline::{Outcome, Why, ensure, until};

/// Where the daemon listens for this machine.
pub(crate) const HERE: &str = "127.0.0.1:7400";
/// The configuration that is installed.
pub(crate) const CONFIG: &str = "/etc/buzzerd/buzzerd.toml";
/// The log of the service.
pub(crate) const LOG: &str = "/var/lib/buzzerd";

/// A line of the shell, however it ends: both streams and whether it succeeded.
pub(crate) fn try_run(line: &str) -> Outcome<(bool, String)> {
    let output = shell(line)?;
    let said = [&output.stdout[..], &output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).trim_end().to_owned()))
}

/// The same; it must succeed. What it said.
pub(crate) fn run(line: &str) -> Outcome<String> {
    let (done, said) = try_run(line)?;
    ensure(done, || format!("`{line}`: {said}"))?;
    Ok(said)
}

fn shell(line: &str) -> Outcome<Output> {
    Command::new("/bin/sh")
        .args(["-c", line])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .why(line)
}

/// A property of the service.
pub(crate) fn property(name: &str) -> Outcome<String> {
    run(&format!("systemctl show -p {name} --value buzzerd.service"))
}

/// The daemon's process.
pub(crate) fn pid() -> Outcome<u32> {
    property("MainPID")?.parse().why("MainPID")
}

/// What `/healthz` says, if it is answered.
pub(crate) fn healthz() -> Option<Value> {
    let mut stream = TcpStream::connect(HERE).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// Waits until the daemon answers: what `/healthz` says then.
pub(crate) fn up() -> Outcome<Value> {
    until("/healthz", healthz).map_err(|why| format!("{why}: {}", last_words()))
}

/// What the daemon and systemd said last.
pub(crate) fn last_words() -> String {
    run("journalctl -q -n 12 -o cat -u buzzerd.service -u buzzerd.socket").unwrap_or_default()
}

/// Another configuration, in force.
pub(crate) fn configure(text: &str) -> Outcome {
    fs::write(CONFIG, text).why(CONFIG)?;
    run("systemctl daemon-reload && systemctl restart buzzerd.socket")?;
    up().map(drop)
}

/// Tells QEMU how it ended, through its debug port.
pub(crate) fn power_off(passed: bool) {
    // Setting a terminal drains it first: otherwise the last lines could be lost with the machine.
    let _ = run("stty -F /dev/ttyS0 -echo; sync");
    let port = fs::File::options().write(true).open("/dev/port");
    let _ = port.and_then(|port| port.write_at(&[if passed { 1 } else { 2 }], 0xf4));
    let _ = run("systemctl poweroff --force --force");
}
