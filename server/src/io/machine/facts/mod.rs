//! What `buzzerd doctor` looks at, read from the machine. In: the configuration, and where the machine's trees are (a
//! test makes up its own). Out: [`Facts`]. Guarantee: no input device is opened and no line of the log is touched; the
//! one thing written is a small file of our own in the log directory, gone when this returns.

mod devices;
mod health;
mod machine;
pub(super) mod processes;
mod storage;
mod usb;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::paths;
use crate::config::{Config, PoolSource, VirtualStamps};
use crate::doctor::facts::{DeviceFacts, Facts, LogDir, Missing, Pool, Read};

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places {
    /// What holds `proc`, `sys`, `dev` and `run`.
    pub root: PathBuf,
    /// The directory for short-lived files that systemd or the session gives.
    pub runtime_dir: Option<PathBuf>,
}

impl Places {
    /// Those of this machine, as this process sees it.
    pub fn of_this_machine() -> Self {
        let service = || Some(PathBuf::from(paths::INSTALLED_RUNTIME)).filter(|path| path.exists());
        let runtime_dir = paths::runtime().or_else(service);
        Self { root: PathBuf::from("/"), runtime_dir }
    }

    fn proc(&self, path: &str) -> PathBuf {
        self.root.join("proc").join(path)
    }

    fn sys(&self, path: &str) -> PathBuf {
        self.root.join("sys").join(path)
    }

    /// One line of text.
    fn text(&self, path: &Path) -> Read<String> {
        let bytes = fs::read(path).map_err(|error| self.missing(path, &error))?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    fn missing(&self, path: &Path, error: &io::Error) -> Missing {
        let shown =
            path.strip_prefix(&self.root).map_or_else(|_| path.to_owned(), |path| Path::new("/").join(path));
        let why = match error.kind() {
            io::ErrorKind::NotFound => "not there".to_owned(),
            kind => kind.to_string(),
        };
        Missing(format!("{}: {why}", shown.display()))
    }
}

/// The log directory of the daemon that answers at the first of these addresses.
pub fn log_of_daemon(listen: &[SocketAddr]) -> Option<PathBuf> {
    health::ask(listen).health()?.log.clone().filter(|log| log.is_absolute())
}

/// Looks at everything.
pub fn gather(config: &Config, places: &Places) -> Facts {
    let (devices, strays) = match devices::look(config, places) {
        Ok((devices, strays)) => (Ok(devices), strays),
        Err(missing) => (Err(missing), Vec::new()),
    };
    let nodes: Vec<&str> = devices.iter().flatten().map(|device| device.node.as_str()).collect();
    let processes = processes::look(places, &nodes);
    let configured_log = config.log.dir.clone().unwrap_or_default();
    let daemon = health::ask(&config.server.listen);
    // What matters is where the presses go, not which file configured it.
    let log_dir = daemon.health().and_then(|health| health.log.clone());
    let log_dir = log_dir.unwrap_or_else(|| configured_log.clone());
    Facts {
        strays,
        pools: pools(config, devices.as_deref().ok()),
        processes,
        realtime: processes::realtime(places, &log_dir),
        clock: machine::clock(places),
        kernel: machine::kernel(places),
        is_virtual: machine::is_virtual(places),
        idle: machine::idle(places),
        log: log(places, log_dir),
        runtime: places.runtime_dir.clone().map(|dir| (dir.clone(), storage::kind(places, &dir))),
        daemon,
        configured_log,
        has_unit: has_unit(places),
        settle_us: config.order.settle_us,
        cpu_dma_latency_us: config.server.cpu_dma_latency_us,
        devices,
    }
}

fn has_unit(places: &Places) -> bool {
    const UNITS: [&str; 3] = ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
    // systemd runs where this is: sd_booted(3).
    let is_booted = places.root.join("run/systemd/system").exists();
    is_booted && UNITS.iter().any(|dir| places.root.join(dir).join("buzzerd.service").exists())
}

/// Where devices could not be listed, no pool is accused.
fn pools(config: &Config, devices: Option<&[DeviceFacts]>) -> Vec<Pool> {
    let pools = config.pools.iter().map(|pool| {
        let (wanted, is_virtual, is_stamped) = match &pool.source {
            PoolSource::Hardware(entries) => (entries.len(), false, true),
            PoolSource::Virtual { stamps, .. } => (0, true, *stamps == VirtualStamps::Sender),
        };
        let id = pool.id.to_string();
        let own = |devices: &[DeviceFacts]| devices.iter().filter(|device| device.pool == id).count();
        let found = devices.map_or(wanted, own);
        Pool { id, is_virtual, is_stamped, wanted, found }
    });
    pools.collect()
}

fn log(places: &Places, path: PathBuf) -> LogDir {
    let exists = path.is_dir();
    let is_writable = storage::is_writable(places, &path);
    let syncs = match &is_writable {
        _ if !exists => Err(Missing(format!("{} is made at the first start", path.display()))),
        Ok(true) => storage::syncs(places, &path),
        Ok(false) => Err(Missing(format!("this account may not write into {}", path.display()))),
        Err(missing) => Err(missing.clone()),
    };
    LogDir {
        exists,
        is_writable,
        free_bytes: storage::free_bytes(places, &path),
        kind: storage::kind(places, &path),
        syncs,
        path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A made-up machine.
    pub(crate) struct Tree {
        pub(crate) places: Places,
        _dir: tempfile::TempDir,
    }

    /// A made-up input device.
    pub(crate) struct Node {
        pub(crate) node: &'static str,
        pub(crate) name: &'static str,
        pub(crate) ids: (&'static str, &'static str),
        pub(crate) bus: &'static str,
        pub(crate) keys: &'static str,
    }

    impl Tree {
        pub(crate) fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = fs::canonicalize(dir.path()).unwrap();
            Self { places: Places { root, runtime_dir: None }, _dir: dir }
        }

        pub(crate) fn write(&self, path: &str, text: &str) {
            let path = self.places.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        pub(crate) fn link(&self, path: &str, target: &str) {
            let path = self.places.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }

        /// A wired Buzz! hub.
        pub(crate) fn buzz(node: &'static str) -> Node {
            let keys = "fffff 0 0 0 0 0 0 0 0 0 0 0";
            Node { node, name: "Buzz", ids: ("054c", "0002"), bus: "0003", keys }
        }

        /// Plugs a device into a port of its own, behind a hub; `eventN` is at port 1.(N-5).
        pub(crate) fn plug(&self, node: &Node, interval: &str, speed: &str, power: &str) {
            const CONTROLLER: &str = "sys/devices/pci0000:00/0000:00:14.0";
            let number: u32 = node.node.trim_start_matches("event").parse().unwrap();
            let port = format!("1-1.{}", number - 5);
            let device = format!("{CONTROLLER}/usb1/1-1/{port}");
            let interface = format!("{device}/{port}:1.0");
            let input = format!("{interface}/0003:X/input/input{number}");
            for (path, text) in [
                (format!("{device}/speed"), speed),
                (format!("{device}/power/control"), power),
                (format!("{interface}/bInterfaceNumber"), "00"),
                (format!("{interface}/ep_81/type"), "Interrupt"),
                (format!("{interface}/ep_81/direction"), "in"),
                (format!("{interface}/ep_81/interval"), interval),
                (format!("{input}/name"), node.name),
                (format!("{input}/phys"), &format!("usb-0000:00:14.0-{}/input0", &port[2..])),
                (format!("{input}/id/bustype"), node.bus),
                (format!("{input}/id/vendor"), node.ids.0),
                (format!("{input}/id/product"), node.ids.1),
                (format!("{input}/id/version"), "0100"),
                (format!("{input}/capabilities/key"), node.keys),
                (format!("{input}/{}/dev", node.node), &format!("13:{}", 64 + number)),
            ] {
                self.write(&path, &format!("{text}\n"));
            }
            self.link(&format!("{input}/{}/device", node.node), &format!("../../input{number}"));
            let from_class = input.replace("sys/devices", "../../devices");
            self.link(&format!("sys/class/input/{}", node.node), &format!("{from_class}/{}", node.node));
            let driver = self.places.root.join(CONTROLLER).join("driver");
            if driver.symlink_metadata().is_err() {
                symlink("../../../bus/pci/drivers/xhci_hcd", driver).unwrap();
            }
        }
    }

    #[test]
    fn a_machine_that_shows_nothing_is_never_called_fit() {
        let tree = Tree::new();
        let mut config = Config::defaults(tree.places.root.join("log"));
        config.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
        let findings = crate::doctor::diagnose(&gather(&config, &tree.places));
        let fine: Vec<_> = findings
            .iter()
            .filter(|finding| finding.verdict == crate::doctor::CheckLevel::Ok)
            .map(|finding| finding.check)
            .collect();
        // What holds the log directory is a real disk even here.
        assert_eq!(fine, ["log directory", "disk space"], "{findings:#?}");
        assert!(!tree.places.root.join("log").exists(), "nothing is made");
    }
}
