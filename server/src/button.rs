//! The state of every button. In: records. Out: what a sound check and a judge ask for: proved, held, stuck, chattering,
//! silent since when. Guarantee: a fold of the log like the rest of the state, so a judge can ask for any moment.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{Fact, Record};

/// A button that is down for so long is stuck: somebody sits on it, or its spring is gone.
pub const STUCK_US: u64 = 10_000_000;
/// A button with so many edges that did not count, within the second that an `ignored` record sums up, chatters. A hand
/// hits at most about 7 times a second, and a sound contact adds up to 4 edges to each hit (it bounces once or twice).
pub const CHATTER_EDGES: u32 = 32;
/// A button that is hit so long after its last bounce is sound again: somebody cleaned it, or it was only dusty.
const SOUND_US: u64 = 10_000_000;

/// One button of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Button {
    /// Seen pressed and released since its device was connected.
    pub proved: bool,
    /// Seen going down since its device was connected.
    pub pressed: bool,
    /// Down since then.
    pub held_since_us: Option<u64>,
    /// Down for longer than anybody presses.
    pub stuck: bool,
    /// Edges that debounce did not count.
    pub ignored_edges: u64,
    /// Its contact makes more edges than any sound one.
    pub chattering: bool,
    /// When it last bounced.
    bounced_us: Option<u64>,
    /// The last time it moved.
    pub heard_us: Option<u64>,
}

/// Which button: device, buzzer.
pub type ButtonId = (u32, u16);

/// All buttons of attached devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buttons {
    buttons: BTreeMap<ButtonId, Button>,
    /// Those that are down and not called stuck yet, by when that began.
    down: BTreeSet<(u64, ButtonId)>,
}

impl Buttons {
    /// Every button.
    pub fn iter(&self) -> impl Iterator<Item = (ButtonId, &Button)> {
        self.buttons.iter().map(|(id, button)| (*id, button))
    }

    /// One button.
    pub fn get(&self, id: ButtonId) -> Option<&Button> {
        self.buttons.get(&id)
    }

    /// When the next button will have been down for too long.
    pub fn stuck_at_us(&self) -> Option<u64> {
        self.down.first().map(|(since, _)| since.saturating_add(STUCK_US))
    }

    /// Buttons that are down for too long and were not called stuck yet.
    pub fn newly_stuck(&self, now_us: u64) -> Vec<ButtonId> {
        let due = self.down.iter().take_while(|(since, _)| since.saturating_add(STUCK_US) <= now_us);
        due.map(|(_, id)| *id).collect()
    }

    /// Whether so many edges that did not count make this button a chattering one, and it was not called so yet.
    pub fn is_new_chatter(&self, id: ButtonId, edges: u32) -> bool {
        edges >= CHATTER_EDGES && self.buttons.get(&id).is_some_and(|button| !button.chattering)
    }

    /// Takes the next record.
    pub fn apply(&mut self, record: &Record) {
        let at_us = record.at_us;
        match &record.fact {
            Fact::Start { .. } => *self = Self::default(),
            Fact::Attach { device, buzzers, .. } => {
                let new = buzzers.iter().map(|buzzer| ((*device, *buzzer), Button::default()));
                self.buttons.extend(new);
            }
            Fact::Detach { device, .. } => {
                self.buttons.retain(|(of, _), _| of != device);
                self.down.retain(|(_, (of, _))| of != device);
            }
            Fact::Held { device, buzzer, .. } => self.press(at_us, (*device, *buzzer)),
            Fact::Press { device, buzzer, .. } => {
                self.press(at_us, (*device, *buzzer));
                if let Some(button) = self.buttons.get_mut(&(*device, *buzzer)) {
                    button.heard_us = Some(at_us);
                    button.pressed = true;
                    let quiet = button.bounced_us.is_none_or(|since| at_us >= since.saturating_add(SOUND_US));
                    button.chattering &= !quiet;
                }
            }
            Fact::Release { device, buzzer, .. } => {
                let id = (*device, *buzzer);
                self.release(id);
                if let Some(button) = self.buttons.get_mut(&id) {
                    button.heard_us = Some(at_us);
                }
            }
            Fact::Ignored { device, buzzer, edges, down, .. } => {
                let id = (*device, *buzzer);
                let Some(button) = self.buttons.get_mut(&id) else { return };
                button.ignored_edges += u64::from(*edges);
                button.bounced_us = Some(at_us);
                // The sum comes up to a second after its edges; what counted since then knows better.
                if button.heard_us.is_none_or(|heard| heard <= at_us) {
                    button.heard_us = Some(at_us);
                    // A contact that bounced while it closed is held all the same.
                    if *down { self.press(at_us, id) } else { self.release(id) }
                }
            }
            Fact::Chattering { device, buzzer, .. } => {
                if let Some(button) = self.buttons.get_mut(&(*device, *buzzer)) {
                    button.chattering = true;
                }
            }
            Fact::Proved { device, buzzer, .. } => {
                if let Some(button) = self.buttons.get_mut(&(*device, *buzzer)) {
                    button.proved = true;
                }
            }
            Fact::Stuck { device, buzzer, .. } => {
                let id = (*device, *buzzer);
                if let Some(button) = self.buttons.get_mut(&id) {
                    button.stuck = true;
                    if let Some(since) = button.held_since_us {
                        self.down.remove(&(since, id));
                    }
                }
            }
            Fact::Connect { .. }
            | Fact::Refuse { .. }
            | Fact::Draw { .. }
            | Fact::Gap { .. }
            | Fact::RingFull { .. }
            | Fact::ReaderStall { .. }
            | Fact::Late { .. }
            | Fact::StaleStamp { .. }
            | Fact::HeapFull { .. }
            | Fact::Degraded { .. }
            | Fact::Stop {}
            | Fact::Uncounted { .. }
            | Fact::Anchor { .. }
            | Fact::Config { .. }
            | Fact::Roster { .. }
            | Fact::Storage { .. }
            | Fact::Recovered { .. }
            | Fact::Damage { .. }
            | Fact::Lost { .. }
            | Fact::Expired { .. } => {}
        }
    }

    fn release(&mut self, id: ButtonId) {
        let Some(button) = self.buttons.get_mut(&id) else { return };
        if let Some(since) = button.held_since_us.take() {
            self.down.remove(&(since, id));
        }
        button.stuck = false;
    }

    fn press(&mut self, at_us: u64, id: ButtonId) {
        let Some(button) = self.buttons.get_mut(&id) else { return };
        // Two contacts may be one buzzer; it is down since the first of them.
        if button.held_since_us.is_none() {
            button.held_since_us = Some(at_us);
            self.down.insert((at_us, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool_id::PoolId;

    #[test]
    fn a_button_is_held_then_stuck_then_free_again() {
        let pool: PoolId = "p".parse().unwrap();
        let mut buttons = Buttons::default();
        let mut seq = 0;
        let mut apply = |buttons: &mut Buttons, at_us: u64, fact: Fact| {
            seq += 1;
            buttons.apply(&Record { seq, at_us, fact });
        };
        let attach = Fact::Attach {
            device: 1,
            pool: pool.clone(),
            name: String::new(),
            place: String::new(),
            stamps: "kernel".into(),
            buzzers: vec![4],
            uncertainty_us: 0,
        };
        apply(&mut buttons, 1, attach);
        apply(&mut buttons, 100, Fact::Held { pool: pool.clone(), buzzer: 4, device: 1 });
        assert_eq!(buttons.newly_stuck(100 + STUCK_US - 1), []);
        assert_eq!(buttons.newly_stuck(100 + STUCK_US), [(1, 4)]);
        apply(&mut buttons, 100 + STUCK_US, Fact::Stuck { pool: pool.clone(), buzzer: 4, device: 1 });
        assert_eq!((buttons.newly_stuck(u64::MAX), buttons.stuck_at_us()), (vec![], None), "said once");
        assert!(buttons.get((1, 4)).unwrap().stuck);
        apply(&mut buttons, 200 + STUCK_US, Fact::Release { pool: pool.clone(), buzzer: 4, device: 1 });
        let button = buttons.get((1, 4)).unwrap();
        assert_eq!((button.stuck, button.held_since_us, button.proved), (false, None, false));
        apply(&mut buttons, 300, Fact::Detach { device: 1, pool, reason: String::new(), certain: true });
        assert_eq!(buttons.iter().count(), 0);
    }
}
