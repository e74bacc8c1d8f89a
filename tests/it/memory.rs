//! What the daemon holds. In: a daemon that nobody has connected to. Out: its resident memory. Guarantee: a bound on bytes,
//! not on time, so it holds on any machine; the reader's memory is touched at the start and is part of it.

use buzzer_tests::Home;

/// Half as much as the smallest boards on which a buzzer box is built could spare without noticing.
const RESIDENT_KIB_MAX: u64 = 8 * 1024;

#[test]
fn a_daemon_without_clients_fits_into_8_mib() {
    let home = Home::desk("autoconnect = true");
    let daemon = home.serve();
    let mut desk = home.attach(4);
    desk.hit(1);
    home.journal().wait_presses(1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    assert!(kib <= RESIDENT_KIB_MAX, "{kib} KiB");
    assert!(kib >= 2048, "{kib} KiB is less than the reader's own memory: this is another process");
    println!("{kib} KiB");
}
