//! A record in words. In: a fact. Out: one line for a moderator. Guarantee: every kind has one; texts that others chose are
//! quoted, and nothing in the line moves the cursor of a terminal or turns its text, also in a forged log.

use std::fmt::{Display, Write};

use buzzer_core::quote::{Plain, Quoted, listed};
use buzzer_core::time::Micros;

use crate::counted::{counted, more};
use crate::judge::explain::words::between;
use crate::record::{Fact, Subject};

/// What happened.
pub fn of(fact: &Fact) -> String {
    // A log of somebody else has anything anywhere, also where buzzerd writes words of its own.
    Plain(&words(fact)).to_string()
}

/// A table: a row a kind.
fn words(fact: &Fact) -> String {
    let of = match fact.subject() {
        Subject::Whole => String::new(),
        Subject::Pool(pool) | Subject::Device(pool, _) => pool.to_string(),
        Subject::Button(pool, device, buzzer) => format!("{pool} {buzzer}  (device {device})"),
    };
    match fact {
        Fact::Start { log, boot, version, settle_us, realtime, .. } => {
            let realtime = if *realtime { "" } else { ", without real-time priority" };
            format!(
                "buzzerd {version} started: log {}, boot {}, settle window {}{realtime}",
                short(log),
                short(boot),
                ms(*settle_us)
            )
        }
        Fact::Attach { device, name, place, stamps, buzzers, delay, .. } => format!(
            "{of}: device {device} {} serves {}, at {}; {stamps} stamps{}",
            Quoted(name),
            numbers("buzzer", buzzers),
            Quoted(place),
            match delay.delay_us {
                [0, 0] => String::new(),
                us => format!(", a press {} earlier", between(us.map(u64::cast_signed))),
            }
        ),
        Fact::Detach { device, reason, certain, .. } => {
            let certain = if *certain { "" } else { "; presses it had not shown yet are lost" };
            format!("{of}: device {device} is gone ({reason}){certain}")
        }
        Fact::Connect { by, .. } => format!("{of}: connected, {by} asked; its presses count"),
        Fact::Disconnect { by, .. } => {
            let why = if by == "configuration" {
                "the configuration has it no more".to_owned()
            } else {
                format!("by {}", Quoted(by))
            };
            format!("{of}: disconnected, {why}; its presses count no longer")
        }
        Fact::Refuse { pool, by, message, times, .. } => {
            format!("connect of {} refused to {by}{}: {}", Quoted(pool), times_of(*times), Quoted(message))
        }
        Fact::Draw { seed, presses } => {
            format!("draw among {} of one stamp, seed {seed}", counted((*presses).into(), "press"))
        }
        Fact::Press { delay_us, flags, photo, photo_more, tie, .. } => {
            let mut text = format!("{of}  PRESS");
            if *delay_us != [0, 0] {
                let _ = write!(text, "  {} earlier", between(*delay_us));
            }
            if let Some(draw) = tie {
                let _ = write!(text, "  drawn (seq {draw})");
            }
            if !photo.is_empty() {
                let seqs: Vec<u64> = photo.iter().map(|rival| rival.seq).collect();
                let more = if *photo_more { " and more" } else { "" };
                let _ = write!(text, "  photo finish with {}{more}", numbers("seq", &seqs));
            }
            for flag in flags.names() {
                let _ = write!(text, "  {}", flag.replace('_', " "));
            }
            text
        }
        Fact::Held { .. } => format!("{of}  held since before it was connected"),
        Fact::Proved { .. } => format!("{of}  works: pressed and released"),
        Fact::Stuck { .. } => format!("{of}  stuck: down for 10 s"),
        Fact::Release { .. } => format!("{of}  released"),
        Fact::Ignored { edges, others, .. } => format!(
            "{of}{}  {} of a bouncing contact not counted",
            and_others(*others),
            counted(u64::from(*edges), "edge")
        ),
        Fact::Gap { device, .. } => {
            format!("{of}: the kernel dropped events of device {device}, presses may be missing")
        }
        Fact::ReaderStall { device, late_us, times, .. } => format!(
            "{of}: device {device} was read {} late{}; its stamps are true, or its presses say how far they may be off",
            ms(*late_us),
            times_of(*times)
        ),
        Fact::RingFull { waiting_max } => {
            format!(
                "{} had to wait for the server, in order, none lost",
                counted((*waiting_max).into(), "event")
            )
        }
        Fact::Chattering { .. } => format!("{of}  chatters: its contact is bad, have it replaced"),
        Fact::Late { device, press, behind_us, .. } => format!(
            "{of}: seq {press} of device {device} came late, its stamp is {} before one that was told already",
            ms(*behind_us)
        ),
        Fact::StaleStamp { device, stamp_us, times, .. } => format!(
            "{of}: device {device} gave an impossible stamp ({stamp_us} µs){}, the time it was read counts instead",
            times_of(*times)
        ),
        Fact::HeapFull { full_us } => {
            format!(
                "more events than there is room for, for {}: presses may be late or missing",
                ms(*full_us)
            )
        }
        Fact::Degraded { what, reason } => format!("buzzerd has to do without {what}: {}", Quoted(reason)),
        Fact::Uncounted { presses, reason, others, .. } => {
            let why = if reason == "not_connected" { "the pool is not connected" } else { reason };
            let others = and_others(*others);
            format!("{of}{others}  {} not counted: {}", counted(u64::from(*presses), "press"), Quoted(why))
        }
        Fact::Anchor { wall_us, bracket_us, synced } => {
            let synced = match synced {
                Some(true) => "kept by a time server",
                Some(false) => "not kept by a time server",
                None => "who keeps it is not known",
            };
            format!("wall clock {wall_us} µs since 1970 (within {bracket_us} µs, {synced})")
        }
        Fact::Config { part, parts, settings } => {
            format!("configuration, {part} of {parts}: {}", settings.join("; "))
        }
        Fact::Roster { name, place, .. } => format!("{of}: {} is there, at {}", Quoted(name), Quoted(place)),
        Fact::Storage { what, file, done, .. } => {
            format!("storage: {}: {}: {}", Quoted(file), Quoted(what), Quoted(done))
        }
        Fact::Recovered { segment, bytes, last_good_seq, file, .. } => format!(
            "{} behind seq {last_good_seq} in {}: no lines; kept in {} now",
            counted(*bytes, "byte"),
            Quoted(segment),
            Quoted(file)
        ),
        Fact::Damage { segment, line, why } => {
            format!("damage in {}, line {line}: {}; left as it is", Quoted(segment), Quoted(why))
        }
        Fact::Lost { first_seq, last_seq } => {
            format!("records {first_seq} to {last_seq} are lost: neither disk nor memory took them")
        }
        Fact::Expired { first_segment, last_segment, last_seq, .. } => format!(
            "{} to {}, up to seq {last_seq}, go: the configuration keeps no more",
            Quoted(first_segment),
            Quoted(last_segment)
        ),
        Fact::Stop {} => "buzzerd ended because it was asked to".to_owned(),
    }
}

/// How often, if more than once.
fn times_of(times: u32) -> String {
    if times == 1 { String::new() } else { format!(" ({times} times)") }
}

fn and_others(others: u32) -> String {
    if others == 0 { String::new() } else { format!(" and {}", more(others.into(), "button")) }
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// `1.25 ms`.
pub fn ms(us: u64) -> String {
    format!("{} ms", Micros::from_us(us).in_ms())
}

fn numbers<T: Display>(what: &str, numbers: &[T]) -> String {
    if numbers.is_empty() { format!("no {what}") } else { format!("{what} {}", listed(numbers)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Rival;
    use crate::record::{Flag, Flags};

    #[test]
    fn a_press_says_all_that_a_judge_asks() {
        let press = Fact::Press {
            pool: "stage".parse().unwrap(),
            buzzer: 3,
            device: 2,
            delay_us: [0, 8250],
            final_at_us: 0,
            flags: Flags(vec![Flag::Late, Flag::StaleStamp]),
            photo: [7, 9].map(|seq| Rival { seq, chance_permille: None }).into(),
            photo_more: false,
            tie: Some(12),
            frame: 0,
        };
        assert_eq!(
            of(&press),
            "stage 3  (device 2)  PRESS  up to 8.250 ms earlier  drawn (seq 12)  photo finish with seq 7, 9  late  stale stamp"
        );
    }

    #[test]
    fn what_others_chose_cannot_move_the_cursor() {
        let refuse = Fact::Refuse {
            pool: "\u{1b}[2J".into(),
            by: "x".into(),
            message: "no\n".into(),
            times: 1,
            since_us: None,
        };
        assert_eq!(of(&refuse), r#"connect of "\u{1b}[2J" refused to x: "no\n""#);
        let forged = Fact::Detach {
            device: 1,
            pool: "a".parse().unwrap(),
            reason: "\u{9b}31m\u{202e}".into(),
            certain: true,
        };
        assert_eq!(of(&forged), r"a: device 1 is gone (\u{9b}31m\u{202e})", "what buzzerd says itself");
    }
}
