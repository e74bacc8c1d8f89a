//! What a daemon says on stderr, and what stderr may do to it. In: terminals, pipes and disks that take nothing, peers that make
//! it speak without end. Out: games that go on. Guarantee: a daemon that stderr stops or ends fails here.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use buzzer_core::quote::is_escaped;
use buzzer_server::record::Fact;
use buzzer_tests::harness::client::connected;
use buzzer_tests::{Daemon, Home};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Action, tcflow};

/// A refused handshake, which is a warning, with so many bytes of origin.
fn refuse(daemon: &Daemon, origin: &str) {
    let mut raw = daemon.raw();
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    raw.send(
        format!("{head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\r\n").as_bytes(),
    );
    let answer = raw.rest();
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
}

/// The whole of a game: warnings, a connect, presses, the end.
fn play(home: &Home, daemon: Daemon, what: &str) {
    let mut client = daemon.desk();
    let mut desk = home.attach(1);
    client.expect(&connected(1));
    for round in 0..20 {
        refuse(&daemon, &format!("http://evil{round}.example"));
        desk.hit(1);
        client.expect_buzz(1);
    }
    client.close();
    assert_eq!(daemon.stop().code, Some(0), "{what}");
    let last = home.journal().records().pop();
    assert!(matches!(last, Some(record) if matches!(record.fact, Fact::Stop {})), "{what}");
}

/// A pipe that nobody reads, full: its two ends.
fn stuck_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("a small one");
    rustix::io::ioctl_fionbio(&writer, true).expect("it does not block");
    while rustix::io::write(&writer, &[b'.'; 512]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("it blocks");
    (reader, writer)
}

/// A terminal: the end of who looks at it, and the end of programs.
fn terminal() -> (OwnedFd, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is unlocked");
    let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("text");
    let slave = rustix::fs::open(
        name,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY,
        rustix::fs::Mode::empty(),
    );
    (master, slave.expect("it opens").into())
}

#[test]
fn a_full_disk_costs_lines_and_no_game() {
    let home = Home::desk("debounce_us = 0");
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    play(&home, home.serve_saying_to(full), "/dev/full");
}

#[test]
fn a_closed_stderr_costs_lines_and_no_game() {
    let home = Home::desk("debounce_us = 0");
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    drop(reader);
    play(&home, home.serve_saying_to(writer), "a pipe whose reader is gone");
    let mut home = Home::desk("debounce_us = 0");
    home.set_wrapper(&["sh", "-c", "exec \"$0\" \"$@\" 2>&- >&-"]);
    play(&home, home.serve_saying_to(Stdio::null()), "closed descriptors");
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_and_no_game() {
    let home = Home::desk("debounce_us = 0");
    let (_reader, writer) = stuck_pipe();
    play(&home, home.serve_saying_to(writer), "a full pipe");
}

#[test]
fn a_terminal_that_was_stopped_or_hung_up_costs_lines_and_no_game() {
    let home = Home::desk("debounce_us = 0");
    let (_master, slave) = terminal();
    tcflow(&slave, Action::OOff).expect("Ctrl-S");
    play(&home, home.serve_saying_to(slave), "a stopped terminal");
    let home = Home::desk("debounce_us = 0");
    let (master, slave) = terminal();
    let daemon = home.serve_saying_to(slave);
    drop(master);
    play(&home, daemon, "a terminal that hung up");
}

/// More pools than lines that wait, each said at start, to a pipe that is read only when the game is over.
#[test]
fn what_did_not_fit_is_counted_when_it_goes_on() {
    const POOLS: usize = 1300;
    let pools: String =
        (0..POOLS).map(|n| format!("[[pool]]\nid = \"p{n}\"\nsocket = \"$DIR/{n}\"\n")).collect();
    let home =
        Home::new(&format!("[[pool]]\nid = \"desk\"\nsocket = \"$DIR/desk.sock\"\ndebounce_us = 0\n{pools}"));
    let (reader, writer) = stuck_pipe();
    let daemon = home.serve_saying_to(writer);
    let mut client = daemon.desk();
    let mut desk = home.attach(1);
    client.expect(&connected(1));
    desk.hit(1);
    client.expect_buzz(1);
    let mut said = Vec::new();
    let mut pipe = File::from(reader);
    let mut piece = [0; 4096];
    while !said.ends_with(b"left out\n") {
        let count = pipe.read(&mut piece).expect("it is read");
        assert!(count > 0, "{}", String::from_utf8_lossy(&said));
        said.extend(&piece[..count]);
    }
    let said = String::from_utf8(said).expect("text");
    let (_, last) = said.trim_end().rsplit_once('\n').expect("lines");
    let count: usize =
        last.strip_prefix("buzzerd: ").and_then(|it| it.split(' ').next()?.parse().ok()).expect(last);
    let lines = said.matches("virtual, attach at").count();
    assert!(lines > 1000, "{lines}");
    assert!((POOLS + 1..POOLS + 4).contains(&(lines + count)), "{lines} said, {count} left out");
    drop(pipe);
    client.close();
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_flood_of_refused_pages_is_a_line_a_second_and_shows_no_raw_character() {
    let home = Home::desk("");
    let mut daemon = home.serve();
    let origin = format!("http://\u{202e}\u{9b}31m{}", "x".repeat(5000));
    let began = buzzer_core::io::sys::now();
    for n in 0..400 {
        refuse(&daemon, &origin);
        refuse(&daemon, &format!("http://evil{n}.example"));
    }
    // The sum comes though nobody makes it speak again.
    let sum = daemon.wait_said("more like it");
    let seconds = buzzer_core::io::sys::now().since(began).as_us() / 1_000_000;
    let ended = daemon.stop();
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("warning: ")).collect();
    assert!(lines.len() as u64 <= seconds + 4, "{} lines in {seconds} s", lines.len());
    assert!(!ended.stderr.lines().any(|line| line.contains(is_escaped)), "{}", ended.stderr);
    assert!(sum.len() < 8192, "{} bytes", sum.len());
}

#[test]
fn priorities_are_for_the_journal_alone() {
    let home = Home::new("");
    let path = home.path().join("stderr");
    let stat = File::create(&path).and_then(|file| file.metadata()).expect("a file");
    for (inode, want) in [(stat.ino(), "<3>"), (stat.ino() + 1, "buzzerd: ")] {
        let stderr = File::create(&path).expect("empty");
        let mut command = home.command(&["log", "verify", "/nonexistent"]);
        command.stderr(stderr).env("JOURNAL_STREAM", format!("{}:{inode}", stat.dev()));
        assert_eq!(command.status().expect("it runs").code(), Some(2));
        let said = std::fs::read_to_string(&path).expect("text");
        assert!(said.starts_with(want), "{want}: {said}");
    }
}

#[test]
fn a_level_that_is_none_is_said() {
    let home = Home::new("");
    for (level, want) in [("loud\u{202e}", "\"loud\\u{202e}\""), ("warn", ""), ("off", "")] {
        let output = home.command(&["--version"]).env("BUZZERD_LOG", level).output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!((said.is_empty(), said.contains(want)), (want.is_empty(), true), "{level}: {said}");
    }
}

/// Escape sequences and lines of their own, from a file whose name is as bad.
#[test]
fn a_final_error_is_one_line() {
    let home = Home::new("");
    let path = home.path().join("a\n<0>b\u{202e}\x1b[2J");
    let mut file = File::create(&path).expect("a file");
    file.write_all(b"[server]\nlsten = 1\n").expect("it is written");
    let output = home.command(&[]).arg("serve").arg("--config").arg(&path).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    drop(file);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!said.trim_end().contains(is_escaped), "{said:?}");
}
