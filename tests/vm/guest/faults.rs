//! Cases about what goes wrong between a press and the reader: stamps that cannot be true, a reader that is kept from
//! running, presses that show late, buttons that nobody has proved.
//!
//! Each case also says what the log must *not* say: a fault that is taken for another is as bad as one that is hidden.

use buzzer_core::io::sys::set_fifo;
use evdev::EventType;
use serde_json::json;

use crate::client::Client;
use crate::daemon::Daemon;
use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::load::Load;
use crate::node::Reader;
use crate::records::{self, Press, Record};
use crate::uhid::{Hid, RED, YELLOW};
use crate::uinput::{let_pass, now_us};

/// Emulated CPUs stall, and a press that shows later than the window says so: a case that is about another press tries
/// again then.
const TRIES: usize = 5;

/// Hubs that no configuration names, so that the daemon does not have them for itself and another program can make a
/// hub's next stamp older than it is. Gives their pools, in the order of the ports.
pub(crate) fn known_hubs<const N: usize>(
    name: &str,
    config: &str,
) -> Outcome<([Hid; N], Daemon, Client, [String; N])> {
    let hubs = (1..=N).map(|port| Hid::plug_buzz_at(u8::try_from(port).why("port")?, 0x0002));
    let hubs = hubs.collect::<Outcome<Vec<_>>>()?;
    let daemon = Daemon::start(name, config)?;
    let mut client = daemon.client()?;
    let listed = client.pools()?;
    let pool = |port: usize| {
        let ids = listed.as_array().into_iter().flatten().filter_map(|id| id.as_str());
        let mut ids = ids.filter(|id| id.ends_with(&format!("-{port}")));
        ids.next().map(str::to_owned).ok_or_else(|| format!("no pool of port {port} in {listed}"))
    };
    let pools = (1..=N).map(pool).collect::<Outcome<Vec<_>>>()?;
    for pool in &pools {
        client.connect_pool(pool, &[1, 2, 3, 4])?;
    }
    let wrong = |_| "as many as were asked for".to_owned();
    Ok((hubs.try_into().map_err(|_| "hubs".to_owned())?, daemon, client, pools.try_into().map_err(wrong)?))
}

/// Leaves the present time in the device for its next frame: another program that opens it and sets its clock while
/// something waits in its queue. Yellow is no buzzer and masked, so the daemon's reader sleeps on. Gives that program's
/// reader, because closing it takes the kernel some ms.
pub(crate) fn leave_stamp(hub: &mut Hid) -> Outcome<Reader> {
    let reader = Reader::open(hub.node())?;
    hub.buzz_report(&[(0, YELLOW)])?;
    reader.set_clock()?;
    Ok(reader)
}

/// Runs a round until no true press was marked in it; gives what the log says then.
fn undisturbed(
    mut round: impl FnMut(usize) -> Outcome<(Vec<Record>, &'static str)>,
) -> Outcome<(Vec<Record>, Vec<Press>)> {
    let mut seen = Vec::new();
    for number in 1..=TRIES {
        let (records, stale_pool) = round(number)?;
        let presses = records::presses(&records);
        if presses.iter().all(|press| press.pool.ends_with(stale_pool) || !press.is_marked()) {
            return Ok((records, presses));
        }
        seen = presses;
    }
    Err(format!("the machine is too slow: true presses are marked in each of {TRIES} rounds: {seen:?}"))
}

fn told(presses: &[Press]) -> Vec<(&str, Vec<&str>)> {
    presses.iter().map(|it| (it.pool.as_str(), it.flags.iter().map(String::as_str).collect())).collect()
}

const FIRST: &str = "buzz-wired-1";
const SECOND: &str = "buzz-wired-2";
const THIRD: &str = "buzz-wired-3";

/// The reader has been awake since the stamp was left: it knows that there was nothing to read then. A rival presses just
/// before: the stale press must not be told first.
pub(crate) fn stale_stamp_while_awake() -> Outcome {
    let (_, presses) = undisturbed(|_| {
        let (mut hubs, daemon, mut client, _) =
            known_hubs::<3>("stale-awake", "[order]\nsettle_us = 5000\n")?;
        let _other = leave_stamp(&mut hubs[1])?;
        let_pass(8_000)?;
        // When the reader has slept again, it has read every device. (A frame of this press would take too long: a stamp
        // of 50 ms ago is known by its age.)
        let sleeps = daemon.reader_sleeps()?;
        hubs[2].buzz_report(&[(0, RED)])?;
        until("the reader's next sleep", || (daemon.reader_sleeps().ok()? > sleeps).then_some(()))?;
        hubs[0].buzz_report(&[(0, RED)])?;
        hubs[1].buzz_report(&[(0, RED)])?;
        (0..3).try_for_each(|_| client.next().map(drop))?;
        Ok((daemon.stop()?, SECOND))
    })?;
    // Left a moment ago, so it may as well be a true stamp that showed late; not so on a machine that was slow.
    let marks = if presses.iter().any(|press| press.has("late")) {
        vec!["late", "stale_stamp"]
    } else {
        vec!["stale_stamp"]
    };
    same(
        "pools and flags in order",
        &told(&presses),
        &vec![(THIRD, vec![]), (FIRST, vec![]), (SECOND, marks)],
    )
}

/// The reader has slept since before the stamp was left, for longer than a wake-up can take. The rival's press is
/// written just before the stale one.
pub(crate) fn stale_stamp_after_idle_behind_a_rival() -> Outcome {
    let (_, presses) = undisturbed(|_| {
        let (mut hubs, daemon, mut client, _) = known_hubs::<2>("stale-idle", "")?;
        let _other = leave_stamp(&mut hubs[1])?;
        let_pass(150_000)?;
        hubs[0].buzz_report(&[(0, RED)])?;
        hubs[1].buzz_report(&[(0, RED)])?;
        client.next()?;
        client.next()?;
        Ok((daemon.stop()?, SECOND))
    })?;
    same("pools and flags in order", &told(&presses), &vec![(FIRST, vec![]), (SECOND, vec!["stale_stamp"])])
}

/// The same, the stale one written first: it is what wakes the reader. It counts from when it was read, so it may be told
/// first only if it was read before the rival pressed.
pub(crate) fn stale_stamp_after_idle_before_a_rival() -> Outcome {
    let mut written = 0;
    let (_, presses) = undisturbed(|_| {
        let (mut hubs, daemon, mut client, _) = known_hubs::<2>("stale-idle-first", "")?;
        let _other = leave_stamp(&mut hubs[1])?;
        let_pass(150_000)?;
        written = now_us();
        hubs[1].buzz_report(&[(0, RED)])?;
        hubs[0].buzz_report(&[(0, RED)])?;
        client.next()?;
        client.next()?;
        Ok((daemon.stop()?, SECOND))
    })?;
    let of =
        |pool: &str| presses.iter().find(|press| press.pool == pool).ok_or(format!("no press of {pool}"));
    let (rival, stale) = (of(FIRST)?, of(SECOND)?);
    same(
        "flags",
        &told(&[rival.clone(), stale.clone()]),
        &vec![(FIRST, vec![]), (SECOND, vec!["stale_stamp"])],
    )?;
    ensure(stale.at_us >= written, || format!("{stale:?} is older than its write at {written}"))?;
    same("the order is that of the times", &presses.is_sorted_by_key(|press| press.at_us), &true)
}

/// What waited because the reader was kept from running has a true stamp: told with that, and with why it came late.
fn told_as_stall(
    name: &str,
    keep_from_running: impl Fn(&Daemon, &mut Hid) -> Outcome<(i64, i64)>,
) -> Outcome {
    let ([mut hub, _other], daemon, mut client, pools) = known_hubs::<2>(name, "")?;
    let (before, after) = keep_from_running(&daemon, &mut hub)?;
    client.expect_buzz(&pools[0], 1)?;
    let records = daemon.stop()?;
    let presses = records::presses(&records);
    same("pools and flags", &told(&presses), &vec![(FIRST, vec![])])?;
    let at_us = presses[0].at_us;
    ensure((before..=after).contains(&at_us), || format!("told at {at_us}, written {before} to {after}"))?;
    ensure(records::count(&records, "reader_stall") > 0, || format!("no stall: {}", records::kinds(&records)))
}

/// Stopped with SIGSTOP, as by a debugger or a shell's job control.
pub(crate) fn stopped_reader_is_told() -> Outcome {
    told_as_stall("stopped", |daemon, hub| {
        daemon.freeze()?;
        let before = now_us();
        hub.buzz_report(&[(0, RED)])?;
        let after = now_us();
        let_pass(150_000)?;
        daemon.thaw()?;
        Ok((before, after))
    })
}

/// Ready to run, and not let: loops of a higher real-time priority have both CPUs.
pub(crate) fn starved_reader_is_told() -> Outcome {
    told_as_stall("starved", |_, hub| {
        // On a thread above the loops, or neither would anything be pressed nor the loops be ended; a thread of its own,
        // because what is started later inherits its priority.
        std::thread::scope(|scope| {
            let pressing = scope.spawn(|| {
                set_fifo(40).why("priority")?;
                let load = Load::starving(30)?;
                let before = now_us();
                hub.buzz_report(&[(0, RED)])?;
                let after = now_us();
                let_pass(150_000)?;
                drop(load);
                Ok((before, after))
            });
            pressing.join().unwrap_or_else(|_| Err("panicked".to_owned()))
        })
    })
}

/// A press that shows after a later one was told: it comes next, says so, names what it may precede, and rewrites
/// nothing. (Made with a stamp that was left in its device: less than 2 ms old, it could be true.)
pub(crate) fn late_press_is_told_next() -> Outcome {
    // Nothing is held, so the first press has left before the second one is written.
    let config = "[order]\nsettle_us = 0\ndebounce_us = 0\n";
    let (mut hubs, daemon, mut client, pools) = known_hubs::<2>("late", config)?;
    let mut left = Vec::new();
    for _ in 0..20 {
        let other = Reader::open(hubs[1].node())?;
        hubs[1].buzz_report(&[(0, YELLOW)])?;
        let before = now_us();
        other.set_clock()?;
        left.push(before..=now_us());
        hubs[0].buzz_report(&[(0, RED)])?;
        client.expect_buzz(&pools[0], 1)?;
        hubs[1].buzz_report(&[(0, RED)])?;
        client.expect_buzz(&pools[1], 1)?;
        hubs.iter_mut().try_for_each(|hub| hub.buzz_report(&[]))?;
    }
    let presses = records::presses(&daemon.stop()?);
    same("presses", &presses.len(), &40)?;
    let mut late = 0;
    for (pair, left) in presses.chunks(2).zip(left) {
        let [first, second] = pair else { return Err("half a pair".to_owned()) };
        same("the mark of the earlier one told", &first.is_marked(), &false)?;
        ensure(second.is_marked(), || format!("{second:?} is told behind {first:?} and not marked"))?;
        // A reader that took more than 2 ms to wake cannot trust the stamp.
        if second.flags == ["late"] {
            ensure(left.contains(&second.at_us), || format!("{second:?}, but its stamp is of {left:?}"))?;
            ensure(second.photo.contains(&first.seq), || format!("{second:?} does not name {first:?}"))?;
            late += 1;
        }
    }
    println!("vm: {late} of 20 late with their own stamp");
    ensure(late > 0, || "none was late: the machine is too slow for this case".to_owned())
}

/// A handset that nobody has proved, in one report with one that somebody has: the kernel may know of it only now.
pub(crate) fn unproved_button_is_suspect() -> Outcome {
    let ([mut hub], daemon, mut client, pools) = known_hubs::<1>("suspect", "[order]\ndebounce_us = 0\n")?;
    for down in [&[(0, RED)][..], &[], &[(0, RED), (1, RED)], &[], &[(0, RED), (1, RED)], &[]] {
        hub.buzz_report(down)?;
    }
    client.expect_buzz(&pools[0], 1)?;
    for _ in 0..4 {
        client.next()?;
    }
    let mut presses = records::presses(&daemon.stop()?);
    // Within a report the draw decides.
    presses[1..3].sort_by_key(|press| press.buzzer);
    presses[3..].sort_by_key(|press| press.buzzer);
    let seen: Vec<_> = presses.iter().map(|press| (press.buzzer, press.has("suspect"))).collect();
    same("buzzers and suspicion", &seen, &vec![(1, false), (1, false), (2, true), (1, false), (2, false)])
}

/// Five changes with their scan codes are more than the kernel puts into one frame: two frames, one stamp, one tie, even if
/// the reader runs between the two, and though it need not wait for other devices.
pub(crate) fn split_report_is_one_tie() -> Outcome {
    const ROUNDS: usize = 20;
    let config = "[order]\nsettle_us = 100000\ndebounce_us = 0\n";
    let ([mut hub], daemon, mut client, _) = known_hubs::<1>("split", config)?;
    let mut reader = Reader::open(hub.node())?;
    reader.set_clock()?;
    for round in 0..ROUNDS {
        hub.buzz_report(&[(0, RED), (0, YELLOW), (1, RED), (2, RED), (3, RED)])?;
        let (mut stamps, mut keys, mut frames) = (Vec::new(), 0, 0);
        while keys < 5 {
            let event = reader.next()?;
            keys += usize::from(event.event_type() == EventType::KEY && event.value() == 1);
            frames += usize::from(event.event_type() == EventType::SYNCHRONIZATION && (1..5).contains(&keys));
            if keys > 0 {
                stamps.push(event.timestamp());
            }
        }
        ensure(frames > 0, || "the kernel did not cut the report: this case shows nothing".to_owned())?;
        same("one stamp", &stamps.iter().all(|stamp| *stamp == stamps[0]), &true)?;
        hub.buzz_report(&[])?;
        for _ in 0..4 {
            let frame =
                client.next().map_err(|why| format!("{why} in round {round}{}", daemon.last_words()))?;
            same("event", &frame["event"], &json!("buzz"))?;
        }
    }
    let presses = records::presses(&daemon.stop()?);
    same("presses", &presses.len(), &(4 * ROUNDS))?;
    for report in presses.chunks(4) {
        let alike = |press: &Press| (press.at_us, press.tie) == (report[0].at_us, report[0].tie);
        ensure(report[0].tie.is_some() && report.iter().all(alike), || format!("not one tie: {report:?}"))?;
    }
    Ok(())
}
