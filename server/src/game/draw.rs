//! Fair order among presses that hardware cannot tell apart. In: presses of one stamp and 8 random bytes. Out: their
//! order. Guarantee: device number, buzzer number and read order decide nothing; anyone with the log can check each place
//! of the draw with `sha256sum`; presses of one device that its own reports have ordered keep that order, and have no
//! better chance for it: each place goes to any of those that may take it with equal chance.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

use crate::record::pool_id::PoolId;

/// So many places are drawn one by one; all behind them are one draw, with the number of the next. Thousands of presses of
/// one stamp are no race, and to draw each place of those anew would hold up the whole game.
pub const PLACES_MAX: usize = 128;

/// A SHA-256.
pub type Ticket = [u8; 32];

/// A press that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// The pool.
    pub pool: PoolId,
    /// The buzzer.
    pub buzzer: u16,
    /// The device it came from.
    pub device: u32,
    /// The number of its report among that device's reports of this stamp.
    pub frame: u32,
}

/// Whether any two of these presses, in the order of their streams, cannot be told apart.
pub fn is_tie(entrants: &[Entrant]) -> bool {
    // A device's own presses leave in the order of its stream, so neighbours tell all.
    !entrants.windows(2).all(|pair| pair[0].device == pair[1].device && pair[0].frame < pair[1].frame)
}

/// The number with which a place, from 1, is drawn.
pub fn number(place: usize) -> usize {
    place.min(PLACES_MAX + 1)
}

/// What a press draws for a place, from 1: the smallest takes it.
pub fn ticket(seed: [u8; 8], entrant: &Entrant, place: usize) -> Ticket {
    digest(seed, entrant, place).finalize().into()
}

/// Two devices that serve one buzzer draw the same. Which of them it is can matter to what follows, so that is drawn as well.
fn device_ticket(seed: [u8; 8], entrant: &Entrant, place: usize) -> Ticket {
    let device = entrant.device.to_string();
    digest(seed, entrant, place).chain_update([0]).chain_update(device).finalize().into()
}

fn digest(seed: [u8; 8], entrant: &Entrant, place: usize) -> Sha256 {
    let (buzzer, number) = (entrant.buzzer.to_string(), number(place).to_string());
    Sha256::new_with_prefix(seed)
        .chain_update(entrant.pool.as_str())
        .chain_update([0])
        .chain_update(buzzer)
        .chain_update([0])
        .chain_update(number)
}

/// The order, as places in `entrants`.
pub fn order(seed: [u8; 8], entrants: &[Entrant]) -> Vec<usize> {
    let mut field = Field::new(entrants);
    let mut drawn = Vec::with_capacity(entrants.len());
    let mut lots: BTreeSet<(Ticket, Ticket, usize)> = BTreeSet::new();
    let mut entering: Vec<usize> = field.first();
    for place in 1..=entrants.len() {
        if place <= PLACES_MAX + 1 {
            entering.extend(std::mem::take(&mut lots).into_iter().map(|(.., index)| index));
        }
        lots.extend(entering.drain(..).map(|index| field.lot(seed, index, place)));
        let Some((.., index)) = lots.pop_first() else { break };
        drawn.push(index);
        entering = field.next(index);
    }
    drawn
}

/// Which of these, as places in `entrants`, may come next behind `drawn`: those that nothing of their own device precedes.
pub fn candidates(entrants: &[Entrant], drawn: &[usize]) -> Vec<usize> {
    let mut field = Field::new(entrants);
    let mut open: BTreeSet<usize> = field.first().into_iter().collect();
    for index in drawn {
        open.remove(index);
        open.extend(field.next(*index));
    }
    open.into_iter().collect()
}

/// The presses that have no place yet.
struct Field<'a> {
    entrants: &'a [Entrant],
    devices: BTreeMap<u32, Queue>,
    /// How many devices serve a buzzer.
    servers: BTreeMap<(&'a PoolId, u16), BTreeSet<u32>>,
}

/// What one device still has.
#[derive(Default)]
struct Queue {
    /// How many of its earliest report may come next.
    open: usize,
    /// The later ones, in the order of its reports.
    later: VecDeque<usize>,
}

impl<'a> Field<'a> {
    fn new(entrants: &'a [Entrant]) -> Self {
        let mut devices: BTreeMap<u32, Queue> = BTreeMap::new();
        let mut servers: BTreeMap<(&PoolId, u16), BTreeSet<u32>> = BTreeMap::new();
        for (index, entrant) in entrants.iter().enumerate() {
            devices.entry(entrant.device).or_default().later.push_back(index);
            servers.entry((&entrant.pool, entrant.buzzer)).or_default().insert(entrant.device);
        }
        for queue in devices.values_mut() {
            queue.later.make_contiguous().sort_by_key(|index| entrants[*index].frame);
        }
        Self { entrants, devices, servers }
    }

    /// What may come first.
    fn first(&mut self) -> Vec<usize> {
        let entrants = self.entrants;
        self.devices.values_mut().flat_map(|queue| queue.open_next(entrants)).collect()
    }

    /// What may come behind this one and could not before.
    fn next(&mut self, index: usize) -> Vec<usize> {
        let Some(queue) = self.devices.get_mut(&self.entrants[index].device) else { return Vec::new() };
        queue.open = queue.open.saturating_sub(1);
        if queue.open > 0 { Vec::new() } else { queue.open_next(self.entrants) }
    }

    fn lot(&self, seed: [u8; 8], index: usize, place: usize) -> (Ticket, Ticket, usize) {
        let entrant = &self.entrants[index];
        let is_shared =
            self.servers.get(&(&entrant.pool, entrant.buzzer)).is_some_and(|devices| devices.len() > 1);
        let second = if is_shared { device_ticket(seed, entrant, place) } else { [0; 32] };
        (ticket(seed, entrant, place), second, index)
    }
}

impl Queue {
    /// Opens the next report.
    fn open_next(&mut self, entrants: &[Entrant]) -> Vec<usize> {
        let frame = self.later.front().map(|index| entrants[*index].frame);
        let count = self.later.iter().take_while(|index| Some(entrants[**index].frame) == frame).count();
        self.open = count;
        self.later.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrant(buzzer: u16, device: u32, frame: u32) -> Entrant {
        Entrant { pool: "stage".parse().unwrap(), buzzer, device, frame }
    }

    #[test]
    fn the_draw_is_what_sha256sum_says() {
        // for p in 1 2 3; do for b in 1 2 3 4; do printf '\1\2\3\4\5\6\7\10stage\0%s\0%s' $b $p | sha256sum; done; done
        // gives 03d4, 3fed, 022c, 83a0 for place 1; 1e45, 78bb, 3cfb, ac2b for 2; 6a00, 5be1, f931, 2f4b for 3.
        let seed = [1, 2, 3, 4, 5, 6, 7, 8];
        let entrants: Vec<_> = (1..=4).map(|buzzer| entrant(buzzer, 1, 0)).collect();
        assert!(is_tie(&entrants));
        let order: Vec<_> = order(seed, &entrants).into_iter().map(|place| entrants[place].buzzer).collect();
        assert_eq!(order, [3, 1, 4, 2]);
    }

    #[test]
    fn a_devices_own_order_is_kept_and_is_no_tie() {
        let own = [entrant(1, 1, 0), entrant(2, 1, 1), entrant(3, 1, 2)];
        assert!(!is_tie(&own));
        let mixed = [entrant(1, 1, 0), entrant(2, 1, 1), entrant(3, 2, 0)];
        assert!(is_tie(&mixed));
        for seed in 0..50u64 {
            let order = order(seed.to_le_bytes(), &mixed);
            let seat = |place: usize| order.iter().position(|drawn| *drawn == place);
            assert!(seat(0) < seat(1), "seed {seed}");
        }
    }

    /// How often each order of buzzers comes, in 6 000 draws.
    fn outcomes(entrants: &[Entrant]) -> BTreeMap<Vec<u16>, u32> {
        let mut outcomes = BTreeMap::new();
        for seed in 0..6000u64 {
            let order = order(seed.to_le_bytes(), entrants);
            *outcomes.entry(order.iter().map(|place| entrants[*place].buzzer).collect()).or_default() += 1;
        }
        outcomes
    }

    #[test]
    fn every_order_of_one_report_comes_as_often() {
        let outcomes = outcomes(&[entrant(1, 1, 0), entrant(2, 1, 0), entrant(3, 1, 0)]);
        assert_eq!(outcomes.len(), 6);
        assert!(outcomes.values().all(|count| (880..1120).contains(count)), "{outcomes:?}"); // 1000 +- 4 sigma
    }

    #[test]
    fn devices_that_serve_one_buzzer_are_one_in_the_draw_and_neither_of_them_is_preferred() {
        // Whether 3 may come second depends on which 1 came first.
        let entrants = [entrant(1, 1, 0), entrant(3, 1, 1), entrant(1, 2, 0)];
        let outcomes = outcomes(&entrants);
        let second: u32 = outcomes.iter().filter(|(order, _)| order[1] == 3).map(|(_, count)| count).sum();
        // With device 1 first (3 000), 3 or the other 1 comes next.
        assert!((1370..1630).contains(&second), "{outcomes:?}");
        let turned = [entrant(1, 1, 0), entrant(1, 2, 0), entrant(3, 2, 1)];
        assert_ne!(order([7; 8], &entrants).len(), 0);
        let second: u32 =
            self::outcomes(&turned).iter().filter(|(order, _)| order[1] == 3).map(|(_, count)| count).sum();
        assert!((1370..1630).contains(&second));
    }

    #[test]
    fn the_order_in_which_the_reader_saw_them_changes_nothing() {
        let entrants: Vec<_> =
            (0..40u16).map(|n| entrant(n / 3, u32::from(n % 4), u32::from(n % 8 / 4))).collect();
        let turned: Vec<_> = entrants.iter().rev().cloned().collect();
        let names = |entrants: &[Entrant]| -> Vec<_> {
            let order = order([9; 8], entrants).into_iter();
            order.map(|place| (entrants[place].buzzer, entrants[place].device)).collect()
        };
        assert_eq!(names(&entrants), names(&turned));
    }

    #[test]
    fn a_flood_of_one_stamp_is_drawn_soon_and_as_a_whole() {
        let entrants: Vec<_> =
            (0..2000u16).map(|n| entrant(n, u32::from(n % 100), u32::from(n / 1000))).collect();
        let mut order = order([3; 8], &entrants);
        let tail = &order[PLACES_MAX..];
        let waits = |place: usize| !candidates(&entrants, &order[..place]).contains(&order[place]);
        assert!(!(0..2000).step_by(97).any(waits), "nothing of its own device precedes what comes next");
        let drawn = |index: &usize| ticket([3; 8], &entrants[*index], PLACES_MAX + 1);
        let late: Vec<_> = tail.iter().filter(|index| **index < 1000).map(drawn).collect();
        assert!(late.is_sorted(), "one draw for all behind");
        order.sort_unstable();
        assert!(order.into_iter().eq(0..2000));
    }
}
