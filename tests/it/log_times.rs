//! Times of day that a log has twice, or not at all. In: logs over the night in which clocks go back, and over several days. Out: a
//! question with both readings and exit code 2, or what the log has. Guarantee: nothing is guessed where the answer depends on it.

use std::path::Path;

use buzzer_server::record::Fact;
use buzzer_tests::harness::log_command::{Said, log_command, written};

const S: u64 = 1_000_000;
const HOUR: u64 = 3600 * S;
/// 2026-10-24 18:00 UTC: the evening before clocks go back in Berlin.
const EVENING_US: u64 = 1_792_864_800 * S;
const REPLAY: [&str; 5] = ["replay", "--listen", "127.0.0.1:0", "--now", "--speed=max"];

/// A log with a record at each of these times, which are counted from that evening.
fn log_of(hours: &[u64]) -> tempfile::TempDir {
    let start = Fact::Start {
        log: "5eed".repeat(8),
        boot: "b007".into(),
        version: "0.1.0".into(),
        wall_us: EVENING_US + hours[0] * HOUR,
        settle_us: 2000,
        realtime: true,
    };
    let later = hours.iter().map(|hour| (hour * HOUR + S, Fact::RingFull { waiting_max: 1 }));
    written(&[(hours[0] * HOUR, start)].into_iter().chain(later).collect::<Vec<_>>())
}

fn run(command: &[&str], times: &[&str], log: &Path) -> Said {
    let output =
        log_command(&[command, times].concat(), log).env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3").output();
    let output = output.expect("buzzerd runs");
    Said {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

#[test]
fn a_time_that_came_twice_is_asked_back_with_both_readings() {
    let readings = "2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00";
    let over_it = log_of(&[0, 18]);
    let before_it = log_of(&[0, 2]);
    let years = log_of(&(0..14).map(|nth| nth * 24 * 20).collect::<Vec<_>>());
    for command in [&["show"][..], &["explain"], &["export"], &REPLAY] {
        for times in [&["--from", "02:30"][..], &["--to", "02:30"], &["--from", "01:00", "--to", "02:30"]] {
            for log in [&over_it, &years] {
                let said = run(command, times, log.path());
                said.refused(2, readings);
                assert_eq!(said.stdout, "", "{command:?}");
            }
        }
        // A time with its date is asked back for any log.
        for log in [&over_it, &before_it] {
            run(command, &["--from", "2026-10-25 02:30"], log.path()).refused(2, readings);
        }
        for times in [["--from", "02:30"], ["--from", "19:30"], ["--from", "2026-10-25T02:30:00+01:00"]] {
            let said = run(command, &times, before_it.path());
            assert!(!said.stderr.contains("clocks went back"), "{command:?}: {}", said.stderr);
        }
        let said = run(command, &["--from", "02:30", "--utc"], log_of(&[0, 7]).path());
        assert!(!said.stderr.contains("clocks went back"), "in UTC they never do: {}", said.stderr);
    }
}

#[test]
fn a_time_of_several_days_is_asked_back_where_one_answer_is_wanted() {
    let dir = log_of(&[0, 24, 25]);
    for command in [&["explain"][..], &REPLAY] {
        let said = run(command, &["--from", "20:00"], dir.path());
        said.refused(2, "--from: the log has 20:00:00 on two days: say");
        let days = r#"say "2026-10-24 20:00:00" or "2026-10-25 20:00:00""#;
        assert_eq!(said.stdout, "");
        // Clocks went back in between: the second evening is at 19:00 and 20:00 of the wall.
        assert!(said.stderr.contains(days), "{}", said.stderr);
        let said = run(command, &["--to", "20:30"], log_of(&[0, 24, 48, 72]).path());
        said.refused(2, r#"on 4 days, the last two: say "2026-10-26 20:30:00" or "2026-10-27 20:30:00""#);
        let said = run(command, &["--from", "19:59", "--to", "20:00:30", "--utc"], dir.path());
        assert!(!said.stderr.contains("days"), "that was once: {}", said.stderr);
    }
    // They show every day.
    assert_eq!(run(&["show"], &["--from", "20:00"], dir.path()).good().lines().count(), 3);
}

#[test]
fn of_an_empty_span_every_command_says_what_the_log_has() {
    let dir = log_of(&[0, 2]);
    let has = "the log has seq 1 to 3, 2026-10-24 20:00:00.000000 to 2026-10-24 22:00:01.000000";
    for (command, code) in [(&["show"][..], 0), (&["explain"], 1), (&["export"], 0), (&REPLAY, 2)] {
        for times in [["--from", "2027-01-01"], ["--to", "2001-01-01"], ["--from", "23:00"]] {
            let said = run(command, &times, dir.path());
            assert_eq!(said.code, code, "{command:?}: {}", said.stderr);
            assert!(said.stderr.contains(has), "{command:?}: {}", said.stderr);
        }
    }
}
