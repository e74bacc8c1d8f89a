//! Events of one stamp. In: events as they leave the ring. Out: whole groups, with their presses in the order that
//! counts. Guarantee: a group is given only when its last event is there; presses that cannot be told apart are in
//! drawn order; a press without a stamp of its own never stands before one that has one; what a device said before
//! its first press of the group stays before it, the rest after.

use std::collections::BTreeSet;

use buzzer_core::event::{DeviceId, Event, EventKind};

use crate::game::draw;
use crate::game::draw::Entrant;
use crate::record::pool_id::PoolId;

/// Collects a group.
#[derive(Debug, Default)]
pub struct Group {
    events: Vec<Event>,
}

/// A complete group.
#[derive(Debug, Default)]
pub struct Ordered {
    /// What comes first, in stream order.
    pub before: Vec<Event>,
    /// The presses.
    pub presses: Vec<Placed>,
    /// The seed, if the presses were drawn.
    pub seed: Option<[u8; 8]>,
    /// What comes last, in stream order.
    pub after: Vec<Event>,
    /// Presses that do not count.
    pub uncounted: Vec<Event>,
}

/// A press in its place.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The press.
    pub event: Event,
    /// Its pool and buzzer.
    pub entrant: Entrant,
    /// Whether the draw put it there.
    pub tied: bool,
}

impl Group {
    /// Takes an event; a group if it was the last of one. `pool_of` names the pool of a press that counts. `seed` is
    /// asked for 8 random bytes if there is a tie.
    pub fn push(
        &mut self,
        event: Event,
        mut pool_of: impl FnMut(&Event) -> Option<PoolId>,
        seed: impl FnOnce() -> [u8; 8],
    ) -> Option<Ordered> {
        self.events.push(event);
        if event.more {
            return None;
        }
        let mut ordered = Ordered::default();
        let (mut clean, mut flagged) = (Vec::new(), Vec::new());
        // A set, because a flood can make groups of tens of thousands.
        let mut pressed: BTreeSet<DeviceId> = BTreeSet::new();
        for event in self.events.drain(..) {
            if let EventKind::Press { buzzer, rank, flags, .. } = event.kind {
                // A press of a pool that is not connected counts for nothing, in a draw neither.
                let Some(pool) = pool_of(&event) else {
                    ordered.uncounted.push(event);
                    continue;
                };
                let entrant = Entrant { pool, buzzer: buzzer.0, device: event.device.get(), frame: rank };
                let list = if flags.is_without_stamp() { &mut flagged } else { &mut clean };
                list.push(Placed { event, entrant, tied: false });
                pressed.insert(event.device);
            } else if pressed.contains(&event.device) {
                ordered.after.push(event);
            } else {
                ordered.before.push(event);
            }
        }
        // A late event can stand between the parts of a group: it has a stamp, and a place, of its own.
        clean.sort_by_key(|press| press.event.at);
        let mut seed = Some(seed);
        for list in [clean, flagged] {
            for same in list.chunk_by(|a, b| a.event.at == b.event.at) {
                let entrants: Vec<Entrant> = same.iter().map(|press| press.entrant.clone()).collect();
                if !draw::is_tie(&entrants) {
                    ordered.presses.extend_from_slice(same);
                    continue;
                }
                let seed = *ordered.seed.get_or_insert_with(|| seed.take().map_or([0; 8], |seed| seed()));
                for place in draw::order(seed, &entrants) {
                    ordered.presses.push(Placed { tied: true, ..same[place].clone() });
                }
            }
        }
        Some(ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buzzer_core::event::{Buzzer, Flags};
    use buzzer_core::time::KernelTime;

    fn event(device: u32, more: bool, kind: EventKind) -> Event {
        Event { at: KernelTime::from_us(5), device: DeviceId::new(device), more, kind }
    }

    fn press(buzzer: u16) -> EventKind {
        EventKind::Press { buzzer: Buzzer(buzzer), rank: 0, flags: Flags::NONE, back_us: 0, early_us: 0 }
    }

    #[test]
    fn one_report_is_one_draw_and_its_releases_stay_on_their_side() {
        let release = |buzzer| EventKind::Release { buzzer: Buzzer(buzzer) };
        let events = [
            event(1, true, release(1)),
            event(1, true, press(1)),
            event(1, true, press(2)),
            event(2, true, press(9)),
            event(1, false, release(2)),
        ];
        let mut group = Group::default();
        let mut whole = None;
        for event in events {
            assert!(whole.is_none());
            let pool = |event: &Event| (event.device.get() == 1).then(|| "p".parse().unwrap());
            whole = group.push(event, pool, || [0; 8]);
        }
        let whole = whole.unwrap();
        let mut buzzers: Vec<_> = whole.presses.iter().map(|press| press.entrant.buzzer).collect();
        buzzers.sort_unstable();
        assert_eq!((buzzers, whole.seed), (vec![1, 2], Some([0; 8])), "9 is not connected");
        assert_eq!((whole.before.len(), whole.after.len(), whole.uncounted.len()), (1, 1, 1));
    }

    #[test]
    fn a_press_without_a_stamp_never_stands_before_one_that_has_one() {
        let recovered =
            EventKind::Press { buzzer: Buzzer(1), rank: 0, flags: Flags::RECOVERED, back_us: 9, early_us: 0 };
        for seed in 0..20u64 {
            let mut group = Group::default();
            let pool = |_: &Event| Some("p".parse().unwrap());
            assert!(group.push(event(1, true, recovered), pool, || panic!("too early")).is_none());
            let whole = group.push(event(2, false, press(2)), pool, || seed.to_le_bytes()).unwrap();
            let buzzers: Vec<_> =
                whole.presses.iter().map(|press| (press.entrant.buzzer, press.tied)).collect();
            assert_eq!(buzzers, [(2, false), (1, false)]);
        }
    }

    #[test]
    fn a_lone_press_is_not_drawn() {
        let whole = Group::default().push(
            event(1, false, press(1)),
            |_| Some("p".parse().unwrap()),
            || panic!("nothing to draw"),
        );
        assert_eq!(whole.unwrap().presses.len(), 1);
    }
}
