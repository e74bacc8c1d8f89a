//! What is found in a daemon. In: pages of `/healthz`. Out: findings with their level and words.

use super::super::CheckLevel::{Fail, Ok as Fine, Unknown, Warn};
use super::super::facts::tests::{fit as fit_box, hub, missing};
use super::super::facts::{Kernel, PoolHealth};
use super::*;

fn health() -> HealthFacts {
    match fit_box().daemon {
        DaemonFacts::Running(_, health) => *health,
        other => panic!("{other:?}"),
    }
}

fn verdicts(daemon: DaemonFacts) -> Vec<(&'static str, CheckLevel)> {
    running(&daemon, &fit_box()).iter().map(|finding| (finding.check, finding.verdict)).collect()
}

#[test]
fn a_daemon_is_asked_how_it_is() {
    let address = "127.0.0.1:7400".parse().unwrap();
    let is = |health| DaemonFacts::Running(address, Box::new(health));
    for (daemon, want) in [
        (DaemonFacts::Absent(address), vec![("daemon", Unknown)]),
        (DaemonFacts::AnyPort, vec![("daemon", Unknown)]),
        (DaemonFacts::Odd(address, "no answer".to_owned()), vec![("daemon", Fail)]),
        (is(health()), vec![("daemon", Fine), ("presses so far", Fine)]),
        (
            is(HealthFacts { status: "log failing".to_owned(), ..health() }),
            vec![("daemon", Fail), ("presses so far", Fine)],
        ),
        (
            is(HealthFacts { restart_pending: true, ..health() }),
            vec![("daemon", Fine), ("restart pending", Warn), ("presses so far", Fine)],
        ),
        (
            is(HealthFacts { storage: Some("only 12 MiB".to_owned()), ..health() }),
            vec![("daemon", Warn), ("presses so far", Fine)],
        ),
        (
            is(HealthFacts { log: Some("/srv".into()), ..health() }),
            vec![("daemon", Fine), ("presses so far", Fine)],
        ),
        (
            is(HealthFacts { settle_us: Some(9), ..health() }),
            vec![("daemon", Warn), ("presses so far", Fine)],
        ),
        (is(HealthFacts { pools: vec![], ..health() }), vec![("daemon", Warn), ("presses so far", Fine)]),
        (is(HealthFacts { late: Some(3), ..health() }), vec![("daemon", Fine), ("late presses", Warn)]),
        (
            is(HealthFacts { stale_stamps: Some(1), gaps: Some(1), ring_full: Some(1), ..health() }),
            vec![("daemon", Fine), ("wrong stamps", Warn), ("lost events", Warn), ("full queue", Warn)],
        ),
        (is(HealthFacts { gaps: None, ..health() }), vec![("daemon", Fine), ("lost events", Unknown)]),
    ] {
        assert_eq!(verdicts(daemon.clone()), want, "{daemon:?}");
    }
}

#[test]
fn the_window_fits_what_was_seen_or_the_kernel() {
    let two = |late_us_max, is_virtual, is_realtime, settle_us| {
        let mut facts = fit_box();
        facts.devices = Ok(vec![hub("event7"), hub("event8")]);
        if let DaemonFacts::Running(_, health) = &mut facts.daemon {
            health.late_us_max = Some(late_us_max);
            health.settle_us = Some(settle_us);
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

fn pool_health(id: &str, devices: usize) -> PoolHealth {
    PoolHealth { id: id.to_owned(), devices, is_waiting: devices == 0 }
}

fn virtual_pool(id: &str) -> Pool {
    Pool { id: id.to_owned(), is_virtual: true, is_stamped: true, wanted: 0, found: 0 }
}

#[test]
fn two_senders_in_one_pool_are_two_devices() {
    for (devices, want) in [(0, Fine), (1, Fine), (2, Warn)] {
        let health = HealthFacts {
            pools: vec![pool_health("table", devices)],
            settle_us: Some(0),
            late_us_max: Some(3000),
            settle_us_advised: Some(12_000),
            ..health()
        };
        let daemon = DaemonFacts::Running("127.0.0.1:7400".parse().unwrap(), Box::new(health));
        let pools = vec![virtual_pool("table")];
        let facts = Facts { devices: Ok(vec![]), pools, daemon, settle_us: Micros::ZERO, ..fit_box() };
        let finding = settle_window(&facts);
        assert_eq!(finding.verdict, want, "{finding:?}");
        assert_eq!(finding.found.contains("12 ms fits"), devices == 2, "{finding:?}");
    }
}

#[test]
fn what_waits_and_what_is_held_is_told() {
    let troubled = |buzzer, stuck| TroubledButton { pool: "stage".into(), buzzer, held_us: Some(5), stuck };
    let own = HealthFacts {
        button_sums: ButtonCounts { all: 4, unheard: 2 },
        troubled: vec![troubled(1, true), troubled(2, false), troubled(2, false)],
        ..health()
    };
    let found: Vec<_> = buttons(&own).into_iter().map(|finding| finding.found).collect();
    assert_eq!(found, ["stage 1", "stage 2", "2 of 4 since their devices were connected"]);
    let of: Vec<_> = buttons(&own).iter().map(|finding| (finding.check, finding.verdict)).collect();
    assert_eq!(of, [("stuck buttons", Warn), ("held buttons", Warn), ("not heard yet", Unknown)]);
    let facts = Facts { pools: vec![virtual_pool("table"), fit_box().pools[0].clone()], ..fit_box() };
    let health = HealthFacts { pools: vec![pool_health("table", 0), pool_health("stage", 0)], ..health() };
    let of: Vec<_> = pools(&health, &facts).iter().map(|finding| (finding.check, finding.verdict)).collect();
    assert_eq!(of, [("attachments", Warn), ("waiting pools", Fail)]);
}

#[test]
fn a_cure_names_what_is_there() {
    let facts =
        Facts { has_unit: false, daemon: DaemonFacts::Absent("127.0.0.1:1".parse().unwrap()), ..fit_box() };
    assert_eq!(running(&facts.daemon, &facts)[0].cure.as_deref(), Some("buzzerd serve"));
    assert!(!what_it_says(&facts).contains("journalctl"));
}

#[test]
fn one_device_waits_for_nobody() {
    let facts = Facts { settle_us: Micros::ZERO, is_virtual: Ok(true), ..fit_box() };
    assert_eq!(settle_window(&facts).verdict, Fine);
    let daemon = DaemonFacts::Absent("127.0.0.1:1".parse().unwrap());
    let nothing_read = Facts { devices: missing(), daemon, ..facts };
    assert_eq!(settle_window(&nothing_read).verdict, Warn, "there may be more than one");
}
