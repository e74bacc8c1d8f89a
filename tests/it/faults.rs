//! Faults, as a judge finds them. In: devices that are late, lie about time, chatter or are held, on a real daemon. Out: the
//! records that say so, `/healthz`, and the warning on stderr. Guarantee: each fault has a record of its own, in its place
//! beside the press that it is about, and no press is made or hidden by it.

use buzzer_core::io::sys;
use buzzer_core::press::decode::Record as Input;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::record::{Fact, Flag, Record};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::{Attachment, Daemon, Home};
use serde_json::Value;

/// Two senders whose presses count, with buzzers 1 and 2, and a time that neither of them has passed.
fn two_senders(home: &Home, daemon: &Daemon) -> (Attachment, Attachment, KernelTime) {
    let mut client = daemon.desk();
    let pair = [1, 2].map(|n| Attachment::open(&home.socket("desk"), "sender", &[n]));
    let mut came = [(); 2].map(|()| client.json()["buzzer"].as_u64());
    came.sort_unstable();
    assert_eq!(came, [Some(1), Some(2)]);
    let [one, two] = pair;
    (one, two, sys::now())
}

fn press_of(home: &Home, buzzer: u16) -> Record {
    let like = |fact: &Fact| matches!(fact, Fact::Press { buzzer: other, .. } if *other == buzzer);
    home.journal().wait_for("press", like)
}

/// `/healthz` with the buttons, read.
fn health(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.get("/healthz?buttons").1).expect("JSON")
}

#[test]
fn a_late_press_has_a_record_a_warning_and_an_advised_window() {
    let home = Home::desk("stamps = \"sender\"\ndebounce_us = 0");
    let mut daemon = home.serve();
    let (mut one, mut two, early) = two_senders(&home, &daemon);
    assert_eq!(health(&daemon)["settle_us_advised"], Value::Null, "nothing was late");
    let now = sys::now().max(early + Micros::from_us(1));
    one.send(&frame(now, key(1), true));
    press_of(&home, 1);
    two.send(&frame(early, key(2), true));
    let press = press_of(&home, 2);
    assert_eq!(press.at_us, early.as_us(), "its own stamp stays");
    let late = home.journal().wait_for("late", |fact| matches!(fact, Fact::Late { .. }));
    let Fact::Late { press: seq, behind_us, device, .. } = late.fact else { unreachable!() };
    assert_eq!((seq, late.seq, late.at_us), (press.seq, press.seq + 1, press.at_us));
    assert_eq!(behind_us, now.since(early).as_us());
    let Fact::Press { device: of, flags, photo, .. } = press.fact else { unreachable!() };
    assert_eq!(
        (of, flags.names().collect(), photo.len()),
        (device, vec!["late"], 1),
        "a photo finish with what was told"
    );
    let said = daemon.wait_said("a press came to light only after later ones had been told");
    let health = health(&daemon);
    let advised = health["settle_us_advised"].as_u64().expect("a window");
    let seen = health["late_us_max"].as_u64().expect("what was seen");
    assert_eq!(advised, (4 * seen).min(20_000));
    assert!(
        advised <= 2000 || said.contains(&format!("[order] settle_us = {advised} and restart")),
        "{said} {health}"
    );
    assert_eq!(health["settle_us"], 2000, "it never moves by itself");
}

#[test]
fn a_press_from_before_a_connect_does_not_count_though_it_shows_after_it() {
    let home = Home::new(
        "[order]\nsettle_us = 100000\n\
         [[pool]]\nid = \"desk\"\nsocket = \"$DIR/desk.sock\"\nstamps = \"sender\"\ndebounce_us = 0\n",
    );
    let daemon = home.serve();
    let [mut one, mut two] = [1, 2].map(|n| Attachment::open(&home.socket("desk"), "sender", &[n]));
    home.journal().wait_for("both", |fact| matches!(fact, Fact::Attach { buzzers, .. } if *buzzers == [2]));
    let early = sys::now();
    let mut client = daemon.client();
    client.send(r#"{"command":"connect","pool":"desk"}"#);
    one.send(&frame(early, key(1), true));
    client.expect(r#"{"result":"connect","pool":"desk","buzzers":[1,2]}"#);
    two.send(&frame(sys::now(), key(2), true));
    press_of(&home, 2);
    let records = home.journal().records();
    let connect =
        records.iter().find(|record| matches!(record.fact, Fact::Connect { .. })).expect("a connect");
    assert!(connect.at_us > early.as_us(), "it was asked for later");
    for record in records.iter().filter(|record| record.at_us == early.as_us()) {
        // On a machine that took 100 ms for it, it is behind the `connect`, and says so.
        assert!(
            matches!(&record.fact, Fact::Press { flags, .. } if flags.has(&Flag::Late))
                || record.seq < connect.seq
        );
    }
}

#[test]
fn an_impossible_stamp_is_kept_for_the_judge() {
    let home = Home::desk("stamps = \"sender\"\ndebounce_us = 0");
    let daemon = home.serve();
    let (mut one, _two, _) = two_senders(&home, &daemon);
    let future = sys::now() + Micros::from_ms(3_600_000);
    one.send(&frame(future, key(1), true));
    let press = press_of(&home, 1);
    let stale = home.journal().wait_for("stale stamp", |fact| matches!(fact, Fact::StaleStamp { .. }));
    let Fact::StaleStamp { stamp_us, device, .. } = stale.fact else { unreachable!() };
    assert_eq!((stamp_us, stale.seq + 1, stale.at_us), (future.as_us(), press.seq, press.at_us));
    assert!(
        matches!(&press.fact, Fact::Press { device: of, flags, .. } if *of == device && flags.names().eq(["stale_stamp"]))
    );
    assert_eq!(health(&daemon)["stale_stamps"], 1);
}

#[test]
fn a_chattering_button_is_named_once_and_shown_until_it_is_sound() {
    let home = Home::desk("stamps = \"sender\"\ndebounce_us = 20000");
    let daemon = home.serve();
    let (mut one, _two, start) = two_senders(&home, &daemon);
    let mut bytes = Vec::new();
    // Its contact opens and closes every 10 µs; the last edge leaves it closed.
    for n in 0..=40 {
        bytes.extend(frame(start + Micros::from_us(10 * n), key(1), n % 2 == 0));
    }
    while sys::now() < start + Micros::from_us(400) {
        std::thread::yield_now();
    }
    one.send(&bytes);
    let chattering = home.journal().wait_for("chatter", |fact| matches!(fact, Fact::Chattering { .. }));
    let records = home.journal().records();
    let ignored = &records[chattering.seq as usize - 2];
    assert!(matches!(ignored.fact, Fact::Ignored { buzzer: 1, edges: 39, down: true, .. }), "{ignored:?}");
    let health = health(&daemon);
    let button = health["buttons"].as_array().and_then(|all| all.iter().find(|button| button["buzzer"] == 1));
    let button = button.expect("button 1");
    assert_eq!(
        [&button["chattering"], &button["held"], &button["proved"], &button["stuck"]],
        [true, true, true, false],
        "{button}"
    );
    assert_eq!(button["ignored_edges"], 39);
    assert!(button["not_heard_us"].is_u64(), "{button}");
}

#[test]
fn events_that_a_sender_says_it_lost_leave_a_gap_and_what_it_cannot_know_is_not_made_up() {
    let home = Home::desk("stamps = \"sender\"\ndebounce_us = 0");
    let daemon = home.serve();
    let (mut one, _two, _) = two_senders(&home, &daemon);
    let now = sys::now();
    one.send(&frame(now, key(1), true));
    one.records(&[Input::dropped(now), Input::report(now)]);
    let gap = home.journal().wait_for("gap", |fact| matches!(fact, Fact::Gap { .. }));
    let release = home.journal().wait_for("release", |fact| matches!(fact, Fact::Release { .. }));
    assert!(release.seq > gap.seq, "its sender starts over with all keys up");
    assert_eq!(home.journal().presses(), [1]);
    assert_eq!(health(&daemon)["gaps"], 1);
}

#[test]
fn what_the_kernel_refuses_is_recorded() {
    let home = Home::with_config(
        "[server]\nlisten = [\"127.0.0.1:0\"]\ncpu_dma_latency_us = 20\n[log]\ndir = \"$DIR/log\"\n\
         [[pool]]\nid = \"desk\"\nsocket = \"$DIR/desk.sock\"\nautoconnect = true\n",
    );
    let daemon = home.serve();
    let refused = |what: &str| {
        let records = home.journal().records();
        records.iter().any(|record| matches!(&record.fact, Fact::Degraded { what: it, .. } if it == what))
    };
    let start = home.journal().wait_for("start", |fact| matches!(fact, Fact::Start { .. }));
    let Fact::Start { realtime, .. } = start.fact else { unreachable!() };
    assert_eq!(refused("realtime"), !realtime);
    assert!(!refused("cpu_dma_latency") && !holds_cpu_latency(&daemon), "nobody plays yet");
    let mut desk = home.attach(1);
    home.journal().wait_attached(1);
    desk.hit(1);
    press_of(&home, 1);
    // Either this machine grants it or the log says why not; never both, never neither.
    assert_ne!(holds_cpu_latency(&daemon), refused("cpu_dma_latency"));
    drop(desk);
    home.journal().wait_for("detach", |fact| matches!(fact, Fact::Detach { .. }));
    assert!(!holds_cpu_latency(&daemon), "nobody plays any more");
}

#[test]
fn a_reader_without_real_time_priority_is_recorded_and_told_with_the_cure() {
    let mut home = Home::desk("");
    if rustix::process::geteuid().is_root() {
        home.set_wrapper(&[
            "prlimit",
            "--rtprio=0:0",
            "setpriv",
            "--bounding-set=-sys_nice",
            "--inh-caps=-sys_nice",
        ]);
    } else {
        home.set_wrapper(&["prlimit", "--rtprio=0:0"]);
    }
    let mut daemon = home.serve();
    daemon.assert_alive();
    let records = home.journal().records();
    assert!(matches!(records[0].fact, Fact::Start { realtime: false, .. }), "{records:?}");
    let degraded = |record: &Record| matches!(&record.fact, Fact::Degraded { what, reason } if what == "realtime" && reason.contains("not permitted"));
    assert!(records.iter().any(degraded), "{records:?}");
    let ended = daemon.stop();
    assert!(
        ended.stderr.contains("no real-time priority") && ended.stderr.contains("LimitRTPRIO=20"),
        "{}",
        ended.stderr
    );
}

fn holds_cpu_latency(daemon: &Daemon) -> bool {
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its descriptors");
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .any(|path| path.ends_with("cpu_dma_latency"))
}
