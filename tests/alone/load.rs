//! Load. In: 64 attachments of 32 buttons, all pressed as fast as the machine takes it, or at a fixed pace. Out: counts and
//! a rate. Guarantee: what is asserted is that nothing is lost, invented or out of order, never how fast it was.
//!
//! Two questions, two ways to press. *Flood*: the only thing that holds a presser is its socket; a client that reads
//! slower than 64 devices press is dropped by design, so here the log is the witness. *Answered*: a presser goes on when
//! the client has seen its presses, so that every frame must arrive.

use std::thread;

use buzzer_core::io::sys;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::record::{Fact, Flag};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::{Attachment, Client, Home, is_slow, left_out};
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec};
use tungstenite::Message;

use crate::seen::{Seen, buzzer};
use crate::{KEYS, alone, desk};

const DEVICES: u16 = 64;
/// The buzzer whose press ends a run.
const END: u16 = u16::MAX;
/// Presses of one `write`.
const BATCH: u64 = 4;
/// Presses of one device that the client has not seen yet. All of them together stay below what may wait for one
/// client: 1 024 frames of 4 096.
const UNSEEN_MAX: u64 = 16;

#[test]
fn a_flood_is_logged_whole_with_the_mediators_own_stamps() {
    flood("receipt");
}

#[test]
fn a_flood_is_logged_whole_with_senders_stamps_and_the_default_window() {
    flood("sender");
}

#[test]
fn presses_records_and_frames_are_the_same_with_the_mediators_own_stamps() {
    answered("receipt", 2, None);
}

#[test]
fn presses_records_and_frames_are_the_same_with_senders_stamps_and_the_default_window() {
    answered("sender", 2, None);
}

#[test]
fn a_thousand_presses_a_second_and_device() {
    if !is_slow() {
        return left_out("load: 10 s at 1000 presses a second and device", "BUZZERD_SLOW=1 runs it");
    }
    answered("receipt", 10, Some(1000));
    answered("sender", 10, Some(1000));
}

/// Down and up, `count` times; `done` presses came before, which says which keys are next.
fn hits(done: u64, count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for press in done..done + count {
        let (now, key) = (sys::now(), key(1 + (press % u64::from(KEYS)) as u16));
        bytes.extend(frame(now, key, true));
        bytes.extend(frame(now, key, false));
    }
    bytes
}

fn flood(stamps: &str) {
    let _alone = alone();
    let (home, daemon, devices) = desk(stamps, DEVICES);
    let mut client = daemon.client();
    let start = sys::now();
    let until = start + Micros::from_ms(250);
    let (pressed, took, seen) = thread::scope(|scope| {
        let reader = scope.spawn(|| read_what_it_can(&mut client));
        let press = |mut device: Attachment| {
            let mut presses = 0;
            while sys::now() < until {
                device.send(&hits(presses, BATCH));
                presses += BATCH;
            }
            (device, presses)
        };
        let pressers: Vec<_> = devices.into_iter().map(|device| scope.spawn(move || press(device))).collect();
        let devices: Vec<_> =
            pressers.into_iter().map(|presser| presser.join().expect("a presser")).collect();
        let pressed = devices.iter().map(|(_, presses)| presses).sum();
        home.journal().wait_presses(pressed);
        let took = sys::now().since(start);
        let mut after = daemon.client(); // The daemon serves the next client as ever.
        after.expect_nothing();
        daemon.kill();
        (pressed, took, reader.join().expect("the reader"))
    });
    let logged = logged(&home, stamps, pressed, took);
    assert!(logged.starts_with(&seen), "what the client could read is the beginning of the log");
}

fn answered(stamps: &str, seconds: u64, per_second: Option<u64>) {
    let _alone = alone();
    let (home, daemon, devices) = desk(stamps, DEVICES);
    let mut end = Attachment::open_keys(&home.socket("desk"), "end", [(key(1), END)].into_iter());
    home.journal().wait_attached(devices.len() + 1);
    let mut client = daemon.client();
    let seen: Vec<Seen> = (0..DEVICES).map(|_| Seen::default()).collect();
    let start = sys::now();
    let until = start + Micros::from_ms(seconds * 1000);
    let (pressed, told) = thread::scope(|scope| {
        let reader = scope.spawn(|| read_to_the_end(&mut client, &seen));
        let press = |mut device: Attachment, seen: &Seen| {
            let mut presses = 0;
            while sys::now() < until {
                let batch = per_second.map_or(BATCH, |_| 1);
                device.send(&hits(presses, batch));
                presses += batch;
                seen.wait(presses.saturating_sub(UNSEEN_MAX - batch));
                if let Some(per_second) = per_second {
                    wait_until(start + Micros::from_us(presses * 1_000_000 / per_second));
                }
            }
            seen.wait(presses);
            (device, presses)
        };
        let pressers: Vec<_> = devices
            .into_iter()
            .zip(&seen)
            .map(|(device, seen)| scope.spawn(move || press(device, seen)))
            .collect();
        let devices: Vec<_> =
            pressers.into_iter().map(|presser| presser.join().expect("a presser")).collect();
        // All of them have been told, so this one comes last.
        end.send(&frame(sys::now(), key(1), true));
        let pressed = devices.iter().map(|(_, presses)| presses).sum();
        (pressed, reader.join().expect("the reader"))
    });
    let took = sys::now().since(start);
    let logged = logged(&home, stamps, pressed, took);
    assert!(logged == told, "frames and records differ");
}

/// The buzzers told until the connection ends.
fn read_what_it_can(client: &mut Client) -> Vec<u16> {
    let mut told = Vec::new();
    while let Ok(Message::Text(text)) = client.message() {
        told.push(buzzer(text.as_str()).unwrap_or_else(|| panic!("{text}")));
    }
    told
}

/// The buzzers told until the last press.
fn read_to_the_end(client: &mut Client, seen: &[Seen]) -> Vec<u16> {
    let mut told = Vec::with_capacity(1 << 20);
    loop {
        let text = client.text();
        match buzzer(&text).unwrap_or_else(|| panic!("{text}")) {
            END => return told,
            buzzer => {
                told.push(buzzer);
                seen[usize::from(buzzer / KEYS)].count();
            }
        }
    }
}

/// The buzzers of the log, after a look at everything that can be wrong with it.
fn logged(home: &Home, stamps: &str, pressed: u64, took: Micros) -> Vec<u16> {
    let mut logged: Vec<u16> = Vec::new();
    let (mut late, mut stale, mut tied, mut full, mut latest) = (0u64, 0u64, 0u64, 0u64, 0);
    // Each device pressed its buzzers in turn, so the place of every one of its presses is known.
    let mut next = [0; DEVICES as usize];
    // `records` itself checks that numbers are dense.
    for record in home.journal().records() {
        let (buzzer, flags, tie) = match &record.fact {
            Fact::Press { buzzer: END, .. } => continue,
            Fact::Press { buzzer, flags, tie, .. } => (*buzzer, flags, tie),
            Fact::RingFull { .. } => {
                full += 1;
                continue;
            }
            _ => continue,
        };
        let next = &mut next[usize::from(buzzer / KEYS)];
        assert_eq!(buzzer % KEYS, *next, "device {}: {record:?}", buzzer / KEYS);
        *next = (*next + 1) % KEYS;
        let is_late = flags.has(&Flag::Late);
        assert!(is_late || record.at_us >= latest, "an inversion without a mark: {record:?}");
        latest = latest.max(record.at_us);
        late += u64::from(is_late);
        stale += u64::from(flags.has(&Flag::StaleStamp));
        tied += u64::from(tie.is_some());
        logged.push(buzzer);
    }
    assert_eq!(logged.len() as u64, pressed, "presses and records differ");
    let rate = pressed * 1_000_000 / took.as_us();
    println!(
        "{DEVICES} devices of {KEYS} keys, {stamps} stamps: {pressed} presses, as many records, {rate}/s; {late} late, \
         {stale} stale, {tied} in ties, the ring full {full} times"
    );
    logged
}

/// The pace of a presser; no test waits for an effect with it.
pub(crate) fn wait_until(time: KernelTime) {
    let us = time.as_us().cast_signed();
    let time = Timespec { tv_sec: us / 1_000_000, tv_nsec: us % 1_000_000 * 1000 };
    clock_nanosleep_absolute(ClockId::Monotonic, &time).expect("a time");
}
