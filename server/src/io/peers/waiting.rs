//! What waits in memory for every peer. In: bytes, whenever they change. Out: the sum, and whose is the most. Guarantee: whoever
//! sends, asks or does not read, all that waits for all of them stays below `WAITING_BYTES_MAX` and one message more.

use std::collections::{BTreeSet, HashMap};

use buzzer_core::io::sys;

use super::{Peers, Speaks};

/// For all peers together.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What waits, by the place of its peer.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: HashMap<usize, usize>,
    order: BTreeSet<(usize, usize)>,
    sum: usize,
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
            Speaks::Nothing => 0,
        };
        self.waiting.set(key, bytes);
        if let Some(most) = self.waiting.excess() {
            self.give_up(most, "more waits than this box has room for", sys::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
