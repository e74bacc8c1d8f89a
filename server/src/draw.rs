//! Fair order among presses that hardware cannot tell apart. In: presses of one stamp, as they left the ring, and 8
//! random bytes. Out: their order. Guarantee: device number, buzzer number and read order decide nothing; anyone with
//! the logged seed can check the draw with `sha256sum`; presses of one device that its own stream has ordered keep
//! that order.

use sha2::{Digest, Sha256};

use crate::pool_id::PoolId;

/// A press that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// The pool.
    pub pool: PoolId,
    /// The buzzer.
    pub buzzer: u16,
    /// The device it came from.
    pub device: u32,
    /// Its place in that device's stream, among presses of this stamp.
    pub rank: u16,
}

/// Whether any two of these presses cannot be told apart.
pub fn is_tie(entrants: &[Entrant]) -> bool {
    // A device's own presses leave in the order of its stream, so neighbours tell all.
    !entrants.windows(2).all(|pair| pair[0].device == pair[1].device && pair[0].rank < pair[1].rank)
}

/// What a press drew: the smallest comes first.
pub fn ticket(seed: [u8; 8], pool: &PoolId, buzzer: u16) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed);
    hash.update(pool.as_str());
    hash.update([0]);
    hash.update(buzzer.to_string());
    hash.finalize().into()
}

/// The order, as places in `entrants`.
pub fn order(seed: [u8; 8], entrants: &[Entrant]) -> Vec<usize> {
    let mut drawn: Vec<usize> = (0..entrants.len()).collect();
    drawn.sort_by_cached_key(|place| ticket(seed, &entrants[*place].pool, entrants[*place].buzzer));
    // A device keeps the places it drew, and fills them in the order of its own stream.
    let mut devices: Vec<u32> = entrants.iter().map(|entrant| entrant.device).collect();
    devices.sort_unstable();
    devices.dedup();
    for device in devices {
        let seats: Vec<usize> =
            (0..drawn.len()).filter(|seat| entrants[drawn[*seat]].device == device).collect();
        let mut own: Vec<usize> = seats.iter().map(|seat| drawn[*seat]).collect();
        own.sort_by_key(|place| entrants[*place].rank);
        for (seat, place) in seats.into_iter().zip(own) {
            drawn[seat] = place;
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrant(buzzer: u16, device: u32, rank: u16) -> Entrant {
        Entrant { pool: "stage".parse().unwrap(), buzzer, device, rank }
    }

    #[test]
    fn the_draw_is_what_sha256sum_says() {
        // for b in 1 2 3 4; do printf '\1\2\3\4\5\6\7\10stage\0%s' $b | sha256sum; done
        // gives 7d5f…, 11c7…, a0fa…, ccf4…: the smallest comes first.
        let seed = [1, 2, 3, 4, 5, 6, 7, 8];
        let entrants: Vec<_> = (1..=4).map(|buzzer| entrant(buzzer, 1, 0)).collect();
        assert!(is_tie(&entrants));
        let order: Vec<_> = order(seed, &entrants).into_iter().map(|place| entrants[place].buzzer).collect();
        assert_eq!(order, [2, 1, 3, 4]);
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

    #[test]
    fn every_buzzer_wins_about_as_often() {
        let entrants: Vec<_> = (1..=4).map(|buzzer| entrant(buzzer, 1, 0)).collect();
        let mut wins = [0u32; 4];
        for seed in 0..4000u64 {
            wins[order(seed.to_le_bytes(), &entrants)[0]] += 1;
        }
        assert!(wins.iter().all(|wins| (880..1120).contains(wins)), "{wins:?}"); // 1000 +- 4 sigma
    }
}
