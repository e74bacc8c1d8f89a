//! Disputes on logs written down by hand. In: records. Out: the whole page, or the verdict and its reasons.

use std::cmp::Ordering;

use jiff::tz::TimeZone;

use super::*;
use crate::judge::explain::page;
use crate::judge::span::Spans;
use crate::record::{DeviceDelay, Fact, Flag, Flags, Record, Rival, Stamps};

/// 22 November 2026, 13:03:00 UTC.
const WALL_US: u64 = 1_795_352_580_000_000;
const S: u64 = 1_000_000;

fn start(boot: &str) -> Fact {
    Fact::Start {
        log: "5eed".repeat(8),
        boot: boot.into(),
        version: "0.1.0".into(),
        wall_us: WALL_US,
        settle_us: 2000,
        realtime: true,
    }
}

fn attach(device: u32, name: &str, buzzers: &[u16], max_us: u64) -> Fact {
    Fact::Attach {
        device,
        pool: "stage".parse().unwrap(),
        name: name.into(),
        place: format!("usb-1.{device}"),
        stamps: Stamps::Kernel,
        buzzers: buzzers.to_vec(),
        delay: DeviceDelay {
            delay_us: [0, max_us],
            delay_basis: "configured".into(),
            ..DeviceDelay::default()
        },
    }
}

fn connect() -> Fact {
    Fact::Connect { pool: "stage".parse().unwrap(), by: "127.0.0.1:40000".into(), asked_us: None }
}

/// A press of buzzer `10 * device + n`.
fn press(buzzer: u16) -> Fact {
    Fact::Press {
        pool: "stage".parse().unwrap(),
        buzzer,
        device: u32::from(buzzer / 10),
        delay_us: [0, 9000],
        final_at_us: 0,
        flags: Flags::default(),
        photo: Vec::new(),
        photo_more: false,
        tie: None,
        frame: 0,
    }
}

fn contesting(mut fact: Fact, seqs: &[u64]) -> Fact {
    if let Fact::Press { photo, .. } = &mut fact {
        *photo = seqs.iter().map(|seq| Rival { seq: *seq, chance_permille: Some(100) }).collect();
    }
    fact
}

fn flagged(mut fact: Fact, flag: &str) -> Fact {
    if let Fact::Press { flags, .. } = &mut fact {
        *flags = Flags(vec![flag.into()]);
    }
    fact
}

fn drawn(mut fact: Fact, draw: u64) -> Fact {
    if let Fact::Press { tie, .. } = &mut fact {
        *tie = Some(draw);
    }
    fact
}

fn detach(device: u32, certain: bool) -> Fact {
    let reason = if certain { "closed by its sender" } else { "unplugged" };
    Fact::Detach { device, pool: "stage".parse().unwrap(), reason: reason.into(), certain }
}

/// A log that begins with two devices of a connected pool, seq 1 to 4: buzzers 11 to 14 and 21 to 24.
fn game(facts: impl IntoIterator<Item = (u64, Fact)>) -> Vec<Record> {
    let begin = [
        (S, start("boot-a")),
        (S + 1, attach(1, "Buzz! hub", &[11, 12, 13, 14], 9000)),
        (S + 2, attach(2, "arcade", &[21, 22, 23, 24], 2000)),
        (S + 3, connect()),
    ];
    let all = begin.into_iter().chain(facts).zip(1..);
    all.map(|((at_us, fact), seq)| Record { seq, at_us, fact }).collect()
}

/// From and to, µs since 1970, the end excluded.
fn span(from_us: Option<u64>, to_us: Option<u64>) -> Asked {
    let place = move |wall_us| {
        if from_us.is_some_and(|from_us| wall_us < from_us) {
            Ordering::Less
        } else if to_us.is_some_and(|to_us| wall_us >= to_us) {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    };
    Asked::Span(Spans::new(place, false))
}

fn explain(records: Vec<Record>, asked: Asked, damaged_behind: &[u64]) -> Story {
    let mut scan = Scan::new(asked, GAP_US);
    for record in records {
        let seq = record.seq;
        scan.feed(record);
        if damaged_behind.contains(&seq) {
            let place = format!("000001-1.jsonl line {}", seq + 1);
            scan.damage(Damage { place, why: "its hash does not follow".into(), after_seq: seq });
        }
    }
    let found = scan.finish();
    let seq = found.seqs.map_or(0, |(_, last)| last);
    let (hash, fingerprint) = ("0f3c".repeat(16), "7K3Q-9MZT-2WXA-H04E".to_owned());
    let chain = Chain { seq, hash, fingerprint, first_seq: 1, incomplete_bytes: 0, is_written: false };
    Story::tell(found, chain, None)
}

/// The last race.
fn last(facts: impl IntoIterator<Item = (u64, Fact)>) -> Story {
    explain(game(facts), Asked::LastRace, &[])
}

#[test]
fn a_photo_finish_a_tie_and_what_was_around_read_like_this() {
    let ignored = Fact::Ignored {
        pool: "stage".parse().unwrap(),
        buzzer: 12,
        device: 1,
        edges: 3,
        since_us: 100 * S + 12_000,
        down: false,
        others: 0,
    };
    let held = Fact::Held { pool: "stage".parse().unwrap(), buzzer: 14, device: 1 };
    let refuse = Fact::Refuse {
        pool: "stag".into(),
        by: "10.0.0.7:51234".into(),
        message: "no such pool; known: stage".into(),
        times: 1,
        since_us: None,
    };
    let story = last([
        (2 * S, held),
        (50 * S, press(24)),
        (100 * S - 400_000, refuse),
        (100 * S, press(12)),
        (100 * S + 3120, contesting(press(21), &[8])),
        (100 * S + 104_220, Fact::Draw { seed: "0102030405060709".into(), presses: 2 }),
        (100 * S + 104_220, drawn(press(11), 10)),
        (100 * S + 104_220, drawn(press(13), 10)),
        (100 * S + 45_000, ignored),
        (100 * S + 350_001, press(12)),
        (104 * S, Fact::Release { pool: "stage".parse().unwrap(), buzzer: 12, device: 1 }),
    ]);
    let want = r#"First press 2026-11-22 13:04:39.000000 (UTC+00:00); records seq 7 to 14

VERDICT  stage 12 was first, 3.120 ms before stage 21.
         Not certain: photo finish: stage 21 may in truth have been before stage 12; the chance that
                      stage 12 was first is about 9 in 10; the host decides.
         stage 14, stage 24 were down already and could not press.

place  buzzer         to first    to previous  seq  how sure
    1  stage 12                                  8  photo finish
       - stage 21 (place 2) may in truth have been before it, about 1 in 10
    2  stage 21      +3.120 ms      +3.120 ms    9  photo finish
       - may in truth have been before stage 12 (place 1), about 1 in 10; it is up to 9.000 ms older
         than its stamp
    3  stage 11    +104.220 ms    +101.100 ms   11  tie, drawn
    4  stage 13    +104.220 ms      +0.000 ms   12  tie, drawn
again  stage 12    +350.001 ms    +245.781 ms   14  certain

Tie      stage 11, stage 13 have one stamp; the hardware cannot tell them apart. The draw (seq 10,
         seed 0102030405060709) decides, place by place: of those that may come next the smallest
         SHA-256 of seed, pool, a zero byte, buzzer, a zero byte and place in this tie does. To
         check it:
  place 1
  printf '%b%s%b%s%b%s' '\0001\0002\0003\0004\0005\0006\0007\0011' 'stage' '\0000' 11 '\0000' 1 | sha256sum
    472ac24dee055d7d7f45dbdce9dcc28167dfcfbd2a043fbd5be50d1ead8f8081  stage 11
  printf '%b%s%b%s%b%s' '\0001\0002\0003\0004\0005\0006\0007\0011' 'stage' '\0000' 13 '\0000' 1 | sha256sum
    fa5e1d43a08a11de6cb14820fc4a012a970f777d8222aed735dd7f02a766d872  stage 13

Who was there
  stage: "Buzz! hub" (usb-1.1), buzzers 11 to 14; stamped by the kernel, a press is up to 9.000 ms
         older than its stamp (configured)
    buzzer 14 was down already, for 98.000 s
  stage: "arcade" (usb-1.2), buzzers 21 to 24; stamped by the kernel, a press is up to 2.000 ms
         older than its stamp (configured)
    buzzer 24 was down already, for 50.000 s

What else happened
  -400.000 ms  seq 7: connect of "stag" refused to 10.0.0.7:51234: "no such pool; known: stage"; it
               changed nothing
   +45.000 ms  seq 13: stage 12: 3 edges within 33.000 ms did not count; bounce or a flickering
               contact: by its stamps it had not been open for the debounce time

The log
  chain        whole, from seq 1 to 15
  fingerprint  7K3Q-9MZT-2WXA-H04E@15; compare it with one that was noted then
               (SHA-256 0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c)
  recorded by  buzzerd 0.1.0, start seq 1, log id 5eed5eed5eed5eed5eed5eed5eed5eed
               boot boot-a, settle window 2.000 ms
  times        order and margins: stamps of one boot's CLOCK_MONOTONIC, to 1 µs; time of day:
               derived from the anchors in the log
"#;
    let text = page::text(&story, &TimeZone::UTC);
    assert_eq!(text, want);
    let command = text.lines().filter(|line| !line.contains("printf"));
    assert!(command.clone().all(|line| line.chars().count() <= words::WIDTH), "{text}");
}

fn uncounted(buzzer: u16, presses: u32, since_us: u64) -> Fact {
    let (pool, reason) = ("table".parse().unwrap(), "not_connected".into());
    Fact::Uncounted { pool, buzzer, device: 3, presses, since_us, reason, others: 0 }
}

#[test]
fn who_pressed_in_vain_is_named_in_the_verdict() {
    let verdict = |story: &Story| {
        let text = page::text(story, &TimeZone::UTC);
        let from = text.find("VERDICT").unwrap();
        text[from..].split("\n\n").next().unwrap().to_owned()
    };
    // Sums come later than what they tell; one comes behind the time in which a race goes on.
    let alone = |since_us: u64, at_us: u64, presses: u32| {
        last([(RACE, press(11)), (at_us, uncounted(4, presses, since_us))])
    };
    assert_eq!(
        verdict(&last([(RACE, press(11))])),
        "VERDICT  stage 11 was first. Nobody else pressed.\n         Certain."
    );
    for (story, want) in [
        (
            alone(RACE - 135, RACE + S, 1),
            "table 4 pressed 0.135 ms before stage 11 (seq 6): it did not count, because pool",
        ),
        (
            alone(RACE + 3000, RACE + S, 1),
            "table 4 pressed 3.000 ms behind stage 11 (seq 6): it did not count, because pool",
        ),
        (alone(RACE, RACE + S, 1), "table 4 pressed at the very time of stage 11 (seq 6)"),
        (alone(RACE + 3000, RACE + S, 3), "table 4 pressed 3 times, first 3.000 ms behind stage 11 (seq 6)"),
        (alone(RACE + 2_900_000, RACE + 3_900_000, 1), "table 4 pressed 2900.000 ms behind stage 11 (seq 6)"),
    ] {
        let text = verdict(&story);
        assert!(text.contains(want) && text.contains("No other press counts."), "{text}");
        assert!(!text.contains("Nobody else"), "{text}");
        assert_eq!(short(&story), "stage 11 by alone, certain");
    }
    // Also where another one counts, and of a button whose contact only moved.
    let moved = Fact::Ignored {
        pool: "stage".parse().unwrap(),
        buzzer: 22,
        device: 2,
        edges: 2,
        since_us: RACE - 40,
        down: false,
        others: 0,
    };
    let bounce = Fact::Ignored {
        pool: "stage".parse().unwrap(),
        buzzer: 11,
        device: 1,
        edges: 2,
        since_us: RACE + 40,
        down: false,
        others: 0,
    };
    let story = last([
        (RACE, press(11)),
        (RACE + 9, press(12)),
        (RACE + S, uncounted(4, 1, RACE + 5)),
        (RACE + S, moved),
        (RACE + S, bounce),
    ]);
    let text = verdict(&story);
    assert!(text.contains("0.009 ms before stage 12."), "{text}");
    let told: Vec<&str> = story.uncounted.iter().map(|one| one.pool.as_str()).collect();
    assert_eq!(told, ["table", "stage"], "the nearest first, and no bounce of what counts: {text}");
    assert!(text.contains("stage 22 moved 2 times, first 0.040 ms before stage 11"), "{text}");
    // Nobody's press counts: that is not nobody.
    let story = last([(RACE, uncounted(4, 2, RACE - S))]);
    assert_eq!(
        story.why,
        [
            "no press counts in this log; 2 presses were made that did not, the last by table 4 (seq 5): its pool was not \
          connected"
        ]
    );
    let facts = game([(RACE, uncounted(4, 2, RACE - S)), (RACE + S, press(11))]);
    let story = explain(facts.clone(), Asked::Seqs(5, 5), &[]);
    assert_eq!(story.why, ["no press counts here"]);
    assert!(
        page::text(&story, &TimeZone::UTC).contains("  - table 4 pressed 2 times (seq 5): it did not count")
    );
    let story = explain(facts.clone(), Asked::Seqs(5, 9), &[]);
    assert_eq!((story.seqs, story.places.len(), story.uncounted.len()), (Some((5, 6)), 1, 1));
    assert_eq!(explain(facts, Asked::Seqs(1, 4), &[]).why, ["nobody pressed a buzzer here"]);
}

#[test]
fn no_verdict_reads_like_this() {
    let story =
        last([(100 * S, press(12)), (100 * S + 40_000, detach(2, false)), (100 * S + 90_000, press(11))]);
    let want = r#"First press 2026-11-22 13:04:39.000000 (UTC+00:00); records seq 5 to 7

NO VERDICT. Who was first cannot be said from this log:
  - pool stage: "arcade" (usb-1.2) went: unplugged (seq 6): presses that it had not handed over are
    lost
What is known all the same:

place  buzzer         to first    to previous  seq  how sure
    1  stage 12                                  5  certain
    2  stage 11     +90.000 ms     +90.000 ms    7  certain

Who was there
  stage: "Buzz! hub" (usb-1.1), buzzers 11 to 14; stamped by the kernel, a press is up to 9.000 ms
         older than its stamp (configured)
  stage: "arcade" (usb-1.2), buzzers 21 to 24; stamped by the kernel, a press is up to 2.000 ms
         older than its stamp (configured)

What else happened
! +40.000 ms  seq 6: pool stage: "arcade" (usb-1.2) went: unplugged; presses that it had not handed
              over are lost
"#;
    let text = page::text(&story, &TimeZone::UTC);
    assert_eq!(&text[..text.find("\nThe log").unwrap()], want);
}

/// The verdict in a word and its reasons, in a line.
fn short(story: &Story) -> String {
    let verdict = match &story.verdict {
        Some(verdict) => {
            let sure = if verdict.certain { "certain" } else { "not certain" };
            let lead = verdict.lead_us.map_or_else(|| "alone".to_owned(), |us| us.to_string());
            format!("{} {} by {lead}, {sure}", verdict.pool, verdict.buzzer)
        }
        None => "none".to_owned(),
    };
    [&[verdict][..], &story.why].concat().join(" | ")
}

#[test]
fn a_draw_is_checked_by_the_rule_by_which_it_was_made() {
    let second = |mut fact: Fact| {
        if let Fact::Press { frame, .. } = &mut fact {
            *frame = 1;
        }
        fact
    };
    // Of device 2 buzzer 23 came first, then 24 in a later report of the same µs.
    let mut held = Vec::new();
    for order in [[12, 23, 24], [23, 12, 24], [23, 24, 12], [24, 23, 12], [24, 12, 23], [12, 24, 23]] {
        let told = order.map(|buzzer| drawn(if buzzer == 24 { second(press(24)) } else { press(buzzer) }, 5));
        let seed = Fact::Draw { seed: "00000000000000ff".into(), presses: 3 };
        let story = last([seed].into_iter().chain(told).map(|fact| (RACE, fact)));
        if story.ties[0].holds {
            held.push(order);
            assert!(story.ties[0].places[0].lots.len() == 2, "{:?}: 24 cannot be first", story.ties);
            let text = page::text(&story, &TimeZone::UTC);
            assert!(
                text.replace("\n         ", " ").contains(
                    "What a device reported later (stage 24) comes behind what it reported before."
                ),
                "{text}"
            );
        }
    }
    assert!(matches!(held[..], [[.., 24] | [23, 24, 12]]), "one order is right: {held:?}");
}

fn gap(device: u32, since_us: u64) -> Fact {
    Fact::Gap { device, pool: "stage".parse().unwrap(), since_us }
}

const RACE: u64 = 100 * S;

#[test]
fn what_bars_a_verdict_and_what_only_makes_it_uncertain() {
    let lost = "presses made in that time may be missing";
    let unread = "presses that it had not handed over are lost";
    let seed = || Fact::Draw { seed: "0102030405060709".into(), presses: 2 };
    let mut not_final = press(11);
    if let Fact::Press { final_at_us, .. } = &mut not_final {
        *final_at_us = RACE + 9000;
    }
    for (facts, want) in [
        (vec![(RACE, press(11))], "stage 11 by alone, certain".to_owned()),
        (vec![(RACE, press(11)), (RACE + 5, press(11))], "stage 11 by alone, certain".into()),
        (vec![(RACE, press(11)), (RACE + 5, press(11)), (RACE + 7, press(12))], "stage 11 by 7, certain".into()),
        // Late: told second with an earlier stamp.
        (
            vec![(RACE, press(11)), (RACE - 1500, flagged(contesting(press(21), &[5]), "late"))],
            "stage 11 by -1500, not certain | stage 21 has an earlier stamp, but came when stage 11 had been told \
             already: the host decides"
                .into(),
        ),
        (
            vec![(RACE, flagged(press(11), "stale_stamp"))],
            "stage 11 by alone, not certain | stage 11: its own stamp could not be true: it is ordered by the time it \
             was read"
                .into(),
        ),
        (
            vec![(RACE, flagged(press(11), "recovered"))],
            "stage 11 by alone, not certain | stage 11: it was found after lost events; its true time is unknown, up \
             to 9.000 ms earlier"
                .into(),
        ),
        (
            vec![(RACE, flagged(press(11), "suspect"))],
            "stage 11 by alone, not certain | stage 11: its button had not been seen to work on its own: it may have \
             been held down before"
                .into(),
        ),
        // A doubt about the second does not touch the first.
        (vec![(RACE, press(11)), (RACE + 9, flagged(press(12), "suspect"))], "stage 11 by 9, certain".into()),
        (
            vec![(RACE, not_final.clone()), (RACE + 10_999, Fact::Stop {})],
            "stage 11 by alone, not certain | it is provisional: a press may still come that was made before it".into(),
        ),
        (vec![(RACE, not_final), (RACE + 11_000, Fact::Stop {})], "stage 11 by alone, certain".into()),
        // A tie for the first place, drawn rightly and wrongly.
        (
            vec![(RACE, seed()), (RACE, drawn(press(11), 5)), (RACE, drawn(press(13), 5))],
            "stage 11 by 0, not certain | stage 11 and stage 13 cannot be told apart: a draw put stage 11 first".into(),
        ),
        (
            vec![(RACE, seed()), (RACE, drawn(press(13), 5)), (RACE, drawn(press(11), 5))],
            "none | the draw (seq 5) does not give the order that was told, or not all its presses are in this window"
                .into(),
        ),
        // Lost events: in the race, in the quiet before it, before that, after the last press.
        (
            vec![(RACE, press(11)), (RACE + 50, gap(2, RACE + 10)), (RACE + 60, press(12))],
            format!("none | the kernel dropped events of \"arcade\" (usb-1.2) in the 0.040 ms up to here (seq 6): {lost}"),
        ),
        (
            vec![(RACE - 2 * S, gap(2, RACE - 3 * S)), (RACE, press(11))],
            format!("none | the kernel dropped events of \"arcade\" (usb-1.2) in the 1000.000 ms up to here (seq 5): {lost}"),
        ),
        (vec![(RACE - 4 * S, gap(2, RACE - 5 * S)), (RACE, press(11))], "stage 11 by alone, certain".into()),
        (vec![(RACE, press(11)), (RACE + S, gap(2, RACE + 1))], "stage 11 by alone, certain".into()),
        // Unplugged: in the quiet, after the last press; and closed with all it made.
        (
            vec![(RACE - S, detach(2, false)), (RACE, press(11))],
            format!("none | pool stage: device 2 went: unplugged (seq 5): {unread}"),
        ),
        (
            vec![(RACE, press(11)), (RACE + 90_000, detach(2, false))],
            format!("none | pool stage: \"arcade\" (usb-1.2) went: unplugged (seq 6): {unread}"),
        ),
        (vec![(RACE, press(11)), (RACE + S, detach(2, false))], "stage 11 by alone, certain".into()),
        (vec![(RACE, press(11)), (RACE + 1, detach(2, true)), (RACE + 2, press(12))], "stage 11 by 2, certain".into()),
        // Starts: a crash in the race, a restart in the quiet, a start long after a stop, another boot.
        (
            vec![(RACE, press(11)), (RACE + S, start("boot-a")), (RACE + S + 1, attach(1, "hub", &[11], 0)), (RACE + 2 * S, press(12))],
            "none | buzzerd was started anew (version 0.1.0) (seq 6): presses made while it did not run are not in the log"
                .into(),
        ),
        (
            vec![(RACE - S, start("boot-a")), (RACE - S, attach(1, "hub", &[11], 0)), (RACE, press(11))],
            "none | buzzerd was started anew (version 0.1.0) (seq 5): presses made while it did not run are not in the log"
                .into(),
        ),
        (
            vec![(50 * S, Fact::Stop {}), (RACE - S, start("boot-a")), (RACE - S, attach(1, "hub", &[11], 0)), (RACE, press(11))],
            "stage 11 by alone, certain".into(),
        ),
        (
            vec![(RACE, press(12)), (RACE + 1, start("boot-b")), (RACE + 2, attach(1, "hub", &[11], 0)), (RACE + 3, press(11))],
            "stage 11 by alone, certain".into(),
        ),
        // A press of a device that nobody attached, and no press at all.
        (
            vec![(RACE, press(31))],
            "none | seq 5 is a press of device 3, and the log does not say what that is: records are missing".into(),
        ),
        (vec![], "none | nobody has pressed a buzzer in this log".into()),
    ] {
        let described = format!("{facts:?}");
        assert_eq!(short(&last(facts)), want, "{described}");
    }
}

#[test]
fn how_likely_the_other_order_is_comes_in_steps_or_with_why_it_is_not_known() {
    let of = |chance: Option<u16>, lead_us: u64, (second, basis, max_us): (u16, &str, u64)| {
        let mut attached = attach(3, if basis == "unknown" { "pad" } else { "board" }, &[31, 32], max_us);
        if let Fact::Attach { delay, .. } = &mut attached {
            delay.delay_basis = basis.to_owned();
        }
        let pad = |device, buzzers: &[u16]| {
            let mut pad = attach(device, "pad", buzzers, 9000);
            if let Fact::Attach { delay, .. } = &mut pad {
                delay.delay_basis = "unknown".to_owned();
            }
            pad
        };
        let mut later = contesting(press(second), &[8]);
        if let Fact::Press { photo, .. } = &mut later {
            photo[0].chance_permille = chance;
        }
        let first = (RACE, press(41));
        let facts =
            vec![(RACE - 9 * S, attached), (RACE - 9 * S, pad(4, &[41, 42])), (RACE - 9 * S, pad(5, &[51]))];
        let story = last(facts.into_iter().chain([first, (RACE + lead_us, later)]));
        story.why.join(" | ").replace("; the host decides", "").replace("photo finish: ", "")
    };
    let measured = (31, "model", 9000);
    for (chance, lead_us, second, want) in [
        (
            Some(700),
            900,
            measured,
            "stage 31 is more likely: its button is slower. By the order of the stamps stage 41 is first",
        ),
        (
            Some(210),
            900,
            measured,
            "stage 31 may in truth have been before stage 41; the chance that stage 41 was first is about 4 in 5",
        ),
        (
            Some(3),
            900,
            measured,
            "stage 31 may in truth have been before stage 41; the chance that stage 41 was first is more than 49 in 50",
        ),
        (
            None,
            900,
            measured,
            "stage 31 may in truth have been before stage 41, how likely is not known: \"pad\" is not measured",
        ),
        (
            None,
            900,
            (31, "configured", 9000),
            "stage 31 may in truth have been before stage 41, how likely is not known: of \"board\" the shortest and the longest delay are known, no more",
        ),
        (
            None,
            900,
            (31, "model", 8000),
            "stage 31 may in truth have been before stage 41, how likely is not known: a stamp is less exact than its device's stamps are",
        ),
        (
            None,
            4_500,
            (51, "unknown", 9000),
            "stage 51 may in truth have been before stage 41, not measured: of two like the middle one of 41 measured devices about 1 in 5",
        ),
        (
            None,
            8_500,
            (42, "unknown", 9000),
            "stage 42 may in truth have been before stage 41, how likely is not known: the delays of two buttons of one device are not independent (of two like the middle one of 41 measured devices: very unlikely)",
        ),
    ] {
        assert_eq!(of(chance, lead_us, second), want);
    }
}

#[test]
fn a_receipt_of_a_reader_that_did_not_run_says_so() {
    let Fact::Attach { device, pool, name, place, buzzers, delay, .. } = attach(4, "box", &[41, 42], 1000)
    else {
        panic!("it is an attachment")
    };
    let stamps = Stamps::Receipt;
    let attach = Fact::Attach { device, pool, name, place, stamps, buzzers, delay };
    let notes = |own_us: [i64; 2], flags: &[&str]| {
        let mut pressed = press(41);
        if let Fact::Press { delay_us, flags: of, .. } = &mut pressed {
            *delay_us = own_us;
            *of = Flags(flags.iter().copied().map(Flag::from).collect());
        }
        let stall = Fact::ReaderStall {
            device,
            pool: "stage".parse().unwrap(),
            late_us: 1,
            times: 1,
            since_us: None,
        };
        let story =
            last([(1, start("boot-a")), (2, attach.clone()), (3, connect()), (RACE, stall), (RACE, pressed)]);
        let means = &story.happened.iter().find(|finding| finding.what.contains("the reader")).unwrap().means;
        assert!(!means.contains("true") && means.contains("between when"), "{means}");
        (
            story.places[0].read_late,
            page::text(&story, &TimeZone::UTC).contains("the reader did not run when it came"),
        )
    };
    assert_eq!(notes([-40, 1000], &[]), (false, false));
    assert_eq!(notes([-40, 1001], &[]), (true, true));
    assert_eq!(notes([-1001, 1000], &[]), (true, true));
    assert_eq!(notes([0, 9000], &["recovered"]), (false, false));
}

#[test]
fn damage_bars_a_verdict_where_it_may_hide_a_press_of_this_race() {
    // Two races and a start between them: seq 5, 6 | start 7, attach 8, press 9, 10 | press 11.
    let facts = || {
        vec![
            (50 * S, press(11)),
            (50 * S + 9, press(12)),
            (90 * S, start("boot-b")),
            (90 * S, attach(1, "hub", &[11, 12], 0)),
            (RACE, press(11)),
            (RACE + 9, press(12)),
            (RACE + 9 * S, press(12)),
        ]
    };
    for (behind, asked, want) in [
        (1, 10, true), // Before the start that the race stands on: all since then is whole.
        (6, 10, true),
        (7, 10, false), // It may have been an attachment, or a press in the quiet.
        (9, 10, false),
        (10, 10, false), // Behind the last press, and may have been one.
        (11, 10, true),  // Behind the next race.
        (5, 5, false),
        (6, 5, false),
        (8, 5, true),
    ] {
        let story = explain(game(facts()), Asked::Around(asked), &[behind]);
        assert_eq!(story.verdict.is_some(), want, "damage behind {behind}: {}", short(&story));
        assert_eq!(story.damages_count, 1);
        assert_eq!(want, !story.why.iter().any(|why| why.starts_with("the log is damaged behind seq")));
    }
}

#[test]
fn a_window_is_found_by_a_record_or_by_time() {
    // seq 5 to 7: a race; 8: in its wake; 9: in the quiet; 10: before the next race; 11, 12: that.
    let facts = || {
        vec![
            (50 * S, press(11)),
            (52 * S, press(12)),
            (54 * S, press(13)),
            (56 * S, Fact::RingFull { waiting_max: 8 }),
            (70 * S, Fact::RingFull { waiting_max: 9 }),
            (99 * S, Fact::RingFull { waiting_max: 10 }),
            (RACE, press(21)),
            (RACE + 1, press(22)),
        ]
    };
    let wall = |at_us: u64| Some(WALL_US - S + at_us);
    for (asked, want, pressed) in [
        (Asked::LastRace, Some((10, 12)), 2),
        (Asked::Around(6), Some((5, 8)), 3),
        (Asked::Around(8), Some((5, 8)), 3),
        (Asked::Around(9), Some((9, 9)), 0),
        (Asked::Around(10), Some((10, 12)), 2),
        (Asked::Around(12), Some((10, 12)), 2),
        (Asked::Around(13), None, 0),
        (span(wall(52 * S), wall(70 * S + 1)), Some((6, 9)), 2),
        (span(None, wall(50 * S + 1)), Some((1, 5)), 1),
        (span(wall(RACE), None), Some((11, 12)), 2),
        (span(wall(101 * S), None), None, 0),
    ] {
        let described = format!("{asked:?}");
        let story = explain(game(facts()), asked, &[]);
        assert_eq!((story.seqs, story.places.len()), (want, pressed), "{described}");
    }
}

#[test]
fn what_is_harmless_is_said_to_be_harmless() {
    let pool = || "stage".parse().unwrap();
    let facts = [
        (RACE, press(11)),
        (RACE + 10, Fact::Late { device: 2, pool: pool(), press: 5, behind_us: 1500 }),
        (
            RACE + 20,
            Fact::StaleStamp { device: 2, pool: pool(), stamp_us: RACE - 980, times: 1, since_us: None },
        ),
        (RACE + 30, Fact::Chattering { pool: pool(), buzzer: 12, device: 1 }),
        (RACE + 40, Fact::HeapFull { full_us: 7000 }),
        (RACE + 50, Fact::RingFull { waiting_max: 17 }),
        (RACE + 60, Fact::ReaderStall { device: 1, pool: pool(), late_us: 4200, times: 1, since_us: None }),
        (RACE + 70, Fact::Degraded { what: "realtime".into(), reason: "EPERM".into() }),
        (RACE + 80, Fact::Stuck { pool: pool(), buzzer: 13, device: 1 }),
        (RACE + 90, detach(2, true)),
    ];
    let story = last(facts);
    assert_eq!(short(&story), "stage 11 by alone, certain");
    let said: Vec<String> =
        story.happened.iter().map(|finding| format!("{}; {}", finding.what, finding.means)).collect();
    let want = [
        "the press with seq 5 came 1.500 ms behind what had been told; it was told at once and marked late; what had been \
         told stays",
        "\"arcade\" (usb-1.2) gave a stamp that cannot be true, 1.000 ms behind the time it was read; what it said then is \
         ordered by the time it was read, and marked",
        "stage 12 chatters: it makes more edges than a sound contact; a worn button; presses that count are listed above",
        "more events than there is room for, for 7 ms: presses may be late or missing; if the kernel had to drop \
         something, a record says so",
        "17 events had to wait for the server, in order, none lost; the order is not touched",
        "the reader was kept from running for 4.200 ms; it read \"Buzz! hub\" (usb-1.1) late; the stamps are the kernel's \
         and true; a press that came too late for its place is marked late",
        "buzzerd has to do without realtime: \"EPERM\"; the order is not touched; more may come late under load",
        "stage 13 has been down for more than 10 s; stuck, or sat on: it cannot press again before it is released",
        "pool stage: \"arcade\" (usb-1.2) went: closed by its sender; every press that it made was read",
    ];
    assert_eq!(said, want);
}

#[test]
fn of_a_time_without_a_date_the_last_day_counts() {
    let day = 86_400 * S;
    let evening =
        move |wall_us| if wall_us % day >= WALL_US % day { Ordering::Equal } else { Ordering::Less };
    let facts =
        [(50 * S, press(11)), (51 * S, press(12)), (day + 40 * S, press(21)), (day + 41 * S, press(22))];
    let asked = Asked::Span(Spans::new(evening, true));
    let story = explain(game(facts), asked, &[]);
    assert_eq!((story.seqs, short(&story)), (Some((7, 8)), "stage 21 by 1000000, certain".to_owned()));
}

#[test]
fn what_two_boots_say_is_never_compared() {
    let facts = [
        (50 * S, press(11)),
        (2 * S, start("boot-b")),
        (2 * S, attach(1, "hub", &[11, 12], 0)),
        (3 * S, press(12)),
    ];
    let story = explain(game(facts), span(None, None), &[]);
    let margins: Vec<_> =
        story.places.iter().map(|place| (place.to_first_us, place.to_previous_us)).collect();
    assert_eq!(margins, [(Some(0), None), (None, None)]);
    let want = "none | the machine was started anew, and buzzerd 0.1.0 (seq 6): there are presses of two boots, and \
                their times cannot be compared";
    assert_eq!(short(&story), want);
    let text = page::text(&story, &TimeZone::UTC);
    assert!(text.contains("    2  stage 12     other boot     other boot    8  certain\n"), "{text}");
}

#[test]
fn a_window_that_is_cut_or_too_long_says_so() {
    let facts = [(RACE, press(11)), (RACE + 5000, contesting(press(21), &[5]))];
    let to_us = Some(WALL_US - S + RACE + 1000);
    let story = explain(game(facts), span(None, to_us), &[]);
    let want = "stage 11 by alone, not certain | the window ends within a photo finish: seq 6, behind it, may have been before a press in it";
    assert_eq!(short(&story), want);

    let many = (0..5000).map(|n| (RACE + n * 1000, press(11)));
    let story = last(many);
    assert_eq!(story.places.len(), scan::ENTRIES_MAX);
    assert!(
        short(&story).starts_with("none | more records are here than are looked at, by 904"),
        "{}",
        short(&story)
    );
    let text = page::text(&story, &TimeZone::UTC);
    assert!(text.contains("and 3996 more presses; --json has them\n"), "{text}");
}
