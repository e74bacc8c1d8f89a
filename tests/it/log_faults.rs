//! The real daemon on a kernel that fails at one call. In: `strace`, which fails or kills the k-th write, sync, open, cut or
//! rename of a session, for every k; a small file system. Out: what clients saw, and what the log
//! has. Guarantee: a session that lives through one fault ends with 0 and a whole log; nothing that was seen is ever
//! missing; after an error no descriptor is synced again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use buzzer_server::record::Fact;
use buzzer_tests::harness::client::buzz;
use buzzer_tests::{Attachment, Client, Home, left_out};

/// Presses in a session.
const PRESSES: usize = 8;
/// More calls of one kind than a session makes; the sweep ends at the first k that is never reached.
const CALLS_MAX: usize = 400;
const SYSCALLS: &str = "trace=pwrite64,fdatasync,fsync,openat,ftruncate,renameat,unlinkat,fallocate,close";

/// Plays a session; the messages that a client saw.
fn play(home: &Home, daemon: &buzzer_tests::Daemon) -> Vec<String> {
    let mut seen = Vec::new();
    let Some(mut client) = Client::try_open(daemon.address()) else { return seen };
    let Some(mut desk) = Attachment::try_open(&home.socket("desk")) else { return seen };
    for _ in 0..PRESSES {
        if !desk.try_hit(1) {
            break;
        }
        // One at a time, so that every press is a write and most of them a sync.
        while let Ok(message) = client.message() {
            let text = message.into_text().map(|text| text.as_str().to_owned()).unwrap_or_default();
            let is_buzz = text == buzz(1);
            seen.push(text);
            if is_buzz {
                break;
            }
        }
        // And durable, so that the next one is a sync of its own.
        while daemon
            .try_healthz()
            .is_some_and(|page| page["durable_seq"] != page["seq"] && page["status"] == "ok")
        {}
    }
    seen.retain(|text| *text == buzz(1));
    seen
}

/// What strace saw, and whether the fault came to pass.
fn check_trace(trace: &str, what: &str) -> bool {
    let mut failed: BTreeSet<String> = BTreeSet::new();
    // The call that a thread is in, when strace needs two lines for it.
    let mut begun: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in trace.lines() {
        // `1234  fdatasync(7) = -1 EIO (Input/output error) (INJECTED)`, or `1234  fdatasync(7 <unfinished ...>` and
        // `1234  <... fdatasync resumed>) = 0`.
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let (call, fd) = if rest.starts_with("<... ") {
            let Some(begun) = begun.remove(thread) else { continue };
            begun
        } else {
            let Some((call, arguments)) = rest.split_once('(') else { continue };
            let fd = arguments.split([',', ')', ' ']).next().unwrap_or_default();
            if matches!(call, "fdatasync" | "fsync") {
                assert!(!failed.contains(fd), "{what}: {line}: synced again after an error\n{trace}");
            }
            if call == "close" {
                failed.remove(fd);
            }
            (call.to_owned(), fd.to_owned())
        };
        if rest.ends_with("<unfinished ...>") {
            begun.insert(thread.to_owned(), (call, fd));
        } else if matches!(&*call, "fdatasync" | "fsync" | "pwrite64") && rest.contains(" = -1 ") {
            failed.insert(fd);
        }
    }
    trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL")
}

/// One session with one fault. False: its k was never reached.
fn session(syscall: &str, fault: &str, k: usize) -> bool {
    let what = format!("{syscall}:{fault}:when={k}");
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let pipe = home.path().join("trace");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let reading = thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).expect("strace's words")
    });
    let strace = format!("strace -D -f -o {} -e {SYSCALLS} -e inject={what}", pipe.display());
    let wrapper: Vec<String> = strace.split(' ').map(str::to_owned).collect();
    let (seen, ended) = match home.serve_under(&wrapper) {
        Ok(daemon) => {
            let seen = play(&home, &daemon);
            // Killed by strace it is gone by itself.
            (seen, daemon.stop_or_gone())
        }
        Err(ended) => (Vec::new(), ended),
    };
    let trace = String::from_utf8_lossy(&reading.join().expect("strace has ended")).into_owned();
    let came = check_trace(&trace, &what);
    let is_listening = ended.stderr.contains("listening: ws://");
    if fault.starts_with("error") && is_listening {
        assert_eq!(seen.len(), PRESSES, "{what}: the game goes on\n{}", ended.stderr);
        assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
        assert_eq!(home.journal().segment_presses().len(), PRESSES, "{what}: all is in the segments");
    }
    if home.journal().dir().join("lock").exists() && !home.journal().recover_quietly() {
        return came;
    }
    if home.journal().dir().exists() {
        let logged = home.journal().try_presses();
        assert!(logged >= seen.len(), "{what}: {} frames, {logged} records\n{}", seen.len(), ended.stderr);
    }
    came
}

fn sweep(syscall: &str, faults: &[&str]) {
    if Command::new("strace").arg("-V").output().is_err() {
        return left_out("the sweep over failing system calls", "strace is not installed");
    }
    for fault in faults {
        // Two at a time; which k is the last is known when it is not reached.
        let (next, last) = (AtomicUsize::new(1), AtomicUsize::new(CALLS_MAX));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let k = next.fetch_add(1, Ordering::Relaxed);
                        if k > last.load(Ordering::Relaxed) {
                            return;
                        }
                        if !session(syscall, fault, k) {
                            last.fetch_min(k, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let runs = last.load(Ordering::Relaxed);
        println!("{syscall}:{fault}: every k up to {}", runs - 1);
        assert!(runs > 1 && runs < CALLS_MAX, "{syscall} is called: {runs}");
    }
}

#[test]
fn a_write_that_fails_or_kills_costs_nothing() {
    sweep("pwrite64", &["error=EIO", "error=ENOSPC", "signal=SIGKILL"]);
}

#[test]
fn a_sync_that_fails_or_kills_costs_nothing() {
    sweep("fdatasync", &["error=EIO", "error=ENOSPC", "signal=SIGKILL"]);
    sweep("fsync", &["error=EIO", "error=ENOSPC", "signal=SIGKILL"]);
}

#[test]
fn a_name_or_a_cut_that_fails_or_kills_costs_nothing() {
    sweep("renameat", &["error=EIO", "signal=SIGKILL"]);
    sweep("ftruncate", &["error=EIO", "signal=SIGKILL"]);
    sweep("unlinkat", &["error=EIO", "signal=SIGKILL"]);
    sweep("fallocate", &["error=ENOSPC", "signal=SIGKILL"]);
}

#[test]
fn an_open_that_fails_or_kills_costs_nothing() {
    // Most of these calls come before it listens; then it refuses to start, and says why.
    sweep("openat", &["error=EIO", "signal=SIGKILL"]);
}

/// Runs a daemon whose log directory is a file system of this size; `None`: this cannot be done here.
fn serve_on_tmpfs(home: &Home, test: &str, size: &str) -> Option<buzzer_tests::Daemon> {
    let log = home.journal().dir().display().to_string();
    let script = format!("mkdir -p {log} && mount -t tmpfs -o size={size} none {log} && exec \"$0\" \"$@\"");
    let wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", &script].map(str::to_owned);
    match home.serve_under(&wrapper) {
        Ok(daemon) => Some(daemon),
        Err(ended) => {
            left_out(test, &format!("no file system of its own: {}", ended.stderr));
            None
        }
    }
}

#[test]
fn a_full_disk_stops_no_game_and_loses_nothing_that_was_acknowledged() {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let Some(mut daemon) = serve_on_tmpfs(&home, "a full disk", "20m") else { return };
    let inside = format!("/proc/{}/root{}", daemon.pid(), home.journal().dir().display());
    let mut client = daemon.client();
    let mut desk = home.attach(1);
    client.text();
    let mut press = |presses: usize| {
        for _ in 0..presses {
            desk.hit(1);
            client.expect_buzz(1);
        }
    };
    press(5);
    // Somebody fills the disk. What was set aside still takes the evening.
    let filled =
        Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={inside}/film")).output();
    assert!(!filled.expect("dd").status.success(), "the disk is full");
    press(200);
    let health = daemon.wait_healthz("durable_seq", |page| page["durable_seq"] == page["seq"]);
    assert_eq!(health["status"], "ok", "{health}");
    daemon.assert_alive();
    let records = buzzer_tests::harness::journal::records(&stream(Path::new(&inside)));
    let presses = records.iter().filter(|record| matches!(record.fact, Fact::Press { .. })).count();
    assert_eq!(presses, 205);
}

#[test]
fn a_disk_that_takes_nothing_is_said_and_when_it_takes_again_all_is_there() {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    // Not even one segment can be set aside, and then nothing fits at all.
    let Some(daemon) = serve_on_tmpfs(&home, "a disk without room", "256k") else { return };
    let inside = format!("/proc/{}/root{}", daemon.pid(), home.journal().dir().display());
    let mut client = daemon.client();
    let mut desk = home.attach(1);
    client.text();
    let film = format!("{inside}/film");
    let _ = Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={film}")).output();
    for _ in 0..1000 {
        desk.hit(1);
        client.expect_buzz(1);
    }
    let health = daemon.wait_healthz("an alarm", |page| page["status"] == "log failing");
    assert!(health["durable_seq"].as_u64() < health["seq"].as_u64(), "{health}");
    assert!(health["storage"].as_str().is_some_and(|text| text.contains("No space left")), "{health}");
    // Somebody makes room: half a megabyte more.
    let pid = daemon.pid().to_string();
    let log = home.journal().dir().display().to_string();
    let more =
        Command::new("nsenter").args(["-t", &pid, "-m", "mount", "-o", "remount,size=4m", &log]).status();
    assert!(more.expect("nsenter").success());
    let health = daemon.wait_healthz("durable again", |page| page["durable_seq"] == page["seq"]);
    assert_eq!(health["status"], "ok", "{health}");
    let records = buzzer_tests::harness::journal::records(&stream(Path::new(&inside)));
    let presses = records.iter().filter(|record| matches!(record.fact, Fact::Press { .. })).count();
    assert_eq!(presses, 1000);
    let faults = records.iter().filter(|record| matches!(record.fact, Fact::Storage { .. })).count();
    assert!((2..10).contains(&faults), "it is in the log that it failed and that it recovered: {faults}");
    drop(client);
    assert_eq!(daemon.stop().code, Some(0));
}

/// All segments that lie there.
fn stream(dir: &Path) -> Vec<u8> {
    buzzer_tests::Journal::new(dir.to_owned()).segment_bytes()
}
