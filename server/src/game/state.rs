//! The fold of the log. In: records, in order. Out: which pools are connected, which device serves which buzzer, and
//! the [`News`] each record is for the world. Guarantee: total and deterministic: the same records give the same
//! state and the same news, live and in a replay; nothing here can refuse.

use std::collections::{BTreeMap, BTreeSet};

use crate::game::button::Buttons;
use crate::game::photo::Delay;
use crate::record::pool_id::PoolId;
use crate::record::{Class, DeviceDelay, Fact, Record, Stamps};

/// What the world is told because of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A buzzer was hit.
    Buzz {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
    },
    /// A buzzer is there that was not.
    Connected {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: u16,
    },
    /// A buzzer is gone, or with `None` the last of its pool.
    Disconnected {
        /// The pool.
        pool: PoolId,
        /// The buzzer.
        buzzer: Option<u16>,
    },
}

/// The state of the world as the log tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    seq: u64,
    boot: String,
    /// Pools that are connected, and stay wanted when their hardware goes.
    connected: BTreeSet<PoolId>,
    devices: BTreeMap<u32, Device>,
    /// The models that were here since the start, each with the number of its first device.
    models: Vec<(u32, String, DeviceDelay)>,
    /// How many devices serve each buzzer of a pool.
    served: BTreeMap<PoolId, BTreeMap<u16, usize>>,
    /// The longest delay of a device whose presses count; asked for with every press.
    delay_us_max: i64,
    buttons: Buttons,
}

/// Models that are told apart; of more, each device is one of its own.
const MODELS_MAX: usize = 256;

/// An attached device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    pool: PoolId,
    buzzers: Vec<u16>,
    /// The reader stamps it.
    is_receipt: bool,
    delay: Delay,
}

impl State {
    /// The `seq` of the last record.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether the pool's presses count.
    pub fn is_connected(&self, pool: &PoolId) -> bool {
        self.connected.contains(pool)
    }

    /// Whether there is a device whose presses count.
    pub fn is_played(&self) -> bool {
        self.devices.values().any(|device| self.is_connected(&device.pool))
    }

    /// The kernel's name for this boot.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// The pools that are connected.
    pub fn connected(&self) -> impl Iterator<Item = &PoolId> {
        self.connected.iter()
    }

    /// How many devices serve this pool: nodes of hardware, or attachments.
    pub fn device_count(&self, pool: &PoolId) -> usize {
        self.devices.values().filter(|device| device.pool == *pool).count()
    }

    /// The devices that are attached, ascending.
    pub fn devices(&self) -> impl Iterator<Item = u32> {
        self.devices.keys().copied()
    }

    /// The pool that a device serves.
    pub fn pool_of(&self, device: u32) -> Option<&PoolId> {
        self.devices.get(&device).map(|device| &device.pool)
    }

    /// The buzzers that devices serve in a pool, connected or not, ascending.
    pub fn buzzers(&self, pool: &PoolId) -> BTreeSet<u16> {
        self.served.get(pool).into_iter().flat_map(BTreeMap::keys).copied().collect()
    }

    /// How many buzzers devices serve in a pool.
    pub fn count_buzzers(&self, pool: &PoolId) -> usize {
        self.served.get(pool).map_or(0, BTreeMap::len)
    }

    fn add_device(&mut self, id: u32, device: Device) {
        self.remove_device(id);
        let served = self.served.entry(device.pool.clone()).or_default();
        device.buzzers.iter().for_each(|buzzer| *served.entry(*buzzer).or_default() += 1);
        self.devices.insert(id, device);
    }

    fn remove_device(&mut self, id: u32) {
        let Some(device) = self.devices.remove(&id) else { return };
        let Some(served) = self.served.get_mut(&device.pool) else { return };
        for buzzer in &device.buzzers {
            match served.get_mut(buzzer) {
                Some(devices) if *devices > 1 => *devices -= 1,
                _ => drop(served.remove(buzzer)),
            }
        }
        if served.is_empty() {
            self.served.remove(&device.pool);
        }
    }

    /// How long before its stamp a press of this device was made.
    pub fn delay(&self, device: u32) -> Delay {
        self.devices.get(&device).map(|device| device.delay).unwrap_or_default()
    }

    /// Whether the reader stamps the presses of this device when it reads them.
    pub fn is_receipt(&self, device: u32) -> bool {
        self.devices.get(&device).is_some_and(|device| device.is_receipt)
    }

    /// Until when a press may still come that was made before one of this stamp and delay, µs.
    pub fn final_at_us(&self, at_us: u64, own_us: [i64; 2]) -> u64 {
        at_us.saturating_add(self.delay_us_max.saturating_sub(own_us[0]).max(0).cast_unsigned())
    }

    /// Devices of one model at one polling interval have one class, also one after the other.
    fn delay_of(&mut self, device: u32, name: &str, said: &DeviceDelay) -> Delay {
        let is_of = |(_, of, as_said): &&(u32, String, DeviceDelay)| of == name && as_said == said;
        let class = match self.models.iter().find(is_of) {
            Some((class, ..)) => *class,
            None => {
                if said.model.is_some() && self.models.len() < MODELS_MAX {
                    self.models.push((device, name.to_owned(), said.clone()));
                }
                device
            }
        };
        let us = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
        let [min_us, max_us] = said.delay_us.map(us);
        Delay {
            min_us,
            max_us,
            width_us: said.width_us.map_or_else(|| max_us.saturating_sub(min_us), us),
            scan_us: said.scan_us.map(us),
            poll_us: said.poll_us.map(us),
            class,
        }
    }

    /// Every button of attached devices.
    pub const fn buttons(&self) -> &Buttons {
        &self.buttons
    }

    /// Takes the next record and gives its news.
    pub fn apply(&mut self, record: &Record, tell: impl FnMut(News)) {
        self.seq = record.seq;
        self.buttons.apply(record);
        self.apply_pools(record, tell);
        if matches!(record.fact.class(), Class::Pools | Class::Devices) {
            let counting = self.devices.values().filter(|device| self.is_connected(&device.pool));
            self.delay_us_max = counting.map(|device| device.delay.max_us).max().unwrap_or(0);
        }
    }

    /// Whether a record of this kind can change what is left of the state after the next `start`. Devices and buttons
    /// are not.
    pub fn outlives_start(kind: &str) -> bool {
        Class::of(kind) == Some(Class::Pools)
    }

    /// Takes a record that does not outlive a start. The state is complete again after the next `start`.
    pub const fn skip_to(&mut self, seq: u64) {
        self.seq = seq;
    }

    fn apply_pools(&mut self, record: &Record, mut tell: impl FnMut(News)) {
        match &record.fact {
            Fact::Start { boot, .. } => {
                self.devices.clear();
                self.models.clear();
                self.served.clear();
                if self.boot != *boot {
                    // A new boot is a new evening: nobody is connected unless the configuration says so.
                    self.connected.clear();
                    self.boot.clone_from(boot);
                }
            }
            Fact::Attach { device, pool, name, stamps, buzzers, delay, .. } => {
                let before = self.buzzers(pool);
                let delay = self.delay_of(*device, name, delay);
                let is_receipt = *stamps == Stamps::Receipt;
                let attached = Device { pool: pool.clone(), buzzers: buzzers.clone(), is_receipt, delay };
                self.add_device(*device, attached);
                if self.is_connected(pool) {
                    for buzzer in self.buzzers(pool).difference(&before) {
                        tell(News::Connected { pool: pool.clone(), buzzer: *buzzer });
                    }
                }
            }
            Fact::Detach { device, pool, .. } => {
                let before = self.buzzers(pool);
                self.remove_device(*device);
                let after = self.buzzers(pool);
                if !self.is_connected(pool) || before == after {
                    return;
                }
                if after.is_empty() {
                    tell(News::Disconnected { pool: pool.clone(), buzzer: None });
                } else {
                    for buzzer in before.difference(&after) {
                        tell(News::Disconnected { pool: pool.clone(), buzzer: Some(*buzzer) });
                    }
                }
            }
            Fact::Connect { pool, .. } => {
                let is_new = self.connected.insert(pool.clone());
                for buzzer in self.buzzers(pool).into_iter().filter(|_| is_new) {
                    tell(News::Connected { pool: pool.clone(), buzzer });
                }
            }
            Fact::Disconnect { pool, .. } => {
                let was_connected = self.connected.remove(pool);
                if was_connected && !self.buzzers(pool).is_empty() {
                    tell(News::Disconnected { pool: pool.clone(), buzzer: None });
                }
            }
            Fact::Press { pool, buzzer, .. } => {
                // Only a connected pool has presses; where the log lacks its beginning, this may be the first word of it.
                if !self.connected.contains(pool) {
                    self.connected.insert(pool.clone());
                }
                tell(News::Buzz { pool: pool.clone(), buzzer: *buzzer });
            }
            Fact::Expired { boot: None, .. } => {}
            Fact::Expired { boot: Some(boot), connected, part, .. } => {
                if *part == 1 {
                    self.boot.clone_from(boot);
                    self.connected.clear();
                }
                self.connected.extend(connected.iter().cloned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> PoolId {
        "desk".parse().unwrap()
    }

    fn attach(device: u32, buzzers: &[u16]) -> Fact {
        Fact::Attach {
            device,
            pool: pool(),
            name: String::new(),
            place: String::new(),
            stamps: Stamps::Kernel,
            buzzers: buzzers.to_vec(),
            delay: DeviceDelay::default(),
        }
    }

    fn detach(device: u32) -> Fact {
        Fact::Detach { device, pool: pool(), reason: "unplugged".into(), certain: false }
    }

    fn start(boot: &str) -> Fact {
        let (log, version) = (String::new(), String::new());
        Fact::Start { log, boot: boot.into(), version, wall_us: 0, settle_us: 0, realtime: false }
    }

    fn news(state: &mut State, fact: Fact) -> Vec<News> {
        let mut news = Vec::new();
        let record = Record { seq: state.seq() + 1, at_us: 0, fact };
        state.apply(&record, |item| news.push(item));
        news
    }

    fn connected(buzzer: u16) -> News {
        News::Connected { pool: pool(), buzzer }
    }

    fn disconnected(buzzer: Option<u16>) -> News {
        News::Disconnected { pool: pool(), buzzer }
    }

    #[test]
    fn a_buzzer_goes_when_the_last_device_that_serves_it_goes() {
        let mut state = State::default();
        assert_eq!(news(&mut state, attach(1, &[1, 2])), [], "not connected: nobody is told");
        let connect = Fact::Connect { pool: pool(), by: String::new(), asked_us: None };
        assert_eq!(news(&mut state, connect.clone()), [connected(1), connected(2)]);
        assert_eq!(news(&mut state, connect), [], "it was connected");
        assert_eq!(news(&mut state, attach(2, &[2, 3])), [connected(3)]);
        assert_eq!(news(&mut state, detach(1)), [disconnected(Some(1))]);
        assert_eq!(news(&mut state, detach(2)), [disconnected(None)], "the last ones go as a pool");
        assert_eq!(news(&mut state, attach(3, &[2])), [connected(2)], "still wanted");
    }

    #[test]
    fn a_pool_that_is_disconnected_goes_as_a_whole_and_once() {
        let mut state = State::default();
        news(&mut state, attach(1, &[1, 2]));
        news(&mut state, Fact::Connect { pool: pool(), by: String::new(), asked_us: None });
        let disconnect = Fact::Disconnect { pool: pool(), by: "configuration".into() };
        assert_eq!(news(&mut state, disconnect.clone()), [disconnected(None)]);
        assert_eq!(news(&mut state, disconnect), []);
        assert_eq!(news(&mut state, detach(1)), [], "nobody was told of it");
    }

    #[test]
    fn a_wish_outlives_the_process_but_not_the_boot() {
        let mut state = State::default();
        news(&mut state, start("a"));
        news(&mut state, Fact::Connect { pool: pool(), by: String::new(), asked_us: None });
        news(&mut state, attach(1, &[1]));
        news(&mut state, start("a"));
        assert!(state.is_connected(&pool()) && state.buzzers(&pool()).is_empty());
        news(&mut state, start("b"));
        assert!(!state.is_connected(&pool()));
    }
}
