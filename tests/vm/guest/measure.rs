//! Cases about `buzzerd devices --measure`: what it finds, and which devices it leaves alone.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Output};

use evdev::raw_stream::RawDevice;
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same};
use crate::presses::DESK;
use crate::uinput::{A, Button, let_pass, now_us};

const REPORTS: usize = 200;

/// A report every few ms, and a result that fits when each was really written: emulation keeps no pace.
pub(crate) fn finds_the_period() -> Outcome {
    let mut button = Button::plug("desk button")?;
    let mut daemon = Daemon::start("measure", DESK)?;
    daemon.crash()?;
    let mut child = daemon.begin(&["devices", "--json", "--measure", "desk", "--seconds", "10"])?;
    wait_for_call(&mut child)?;
    let mut writes = Vec::new();
    for n in 0..REPORTS {
        let before = now_us();
        button.send(A, i32::from(n % 2 == 0))?;
        writes.push((before, now_us()));
        let_pass(8_000)?;
    }
    let output = child.wait_with_output().why("the end of --measure")?;
    ensure(output.status.success(), || format!("--measure ended with {}: {}", output.status, said(&output)))?;
    let result: Value = serde_json::from_slice(&output.stdout).why("its line")?;
    // The stamp of a write lies within it.
    let least = writes.windows(2).map(|pair| pair[1].0 - pair[0].1).min();
    let most = writes.windows(2).map(|pair| pair[1].1 - pair[0].0).min();
    let us = |key: &str| result[key].as_i64();
    let (smallest, usual) = (us("smallest_us"), us("usual_us"));
    let fits = us("reports") == i64::try_from(REPORTS).ok()
        && least <= smallest
        && smallest <= most
        && smallest <= usual
        && result["pool"] == json!("desk");
    ensure(fits, || format!("the smallest is from {least:?} to {most:?}, but --measure says {result}"))
}

/// A device that the daemon has, grabbed or not, and one that another program has.
pub(crate) fn leaves_a_busy_device() -> Outcome {
    let button = Button::plug("desk button")?;
    let mut daemon = Daemon::start("measure-busy", DESK)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    refused(&daemon, "in use by buzzerd (pid ")?;
    daemon.crash()?;
    let mut other = RawDevice::open(button.node()).why("open")?;
    other.grab().why("grab")?;
    refused(&daemon, "in use by buzzerd (or another program): stop it first")
}

fn refused(daemon: &Daemon, why: &str) -> Outcome {
    let output = daemon.run(&["devices", "--measure", "desk", "--seconds", "1"])?;
    same("exit status", &output.status.code(), &Some(1)).map_err(|it| format!("{it}: {}", said(&output)))?;
    ensure(said(&output).contains(why), || format!("{why:?} is not in {:?}", said(&output)))
}

pub(crate) fn tells_of_an_unplug() -> Outcome {
    let button = Button::plug("desk button")?;
    let mut daemon = Daemon::start("measure-unplug", DESK)?;
    daemon.crash()?;
    let mut child = daemon.begin(&["devices", "--measure", "desk", "--seconds", "600"])?;
    wait_for_call(&mut child)?;
    drop(button);
    let mut said = String::new();
    let mut stderr = child.stderr.take().ok_or("no stderr")?;
    stderr.read_to_string(&mut said).why("stderr")?;
    same("exit status", &child.wait().why("wait")?.code(), &Some(1))?;
    ensure(said.contains("vanished while it was being measured"), || said.clone())
}

/// Until it asks for presses: from then on its reports count.
fn wait_for_call(child: &mut Child) -> Outcome {
    let stderr = child.stderr.as_mut().ok_or("no stderr")?;
    // Byte by byte, so that what follows the line stays in the pipe.
    let mut line = String::new();
    BufReader::with_capacity(1, stderr).read_line(&mut line).why("stderr")?;
    ensure(line.contains("press buttons or move the stick now"), || format!("--measure said {line:?}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
