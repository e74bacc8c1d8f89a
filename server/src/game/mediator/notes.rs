//! What is told of trouble, and of what does not count. In: facts that somebody outside can cause as often as they like. Out:
//! their records. Guarantee: of each device, button, peer and kind at most one record a second, and of each kind no more
//! than [`MANY`] allows, from one peer or many; every one is in a count, and what a device did is told before it goes.

use buzzer_core::time::{KernelTime, Micros};

use super::Mediator;
use crate::game::pace::Pace;
use crate::game::sums::{Sum, Sums};
use crate::record::Fact;
use crate::record::pool_id::PoolId;

/// Records of one kind: a race of a full hall at once, and then 8 a second.
const MANY: Pace = Pace::new(64, Micros::from_ms(125));
/// Refusals, whose records are longer.
const REFUSALS: Pace = Pace::new(64, Micros::from_ms(500));
/// What the log has to say of its storage, and steps of the wall clock.
const FEW: Pace = Pace::new(32, Micros::from_ms(1000));
/// Peers whose refusals are summed each on its own; those of further ones are one sum.
const PEERS_MAX: usize = 64;
/// Pools in one record: the longest names leave it a short line.
const POOLS_MAX: usize = 40;
/// In place of a peer.
pub(super) const MANY_PEERS: &str = "many peers";

/// Device and buzzer.
type ButtonId = (u32, u16);

/// Kinds of trouble, each with a sum of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    StaleStamp,
    ReaderStall,
    Gap,
    RingFull,
    HeapFull,
    Anchor,
}

/// Everything that is told as a sum.
#[derive(Debug)]
pub(super) struct Notes {
    /// Edges that did not count, and whether the last left the contact closed.
    ignored: Sums<ButtonId, bool>,
    /// Presses of pools that are not connected.
    uncounted: Sums<ButtonId, ()>,
    /// By device; 0: of none.
    trouble: Sums<(u32, Trouble), Fact>,
    /// What may come as a handful at once.
    storage: Sums<(), Fact>,
    /// By the address of the peer.
    refused: Sums<String, Fact>,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            ignored: Sums::new(MANY),
            uncounted: Sums::new(MANY),
            trouble: Sums::new(MANY),
            storage: Sums::of_one_key(FEW),
            refused: Sums::new(REFUSALS),
        }
    }
}

impl Notes {
    /// When one of them is to be told.
    pub(super) fn next_due(&self) -> Option<KernelTime> {
        let (ignored, uncounted) = (self.ignored.next_due(), self.uncounted.next_due());
        let rest = [self.trouble.next_due(), self.storage.next_due(), self.refused.next_due()];
        [ignored, uncounted].into_iter().chain(rest).flatten().min()
    }

    pub(super) fn add_ignored(&mut self, button: ButtonId, at: KernelTime, down: bool) {
        self.ignored.add(button, at, down, |is_down, down| *is_down = down);
    }

    pub(super) fn add_uncounted(&mut self, button: ButtonId, at: KernelTime) {
        self.uncounted.add(button, at, (), |(), ()| {});
    }
}

/// Two of a kind as one: the later one, with the worst of both.
fn join(sum: &mut Fact, new: Fact) {
    let earlier = std::mem::replace(sum, new);
    match (sum, earlier) {
        (Fact::Gap { since_us, .. }, Fact::Gap { since_us: earlier, .. }) => {
            *since_us = earlier.min(*since_us)
        }
        (Fact::ReaderStall { late_us: most, .. }, Fact::ReaderStall { late_us: earlier, .. })
        | (Fact::HeapFull { full_us: most }, Fact::HeapFull { full_us: earlier }) => {
            *most = earlier.max(*most)
        }
        (Fact::RingFull { waiting_max }, Fact::RingFull { waiting_max: earlier }) => {
            *waiting_max = earlier.max(*waiting_max);
        }
        (
            Fact::Storage { first_seq, last_seq, .. },
            Fact::Storage { first_seq: first, last_seq: last, .. },
        ) => {
            // 0: it is about none.
            *first_seq = [first, *first_seq].into_iter().filter(|seq| *seq > 0).min().unwrap_or(0);
            *last_seq = last.max(*last_seq);
        }
        _ => {}
    }
}

/// A sum as a record.
fn summed(sum: Sum<Fact>) -> (KernelTime, Fact) {
    let Sum { times: count, since, last, what: mut fact, .. } = sum;
    match &mut fact {
        Fact::Refuse { times, since_us, .. }
        | Fact::StaleStamp { times, since_us, .. }
        | Fact::ReaderStall { times, since_us, .. } => {
            *times = count;
            *since_us = (count > 1).then_some(since.as_us());
        }
        Fact::Storage { done, .. } if count > 1 => {
            *done = format!("{done} (reported {count} times, this is the last)")
        }
        // From the beginning of the first on.
        Fact::HeapFull { full_us } if count > 1 => {
            *full_us = full_us.saturating_add(last.since(since).as_us())
        }
        _ => {}
    }
    (last, fact)
}

/// Who a peer is: its address without the port, for a new connection has another port. Of IPv6 the 64 bits that one
/// network has, in which anybody can take any address.
fn peer(by: &str) -> String {
    use std::net::{IpAddr, SocketAddr};
    match by.parse::<SocketAddr>().map(|address| address.ip().to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => format!("{:x}", address.to_bits() >> 64),
        Err(_) => by.to_owned(),
    }
}

impl Mediator {
    /// Something that changes nothing and is to be read in the log: about the clock, the storage, the machine.
    pub fn handle_note(&mut self, note: Fact, at: KernelTime) {
        self.note(at, note);
    }

    /// Tells of trouble, if there was no such record within a second, or has it summed.
    pub(super) fn note(&mut self, at: KernelTime, fact: Fact) {
        let key = match &fact {
            Fact::StaleStamp { device, .. } => (*device, Trouble::StaleStamp),
            Fact::ReaderStall { device, .. } => (*device, Trouble::ReaderStall),
            Fact::Gap { device, .. } => (*device, Trouble::Gap),
            Fact::RingFull { .. } => (0, Trouble::RingFull),
            Fact::HeapFull { .. } => (0, Trouble::HeapFull),
            Fact::Anchor { .. } => (0, Trouble::Anchor),
            Fact::Storage { .. } if self.notes.storage.may_tell(&(), at) => return self.tell_at(at, fact),
            Fact::Storage { .. } => return self.notes.storage.add((), at, fact, join),
            Fact::Expired { .. } => return self.note_expired(at, &fact),
            _ => return self.tell_at(at, fact),
        };
        if self.notes.trouble.may_tell(&key, at) {
            self.tell_at(at, fact);
        } else {
            self.notes.trouble.add(key, at, fact, join);
        }
    }

    /// Tells that a segment goes, with the state.
    fn note_expired(&mut self, at: KernelTime, fact: &Fact) {
        let pools: Vec<PoolId> = self.state.connected().cloned().collect();
        let mut chunks: Vec<&[PoolId]> = pools.chunks(POOLS_MAX).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let state_boot = self.state.boot().to_owned();
        for (chunk, number) in chunks.into_iter().zip(1..) {
            let mut fact = fact.clone();
            if let Fact::Expired { boot, connected, part, parts, .. } = &mut fact {
                (*boot, *connected) = (Some(state_boot.clone()), chunk.to_vec());
                (*part, *parts) = (number, count);
            }
            self.record(at, fact);
        }
    }

    /// Tells of a refusal, likewise.
    pub(super) fn note_refused(&mut self, at: KernelTime, mut fact: Fact) {
        let Fact::Refuse { by, .. } = &mut fact else { return };
        let mut peer = peer(by);
        let refused = &mut self.notes.refused;
        if refused.may_tell(&peer, at) {
            return self.tell_at(at, fact);
        }
        if refused.len() >= PEERS_MAX && !refused.has(&peer) {
            MANY_PEERS.clone_into(by);
            MANY_PEERS.clone_into(&mut peer);
        }
        refused.add(peer, at, fact, join);
    }

    /// Tells what is due.
    pub(super) fn tell_notes(&mut self, now: KernelTime) {
        let sums = self.notes.ignored.take_due(now);
        self.tell_ignored(sums);
        let sums = self.notes.uncounted.take_due(now);
        self.tell_uncounted(sums);
        let trouble = self.notes.trouble.take_due(now).into_iter().map(|(_, sum)| sum);
        let storage = self.notes.storage.take_due(now).into_iter().map(|(_, sum)| sum);
        let refused = self.notes.refused.take_due(now).into_iter().map(|(_, sum)| sum);
        self.tell(trouble.chain(storage).chain(refused).collect());
    }

    /// Tells everything of a device, which goes.
    pub(super) fn end_notes_of(&mut self, device: u32, at: KernelTime) {
        let buttons = (device, 0)..=(device, u16::MAX);
        let sums = self.notes.ignored.take_all(buttons.clone(), at, |_, _| {});
        self.tell_ignored(sums);
        let sums = self.notes.uncounted.take_all(buttons, at, |(), ()| {});
        self.tell_uncounted(sums);
        let all = (device, Trouble::StaleStamp)..=(device, Trouble::Gap);
        let sums = self.notes.trouble.take_every(all, at);
        self.tell(sums);
    }

    /// Tells everything, because the process ends.
    pub(super) fn end_notes(&mut self, now: KernelTime) {
        let devices: Vec<u32> = self.state.devices().collect();
        devices.into_iter().for_each(|device| self.end_notes_of(device, now));
        let trouble = self.notes.trouble.take_every(.., now);
        let storage = self.notes.storage.take_every(.., now);
        let refused = self.notes.refused.take_every(.., now);
        self.tell(trouble.into_iter().chain(storage).chain(refused).collect());
    }

    fn tell_at(&mut self, at: KernelTime, fact: Fact) {
        self.record(at, fact);
    }

    fn tell(&mut self, sums: Vec<Sum<Fact>>) {
        for (at, fact) in sums.into_iter().map(summed) {
            self.record(at, fact);
        }
    }

    fn tell_ignored(&mut self, sums: Vec<(ButtonId, Sum<bool>)>) {
        for ((device, buzzer), sum) in sums {
            let Some(pool) = self.state.pool_of(device).cloned() else { continue };
            let Sum { times: edges, since, last, what: down, others, .. } = sum;
            let span_us = last.since(since).as_us();
            let chatters =
                others == 0 && self.state.buttons().is_new_chatter((device, buzzer), edges, span_us);
            let (counted, since_us) = (pool.clone(), since.as_us());
            self.record(last, Fact::Ignored { pool: counted, buzzer, device, edges, since_us, down, others });
            if chatters {
                self.record(last, Fact::Chattering { pool, buzzer, device });
            }
        }
    }

    fn tell_uncounted(&mut self, sums: Vec<(ButtonId, Sum<()>)>) {
        for ((device, buzzer), sum) in sums {
            let Some(pool) = self.state.pool_of(device).cloned() else { continue };
            let Sum { times: presses, since, last, others, .. } = sum;
            let (since_us, reason) = (since.as_us(), "not_connected".to_owned());
            self.record(last, Fact::Uncounted { pool, buzzer, device, presses, since_us, reason, others });
        }
    }
}
