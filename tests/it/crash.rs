//! The world never runs ahead of the record. In: presses, and SIGKILL in the middle of them. Out: what a client saw
//! against what the log has. Guarantee: a frame that left before its record would be seen here, because the log is read
//! after each frame, and because the killed daemon had no chance to write anything later.

use std::thread;

use buzzer_tests::Home;
use buzzer_tests::harness::client::{buzz, connected};
use buzzer_tests::is_slow;

/// How often the daemon is killed. Every run is killed at another press.
const KILLS: usize = 500;

#[test]
fn every_frame_finds_its_record_already_in_the_log() {
    let home = Home::desk("debounce_us = 0");
    let daemon = home.serve();
    let mut client = daemon.desk();
    let mut desk = home.attach(3);
    for buzzer in 1..=3 {
        client.expect(&connected(buzzer));
    }
    let hits: Vec<u16> = (0..150).map(|n| 1 + n / 2 % 3).collect();
    thread::scope(|scope| {
        scope.spawn(|| hits.iter().for_each(|buzzer| desk.hit(*buzzer)));
        for (seen, buzzer) in hits.iter().enumerate() {
            client.expect_buzz(*buzzer);
            let logged = home.journal().presses();
            assert!(logged.len() > seen, "{} frames, {} records", seen + 1, logged.len());
            assert_eq!(logged[..=seen], hits[..=seen]);
        }
    });
}

/// One daemon, killed in the middle of presses; how many frames were seen.
fn kill(run: usize) -> usize {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let daemon = home.serve();
    let mut client = daemon.client();
    let mut desk = home.attach(3);
    for buzzer in 1..=3 {
        client.expect(&connected(buzzer));
    }
    // It presses until nobody reads any more, while frames are counted; the kill comes in the middle.
    let presser = thread::spawn(move || {
        let mut hits = 0;
        while desk.try_hit(1 + hits % 3) {
            hits += 1;
        }
    });
    let mut seen: Vec<String> = (0..run * 7 % 50).map(|_| client.text()).collect();
    let ended = daemon.kill();
    assert_eq!(ended.code, None, "{}", ended.stderr);
    presser.join().unwrap();
    seen.extend(client.rest());
    // What the next start finds, and what anybody reads.
    let found = home.journal().recover();
    let records = home.journal().records();
    assert_eq!(found, records.last().map_or(0, |record| record.seq), "run {run}");
    let logged: Vec<_> = home.journal().presses().into_iter().map(buzz).collect();
    assert!(logged.len() >= seen.len(), "run {run}: {} frames, {} records", seen.len(), logged.len());
    assert_eq!(logged[..seen.len()], seen, "run {run}");
    seen.len()
}

#[test]
fn no_frame_is_seen_whose_record_a_kill_takes_away() {
    let kills = if is_slow() { KILLS * 20 } else { KILLS };
    let half = |first: usize| move || (first..kills).step_by(2).map(kill).sum::<usize>();
    let seen = thread::scope(|scope| {
        let halves = [scope.spawn(half(0)), scope.spawn(half(1))];
        halves.map(|half| half.join().expect("every frame has its record")).iter().sum::<usize>()
    });
    println!("{kills} kills, {seen} frames seen, each in the log");
    assert!(seen > kills);
}
