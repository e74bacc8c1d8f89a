//! The bridge to the devices thread. In: what it reports of slots. Out: the mediator's words for it, and the mediator's
//! wishes to the thread. Guarantee: which slot makes which pool is decided here and nowhere else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use buzzer_core::event::DeviceId;
use buzzer_core::io::mailbox::Mailbox;
use buzzer_core::io::source::ReaderRequest;
use buzzer_core::time::KernelTime;
use mio::Waker;

use crate::config::{Config, PoolSource};
use crate::mediator::{Mediator, Output};
use crate::pool::PoolSpec;

/// The devices thread, seen from the server.
#[derive(Debug)]
pub struct Hardware {}

impl Hardware {
    /// Starts the devices thread.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn start(
        _config: &Config,
        _waker: &Arc<Waker>,
        _reader: &Mailbox<ReaderRequest>,
        _ids: &Arc<AtomicU32>,
    ) -> io::Result<Self> {
        Ok(Self {})
    }

    /// The pools of the configuration.
    pub fn pools(&self, config: &Config) -> Vec<PoolSpec> {
        config
            .pools
            .iter()
            .map(|pool| PoolSpec {
                id: pool.id.clone(),
                autoconnect: pool.autoconnect,
                slots: match &pool.source {
                    PoolSource::Virtual { .. } => None,
                    PoolSource::Hardware(_) => Some(Vec::new()),
                },
            })
            .collect()
    }

    /// Gives the mediator what has been reported.
    pub fn report(&mut self, _mediator: &mut Mediator, _now: KernelTime) {}

    /// Whether a device was opened by the devices thread.
    pub fn owns(&self, _device: DeviceId) -> bool {
        false
    }

    /// Passes on a wish.
    pub fn obey(&mut self, _output: &Output) {}

    /// Ends the thread.
    pub fn stop(&mut self) {}
}
