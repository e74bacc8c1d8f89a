//! Cases about what is pressed while no `buzzerd` runs. The case plays the service manager's part: it takes the descriptors that
//! the daemon has stored, and hands them to the next one.
//!
//! The presses of an outage are over before the next daemon starts; a live press behind them is the marker.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::client::Client;
use crate::daemon::{Daemon, folder};
use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::records::{self, Press};
use crate::uinput::{A, B, Button, now_us};

const POOLS: &str = r#"
[order]
debounce_us = 0
[[pool]]
id = "left"
match = { name = "left button" }
buzzers = { "1" = "KEY_A", "2" = "KEY_B" }
[[pool]]
id = "right"
match = { name = "right button" }
buzzers = { "1" = "KEY_A", "2" = "KEY_B" }
"#;

/// A service manager's store of descriptors.
struct Store {
    notices: UnixDatagram,
    stored: Vec<(String, OwnedFd)>,
}

impl Store {
    fn of(case: &str) -> Outcome<(Self, std::path::PathBuf)> {
        let path = folder(case).with_extension("notify");
        let notices = UnixDatagram::bind(&path).why("notices")?;
        Ok((Self { notices, stored: Vec::new() }, path))
    }

    /// Does what the daemon has asked for so far.
    fn settle(&mut self) -> Outcome {
        loop {
            let mut text = [0; 512];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let got = match recvmsg(&self.notices, &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags) {
                Ok(got) => got,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(format!("notices: {error}")),
            };
            let fds: Vec<OwnedFd> = ancillary
                .drain()
                .filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                    _ => None,
                })
                .flatten()
                .collect();
            let text = String::from_utf8_lossy(&text[..got.bytes]).into_owned();
            let name =
                text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or_default().to_owned();
            if text.starts_with("FDSTORE=1") {
                // The one of this name is the same one.
                self.stored.retain(|(stored, _)| *stored != name);
                self.stored.extend(fds.into_iter().map(|fd| (name.clone(), fd)));
            } else if text.starts_with("FDSTOREREMOVE=1") {
                self.stored.retain(|(stored, _)| *stored != name);
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        self.stored.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Both pools connected, and both devices stored.
fn connected(case: &str) -> Outcome<(Daemon, Store, Client)> {
    let (mut store, notify) = Store::of(case)?;
    let mut daemon = Daemon::to_start_under(case, notify, POOLS)?;
    daemon.start_again()?;
    let mut client = daemon.client()?;
    client.connect_pool("left", &[1, 2])?;
    client.connect_pool("right", &[1, 2])?;
    store.settle()?;
    let all = store.names().iter().all(|name| name.starts_with("ev-13-") && name.ends_with("-grabbed"));
    ensure(store.stored.len() == 2 && all, || format!("stored: {:?}", store.names()))?;
    Ok((daemon, store, client))
}

/// What a press says, in short.
fn told(press: &Press) -> (&str, u64) {
    (&press.pool, press.buzzer)
}

/// Waits for this buzz; others come before it.
fn wait_buzz(client: &mut Client, pool: &str, buzzer: u64) -> Outcome {
    loop {
        let frame = client.next()?;
        if frame["event"] == "buzz" && frame["pool"] == pool && frame["buzzer"] == buzzer {
            return Ok(());
        }
    }
}

/// 12 presses with their releases on each of two devices, a key that was down at the end, one let go of and pressed again:
/// after a crash and after an end in good order.
pub(crate) fn keeps_what_is_pressed() -> Outcome {
    let (mut left, mut right) = (Button::plug("left button")?, Button::plug("right button")?);
    let (mut daemon, mut store, mut client) = connected("restart-kept")?;
    let mut outages = Vec::new();
    let mut expected = Vec::new();
    for round in ["crash", "end"] {
        right.press(B)?;
        client.expect_buzz("right", 2)?;
        expected.push(("right", 2));
        drop(client);
        match round {
            "crash" => daemon.crash()?,
            _ => {
                daemon.terminate()?;
                daemon.wait()?;
            }
        }
        store.settle()?;
        same("stored devices", &store.stored.len(), &2)?;
        let began = now_us();
        for turn in 0..12 {
            let hits = if turn % 3 == 0 { [true, false] } else { [false, true] };
            for is_left in hits {
                let (button, pool) = if is_left { (&mut left, "left") } else { (&mut right, "right") };
                button.press(A)?;
                expected.push((pool, 1));
                button.release(A)?;
            }
        }
        // B was down all the time: only when it was let go of it can be pressed.
        right.release(B)?;
        right.press(B)?;
        expected.push(("right", 2));
        outages.push((began, now_us()));
        daemon.start_with(&store.stored)?;
        client = daemon.client()?;
        // The marker: live, and behind all of them.
        left.press(B)?;
        expected.push(("left", 2));
        wait_buzz(&mut client, "left", 2)?;
        left.release(B)?;
        right.release(B)?;
    }
    store.settle()?;
    same("stored devices", &store.stored.len(), &2)?;
    drop(client);
    let last_words = daemon.last_words();
    let verified = daemon.run(&["log", "verify", "--replay"])?;
    ensure(verified.status.success(), || {
        format!("the log does not hold: {}", String::from_utf8_lossy(&verified.stdout))
    })?;
    let records = daemon.stop()?;
    let presses = records::presses(&records);
    let order: Vec<_> = presses.iter().map(told).collect();
    same("presses", &order, &expected).map_err(|why| format!("{why}{last_words}"))?;
    ensure(presses.is_sorted_by_key(|press| press.at_us), || format!("not by their stamps: {presses:?}"))?;
    for press in &presses {
        let is_during = outages.iter().any(|(from, to)| (*from..=*to).contains(&press.at_us));
        // An emulated CPU that stood still may have made a live one look stale.
        let is_told =
            if is_during { press.flags == ["during_restart"] } else { !press.has("during_restart") };
        ensure(is_told, || format!("flags of {press:?}; the outages: {outages:?}"))?;
    }
    let during = presses.iter().filter(|press| press.has("during_restart")).count();
    same("presses during a restart", &during, &50)?;
    // What was down is known to have been, and what was lost is nothing.
    same("keys held at the beginnings", &records::count(&records, "held"), &2)?;
    ensure(!records::tells_overflow(&records), || "a gap without an overflow".to_owned())?;
    same("releases", &records::count(&records, "release"), &presses.len())
}

/// More than the kernel's queue holds.
pub(crate) fn too_many_presses_are_a_gap() -> Outcome {
    let (mut left, mut right) = (Button::plug("left button")?, Button::plug("right button")?);
    let (mut daemon, store, client) = connected("restart-gap")?;
    drop(client);
    daemon.crash()?;
    for _ in 0..40 {
        left.press(A)?;
        left.release(A)?;
    }
    left.press(B)?;
    right.press(A)?;
    right.release(A)?;
    daemon.start_with(&store.stored)?;
    let mut client = daemon.client()?;
    right.press(B)?;
    wait_buzz(&mut client, "right", 2)?;
    left.release(B)?;
    left.press(B)?;
    wait_buzz(&mut client, "left", 2)?;
    drop(client);
    let records = daemon.stop()?;
    same("gaps", &records::count(&records, "gap"), &1)?;
    let presses = records::presses(&records);
    let of_a = presses.iter().filter(|press| told(press) == ("left", 1)).count();
    ensure(of_a < 40, || format!("{of_a} presses of what the kernel has dropped"))?;
    let during: Vec<_> = presses.iter().filter(|press| told(press) == ("right", 1)).collect();
    ensure(during.len() == 1 && during[0].has("during_restart"), || format!("the other device: {during:?}"))
}

/// One device was replaced meanwhile, the other is wanted for other keys.
pub(crate) fn change_opens_anew() -> Outcome {
    let (mut left, right) = (Button::plug("left button")?, Button::plug("right button")?);
    let (mut daemon, mut store, client) = connected("restart-changed")?;
    drop(client);
    daemon.crash()?;
    let node = right.node().to_owned();
    drop(right);
    let mut right = Button::plug("right button")?;
    same("the node of the new device", &right.node().to_owned(), &node)?;
    daemon.configure(&POOLS.replacen(r#", "2" = "KEY_B""#, "", 1))?;
    left.press(A)?;
    left.release(A)?;
    daemon.start_with(&store.stored)?;
    until("both devices", || {
        let health = daemon.healthz().ok()?;
        health["pools"].as_array()?.iter().all(|pool| pool["devices"] == 1).then_some(())
    })?;
    let mut client = daemon.client()?;
    client.connect_pool("left", &[1])?;
    client.connect_pool("right", &[1, 2])?;
    left.press(A)?;
    client.expect_buzz("left", 1)?;
    right.press(A)?;
    client.expect_buzz("right", 1)?;
    store.settle()?;
    same("stored devices", &store.stored.len(), &2)?;
    same("told", &daemon.said("did not stay open over the restart")?.len(), &2)?;
    drop(client);
    let presses = records::presses(&daemon.stop()?);
    ensure(presses.len() == 2 && presses.iter().all(|press| !press.is_marked()), || format!("{presses:?}"))
}
