//! Programs at a virtual pool's socket that send more than anybody can read. In: records right behind greetings, floods with and
//! without keys, a daemon that stood still meanwhile. Out: presses in the log and at clients. Guarantee: the daemon lives, no
//! press is lost, and who presses beside a flood is told while the flood goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use buzzer_core::io::sys;
use buzzer_core::press::decode::Record as Input;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::record::Fact;
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::client::connected;
use buzzer_tests::{Attachment, Home};
use rustix::process::Signal;

/// Hits that fit behind a greeting in what the daemon reads at once.
const HITS: u64 = 42;

/// Greets and hits buzzer `buzzer` in one write.
fn greet_and_hit(home: &Home, buzzer: u16) -> Attachment {
    let mut attachment = Attachment::connect(&home.socket("desk"));
    let (key, now) = (key(buzzer), sys::now());
    let hit = [frame(now, key, true), frame(now, key, false)].concat();
    let greeting = format!("{{\"name\":\"x\",\"buzzers\":{{\"{}\":{buzzer}}}}}\n", key.get());
    attachment.send(&[greeting.as_bytes(), &hit.repeat(HITS as usize)].concat());
    attachment
}

#[test]
fn what_comes_behind_hundreds_of_greetings_at_once_is_read_like_all_else() {
    let home = Home::desk("stamps = \"sender\"\ndebounce_us = 0\nautoconnect = true");
    let mut daemon = home.serve();
    daemon.signal(Signal::STOP);
    let mut attached: Vec<Attachment> = (0..120).map(|_| greet_and_hit(&home, 1)).collect();
    daemon.signal(Signal::CONT);
    attached.extend((0..380).map(|_| greet_and_hit(&home, 1)));
    for attachment in &mut attached {
        assert_eq!(attachment.line(), r#"{"ok":true}"#);
    }
    daemon.assert_alive();
    home.journal().wait_presses(500 * HITS);
    let mut client = daemon.client();
    client.send(r#"{"list":"buzzers"}"#);
    client.expect(r#"{"response":"buzzers","pools":[{"pool":"desk","buzzers":[1]}]}"#);
    client.close();
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn attachments_that_come_beside_a_flood_are_read_and_lose_nothing() {
    let home = Home::desk("debounce_us = 0\nautoconnect = true");
    let mut daemon = home.serve();
    const FLOOD: u64 = 40_000;
    const OTHERS: u64 = 300;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut flood = Attachment::open(&home.socket("desk"), "flood", &[2]);
            let hits =
                [frame(KernelTime::ZERO, key(2), true), frame(KernelTime::ZERO, key(2), false)].concat();
            for _ in 0..FLOOD / 100 {
                flood.send(&hits.repeat(100));
            }
            flood.finish();
        });
        let mut others: Vec<Attachment> = (0..OTHERS).map(|_| greet_and_hit(&home, 1)).collect();
        for other in &mut others {
            assert_eq!(other.line(), r#"{"ok":true}"#);
        }
    });
    daemon.assert_alive();
    home.journal().wait_presses(FLOOD + OTHERS * HITS);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_press_is_told_before_a_backlog_without_keys_is_read() {
    // Longer than anything that is waited for: a pass, a few of them, what a socket usually keeps.
    const BACKLOG_BYTES: usize = 6 << 20;
    let home = Home::desk("stamps = \"sender\"\ndebounce_us = 0");
    let daemon = home.serve();
    let mut client = daemon.desk();
    let mut desk = Attachment::open(&home.socket("desk"), "desk", &[1]);
    client.expect(&connected(1));
    let mut noise = Attachment::open(&home.socket("desk"), "noise", &[2]);
    client.expect(&connected(2));
    noise.enlarge(BACKLOG_BYTES);
    let still = sys::now();
    let reports = Input::report(still).to_bytes();
    let mut backlog = reports.repeat(BACKLOG_BYTES / reports.len());
    backlog.extend([frame(still, key(2), true), frame(still, key(2), false)].concat());
    // A reader that did not run waits for what was there then, but not for all that a program says behind it.
    daemon.signal(Signal::STOP);
    desk.hit(1);
    let sent = noise.fill(&backlog);
    daemon.signal(Signal::CONT);
    noise.send(&backlog[sent..]);
    client.expect_buzz(1);
    client.expect_buzz(2);
}

#[test]
fn a_frame_without_keys_says_how_far_its_sender_is() {
    let home = Home::desk("stamps = \"sender\"\ndebounce_us = 0");
    let daemon = home.serve();
    let mut client = daemon.desk();
    let mut desk = Attachment::open(&home.socket("desk"), "desk", &[1]);
    client.expect(&connected(1));
    let early = sys::now();
    desk.records(&[Input::report(early + Micros::from_us(1))]);
    desk.send(&frame(early, key(1), true));
    client.expect_buzz(1);
    let press = home.journal().wait_for("press", |fact| matches!(fact, Fact::Press { .. }));
    let Fact::Press { flags, .. } = press.fact else { unreachable!() };
    assert!(flags.names().eq(["stale_stamp"]));
}

#[test]
fn a_press_is_told_beside_senders_that_press_without_end_at_one_time() {
    const PRESSES: usize = 20;
    // So many that the daemon never finds all of them empty.
    const FLOODERS: usize = 8;
    let pool =
        |id: &str| format!("[[pool]]\nid = \"{id}\"\nsocket = \"$DIR/{id}.sock\"\nstamps = \"sender\"\n");
    let still = sys::now();
    let flood = [frame(still, key(1), true), frame(still, key(1), false)].concat().repeat(1000);
    let home = Home::new(&format!("{}{}debounce_us = 0\n", pool("noise"), pool("desk")));
    let mut daemon = home.serve();
    let mut client = daemon.desk();
    let mut desk = Attachment::open(&home.socket("desk"), "desk", &[1]);
    client.expect(&connected(1));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..FLOODERS {
            scope.spawn(|| {
                let mut noise = Attachment::open(&home.socket("noise"), "noise", &[1]);
                while !over.load(Ordering::Relaxed) {
                    assert!(noise.try_send(&flood), "it is read to the end");
                }
            });
        }
        home.journal().wait_attached(FLOODERS + 1);
        for _ in 0..PRESSES {
            desk.hit(1);
            client.expect_buzz(1);
        }
        over.store(true, Ordering::Relaxed);
    });
    daemon.assert_alive();
}
