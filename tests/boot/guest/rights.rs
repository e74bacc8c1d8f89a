//! Who may what: nodes and lights by udev's rules, sockets and log by the group, nothing else from inside the sandbox.
//!
//! Enters a made-up wireless hub and two users; leaves what each could do. Guarantee: each right is tried by who is to have it
//! and by who is not.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::client::Client;
use crate::deadline::{Outcome, Why, ensure, same};
use crate::machine::{HERE, LOG, run, try_run};
use crate::play::hub;
use crate::roles::Role;
use crate::uhid::Hid;

/// The rules give the hub to group input, take it from the seat's user, and tell libinput.
pub(crate) fn hub_gets_its_rights() -> Outcome {
    let node = hub()?.node().to_owned();
    run("udevadm settle")?;
    let seen = run(&format!("stat -c '%G %a' {}", node.display()))?;
    same("the node", &seen.as_str(), &"input 660")?;
    let known = run(&format!("udevadm info {}", node.display()))?;
    let rdev = fs::metadata(&node).why(node.display())?.rdev();
    let path = format!("/run/udev/data/c{}:{}", rdev >> 8, rdev & 0xff);
    // Q: is a tag that holds; G: one that ever held.
    let tags = fs::read_to_string(&path).why(path)?;
    ensure(!tags.lines().any(|line| line == "Q:uaccess"), || format!("the seat's user has it: {tags}"))?;
    ensure(known.contains("LIBINPUT_IGNORE_DEVICE=1"), || format!("libinput takes it: {known}"))?;
    let lights = run("stat -c '%G %a' /sys/class/leds/*::buzz*/brightness /dev/hidraw*")?;
    same("lights", &lights.as_str(), &"input 664\ninput 664\ninput 664\ninput 664\ninput 660")?;
    same("latency", &run("stat -c '%G %a' /dev/cpu_dma_latency")?.as_str(), &"input 660")
}

/// A program of a member of group buzzerd brings a buzzer; one of a stranger is refused.
pub(crate) fn member_of_the_group_attaches() -> Outcome {
    run("useradd -M -s /bin/sh -G buzzerd quiz && useradd -M -s /bin/sh stranger")?;
    let mut client = Client::connect(HERE)?;
    let (let_in, said) =
        try_run("runuser -u stranger -- /test/guest attach /run/buzzerd/table.sock </dev/null")?;
    ensure(!let_in && said.contains("denied"), || format!("a stranger is let in: {said}"))?;
    let mut phone = Role::begin("runuser -u quiz --", "attach /run/buzzerd/table.sock")?;
    same("the greeting", &phone.line()?.as_str(), &r#"{"ok":true}"#)?;
    client.connect_pool("table", &[1])?;
    phone.say("now")?;
    client.expect_buzz("table", 1)
}

/// So with the log.
pub(crate) fn member_of_the_group_reads_the_log() -> Outcome {
    let explain = |user: &str| try_run(&format!("runuser -u {user} -- buzzerd log explain {LOG}"));
    let (could, said) = explain("quiz")?;
    ensure(could && said.contains("table 1"), || format!("a member of the group: {said}"))?;
    let (could, said) = try_run(&format!("runuser -u quiz -- buzzerd log verify {LOG}"))?;
    ensure(could, || format!("a member of the group: {said}"))?;
    let (could, said) = explain("stranger")?;
    ensure(!could && said.to_lowercase().contains("denied"), || format!("a stranger: {said}"))?;
    let key = run("stat -c '%U %a' /var/lib/buzzerd/key")?;
    same("the log's key", &key.as_str(), &"buzzerd 600")
}

/// A unit with the daemon's own settings and another program, beside a hub.
pub(crate) fn sandbox_holds() -> Outcome {
    let _lights = hub()?;
    run(
        "sed -e 's|^ExecStart=.*|ExecStart=/test/guest probe|; s|^Type=.*|Type=oneshot|; s|^Restart=.*|Restart=no|' \
         -e '/^PartOf=/d; /^Wants=/d; /^WatchdogSec=/d' /usr/lib/systemd/system/buzzerd.service \
         >/run/systemd/system/buzzerd-probe.service && mkdir -p /home/quiz && systemctl daemon-reload",
    )?;
    let (held, _) = try_run("systemctl start buzzerd-probe.service")?;
    let said = run("journalctl -q -o cat -u buzzerd-probe.service")?;
    ensure(held && said.contains("the sandbox holds"), || said)
}

/// Of its findings none that fails is about rights, sockets or the service.
pub(crate) fn doctor_finds_no_right_missing() -> Outcome {
    // All that the configuration asks for is there.
    let _other = Hid::plug_buzz_at(2, 0x0002)?;
    run("udevadm settle")?;
    let (_, said) = try_run("buzzerd doctor --json")?;
    let findings: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    ensure(!findings.is_empty(), || format!("no findings: {said}"))?;
    let failed: Vec<String> =
        findings.iter().filter(|finding| finding["verdict"] == "fail").map(Value::to_string).collect();
    ensure(failed.is_empty(), || failed.join("; "))
}
