//! Cases about devices that are made in unusual ways, as the kernel's own drivers show them.
//!
//! Enters reports of a pedal with three nodes, of two pads on one plug, of radio buttons, of large pads and of a number
//! pad; leaves what the daemon makes of the presses. Guarantee: what is advised is taken from the output and followed.

use std::path::Path;

use evdev::KeyCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same};
use crate::hotplug::devices;
use crate::node;
use crate::records;
use crate::uhid::{BUS_BLUETOOTH, BUS_USB, Hid, Identity, USAGE_A, USAGE_B};
use crate::uinput::Button;

/// A pedal that can be set to send anything: three collections, each of which gets a node of its own. The keyboard is the
/// last of them, and the only one that ever reports.
#[rustfmt::skip]
const PEDAL: &[u8] = &[
    0x05, 0x01, 0x09, 0x05, 0xa1, 0x01, // generic desktop, gamepad
    0x85, 0x03,                         //   report 3
    0x05, 0x09, 0x19, 0x01, 0x29, 0x08, //   buttons 1 to 8
    0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02,
    0xc0,
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, // mouse
    0x85, 0x02,                         //   report 2
    0x09, 0x01, 0xa1, 0x00,             //   pointer
    0x05, 0x09, 0x19, 0x01, 0x29, 0x08, //     buttons 1 to 8
    0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02,
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, //     X, Y
    0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06,
    0xc0, 0xc0,
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, // keyboard
    0x85, 0x01,                         //   report 1
    0x05, 0x07, 0x15, 0x00, 0x25, 0x65, 0x19, 0x00, 0x29, 0x65,
    0x75, 0x08, 0x95, 0x06, 0x81, 0x00, //   6 keys
    0xc0,
];

/// One player of an adapter with several: a joystick of eight buttons whose report has this number.
#[rustfmt::skip]
const fn player(number: u8) -> [u8; 24] {
    [
        0x05, 0x01, 0x09, 0x04, 0xa1, 0x01, // generic desktop, joystick
        0x85, number,
        0x05, 0x09, 0x19, 0x01, 0x29, 0x08, //   buttons 1 to 8
        0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08,
        0x81, 0x02,
    ]
}

/// A gamepad of 24 buttons: the kernel gives the 16th the code 0x13f, which has no name, and goes on at 0x2c0.
#[rustfmt::skip]
const LARGE_PAD: &[u8] = &[
    0x05, 0x01, 0x09, 0x05, 0xa1, 0x01, // generic desktop, gamepad
    0x05, 0x09, 0x19, 0x01, 0x29, 0x18, //   buttons 1 to 24
    0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x18, 0x81, 0x02,
    0xc0,
];

/// A number pad: seventeen keys, two at once.
#[rustfmt::skip]
const NUMBER_PAD: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, // generic desktop, keyboard
    0x05, 0x07, 0x15, 0x00, 0x25, 0x63, 0x19, 0x00, 0x29, 0x63,
    0x75, 0x08, 0x95, 0x02, 0x81, 0x00,
    0xc0,
];

const USAGE_NUM_LOCK: u8 = 0x53;
const USAGE_KP1: u8 = 0x59;

/// The pedal's keyboard is taken, though its pad and its mouse have the nodes before it: with keys named and without.
pub(crate) fn pedal_is_read_where_it_reports() -> Outcome {
    let identity = Identity {
        name: "Foot Switch",
        phys: "usb-0000:00:01.2-2/input0",
        uniq: "pedal",
        bus: BUS_USB,
        vendor: 0x3553,
        product: 0xb001,
    };
    let pedal = Hid::plug(identity, PEDAL)?;
    let nodes = node::all_by_uniq("pedal", 3)?;
    let mut pedal = sound(pedal, &nodes[2], KeyCode::KEY_Z, [1, 0x1d, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0])?;
    let own = "match = { vendor = \"3553\", product = \"b001\" }";
    for (name, rest) in [("pedal", ""), ("pedal-key", "buzzers = { \"1\" = \"KEY_A\", \"2\" = \"KEY_B\" }")] {
        let daemon = Daemon::start(name, &pool("foot", &format!("{own}\n{rest}")))?;
        let mut client = daemon.client()?;
        let answer = client.ask_connect("foot")?;
        same("result", &answer["result"], &json!("connect"))?;
        for usage in [USAGE_A, USAGE_B, USAGE_A] {
            pedal.report(&[1, usage, 0, 0, 0, 0, 0])?;
            same("event", &client.next()?["event"], &json!("buzz"))?;
            pedal.report(&[1, 0, 0, 0, 0, 0, 0])?;
            crate::uinput::let_pass(20_000)?; // Debounce asks for 15 ms of open contact.
        }
        let rows = devices(&daemon)?;
        let trouble: Vec<_> = rows.iter().filter(|row| row["ambiguous"] == json!(true)).collect();
        ensure(trouble.is_empty(), || format!("ambiguous: {trouble:?}"))?;
        same("presses in the log", &records::presses(&daemon.stop()?).len(), &3)?;
    }
    Ok(())
}

/// Two pads on one plug that differ in nothing: one entry has one of them, two entries have both, in the order of nodes.
pub(crate) fn players_on_one_plug_share_equal_entries() -> Outcome {
    let end = [0xc0];
    let descriptor = [&player(1)[..], &end, &player(2), &end].concat();
    let identity = Identity {
        name: "Pad Adapter",
        phys: "usb-0000:00:01.2-3/input0",
        uniq: "players",
        bus: BUS_USB,
        // The kernel makes one node a report of this adapter, not one a kind (`hid-quirks.c`).
        vendor: 0x289b,
        product: 0x0002,
    };
    let adapter = Hid::plug(identity, &descriptor)?;
    let nodes = node::all_by_uniq("players", 2)?;
    let adapter = sound(adapter, &nodes[0], KeyCode::BTN_BASE2, [1, 0x80], [1, 0])?;
    let mut adapter = sound(adapter, &nodes[1], KeyCode::BTN_BASE2, [2, 0x80], [2, 0])?;
    let first = pool("one", "match = { vendor = \"289b\", product = \"0002\" }");
    let daemon = Daemon::start("player", &first)?;
    let rows = devices(&daemon)?;
    let ambiguous: Vec<&Value> = rows.iter().filter(|row| row["ambiguous"] == json!(true)).collect();
    same("ambiguous devices", &ambiguous.len(), &1).map_err(|why| format!("{why} in {rows:?}"))?;
    let page = daemon.run(&["devices"])?;
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    let added = page.split_once("Add:\n").ok_or_else(|| format!("nothing to add: {page}"))?.1;
    let added: Vec<&str> = added.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let id = added.iter().find_map(|line| line.strip_prefix("id = ")).ok_or("no id")?.trim_matches('"');
    daemon.stop()?;

    let daemon = Daemon::start("players", &format!("{first}{}\n", added.join("\n")))?;
    let mut client = daemon.client()?;
    let eight: Vec<u64> = (1..=8).collect();
    client.connect_pool("one", &eight)?;
    client.connect_pool(id, &eight)?;
    adapter.report(&[2, 0x01])?;
    client.expect_buzz(id, 1)?;
    adapter.report(&[1, 0x02])?;
    client.expect_buzz("one", 2)?;
    ensure(daemon.last_words().contains("in the order of their nodes"), || {
        format!("the order of the nodes is not named{}", daemon.last_words())
    })?;
    let rows = devices(&daemon)?;
    ensure(rows.iter().all(|row| row["ambiguous"] == json!(false)), || format!("ambiguous: {rows:?}"))?;
    daemon.stop().map(drop)
}

/// Radio buttons at one adapter have its address for a place, and are told apart by their own.
pub(crate) fn radio_buttons_are_told_by_their_addresses() -> Outcome {
    let plug = |uniq| {
        let identity = Identity {
            name: "Clicker",
            phys: "5c:f3:70:00:00:01",
            uniq,
            bus: BUS_BLUETOOTH,
            vendor: 0x1209,
            product: 0xb7b7,
        };
        Hid::plug_keyboard(identity)
    };
    let mut buttons = [plug("e8:07:bf:00:00:0a")?, plug("e8:07:bf:00:00:0b")?];
    let wide = "match = { vendor = \"1209\", product = \"b7b7\" }";
    let key = "buzzers = { \"1\" = \"KEY_A\", \"2\" = \"KEY_B\" }";
    let daemon = Daemon::start("radio", &pool("one", &format!("{wide}\n{key}")))?;
    let rows = devices(&daemon)?;
    let ambiguous = rows.iter().find(|row| row["ambiguous"] == json!(true));
    let advice = ambiguous.ok_or_else(|| format!("nothing is ambiguous: {rows:?}"))?["advice"].clone();
    daemon.stop()?;
    let lines: Vec<&str> = advice.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let [instead, keep] = lines[..] else { return Err(format!("not two lines: {advice}")) };
    for (name, line, index) in [("radio-instead", instead, 1), ("radio-keep", keep, 0)] {
        let daemon = Daemon::start(name, &pool("one", &format!("{line}\n{key}")))?;
        let mut client = daemon.client()?;
        client.connect_pool("one", &[1, 2])?;
        for (button, usage) in [(1 - index, USAGE_A), (index, USAGE_B)] {
            buttons[button].keyboard_report(&[usage])?;
        }
        client.expect_buzz("one", 2).map_err(|why| format!("{line}: {why}"))?;
        buttons.iter_mut().try_for_each(|button| button.keyboard_report(&[]))?;
        let rows = devices(&daemon)?;
        ensure(rows.iter().all(|row| row["ambiguous"] == json!(false)), || format!("ambiguous: {rows:?}"))?;
        daemon.stop()?;
    }
    Ok(())
}

/// Every button of a pad counts, also one without a name, and numbers follow the codes.
pub(crate) fn large_pads_have_all_their_buttons() -> Outcome {
    let identity = Identity {
        name: "Large Pad",
        phys: "usb-0000:00:01.2-4/input0",
        uniq: "large-pad",
        bus: BUS_USB,
        vendor: 0x1209,
        product: 0x0024,
    };
    let mut pad = Hid::plug(identity, LARGE_PAD)?;
    let node = pad.node().to_owned();
    pad = sound(pad, &node, KeyCode::BTN_SOUTH, [1, 0, 0], [0, 0, 0])?;
    let codes = [0x100..=0x109, 0x130..=0x13f, 0x220..=0x223, 0x2c0..=0x2ff];
    let codes: Vec<KeyCode> = codes.into_iter().flatten().map(KeyCode::new).collect();
    let mut all = Button::plug_with("every button", &codes)?;
    let config =
        pool("hid", "match = { name = \"Large Pad\" }") + &pool("all", "match = { name = \"every button\" }");
    let daemon = Daemon::start("large", &format!("[order]\ndebounce_us = 0\n{config}"))?;
    let mut client = daemon.client()?;
    client.connect_pool("hid", &(1..=24).collect::<Vec<_>>())?;
    client.connect_pool("all", &(1..=codes.len() as u64).collect::<Vec<_>>())?;
    for number in 1..=24 {
        let [a, b, c, _] = (1_u32 << (number - 1)).to_le_bytes();
        pad.report(&[a, b, c])?;
        client.expect_buzz("hid", number)?;
    }
    for (code, number) in codes.iter().zip(1..) {
        all.press(*code)?;
        client.expect_buzz("all", number)?;
    }
    daemon.stop().map(drop)
}

/// A pad that sends its lock around each key: the first buzz is the key's.
pub(crate) fn number_pad_buzzes_with_its_key() -> Outcome {
    let identity = Identity {
        name: "Number Pad",
        phys: "usb-0000:00:01.2-5/input0",
        uniq: "number-pad",
        bus: BUS_USB,
        vendor: 0x1209,
        product: 0x0018,
    };
    let pad = Hid::plug(identity, NUMBER_PAD)?;
    let node = pad.node().to_owned();
    let mut pad = sound(pad, &node, KeyCode::KEY_Z, [0x1d, 0], [0, 0])?;
    let daemon = Daemon::start("number-pad", &pool("pad", "match = { product = \"0018\" }"))?;
    let mut client = daemon.client()?;
    let number = connected_number(&mut client, &node)?;
    for report in [[USAGE_NUM_LOCK, 0], [0, 0], [USAGE_KP1, 0], [0, 0], [USAGE_NUM_LOCK, 0], [0, 0]] {
        pad.report(&report)?;
    }
    client.expect_buzz("pad", number)?;
    let presses = records::presses(&daemon.stop()?);
    same("presses in the log", &presses.len(), &1)
}

/// Connects the pool `pad`: which number `KEY_KP1` has, counted over the keys of its node that are no modifiers or locks.
fn connected_number(client: &mut Client, node: &Path) -> Outcome<u64> {
    const SENT_AROUND_OTHERS: [u16; 10] = [29, 42, 54, 56, 58, 69, 70, 97, 100, 125];
    let keys = node::Reader::open(node)?.keys();
    let plain = keys.iter().filter(|code| !SENT_AROUND_OTHERS.contains(code));
    let before = plain.filter(|code| **code < KeyCode::KEY_KP1.code()).count();
    same("result", &client.ask_connect("pad")?["result"], &json!("connect"))?;
    u64::try_from(before + 1).why("number")
}

/// The device, when the kernel takes its reports at this node.
fn sound<const N: usize>(
    mut hid: Hid,
    node: &Path,
    key: KeyCode,
    down: [u8; N],
    up: [u8; N],
) -> Outcome<Hid> {
    hid.sound_check_at(node, key, |hid, is_down| hid.report(if is_down { &down } else { &up }))?;
    Ok(hid)
}

fn pool(id: &str, rest: &str) -> String {
    format!("[[pool]]\nid = \"{id}\"\n{rest}\n")
}
