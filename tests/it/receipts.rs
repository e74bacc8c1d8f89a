//! Presses without a stamp of their own, and a daemon that is stopped. In: hits of programs at virtual pools, each between two
//! readings of the clock, while the daemon runs, stands still or is about to. Out: its log. Guarantee: every record's
//! interval has the hit in it, and no order that is called certain is wrong, at whatever moment the daemon is stopped.

use buzzer_core::io::sys;
use buzzer_core::time::KernelTime;
use buzzer_server::record::{Fact, Record};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::harness::written::{Dice, Judged, Written, hit, judge, pause, proved};
use buzzer_tests::{Attachment, Client, Daemon, Home};
use rustix::process::Signal;

/// What a receipt pool says of itself, µs.
const USUAL_US: [i64; 2] = [0, 1000];

/// Two pools of two devices each, all with one buzzer: 1 and 2 in one pool, 3 and 4 in the other.
fn table() -> (Home, Daemon, Client, Vec<Attachment>) {
    let pool = |id| {
        format!(
            "[[pool]]\nid = \"{id}\"\nsocket = \"$DIR/{id}.sock\"\nstamps = \"receipt\"\nautoconnect = true\n"
        )
    };
    let home = Home::new(&(pool("desk") + &pool("hall")));
    let daemon = home.serve();
    let attach = |buzzer| {
        let socket = home.socket(if buzzer < 3 { "desk" } else { "hall" });
        Attachment::open(&socket, &format!("device {buzzer}"), &[buzzer])
    };
    let devices: Vec<Attachment> = (1..=4).map(attach).collect();
    home.journal().wait_attached(4);
    let client = daemon.client();
    (home, daemon, client, devices)
}

/// Waits until so many presses have been told.
fn wait_told(client: &mut Client, presses: usize) {
    let mut told = 0;
    while told < presses {
        told += usize::from(client.text().starts_with(r#"{"event":"buzz""#));
    }
}

fn ended(home: &Home, daemon: Daemon) -> Vec<Record> {
    daemon.kill();
    home.journal().records()
}

#[test]
fn nothing_is_certain_and_wrong_while_the_daemon_is_stopped_and_goes_on() {
    let judged = proved(stops);
    assert!(judged.wide > 0 && judged.stalls > 0 && judged.photos > 0, "{judged:?}");
    assert!(judged.certain > 0 && judged.usual > 0, "{judged:?}");
}

fn stops() -> Result<Judged, String> {
    let mut dice = Dice(sys::now().as_us());
    let (home, daemon, mut client, mut devices) = table();
    let mut written: Vec<Written> = Vec::new();
    for round in 0..60 {
        // Before which hit it is stopped, if at all, and at once behind that before it or a while later.
        let hits = 2 + dice.below(3);
        let stop = dice.below(hits + 1);
        for n in 0..hits {
            if n == stop {
                daemon.signal(Signal::STOP);
            }
            let buzzer = dice.below(4) as u16;
            written.push(hit(&mut devices[usize::from(buzzer)], buzzer + 1));
            match dice.below(4) {
                0 | 1 => {}
                2 => pause(dice.below(3000)),
                _ => pause(dice.below(if round % 4 == 0 { 100_000 } else { 20_000 })),
            }
        }
        if stop == hits {
            daemon.signal(Signal::STOP);
            pause(dice.below(20_000));
        }
        daemon.signal(Signal::CONT);
        // Sometimes the next is hit while it wakes up.
        if dice.below(3) == 0 {
            let buzzer = dice.below(4) as u16;
            written.push(hit(&mut devices[usize::from(buzzer)], buzzer + 1));
            wait_told(&mut client, 1);
        }
        wait_told(&mut client, hits as usize);
    }
    judge(&ended(&home, daemon), &written, USUAL_US)
}

#[test]
fn a_hit_and_a_stop_in_the_same_moment_are_not_certain_and_wrong() {
    proved(hits_and_stops);
}

fn hits_and_stops() -> Result<Judged, String> {
    // The hit wakes the reader, and the stop comes before the reader has looked at its clock.
    let (home, daemon, mut client, mut devices) = table();
    let mut written: Vec<Written> = Vec::new();
    let mut dice = Dice(7);
    for round in 0..150 {
        let (one, other) = [(0, 2), (2, 0), (0, 1), (3, 1)][round % 4];
        written.push(hit(&mut devices[one], one as u16 + 1));
        if round % 3 > 0 {
            // The reader is at work now, or just done.
            pause(dice.below(120));
            written.push(hit(&mut devices[3 - one], 4 - one as u16));
        }
        daemon.signal(Signal::STOP);
        pause(dice.below(8000));
        written.push(hit(&mut devices[other], other as u16 + 1));
        daemon.signal(Signal::CONT);
        wait_told(&mut client, if round % 3 > 0 { 3 } else { 2 });
    }
    judge(&ended(&home, daemon), &written, USUAL_US)
}

#[test]
fn what_is_said_behind_a_greeting_may_be_older_than_its_attachment() {
    proved(greetings);
}

fn greetings() -> Result<Judged, String> {
    let (home, daemon, mut client, mut devices) = table();
    let mut written = Vec::new();
    for (round, length) in (5..).zip([1, 5000, 300]) {
        daemon.signal(Signal::STOP);
        let from = sys::now();
        let mut eager = Attachment::connect(&home.socket("desk"));
        // What is said at once is read with the greeting, or not, when that is long.
        let name = "x".repeat(100);
        let others: String =
            (1..length).map(|n| format!("\"{}\":{},", 100 + n % 150, 100 + n % 150)).collect();
        let greeting =
            format!("{{\"name\":\"{name}\",\"buzzers\":{{{others}\"{}\":{round}}}}}\n", key(round).get());
        let press = frame(KernelTime::ZERO, key(round), true);
        eager.send(&[greeting.as_bytes(), &press].concat());
        written.push(Written { buzzer: round, from, to: sys::now() });
        pause(100_000);
        written.push(hit(&mut devices[2], 3));
        daemon.signal(Signal::CONT);
        wait_told(&mut client, 2);
        // Who waits for the answer is as sure as anybody.
        let mut patient = Attachment::open(&home.socket("hall"), "patient", &[round + 10]);
        written.push(hit(&mut patient, round + 10));
        wait_told(&mut client, 1);
    }
    let records = ended(&home, daemon);
    let judged = judge(&records, &written, USUAL_US)?;
    let photos = records.iter().filter(|record| match &record.fact {
        Fact::Press { buzzer, photo, .. } => *buzzer < 10 && !photo.is_empty(),
        _ => false,
    });
    assert!(photos.count() >= 3, "each was a photo finish");
    Ok(judged)
}
