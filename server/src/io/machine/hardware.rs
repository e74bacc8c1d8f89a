//! The bridge to the devices thread. In: the configuration, and what the thread reports of slots. Out: the mediator's
//! words for it, and the mediator's requests to the thread. Guarantee: which slot makes which pool is decided here and
//! nowhere else; a device is announced to the mediator before its first event can leave the ring.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use buzzer_core::device::assign::{Assignment, Found};
use buzzer_core::device::claim::{Claim, Claims, Match, SlotId};
use buzzer_core::device::lights::Light;
use buzzer_core::event::{Buzzer, DeviceId};
use buzzer_core::io::devices::keep::Keep;
use buzzer_core::io::devices::survey::Row;
use buzzer_core::io::devices::{self, Devices, Options, Report, Request};
use buzzer_core::io::mailbox::Mailbox;
use buzzer_core::io::reader::source::ReaderRequest;
use buzzer_core::time::KernelTime;
use mio::Waker;

use crate::config::{Config, PoolSource};
use crate::game::mediator::{Announced, Mediator, Output};
use crate::game::pool::PoolSpec;
use crate::judge::explain::words::list;
use crate::record::pool_id::PoolId;
use crate::record::{DeviceDelay, Fact, Stamps};

/// Where device nodes are.
pub const INPUT_DIR: &str = "/dev/input";
/// Where the kernel describes them.
pub const SYSFS_ROOT: &str = "/sys";

/// Reports that may wait: more than a machine has devices.
const REPORTS_MAX: usize = 4096;
/// Listing sysfs takes some ms; a machine on which it takes longer starts with what is known by then.
const LISTING: Duration = Duration::from_secs(2);

/// The devices thread, seen from the server.
#[derive(Debug)]
pub struct Hardware {
    devices: Option<Devices>,
    requests: Mailbox<Request>,
    reports: Mailbox<Report>,
    /// Tells when what was kept over a restart is on its way to the reader; `None`: nothing was kept.
    kept: Option<mpsc::Receiver<()>>,
    /// The pool of every slot.
    pools: BTreeMap<SlotId, PoolId>,
    /// What the configuration asks of every slot.
    matches: BTreeMap<SlotId, Match>,
    found: BTreeMap<SlotId, Box<Found>>,
    opened: BTreeSet<DeviceId>,
}

/// What the configuration asks of the machine. Slots are numbered as `claims` lists them.
pub fn claims(config: &Config) -> Claims {
    if config.pools.is_empty() {
        return Claims::Known { debounce_us: config.order.debounce_us };
    }
    let claims = config.pools.iter().flat_map(|pool| match &pool.source {
        PoolSource::Virtual { .. } => Vec::new(),
        PoolSource::Hardware(entries) => entries
            .iter()
            .zip(1..)
            .map(|(entry, number)| Claim {
                entry: match entries.len() {
                    1 => format!("pool {:?}", pool.id.as_str()),
                    _ => format!("pool {:?}, device {number}", pool.id.as_str()),
                },
                matcher: entry.matcher.clone(),
                buzzers: entry.buzzers.clone(),
                debounce_us: pool.debounce_us,
                delay: entry.delay,
            })
            .collect(),
    });
    Claims::Listed(claims.collect())
}

/// The pools of the configuration, with the slots that [`claims`] numbers.
pub fn pools(config: &Config) -> Vec<PoolSpec> {
    let mut slots = (0..).map(SlotId::new);
    let spec = |pool: &crate::config::PoolConfig| PoolSpec {
        id: pool.id.clone(),
        autoconnect: pool.autoconnect,
        slots: match &pool.source {
            PoolSource::Virtual { .. } => None,
            PoolSource::Hardware(entries) => Some(slots.by_ref().take(entries.len()).collect()),
        },
    };
    config.pools.iter().map(spec).collect()
}

/// The pool of the configuration that has this slot.
pub fn pool_at(specs: &[PoolSpec], slot: SlotId) -> Option<&PoolSpec> {
    specs.iter().find(|spec| spec.slots.iter().flatten().any(|own| *own == slot))
}

/// The pool that the device of a row serves, if it serves one: the configuration's, or the one that it makes.
pub fn pool_of(specs: &[PoolSpec], row: &Row) -> Option<String> {
    let Assignment::Slot(slot) = row.verdict else { return None };
    pool_at(specs, slot).map(|spec| spec.id.to_string()).or_else(|| row.label.clone())
}

impl Hardware {
    /// Starts the devices thread and waits until it has looked at the machine once, so that the first client is not
    /// told that nothing is there.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn start(
        config: &Config,
        waker: &Arc<Waker>,
        reader: &Mailbox<ReaderRequest>,
        device_ids: &Arc<AtomicU32>,
        keep: Keep,
    ) -> io::Result<Self> {
        let reports = Mailbox::new(REPORTS_MAX, Arc::clone(waker));
        let (passed, milestones) = mpsc::channel();
        let posting = reports.clone();
        let report = move |report: Report| {
            if matches!(report, Report::Listed | Report::Adopted) {
                let _ = passed.send(());
            }
            if posting.post(report).is_err() {
                log::error!("a report on a device was dropped: the server takes none");
            }
        };
        let claims = claims(config);
        let matches = match &claims {
            Claims::Listed(claims) => {
                (0..).map(SlotId::new).zip(claims.iter().map(|claim| claim.matcher.clone())).collect()
            }
            Claims::Known { .. } => BTreeMap::new(),
        };
        let options = Options {
            claims,
            input_dir: PathBuf::from(INPUT_DIR),
            sysfs_root: PathBuf::from(SYSFS_ROOT),
            device_ids: Arc::clone(device_ids),
        };
        let has_kept = !keep.kept.is_empty();
        let devices = devices::spawn(options, Box::new(report), reader.clone(), keep)?;
        let _ = milestones.recv_timeout(LISTING);
        let specs = pools(config);
        let of_spec = |spec: &PoolSpec| {
            let slots = spec.slots.clone().unwrap_or_default();
            slots.into_iter().map(|slot| (slot, spec.id.clone())).collect::<Vec<_>>()
        };
        Ok(Self {
            requests: devices.requests(),
            devices: Some(devices),
            reports,
            kept: has_kept.then_some(milestones),
            pools: specs.iter().flat_map(of_spec).collect(),
            matches,
            found: BTreeMap::new(),
            opened: BTreeSet::new(),
        })
    }

    /// Whether something was kept over a restart, and [`Self::take_over`] must follow.
    pub const fn has_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// All that is wanted at the start has been asked for. Waits until what was kept over a restart is on its way to the reader:
    /// what comes after that is told after it.
    pub fn take_over(&mut self) {
        if let Some(milestones) = self.kept.take()
            && self.requests.post(Request::AllWanted).is_ok()
        {
            let _ = milestones.recv_timeout(LISTING);
        }
    }

    /// Gives the mediator what has been reported.
    pub fn report(&mut self, mediator: &mut Mediator, now: KernelTime) {
        for report in self.reports.collect() {
            match report {
                Report::Present { slot, found } => self.present(slot, found, mediator, now),
                Report::Absent { slot } => {
                    self.found.remove(&slot);
                    mediator.handle_absent(slot, now);
                }
                Report::Opened { slot, device } => {
                    self.opened.insert(device);
                    let (Some(found), Some(pool)) = (self.found.get(&slot), self.pools.get(&slot)) else {
                        continue;
                    };
                    let identity = &found.identity;
                    let announced = Announced {
                        pool: pool.clone(),
                        name: identity.name.clone(),
                        place: format!("{} {}", identity.node, identity.phys),
                        stamps: Stamps::Kernel,
                        buzzers: found.keys.buzzers().iter().map(|buzzer| buzzer.0).collect(),
                        delay: DeviceDelay::from(&found.delay),
                        curve: found.delay.curve,
                    };
                    mediator.handle_opened(slot, device.get(), announced);
                }
                Report::Failed { slot, error } => {
                    let pool = self.pool_name(slot);
                    log::warn!(target: &target(&pool), "{pool}: {error}");
                    mediator.handle_failed(slot, error, now);
                }
                Report::Trouble { slot: Some(slot), text } => {
                    let pool = self.pool_name(slot);
                    log::warn!(target: &target(&pool), "{pool}: {text}");
                }
                Report::Trouble { slot: None, text } => log::warn!("{text}"),
                Report::Listed => self.say_what_is_awaited(),
                Report::Adopted => {}
            }
        }
    }

    fn present(&mut self, slot: SlotId, found: Box<Found>, mediator: &mut Mediator, now: KernelTime) {
        let mut new = None;
        // Without configuration a recognised device is a pool of its own.
        if let Entry::Vacant(entry) = self.pools.entry(slot) {
            match found.label.parse::<PoolId>() {
                Ok(id) => {
                    entry.insert(id.clone());
                    new = Some(PoolSpec { id, autoconnect: false, slots: Some(vec![slot]) });
                }
                Err(error) => log::error!("{}: {error}", found.identity.describe()),
            }
        }
        let buzzers: Vec<u16> = found.keys.buzzers().iter().map(|buzzer| buzzer.0).collect();
        log::info!("{}: has {}, buzzers {}", self.pool_name(slot), found.identity.describe(), list(&buzzers));
        if let Some(pool) = self.pools.get(&slot).cloned() {
            let identity = &found.identity;
            let (name, place) = (identity.name.clone(), format!("{} {}", identity.node, identity.phys));
            mediator.handle_note(Fact::Roster { pool, name, place }, now);
        }
        self.found.insert(slot, found);
        mediator.handle_present(slot, new, now);
    }

    /// A pool that is there says so by itself; one that is not would say nothing.
    fn say_what_is_awaited(&self) {
        for (slot, matcher) in &self.matches {
            if !self.found.contains_key(slot) {
                log::info!("{}: waits for a device that fits {matcher}", self.pool_name(*slot));
            }
        }
    }

    fn pool_name(&self, slot: SlotId) -> String {
        self.pools.get(&slot).map_or_else(|| format!("slot {slot}"), |pool| format!("pool {pool}"))
    }

    /// Whether a device was opened by the devices thread.
    pub fn owns(&self, device: DeviceId) -> bool {
        self.opened.contains(&device)
    }

    /// Passes on a request.
    pub fn obey(&mut self, output: &Output) {
        let request = match output {
            Output::Want(slot) => Request::Want(*slot),
            Output::Unwant(slot) => Request::Unwant(*slot),
            Output::Ended(device) => {
                self.opened.remove(&DeviceId::new(*device));
                Request::Ended(DeviceId::new(*device))
            }
            _ => return,
        };
        if self.requests.post(request).is_err() {
            log::error!("the devices thread takes no requests: {request:?} was dropped");
        }
    }

    /// Does this with the light of a buzzer of a pool. A light that cannot be written is told on stderr, with the cure.
    /// False: no device with this buzzer is there.
    pub fn light(&self, pool: &PoolId, buzzer: u16, light: Light) -> bool {
        let buzzer = Buzzer(buzzer);
        let has =
            |slot: &SlotId| self.found.get(slot).is_some_and(|found| found.keys.buzzers().contains(&buzzer));
        let mut own = self.pools.iter().filter(|(_, of)| *of == pool).map(|(slot, _)| *slot);
        let Some(slot) = own.find(has) else { return false };
        self.requests.post(Request::Light { slot, buzzer, light }).is_ok()
    }

    /// Ends the thread.
    pub fn stop(&mut self) {
        if let Some(devices) = self.devices.take() {
            devices.stop();
        }
    }
}

/// What one pool lacks is told beside what another one lacks.
fn target(pool: &str) -> String {
    format!("buzzerd: {pool}")
}
