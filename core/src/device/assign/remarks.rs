//! What a person should know of devices that a configuration means. In: the slots, the devices and what became of them. Out:
//! [`Remark`]s, each with the lines that end the trouble. Guarantee: a line that is told does what is said of it (a test
//! writes every one into the configuration and looks again); nothing is advised that is there already.

#[cfg(test)]
mod tests;

use std::fmt;

use super::{Assignment, Slots, listed};
use crate::device::advice::{self, Aim};
use crate::device::claim::{Claim, Claims, SlotId};
use crate::device::identity::Identity;
use crate::quote::listed;

/// What to know, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The slot that it is about.
    pub slot: SlotId,
    /// Whether something is in the way; otherwise it is good to know.
    pub is_warning: bool,
    /// What is so.
    pub text: String,
    /// What to write, one of several things that help.
    pub advice: Vec<Advice>,
}

/// A line for the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Where it belongs.
    pub place: Place,
    /// The line.
    pub line: String,
    /// What it brings about: `to use event4 instead`.
    pub effect: String,
}

/// Where a line belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In place of what this slot's entry has under the same key.
    Entry(SlotId, String),
    /// In a new entry: a `[[pool]]` of its own, or one more in a list `device`.
    New,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, line, effect } = self;
        match place {
            Place::Entry(_, entry) => write!(f, "write `{line}` in {entry} {effect}"),
            Place::New => write!(f, "add a [[pool]] with `{}` {effect}", line.replace('\n', "` and `")),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.advice
            .iter()
            .zip([": "].into_iter().chain(std::iter::repeat("; ")))
            .try_for_each(|(advice, between)| write!(f, "{between}{advice}"))
    }
}

impl Slots {
    /// What is to be said of the device at `index`; `verdicts` are those of [`Slots::assign`].
    pub fn remark(&self, verdicts: &[Assignment], devices: &[Identity], index: usize) -> Option<Remark> {
        let device = &devices[index];
        let entry = |slot: SlotId| self.claim(slot).map(|claim| claim.entry.clone());
        match &verdicts[index] {
            Assignment::Slot(_) | Assignment::Unclaimed => None,
            Assignment::Ambiguous(slot) => self.ambiguous(*slot, verdicts, devices, device),
            Assignment::Part(slot) => {
                let server = self.device(*slot)?;
                let text = format!("{} uses another part of this unit, {}", entry(*slot)?, server.node);
                let advice = self.instead(*slot, devices, device).into_iter().collect();
                Some(Remark { slot: *slot, is_warning: false, text, advice })
            }
            Assignment::Lacks(slot, keys) => {
                let (name, entry, keys) = (device.describe(), entry(*slot)?, listed(keys));
                let text = format!("{name} fits {entry}, but has no {keys}");
                let advice = Advice {
                    place: Place::Entry(*slot, entry),
                    line: advice::with_its_keys(self.claim(*slot)?, device),
                    effect: "to use keys that it has".to_owned(),
                };
                Some(Remark { slot: *slot, is_warning: true, text, advice: vec![advice] })
            }
            Assignment::Unfit(slot) => {
                let text = format!("it has not all the keys that {} names", entry(*slot)?);
                Some(Remark { slot: *slot, is_warning: false, text, advice: Vec::new() })
            }
        }
    }

    /// Entries between which only the order of the nodes decides, with the lines that make it certain.
    pub fn shared(&self, devices: &[Identity]) -> Vec<Remark> {
        let mut left: Vec<SlotId> = self.ids().filter(|slot| self.claim(*slot).is_some()).collect();
        let mut remarks = Vec::new();
        while !left.is_empty() {
            let mut group = vec![left.remove(0)];
            let mut next = 0;
            while let Some(one) = group.get(next).copied() {
                let (alike, rest) = left.iter().partition(|other| self.are_alike(one, **other));
                left = rest;
                group.extend::<Vec<SlotId>>(alike);
                next += 1;
            }
            if group.len() > 1 {
                group.sort_unstable();
                remarks.extend(self.shared_by(&group, devices));
            }
        }
        remarks
    }

    /// Whether the devices of two slots could as well have each other's.
    fn are_alike(&self, one: SlotId, other: SlotId) -> bool {
        let of = |slot| Some((self.claim(slot)?, self.device(slot)?));
        let (Some((a, at_a)), Some((b, at_b))) = (of(one), of(other)) else { return false };
        a.fits(at_b) && b.fits(at_a) && a.matcher.narrowness() == b.matcher.narrowness()
    }

    fn shared_by(&self, group: &[SlotId], devices: &[Identity]) -> Option<Remark> {
        let members: Vec<(SlotId, &Claim, &Identity)> =
            group.iter().filter_map(|slot| Some((*slot, self.claim(*slot)?, self.device(*slot)?))).collect();
        let advice = self
            .certain(&members, devices, None)
            .or_else(|| self.certain(&members, devices, Some(Aim::Node)));
        let advice = advice.unwrap_or_default();
        let has = listed(members.iter().map(|(_, claim, at)| format!("{} has {}", claim.entry, at.node)));
        let text = if advice.is_empty() {
            format!(
                "{has}: nothing tells these devices apart, so equal entries share them in the order of their nodes"
            )
        } else {
            format!(
                "{has}, and each fits the others' as well: only the order of the nodes decides, which changes"
            )
        };
        Some(Remark { slot: *group.first()?, is_warning: !advice.is_empty(), text, advice })
    }

    /// The lines after which each of these has the device that it has, in any order; `None` if they would not do it.
    fn certain(
        &self,
        members: &[(SlotId, &Claim, &Identity)],
        devices: &[Identity],
        to: Option<Aim>,
    ) -> Option<Vec<Advice>> {
        let mut changed: Vec<(SlotId, Claim)> = Vec::new();
        for (slot, claim, device) in members {
            let others = members.iter().map(|(.., other)| *other);
            let others: Vec<&Identity> = others.filter(|other| !other.is_same_instance(device)).collect();
            let aim = to.unwrap_or_else(|| aim(devices, device, &others));
            let (matcher, excluded) = advice::narrow(device, &others, &beside(devices, device, aim), aim);
            if excluded > others.iter().filter(|other| !claim.matcher.matches(other)).count() {
                changed.push((*slot, Claim { matcher, ..(*claim).clone() }));
            }
        }
        let verdicts = self.outcome(&changed, devices)?;
        let stays = |(slot, _, device): &(SlotId, &Claim, &Identity)| {
            let mut all = verdicts.iter().zip(devices);
            all.any(|(verdict, at)| *verdict == Assignment::Slot(*slot) && at.is_same_instance(device))
        };
        let advice = |(slot, claim): (SlotId, Claim)| {
            let node = self.device(slot).map(|device| device.node.clone()).unwrap_or_default();
            let (line, effect) = (claim.matcher.to_string(), format!("to give it {node}"));
            Advice { place: Place::Entry(slot, claim.entry), line, effect }
        };
        members.iter().all(stays).then(|| changed.into_iter().map(advice).collect())
    }

    fn ambiguous(
        &self,
        slot: SlotId,
        verdicts: &[Assignment],
        devices: &[Identity],
        device: &Identity,
    ) -> Option<Remark> {
        let (claim, server) = (self.claim(slot)?, self.device(slot)?);
        let text = format!(
            "{} fits {} as well as {}, which serves it: ambiguous, so it is not opened",
            device.describe(),
            claim.entry,
            server.node
        );
        let mut advice: Vec<Advice> = self.instead(slot, devices, device).into_iter().collect();
        let rivals: Vec<&Identity> = devices
            .iter()
            .zip(verdicts)
            .filter(|(other, verdict)| {
                **verdict == Assignment::Ambiguous(slot) && !other.is_same_instance(server)
            })
            .map(|(other, _)| other)
            .collect();
        let aim = aim(devices, server, &rivals);
        let (matcher, _) = advice::narrow(server, &rivals, &beside(devices, server, aim), aim);
        let line = matcher.to_string();
        if self.would_serve(slot, Claim { matcher, ..claim.clone() }, devices, server) {
            let effect = format!("to keep {}", server.node);
            let place = Place::Entry(slot, claim.entry.clone());
            advice.push(Advice { place, line, effect });
        }
        if advice.is_empty() {
            let buzzers = claim.buzzers.as_deref().map(|pairs| format!("\n{}", advice::buzzers(pairs)));
            let line = format!("{}{}", claim.matcher, buzzers.unwrap_or_default());
            let effect =
                "to use it too: equal entries share such devices in the order of their nodes".to_owned();
            advice.push(Advice { place: Place::New, line, effect });
        }
        Some(Remark { slot, is_warning: true, text, advice })
    }

    /// The line that has `device` serve in place of the one that does, found by trying; `None` if nothing tells the two
    /// apart, or if the entry names keys that the device has not.
    fn instead(&self, slot: SlotId, devices: &[Identity], device: &Identity) -> Option<Advice> {
        let claim = self.claim(slot)?;
        let by_match = |aim| {
            let (matcher, _) = advice::narrow(device, &beside(devices, device, aim), &[], aim);
            let line = matcher.to_string();
            self.would_serve(slot, Claim { matcher, ..claim.clone() }, devices, device).then_some(line)
        };
        let by_keys = || {
            let pairs = advice::own_keys(device)?;
            let line = advice::buzzers(&pairs);
            let changed = Claim { buzzers: Some(pairs), ..claim.clone() };
            let is_free = claim.buzzers.is_none() && self.would_serve(slot, changed, devices, device);
            is_free.then_some(line)
        };
        let line = by_match(Aim::Unit).or_else(|| by_match(Aim::Node)).or_else(by_keys)?;
        let place = Place::Entry(slot, claim.entry.clone());
        Some(Advice { place, line, effect: format!("to use {} instead", device.node) })
    }

    /// Whether a daemon that is started with `changed` in place of this slot's claim would have `device` there, and no
    /// other one as good.
    fn would_serve(&self, slot: SlotId, changed: Claim, devices: &[Identity], device: &Identity) -> bool {
        let Some(verdicts) = self.outcome(&[(slot, changed)], devices) else { return false };
        let mut all = verdicts.iter().zip(devices);
        !verdicts.contains(&Assignment::Ambiguous(slot))
            && all.any(|(verdict, at)| *verdict == Assignment::Slot(slot) && at.is_same_instance(device))
    }

    /// What a daemon would make of the devices if it were started with these claims in place of theirs.
    fn outcome(&self, changed: &[(SlotId, Claim)], devices: &[Identity]) -> Option<Vec<Assignment>> {
        let Claims::Listed(claims) = &self.claims else { return None };
        let mut claims = claims.clone();
        for (slot, claim) in changed {
            claims[slot.index()] = claim.clone();
        }
        Some(listed::assign(&claims, &vec![None; claims.len()], devices))
    }
}

/// What a line is to leave out: all with keys but the unit, or but the node.
fn beside<'a>(devices: &'a [Identity], device: &Identity, aim: Aim) -> Vec<&'a Identity> {
    let is_other = |other: &&Identity| match aim {
        Aim::Unit => !other.is_same_unit(device),
        Aim::Node => !other.is_same_instance(device),
    };
    devices.iter().filter(|other| !other.keys.is_empty()).filter(is_other).collect()
}

/// A node has to be named itself if it is told from another one of its unit, or is not the likeliest of them.
fn aim(devices: &[Identity], device: &Identity, others: &[&Identity]) -> Aim {
    let ranks = super::ranks(devices);
    let rank = |of: &Identity| devices.iter().position(|other| other.is_same_instance(of)).map(|i| ranks[i]);
    let of_its_unit = |other: &Identity| other.is_same_unit(device) && !other.is_same_instance(device);
    let is_likeliest =
        devices.iter().filter(|other| of_its_unit(other)).all(|other| rank(other) <= rank(device));
    if is_likeliest && !others.iter().any(|other| of_its_unit(other)) { Aim::Unit } else { Aim::Node }
}
