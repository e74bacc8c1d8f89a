//! Cases about `buzzerd devices --measure-pair`: pairs that were really pressed, with offsets that are known, and what becomes
//! of the line that is told.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;

use evdev::raw_stream::RawDevice;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::daemon::{Daemon, folder};
use crate::deadline::{Outcome, Why, ensure, same};
use crate::gadget::Pad;
use crate::uinput::{A, Button, let_pass, now_us};

/// What is known of the first device; the second one is as slow, and its stamps are later.
const KNOWN_US: [i64; 2] = [5_000, 9_000];
/// The margins of the table of models.
const MARGINS_US: [i64; 2] = [1_000, 5_000];
/// The second button is pressed so long after the first.
const OFFSET_US: i64 = 6_000;
const TWO: &str = r#"
[[pool]]
id = "left"
match = { name = "left button" }
buzzers = { "1" = "KEY_A" }
delay_us = [5000, 9000]
[[pool]]
id = "right"
match = { name = "right button" }
buzzers = { "1" = "KEY_A", "2" = "KEY_B" }
"#;
/// Two buttons of one device that asks to be polled.
const ONE: &str = r#"
[[pool]]
id = "stage"
match = { name = "*vm pad" }
buzzers = { "1" = 288, "2" = 289 }
"#;

/// Two devices; it is ended by Ctrl-C, and what it told is copied into the configuration.
pub(crate) fn two_devices_get_the_second_delay() -> Outcome {
    let (mut left, mut right) = (Button::plug("left button")?, Button::plug("right button")?);
    let mut daemon = Daemon::start("pair-two", TWO)?;
    daemon.crash()?;
    let mut child = daemon.begin(&["devices", "--measure-pair", "left:1", "right:1", "--times", "1000"])?;
    let mut said = Said::of(&mut child)?;
    said.wait("give no line")?;
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    let mut strokes = 0;
    while !said.has("125 of 1000") {
        strokes += 1;
        ensure(strokes < 400, || format!("no pairs: {}", said.text))?;
        let before = now_us();
        left.press(A)?;
        let between = now_us();
        let_pass(OFFSET_US)?;
        let after = now_us();
        right.press(A)?;
        // The stamp of a write lies within it.
        (least, most) = (least.min(after - between), most.max(now_us() - before));
        let_pass(60_000)?;
        left.release(A)?;
        right.release(A)?;
        let_pass(320_000)?;
        if strokes >= 125 {
            said.read_ready()?;
        }
    }
    kill_process(Pid::from_child(&child), Signal::INT).why("SIGINT")?;
    let output = child.wait_with_output().why("the end of --measure-pair")?;
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("vm: {}", page.replace('\n', " | "));
    ensure(output.status.success(), || format!("{}: {page}{}", output.status, said.text))?;
    let line = told(&page, "write in pool \"right\"")?;
    let ends: Vec<i64> = line
        .strip_prefix("delay_us = [")
        .and_then(|rest| rest.strip_suffix(']'))
        .map(|ends| ends.split(", ").filter_map(|end| end.parse().ok()).collect())
        .unwrap_or_default();
    let [min_us, max_us] = ends[..] else { return Err(format!("no interval: {page}")) };
    // A's interval with the smallest and the greatest difference, and the margins that a configured one has not.
    let (smallest, greatest) = (min_us - KNOWN_US[0] + MARGINS_US[0], max_us - KNOWN_US[1] - MARGINS_US[1]);
    ensure(least <= smallest && smallest <= greatest && greatest <= most, || {
        format!("{smallest} to {greatest} us apart by {line}, {least} to {most} in truth\n{page}")
    })?;
    let seen = follow(&daemon, "pair-two", "right", &line)?;
    let wanted = format!("[{min_us},{max_us}]");
    same("delay_us in devices", &seen["delay_us"].to_string(), &wanted)?;
    same("its basis", &seen["delay_basis"], &"configured".into())
}

/// One device with a polling interval: a `scan_us` that its false leads do not reach.
pub(crate) fn one_device_gets_a_scan_time() -> Outcome {
    let mut pad = Pad::plug()?;
    // Somebody else who reads it: it is polled on when the command has ended, and no report waits for ever.
    let _reader = RawDevice::open(pad.node()).why("open")?;
    let mut daemon = Daemon::start("pair-one", ONE)?;
    daemon.crash()?;
    let mut child =
        daemon.begin(&["devices", "--json", "--measure-pair", "stage", "1", "2", "--times", "100"])?;
    let mut said = Said::of(&mut child)?;
    said.wait("give no line")?;
    let mut strokes = 0;
    while child.try_wait().why("wait")?.is_none() {
        strokes += 1;
        ensure(strokes < 400, || "it does not end by itself".to_owned())?;
        // In one report, or with either ahead by a report.
        if let Some(first) = [None, Some(0b01), Some(0b10), None][strokes % 4] {
            pad.report(first)?;
        }
        pad.report(0b11)?;
        let_pass(60_000)?;
        pad.report(0)?;
        let_pass(320_000)?;
    }
    let output = child.wait_with_output().why("the end of --measure-pair")?;
    ensure(output.status.success(), || format!("{}: {}", output.status, said.text))?;
    let result: Value = serde_json::from_slice(&output.stdout).why("its line")?;
    println!("vm: {result}");
    same("pairs", &result["pairs"], &100.into())?;
    let differences = result["difference_us"].as_array().ok_or("no differences")?;
    let end = |place: usize| differences.get(place).and_then(Value::as_i64).unwrap_or_default();
    let (b_ahead, a_ahead) = (-end(0), end(6));
    ensure(a_ahead > 0 && b_ahead > 0 && result["equal"].as_i64() > Some(20), || result.to_string())?;
    let line = result["line"].as_str().ok_or_else(|| format!("no line: {result}"))?.to_owned();
    let scan_us: i64 = line.strip_prefix("scan_us = ").and_then(|us| us.parse().ok()).ok_or("no scan_us")?;
    ensure(scan_us > a_ahead.max(b_ahead), || format!("{line} is less than a false lead: {result}"))?;
    same("where to write it", &result["line_entry"], &"pool \"stage\"".into())?;
    let seen = follow(&daemon, "pair-one", "stage", &line)?;
    same("scan_us in devices", &seen["scan_us"].as_i64(), &Some(scan_us))?;
    ensure(seen["poll_us"].as_i64().is_some(), || seen.to_string())
}

/// The line below the one that says where to write it, as it is printed.
fn told(page: &str, place: &str) -> Outcome<String> {
    let mut lines = page.lines().skip_while(|line| !line.contains(place));
    lines.nth(1).map(|line| line.trim().to_owned()).ok_or_else(|| format!("no line for {place:?}: {page}"))
}

/// Writes the line into the pool and asks `check` and `devices`; gives what the latter says of the pool's device.
fn follow(daemon: &Daemon, name: &str, pool: &str, line: &str) -> Outcome<Value> {
    let file = folder(name).join("buzzerd.toml");
    let config = fs::read_to_string(&file).why("configuration")?;
    let id = format!("id = \"{pool}\"\n");
    fs::write(&file, config.replace(&id, &format!("{id}{line}\n"))).why("configuration")?;
    let check = daemon.run(&["check"])?;
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    ensure(check.status.success(), || format!("`check` refuses {line}: {said}"))?;
    let output = daemon.run(&["devices", "--json"])?;
    let rows = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rows = rows.lines().filter_map(|row| serde_json::from_str::<Value>(row).ok());
    rows.find(|row| row["pool"] == pool).ok_or_else(|| format!("pool {pool} has no device now"))
}

/// What the command says on stderr, line by line.
struct Said {
    lines: BufReader<std::process::ChildStderr>,
    text: String,
}

impl Said {
    fn of(child: &mut Child) -> Outcome<Self> {
        let stderr = child.stderr.take().ok_or("no stderr")?;
        Ok(Self { lines: BufReader::new(stderr), text: String::new() })
    }

    fn has(&self, part: &str) -> bool {
        self.text.contains(part)
    }

    /// Until it says this.
    fn wait(&mut self, part: &str) -> Outcome {
        while !self.has(part) {
            let read = self.lines.read_line(&mut self.text).why("stderr")?;
            ensure(read > 0, || format!("it ended without {part:?}: {}", self.text))?;
        }
        Ok(())
    }

    /// What is there now.
    fn read_ready(&mut self) -> Outcome {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let is_ready = |lines: &BufReader<_>| {
            let mut fds = [PollFd::new(lines.get_ref(), PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
        };
        while is_ready(&self.lines) {
            let mut bytes = [0; 4096];
            let read = self.lines.get_mut().read(&mut bytes).why("stderr")?;
            ensure(read > 0, || format!("it ended: {}", self.text))?;
            self.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        Ok(())
    }
}
