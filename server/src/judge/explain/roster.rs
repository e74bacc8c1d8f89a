//! Which devices there were. In: records. Out: each attached device with its name and place. Guarantee: a fold like the
//! state, which keeps only what the game needs; a judge also wants to know what a device calls itself and where it was plugged in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::record::pool_id::PoolId;
use crate::record::{DeviceDelay, Fact, Record, Stamps};

/// A pool that was connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolThen {
    /// The pool.
    pub pool: PoolId,
    /// Its devices.
    pub devices: Vec<DeviceThen>,
}

/// A device that served it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceThen {
    /// Its number.
    pub device: u32,
    /// What is known of it.
    #[serde(flatten)]
    pub seen: DeviceSeen,
    /// Buttons that were down already.
    pub down: Vec<DownThen>,
}

/// A button that was down already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DownThen {
    /// The buzzer.
    pub buzzer: u16,
    /// For how long, µs.
    pub for_us: u64,
    /// For longer than anybody presses.
    pub stuck: bool,
}

/// The attached devices, by number. A clone is one counter until the next device comes or goes.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<BTreeMap<u32, DeviceSeen>>);

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceSeen {
    /// The pool it serves.
    #[serde(skip)]
    pub pool: PoolId,
    /// What it calls itself.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// Who stamps.
    pub stamps: Stamps,
    /// Its buzzers, ascending.
    pub buzzers: Vec<u16>,
    /// How long before its stamp a press was made.
    pub delay: DeviceDelay,
}

impl Roster {
    /// The device with this number.
    pub fn get(&self, device: u32) -> Option<&DeviceSeen> {
        self.0.get(&device)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &DeviceSeen)> {
        self.0.iter().map(|(number, device)| (*number, device))
    }

    /// Takes the next record.
    pub fn apply(&mut self, record: &Record) {
        match &record.fact {
            Fact::Start { .. } => self.0 = Arc::default(),
            Fact::Attach { device, pool, name, place, stamps, buzzers, delay } => {
                let new = DeviceSeen {
                    pool: pool.clone(),
                    name: name.clone(),
                    place: place.clone(),
                    stamps: stamps.clone(),
                    buzzers: buzzers.clone(),
                    delay: delay.clone(),
                };
                Arc::make_mut(&mut self.0).insert(*device, new);
            }
            Fact::Detach { device, .. } => {
                Arc::make_mut(&mut self.0).remove(device);
            }
            _ => {}
        }
    }
}
