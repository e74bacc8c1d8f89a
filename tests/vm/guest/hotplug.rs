//! Cases about devices that come, go, look alike or may not be opened, and about a daemon that does so.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::presses::DESK;
use crate::records;
use crate::uhid::{Hid, RED};
use crate::uinput::{A, B, Button};

pub(crate) const STAGE: &str =
    "[[pool]]\nid = \"stage\"\nmatch = { vendor = \"054c\", product = \"1000\" }\n";

pub(crate) fn unplug_and_replug() -> Outcome {
    let daemon = Daemon::start("replug", DESK)?;
    let mut client = daemon.client()?;
    same("pools without hardware", &client.pools()?, &json!([]))?;
    let mut button = plug_until_available(&mut client)?;
    client.connect_pool("desk", &[1, 2])?;
    for _ in 0..3 {
        button.press(A)?;
        client.expect_buzz("desk", 1)?;
        drop(button);
        client.expect_disconnected("desk", None)?;
        same("pools without hardware", &client.pools()?, &json!([]))?;
        button = Button::plug("desk button")?;
        client.expect_connected("desk", &[1, 2])?;
    }
    button.press(B)?;
    client.expect_buzz("desk", 2)?;
    daemon.stop().map(drop)
}

fn plug_until_available(client: &mut crate::client::Client) -> Outcome<Button> {
    let button = Button::plug("desk button")?;
    until("the pool in list pools", || (client.pools().ok()? == json!(["desk"])).then_some(()))?;
    Ok(button)
}

pub(crate) fn hub_unplug_and_replug() -> Outcome {
    let hub = Hid::plug_buzz(0x1000)?;
    let daemon = Daemon::start("hub-replug", STAGE)?;
    let mut client = daemon.client()?;
    client.connect_pool("stage", &[1, 2, 3, 4])?;
    drop(hub);
    client.expect_disconnected("stage", None)?;
    let mut hub = Hid::plug_buzz(0x1000)?;
    client.expect_connected("stage", &[1, 2, 3, 4])?;
    hub.buzz_report(&[(2, RED)])?;
    client.expect_buzz("stage", 3)?;
    daemon.stop().map(drop)
}

/// The kernel throws away what was not read before an unplug: the log must say that something may be missing.
pub(crate) fn unplug_with_unread_press_is_told() -> Outcome {
    let mut button = Button::plug("desk button")?;
    let daemon = Daemon::start("unread", DESK)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    daemon.freeze()?;
    button.press(A)?;
    drop(button);
    daemon.thaw()?;
    client.expect_disconnected("desk", None)?;
    let records = daemon.stop()?;
    same("presses in the log", &records::presses(&records).len(), &0)?;
    ensure(records::tells_uncertain_unplug(&records), || format!("not told: {}", records::kinds(&records)))
}

/// A pool of two devices loses one, then the other.
pub(crate) fn pool_loses_its_devices_singly() -> Outcome {
    let config = r#"
[[pool]]
id = "desk"
device = [
    { match = { name = "left button" }, buzzers = { "1" = "KEY_A" } },
    { match = { name = "right button" }, buzzers = { "2" = "KEY_A" } },
]
"#;
    let left = Button::plug("left button")?;
    let right = Button::plug("right button")?;
    let daemon = Daemon::start("singly", config)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    drop(left);
    client.expect_disconnected("desk", Some(1))?;
    let mut left = Button::plug("left button")?;
    client.expect_connected("desk", &[1])?;
    left.press(A)?;
    client.expect_buzz("desk", 1)?;
    drop(left);
    client.expect_disconnected("desk", Some(1))?;
    drop(right);
    client.expect_disconnected("desk", None)?;
    daemon.stop().map(drop)
}

/// A user who may not open the node is told what to do; when he may, it works without a restart.
pub(crate) fn forbidden_device_names_the_cure() -> Outcome {
    let mut button = Button::plug("desk button")?;
    set_permissions(button.node(), Permissions::from_mode(0o000)).why("chmod")?;
    let daemon = Daemon::start_as_stranger("forbidden", DESK)?;
    let mut client = daemon.client()?;
    let answer = client.ask_connect("desk")?;
    let message = answer["message"].as_str().unwrap_or_default();
    same("answer", &answer, &json!({"error": "connect", "message": message, "cause": null}))?;
    let names_cure = ["permission", "group", "udev"].iter().any(|word| message.to_lowercase().contains(word));
    ensure(names_cure, || format!("the message names no cure: {message:?}"))?;
    set_permissions(button.node(), Permissions::from_mode(0o666)).why("chmod")?;
    until("a connect after chmod", || {
        client.ask_connect("desk").ok().filter(|answer| answer["result"] == "connect")
    })?;
    button.press(A)?;
    client.expect_buzz("desk", 1)?;
    daemon.stop().map(drop)
}

pub(crate) fn devices_are_listed_while_open() -> Outcome {
    let _button = Button::plug("desk button")?;
    let _hub = Hid::plug_buzz(0x1000)?;
    let daemon = Daemon::start("devices", &format!("{DESK}{STAGE}"))?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    client.connect_pool("stage", &[1, 2, 3, 4])?;
    let listed = devices(&daemon)?;
    for name in ["desk button", "Buzz 1000"] {
        ensure(listed.iter().any(|device| device["name"] == name), || {
            format!("{name} is not in {listed:?}")
        })?;
    }
    daemon.stop().map(drop)
}

/// What `buzzerd devices --json` says, one object a device.
pub(crate) fn devices(daemon: &Daemon) -> Outcome<Vec<Value>> {
    let output = daemon.run(&["devices", "--json"])?;
    let errors = || format!("devices: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    ensure(output.status.success(), errors)?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).why(line)).collect()
}

/// Two devices that nothing tells apart: one counts, the other is not opened, and `devices` says why.
pub(crate) fn twins_are_ambiguous() -> Outcome {
    let mut twins = [Button::plug("desk button")?, Button::plug("desk button")?];
    let daemon = Daemon::start("twins", DESK)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    for twin in &mut twins {
        twin.press(A)?;
    }
    client.expect_buzz("desk", 1)?;
    for twin in &mut twins {
        twin.press(B)?;
    }
    client.expect_buzz("desk", 2)?;
    let listed = devices(&daemon)?;
    let ambiguous = listed.iter().filter(|device| device["ambiguous"] == json!(true)).count();
    same("ambiguous devices", &ambiguous, &1).map_err(|why| format!("{why} in {listed:?}"))?;
    daemon.stop().map(drop)
}

pub(crate) fn sigterm_closes_politely() -> Outcome {
    let _button = Button::plug("desk button")?;
    let mut daemon = Daemon::start("sigterm", DESK)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    daemon.terminate()?;
    // Going away, or service restart: both are polite.
    let code = client.closed()?;
    ensure(matches!(code, 1001 | 1012), || format!("close code {code}"))?;
    let status = daemon.wait()?;
    same("exit status", &status.code(), &Some(0))
}

/// What was connected stays wanted: after a restart and after a crash in the same boot.
pub(crate) fn restart_reconnects() -> Outcome {
    let mut button = Button::plug("desk button")?;
    let mut daemon = Daemon::start("restart", DESK)?;
    daemon.client()?.connect_pool("desk", &[1, 2])?;
    daemon.terminate()?;
    daemon.wait()?;
    for round in ["restart", "crash"] {
        daemon.start_again()?;
        let mut client = daemon.client()?;
        let there = json!({"response": "buzzers", "pools": [{"pool": "desk", "buzzers": [1, 2]}]});
        until(&format!("the pool after a {round}"), || {
            client.send(&json!({"list": "buzzers"})).ok()?;
            // `connected` events of the pool may come before the answer.
            let mut frame = client.next().ok()?;
            while frame["event"] == "connected" {
                frame = client.next().ok()?;
            }
            (frame == there).then_some(())
        })?;
        button.press(A)?;
        client.expect_buzz("desk", 1)?;
        button.release(A)?;
        if round == "restart" {
            daemon.crash()?;
        }
    }
    daemon.stop().map(drop)
}
