//! What goes wrong on such an evening: the process dies, hangs, has no memory, no valid configuration, no power.
//!
//! Enters each of them; leaves how long nobody was there, and whether a client was refused meanwhile. Guarantee: the port is tried
//! all the time, every few milliseconds, by a thread of its own.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::CUT;
use crate::client::Client;
use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::machine::{CONFIG, HERE, LOG, configure, healthz, pid, property, run, try_run, up};
use crate::play::hub;

/// The bound of the service's memory.
const MEMORY: &str = "/sys/fs/cgroup/system.slice/buzzerd.service/memory.max";
/// How long nobody may be there. A hang is known after WatchdogSec=, and SIGABRT has a second.
const GATE: Duration = Duration::from_secs(10);

/// Counts who is refused.
#[derive(Debug)]
struct Door {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<(u32, u32)>,
}

impl Door {
    fn watch() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let (mut tried, mut refused) = (0, 0);
            while !flag.load(Ordering::Acquire) {
                tried += 1;
                refused += u32::from(
                    TcpStream::connect(HERE).is_err_and(|why| why.kind() == ErrorKind::ConnectionRefused),
                );
                #[allow(clippy::disallowed_methods, reason = "the pace of those who come")]
                std::thread::sleep(Duration::from_millis(50));
            }
            (tried, refused)
        });
        Self { ends, thread }
    }

    fn end(self) -> Outcome<(u32, u32)> {
        self.ends.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "the thread at the door".to_owned())
    }
}

/// Strikes, and waits for an answer: the port's queue keeps the question for the next process.
fn recovers_from(what: &str, strike: impl FnOnce(u32) -> Outcome) -> Outcome {
    let before = pid()?;
    let door = Door::watch();
    #[allow(clippy::disallowed_methods, reason = "a report, no kernel time")]
    let struck = Instant::now();
    strike(before)?;
    up()?;
    let took = struck.elapsed();
    let (tried, refused) = door.end()?;
    println!("boot: {what}: back after {} ms, {refused} of {tried} connections refused", took.as_millis());
    ensure(pid()? != before, || "it is still the same process".to_owned())?;
    same("refused connections", &refused, &0)?;
    ensure(took < GATE, || format!("it took {} ms", took.as_millis()))?;
    press_is_told()
}

/// A client on this machine is told of a press.
pub(crate) fn press_is_told() -> Outcome {
    let hub = hub()?;
    // A client of its own for each question, so that no answer to an earlier one is taken for the press.
    let mut client = until("the pool", || {
        let mut client = Client::connect(HERE).ok()?;
        (client.ask_connect("stage").ok()?["result"] == "connect").then_some(client)
    })?;
    hub.press(1)?;
    let told = client.next()?;
    hub.release()?;
    same("the press", &told, &json!({"event": "buzz", "pool": "stage", "buzzer": 1}))
}

pub(crate) fn recovers_from_a_kill() -> Outcome {
    recovers_from("kill -9", kill_now)
}

/// The kernel kills it for its memory; then it may have as much as before.
pub(crate) fn recovers_from_no_memory() -> Outcome {
    recovers_from("out of memory", |_| {
        // The kernel kills until it fits; what it answers when nothing is left to kill is of no interest.
        let _ = fs::write(MEMORY, "1M");
        let _ = fs::write(MEMORY, "256M");
        Ok(())
    })?;
    ensure(run("journalctl -q -b -o cat -u buzzerd.service")?.contains("oom"), || {
        "no word of memory".to_owned()
    })
}

/// Stopped, it feeds no watchdog.
pub(crate) fn recovers_from_a_hang() -> Outcome {
    recovers_from("hang", |pid| kill(pid, Signal::STOP))
}

/// `kill -9`.
pub(crate) fn kill_now(pid: u32) -> Outcome {
    kill(pid, Signal::KILL)
}

fn kill(pid: u32, signal: Signal) -> Outcome {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("a process")?;
    kill_process(pid, signal).why("kill")
}

/// It is not started again and again for what does not change, and says what is wrong; the next right one starts.
pub(crate) fn wrong_configuration_stays_down() -> Outcome {
    let right = fs::read_to_string(CONFIG).why(CONFIG)?;
    fs::write(CONFIG, "[server]\nlisten = 7\n").why(CONFIG)?;
    let (started, _) = try_run("systemctl restart buzzerd.service")?;
    ensure(!started, || "it starts".to_owned())?;
    same("its state", &property("ActiveState")?.as_str(), &"failed")?;
    same("its exit code", &property("ExecMainStatus")?.as_str(), &"2")?;
    ensure(crate::machine::last_words().contains("buzzerd.toml:2"), crate::machine::last_words)?;
    configure(&right)?;
    press_is_told()
}

/// The machine goes in the middle of a press. What was durable before is written down.
pub(crate) fn power_is_cut() -> Outcome {
    press_is_told()?;
    let durable = until("a durable press", || {
        let said = healthz()?;
        let (seq, durable) = (said["seq"].as_u64()?, said["durable_seq"].as_u64()?);
        (durable == seq).then_some(durable)
    })?;
    fs::write(CUT, durable.to_string()).why(CUT)?;
    run("sync")?;
    let mut client = Client::connect(HERE)?;
    client.ask_connect("stage")?;
    hub()?.press(4)?;
    client.next()?;
    println!("boot: cut the power");
    until("the end", || None)
}

/// The next boot has it running by itself; the log is whole and goes on behind what was durable.
pub(crate) fn power_cut_lost_nothing_durable() -> Outcome {
    let said = up()?;
    let durable: u64 = fs::read_to_string(CUT).why(CUT)?.parse().why(CUT)?;
    let seq = said["seq"].as_u64().unwrap_or_default();
    println!("boot: durable before the cut: {durable}; now: {seq}");
    ensure(seq > durable, || format!("{durable} was durable, {seq} is the last"))?;
    run(&format!("buzzerd log verify {LOG}"))?;
    let kept: Vec<Value> = run(&format!("cat {LOG}/*.jsonl"))?
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    ensure(kept.iter().any(|record| record["seq"] == durable), || format!("record {durable} is gone"))?;
    press_is_told()
}
