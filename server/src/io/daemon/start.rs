//! The start of the daemon. In: the configuration, the log with the state that it tells, and what systemd hands over. Out: a
//! [`Daemon`] that listens. Guarantee: its first records say which process this is, what recovery found, the configuration, and
//! what the kernel refused; they are in the log before anybody is accepted.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use buzzer_core::io::devices::keep::Keep;
use buzzer_core::io::reader;
use buzzer_core::io::reader::Running;
use buzzer_core::io::reader::reader_stats::ReaderStats;
use buzzer_core::io::sys;
use buzzer_core::merge::ring;
use buzzer_core::merge::ring::RING_EVENTS;
use buzzer_core::time::KernelTime;
use mio::{Interest, Poll, Waker};
use serde_json::json;

use super::{ATTACHMENTS, CLOCK, Daemon, DaemonError, PEERS, SIGNAL, WAKE};
use crate::config::Config;
use crate::config::settings::settings;
use crate::game::mediator::Mediator;
use crate::io::attach::attachments::Attachments;
use crate::io::machine::cpu_latency::{CPU_LATENCY_PATH, CpuLatency};
use crate::io::machine::fd_store::FdStore;
use crate::io::machine::follow::Follower;
use crate::io::machine::handed::Handed;
use crate::io::machine::hardware;
use crate::io::machine::hardware::Hardware;
use crate::io::machine::watchdog::Watchdog;
use crate::io::machine::{host, signals};
use crate::io::net::listen;
use crate::io::net::peers::Peers;
use crate::io::net::vitals::Vitals;
use crate::io::store::event_log::Opened;
use crate::io::store::wall_clock::AnchorClock;
use crate::record::Fact;
use crate::wire::http::Access;

/// Bytes of settings in one `config` record, as JSON: with the rest it stays a short line.
const SETTINGS_BYTES_MAX: usize = 6000;

impl Daemon {
    /// Opens every socket, starts the threads, records the start.
    ///
    /// # Errors
    /// [`DaemonError`]; the process should end then.
    pub fn start(config: &Config, opened: Opened, handed: Handed) -> Result<Self, DaemonError> {
        let Opened { log, state, last_us, notes } = opened;
        let poll = Poll::new()?;
        let registry = poll.registry();
        let listeners = listen::all(&config.server.listen, handed.listening)?;
        let mut access = Access { hosts: host::full_names(), origins: config.server.allowed_origins.clone() };
        access.hosts.extend(config.server.allowed_hosts.iter().cloned());
        let peers = Peers::new(registry.try_clone()?, PEERS, listeners, access)?;
        let attachments = Attachments::new(registry.try_clone()?, ATTACHMENTS, &config.pools)?;
        let mut signals = signals::ending()?;
        registry.register(&mut signals, SIGNAL, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(registry, WAKE)?);
        log.wake_server(Arc::clone(&waker));
        let clock = AnchorClock::new(registry, CLOCK)?;
        let (sender, ring) = ring::ring(RING_EVENTS);
        let reader_stats = Arc::new(ReaderStats::default());
        let settle_us = config.order.settle_us;
        let running = reader::spawn(settle_us, sender, Arc::clone(&waker), Arc::clone(&reader_stats))?;
        let Running { requests: reader, commands, thread: reader_thread, lacks } = running;
        let device_ids = Arc::new(AtomicU32::new(1));
        let drained = KernelTime::from_us(last_us.unwrap_or(0)).min(sys::now());
        let keep = Keep { kept: handed.devices, drained, store: Box::new(FdStore::of_service()) };
        let hardware = Hardware::start(config, &waker, &reader, &device_ids, keep)?;
        let start = sys::now();
        let fact = Fact::Start {
            log: log.id().to_owned(),
            boot: log.boot().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wall_us: host::wall_us(),
            settle_us: settle_us.as_us(),
            realtime: lacks.realtime.is_none(),
        };
        let mut mediator = Mediator::new(state, hardware::pools(config), fact, start);
        notes.into_iter().chain(configuration(config)).for_each(|note| mediator.handle_note(note, start));
        let mut daemon = Self {
            poll,
            signals,
            peers,
            attachments,
            hardware,
            reader,
            reader_thread,
            commands,
            unposted: VecDeque::new(),
            unposted_commands: VecDeque::new(),
            ring,
            taken: 0,
            device_ids,
            mediator,
            log,
            records: Vec::new(),
            clock,
            told: VecDeque::new(),
            watchdog: Watchdog::new(start),
            follower: Follower::new(&reader_stats, lacks.realtime.is_none()),
            vitals: Vitals::new(start, settle_us, reader_stats),
            cpu_latency: CpuLatency::new(Path::new(CPU_LATENCY_PATH), config.server.cpu_dma_latency_us),
            turns_unwritten: 0,
            stopping: None,
        };
        daemon.tell_lacks(&lacks, start);
        daemon.obey(start);
        if daemon.hardware.has_kept() {
            daemon.take_over(start);
        }
        daemon.log.sign_when_durable();
        Ok(daemon)
    }

    /// Asks for what was connected before, and waits until that of it which stayed open over the restart is on its way to the
    /// reader: nothing else can be read before it.
    fn take_over(&mut self, start: KernelTime) {
        self.hardware.report(&mut self.mediator, start);
        self.obey(start);
        while !self.told.is_empty() {
            self.obey(start);
        }
        self.hardware.take_over();
        self.hardware.report(&mut self.mediator, start);
    }
}

/// The configuration, in as many records as it takes.
fn configuration(config: &Config) -> Vec<Fact> {
    let mut parts: Vec<Vec<String>> = vec![Vec::new()];
    let mut bytes = 0;
    for setting in settings(config) {
        // As JSON, where one character can take six bytes.
        let more = json!(setting).to_string().len() + 1;
        if bytes + more > SETTINGS_BYTES_MAX {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        parts.last_mut().into_iter().for_each(|part| part.push(setting.clone()));
    }
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let record = |(settings, part)| Fact::Config { part, parts: count, settings };
    parts.into_iter().zip(1..).map(record).collect()
}
