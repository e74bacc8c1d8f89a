//! What clients can make the daemon keep. In: clients that ask for much and read nothing, or send messages that never end. Out:
//! the resident memory of the daemon. Guarantee: bounds on bytes, not on time.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;

use buzzer_tests::harness::raw::{UPGRADE, masked};
use buzzer_tests::{Daemon, Home, left_out};
use rustix::process::{Resource, getrlimit, setrlimit};

/// For everything, an unoptimised program included: 32 MiB may wait.
const RESIDENT_KIB_MAX: u64 = 80 << 10;
/// When all are gone: an unoptimised program without clients has 15 MiB.
const RESIDENT_KIB_LEFT_MAX: u64 = 26 << 10;
const CLIENTS: usize = 2500;

/// `VmRSS`, or `VmHWM` for the most that it ever was.
fn resident_kib(daemon: &Daemon, which: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("its status");
    let line = status.lines().find(|line| line.starts_with(which)).expect("a line of its status");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Clients that have sent their upgrade; `None` if this process may not have so many descriptors.
fn crowd(daemon: &Daemon) -> Option<Vec<TcpStream>> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let mut crowd = Vec::new();
    for _ in 0..CLIENTS {
        let Ok(mut stream) = TcpStream::connect(daemon.address()) else {
            left_out("clients that ask for much", "too few descriptors");
            return None;
        };
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 2304).expect("a small buffer");
        stream.write_all(UPGRADE.as_bytes()).expect("it is sent");
        if crowd.len() % 64 == 63 {
            daemon.wait_healthz("all heads are read", |_| true);
        }
        crowd.push(stream);
    }
    daemon.wait_healthz("all are clients", |page| page["clients"] == CLIENTS);
    Some(crowd)
}

/// Sends to each what its socket takes of this.
fn send(crowd: &mut [TcpStream], bytes: &[u8]) {
    for stream in crowd {
        stream.set_nonblocking(true).expect("it does not block");
        let mut sent = 0;
        while sent < bytes.len() {
            match stream.write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // It was given up.
                Err(_) => break,
            }
        }
    }
}

fn check(bytes: &[u8], rounds: usize) {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let mut daemon = home.serve();
    let mut desk = home.attach(1);
    home.journal().wait_attached(1);
    let Some(mut crowd) = crowd(&daemon) else { return };
    for round in 1..=rounds {
        send(&mut crowd, bytes);
        desk.hit(1);
        home.journal().wait_presses(round as u64);
    }
    daemon.assert_alive();
    drop(crowd);
    daemon.wait_healthz("all are gone", |page| page["clients"] == 0);
    let (most, after) = (resident_kib(&daemon, "VmHWM:"), resident_kib(&daemon, "VmRSS:"));
    println!("{CLIENTS} greedy clients: at most {most} KiB, {after} KiB when they are gone");
    assert!(most <= RESIDENT_KIB_MAX, "{most} KiB");
    assert!(after <= RESIDENT_KIB_LEFT_MAX, "{after} KiB are kept");
    let mut client = daemon.client();
    client.expect_nothing();
    desk.hit(1);
    client.expect_buzz(1);
}

/// Six bytes are told for each of these that was sent.
#[test]
fn who_asks_for_much_and_reads_nothing_costs_what_it_sent() {
    check(&masked(0x81, &[1; 8192]).repeat(4), 10);
}

#[test]
fn a_message_that_never_ends_costs_what_was_sent() {
    let first = [masked(0x01, &[b' '; 4000]), masked(0x00, &[b' '; 4000])].concat();
    check(&[&first[..], &masked(0x80, &[b' '; 192])[..100]].concat(), 2);
}
