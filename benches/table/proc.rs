//! What the kernel says about processes.
//!
//! In: a process id. Out: its memory, and what everything else on the machine took.
//! Guarantees: time that nobody can name (other processes, interrupts, a hypervisor that lends the core elsewhere) counts
//! as taken by others.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::clock;
use crate::machine::{cores, cpu_time};

/// `/proc/stat` counts in these whatever the kernel's own tick is.
const USER_HZ: u64 = 100;

/// Resident memory in KiB.
pub(crate) fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let field = line.and_then(|rest| rest.split_whitespace().next()).and_then(|field| field.parse().ok());
    field.ok_or_else(|| io::Error::other("no VmRSS in /proc/PID/status"))
}

/// A point in time from which the share of the others is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    at: u64,
    idle: u64,
    ours: u64,
}

impl Machine {
    /// `child` is the server under test; it and this process are not "others".
    pub(crate) fn look(child: u32) -> io::Result<Self> {
        Ok(Self { at: clock::now(), idle: idle()?, ours: clock::own_cpu() + cpu_time(child)? })
    }

    /// CPU that others took since `earlier`, in shares of one core.
    ///
    /// From the idle time, which the kernel keeps exactly: the busy columns of `/proc/stat` are sampled at the tick
    /// and miss threads that run for 50 us at a time.
    pub(crate) fn others_since(&self, earlier: &Self) -> f64 {
        let wall = (self.at - earlier.at).max(1);
        let busy = (wall * cores() as u64).saturating_sub(self.idle - earlier.idle);
        busy.saturating_sub(self.ours - earlier.ours) as f64 / wall as f64
    }
}

/// Idle time of all cores, waiting for a disk included.
fn idle() -> io::Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let columns = stat.lines().next().unwrap_or_default().split_whitespace().skip(4).take(2);
    Ok(columns.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * (clock::SECOND / USER_HZ))
}

/// The cores that this process may use. Asked once, at the start: later it may be held to one of them.
#[derive(Debug, Clone)]
pub(crate) struct Cores(Vec<usize>);

impl Cores {
    pub(crate) fn look() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        Ok(Self((0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect()))
    }

    /// This thread and whatever it starts from now on: where a server is to run.
    pub(crate) fn hold_server(&self, held: bool) -> io::Result<()> {
        self.hold(self.0.first().filter(|_| held))
    }

    /// Where the clients and the presser are to run: the last core, which with one core is the server's.
    pub(crate) fn hold_clients(&self, held: bool) -> io::Result<()> {
        self.hold(self.0.last().filter(|_| held))
    }

    fn hold(&self, one: Option<&usize>) -> io::Result<()> {
        let mut set = CpuSet::new();
        match one {
            Some(&core) => set.set(core),
            None => self.0.iter().for_each(|&core| set.set(core)),
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

/// As many files as the system allows: a client is one here and one in the server, which inherits the limit.
pub(crate) fn raise_file_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}
