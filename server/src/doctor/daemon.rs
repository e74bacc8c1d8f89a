//! What the running daemon has seen, and the settle window that fits. In: `/healthz`, the configuration, the kernel's
//! kind. Out: findings on both. Guarantee: a daemon that does not run is no failure; a window is recommended from what was
//! measured on this box or, without that, from the kind of its kernel, and never as certain.

use buzzer_core::time::Micros;

use super::facts::{Daemon, Facts, Health, LogDir, Missing};
use super::fairness::ms;
use super::{Finding, Verdict};
use crate::settle::{self, FIT_US_MAX};

/// Windows by kind of kernel. Stock: stamp and publication are one section with interrupts off, µs. PREEMPT_RT: that
/// section can be preempted. Virtual: the processor itself can be taken away; 9 to 15 ms were seen under emulation.
const STOCK_US: Micros = Micros::from_ms(2);
const REALTIME_US: Micros = Micros::from_ms(5);
const VIRTUAL_US: Micros = Micros::from_ms(20);

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = running(&facts.daemon, &facts.log);
    findings.push(settle_window(facts));
    findings
}

fn running(daemon: &Daemon, log: &LogDir) -> Vec<Finding> {
    const CHECK: &str = "daemon";
    const WHY: &str =
        "A running daemon counts late presses, wrong stamps and lost events; without it they are not known.";
    match daemon {
        Daemon::Absent(address) => {
            let found = format!("not running: nobody listens on {address}");
            let finding = Finding::new(CHECK, Verdict::Unknown, found, WHY);
            vec![finding.cure("buzzerd serve    (or: sudo systemctl start buzzerd)")]
        }
        Daemon::AnyPort => {
            let found = "not asked: server.listen has port 0, which is another one at every start";
            let finding = Finding::new(CHECK, Verdict::Unknown, found, WHY);
            vec![finding.cure("[server] listen = [\"127.0.0.1:7400\"]")]
        }
        Daemon::Odd(address, what) => {
            let found = format!("http://{address}/healthz: {what}");
            let why = "Something listens there that does not answer as buzzerd does: it hangs, or it is another program.";
            let cure = format!("sudo ss -ltnp 'sport = :{}'    (tells which)", address.port());
            vec![Finding::fail(CHECK, found, why).cure(cure)]
        }
        Daemon::Running(address, health) => {
            let mut findings = vec![status(&address.to_string(), health, log)];
            findings.extend(counters(health));
            findings
        }
    }
}

fn status(address: &str, health: &Health, log: &LogDir) -> Finding {
    const CHECK: &str = "daemon";
    let found = format!("running on {address}, {}", health.status);
    if health.status != "ok" {
        let found = format!("{found}: {}", health.storage.as_deref().unwrap_or("why is not known"));
        let why = "The log does not take records: buzzes are told, but not kept.";
        return Finding::fail(CHECK, found, why).cure("journalctl -u buzzerd -e");
    }
    if let Some(storage) = health.storage.as_deref().filter(|storage| *storage != "ok") {
        let why = "The log is still kept; what is wrong should be put right before the match.";
        return Finding::warn(CHECK, format!("{found}, but {storage}"), why).cure("journalctl -u buzzerd -e");
    }
    match health.log.as_deref() {
        Some(dir) if dir != log.path => {
            let found = format!("{found}, but its log is in {}", dir.display());
            let why = "The daemon runs with another configuration than the one that was checked here.";
            Finding::warn(CHECK, found, why).cure("buzzerd --config FILE doctor    (FILE: the daemon's)")
        }
        _ => {
            let presses = health.presses.map_or(String::new(), |presses| format!(", presses: {presses}"));
            Finding::ok(CHECK, format!("{found}{presses}"), "It answers.")
        }
    }
}

/// One line if nothing happened, else one for each thing that did.
fn counters(health: &Health) -> Vec<Finding> {
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
    if let Daemon::Running(_, health) = &facts.daemon
        && let Some(late) = health.late_us_max.map(Micros::from_us)
        && let Some(fit) = settle::fit(late)
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
    let has = facts.settle_us;
    let devices = facts.devices.as_ref().map_or(usize::MAX, Vec::len);
    let senders = facts.pools.iter().filter(|pool| pool.is_virtual && pool.is_stamped).count();
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
mod tests {
    use super::super::Verdict::{Fail, Ok as Fine, Unknown, Warn};
    use super::super::facts::Kernel;
    use super::super::facts::tests::{fit as fit_box, hub, missing};
    use super::*;

    fn health() -> Health {
        match fit_box().daemon {
            Daemon::Running(_, health) => health,
            other => panic!("{other:?}"),
        }
    }

    fn verdicts(daemon: Daemon) -> Vec<(&'static str, Verdict)> {
        running(&daemon, &fit_box().log).iter().map(|finding| (finding.check, finding.verdict)).collect()
    }

    #[test]
    fn a_daemon_is_asked_how_it_is() {
        let address = "127.0.0.1:7400".parse().unwrap();
        let is = |health| Daemon::Running(address, health);
        for (daemon, want) in [
            (Daemon::Absent(address), vec![("daemon", Unknown)]),
            (Daemon::AnyPort, vec![("daemon", Unknown)]),
            (Daemon::Odd(address, "no answer".to_owned()), vec![("daemon", Fail)]),
            (is(health()), vec![("daemon", Fine), ("presses so far", Fine)]),
            (
                is(Health { status: "log failing".to_owned(), ..health() }),
                vec![("daemon", Fail), ("presses so far", Fine)],
            ),
            (
                is(Health { storage: Some("only 12 MiB".to_owned()), ..health() }),
                vec![("daemon", Warn), ("presses so far", Fine)],
            ),
            (
                is(Health { log: Some("/srv".into()), ..health() }),
                vec![("daemon", Warn), ("presses so far", Fine)],
            ),
            (is(Health { late: Some(3), ..health() }), vec![("daemon", Fine), ("late presses", Warn)]),
            (
                is(Health { stale_stamps: Some(1), gaps: Some(1), ring_full: Some(1), ..health() }),
                vec![("daemon", Fine), ("wrong stamps", Warn), ("lost events", Warn), ("full queue", Warn)],
            ),
            (is(Health { gaps: None, ..health() }), vec![("daemon", Fine), ("lost events", Unknown)]),
        ] {
            assert_eq!(verdicts(daemon.clone()), want, "{daemon:?}");
        }
    }

    #[test]
    fn the_window_fits_what_was_seen_or_the_kernel() {
        let two = |late_us_max, is_virtual, is_realtime, settle_us| {
            let mut facts = fit_box();
            facts.devices = Ok(vec![hub("event7"), hub("event8")]);
            if let Daemon::Running(_, health) = &mut facts.daemon {
                health.late_us_max = Some(late_us_max);
            }
            let kernel = Ok(Kernel { release: String::new(), is_realtime });
            Facts { is_virtual, kernel, settle_us: Micros::from_us(settle_us), ..facts }
        };
        for (facts, want, fits) in [
            (two(0, Ok(false), false, 2000), Fine, "2 ms fits: a stock kernel"),
            (two(0, Ok(false), false, 0), Warn, "2 ms fits: a stock kernel"),
            (two(0, Ok(false), true, 2000), Warn, "5 ms fits: a real-time kernel"),
            (two(0, Ok(false), true, 5000), Fine, "5 ms fits: a real-time kernel"),
            (two(0, Ok(true), false, 2000), Warn, "20 ms fits: a virtual machine"),
            (two(0, Ok(true), false, 20_000), Fine, "20 ms fits: a virtual machine"),
            (two(0, Ok(false), false, 50_000), Warn, "2 ms fits: a stock kernel"),
            (two(2500, Ok(true), false, 2000), Warn, "10 ms fits: a press came 2.5 ms after its stamp"),
            (two(2500, Ok(false), false, 10_000), Fine, "10 ms fits: a press came 2.5 ms after its stamp"),
            (two(90_000, Ok(false), false, 2000), Warn, "20 ms fits: a press came 90 ms after its stamp"),
            (two(0, missing(), false, 2000), Unknown, "cannot be read: /proc/x: permission denied"),
        ] {
            let finding = settle_window(&facts);
            assert_eq!(finding.verdict, want, "{finding:?}");
            assert!(finding.found.ends_with(fits), "{finding:?}");
        }
        let finding = settle_window(&two(0, Ok(true), false, 2000));
        assert_eq!(finding.cure.as_deref(), Some("[order] settle_us = 20000    (then restart the daemon)"));
    }

    #[test]
    fn one_device_waits_for_nobody() {
        let facts = Facts { settle_us: Micros::ZERO, is_virtual: Ok(true), ..fit_box() };
        assert_eq!(settle_window(&facts).verdict, Fine);
        let nothing_read = Facts { devices: missing(), ..facts };
        assert_eq!(settle_window(&nothing_read).verdict, Warn, "there may be more than one");
    }
}
