//! Who takes nothing, and who only seems to. In: clients that do not read, a daemon that stands still. Out: who is dropped.
//! Guarantee: a slow client costs nobody else anything; one that took something in time stays.

use std::sync::mpsc;
use std::thread;

use buzzer_core::io::sys;
use buzzer_core::time::Micros;
use buzzer_tests::harness::client::{buzz, connected};
use buzzer_tests::{Home, left_out};
use rustix::process::Signal;

#[test]
fn a_slow_client_delays_nobody_and_is_dropped() {
    let home = Home::desk("debounce_us = 0");
    let mut daemon = home.serve();
    let mut fast = daemon.desk();
    let mut slow = daemon.client();
    slow.expect_nothing();
    let mut desk = home.attach(2);
    for client in [&mut fast, &mut slow] {
        client.expect(&connected(1));
        client.expect(&connected(2));
    }
    // `slow` reads nothing. Whatever kernel buffers hold for it, at some point they are full; then it is given up.
    let mut told = Vec::new();
    thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let (fast, told, desk) = (&mut fast, &mut told, &mut desk);
        scope.spawn(move || {
            for round in 0u64.. {
                let buzzer = 1 + u16::from(round % 3 == 0);
                desk.hit(buzzer);
                fast.expect_buzz(buzzer);
                told.push(buzzer);
                if stopped.try_recv().is_ok() {
                    return;
                }
            }
        });
        daemon.wait_said("dropped");
        stop.send(()).unwrap();
    });
    fast.expect_nothing();
    // What it can still read is what everybody was told, without a hole.
    let texts = slow.rest();
    for (text, buzzer) in texts.iter().zip(&told) {
        assert_eq!(*text, buzz(*buzzer));
    }
    assert!(texts.len() < told.len(), "{} of {}", texts.len(), told.len());
    assert_eq!(home.journal().presses(), told);
}

/// Its socket takes nothing, the daemon is stopped as a whole (a sleeping laptop, a debugger), it reads all there is, and much
/// later the daemon goes on: it took something in time, and must not be dropped for being looked at late.
#[test]
fn a_client_that_took_something_while_the_daemon_stood_still_stays() {
    // Longer than a blocked client has.
    let limit = Micros::from_ms(2000);
    for _ in 0..10 {
        let home = Home::desk("autoconnect = true\ndebounce_us = 0");
        let daemon = home.serve();
        let mut desk = home.attach(1);
        home.journal().wait_attached(1);
        let mut viewer = daemon.client();
        // With a few KiB it would get them so slowly that 2 s can go by between two.
        viewer.keep_bytes(32 << 10);
        viewer.expect_nothing();
        let start = sys::now();
        // More than the sockets take, less than the outbox keeps.
        const HITS: usize = 3000;
        for _ in 0..HITS {
            desk.hit(1);
        }
        home.journal().wait_presses(HITS as u64);
        // A turn of its own: by now the viewer was sent what its socket took.
        daemon.wait_healthz("a page", |_| true);
        daemon.signal(Signal::STOP);
        if sys::now().since(start) >= limit {
            // It may have been dropped, and rightly.
            daemon.kill();
            continue;
        }
        let reading = thread::spawn(move || {
            (0..HITS).for_each(|_| viewer.expect_buzz(1));
            viewer
        });
        while sys::now().since(start) < limit + limit {
            thread::yield_now();
        }
        daemon.signal(Signal::CONT);
        let mut viewer = reading.join().expect("every buzz came");
        viewer.expect_nothing();
        assert_eq!(daemon.stop().code, Some(0));
        return;
    }
    left_out("a client while the daemon stands still", "the machine is too slow to stop it in time");
}
