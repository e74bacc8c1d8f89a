//! What is pressed while no daemon runs: systemd keeps the open devices, the kernel goes on queueing.
//!
//! Enters presses on two hubs between a kill and the next start; leaves what the log says of them. Guarantee: the next start waits
//! long enough for all of them.

use std::fs;
use std::time::Duration;

use buzzer_core::io::sys::now;
use serde_json::Value;

use crate::client::Client;
use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::machine::{HERE, LOG, healthz, pid, run, up};
use crate::outage::kill_now;
use crate::play::hub;
use crate::uhid::{Hid, RED};

const SLOW: &str = "/run/systemd/system/buzzerd.service.d/slow.conf";

/// Both hubs, pressed in turn while nobody is there. Gives the time before each press, and the records that followed.
fn pressed_meanwhile(times: u8, with_other: bool) -> Outcome<(Vec<u64>, Vec<Value>)> {
    let stage = hub()?;
    let mut other = Hid::plug_buzz_at(2, 0x0002)?;
    let mut client = Client::connect(HERE)?;
    for pool in ["stage", "other"] {
        until(pool, || (client.ask_connect(pool).ok()?["result"] == "connect").then_some(()))?;
    }
    let before = settled()?["seq"].as_u64().unwrap_or_default();
    fs::create_dir_all("/run/systemd/system/buzzerd.service.d").why(SLOW)?;
    fs::write(SLOW, "[Service]\nRestartSec=15s\n").why(SLOW)?;
    run("systemctl daemon-reload")?;
    kill_now(pid()?)?;
    let mut pressed = Vec::new();
    for handset in (0..times).map(|time| time % 4) {
        pressed.push(now().as_us());
        stage.press(handset + 1)?;
        stage.release()?;
        if with_other {
            pressed.push(now().as_us());
            other.buzz_report(&[(handset, RED)])?;
            other.buzz_report(&[])?;
        }
        #[allow(clippy::disallowed_methods, reason = "a finger's pace: faster ones would be bounce")]
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::remove_file(SLOW).why(SLOW)?;
    up()?;
    run("systemctl daemon-reload")?;
    settled()?;
    let lines = run(&format!("cat {LOG}/*.jsonl"))?;
    let records = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok((pressed, records.filter(|record| record["seq"].as_u64() > Some(before)).collect()))
}

/// `/healthz`, when all that was told is on the disk.
fn settled() -> Outcome<Value> {
    until("the log on the disk", || healthz().filter(|said| said["seq"] == said["durable_seq"]))
}

/// Twelve on each of two devices: all there, in turn, with the kernel's own time.
pub(crate) fn presses_during_a_restart_are_told() -> Outcome {
    let (pressed, records) = pressed_meanwhile(12, true)?;
    let kept: Vec<&Value> = records
        .iter()
        .filter(|record| record["kind"] == "press" && record.to_string().contains("during_restart"))
        .collect();
    let shown = || records.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    same("presses", &kept.len(), &pressed.len()).map_err(|why| format!("{why}\n{}", shown()))?;
    for (nth, (record, at_us)) in kept.iter().zip(&pressed).enumerate() {
        let next = pressed.get(nth + 1).copied().unwrap_or(u64::MAX);
        let stamp = record["at_us"].as_u64().unwrap_or_default();
        ensure((*at_us..=next).contains(&stamp), || format!("press {nth} was made at {at_us}: {record}"))?;
        let pool = ["stage", "other"][nth % 2];
        same("its pool", &record["pool"].as_str(), &Some(pool))?;
        same("its buzzer", &record["buzzer"].as_u64(), &Some((nth as u64 / 2) % 4 + 1))?;
    }
    Ok(())
}

/// More than the kernel keeps: what is lost has a record.
pub(crate) fn too_many_presses_leave_a_gap() -> Outcome {
    let (_, records) = pressed_meanwhile(40, false)?;
    ensure(records.iter().any(|record| record["kind"] == "gap"), || {
        records.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
    })
}
