//! What waits in memory for every peer. In: bytes, whenever they change. Out: the sum, and whose is the most. Guarantee: all that
//! waits for all of them stays below `WAITING_BYTES_MAX` and one message more, and memory falls back when a crowd is gone.

use std::collections::{BTreeSet, HashMap};

use buzzer_core::io::sys;

use super::{Peers, Speaks};

/// For all peers together.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What a peer takes beside what waits for it, roughly.
const PEER_BYTES: usize = 4 << 10;
/// Less than this is not worth a look at the heap.
const HIGH_WATER_BYTES_MIN: usize = 4 << 20;

/// What waits, by the place of its peer.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: HashMap<usize, usize>,
    order: BTreeSet<(usize, usize)>,
    sum: usize,
    /// The most that was in use since the heap was trimmed.
    high_water: usize,
}

impl Waiting {
    /// So much waits for this peer now.
    pub(super) fn set(&mut self, key: usize, bytes: usize) {
        let before = if bytes == 0 { self.bytes.remove(&key) } else { self.bytes.insert(key, bytes) };
        let before = before.unwrap_or(0);
        if before == bytes {
            return;
        }
        self.order.remove(&(before, key));
        if bytes > 0 {
            self.order.insert((bytes, key));
        }
        self.sum = self.sum - before + bytes;
    }

    /// Whether so much less is in use now that its pages are to go back to the kernel: a quarter of the most, with so many
    /// peers left.
    fn has_ebbed(&mut self, peers: usize) -> bool {
        let used = self.sum + peers * PEER_BYTES;
        self.high_water = self.high_water.max(used);
        let has_ebbed = self.high_water >= HIGH_WATER_BYTES_MIN && used <= self.high_water / 4;
        if has_ebbed {
            self.high_water = used;
        }
        has_ebbed
    }

    /// Who has to go, if it is too much.
    fn excess(&self) -> Option<usize> {
        (self.sum > WAITING_BYTES_MAX).then(|| self.order.last().map(|(_, key)| *key)).flatten()
    }
}

impl Peers {
    /// Counts anew what waits for a peer, and gives up those for whom most waits if it is too much.
    pub(super) fn weigh(&mut self, key: usize) {
        let bytes = match &self.peers[key].speaks {
            Speaks::WebSocket(client, _) => client.waiting_bytes(),
            Speaks::Http(handshake, _) => handshake.waiting_bytes(),
        };
        self.waiting.set(key, bytes);
        self.trim();
        if let Some(most) = self.waiting.excess() {
            self.give_up(most, "more waits than this box has room for", sys::now());
        }
    }

    /// Gives memory back, once a crowd is gone or has read what waited for it.
    pub(super) fn trim(&mut self) {
        if self.waiting.has_ebbed(self.peers.len()) {
            sys::trim_heap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_for_each_ebb() {
        let mut waiting = Waiting::default();
        assert!(!waiting.has_ebbed(500), "a small house");
        waiting.set(1, HIGH_WATER_BYTES_MIN);
        assert!(!waiting.has_ebbed(1));
        waiting.set(1, HIGH_WATER_BYTES_MIN / 2);
        assert!(!waiting.has_ebbed(1), "half is left");
        waiting.set(1, 0);
        assert!(waiting.has_ebbed(1));
        assert!(!waiting.has_ebbed(0), "it was given back");
        assert!(!waiting.has_ebbed(2000));
        assert!(waiting.has_ebbed(100), "a crowd has gone");
    }

    #[test]
    fn who_has_most_goes_when_it_is_too_much() {
        let mut waiting = Waiting::default();
        waiting.set(1, WAITING_BYTES_MAX / 2);
        waiting.set(2, WAITING_BYTES_MAX / 2);
        assert_eq!(waiting.excess(), None);
        waiting.set(3, 1);
        waiting.set(1, WAITING_BYTES_MAX / 2 + 1);
        assert_eq!(waiting.excess(), Some(1));
        waiting.set(1, 0);
        assert_eq!(waiting.excess(), None);
        assert_eq!(
            (waiting.sum, waiting.order.len(), waiting.bytes.len()),
            (WAITING_BYTES_MAX / 2 + 1, 2, 2)
        );
    }
}
