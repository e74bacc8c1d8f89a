//! What is on its way to its place in the one order. In: errands, with the time at which each was asked for; the numbers that come back
//! through the ring. Out: commands to be posted, and each errand once. Guarantee: a number is never used again, and one that comes
//! back after its errand was given up is passed over.

use std::collections::BTreeMap;

use buzzer_core::merge::order::Command;
use buzzer_core::time::KernelTime;

use super::{Mediator, Output};
use crate::game::ClientId;
use crate::game::connects::{CONNECT_US, Pending};
use crate::record::Fact;
use crate::record::pool_id::PoolId;

/// What is done when its place has come.
#[derive(Debug)]
pub(super) enum Errand {
    /// A client's `connect`.
    Connect {
        /// The client.
        client: ClientId,
        /// Its name in the log.
        by: String,
        /// The pool, as it was sent.
        pool: String,
    },
    /// A `connect` of which every device that opens has opened.
    Connected(Pending),
    /// To connect a pool that appeared and always is.
    ConnectAlways(PoolId),
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Asked {
    errands: BTreeMap<u64, (KernelTime, Errand)>,
    last: u64,
}

impl Asked {
    /// When the first has been on its way for too long.
    pub(super) fn due(&self) -> Option<KernelTime> {
        self.errands.values().next().map(|(at, _)| *at + CONNECT_US)
    }

    fn take_due(&mut self, now: KernelTime) -> Option<Errand> {
        let is_due = self.due().is_some_and(|due| due <= now);
        let first = if is_due { self.errands.pop_first() } else { None };
        first.map(|(_, (_, errand))| errand)
    }

    fn is_connected_soon(&self, pool: &PoolId) -> bool {
        let mut errands = self.errands.values();
        errands.any(|(_, errand)| matches!(errand, Errand::Connected(pending) if pending.pool == *pool))
    }
}

impl Mediator {
    /// Has this done in its place, which is that of `at` or, if what is later has had its place already, behind that.
    pub(super) fn ask_place(&mut self, errand: Errand, at: KernelTime) {
        self.asked.last += 1;
        let id = self.asked.last;
        self.asked.errands.insert(id, (at, errand));
        self.out.push_back(Output::Command(Command { id, at, is_timer: false }));
    }

    /// The place of a command or timer has come.
    pub(super) fn handle_place(&mut self, id: u64, at: KernelTime) {
        let Some((asked, errand)) = self.asked.errands.remove(&id) else { return };
        match errand {
            Errand::Connect { client, by, pool } => self.connect(client, &by, &pool, asked, at),
            Errand::Connected(pending) => self.decide(pending, at, true),
            Errand::ConnectAlways(pool) => {
                self.connect_always(&pool, asked, at);
                if let Some(spec) = self.pools.get(pool.as_str()).cloned() {
                    self.want_connected(&spec);
                }
            }
        }
    }

    /// Gives up what has been on its way for too long: the reader stands still.
    pub(super) fn time_out(&mut self, now: KernelTime) {
        while let Some(errand) = self.asked.take_due(now) {
            let (askers, by, pool) = match errand {
                Errand::Connect { client, by, pool } => (vec![client], by, pool),
                Errand::Connected(Pending { askers, by, pool, .. }) => (askers, by, pool.to_string()),
                Errand::ConnectAlways(_) => {
                    self.ask_place(errand, now);
                    continue;
                }
            };
            self.refuse(&askers, &by, &pool, "timed out".to_owned(), now);
        }
    }

    /// Whether a `connect` of this pool is not decided yet, or not in its place.
    pub(super) fn is_under_way(&self, pool: &PoolId) -> bool {
        self.connects.is_under_way(pool) || self.asked.is_connected_soon(pool)
    }

    pub(super) fn connect_always(&mut self, pool: &PoolId, asked: KernelTime, at: KernelTime) {
        let (by, asked_us) = ("autoconnect".to_owned(), asked_before(asked, at));
        self.record(at, Fact::Connect { pool: pool.clone(), by, asked_us });
    }
}

/// When it was asked for, where that is not when it took place.
pub(super) fn asked_before(asked: KernelTime, at: KernelTime) -> Option<u64> {
    (asked < at).then(|| asked.as_us())
}
