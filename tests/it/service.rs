//! The daemon as a service manager sees it. In: a listening socket, a watchdog, a umask, a replaced program and a disk that takes
//! nothing, as systemd, a package and a box would bring them. Out: what the daemon does with each. Guarantee: the tests play systemd's part by its protocol
//! (sd_listen_fds(3), sd_notify(3)); no systemd is needed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use buzzer_core::io::sys;
use buzzer_core::time::Micros;
use buzzer_tests::harness::client::connected;
use buzzer_tests::harness::daemon::binary;
use buzzer_tests::{Client, Daemon, Home, PATIENCE, left_out};
use serde_json::json;

/// The daemon with this descriptor handed over under this name.
fn hand_over(home: &mut Home, fd: impl Into<OwnedFd>, name: &str) -> Command {
    let script = format!(
        "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}; \
         export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; exec \"$@\""
    );
    home.set_wrapper(&["sh", "-c", &script, "sh"]);
    let mut command = home.command(&["serve"]);
    command.stdin(Stdio::from(fd.into()));
    command
}

fn mode(path: &Path) -> u32 {
    let found = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    found.permissions().mode() & 0o7777
}

#[test]
fn the_group_may_read_the_log_and_attach_whatever_the_umask() {
    for umask in ["077", "000"] {
        let mut home = Home::desk("autoconnect = true");
        home.set_wrapper(&["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
        let daemon = home.serve();
        home.journal().wait_checkpoints(1);
        let (log, runtime) = (home.journal().dir().to_owned(), home.journal().runtime());
        assert_eq!(mode(&home.socket("desk")), 0o660, "umask {umask}");
        for dir in [&log, &log.join("checkpoints"), &runtime] {
            assert_eq!(mode(dir), 0o750, "umask {umask}: {}", dir.display());
        }
        let files =
            |dir: &Path| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        let mut seen = 0;
        for file in [&log, &log.join("checkpoints"), &runtime].into_iter().flat_map(|dir| files(dir)) {
            let want = if file.ends_with("key") { 0o600 } else { 0o640 };
            if file.is_file() {
                seen += 1;
                assert_eq!(mode(&file), want, "umask {umask}: {}", file.display());
            }
        }
        // Lock, segment, key, public key, signers, a checkpoint and its signature, the journal.
        assert!(seen >= 8, "{seen}");
        drop(daemon);
    }
}

#[test]
fn a_socket_unit_keeps_the_port_open_over_a_crash() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    // The same in both, as it should be.
    let config = format!(
        "[server]\nlisten = [\"{address}\"]\n[log]\ndir = \"$DIR/log\"\n[[pool]]\nid = \"desk\"\n\
         socket = \"$DIR/desk.sock\"\ndebounce_us = 0\n"
    );
    let mut home = Home::with_config(&config);
    let daemon = Daemon::spawn(hand_over(&mut home, port.try_clone().unwrap(), "ws"));
    assert_eq!(daemon.address(), address);
    let mut client = daemon.desk();
    let mut desk = home.attach(1);
    client.expect(&connected(1));
    desk.hit(1);
    client.expect_buzz(1);
    let ended = daemon.kill();
    assert!(!ended.stderr.contains("socket unit"), "both are the same: {}", ended.stderr);
    // Nobody accepts, and nobody is refused.
    let waiting = std::net::TcpStream::connect(address).expect("the kernel takes it");
    let daemon = Daemon::spawn(hand_over(&mut home, port.try_clone().unwrap(), "ws"));
    let mut client = Client::over(waiting).expect("it is taken up");
    let mut desk = home.attach(1);
    client.expect(&connected(1));
    desk.hit(1);
    client.expect_buzz(1);
    assert_eq!(daemon.stop().code, Some(0));
    drop(std::net::TcpStream::connect(address).expect("the socket unit has it still"));
}

#[test]
fn the_socket_unit_holds_against_the_configuration_and_what_is_no_socket_is_closed() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = port.local_addr().unwrap();
    let mut home = Home::desk("");
    let daemon = Daemon::spawn(hand_over(&mut home, port, "buzzerd.socket"));
    assert_eq!(daemon.address(), address);
    assert_eq!(daemon.client().ask(r#"{"list":"pools"}"#), r#"{"response":"pools","pools":["desk"]}"#);
    let said = daemon.stop().stderr;
    let want = format!(
        "the socket unit of systemd has {address}, server.listen has 127.0.0.1:0: the socket unit holds"
    );
    assert!(said.contains(&want), "{said}");
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut daemon = Daemon::spawn(hand_over(&mut home, datagrams, "ws"));
    daemon.assert_alive();
    let said = daemon.stop().stderr;
    assert!(said.contains("handed over \"ws\", which is no TCP socket that listens: it is closed"), "{said}");
}

/// systemd's part: a socket for notices, and a watchdog that bites after this.
const WATCHDOG: Duration = Duration::from_millis(600);

#[test]
fn the_watchdog_is_fed_while_the_reader_runs_and_not_when_it_stands() {
    let home = Home::desk("");
    let path = home.path().join("notify.sock");
    let notices = UnixDatagram::bind(&path).unwrap();
    let mut command = home.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    let daemon = Daemon::spawn(command);
    notices.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || -> Option<String> {
        let mut bytes = [0; 256];
        let read = notices.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..read].to_vec()).unwrap())
    };
    assert_eq!(next().as_deref(), Some("READY=1\n"));
    // Nobody does anything, and it goes on.
    for _ in 0..4 {
        assert_eq!(next().as_deref(), Some("WATCHDOG=1\n"));
    }
    let reader = thread(daemon.pid(), "reader");
    let Some(mut strace) =
        hold("the_watchdog_is_fed_while_the_reader_runs_and_not_when_it_stands", &reader, "epoll_wait")
    else {
        return;
    };
    notices.set_read_timeout(Some(WATCHDOG)).unwrap();
    let patience = sys::now() + Micros::from_us(PATIENCE.as_micros() as u64);
    let mut bites = false;
    while !bites && sys::now() < patience {
        bites = {
            let mut bytes = [0; 256];
            notices.recv(&mut bytes).is_err()
        };
    }
    let health = daemon.try_healthz();
    let _ = strace.kill();
    let _ = strace.wait();
    assert!(bites, "it is fed though the reader stands");
    assert_eq!(health.expect("the server goes on")["status"], "ok");
}

#[test]
fn a_disk_that_hangs_starves_no_watchdog_and_ends_no_match() {
    let home = Home::desk("debounce_us = 0");
    let path = home.path().join("notify.sock");
    let notices = UnixDatagram::bind(&path).unwrap();
    notices.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = home.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    let daemon = Daemon::spawn(command);
    let mut client = daemon.desk();
    let mut desk = home.attach(1);
    client.expect(&connected(1));
    let writer = thread(daemon.pid(), "writer");
    let Some(mut strace) =
        hold("a_disk_that_hangs_starves_no_watchdog_and_ends_no_match", &writer, "fdatasync")
    else {
        return;
    };
    desk.hit(1);
    client.expect_buzz(1);
    let mut bytes = [0; 256];
    for _ in 0..8 {
        notices.recv(&mut bytes).expect("the watchdog is fed");
    }
    desk.hit(1);
    client.expect_buzz(1);
    let health = daemon.try_healthz().expect("a page");
    assert!(health["durable_seq"].as_u64() < health["seq"].as_u64(), "{health}");
    let _ = strace.kill();
    let _ = strace.wait();
}

/// Has one thread stand still in its next call of this kind; the others go on. `None`: this account may not, which was said.
fn hold(test: &str, thread: &str, call: &str) -> Option<Child> {
    let strace = Command::new("strace")
        .args(["-p", thread, "-e", &format!("trace={call}"), "-e"])
        .arg(format!("inject={call}:delay_enter=100000000"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut strace) = strace else {
        left_out(test, "strace is not installed");
        return None;
    };
    let mut line = String::new();
    BufReader::new(strace.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    if !line.contains("attached") {
        let _ = strace.wait();
        left_out(test, "strace may not look at another process");
        return None;
    }
    Some(strace)
}

/// The id of a process's thread of this name.
fn thread(pid: u32, name: &str) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
    let is_it = |task: &std::path::PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let task = tasks.into_iter().find(is_it).expect("the thread");
    task.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_replaced_program_is_a_pending_restart() {
    let home = Home::desk("");
    let program = home.path().join("buzzerd");
    fs::copy(binary(), &program).unwrap();
    let serve = home.command(&["serve"]);
    let mut command = Command::new(&program);
    command.args(serve.get_args()).env("RUNTIME_DIRECTORY", home.path().join("run"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let daemon = Daemon::spawn(command);
    let pending = || daemon.try_healthz().expect("a page")["restart_pending"].clone();
    assert_eq!(pending(), json!(false));
    // As dpkg does: the new file takes the name.
    let new = home.path().join("buzzerd.dpkg-new");
    fs::copy(binary(), &new).unwrap();
    fs::rename(&new, &program).unwrap();
    assert_eq!(pending(), json!(true));
    // With nothing in its place there is nothing to restart into.
    fs::remove_file(&program).unwrap();
    assert_eq!(pending(), json!(false));
    fs::copy(binary(), &program).unwrap();
    let config = fs::read_to_string(home.config()).unwrap();
    fs::write(home.config(), config.replace("127.0.0.1:0", &daemon.address().to_string())).unwrap();
    let doctor = home.command(&["doctor", "--json"]).stdout(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    let line = said.lines().find(|line| line.contains("restart pending")).unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.contains("another version is installed than the one that runs") && line.contains("restart"),
        "{line}"
    );
}

/// What a daemon says whose log directory lies on a file system that was made like this.
fn said_on(mount: &str) -> Option<String> {
    let test = "a_disk_that_takes_nothing_is_named_with_its_cure";
    let mut home = Home::desk("");
    let log = home.path().join("disk");
    fs::create_dir(&log).unwrap();
    let config = fs::read_to_string(home.config()).unwrap().replace("/log\"", "/disk/log\"");
    fs::write(home.config(), config).unwrap();
    let script = format!("cd {} && {mount} && exec \"$@\"", home.path().display());
    home.set_wrapper(&["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"]);
    let allowed = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        left_out(test, "a private mount namespace needs root and `unshare`");
        return None;
    }
    let ended = home.refused();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    Some(ended.stderr)
}

#[test]
fn a_disk_that_takes_nothing_is_named_with_its_cure() {
    let read_only = "mount -t tmpfs -o ro none disk";
    let full = "mount -t tmpfs -o size=8k none disk && mkdir disk/log && dd if=/dev/zero of=disk/x bs=4k 2>/dev/null; true";
    for (mount, cure) in [
        (
            read_only,
            "Read-only file system: $DISK cannot be written to; mount it read-write, or name another place",
        ),
        (full, "No space left on device: make room where $DISK"),
    ] {
        let Some(said) = said_on(mount) else { return };
        let line = said.lines().last().unwrap_or_default();
        let (before, after) = cure.split_once("$DISK").unwrap();
        assert!(line.contains(before) && line.contains("/disk") && line.contains(after.trim_end()), "{said}");
    }
}

#[test]
fn without_a_runtime_directory_it_plays_and_says_what_that_means() {
    let home = Home::desk("debounce_us = 0");
    let mut command = home.command(&["serve"]);
    command.env_remove("RUNTIME_DIRECTORY").env_remove("XDG_RUNTIME_DIR");
    let daemon = Daemon::spawn(command);
    let mut client = daemon.desk();
    let mut desk = home.attach(1);
    client.expect(&connected(1));
    desk.hit(1);
    client.expect_buzz(1);
    client.close();
    let said = daemon.stop().stderr;
    assert_eq!(said.matches("no runtime directory: the journal is in").count(), 1, "{said}");
}
