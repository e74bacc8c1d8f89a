//! Other programs, interrupt threads, and the running reader. In: `/proc`. Out: facts. Guarantee: only names, numbers and
//! links are read, nothing of what others have open is opened; what cannot be seen is said by [`Sight`].

use std::fs;
use std::path::Path;

use super::Places;
use crate::doctor::facts::{IrqThread, Processes, Read, Realtime, Sight};
use crate::io::store::log_dir::Lock;

/// Programs that take every input device they can. A name as `/proc` has it: 15 bytes at most.
const DESKTOPS: [&str; 14] = [
    "Xorg",
    "Xwayland",
    "gnome-shell",
    "kwin_wayland",
    "sway",
    "weston",
    "labwc",
    "wayfire",
    "cage",
    "Hyprland",
    "phoc",
    "cosmic-comp",
    "niri",
    "mutter",
];
/// Our own.
pub(in crate::io::machine) const PROGRAM: &str = "buzzerd";
const READER: &str = "reader";
/// `CAP_SYS_NICE` of include/uapi/linux/capability.h.
const CAP_SYS_NICE: u32 = 23;

/// Numbers of processes or threads, ascending.
pub(in crate::io::machine) fn numbers(dir: &Path) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn name(places: &Places, process: &Path) -> String {
    places.text(&process.join("comm")).unwrap_or_default()
}

/// proc_pid_stat(5): field 40. The name, field 2, may hold anything, so fields are counted from its closing bracket.
fn priority(places: &Places, process: &Path) -> Option<u32> {
    let stat = places.text(&process.join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(40 - 3)?.parse().ok()
}

pub(super) fn look(places: &Places, nodes: &[&str]) -> Read<Processes> {
    let proc = places.proc("");
    fs::read_dir(&proc).map_err(|error| places.missing(&proc, &error))?;
    // The kernel's own threads are there only where nothing is hidden.
    let sees_kernel = name(places, &places.proc("2")) == "kthreadd";
    let mut processes = Processes {
        sight: if sees_kernel { Sight::All } else { Sight::Inside },
        holders: Vec::new(),
        desktop: None,
        irq_threads: Vec::new(),
    };
    for pid in numbers(&proc) {
        let process = places.proc(&pid.to_string());
        let name = name(places, &process);
        if name == PROGRAM {
            continue;
        }
        if let Some(irq) = name.strip_prefix("irq/").and_then(|rest| rest.split('-').next()?.parse().ok()) {
            let priority = priority(places, &process).unwrap_or_default();
            processes.irq_threads.push(IrqThread { pid, irq, priority });
            continue;
        }
        if DESKTOPS.contains(&name.as_str()) && processes.desktop.is_none() {
            processes.desktop = Some(name.clone());
        }
        match fs::read_dir(process.join("fd")) {
            Ok(entries) => {
                let mut open: Vec<String> = entries
                    .flatten()
                    .filter_map(|entry| fs::read_link(entry.path()).ok())
                    .filter_map(|target| target.strip_prefix("/dev/input").ok()?.to_str().map(str::to_owned))
                    .filter(|node| nodes.contains(&node.as_str()))
                    .collect();
                open.sort();
                open.dedup();
                processes.holders.extend(open.into_iter().map(|node| (name.clone(), pid, node)));
            }
            // What has just ended is not hidden.
            Err(_) if process.exists() && processes.sight == Sight::All => processes.sight = Sight::Own,
            Err(_) => {}
        }
    }
    Ok(processes)
}

pub(super) fn realtime(places: &Places, log_dir: &Path) -> Read<Realtime> {
    let limits = places.text(&places.proc("self/limits"))?;
    let status = places.text(&places.proc("self/status"))?;
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max realtime priority"));
    let limit = limit.and_then(|line| line.split_whitespace().next()).unwrap_or("0");
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = capabilities.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
    Ok(Realtime {
        reader: reader(places, log_dir),
        limit: limit.parse().unwrap_or(u64::MAX),
        is_capable: capabilities & (1 << CAP_SYS_NICE) != 0,
    })
}

/// The reader of the daemon that writes in this log directory (its lock names it) or, where that cannot be read, of
/// the only daemon there is.
fn reader(places: &Places, log_dir: &Path) -> Option<(u32, u32)> {
    let is_daemon =
        |pid: &u32| *pid != std::process::id() && name(places, &places.proc(&pid.to_string())) == PROGRAM;
    let pid = match Lock::read(log_dir).map(|lock| lock.pid) {
        Some(pid) => Some(pid).filter(is_daemon)?,
        None => {
            let mut daemons = numbers(&places.proc("")).into_iter().filter(is_daemon);
            daemons.next().filter(|_| daemons.next().is_none())?
        }
    };
    let tasks = places.proc(&format!("{pid}/task"));
    let reader =
        numbers(&tasks).into_iter().find(|task| name(places, &tasks.join(task.to_string())) == READER)?;
    Some((reader, priority(places, &tasks.join(reader.to_string()))?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Tree;
    use super::*;

    fn process(tree: &Tree, place: &str, name: &str, priority: u32) {
        tree.write(&format!("proc/{place}/comm"), &format!("{name}\n"));
        let zeros = ["0"; 36].join(" ");
        tree.write(&format!("proc/{place}/stat"), &format!("9 (a) b) S {zeros} {priority} 1 0\n"));
    }

    #[test]
    fn programs_are_told_apart() {
        let tree = Tree::new();
        process(&tree, "2", "kthreadd", 0);
        process(&tree, "77", "irq/128-xhci_hc", 50);
        process(&tree, "90", "gnome-shell", 0);
        process(&tree, "91", "buzzerd", 0);
        for (pid, targets) in [("2", vec![]), ("90", vec!["event7", "event70"]), ("91", vec!["event7"])] {
            tree.write(&format!("proc/{pid}/fd/.keep"), "");
            for (number, target) in targets.iter().enumerate() {
                tree.link(&format!("proc/{pid}/fd/{number}"), &format!("/dev/input/{target}"));
            }
        }
        let found = look(&tree.places, &["event7"]).unwrap();
        assert_eq!(found.sight, Sight::All);
        assert_eq!(found.desktop.as_deref(), Some("gnome-shell"));
        assert_eq!(found.holders, [("gnome-shell".to_owned(), 90, "event7".to_owned())]);
        let threads: Vec<_> =
            found.irq_threads.iter().map(|thread| (thread.pid, thread.irq, thread.priority)).collect();
        assert_eq!(threads, [(77, 128, 50)]);
        // A descriptor table that cannot be read.
        process(&tree, "92", "secret", 0);
        assert_eq!(look(&tree.places, &[]).unwrap().sight, Sight::Own);
        process(&tree, "2", "bash", 0);
        assert_eq!(look(&tree.places, &[]).unwrap().sight, Sight::Inside);
        assert!(look(&Tree::new().places, &[]).is_err());
    }

    #[test]
    fn rights_and_the_running_reader() {
        let tree = Tree::new();
        assert!(realtime(&tree.places, &tree.places.root).is_err());
        tree.write("proc/self/limits", "Limit  Soft\nMax realtime priority     20    30    \n");
        tree.write("proc/self/status", "Name:\tx\nCapEff:\t0000000000800000\n");
        let read = |log_dir: &Path| {
            let read = realtime(&tree.places, log_dir).unwrap();
            (read.reader, read.limit, read.is_capable)
        };
        let log_dir = tree.places.root.join("log");
        assert_eq!(read(&log_dir), (None, 20, true));
        for pid in ["90", "91"] {
            process(&tree, pid, "buzzerd", 0);
            process(&tree, &format!("{pid}/task/{pid}"), "buzzerd", 0);
            process(&tree, &format!("{pid}/task/{pid}5"), "reader", 20);
            let want = if pid == "90" { Some((905, 20)) } else { None };
            assert_eq!(read(&log_dir).0, want, "one, or not clear which");
        }
        tree.write("log/lock", "91\n/run/buzzerd/0123456789abcdef\n");
        assert_eq!(read(&log_dir).0, Some((915, 20)));
        tree.write("log/lock", "12\n");
        assert_eq!(read(&log_dir).0, None, "a lock that a dead daemon left");
    }
}
