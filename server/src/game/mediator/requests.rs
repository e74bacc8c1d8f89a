//! What clients ask for. In: their requests, and their leaving. Out: answers, records, and slots wanted or not. Guarantee: a
//! `connect` takes its place in the one order, and is answered once, when every slot of its pool is decided or its time is up; a
//! pool is connected in a place of that order too: the command's, its last device's, or one that was asked for.

use buzzer_core::time::KernelTime;

use super::asked::{Errand, asked_before};
use super::{Mediator, Output};
use crate::game::connects::Pending;
use crate::game::request::names;
use crate::game::{Answer, ClientId, Request};
use crate::record::Fact;
use crate::record::pool_id::PoolId;

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
            Request::Connect { pool } => {
                return self.ask_place(Errand::Connect { client, by: by.to_owned(), pool }, now);
            }
        };
        self.out.push_back(Output::Tell(client, answer));
    }

    /// A client is gone. What it asked for goes on.
    pub fn handle_client_gone(&mut self, client: ClientId) {
        self.connects.part(client);
    }

    /// A `connect` that was asked for takes its place.
    pub(super) fn connect(
        &mut self,
        client: ClientId,
        by: &str,
        pool: &str,
        asked: KernelTime,
        at: KernelTime,
    ) {
        let Some(spec) = self.pools.get(pool).cloned() else {
            let known = names(self.pools.iter().map(|spec| &spec.id));
            return self.refuse(&[client], by, pool, format!("no such pool; known: {known}"), at);
        };
        if !self.pools.is_available(&spec) {
            let trouble = self.pools.trouble(&spec);
            return self.refuse(&[client], by, pool, trouble, at);
        }
        if self.pools.is_served(&spec) && (spec.slots.is_none() || self.state.is_connected(&spec.id)) {
            return self.connected(&[client], by, &spec.id, asked, at);
        }
        if self.connects.ask(client, by, &spec.id, asked) {
            let slots = spec.slots.as_deref().unwrap_or_default();
            self.pools.retry(slots);
            self.out.extend(slots.iter().map(|slot| Output::Want(*slot)));
        }
    }

    /// Ends every `connect` that is decided or out of time. `is_placed`: `now` is a place in the one order.
    pub(super) fn settle(&mut self, now: KernelTime, is_placed: bool) {
        loop {
            let pools = &self.pools;
            let is_decided = |pending: &Pending| {
                let spec = pools.get(pending.pool.as_str());
                pending.deadline() <= now || spec.is_none_or(|spec| !pools.is_undecided(spec))
            };
            let Some(pending) = self.connects.take(is_decided) else { return };
            self.decide(pending, now, is_placed);
        }
    }

    /// Ends a `connect`: with its pool, in its place, or with what is in the way.
    pub(super) fn decide(&mut self, pending: Pending, now: KernelTime, is_placed: bool) {
        let Some(spec) = self.pools.get(pending.pool.as_str()).cloned() else { return };
        let Pending { by, askers, asked, .. } = &pending;
        if self.pools.is_served(&spec) {
            if is_placed {
                self.connected(askers, by, &spec.id, *asked, now);
            } else {
                self.ask_place(Errand::Connected(pending), now);
            }
            return;
        }
        let timed_out = self.pools.is_undecided(&spec);
        let trouble = if timed_out { "timed out".into() } else { self.pools.trouble(&spec) };
        self.refuse(askers, by, spec.id.as_str(), trouble, now);
        if !self.state.is_connected(&spec.id) {
            self.out.extend(spec.slots.iter().flatten().map(|slot| Output::Unwant(*slot)));
        }
    }

    fn connected(&mut self, askers: &[ClientId], by: &str, pool: &PoolId, asked: KernelTime, at: KernelTime) {
        // What changes nothing is no record.
        if !self.state.is_connected(pool) {
            let (by, asked_us) = (by.to_owned(), asked_before(asked, at));
            self.record_for(at, Fact::Connect { pool: pool.clone(), by, asked_us }, askers);
        }
        self.answer(askers, &Answer::connected(&self.state, pool));
    }

    pub(super) fn refuse(
        &mut self,
        askers: &[ClientId],
        by: &str,
        pool: &str,
        message: String,
        now: KernelTime,
    ) {
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
