//! What the running daemon has seen, and the settle window that fits. In: `/healthz`, the configuration, the kernel's
//! kind. Out: findings on both. Guarantee: a daemon that does not run is no failure; a window is recommended from what was
//! measured on this box or, without that, from the kind of its kernel, and never as certain.

use buzzer_core::quote::listed;
use buzzer_core::time::Micros;

use super::facts::{ButtonCounts, DaemonFacts, Facts, HealthFacts, Missing, Pool, TroubledButton};
use super::fairness::ms;
use super::{CheckLevel, Finding};
use crate::game::settle::{self, FIT_US_MAX};

/// Windows by kind of kernel. Stock: stamp and publication are one section with interrupts off, µs. PREEMPT_RT: that
/// section can be preempted. Virtual: the processor itself can be taken away; 9 to 15 ms were seen under emulation.
const STOCK_US: Micros = Micros::from_ms(2);
const REALTIME_US: Micros = Micros::from_ms(5);
const VIRTUAL_US: Micros = Micros::from_ms(20);

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = running(&facts.daemon, facts);
    if let Some(health) = facts.daemon.health() {
        findings.extend(pools(health, facts));
        findings.extend(buttons(health));
    }
    findings.push(settle_window(facts));
    findings
}

/// Pools that wait though nothing that can be seen from here is missing.
fn pools(health: &HealthFacts, facts: &Facts) -> Vec<Finding> {
    let waits = |pool: &&Pool| health.pools.iter().any(|own| own.id == pool.id && own.is_waiting);
    let (programs, hardware): (Vec<&Pool>, Vec<&Pool>) =
        facts.pools.iter().filter(waits).partition(|pool| pool.is_virtual);
    let names = |pools: &[&Pool]| listed(pools.iter().map(|pool| &pool.id));
    let mut findings = Vec::new();
    if !programs.is_empty() {
        let why = "A pool with a socket has buzzers only while a program is attached to it.";
        let found = format!("nobody is attached to {}", names(&programs));
        findings
            .push(Finding::warn("attachments", found, why).cure("start the program that sends its presses"));
    }
    // What is not plugged in was told as missing hardware.
    let hardware: Vec<&Pool> = hardware.into_iter().filter(|pool| pool.found == pool.wanted).collect();
    if !hardware.is_empty() {
        let why = "Its device is there, but the daemon could not open it, so nobody can buzz.";
        let found = format!("{} waits", names(&hardware));
        findings.push(Finding::fail("waiting pools", found, why).cure(what_it_says(facts)));
    }
    findings
}

/// Buttons that spoil a match, or that nobody knows to work.
fn buttons(health: &HealthFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let names = |is_meant: fn(&TroubledButton) -> bool| {
        let meant = health.troubled.iter().filter(|button| is_meant(button));
        let mut names: Vec<_> = meant.map(|button| format!("{} {}", button.pool, button.buzzer)).collect();
        names.dedup();
        names
    };
    let stuck = names(|button| button.stuck);
    if !stuck.is_empty() {
        let why = "A button that stays down gives no press; it was down for longer than anybody holds one.";
        let cure = "Free the button, or unplug its device and plug it in again";
        findings.push(Finding::warn("stuck buttons", stuck.join(", "), why).cure(cure));
    }
    let held = names(|button| button.held_us.is_some() && !button.stuck);
    if !held.is_empty() {
        let why = "A button that is down now cannot be pressed.";
        findings.push(Finding::warn("held buttons", held.join(", "), why).cure("Let go of it"));
    }
    let ButtonCounts { all, unheard } = health.button_sums;
    if unheard > 0 {
        let found = format!("{unheard} of {all} since their devices were connected");
        let why = "Nobody knows that a button works which nobody has pressed.";
        let finding = Finding::new("not heard yet", CheckLevel::Unknown, found, why);
        findings.push(finding.cure("Press each buzzer once"));
    }
    findings
}

/// Where the daemon says what is wrong.
fn what_it_says(facts: &Facts) -> &'static str {
    if facts.has_unit { "journalctl -u buzzerd -e" } else { "read what the daemon said where it was started" }
}

fn running(daemon: &DaemonFacts, facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "daemon";
    const WHY: &str =
        "A running daemon counts late presses, wrong stamps and lost events; without it they are not known.";
    match daemon {
        DaemonFacts::Absent(address) => {
            let found = format!("not running: nobody listens on {address}");
            let finding = Finding::new(CHECK, CheckLevel::Unknown, found, WHY);
            let start = if facts.has_unit { "sudo systemctl start buzzerd" } else { "buzzerd serve" };
            vec![finding.cure(start)]
        }
        DaemonFacts::AnyPort => {
            let found = "not asked: server.listen has port 0, which is another one at every start";
            let finding = Finding::new(CHECK, CheckLevel::Unknown, found, WHY);
            vec![finding.cure("[server] listen = [\"127.0.0.1:7400\"]")]
        }
        DaemonFacts::Odd(address, what) => {
            let found = format!("http://{address}/healthz: {what}");
            let why = "Something listens there that does not answer as buzzerd does: it hangs, or it is another program.";
            let cure = format!("sudo ss -ltnp 'sport = :{}'    (tells which)", address.port());
            vec![Finding::fail(CHECK, found, why).cure(cure)]
        }
        DaemonFacts::Running(address, health) => {
            let mut findings = vec![status(&address.to_string(), health, facts)];
            findings.extend(health.restart_pending.then(|| restart_pending(facts)));
            findings.extend(counters(health));
            findings
        }
    }
}

fn status(address: &str, health: &HealthFacts, facts: &Facts) -> Finding {
    const CHECK: &str = "daemon";
    let found = format!("running on {address}, {}", health.status);
    if health.status != "ok" {
        let found = format!("{found}: {}", health.storage.as_deref().unwrap_or("why is not known"));
        let why = "The log does not take records: buzzes are told, but not kept.";
        return Finding::fail(CHECK, found, why).cure(what_it_says(facts));
    }
    if let Some(storage) = health.storage.as_deref().filter(|storage| *storage != "ok") {
        let why = "The log is still kept; what is wrong should be put right before the match.";
        return Finding::warn(CHECK, format!("{found}, but {storage}"), why).cure(what_it_says(facts));
    }
    let elsewhere = health.log.as_deref().filter(|dir| *dir != facts.configured_log);
    if let Some(differs) = difference(health, facts) {
        let found = format!("{found}, but {differs}");
        let why = "The daemon runs with another configuration than the one that was checked here, or was not restarted.";
        return Finding::warn(CHECK, found, why).cure("buzzerd --config FILE doctor    (FILE: the daemon's)");
    }
    let place = elsewhere.map_or(String::new(), |dir| format!(", its log is in {}", dir.display()));
    let presses = health.presses.map_or(String::new(), |presses| format!(", presses: {presses}"));
    Finding::ok(CHECK, format!("{found}{place}{presses}"), "It answers.")
}

/// An upgrade restarts no running daemon: somebody has to, between two matches.
fn restart_pending(facts: &Facts) -> Finding {
    let found = "another version is installed than the one that runs";
    let why = "An upgrade leaves the running daemon alone; it holds from the next restart on.";
    let restart = if facts.has_unit {
        "sudo systemctl restart buzzerd    (while no round is open)"
    } else {
        "stop buzzerd and start it again    (while no round is open)"
    };
    Finding::warn("restart pending", found, why).cure(restart)
}

/// In what the daemon's configuration is another one.
fn difference(health: &HealthFacts, facts: &Facts) -> Option<String> {
    if let Some(own) = health.settle_us.map(Micros::from_us).filter(|own| *own != facts.settle_us) {
        return Some(format!("its settle window is {}, not {}", ms(own), ms(facts.settle_us)));
    }
    let is_unknown = |pool: &&Pool| !health.pools.iter().any(|own| own.id == pool.id);
    // A daemon with very many pools does not name them all.
    let unknown =
        facts.pools.iter().find(is_unknown).filter(|_| health.pools.len() < facts.pools.len().min(8));
    unknown.map(|pool| format!("it has no pool {}", pool.id))
}

/// One line if nothing happened, else one for each thing that did.
fn counters(health: &HealthFacts) -> Vec<Finding> {
    let counters = [
        (
            "late presses",
            health.late,
            "Presses came to light after later ones had been told; the settle window was too short.",
            "the settle window below",
        ),
        (
            "wrong stamps",
            health.stale_stamps,
            "Presses had times that cannot be true, mostly because another program opened the device; they count as of \
             when they were read.",
            "sudo fuser -v /dev/input/event*    (tells which program)",
        ),
        (
            "lost events",
            health.gaps,
            "The kernel had to drop events of a device before they were read; the log has a gap record for each.",
            "the real-time priority above; on a virtual machine, the hardware itself",
        ),
        (
            "full queue",
            health.ring_full,
            "The server did not keep up with the reader; events had to wait, none was lost.",
            "top    (what else keeps the processors busy)",
        ),
        (
            "full memory",
            health.heap_full,
            "Events came faster than the server took them until the reader had to stop reading; presses of that time may \
             be late or lost, and the log says when.",
            "buzzerd devices    (a device that repeats by itself must be unplugged)",
        ),
    ];
    let mut findings = Vec::new();
    for (check, counter, why, cure) in counters {
        match counter {
            Some(0) => {}
            Some(number) => {
                let found = format!("{number} since the daemon's start");
                findings.push(Finding::warn(check, found, why).cure(cure));
            }
            None => {
                let missing = Missing("this daemon's /healthz does not say".to_owned());
                findings.push(Finding::unknown(check, &missing, why));
            }
        }
    }
    if findings.is_empty() {
        let found = "no late press, no wrong stamp, no lost event";
        findings.push(Finding::ok("presses so far", found, "What the daemon counts since its start."));
    }
    findings
}

/// Where a recommendation comes from.
fn fit(facts: &Facts) -> Result<(Micros, String), Missing> {
    if let Some(health) = facts.daemon.health()
        && let Some(late) = health.late_us_max.map(Micros::from_us)
        && let Some(fit) = health.settle_us_advised.map(Micros::from_us).or_else(|| settle::fit(late))
    {
        return Ok((fit, format!("a press came {} after its stamp", ms(late))));
    }
    if facts.is_virtual.clone()? {
        return Ok((VIRTUAL_US, "a virtual machine".to_owned()));
    }
    Ok(match facts.kernel.clone()?.is_realtime {
        true => (REALTIME_US, "a real-time kernel".to_owned()),
        false => (STOCK_US, "a stock kernel".to_owned()),
    })
}

fn settle_window(facts: &Facts) -> Finding {
    const CHECK: &str = "settle window";
    const WHY: &str = "A press waits this long, because another device may still show an earlier one.";
    let health = facts.daemon.health();
    let has = health.and_then(|health| health.settle_us).map_or(facts.settle_us, Micros::from_us);
    let devices = facts.devices.as_ref().map_or(usize::MAX, Vec::len);
    // Each program at a socket is a device; how many there are, only the daemon knows.
    let attached = |pool: &Pool| {
        let own = health.and_then(|health| health.pools.iter().find(|own| own.id == pool.id));
        own.map_or(1, |own| own.devices.max(1))
    };
    let senders: usize =
        facts.pools.iter().filter(|pool| pool.is_virtual && pool.is_stamped).map(attached).sum();
    if devices.saturating_add(senders) <= 1 {
        let found = format!("{}, but nothing waits: there are not two devices", ms(has));
        return Finding::ok(CHECK, found, "With one device at most, no other can show an earlier press.");
    }
    let (fit, reason) = match fit(facts) {
        Ok(fit) => fit,
        Err(missing) => return Finding::unknown(CHECK, &missing, format!("It is {}. {WHY}", ms(has))),
    };
    let found = format!("{}; {} fits: {reason}", ms(has), ms(fit));
    let line = format!("{}    (then restart the daemon)", settle::line(fit));
    if has < fit {
        let why = "Too short, and a press of another device can come to light after a later one was told.";
        return Finding::warn(CHECK, found, why).cure(line);
    }
    if has > FIT_US_MAX && has > fit {
        let why = "Every press waits that long, and a lamp no longer belongs to its press.";
        return Finding::warn(CHECK, found, why).cure(line);
    }
    Finding::ok(CHECK, found, WHY)
}

#[cfg(test)]
mod tests;
