//! The line of a configuration that means one device and not another. In: the device and those beside it. Out: the text of
//! that line, as it can be copied. Guarantee: it names what really differs (a serial number or address, the port, the
//! name), and was held against all of them before it is told; where nothing differs there is no line.

use crate::device::claim::{Claim, Glob, Match, natural_keys};
use crate::device::identity::Identity;
use crate::event::Buzzer;
use crate::press::keys::KeyCode;
use crate::quote::{Toml, listed};

/// With more keys a line would be read by nobody.
const KEYS_MAX: usize = 32;

/// Which part of what is plugged in a line is to mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The unit; which of its nodes serves follows from what they are.
    Unit,
    /// This very node.
    Node,
}

/// The match that means this device and as few of the others as can be.
pub fn exact_match(device: &Identity, others: &[&Identity]) -> Match {
    let has_parts = others.iter().any(|other| other.is_same_unit(device));
    let aim = if has_parts { Aim::Node } else { Aim::Unit };
    narrow(device, others, &[], aim).0
}

/// The match that means `device` and as few as can be of `rivals`, then of `others`; and how many rivals it leaves out. The
/// first of equals: the shortest, then by serial number or address, then (for a unit) by port, then by name.
pub(crate) fn narrow(
    device: &Identity,
    rivals: &[&Identity],
    others: &[&Identity],
    aim: Aim,
) -> (Match, usize) {
    let left_out =
        |matcher: &Match, of: &[&Identity]| of.iter().filter(|other| !matcher.matches(other)).count();
    let count = |matcher: &Match| (left_out(matcher, rivals), left_out(matcher, others));
    let mut best = of_model(device);
    let mut best_count = count(&best);
    for matcher in candidates(device, aim) {
        let its_count = count(&matcher);
        if its_count > best_count {
            (best, best_count) = (matcher, its_count);
        }
    }
    (best, best_count.0)
}

/// The match by vendor and product.
fn of_model(device: &Identity) -> Match {
    Match { vendor: Some(device.vendor), product: Some(device.product), ..Match::default() }
}

fn candidates(device: &Identity, aim: Aim) -> Vec<Match> {
    let text = |text: &str| (!text.is_empty()).then(|| Glob::new(text));
    let (uniq, name) = (text(&device.uniq), text(&device.name));
    let phys = match aim {
        Aim::Unit if device.unit() != device.phys => text(&format!("{}/*", device.unit())),
        _ => text(&device.phys),
    };
    let model = of_model(device);
    let by_uniq = Match { uniq: uniq.clone(), ..model.clone() };
    let by_phys = Match { phys: phys.clone(), ..model.clone() };
    let by_name = Match { name: name.clone(), ..model.clone() };
    let mut all = match aim {
        Aim::Unit => vec![by_uniq, by_phys.clone(), by_name],
        Aim::Node => vec![by_name, by_phys.clone(), by_uniq],
    };
    all.push(Match { name: name.clone(), ..by_phys.clone() });
    all.push(Match { uniq: uniq.clone(), ..by_phys.clone() });
    all.push(Match { uniq, name, ..by_phys });
    all
}

/// The keys that this node has by nature, to be named so that no node without them is meant. `None`: too many to write.
pub(crate) fn own_keys(device: &Identity) -> Option<Vec<(KeyCode, Buzzer)>> {
    let pairs: Vec<_> = natural_keys(device).pairs().collect();
    (pairs.len() <= KEYS_MAX).then_some(pairs)
}

/// The `buzzers` of a claim with keys that the device has, in place of those that it has not.
pub(crate) fn with_its_keys(claim: &Claim, device: &Identity) -> String {
    let wanted = claim.buzzers.iter().flatten();
    let natural = natural_keys(device);
    let pairs: Vec<_> = natural.pairs().zip(wanted).map(|((key, _), (_, buzzer))| (key, *buzzer)).collect();
    buzzers(&pairs)
}

/// `buzzers = { "1" = "KEY_ENTER" }`
pub(crate) fn buzzers(pairs: &[(KeyCode, Buzzer)]) -> String {
    let pair = |(key, buzzer): &(KeyCode, Buzzer)| format!("\"{buzzer}\" = {}", Toml(&key.to_string()));
    format!("buzzers = {{ {} }}", listed(pairs.iter().map(pair)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::identity::tests::device;

    #[test]
    fn the_line_names_what_differs() {
        let at = |node, phys: &str, uniq: &str, name: &str| Identity {
            uniq: uniq.to_owned(),
            name: name.to_owned(),
            ..device(node, (0x54c, 2), phys, &[28])
        };
        let model = r#"match = { vendor = "054c", product = "0002""#;
        for (one, other, want) in [
            (at(3, "usb-0-1/input0", "", "a"), at(4, "usb-0-2/input0", "", "a"), r#", phys = "usb-0-1/*" }"#),
            (at(3, "usb-0-1/input0", "X", "a"), at(4, "usb-0-2/input0", "Y", "a"), r#", uniq = "X" }"#),
            (
                at(3, "usb-0-1/input0", "X", "a"),
                at(4, "usb-0-2/input0", "X", "a"),
                r#", phys = "usb-0-1/*" }"#,
            ),
            (at(3, "00:11", "aa", "a"), at(4, "00:11", "bb", "a"), r#", uniq = "aa" }"#),
            (at(3, "00:11", "", "a "), at(4, "00:11", "", "a"), r#", name = "a " }"#),
            (at(3, "00:11", "", "a"), device(4, (1, 1), "", &[]), " }"),
        ] {
            let (matcher, excluded) = narrow(&one, &[&other], &[], Aim::Unit);
            assert_eq!((matcher.to_string(), excluded), (format!("{model}{want}"), 1));
            assert!(matcher.matches(&one) && !matcher.matches(&other));
        }
        let twin = at(3, "00:11", "aa", "a");
        assert_eq!(narrow(&twin, &[&at(4, "00:11", "aa", "a")], &[], Aim::Node).1, 0, "nothing differs");
    }

    #[test]
    fn a_node_is_told_by_its_name_or_its_keys() {
        let pedal = |node, keys: &[u16]| device(node, (7, 7), "usb-0-1/input0", keys);
        let (keys, pad) = (pedal(3, &[30, 31]), pedal(4, &[0x130, 0x131]));
        assert_eq!(narrow(&pad, &[&keys], &[], Aim::Node).0.name, Some(Glob::new("device 4")));
        let want = r#"buzzers = { "1" = "BTN_SOUTH", "2" = "BTN_EAST" }"#;
        assert_eq!(buzzers(&own_keys(&pad).unwrap()), want);
        let all: Vec<u16> = (1..100).collect();
        assert_eq!(own_keys(&pedal(5, &all)), None, "a line that nobody would read");
    }
}
