//! What the daemon holds. In: a daemon that nobody has connected to. Out: its resident memory. Guarantee: a bound on bytes,
//! not on time, so it holds on any machine; the reader's memory is touched at the start and is part of it.

use buzzer_tests::{Home, left_out};

/// For the whole of it, code included: a board with 64 MiB has room for it beside Linux.
const RESIDENT_KIB_MAX: u64 = 8 * 1024;
/// For what it asked for itself; the reader's heap is most of it. An unoptimised program is larger, this is not.
const ANONYMOUS_KIB_MAX: u64 = 5 * 1024;

#[test]
fn a_daemon_without_clients_fits_into_8_mib() {
    let home = Home::desk("autoconnect = true");
    let daemon = home.serve();
    let mut desk = home.attach(4);
    desk.hit(1);
    home.journal().wait_presses(1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("its status");
    let kib = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a line of its status");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    };
    let (resident, anonymous) = (kib("VmRSS:"), kib("RssAnon:"));
    println!("without clients: {resident} KiB resident, {anonymous} KiB of it its own");
    assert!(
        (1536..=ANONYMOUS_KIB_MAX).contains(&anonymous),
        "{anonymous} KiB; the reader's heap alone is 1.5 MiB"
    );
    if cfg!(debug_assertions) {
        left_out("memory: 8 MiB resident", "unoptimised code is larger: cargo test --release");
    } else {
        assert!(resident <= RESIDENT_KIB_MAX, "{resident} KiB");
    }
}
