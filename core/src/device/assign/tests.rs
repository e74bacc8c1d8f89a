//! Slots and devices: claims and what is plugged in go in; one verdict per device comes out.

use super::*;
use crate::device::claim::{Claim, Glob, Match};
use crate::device::delay::Configured;
use crate::device::identity::tests::device;
use crate::event::Buzzer;

const REDS: [u16; 4] = [0x2c0, 0x2c5, 0x2ca, 0x2cf];
const BUZZ: (u16, u16) = (0x054c, 0x0002);

fn claim(vendor: u16, phys: &str, keys: &[u16]) -> Claim {
    let pairs = keys.iter().zip(1..).map(|(code, n)| (KeyCode::new(*code).unwrap(), Buzzer(n)));
    let matcher = Match { vendor: Some(vendor), phys: Some(Glob::new(phys)), ..Match::default() };
    let buzzers = (!keys.is_empty()).then(|| pairs.collect());
    let entry = "pool \"a\"".to_owned();
    Claim { entry, matcher, buzzers, debounce_us: Micros::ZERO, delay: Configured::default() }
}

fn slot(number: u32) -> Assignment {
    Assignment::Slot(SlotId::new(number))
}

fn ambiguous(number: u32) -> Assignment {
    Assignment::Ambiguous(SlotId::new(number))
}

fn check(why: &str, claims: &[Claim], devices: &[Identity], want: &[Assignment]) {
    let held = vec![None; claims.len()];
    assert_eq!(listed::assign(claims, &held, devices), want, "{why}");
}

#[test]
fn devices_go_to_claims_in_order() {
    let (one, two) = (device(3, BUZZ, "usb-0-1/input0", &REDS), device(4, BUZZ, "usb-0-2/input0", &REDS));
    let both = [one.clone(), two.clone()];
    let any = claim(0x054c, "*", &[]);
    check("two fit one claim", std::slice::from_ref(&any), &both, &[slot(0), ambiguous(0)]);
    check("two claims, two devices", &[any.clone(), any.clone()], &both, &[slot(0), slot(1)]);
    check(
        "the narrower one chooses first",
        &[any.clone(), claim(0x054c, "usb-0-1/*", &[])],
        &both,
        &[slot(1), slot(0)],
    );
    check("told apart by phys", &[claim(0x054c, "usb-0-2/*", &[]), any.clone()], &both, &[slot(1), slot(0)]);
    check("nobody asks", &[claim(1, "*", &[])], &both, &[Assignment::Unclaimed, Assignment::Unclaimed]);
    let key = KeyCode::new(28).unwrap();
    check(
        "without a key that is named",
        &[claim(0x054c, "*", &[0x2c0, 28])],
        &both,
        &[Assignment::Lacks(SlotId::new(0), vec![key]), Assignment::Lacks(SlotId::new(0), vec![key])],
    );
    let keyless = device(5, BUZZ, "usb-0-3/input0", &[]);
    check(
        "no keys, no candidate",
        &[any],
        &[keyless, one, two],
        &[Assignment::Unclaimed, slot(0), ambiguous(0)],
    );
}

#[test]
fn a_composite_unit_gives_its_right_node() {
    let media = device(3, (7, 7), "usb-0-1/input0", &[113, 114]);
    let typing = device(4, (7, 7), "usb-0-1/input1", &[28, 30, 57]);
    let pad = device(5, (7, 7), "usb-0-1/input2", &[0x130, 0x131]);
    let again = device(6, (7, 7), "usb-0-1/input3", &[28]);
    let none = Assignment::Part(SlotId::new(0));
    check(
        "the named key",
        &[claim(7, "*", &[28])],
        &[media.clone(), typing.clone()],
        &[none.clone(), slot(0)],
    );
    check(
        "the profile",
        &[claim(7, "*", &[])],
        &[media.clone(), typing.clone(), pad.clone()],
        &[none.clone(), none.clone(), slot(0)],
    );
    let mouse = device(7, (7, 7), "usb-0-1/input0", &[0x110, 0x111]);
    let board = device(8, (7, 7), "usb-0-1/input0", &(1..112).collect::<Vec<_>>());
    check(
        "which can be set to send anything, and sends keys as sold",
        &[claim(7, "*", &[])],
        &[mouse, pad.clone(), board],
        &[none.clone(), none.clone(), slot(0)],
    );
    check(
        "else the first",
        &[claim(7, "*", &[])],
        &[media.clone(), typing.clone()],
        &[slot(0), none.clone()],
    );
    check(
        "two with the key",
        &[claim(7, "*", &[28])],
        &[media.clone(), typing.clone(), again],
        &[none.clone(), slot(0), ambiguous(0)],
    );
    let (one, two) =
        (device(3, (7, 7), "usb-0-2/input0", &[0x130]), device(4, (7, 7), "usb-0-2/input0", &[0x130]));
    let both = [one, two];
    check("two players", &[claim(7, "*", &[])], &both, &[slot(0), ambiguous(0)]);
    check("two players, two entries", &[claim(7, "*", &[]), claim(7, "*", &[])], &both, &[slot(0), slot(1)]);
    let elsewhere = device(9, (7, 7), "usb-0-3/input0", &[30]);
    check(
        "meant, without the key, of another unit",
        &[claim(7, "*", &[28])],
        &[typing.clone(), elsewhere],
        &[slot(0), Assignment::Unfit(SlotId::new(0))],
    );
    check(
        "both, by key",
        &[claim(7, "*", &[28]), claim(7, "*", &[113])],
        &[media, typing],
        &[slot(1), slot(0)],
    );
}

#[test]
fn who_is_there_stays_there() {
    let mut slots = Slots::new(Claims::Listed(vec![claim(0x054c, "*", &[])]));
    let late = device(9, BUZZ, "usb-0-1/input0", &REDS);
    assert_eq!(slots.assign(std::slice::from_ref(&late)), [slot(0)]);
    let early = device(3, BUZZ, "usb-0-2/input0", &REDS);
    assert_eq!(slots.assign(&[early.clone(), late]), [ambiguous(0), slot(0)], "a lower node comes later");
    assert_eq!(slots.assign(std::slice::from_ref(&early)), [slot(0)], "the other left");
    assert_eq!(slots.found(SlotId::new(0)).unwrap().identity, early);
    assert_eq!(slots.assign(&[]), []);
    assert_eq!(slots.found(SlotId::new(0)), None);
}

#[test]
fn a_better_node_of_the_same_unit_takes_over() {
    let mut slots = Slots::new(Claims::Listed(vec![claim(7, "*", &[])]));
    let media = device(3, (7, 7), "usb-0-1/input0", &[113]);
    let pad = device(4, (7, 7), "usb-0-1/input1", &[0x130]);
    assert_eq!(slots.assign(std::slice::from_ref(&media)), [slot(0)]);
    assert_eq!(slots.assign(&[media, pad]), [Assignment::Part(SlotId::new(0)), slot(0)]);
}

fn known() -> Slots {
    Slots::new(Claims::Known { debounce_us: Micros::ZERO })
}

#[test]
fn a_replugged_hub_gets_its_slot_back() {
    let mut slots = known();
    let (one, two) = (device(3, BUZZ, "usb-0-1/input0", &REDS), device(4, BUZZ, "usb-0-2/input0", &REDS));
    assert_eq!(slots.assign(&[one.clone(), two.clone()]), [slot(0), slot(1)]);
    assert_eq!(slots.assign(&[]), []);
    let two_again = Identity { node: "event1".to_owned(), instance: 70, ..two };
    let new = device(2, BUZZ, "usb-0-3/input0", &REDS);
    assert_eq!(slots.assign(&[two_again, new, one]), [slot(1), slot(2), slot(0)]);
    let found = slots.found(SlotId::new(1)).unwrap();
    assert_eq!((found.label.as_str(), found.profile), ("buzz-wired-2", Some("buzz-wired")));
    assert_eq!(found.keys.buzzers(), [1, 2, 3, 4].map(Buzzer));
}

#[test]
fn only_what_is_free_to_take_gets_a_slot_unasked() {
    let pedal = |node, keys: Vec<u16>| device(node, (0x3553, 0xb001), "usb-0-1/input0", &keys);
    let parts = [pedal(3, (1..112).collect()), pedal(4, vec![0x110]), pedal(5, vec![0x130, 0x131])];
    assert_eq!(
        known().assign(&parts),
        vec![Assignment::Unclaimed; 3],
        "not the pad of a thing that sends keys"
    );
    let mut virtual_hub = device(3, BUZZ, "", &REDS);
    virtual_hub.bus = crate::device::identity::BUS_VIRTUAL;
    let keyboard = device(4, (7, 7), "usb-0-1/input0", &[1, 28, 30]);
    assert_eq!(
        known().assign(&[virtual_hub.clone(), keyboard.clone()]),
        [Assignment::Unclaimed, Assignment::Unclaimed]
    );
    let mut listed = Slots::new(Claims::Listed(vec![claim(0x054c, "*", &[]), claim(7, "*", &[])]));
    assert_eq!(listed.assign(&[virtual_hub, keyboard]), [slot(0), slot(1)], "asked for by name");
}

#[test]
fn labels_never_meet() {
    let mut slots = known();
    let at = |node, phys| device(node, BUZZ, phys, &REDS);
    let devices =
        [at(1, "usb-a-1/input0"), at(2, "usb-b-1/input0"), at(3, "usb-b-1/input0"), at(4, ""), at(5, "")];
    slots.assign(&devices);
    let labels: Vec<_> = slots.ids().map(|id| slots.found(id).unwrap().label).collect();
    assert_eq!(labels, ["buzz-wired-1", "buzz-wired-b-1", "buzz-wired-b-1-2", "buzz-wired", "buzz-wired-2"]);
}
