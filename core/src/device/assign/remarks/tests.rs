//! Advice, followed. In: made-up machines and configurations. Out: what is still in the way after every line that was told
//! has been written. Guarantee: every advice is parsed from its text alone, as a person would copy it.

use proptest::prelude::*;

use super::*;
use crate::device::claim::{Glob, Match};
use crate::device::identity::tests::device;
use crate::press::keys::KeyCode;
use crate::time::Micros;

fn claim(matcher: Match) -> Claim {
    Claim {
        entry: String::new(),
        matcher,
        buzzers: None,
        debounce_us: Micros::ZERO,
        delay: crate::device::delay::Configured::default(),
    }
}

/// The model that all of these have.
fn model() -> Match {
    Match { vendor: Some(7), product: Some(7), ..Match::default() }
}

fn slots(claims: &[Claim]) -> Slots {
    let numbered = claims.iter().zip(1..).map(|(claim, number)| {
        let entry = format!("pool \"{number}\"");
        Claim { entry, ..claim.clone() }
    });
    Slots::new(Claims::Listed(numbered.collect()))
}

fn look(claims: &[Claim], devices: &[Identity]) -> Vec<Remark> {
    let mut slots = slots(claims);
    let verdicts = slots.assign(devices);
    let each = (0..devices.len()).filter_map(|index| slots.remark(&verdicts, devices, index));
    let all: Vec<Remark> = each.chain(slots.shared(devices)).collect();
    all.into_iter().filter(|remark| remark.is_warning).collect()
}

/// The value of `key = "..."` in a line, its escapes undone.
fn value(line: &str, key: &str) -> Option<String> {
    let rest = line.split_once(&format!("{key} = \""))?.1;
    let mut text = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => match chars.next()? {
                'u' => text.push(hex(&mut chars, 4)?),
                'U' => text.push(hex(&mut chars, 8)?),
                c => text.push(c),
            },
            c => text.push(c),
        }
    }
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let digits: String = chars.take(digits).collect();
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}

/// What a line of the configuration says.
fn parse(claim: &mut Claim, line: &str) {
    for line in line.lines() {
        if line.starts_with("match") {
            let id = |key| value(line, key).map(|text| u16::from_str_radix(&text, 16).unwrap());
            let glob = |key| value(line, key).map(|text| Glob::new(&text));
            claim.matcher = Match {
                vendor: id("vendor"),
                product: id("product"),
                name: glob("name"),
                phys: glob("phys"),
                uniq: glob("uniq"),
            };
        } else {
            let pairs = line.split('"').skip(1).step_by(2).collect::<Vec<_>>();
            let pair = |pair: &[&str]| {
                (pair[1].parse::<KeyCode>().unwrap(), crate::event::Buzzer(pair[0].parse().unwrap()))
            };
            claim.buzzers = Some(pairs.chunks(2).map(pair).collect());
        }
    }
}

/// Writes what `choose` takes of each remark into the configuration.
fn follow(claims: &mut Vec<Claim>, remarks: &[Remark], choose: usize) {
    for remark in remarks {
        assert!(!remark.advice.is_empty(), "no way out: {remark}");
        // What two entries share is ended by all lines, what is ambiguous by any one.
        let is_shared = remark.text.contains("each fits");
        let chosen = choose % remark.advice.len();
        for (index, advice) in remark.advice.iter().enumerate() {
            match &advice.place {
                Place::Entry(slot, _) if is_shared || index == chosen => {
                    parse(&mut claims[slot.index()], &advice.line);
                }
                Place::New if index == chosen => {
                    let mut new = claim(Match::default());
                    parse(&mut new, &advice.line);
                    claims.push(new);
                }
                _ => {}
            }
        }
    }
}

/// Follows all advice until nothing is in the way.
fn settle(mut claims: Vec<Claim>, devices: &[Identity], choose: usize) -> Result<Vec<Claim>, Vec<Remark>> {
    let mut remarks = look(&claims, devices);
    // One remark at a time, as a person would who looks again after each.
    for _ in 0..4 * devices.len() {
        let Some(first) = remarks.first() else { return Ok(claims) };
        follow(&mut claims, std::slice::from_ref(first), choose);
        remarks = look(&claims, devices);
    }
    if remarks.is_empty() { Ok(claims) } else { Err(remarks) }
}

fn at(node: u64, phys: &str, uniq: &str, name: &str, keys: &[u16]) -> Identity {
    Identity { uniq: uniq.to_owned(), name: name.to_owned(), ..device(node, (7, 7), phys, keys) }
}

#[test]
fn two_bluetooth_buttons_are_told_by_their_addresses() {
    let devices = [at(3, "a0:b1", "01:02", "Button", &[28]), at(4, "a0:b1", "01:03", "Button", &[28])];
    let remarks = look(&[claim(model())], &devices);
    let [remark] = remarks.as_slice() else { panic!("{remarks:?}") };
    let lines: Vec<_> = remark.advice.iter().map(|advice| advice.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            r#"match = { vendor = "0007", product = "0007", uniq = "01:03" }"#,
            r#"match = { vendor = "0007", product = "0007", uniq = "01:02" }"#
        ]
    );
    assert!(remark.to_string().contains("ambiguous"), "{remark}");
}

#[test]
fn players_that_nothing_tells_apart_share_equal_entries() {
    let players: Vec<Identity> = (3..7).map(|node| at(node, "usb-0-3/input0", "", "Pad", &[0x130])).collect();
    let claims = settle(vec![claim(model())], &players, 0).unwrap();
    assert_eq!(claims.len(), 4);
    let mut slots = slots(&claims);
    let verdicts = slots.assign(&players);
    let want: Vec<_> = (0..4).map(|slot| Assignment::Slot(SlotId::new(slot))).collect();
    assert_eq!(verdicts, want);
    let notes = slots.shared(&players);
    assert_eq!(notes.len(), 1);
    assert!(!notes[0].is_warning && notes[0].text.contains("in the order of their nodes"), "{}", notes[0]);
}

#[test]
fn equal_entries_for_two_hubs_are_made_certain() {
    let hubs = [at(3, "usb-0-1/input0", "", "Buzz", &[0x2c0]), at(4, "usb-0-2/input0", "", "Buzz", &[0x2c0])];
    let claims = vec![claim(model()), claim(model())];
    let remarks = look(&claims, &hubs);
    let [remark] = remarks.as_slice() else { panic!("{remarks:?}") };
    assert!(
        remark.to_string().contains(r#"phys = "usb-0-1/*" }` in pool "1" to give it event3"#),
        "{remark}"
    );
    assert!(
        remark.to_string().contains(r#"phys = "usb-0-2/*" }` in pool "2" to give it event4"#),
        "{remark}"
    );
    let mut certain = claims;
    follow(&mut certain, &remarks, 0);
    let mut reversed = hubs.clone();
    (reversed[0].node, reversed[1].node) = ("event9".to_owned(), "event2".to_owned());
    reversed.reverse();
    assert_eq!(slots(&certain).assign(&hubs), [0, 1].map(|slot| Assignment::Slot(SlotId::new(slot))));
    assert_eq!(slots(&certain).assign(&reversed), [1, 0].map(|slot| Assignment::Slot(SlotId::new(slot))));
}

#[test]
fn a_part_of_a_unit_can_be_chosen() {
    let pedal = [
        at(3, "usb-0-7/input0", "", "Foot", &(1..112).collect::<Vec<_>>()),
        at(4, "usb-0-7/input0", "", "Foot", &[0x110, 0x111]),
        at(5, "usb-0-7/input0", "", "Foot", &[0x130, 0x131]),
    ];
    let mut first = slots(&[claim(model())]);
    let verdicts = first.assign(&pedal);
    assert_eq!(verdicts[0], Assignment::Slot(SlotId::new(0)), "{verdicts:?}");
    assert_eq!(look(&[claim(model())], &pedal), [], "nothing is in the way");
    for index in [1, 2] {
        let remark = first.remark(&verdicts, &pedal, index).unwrap();
        let mut changed = vec![claim(model())];
        follow(&mut changed, std::slice::from_ref(&remark), 0);
        let verdicts = slots(&changed).assign(&pedal);
        assert_eq!(verdicts[index], Assignment::Slot(SlotId::new(0)), "{remark}");
    }
    let mut named = claim(model());
    named.buzzers = Some(vec![(KeyCode::new(30).unwrap(), crate::event::Buzzer(1))]);
    assert_eq!(look(&[named], &pedal), [], "the other nodes lack the key, but nobody needs them to have it");
}

#[test]
fn a_key_that_nobody_has_is_replaced() {
    let hub = [at(3, "usb-0-1/input0", "", "Buzz", &[0x120, 0x125])];
    let mut wrong = claim(model());
    wrong.buzzers = Some(vec![(KeyCode::new(0x2c0).unwrap(), crate::event::Buzzer(4))]);
    let remarks = look(std::slice::from_ref(&wrong), &hub);
    assert!(
        remarks[0].to_string().contains(r#"`buzzers = { "4" = "BTN_TRIGGER" }` in pool "1""#),
        "{}",
        remarks[0]
    );
    settle(vec![wrong], &hub, 0).unwrap();
}

fn any_device() -> impl Strategy<Value = Identity> {
    let keys = prop::sample::select(vec![
        vec![28_u16],
        vec![0x130, 0x131],
        vec![0x110],
        (1..112).collect(),
        vec![113, 114],
        vec![0x2c0, 0x2c5],
    ]);
    let phys = prop::sample::select(vec!["usb-0-1/input0", "usb-0-1/input1", "usb-0-2/input0", "a0:b1", ""]);
    let uniq = prop::sample::select(vec!["", "X", "Y\u{202e} "]);
    let name = prop::sample::select(vec!["a", "a ", "b\"\\*?", "\u{1b}[2J", ""]);
    (keys, phys, uniq, name).prop_map(|(keys, phys, uniq, name)| at(0, phys, uniq, name, &keys))
}

fn any_claim() -> impl Strategy<Value = Claim> {
    let by = prop::sample::select(vec![
        model(),
        Match { name: Some(Glob::new("a*")), ..Match::default() },
        Match { phys: Some(Glob::new("usb-0-1/*")), ..model() },
        Match { vendor: Some(7), uniq: Some(Glob::new("*")), ..Match::default() },
    ]);
    let keys = prop::sample::select(vec![vec![], vec![], vec![], vec![28], vec![0x130], vec![99, 0x2ff]]);
    (by, keys).prop_map(|(matcher, keys): (Match, Vec<u16>)| {
        let pairs =
            keys.iter().zip(1..).map(|(code, n)| (KeyCode::new(*code).unwrap(), crate::event::Buzzer(n)));
        let buzzers = (!keys.is_empty()).then(|| pairs.collect());
        Claim { buzzers, ..claim(matcher) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// With any devices and any configuration: advice that is followed ends the trouble.
    #[test]
    fn advice_that_is_followed_ends_the_trouble(
        devices in prop::collection::vec(any_device(), 0..7),
        claims in prop::collection::vec(any_claim(), 1..4),
        choose in 0_usize..2,
    ) {
        let number = |(mut device, node): (Identity, u64)| {
            (device.node, device.instance) = (format!("event{node}"), node);
            device.dev = Some((13, 64 + node as u32));
            device
        };
        let devices: Vec<_> = devices.into_iter().zip(3..).map(number).collect();
        let settled = settle(claims.clone(), &devices, choose);
        prop_assert!(settled.is_ok(), "{:?}", settled.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>());
    }
}
