//! Which device serves which entry of a configuration. In: claims, who serves them now, and the devices that are there. Out:
//! one verdict per device. Guarantee: who serves goes on serving while it is there, unless a likelier node of its own unit
//! appeared; a narrower claim chooses before a wider one, equal ones in their order, each among the nodes in theirs.

use std::cmp::Reverse;

use super::{Assignment, Rank, ranks};
use crate::device::claim::{Claim, SlotId};
use crate::device::identity::Identity;
use crate::device::kind::{self, DeviceKind};

/// Puts devices at the claims that ask for them: each takes the first device (in the order of nodes) that fits and is
/// free, and of that device's unit the likeliest node. `held` is who serves each claim now, one entry per claim.
pub(super) fn assign(claims: &[Claim], held: &[Option<&Identity>], devices: &[Identity]) -> Vec<Assignment> {
    let ranks = ranks(devices);
    let mut verdicts = vec![Assignment::Unclaimed; devices.len()];
    let mut served: Vec<Option<usize>> = vec![None; claims.len()];
    // A claim that names keys says itself which node it means; only without them does a likelier one matter.
    let is_better = |claim: &Claim, index: usize, than: usize| {
        claim.buzzers.is_none() && ranks[index] > ranks[than] && claim.fits(&devices[index])
    };
    for (slot, (claim, held)) in claims.iter().zip(held).enumerate() {
        let stays = held.and_then(|held| devices.iter().position(|device| device.is_same_instance(held)));
        let Some(index) = stays.filter(|index| verdicts[*index] == Assignment::Unclaimed) else { continue };
        let mut of_its_unit = (0..devices.len()).filter(|i| devices[*i].is_same_unit(&devices[index]));
        if claim.fits(&devices[index]) && !of_its_unit.any(|i| is_better(claim, i, index)) {
            served[slot] = Some(index);
            verdicts[index] = Assignment::Slot(SlotId::from_index(slot));
        }
    }
    let mut waiting: Vec<usize> = (0..claims.len()).filter(|slot| served[*slot].is_none()).collect();
    waiting.sort_by_key(|slot| Reverse(claims[*slot].matcher.narrowness()));
    for slot in waiting {
        let claim = &claims[slot];
        let is_free =
            |index: &usize| verdicts[*index] == Assignment::Unclaimed && claim.fits(&devices[*index]);
        let Some(mut best) = (0..devices.len()).find(is_free) else { continue };
        for index in (best..devices.len()).filter(is_free) {
            if devices[index].is_same_unit(&devices[best]) && is_better(claim, index, best) {
                best = index;
            }
        }
        served[slot] = Some(best);
        verdicts[best] = Assignment::Slot(SlotId::from_index(slot));
    }
    let why = |(index, verdict)| match verdict {
        Assignment::Unclaimed => why_not(claims, &served, (devices, &ranks), index),
        served => served,
    };
    verdicts.into_iter().enumerate().map(why).collect()
}

/// Why a device serves no slot.
fn why_not(
    claims: &[Claim],
    served: &[Option<usize>],
    (devices, ranks): (&[Identity], &[Rank]),
    index: usize,
) -> Assignment {
    let device = &devices[index];
    if device.keys.is_empty() {
        return Assignment::Unclaimed;
    }
    let of = |slot: usize| SlotId::from_index(slot);
    let all = || claims.iter().zip(served).enumerate();
    let mut part = None;
    for (slot, (claim, server)) in all() {
        let Some(server) = *server else { continue };
        let is_part = devices[server].is_same_unit(device);
        if claim.fits(device) && !(is_part && is_other_part(claim, (devices, ranks), server, index)) {
            return Assignment::Ambiguous(of(slot));
        }
        part = part.or(is_part.then(|| of(slot)));
    }
    if let Some(slot) = part {
        return Assignment::Part(slot);
    }
    let mut meant = all().filter(|(_, (claim, _))| claim.matcher.matches(device) && !claim.fits(device));
    let Some((slot, (claim, server))) = meant.next() else { return Assignment::Unclaimed };
    // Of the nodes of one unit, the one that lacks least speaks for all.
    let lacks = |i: usize| (claim.missing(&devices[i]).len(), i);
    let mut of_its_unit = (0..devices.len()).filter(|i| {
        devices[*i].is_same_unit(device)
            && !devices[*i].keys.is_empty()
            && claim.matcher.matches(&devices[*i])
    });
    if server.is_some() || of_its_unit.any(|i| lacks(i) < lacks(index)) {
        return Assignment::Unfit(of(slot));
    }
    Assignment::Lacks(of(slot), claim.missing(device))
}

/// Whether a node is no rival of the one that serves, but another part of the unit: a keyboard's media keys beside the
/// keyboard. Where the claim names keys and both nodes have them, only the owner can say which one is meant; and pads, or
/// nodes that are the same in all, are several players' and not parts of one thing.
fn is_other_part(
    claim: &Claim,
    (devices, ranks): (&[Identity], &[Rank]),
    server: usize,
    index: usize,
) -> bool {
    let (serving, device) = (&devices[server], &devices[index]);
    let is_twin = (&serving.name, &serving.phys, &serving.keys) == (&device.name, &device.phys, &device.keys);
    let are_players = ranks[server] == ranks[index]
        && (is_twin || (kind::of(serving) == DeviceKind::Pad && kind::of(device) == DeviceKind::Pad));
    claim.buzzers.is_none() && !are_players
}
