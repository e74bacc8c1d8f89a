//! The test program of a booted Debian: `boot-guest`, started there as a unit by `tests/boot/run`.
//!
//! Enters: `/test` with the packages, and the beginnings of the names of the cases to run. Leaves: `ok NAME (ms)` or `not ok
//! NAME (ms): why`, a count, and the machine's end. Guarantees: the cases run in their order on one system, as an evening does:
//! each finds what the one before it left. `client`, `attach` and `probe` are this program in another namespace, as another
//! user, and in the daemon's own sandbox.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

mod machine;
mod outage;
mod package;
mod play;
mod restart;
mod rights;
mod roles;
// What the cases of the bare kernel have as well. Not all of it is used here.
#[allow(dead_code, reason = "shared with the other guest")]
#[path = "../../vm/guest/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the other guest")]
#[path = "../../vm/guest/deadline.rs"]
mod deadline;
#[allow(dead_code, reason = "shared with the other guest")]
#[path = "../../vm/guest/node.rs"]
mod node;
#[allow(dead_code, reason = "shared with the other guest")]
#[path = "../../vm/guest/uhid.rs"]
mod uhid;

use std::fs;
use std::path::Path;
use std::time::Instant;

use deadline::Outcome;

type Case = (&'static str, fn() -> Outcome);

/// Its presence says that the power was cut.
const CUT: &str = "/var/lib/boot-test-cut";

/// Up to the power cut.
#[rustfmt::skip]
const BEFORE: &[Case] = &[
    ("boots", package::boots),
    ("installs_and_is_ready", package::installs_and_is_ready),
    ("systemd_and_udev_are_content", package::systemd_and_udev_are_content),
    ("hub_gets_its_rights", rights::hub_gets_its_rights),
    ("hub_becomes_a_pool", play::hub_becomes_a_pool),
    ("hall_is_opened", play::hall_is_opened),
    ("strange_networks_get_no_answer", play::strange_networks_get_no_answer),
    ("lights_and_latency_work_in_the_sandbox", play::lights_and_latency_work_in_the_sandbox),
    ("member_of_the_group_attaches", rights::member_of_the_group_attaches),
    ("member_of_the_group_reads_the_log", rights::member_of_the_group_reads_the_log),
    ("sandbox_holds", rights::sandbox_holds),
    ("doctor_finds_no_right_missing", rights::doctor_finds_no_right_missing),
    ("recovers_from_a_kill", outage::recovers_from_a_kill),
    ("recovers_from_no_memory", outage::recovers_from_no_memory),
    ("recovers_from_a_hang", outage::recovers_from_a_hang),
    ("presses_during_a_restart_are_told", restart::presses_during_a_restart_are_told),
    ("too_many_presses_leave_a_gap", restart::too_many_presses_leave_a_gap),
    ("wrong_configuration_stays_down", outage::wrong_configuration_stays_down),
    ("power_is_cut", outage::power_is_cut),
];

/// From the next boot on.
#[rustfmt::skip]
const AFTER: &[Case] = &[
    ("power_cut_lost_nothing_durable", outage::power_cut_lost_nothing_durable),
    ("a_hub_that_comes_later_has_its_lights", play::lights_and_latency_work_in_the_sandbox),
    ("upgrade_leaves_the_game_alone", package::upgrade_leaves_the_game_alone),
    ("downgrade_does_too", package::downgrade_does_too),
    ("purge_keeps_the_log", package::purge_keeps_the_log),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let ended = match words[..] {
        [] => return machine::power_off(run()),
        ["client", address] => roles::client(address),
        ["attach", socket] => roles::attach(Path::new(socket)),
        ["probe"] => roles::probe(),
        _ => Err("unknown role".to_owned()),
    };
    if let Err(why) = ended {
        println!("{why}");
        std::process::exit(1);
    }
}

/// Whether every case passed. The one that ends with the power's cut never comes back.
fn run() -> bool {
    let only = fs::read_to_string("/test/only").unwrap_or_default();
    let cases = if Path::new(CUT).exists() { AFTER } else { BEFORE };
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in
        cases.iter().filter(|(name, _)| only.trim().split(',').any(|start| name.starts_with(start)))
    {
        #[allow(clippy::disallowed_methods, reason = "a report, no kernel time")]
        let started = Instant::now();
        let outcome = if failed > 0 && *name == "power_is_cut" {
            Err("not after a failure".to_owned())
        } else {
            case()
        };
        let took_ms = started.elapsed().as_millis();
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("ok {name} ({took_ms} ms)");
            }
            Err(why) => {
                failed += 1;
                println!("not ok {name} ({took_ms} ms): {why}");
                for line in machine::last_words().lines() {
                    println!("boot:     {line}");
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    failed == 0 && passed > 0
}
