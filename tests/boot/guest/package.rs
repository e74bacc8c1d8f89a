//! The package in the hands of apt, dpkg and systemd.
//!
//! Enters `/test/buzzerd.deb` and `/test/next.deb`; leaves a running service, and at the end a log without one. Guarantee: a running
//! daemon keeps its process over every change of the package.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::machine::{LOG, healthz, last_words, pid, property, run, try_run, up};
use crate::outage::press_is_told;

/// The image itself is whole, so that what fails later is ours.
pub(crate) fn boots() -> Outcome {
    let (_, state) = try_run("systemctl is-system-running --wait")?;
    let failed = run("systemctl --failed --no-legend --plain")?;
    same("the system", &(state.as_str(), failed.as_str()), &("running", ""))?;
    println!("boot: {}, {}", run("systemctl --version | head -n 1")?, run("uname -r")?);
    Ok(())
}

/// `apt install ./buzzerd.deb`, and it runs: as its own user, with the port open, the group in place.
pub(crate) fn installs_and_is_ready() -> Outcome {
    #[allow(clippy::disallowed_methods, reason = "a report, no kernel time")]
    let started = Instant::now();
    run("apt-get install -y -q --no-install-recommends /test/buzzerd.deb")?;
    let installed_ms = started.elapsed().as_millis();
    up()?;
    println!(
        "boot: installed in {installed_ms} ms, ready {} ms later",
        started.elapsed().as_millis() - installed_ms
    );
    let unit = |name: &str| run(&format!("systemctl is-enabled {name}; systemctl is-active {name}"));
    same("the service", &unit("buzzerd.service")?, &"enabled\nactive".to_owned())?;
    same("the socket", &unit("buzzerd.socket")?, &"enabled\nactive".to_owned())?;
    let user = run(&format!("stat -c %U /proc/{}", pid()?))?;
    same("its user", &user.as_str(), &"buzzerd")?;
    let groups = run("id -nG buzzerd")?;
    ensure(groups.split(' ').any(|group| group == "input"), || format!("its groups: {groups}"))?;
    let owner = run("stat -c '%U:%G %a' /var/lib/buzzerd /run/buzzerd")?;
    same("its folders", &owner.as_str(), &"buzzerd:buzzerd 750\nbuzzerd:buzzerd 750")?;
    same("real time", &has_realtime_thread()?, &true)
}

/// Whether one of its threads has a real-time policy: SCHED_FIFO is 1 (`/proc/PID/stat`, field 41).
fn has_realtime_thread() -> Outcome<bool> {
    let threads = fs::read_dir(format!("/proc/{}/task", pid()?)).why("threads")?.flatten();
    Ok(threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok()).any(|stat| {
        // The name stands in brackets and may have spaces; field 3 follows it.
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.split(' ').nth(41 - 3) == Some("1"))
    }))
}

/// Their own checkers say nothing.
pub(crate) fn systemd_and_udev_are_content() -> Outcome {
    let said = run("systemd-analyze verify --man=no buzzerd.service buzzerd.socket 2>&1")?;
    same("systemd-analyze verify", &said.as_str(), &"")?;
    let score = run("systemd-analyze security --no-pager --threshold=14 buzzerd.service | tail -n 1")?;
    println!("boot: {score}");
    // 252 has no such command.
    if try_run("udevadm verify --help")?.0 {
        run("udevadm verify --no-style /usr/lib/udev/rules.d/71-buzzerd.rules")?;
    }
    let said = run(
        "journalctl -q -b -o cat | grep -i buzzerd | grep -iE 'unknown|ignoring|failed|deprecated' || true",
    )?;
    same("the journal's complaints", &said.as_str(), &"")
}

/// Another version while a game is on: the process stays, says so, and needrestart leaves it alone.
pub(crate) fn upgrade_leaves_the_game_alone() -> Outcome {
    let before = pid()?;
    let said = run("apt-get install -y -q --no-install-recommends /test/next.deb")?;
    ensure(said.contains("systemctl restart buzzerd"), || {
        format!("it does not say what is pending: {said}")
    })?;
    press_is_told()?;
    let (_, said) = try_run("needrestart -r a -q")?;
    same(&format!("the process after needrestart ({said})"), &pid()?, &before)?;
    ensure(run("dpkg-query -W -f='${Version}' buzzerd")?.ends_with("+next"), || {
        "nothing was upgraded".to_owned()
    })
}

/// Back again, and a restart by hand takes what is installed.
pub(crate) fn downgrade_does_too() -> Outcome {
    let before = pid()?;
    run("apt-get install -y -q --no-install-recommends --allow-downgrades /test/buzzerd.deb")?;
    same("the process", &pid()?, &before)?;
    run("systemctl restart buzzerd")?;
    up()?;
    ensure(pid()? != before, || "the restart took nothing".to_owned())?;
    same("the program", &run(&format!("readlink /proc/{}/exe", pid()?))?.as_str(), &"/usr/bin/buzzerd")
}

/// Nothing runs, nothing of the package is left, the log is, and where it is has been said.
pub(crate) fn purge_keeps_the_log() -> Outcome {
    let said = run("apt-get purge -y -q buzzerd")?;
    ensure(said.contains("rm -r /var/lib/buzzerd"), || format!("it does not say where the log is: {said}"))?;
    until("the end of the daemon", || healthz().is_none().then_some(()))?;
    let segments = fs::read_dir(LOG).why(LOG)?.flatten();
    let segments = segments.filter(|file| file.file_name().to_string_lossy().ends_with(".jsonl")).count();
    ensure(segments > 0, || "the log is gone".to_owned())?;
    for path in ["/usr/bin/buzzerd", "/etc/buzzerd/buzzerd.toml", "/usr/lib/systemd/system/buzzerd.service"] {
        ensure(!Path::new(path).exists(), || format!("{path} is left"))?;
    }
    let owner = fs::metadata(LOG).why(LOG)?.uid();
    ensure(owner != 0, || "the log is root's now".to_owned())?;
    let state = property("ActiveState")?;
    ensure(state == "inactive", || format!("{state}: {}", last_words()))
}
