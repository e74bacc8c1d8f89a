//! What clients ask for. In: their requests, and their leaving. Out: answers, records, and slots wanted or not. Guarantee: a
//! `connect` is answered once, when every slot of its pool is decided or its time is up.

use buzzer_core::time::KernelTime;

use super::{Mediator, Output};
use crate::game::connects::Pending;
use crate::game::pool::PoolSpec;
use crate::game::request::names;
use crate::game::{Answer, ClientId, Request};
use crate::record::Fact;

/// What a client sent is quoted up to this length in the log.
const QUOTE_CHARS_MAX: usize = 64;
/// What a client was answered, likewise: it may name all pools.
const ANSWER_CHARS_MAX: usize = 256;

impl Mediator {
    /// A client's request; what it asked for before is answered.
    pub fn handle_request(&mut self, client: ClientId, by: &str, request: Request, now: KernelTime) {
        let answer = match request {
            Request::ListPools => {
                let available = self.pools.iter().filter(|spec| self.pools.is_available(spec));
                Answer::pools(available.map(|spec| &spec.id))
            }
            Request::ListBuzzers => Answer::buzzers(&self.state, self.pools.iter().map(|spec| &spec.id)),
            Request::Connect { pool } => return self.connect(client, by, &pool, now),
        };
        self.out.push_back(Output::Tell(client, answer));
    }

    /// A client is gone. What it asked for goes on.
    pub fn handle_client_gone(&mut self, client: ClientId) {
        self.connects.part(client);
    }

    fn connect(&mut self, client: ClientId, by: &str, pool: &str, now: KernelTime) {
        let Some(spec) = self.pools.get(pool).cloned() else {
            let known = names(self.pools.iter().map(|spec| &spec.id));
            return self.refuse(&[client], by, pool, format!("no such pool; known: {known}"), now);
        };
        if !self.pools.is_available(&spec) {
            let trouble = self.pools.trouble(&spec);
            return self.refuse(&[client], by, pool, trouble, now);
        }
        if self.pools.is_served(&spec) && (spec.slots.is_none() || self.state.is_connected(&spec.id)) {
            return self.connected(&[client], by, &spec, now);
        }
        if self.connects.ask(client, by, &spec.id, now) {
            let slots = spec.slots.as_deref().unwrap_or_default();
            self.pools.retry(slots);
            self.out.extend(slots.iter().map(|slot| Output::Want(*slot)));
        }
    }

    /// Ends every `connect` that is decided or out of time.
    pub(super) fn settle(&mut self, now: KernelTime) {
        loop {
            let pools = &self.pools;
            let is_decided = |pending: &Pending| {
                let spec = pools.get(pending.pool.as_str());
                pending.deadline <= now || spec.is_none_or(|spec| !pools.is_undecided(spec))
            };
            let Some(Pending { by, askers, pool, .. }) = self.connects.take(is_decided) else { return };
            let Some(spec) = self.pools.get(pool.as_str()).cloned() else { continue };
            if self.pools.is_served(&spec) {
                self.connected(&askers, &by, &spec, now);
                continue;
            }
            let timed_out = self.pools.is_undecided(&spec);
            let trouble = if timed_out { "timed out".into() } else { self.pools.trouble(&spec) };
            self.refuse(&askers, &by, pool.as_str(), trouble, now);
            if !self.state.is_connected(&pool) {
                self.out.extend(spec.slots.iter().flatten().map(|slot| Output::Unwant(*slot)));
            }
        }
    }

    fn connected(&mut self, askers: &[ClientId], by: &str, spec: &PoolSpec, now: KernelTime) {
        // What changes nothing is no record.
        if !self.state.is_connected(&spec.id) {
            self.record_for(now, Fact::Connect { pool: spec.id.clone(), by: by.to_owned() }, askers);
        }
        self.answer(askers, &Answer::connected(&self.state, &spec.id));
    }

    fn refuse(&mut self, askers: &[ClientId], by: &str, pool: &str, message: String, now: KernelTime) {
        let pool = pool.chars().take(QUOTE_CHARS_MAX).collect();
        let quoted = message.chars().take(ANSWER_CHARS_MAX).collect();
        let (by, times, since_us) = (by.to_owned(), 1, None);
        self.note_refused(now, Fact::Refuse { pool, by, message: quoted, times, since_us });
        self.answer(askers, &Answer::Refused(message));
    }

    fn answer(&mut self, askers: &[ClientId], answer: &Answer) {
        self.out.extend(askers.iter().map(|asker| Output::Tell(*asker, answer.clone())));
    }
}
