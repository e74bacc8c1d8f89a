//! How the daemon is. In: the reader's counters and what the mediator knows. Out: the page `/healthz`, and a warning when a
//! press came late. Guarantee: looking changes nothing; keys are only ever added, so that scripts of last year still work.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use buzzer_core::io::reader_stats::ReaderStats;
use buzzer_core::time::{KernelTime, Micros};
use serde_json::json;

use super::event_log::EventLog;
use super::handshake::Page;
use crate::log::writer::Health;
use crate::mediator::Mediator;
use crate::settle::{self, LateWarning};

/// What is known besides what the mediator knows.
#[derive(Debug)]
pub(super) struct Vitals {
    start: KernelTime,
    settle_us: Micros,
    reader: Arc<ReaderStats>,
    late_warning: LateWarning,
}

impl Vitals {
    pub(super) fn new(start: KernelTime, settle_us: Micros, reader: Arc<ReaderStats>) -> Self {
        Self { start, settle_us, reader, late_warning: LateWarning::default() }
    }

    /// What to say of late presses, if there is something new.
    pub(super) fn late_warning(&mut self, now: KernelTime) -> Option<String> {
        let late = self.reader.late.load(Ordering::Relaxed);
        self.late_warning.check(late, self.late_us_max(), self.settle_us, now)
    }

    fn late_us_max(&self) -> Micros {
        Micros::from_us(self.reader.late_us_max.load(Ordering::Relaxed))
    }

    /// `/healthz`: 200 as long as buzzes are told and kept, 503 if the log does not take them.
    pub(super) fn page(&self, mediator: &Mediator, log: &EventLog, clients: usize, now: KernelTime) -> Page {
        let state = mediator.state();
        let pools: Vec<_> = mediator
            .pools()
            .iter()
            .map(|pool| {
                json!({
                    "pool": pool.id.as_str(),
                    "available": mediator.pools().is_available(pool),
                    "connected": state.is_connected(&pool.id),
                    "buzzers": state.buzzers(&pool.id).len(),
                })
            })
            .collect();
        let buttons = state.buttons().iter().filter_map(|((device, buzzer), button)| {
            let pool = state.pool_of(device)?.as_str();
            let heard = button.heard_us.map(|at| now.since(KernelTime::from_us(at)).as_us());
            // `null`: not since its device was connected.
            Some(json!({
                "pool": pool,
                "buzzer": buzzer,
                "proved": button.proved,
                "held": button.held_since_us.is_some(),
                "stuck": button.stuck,
                "chattering": button.chattering,
                "ignored_edges": button.ignored_edges,
                "not_heard_us": heard,
            }))
        });
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (is_failing, storage) = match log.health() {
            Health::Fine => (false, "ok".to_owned()),
            Health::Warning(text) => (false, text),
            Health::Failing(text) => (true, text),
        };
        let body = json!({
            "status": if is_failing { "log failing" } else { "ok" },
            "version": env!("CARGO_PKG_VERSION"),
            "up_us": now.since(self.start).as_us(),
            "seq": state.seq(),
            "durable_seq": log.durable_seq(),
            "log": log.dir().display().to_string(),
            "storage": storage,
            "clients": clients,
            "pools": pools,
            "buttons": buttons.collect::<Vec<_>>(),
            "presses": count(&self.reader.presses),
            "late": count(&self.reader.late),
            "late_us_max": self.late_us_max().as_us(),
            "settle_us": self.settle_us.as_us(),
            // `null`: nothing was late, so nothing is known against the one in use.
            "settle_us_advised": settle::fit(self.late_us_max()).map(Micros::as_us),
            "stale_stamps": count(&self.reader.stale),
            "gaps": count(&self.reader.gaps),
            "ring_full": count(&self.reader.ring_full),
            "heap_full": count(&self.reader.heap_full),
        });
        let status = if is_failing { "503 Service Unavailable" } else { "200 OK" };
        (status, "application/json", format!("{body}\n"))
    }
}

/// The page `/`.
pub(super) fn index() -> Page {
    let body = "buzzerd: a buzzer mediator.\n\n\
                WebSocket (any path): connect a pool with {\"command\":\"connect\",\"pool\":\"…\"}, then read its buzzes.\n\
                /healthz: how it is.\n";
    ("200 OK", "text/plain; charset=utf-8", body.to_owned())
}
