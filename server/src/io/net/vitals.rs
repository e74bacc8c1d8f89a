//! How the daemon is. In: the reader's counters and what the mediator knows. Out: the page `/healthz`, and a warning when a
//! press came late. Guarantee: looking changes nothing; keys are only ever added, so that scripts of last year still work; the
//! page has at most 4 KiB, or as many buttons as were asked for and at most 512, so making it never delays a press.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use buzzer_core::io::reader::reader_stats::ReaderStats;
use buzzer_core::time::{KernelTime, Micros};
use serde_json::{Value, json};

use super::handshake::HttpPage;
use crate::game::button::{Button, ButtonId};
use crate::game::mediator::Mediator;
use crate::game::pool::PoolSpec;
use crate::game::settle::{self, LateWarning};
use crate::game::state::State;
use crate::io::machine::program;
use crate::io::store::event_log::EventLog;
use crate::log::store::writer::StorageHealth;

/// The page without buttons. It is passed only if the log's directory has a name of thousands of characters.
const PAGE_BYTES_MAX: usize = 4095;
/// What the lists need besides their entries: `,"pools":[],"troubled":[]` and a newline.
const LIST_NAMES_BYTES: usize = 28;
/// Buttons on one page; making it takes about as long as sending to 64 clients.
const BUTTONS_MAX: usize = 512;

/// What is known besides what the mediator knows.
#[derive(Debug)]
pub(crate) struct Vitals {
    start: KernelTime,
    settle_us: Micros,
    reader: Arc<ReaderStats>,
    late_warning: LateWarning,
}

impl Vitals {
    pub(crate) fn new(start: KernelTime, settle_us: Micros, reader: Arc<ReaderStats>) -> Self {
        Self { start, settle_us, reader, late_warning: LateWarning::default() }
    }

    /// What to say of late presses, if there is something new.
    pub(crate) fn late_warning(&mut self, now: KernelTime) -> Option<String> {
        let late = self.reader.late.load(Ordering::Relaxed);
        self.late_warning.check(late, self.late_us_max(), self.settle_us, now)
    }

    /// How many passes the reader has made.
    pub(crate) fn passes(&self) -> u64 {
        self.reader.passes.load(Ordering::Relaxed)
    }

    fn late_us_max(&self) -> Micros {
        Micros::from_us(self.reader.late_us_max.load(Ordering::Relaxed))
    }

    /// `/healthz`: 200 as long as buzzes are told and kept, 503 if the log does not take them. With the buttons from `first`
    /// on, if they are asked for.
    pub(crate) fn page(
        &self,
        mediator: &Mediator,
        log: &EventLog,
        clients: usize,
        first: Option<ButtonId>,
        now: KernelTime,
    ) -> HttpPage {
        let state = mediator.state();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (is_failing, storage) = match log.health() {
            StorageHealth::Fine => (false, "ok".to_owned()),
            StorageHealth::Warning(text) => (false, text),
            StorageHealth::Failing(text) => (true, text),
        };
        let sums = state.buttons().sums();
        let mut body = json!({
            "status": if is_failing { "log failing" } else { "ok" },
            "version": env!("CARGO_PKG_VERSION"),
            "restart_pending": program::is_replaced(),
            "up_us": now.since(self.start).as_us(),
            "seq": state.seq(),
            "durable_seq": log.durable_seq(),
            "log": log.dir().display().to_string(),
            "storage": storage,
            "clients": clients,
            "pool_count": mediator.pools().iter().count(),
            "button_sums": {
                "all": sums.all,
                "proved": sums.proved,
                "held": sums.held,
                "stuck": sums.stuck,
                "chattering": sums.chattering,
                "unheard": sums.unheard,
            },
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
        let mut room = PAGE_BYTES_MAX.saturating_sub(body.to_string().len() + LIST_NAMES_BYTES);
        let pools = mediator.pools().iter().map(|pool| pool_entry(mediator, pool));
        body["pools"] = fitting(pools, room / 3 * 2, &mut room);
        let troubled = state.buttons().troubled().filter_map(|(id, button)| trouble(state, id, button, now));
        body["troubled"] = fitting(troubled, room, &mut room);
        if let Some(first) = first {
            let mut buttons = state.buttons().from(first);
            let shown = buttons.by_ref().take(BUTTONS_MAX);
            let shown = shown.filter_map(|(id, button)| button_entry(state, id, button, now));
            body["buttons"] = shown.collect();
            body["next"] = buttons.next().map(|((device, buzzer), _)| format!("{device}.{buzzer}")).into();
        }
        let status = if is_failing { "503 Service Unavailable" } else { "200 OK" };
        (status, "application/json", format!("{body}\n"))
    }
}

/// As many entries as fit into so many bytes, which `room` loses. There may be more.
fn fitting(entries: impl Iterator<Item = Value>, bytes: usize, room: &mut usize) -> Value {
    let mut left = bytes;
    let fit = entries.map_while(|entry| {
        left = left.checked_sub(entry.to_string().len() + 1)?;
        Some(entry)
    });
    let list = fit.collect();
    *room -= bytes - left;
    list
}

fn pool_entry(mediator: &Mediator, pool: &PoolSpec) -> Value {
    let state = mediator.state();
    let (connected, buzzers) = (state.is_connected(&pool.id), state.count_buzzers(&pool.id));
    json!({
        "pool": pool.id.as_str(),
        "available": mediator.pools().is_available(pool),
        "connected": connected,
        // It is wanted, and nothing is there that could be pressed.
        "waiting": (connected || pool.autoconnect) && buzzers == 0,
        "buzzers": buzzers,
        "devices": state.device_count(&pool.id),
    })
}

fn trouble(state: &State, (device, buzzer): ButtonId, button: &Button, now: KernelTime) -> Option<Value> {
    let held_us = button.held_since_us.map(|since| now.since(KernelTime::from_us(since)).as_us());
    Some(json!({
        "pool": state.pool_of(device)?.as_str(),
        "buzzer": buzzer,
        "held_us": held_us,
        "stuck": button.stuck,
        "chattering": button.chattering,
    }))
}

fn button_entry(
    state: &State,
    (device, buzzer): ButtonId,
    button: &Button,
    now: KernelTime,
) -> Option<Value> {
    Some(json!({
        "pool": state.pool_of(device)?.as_str(),
        "buzzer": buzzer,
        "proved": button.proved,
        "held": button.held_since_us.is_some(),
        "stuck": button.stuck,
        "chattering": button.chattering,
        "ignored_edges": button.ignored_edges,
        // `null`: not since its device was connected.
        "not_heard_us": button.heard_us.map(|at| now.since(KernelTime::from_us(at)).as_us()),
    }))
}
