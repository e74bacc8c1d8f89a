//! `buzzerd serve`. In: a valid configuration. Out: a running daemon. Guarantee: what it listens on and where it logs is
//! said before it is ready; from then on one kind of trouble is one line a second.

use anyhow::{Context, anyhow};
use buzzer_server::config::{Config, PoolSource};
use buzzer_server::io::daemon::Daemon;
use buzzer_server::io::machine::handed::Handed;
use buzzer_server::io::machine::{host, signals};
use buzzer_server::io::net::addresses;
use buzzer_server::io::store::event_log::EventLog;
use clap::Args;
use rustix::fs::Mode;

use super::{Failure, stderr};

#[derive(Debug, Args)]
pub(crate) struct Serve {}

impl Serve {
    pub(crate) fn run(self, config: Config) -> Result<(), Failure> {
        // First of all: nothing else can have these numbers yet.
        let handed = Handed::take();
        signals::ignore_strays();
        // The service's group reads the log and attaches to virtual pools under any umask of a unit or a shell: each file has a
        // mode of its own, of which this one takes only what is for everybody and for the group to write.
        rustix::process::umask(Mode::WGRP | Mode::RWXO);
        start(&config, handed)?.run().context("stopped").map_err(Failure::Failed)
    }
}

/// Opens the log and starts the daemon.
pub(super) fn start(config: &Config, handed: Handed) -> Result<Daemon, Failure> {
    raise_descriptor_limit();
    if let Some(doubt) = host::clock_doubt(host::wall_us()) {
        log::warn!("{doubt}");
    }
    let dir = config.log.dir.as_deref().ok_or_else(|| anyhow!("no log directory"))?;
    let opened = EventLog::open(&config.log, dir).map_err(anyhow::Error::from)?;
    log::info!("log: {} (seq {})", dir.display(), opened.state.seq());
    let daemon = Daemon::start(config, opened, handed).map_err(anyhow::Error::from)?;
    for address in daemon.addresses() {
        log::info!("listening: ws://{address}/");
    }
    for screen in addresses::screens(&daemon.addresses()) {
        log::info!("screen: {screen}    (open it in a browser)");
    }
    for pool in &config.pools {
        if let PoolSource::Virtual { socket, .. } = &pool.source {
            log::info!("pool {}: virtual, attach at {}", pool.id, socket.display());
        }
    }
    stderr::limit_repeats();
    Ok(daemon)
}

/// 8 192 clients need as many descriptors; the usual soft limit is 1 024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::warn!("the limit on open files stays at {:?}: {error}", limit.current);
    }
}
