//! What this program is beside the test program: a client, an attachment, a prober of the sandbox.
//!
//! Enters what the parent says on stdin and on the command line; leaves lines on stdout. Each ends when its stdin does.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use buzzer_core::io::sys::now;
use buzzer_core::press::decode::Record;
use buzzer_core::press::keys::KeyCode;
use rustix::net::{AddressFamily, SocketType, socket};
use serde_json::json;

use crate::client::Client;
use crate::deadline::{Outcome, Why, ensure};

/// The key that an attachment brings as buzzer 1: BTN_TRIGGER_HAPPY1.
const KEY: u16 = 0x2c0;

/// Another process in a role.
#[derive(Debug)]
pub(crate) struct Role {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Role {
    /// Begins a role, by this way to another namespace or user.
    pub(crate) fn begin(through: &str, role: &str) -> Outcome<Self> {
        let words: Vec<&str> = through.split(' ').chain(["/test/guest"]).chain(role.split(' ')).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().why(words.join(" "))?;
        let lines = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self { child, lines })
    }

    /// A line for it.
    pub(crate) fn say(&mut self, line: &str) -> Outcome {
        let stdin = self.child.stdin.as_mut().ok_or("no stdin")?;
        stdin.write_all(format!("{line}\n").as_bytes()).why("a role")
    }

    /// Its next line.
    pub(crate) fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).why("a role")?;
        ensure(!line.is_empty(), || "a role ended".to_owned())?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects the first pool that there is, then prints every frame.
pub(crate) fn client(address: &str) -> Outcome {
    let mut client = Client::connect(address)?;
    let pools = client.ask(&json!({"list": "pools"}))?;
    println!("{pools}");
    let pool = pools["pools"][0].clone();
    client.send(&json!({"command": "connect", "pool": pool}))?;
    loop {
        println!("{}", client.next()?);
    }
}

/// Attaches buzzer 1, says so, and presses it.
pub(crate) fn attach(socket: &Path) -> Outcome {
    let mut stream = UnixStream::connect(socket).why(socket.display())?;
    stream
        .write_all(format!("{{\"name\":\"phone\",\"buzzers\":{{\"{KEY}\":1}}}}\n").as_bytes())
        .why("greeting")?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).why("answer")?;
    println!("{}", line.trim_end());
    // The parent says when: nobody may be listening yet.
    let mut go = String::new();
    std::io::stdin().read_line(&mut go).why("stdin")?;
    let key = KeyCode::new(KEY).ok_or("no key")?;
    let at = now();
    for down in [true, false] {
        stream
            .write_all(&[Record::key(at, key, down).to_bytes(), Record::report(at).to_bytes()].concat())
            .why("a press")?;
    }
    std::io::stdin().read_to_end(&mut Vec::new()).why("stdin").map(drop)
}

/// Tries what the sandbox forbids, and what it must allow. It runs as a unit with the daemon's own settings.
pub(crate) fn probe() -> Outcome {
    let opens = |path: &str| File::open(path).is_ok();
    let writes = |path: &str| File::options().create(true).append(true).open(path).is_ok();
    let family = |family, kind| socket(family, kind, None).is_ok();
    let unshares =
        Command::new("/usr/bin/unshare").args(["-U", "true"]).status().is_ok_and(|status| status.success());
    let got = [
        ("/etc/shadow", opens("/etc/shadow")),
        ("/home", std::fs::read_dir("/home").is_ok_and(|mut home| home.next().is_some())),
        ("a disk", opens("/dev/vda")),
        ("memory", opens("/dev/mem")),
        ("the kernel's log", opens("/dev/kmsg")),
        ("another process", opens("/proc/1/environ") || Path::new("/proc/1").exists()),
        ("writing /etc", writes("/etc/probe")),
        ("writing /usr", writes("/usr/probe")),
        ("writing /var/log", writes("/var/log/probe")),
        ("writing /etc/buzzerd", writes("/etc/buzzerd/probe")),
        ("writing kernel settings", writes("/proc/sys/kernel/hostname")),
        ("a raw socket", family(AddressFamily::INET, SocketType::RAW)),
        ("a packet socket", family(AddressFamily::PACKET, SocketType::RAW)),
        ("netlink", family(AddressFamily::NETLINK, SocketType::RAW)),
        ("a namespace", unshares),
    ];
    let got: Vec<_> = got.iter().filter(|(_, got)| *got).map(|(what, _)| *what).collect();
    ensure(got.is_empty(), || format!("it got {}", got.join(", ")))?;
    let needed = [
        ("writing the log", writes("/var/lib/buzzerd/.probe")),
        ("a TCP socket", family(AddressFamily::INET, SocketType::STREAM)),
        (
            "an input device",
            std::fs::read_dir("/dev/input").is_ok_and(|nodes| {
                nodes.flatten().any(|node| {
                    node.file_name().to_string_lossy().starts_with("event") && File::open(node.path()).is_ok()
                })
            }),
        ),
        (
            "a hub's light",
            std::fs::read_dir("/sys/class/leds").is_ok_and(|mut lights| {
                lights.any(|light| {
                    light.is_ok_and(|light| {
                        File::options().write(true).open(light.path().join("brightness")).is_ok()
                    })
                })
            }),
        ),
    ];
    let missing: Vec<_> = needed.iter().filter(|(_, has)| !*has).map(|(what, _)| *what).collect();
    let _ = std::fs::remove_file("/var/lib/buzzerd/.probe");
    ensure(missing.is_empty(), || format!("it lacks {}", missing.join(", ")))?;
    println!("the sandbox holds");
    Ok(())
}
