//! What the checks look at. In: nothing; these are plain values. Out: [`Facts`]. Guarantee: what may be unreadable (in
//! a container, for an account without rights) is a [`Read`], so a check cannot overlook that it does not know.

use std::net::SocketAddr;
use std::path::PathBuf;

use buzzer_core::device::delay::Delay;
use buzzer_core::time::Micros;

pub use super::health::{ButtonCounts, HealthFacts, PoolHealth, TroubledButton};

/// Something that was read, or what could not be.
pub type Read<T> = Result<T, Missing>;

/// What could not be read, and why: `/proc/version: permission denied`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

/// A machine, a configuration, and the daemon that may be running.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Devices that serve buzzers.
    pub devices: Read<Vec<DeviceFacts>>,
    /// Devices that the configuration means but cannot use: why, with the cure.
    pub strays: Vec<String>,
    /// The pools of the configuration.
    pub pools: Vec<Pool>,
    /// Programs that matter here.
    pub processes: Read<Processes>,
    /// The right to go first.
    pub realtime: Read<Realtime>,
    /// The clock that stamps presses.
    pub clock: Read<Clock>,
    /// The kernel.
    pub kernel: Read<Kernel>,
    /// Whether this is a virtual machine.
    pub is_virtual: Read<bool>,
    /// The deepest sleep that the processors are allowed, and the time it takes to wake from it. `None`: the kernel has no
    /// such states.
    pub idle: Read<Option<(String, Micros)>>,
    /// Where the log is.
    pub log: LogDir,
    /// Where short-lived files are, and the kind of file system. `None`: nobody gives a directory.
    pub runtime: Option<(PathBuf, Read<String>)>,
    /// Where the configuration has the log; [`Self::log`] is the running daemon's, if one answers.
    pub configured_log: PathBuf,
    /// systemd runs, and has a unit `buzzerd`: a cure names nothing that is not there.
    pub has_unit: bool,
    /// The daemon.
    pub daemon: DaemonFacts,
    /// W, as the configuration has it.
    pub settle_us: Micros,
    /// The wake-up that the configuration asks for while a pool is connected.
    pub cpu_dma_latency_us: Option<Micros>,
}

/// A device that serves buzzers.
#[derive(Clone, Debug)]
pub struct DeviceFacts {
    /// `event7`.
    pub node: String,
    /// What it calls itself.
    pub name: String,
    /// Vendor and product.
    pub ids: (u16, u16),
    /// Its pool, or what it would be called.
    pub pool: String,
    /// How many buzzers hang on it.
    pub buzzers: usize,
    /// The lowest of them.
    pub first_buzzer: Option<u16>,
    /// What is in the way of opening it, and the cure.
    pub trouble: Option<String>,
    /// Whether it has the keys of a typing keyboard, and no circuit of its own for each.
    pub is_keyboard: bool,
    /// Why it is taken for a wireless one.
    pub wireless: Option<&'static str>,
    /// How long before their stamps its presses were made.
    pub delay: Delay,
    /// How often it is asked, or may report.
    pub interval: Read<Micros>,
    /// Its USB side, if it has one.
    pub usb: Option<Usb>,
    /// Whether the desktop's input library was told to leave it alone.
    pub is_ignored: Read<bool>,
}

/// The USB side of a device.
#[derive(Clone, Debug)]
pub struct Usb {
    /// `1-1.2`, as `/sys/bus/usb/devices` has it.
    pub name: String,
    /// Whether the kernel may switch it off while nothing happens (`power/control` is `auto`).
    pub may_suspend: Read<bool>,
    /// The interrupts of its host controller.
    pub irqs: Vec<Irq>,
}

/// An interrupt line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Irq {
    /// Its number.
    pub number: u32,
    /// The processors that take it: `0-3`.
    pub cpus: String,
}

/// A pool of the configuration.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub id: String,
    /// Whether other programs are its buzzers.
    pub is_virtual: bool,
    /// Whether its stamps can come late: hardware's, and those of senders.
    pub is_stamped: bool,
    /// Devices it asks for.
    pub wanted: usize,
    /// Devices it has.
    pub found: usize,
}

/// What `/proc` shows.
#[derive(Clone, Debug)]
pub struct Processes {
    /// How many of them could be looked at.
    pub sight: Sight,
    /// Programs, buzzerd not among them, that have a buzzer's node open: name, pid, node.
    pub holders: Vec<(String, u32, String)>,
    /// The desktop's display server.
    pub desktop: Option<String>,
    /// Threads that serve interrupts (a real-time kernel has one for each).
    pub irq_threads: Vec<IrqThread>,
}

/// How much of other programs can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    All,
    /// Not what those of other accounts have open: that is for root.
    Own,
    /// Not those outside this container, or `/proc` is mounted with `hidepid`.
    Inside,
}

/// A thread that serves an interrupt.
#[derive(Clone, Debug)]
pub struct IrqThread {
    /// Its pid.
    pub pid: u32,
    /// The interrupt.
    pub irq: u32,
    /// Its real-time priority; 0 is none.
    pub priority: u32,
}

/// The right to go first.
#[derive(Clone, Debug)]
pub struct Realtime {
    /// The reader of the running daemon: thread id and real-time priority (0 is none).
    pub reader: Option<(u32, u32)>,
    /// RLIMIT_RTPRIO of this account.
    pub limit: u64,
    /// Whether this process has CAP_SYS_NICE.
    pub is_capable: bool,
}

/// The clock that stamps presses.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The source in use: `tsc`.
    pub current: String,
    /// Those that could be.
    pub available: Vec<String>,
}

/// The kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `6.12.117`.
    pub release: String,
    /// Whether it is PREEMPT_RT.
    pub is_realtime: bool,
}

/// Where the log is.
#[derive(Clone, Debug)]
pub struct LogDir {
    /// The directory.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// Whether this account may write into it or, if it is not there, make it.
    pub is_writable: Read<bool>,
    /// Bytes that are free.
    pub free_bytes: Read<u64>,
    /// The kind of file system: `ext4`.
    pub kind: Read<String>,
    /// How long it takes until a small file is on the disk: each time that was tried.
    pub syncs: Read<Vec<Micros>>,
}

/// The daemon.
#[derive(Clone, Debug)]
pub enum DaemonFacts {
    /// Nobody listens.
    Absent(SocketAddr),
    /// It cannot be asked: port 0 was configured.
    AnyPort,
    /// Somebody listens, but this is what came instead of a page.
    Odd(SocketAddr, String),
    /// It answered.
    Running(SocketAddr, Box<HealthFacts>),
}

impl DaemonFacts {
    /// What it answered.
    pub fn health(&self) -> Option<&HealthFacts> {
        match self {
            Self::Running(_, health) => Some(health),
            Self::Absent(_) | Self::AnyPort | Self::Odd(..) => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use buzzer_core::device::delay::{Basis, Configured, Span};

    pub(crate) fn missing<T>() -> Read<T> {
        Err(Missing("/proc/x: permission denied".to_owned()))
    }

    /// One that the configuration sets.
    pub(crate) fn delay(min_us: u64, max_us: u64) -> Delay {
        let delay_us = Some(Span::new(Micros::from_us(min_us), Micros::from_us(max_us)));
        Delay::of_program().configured(Configured { delay_us, scan_us: None })
    }

    /// A wired hub.
    pub(crate) fn hub(node: &str) -> DeviceFacts {
        DeviceFacts {
            node: node.to_owned(),
            name: "Logitech Buzz(tm) Controller V1".to_owned(),
            ids: (0x054c, 0x0002),
            pool: "stage".to_owned(),
            buzzers: 4,
            first_buzzer: Some(1),
            trouble: None,
            is_keyboard: false,
            wireless: None,
            delay: Delay { basis: Basis::Unknown, ..delay(0, 100_000) },
            interval: Ok(Micros::from_ms(8)),
            usb: Some(Usb {
                name: "1-1.2".to_owned(),
                may_suspend: Ok(false),
                irqs: vec![Irq { number: 128, cpus: "2".to_owned() }],
            }),
            is_ignored: Ok(true),
        }
    }

    /// A box with nothing to complain about.
    pub(crate) fn fit() -> Facts {
        let address = "127.0.0.1:7400".parse().unwrap();
        Facts {
            devices: Ok(vec![hub("event7")]),
            strays: Vec::new(),
            pools: vec![Pool {
                id: "stage".to_owned(),
                is_virtual: false,
                is_stamped: true,
                wanted: 1,
                found: 1,
            }],
            processes: Ok(Processes {
                sight: Sight::All,
                holders: Vec::new(),
                desktop: None,
                irq_threads: Vec::new(),
            }),
            realtime: Ok(Realtime { reader: Some((412, 20)), limit: 0, is_capable: false }),
            clock: Ok(Clock {
                current: "tsc".to_owned(),
                available: vec!["tsc".to_owned(), "hpet".to_owned()],
            }),
            kernel: Ok(Kernel { release: "6.12.117".to_owned(), is_realtime: false }),
            is_virtual: Ok(false),
            idle: Ok(Some(("C6".to_owned(), Micros::from_us(133)))),
            log: LogDir {
                path: "/var/lib/buzzerd".into(),
                exists: true,
                is_writable: Ok(true),
                free_bytes: Ok(20 << 30),
                kind: Ok("ext4".to_owned()),
                syncs: Ok([3, 2, 9].map(Micros::from_ms).to_vec()),
            },
            runtime: Some(("/run/buzzerd".into(), Ok("tmpfs".to_owned()))),
            daemon: DaemonFacts::Running(
                address,
                Box::new(HealthFacts {
                    status: "ok".to_owned(),
                    seq: 9,
                    log: Some("/var/lib/buzzerd".into()),
                    restart_pending: false,
                    storage: Some("ok".to_owned()),
                    presses: Some(12),
                    late: Some(0),
                    late_us_max: Some(0),
                    stale_stamps: Some(0),
                    gaps: Some(0),
                    ring_full: Some(0),
                    heap_full: Some(0),
                    settle_us: Some(2000),
                    settle_us_advised: None,
                    pools: vec![PoolHealth { id: "stage".to_owned(), devices: 1, is_waiting: false }],
                    button_sums: ButtonCounts { all: 4, unheard: 0 },
                    troubled: Vec::new(),
                }),
            ),
            configured_log: "/var/lib/buzzerd".into(),
            has_unit: true,
            settle_us: Micros::from_ms(2),
            cpu_dma_latency_us: None,
        }
    }

    /// A container that shows nothing.
    pub(crate) fn unreadable() -> Facts {
        Facts {
            devices: missing(),
            pools: Vec::new(),
            processes: missing(),
            realtime: missing(),
            clock: missing(),
            kernel: missing(),
            is_virtual: missing(),
            idle: missing(),
            log: LogDir {
                path: "/var/lib/buzzerd".into(),
                exists: true,
                is_writable: missing(),
                free_bytes: missing(),
                kind: missing(),
                syncs: missing(),
            },
            runtime: Some(("/run/buzzerd".into(), missing())),
            daemon: DaemonFacts::AnyPort,
            ..fit()
        }
    }
}
