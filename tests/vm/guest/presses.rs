//! Cases about what is a press and what is none.
//!
//! "Gives no buzz" is never a matter of waiting: a marker press follows, and its frame must be the next one.

use serde_json::json;

use crate::daemon::Daemon;
use crate::deadline::{Outcome, ensure, same};
use crate::records::{self, Press};
use crate::uhid::{BUS_USB, Hid, Identity, RED, USAGE_A, USAGE_B};
use crate::uinput::{A, B, Button, let_pass, now_us};

/// One uinput device with buzzer 1 on A and buzzer 2 on B.
pub(crate) const DESK: &str = r#"
[[pool]]
id = "desk"
match = { name = "desk button" }
buzzers = { "1" = "KEY_A", "2" = "KEY_B" }
"#;

/// The hub is known: only its identity is configured.
pub(crate) fn buzz_hub_gives_four_reds() -> Outcome {
    for product in ["0002", "1000"] {
        let config =
            format!("[[pool]]\nid = \"stage\"\nmatch = {{ vendor = \"054c\", product = \"{product}\" }}\n");
        let mut hub = Hid::plug_buzz(u32::from_str_radix(product, 16).map_err(|error| error.to_string())?)?;
        let daemon = Daemon::start(&format!("buzz-{product}"), &config)?;
        let mut client = daemon.client()?;
        same("pools", &client.pools()?, &json!(["stage"]))?;
        client.connect_pool("stage", &[1, 2, 3, 4])?;
        for handset in 0..4 {
            for other_colour in 1..5 {
                hub.buzz_report(&[(handset, other_colour)])?;
                hub.buzz_report(&[])?;
            }
            hub.buzz_report(&[(handset, RED)])?;
            client.expect_buzz("stage", u64::from(handset) + 1)?;
            hub.buzz_report(&[])?;
        }
        let presses = records::presses(&daemon.stop()?);
        same("presses in the log", &presses.len(), &4)?;
    }
    Ok(())
}

/// Four reds in one report: each counts once, all with the same stamp.
pub(crate) fn reds_of_one_report_tie() -> Outcome {
    let mut hub = Hid::plug_buzz(0x1000)?;
    let daemon = Daemon::start(
        "tie",
        "[[pool]]\nid = \"stage\"\nmatch = { vendor = \"054c\", product = \"1000\" }\n",
    )?;
    let mut client = daemon.client()?;
    client.connect_pool("stage", &[1, 2, 3, 4])?;
    hub.buzz_report(&[(0, RED), (1, RED), (2, RED), (3, RED)])?;
    let mut buzzers = Vec::new();
    for _ in 0..4 {
        let frame = client.next()?;
        same("event", &frame["event"], &json!("buzz"))?;
        buzzers.push(frame["buzzer"].as_u64().unwrap_or_default());
    }
    let presses = records::presses(&daemon.stop()?);
    let logged: Vec<u64> = presses.iter().map(|press| press.buzzer).collect();
    same("buzzers of the frames", &buzzers, &logged)?;
    buzzers.sort_unstable();
    same("buzzers", &buzzers, &vec![1, 2, 3, 4])?;
    let alike = |press: &Press| (press.at_us, press.tie) == (presses[0].at_us, presses[0].tie);
    ensure(presses[0].tie.is_some() && presses.iter().all(alike), || format!("not one tie: {presses:?}"))
}

pub(crate) fn presses_come_in_order() -> Outcome {
    let mut button = Button::plug("desk button")?;
    let daemon = Daemon::start("order", &format!("[order]\ndebounce_us = 0\n{DESK}"))?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    let pattern = [A, B, B, A, A, A, B, A, B, B];
    for key in pattern {
        button.press(key)?;
        button.release(key)?;
    }
    for key in pattern {
        client.expect_buzz("desk", if key == A { 1 } else { 2 })?;
    }
    let presses = records::presses(&daemon.stop()?);
    ensure(presses.is_sorted_by_key(|press| press.at_us), || format!("stamps {presses:?}"))
}

pub(crate) fn key_held_at_connect_waits() -> Outcome {
    let mut button = Button::plug("desk button")?;
    let daemon = Daemon::start("held", DESK)?;
    let mut client = daemon.client()?;
    button.press(A)?;
    client.connect_pool("desk", &[1, 2])?;
    button.press(B)?;
    client.expect_buzz("desk", 2)?;
    button.release(A)?;
    let_pass(20_000)?; // Debounce asks for 15 ms of open contact.
    button.press(A)?;
    client.expect_buzz("desk", 1)?;
    let presses = records::presses(&daemon.stop()?);
    let buzzers: Vec<u64> = presses.iter().map(|press| press.buzzer).collect();
    same("presses in the log", &buzzers, &vec![2, 1])
}

/// A real keyboard's autorepeat, made by the kernel, while a key is held.
pub(crate) fn autorepeat_is_one_press() -> Outcome {
    let phys = "usb-0000:00:01.2-2/input0";
    let identity = Identity {
        name: "desk keyboard",
        phys,
        uniq: "desk-keyboard",
        bus: BUS_USB,
        vendor: 0x1209,
        product: 2,
    };
    let mut keyboard = Hid::plug_keyboard(identity)?;
    let config = DESK.replace(r#"name = "desk button""#, r#"phys = "usb-*-2/*""#);
    let daemon = Daemon::start("repeat", &config)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    keyboard.keyboard_report(&[USAGE_A])?;
    client.expect_buzz("desk", 1)?;
    // The kernel repeats after 250 ms, every 33 ms: some 20 repeats.
    let_pass(1_000_000)?;
    keyboard.keyboard_report(&[USAGE_A, USAGE_B])?;
    client.expect_buzz("desk", 2)?;
    same("presses in the log", &records::presses(&daemon.stop()?).len(), &2)
}

/// The same with the values alone, on a device whose queue would show each of them.
pub(crate) fn repeat_values_are_no_press() -> Outcome {
    let mut button = Button::plug("desk button")?;
    let daemon = Daemon::start("repeat-values", DESK)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    button.press(A)?;
    for _ in 0..10 {
        button.send(A, 2)?;
    }
    button.press(B)?;
    client.expect_buzz("desk", 1)?;
    client.expect_buzz("desk", 2)?;
    same("presses in the log", &records::presses(&daemon.stop()?).len(), &2)
}

/// A contact that bounces: down, up and down again in less than the 15 ms that a contact must have been open.
pub(crate) fn bounce_is_one_press() -> Outcome {
    let mut button = Button::plug("desk button")?;
    let daemon = Daemon::start("bounce", DESK)?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    // An emulated CPU may stall for longer than a bounce takes: such an attempt proves nothing, so there are many.
    for _ in 0..20 {
        let before = now_us();
        button.press(A)?;
        button.release(A)?;
        button.press(A)?;
        let is_bounce = now_us() - before < 15_000;
        button.press(B)?;
        client.expect_buzz("desk", 1)?;
        if is_bounce {
            client.expect_buzz("desk", 2)?;
            return same("presses in the log", &records::presses(&daemon.stop()?).len(), &2);
        }
        while client.next()?["buzzer"] != json!(2) {}
        button.release(A)?;
        button.release(B)?;
        let_pass(20_000)?;
    }
    Err("the machine is too slow to make a bounce".to_owned())
}

/// A stopped daemon does not read; the kernel's queue overflows meanwhile, and one key stays down.
pub(crate) fn overflow_is_told_and_recovered() -> Outcome {
    let mut button = Button::plug("desk button")?;
    let daemon = Daemon::start("overflow", &format!("[order]\ndebounce_us = 0\n{DESK}"))?;
    let mut client = daemon.client()?;
    client.connect_pool("desk", &[1, 2])?;
    daemon.freeze()?;
    for _ in 0..50 {
        button.press(A)?;
        button.release(A)?;
    }
    button.press(B)?;
    // Fills the queue once more, so that B's press itself is among what was dropped.
    for _ in 0..40 {
        button.press(A)?;
        button.release(A)?;
    }
    daemon.thaw()?;
    // Presses of A that were in the queue may come first; B, still down, must come.
    loop {
        let frame = client
            .next()
            .map_err(|why| format!("{why}; the key held during the overflow is not recovered"))?;
        if frame == json!({"event": "buzz", "pool": "desk", "buzzer": 2}) {
            break;
        }
        same("frame", &frame, &json!({"event": "buzz", "pool": "desk", "buzzer": 1}))?;
    }
    button.release(B)?;
    button.press(B)?;
    // Behind the recovered press there may be clean ones of A.
    loop {
        let frame =
            client.next().map_err(|why| format!("{why}; a press after the overflow does not count"))?;
        if frame["buzzer"] == json!(2) {
            break;
        }
    }
    let records = daemon.stop()?;
    let presses = records::presses(&records);
    let recovered = presses.iter().find(|press| press.flags.iter().any(|flag| flag == "recovered"));
    same("recovered buzzer", &recovered.map(|press| press.buzzer), &Some(2))?;
    ensure(records::tells_overflow(&records), || format!("no gap in the log: {}", records::kinds(&records)))
}
