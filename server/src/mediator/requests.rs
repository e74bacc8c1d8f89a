//! What clients ask for. In: their requests, and their leaving. Out: answers, records, and slots wanted or not. Guarantee: a
//! `connect` is answered once, when every slot of its pool is decided or its time is up. What its client sent behind it comes
//! when that is answered: a client's session has one request under way at a time.

use buzzer_core::time::{KernelTime, Micros};

use super::{Mediator, Output};
use crate::outbox::ClientId;
use crate::pool::PoolSpec;
use crate::pool_id::PoolId;
use crate::record::Fact;
use crate::v1::{self, Request};

/// How long a `connect` may take.
const CONNECT_US: Micros = Micros::from_ms(5000);
/// What a client sent is quoted up to this length in the log.
const QUOTE_CHARS_MAX: usize = 64;
/// What a client was answered, likewise: it may name all pools.
const ANSWER_CHARS_MAX: usize = 256;

/// Every `connect` that is under way.
#[derive(Debug, Default)]
pub(super) struct Connects {
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    pool: PoolId,
    by: String,
    askers: Vec<ClientId>,
    deadline: KernelTime,
}

impl Connects {
    /// When the time of each is up.
    pub(super) fn due(&self) -> impl Iterator<Item = KernelTime> {
        self.pending.iter().map(|pending| pending.deadline)
    }

    /// Whether one of this pool is under way.
    pub(super) fn is_under_way(&self, pool: &PoolId) -> bool {
        self.pending.iter().any(|pending| pending.pool == *pool)
    }
}

impl Mediator {
    /// A client sent a message; what it sent before is answered.
    pub fn handle_request(&mut self, client: ClientId, by: &str, request: Request, now: KernelTime) {
        match request {
            Request::ListPools => {
                let available = self.pools.iter().filter(|spec| self.pools.is_available(spec));
                let ids: Vec<&str> = available.map(|spec| spec.id.as_str()).collect();
                self.out.push_back(Output::Tell(client, v1::pools(&ids)));
            }
            Request::ListBuzzers => {
                let connected = self.pools.iter().filter(|spec| self.state.is_connected(&spec.id));
                let pools: Vec<(&str, Vec<u16>)> = connected
                    .map(|spec| (spec.id.as_str(), self.state.buzzers(&spec.id).into_iter().collect()))
                    .filter(|(_, buzzers): &(_, Vec<u16>)| !buzzers.is_empty())
                    .collect();
                let text = v1::buzzers(pools.iter().map(|(pool, buzzers)| (*pool, buzzers.as_slice())));
                self.out.push_back(Output::Tell(client, text));
            }
            Request::Connect { pool } => self.connect(client, by, &pool, now),
        }
    }

    /// A client is gone. What it asked for goes on.
    pub fn handle_client_gone(&mut self, client: ClientId) {
        for pending in &mut self.connects.pending {
            pending.askers.retain(|asker| *asker != client);
        }
    }

    fn connect(&mut self, client: ClientId, by: &str, pool: &str, now: KernelTime) {
        let Some(spec) = self.pools.get(pool).cloned() else {
            let known: Vec<&str> = self.pools.iter().map(|spec| spec.id.as_str()).collect();
            let known = if known.is_empty() { "there is none".into() } else { known.join(", ") };
            return self.refuse(&[client], by, pool, &format!("no such pool; known: {known}"), now);
        };
        if !self.pools.is_available(&spec) {
            let trouble = self.pools.trouble(&spec);
            return self.refuse(&[client], by, pool, &trouble, now);
        }
        if self.pools.is_served(&spec) && (spec.slots.is_none() || self.state.is_connected(&spec.id)) {
            return self.connected(&[client], by, &spec, now);
        }
        if let Some(pending) = self.connects.pending.iter_mut().find(|pending| pending.pool == spec.id) {
            pending.askers.push(client);
            return;
        }
        let slots = spec.slots.as_deref().unwrap_or_default();
        self.pools.retry(slots);
        self.out.extend(slots.iter().map(|slot| Output::Want(*slot)));
        let deadline = now + CONNECT_US;
        self.connects.pending.push(Pending {
            pool: spec.id,
            by: by.to_owned(),
            askers: vec![client],
            deadline,
        });
    }

    /// Ends every `connect` that is decided or out of time.
    pub(super) fn settle(&mut self, now: KernelTime) {
        let mut place = 0;
        while let Some(pending) = self.connects.pending.get(place) {
            let spec = self.pools.get(pending.pool.as_str()).cloned();
            let Some(spec) = spec.filter(|spec| pending.deadline <= now || !self.pools.is_undecided(spec))
            else {
                place += 1;
                continue;
            };
            let timed_out = self.pools.is_undecided(&spec);
            let Pending { by, askers, pool, .. } = self.connects.pending.remove(place);
            if self.pools.is_served(&spec) {
                self.connected(&askers, &by, &spec, now);
            } else {
                let trouble = if timed_out { "timed out".into() } else { self.pools.trouble(&spec) };
                self.refuse(&askers, &by, pool.as_str(), &trouble, now);
                if !self.state.is_connected(&pool) {
                    self.out.extend(spec.slots.iter().flatten().map(|slot| Output::Unwant(*slot)));
                }
            }
        }
    }

    fn connected(&mut self, askers: &[ClientId], by: &str, spec: &PoolSpec, now: KernelTime) {
        let buzzers: Vec<u16> = self.state.buzzers(&spec.id).into_iter().collect();
        let text = v1::connect_result(spec.id.as_str(), &buzzers);
        // What changes nothing is no record.
        if !self.state.is_connected(&spec.id) {
            self.record_for(now, Fact::Connect { pool: spec.id.clone(), by: by.to_owned() }, askers);
        }
        self.out.extend(askers.iter().map(|asker| Output::Tell(*asker, text.clone())));
    }

    fn refuse(&mut self, askers: &[ClientId], by: &str, pool: &str, message: &str, now: KernelTime) {
        let quoted = pool.chars().take(QUOTE_CHARS_MAX).collect();
        let answer = message.chars().take(ANSWER_CHARS_MAX).collect();
        let (by, times, since_us) = (by.to_owned(), 1, None);
        self.note_refused(now, Fact::Refuse { pool: quoted, by, message: answer, times, since_us });
        let text = v1::connect_error(message);
        self.out.extend(askers.iter().map(|asker| Output::Tell(*asker, text.clone())));
    }
}
