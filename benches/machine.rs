//! What is measured, and on what.
//!
//! In: nothing, or a process id. Out: which machine this is, the daemon, built as it is released, and what a process took.
//! Guarantees: no daemon of another source is measured without a word; CPU time is in nanoseconds, over all threads and
//! without the coarse clock tick.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// Cores that `/proc/stat` adds up, whether or not this process may use them.
pub fn cores() -> usize {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count().max(1)
}

/// "AMD EPYC, 2 cores, Linux 6.18".
pub fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = model.map_or("unknown CPU", |(_, name)| name.trim());
    format!("{model}, {} cores, Linux {}", cores(), kernel.trim())
}

/// CPU time of all living threads of a process.
///
/// From schedstat, because utime and stime of `/proc/PID/stat` come in steps of 10 ms: a hundred presses each.
///
/// # Errors
/// If there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the read; what it had spent is then missing.
        let Ok(line) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        total += line.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(total)
}

/// The daemon: `$BUZZERD`, or the one of this workspace, built as it is released.
///
/// Built even if there is one already: cargo knows whether it is of this source, and an old one would be measured
/// without a word. Cargo has let go of its lock by the time that a bench runs.
///
/// # Errors
/// If it cannot be built.
pub fn buzzerd() -> io::Result<PathBuf> {
    if let Some(path) = env::var_os("BUZZERD") {
        return Ok(path.into());
    }
    // target/release/deps/table-0123 -> target
    let exe = env::current_exe()?;
    let target = exe.ancestors().nth(3).ok_or_else(|| io::Error::other("not in a target directory"))?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--release", "-p", "buzzer-server", "--target-dir"]).arg(target);
    if !command.current_dir(env!("CARGO_MANIFEST_DIR")).status()?.success() {
        return Err(io::Error::other("buzzerd could not be built"));
    }
    Ok(target.join("release/buzzerd"))
}
