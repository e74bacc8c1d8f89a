//! `buzzerd log show`. In: logs of real daemons, and one on whose box somebody set the clock. Out: the records that were asked for,
//! each with its time of day. Guarantee: what is expected is taken from the records themselves.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use buzzer_server::record::{DeviceDelay, Fact, Flags, Record, Stamps};
use buzzer_tests::harness::log_command::{log_command, written};
use buzzer_tests::{Attachment, Home, PATIENCE, log};
use serde_json::Value;

/// Two pools, and presses of both.
fn session() -> Home {
    let pool = |id| {
        format!("[[pool]]\nid = {id:?}\nsocket = \"$DIR/{id}.sock\"\nautoconnect = true\ndebounce_us = 0\n")
    };
    let home = Home::new(&(pool("desk") + &pool("stage")));
    let daemon = home.serve();
    let mut desk = home.attach(2);
    home.journal().wait_attached(1);
    let mut stage = Attachment::open(&home.socket("stage"), "stage", &[1, 2]);
    home.journal().wait_attached(2);
    for (n, buzzer) in [1, 2, 1, 2, 2].into_iter().enumerate() {
        if n % 2 == 0 { &mut desk } else { &mut stage }.hit(buzzer);
        home.journal().wait_until("a press", |records| (count_presses(records) == n + 1).then_some(()));
    }
    drop(stage);
    home.journal().wait_for("a detachment", |fact| matches!(fact, Fact::Detach { .. }));
    daemon.stop();
    home
}

fn count_presses(records: &[Record]) -> usize {
    records.iter().filter(|record| matches!(record.fact, Fact::Press { .. })).count()
}

fn seqs(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["seq"].as_u64().expect("a seq")).collect()
}

#[test]
fn each_filter_gives_what_it_asks_for_and_all_of_it() {
    let home = session();
    let dir = &home.journal().dir().to_owned();
    let all = log(&["show", "--json"], dir).lines();
    assert_eq!(seqs(&all), (1..=home.journal().records().len() as u64).collect::<Vec<_>>());
    let of = |like: &dyn Fn(&Value) -> bool| -> Vec<u64> {
        seqs(&all.iter().filter(|line| like(line)).cloned().collect::<Vec<_>>())
    };
    let wall = |line: &Value| line["wall"].as_str().expect("a time").to_owned();
    let (third, last_but_two) = (wall(&all[2]), wall(&all[all.len() - 3]));
    let of_day = |wall: &str| wall[11..26].to_owned();
    let (daily_from, daily_to) = (of_day(&third), of_day(&last_but_two));
    let last: Vec<u64> = of(&|line| line["kind"] == "press").into_iter().rev().take(2).rev().collect();
    let cases: [(&[&str], Vec<u64>); 14] = [
        (&["--pool", "desk"], of(&|line| line["pool"] == "desk")),
        (&["--buzzer", "2"], of(&|line| line["buzzer"] == 2)),
        (&["--kind", "press"], of(&|line| line["kind"] == "press")),
        (
            &["--kind", "attach", "--kind", "detach"],
            of(&|line| line["kind"] == "attach" || line["kind"] == "detach"),
        ),
        (
            &["--pool", "stage", "--buzzer", "2", "--kind", "press"],
            of(&|line| line["pool"] == "stage" && line["buzzer"] == 2 && line["kind"] == "press"),
        ),
        (&["--kind", "press", "-n", "2"], last),
        (&["--seq", "4..6"], vec![4, 5, 6]),
        (&["--seq", "5"], vec![5]),
        (&["--seq", "..3"], vec![1, 2, 3]),
        (&["--from", &third], of(&|line| wall(line) >= third)),
        (&["--to", &third], of(&|line| wall(line) < third)),
        (
            &["--from", &third, "--to", &last_but_two],
            of(&|line| (&third..&last_but_two).contains(&&wall(line))),
        ),
        (
            &["--utc", "--from", &daily_from, "--to", &daily_to],
            of(&|line| (&daily_from..&daily_to).contains(&&of_day(&wall(line)))),
        ),
        (&["--pool", "nowhere"], vec![]),
    ];
    for (filter, want) in cases {
        let found = log(&[&["show", "--json"], filter].concat(), dir);
        assert_eq!((found.code, seqs(&found.lines())), (0, want), "{filter:?}");
        // In words, a line each, with the same times and numbers.
        let words = log(&[&["show"], filter].concat(), dir).good();
        let told: Vec<(String, u64)> = words
            .lines()
            .map(|line| (line[..26].replace(' ', "T"), line[28..34].trim().parse().expect("a seq")))
            .collect();
        let of_json = |line: &Value| (wall(line)[..26].to_owned(), line["seq"].as_u64().expect("a seq"));
        assert_eq!(told, found.lines().iter().map(of_json).collect::<Vec<_>>(), "{filter:?}");
    }
    let words = log(&["show", "--kind", "press", "-n", "1"], dir).good();
    assert!(words.contains("PRESS") && words.contains("desk 2"), "{words}");
    log(&["show", "--from", "noon"], dir).refused(2, "expected 19:30");
}

/// `log show -f`, line by line.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(home: &Home) -> Self {
        let mut command = log_command(&["show", "-f", "--json"], home.journal().dir());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("buzzerd runs");
        let (send, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("its stdout"));
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines }
    }

    /// The next lines, until one is of this kind; their numbers.
    fn until(&self, kind: &str) -> Vec<u64> {
        let mut seqs = Vec::new();
        loop {
            let line =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {kind} behind {seqs:?}"));
            let line: Value = serde_json::from_str(&line).expect("JSON");
            seqs.push(line["seq"].as_u64().expect("a seq"));
            if line["kind"] == kind {
                return seqs;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_happens_now_is_followed_over_a_restart_and_nothing_comes_twice() {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let daemon = home.serve();
    let mut desk = home.attach(2);
    home.journal().wait_attached(1);
    let follower = Follower::start(&home);
    let mut seen = follower.until("attach");
    for _ in 0..20 {
        // The next press is made when the last was shown: nothing but its being written can bring it.
        desk.hit(1);
        seen.extend(follower.until("press"));
    }
    daemon.stop();
    seen.extend(follower.until("stop"));
    let daemon = home.serve();
    seen.extend(follower.until("start"));
    let mut desk = home.attach(2);
    home.journal().wait_attached(2);
    desk.hit(2);
    seen.extend(follower.until("press"));
    daemon.kill();
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>(), "each once, in order");
}

/// 2026-09-21 14:13:20 UTC.
const WALL_US: u64 = 1_790_000_000_000_000;
const S: u64 = 1_000_000;

/// An evening on a box whose clock was an hour slow until a time server set it, and the next evening.
fn set_clock() -> Vec<(u64, Fact, &'static str)> {
    let start = |boot: &str, wall_us| Fact::Start {
        log: "5eed".repeat(8),
        boot: boot.into(),
        version: "0.1.0".into(),
        wall_us,
        settle_us: 2000,
        realtime: true,
    };
    let pool = || "desk".parse().expect("a pool");
    let press = |buzzer| Fact::Press {
        pool: pool(),
        buzzer,
        device: 1,
        delay_us: [0, 0],
        final_at_us: 0,
        flags: Flags::default(),
        photo: Vec::new(),
        photo_more: false,
        tie: None,
        frame: 0,
    };
    let attach = || Fact::Attach {
        device: 1,
        pool: pool(),
        name: "desk".into(),
        place: "here".into(),
        stamps: Stamps::Sender,
        buzzers: vec![1, 2],
        delay: DeviceDelay::default(),
    };
    let connect = || Fact::Connect { pool: pool(), by: "autoconnect".into(), asked_us: None };
    let anchor = |wall_us, synced| Fact::Anchor { wall_us, bracket_us: 1, synced };
    let hour = 3600 * S;
    vec![
        (50 * S, start("a", WALL_US), "2026-09-21T14:13:20.000000Z"),
        (50 * S, attach(), "2026-09-21T14:13:20.000000Z"),
        (50 * S, connect(), "2026-09-21T14:13:20.000000Z"),
        (60 * S, press(1), "2026-09-21T14:13:30.000000Z"),
        // It drifts by 3 ms in a minute.
        (110 * S, anchor(WALL_US + 60 * S + 3000, None), "2026-09-21T14:14:20.003000Z"),
        (111 * S, press(2), "2026-09-21T14:14:21.003000Z"),
        (120 * S, anchor(WALL_US + 70 * S + hour, Some(true)), "2026-09-21T15:14:30.000000Z"),
        // Stamped before the clock was set, ordered behind it.
        (120 * S - 1000, press(1), "2026-09-21T14:14:30.002000Z"),
        (121 * S, press(2), "2026-09-21T15:14:31.000000Z"),
        // Started again: the same boot, the same clock.
        (130 * S, start("a", WALL_US + 80 * S + hour), "2026-09-21T15:14:40.000000Z"),
        (130 * S, attach(), "2026-09-21T15:14:40.000000Z"),
        (131 * S, press(1), "2026-09-21T15:14:41.000000Z"),
        // The next day: a boot of its own, whose clock began anew, and a box that believes it is the day before.
        (9 * S, start("b", WALL_US - 24 * hour), "2026-09-20T14:13:20.000000Z"),
        (9 * S, attach(), "2026-09-20T14:13:20.000000Z"),
        (9 * S, connect(), "2026-09-20T14:13:20.000000Z"),
        (9 * S - 500, press(1), "2026-09-20T14:13:19.999500Z"),
        (12 * S, anchor(WALL_US + 24 * hour, Some(true)), "2026-09-22T14:13:20.000000Z"),
        (13 * S, press(2), "2026-09-22T14:13:21.000000Z"),
    ]
}

#[test]
fn times_follow_the_clock_that_was_set_and_no_other_boot() {
    let session = set_clock();
    let facts: Vec<(u64, Fact)> = session.iter().map(|(at_us, fact, _)| (*at_us, fact.clone())).collect();
    let dir = written(&facts);
    let want: Vec<&str> = session.iter().map(|(.., wall)| *wall).collect();
    let walls = |lines: &[Value]| -> Vec<String> {
        lines.iter().map(|line| line["wall"].as_str().expect("a time").to_owned()).collect()
    };
    assert_eq!(walls(&log(&["show", "--json"], dir.path()).lines()), want);
    // The same clock everywhere.
    let exported = log(&["export", "--format", "json"], dir.path()).good();
    let exported: Vec<Value> = serde_json::from_str(&exported).expect("JSON");
    assert_eq!(walls(&exported), want);
    let csv = log(&["export"], dir.path()).good();
    let firsts: Vec<&str> = csv.lines().skip(1).map(|row| row.split(',').next().expect("a cell")).collect();
    assert_eq!(firsts, want);
    // By the clock that is right since: what was told as 14:14:21 was then, and is not asked for here.
    for (from, to, seqs_of) in [
        ("2026-09-21 15:14", "2026-09-21 15:15", vec![7, 9, 10, 11, 12]),
        ("2026-09-21 14:14:30", "2026-09-21 14:15", vec![8]),
        ("2026-09-20", "2026-09-21", vec![13, 14, 15, 16]),
        ("2026-09-22", "2026-09-23", vec![17, 18]),
        ("15:14:31", "15:14:40", vec![9]),
    ] {
        let found =
            log(&["show", "--utc", "--json", "--kind", "press", "--from", from, "--to", to], dir.path());
        let presses: Vec<u64> = seqs_of
            .into_iter()
            .filter(|seq| matches!(facts[*seq as usize - 1].1, Fact::Press { .. }))
            .collect();
        assert_eq!(seqs(&found.lines()), presses, "{from} to {to}");
    }
    // Explained by the same clock, and never over two boots.
    let explained =
        log(&["explain", "--json", "--from", "2026-09-21 15:14:41", "--to", "2026-09-21 15:15"], dir.path());
    let story: Value = serde_json::from_str(&explained.good()).expect("JSON");
    assert_eq!(story["places"][0]["seq"], 12);
    let said = log(&["explain", "--json", "--from", "2026-09-20"], dir.path());
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("two boots, and their times cannot be compared"), "{}", said.stdout);
}
