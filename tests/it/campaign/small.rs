//! Small worlds, all of them. In: two devices of three events and three of two, with ties among their stamps. Out: a world for
//! each fault at each place, each settle window and each kind of stamp, that plays every order in which the events can be
//! seen, one after the other. Guarantee: the oracle is that of the campaign, so no fault is judged by a rule of its own.

use buzzer_core::press::stamp::Stamps;

use super::script::{Delay, End, Frame, Life, START, Said, Script, World};
use super::verdict::Count;
use super::{threads, verdict};

/// One fault, at one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Another program's clock left a stamp: 60 ms old while the reader slept, from before the device's last empty read, or
    /// so young that nothing shows.
    StaleAsleep,
    StaleDrained,
    StaleUnseen,
    /// The kernel dropped the event; asking finds the key.
    Dropped,
    /// Unplugged with the event unread, and just behind it.
    UnpluggedUnread,
    UnpluggedBehind,
    /// The sender writes no event at all.
    Garbage,
    /// The reader is kept from running for 60 ms when the event shows.
    Stall,
    Bounce,
    /// The event shows long after all others.
    ShownLate,
    /// The report comes as two frames.
    Split,
    /// The key was down when the device was attached.
    Held,
}

const FAULTS: [Fault; 13] = [
    Fault::None,
    Fault::StaleAsleep,
    Fault::StaleDrained,
    Fault::StaleUnseen,
    Fault::Dropped,
    Fault::UnpluggedUnread,
    Fault::UnpluggedBehind,
    Fault::Garbage,
    Fault::Stall,
    Fault::Bounce,
    Fault::ShownLate,
    Fault::Split,
    Fault::Held,
];

/// Stamps after the beginning of an episode, and which key moves how.
type Event = (u64, u16, i32);
const TWO: [&[Event]; 2] = [&[(10, 0, 1), (20, 0, 0), (30, 1, 1)], &[(10, 0, 1), (25, 1, 1), (30, 0, 0)]];
const THREE: [&[Event]; 3] = [&[(10, 0, 1), (20, 1, 1)], &[(10, 0, 1), (20, 0, 0)], &[(5, 0, 1), (20, 1, 1)]];

/// An episode, and how long before it its devices are attached.
const EPISODE_US: u64 = 1_000_000;
const BEFORE_US: u64 = 100_000;

fn orders(left: &mut [usize], seen: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    if left.iter().all(|left| *left == 0) {
        all.push(seen.clone());
    }
    for device in 0..left.len() {
        if left[device] > 0 {
            left[device] -= 1;
            seen.push(device);
            orders(left, seen, all);
            seen.pop();
            left[device] += 1;
        }
    }
}

/// One fault, on one device, at one of its events.
type Place = (Fault, usize, usize);

/// The devices of one episode, whose events are seen in this order; and when the reader is to stall.
fn episode(
    base: u64,
    events: &[&[Event]],
    order: &[usize],
    stamps: Stamps,
    place: Place,
) -> (Vec<Life>, Option<u64>) {
    let life = |device: usize| Life {
        slot: device as u64,
        stamps,
        pool: "desk",
        delay: Delay {
            us: [[0, 0], [3, 12], [40, 100]][device],
            ..Delay::own_order_if(stamps != Stamps::Kernel)
        },
        debounce_us: [0, 5000, 5000][device],
        first_buzzer: 10 * device as u16,
        keys: 2,
        since: base - BEFORE_US,
        handed: base - BEFORE_US,
        held: 0,
        frames: Vec::new(),
        end: Some((base + 300_000, if stamps == Stamps::Kernel { End::Unplugged } else { End::Closed })),
        queue_max: 63,
    };
    let mut lives: Vec<Life> = (0..events.len()).map(life).collect();
    let mut next = [0; 3];
    let mut stall = None;
    // Each event is seen in a pass of its own.
    for (device, shown) in order.iter().zip((base + 40..).step_by(20)) {
        let n = next[*device];
        next[*device] += 1;
        let fault = if (*device, n) == (place.1, place.2) { place.0 } else { Fault::None };
        let (us, key, value) = events[*device][n];
        show(&mut lives[*device], base, (base + us, key, value), shown, fault);
        stall = stall.or((fault == Fault::Stall).then_some(shown));
    }
    for life in &mut lives {
        // Who is gone says nothing more.
        let end = life.end.map_or(u64::MAX, |(us, _)| us);
        life.frames.retain(|frame| frame.visible <= end);
    }
    (lives, stall)
}

/// Adds an event to a life, as the fault leaves it.
fn show(life: &mut Life, base: u64, (made, key, value): Event, shown: u64, fault: Fault) {
    let visible = life.frames.last().map_or(shown, |frame| frame.visible.max(shown));
    let says = vec![Said::Key(key, value), Said::Report];
    let mut frame = Frame { physical: made - life.delay.us[0], made, stamp: made, visible, odd: false, says };
    let end = |us| life.end.map(|(_, end)| (us, end));
    match fault {
        Fault::None | Fault::Stall => {}
        Fault::StaleAsleep => frame.stamp = base - 60_000,
        Fault::StaleDrained => frame.stamp = base - BEFORE_US - 5000,
        Fault::StaleUnseen => frame.stamp = base - 8000,
        Fault::Dropped => frame.says.insert(0, Said::Dropped),
        Fault::UnpluggedUnread => life.end = end(visible),
        Fault::UnpluggedBehind => life.end = end(visible + 9),
        Fault::Garbage => frame.says = vec![Said::Nonsense],
        Fault::Bounce => {
            life.frames.push(frame.clone());
            frame.says[0] = Said::Key(key, 1 - value);
            life.frames.push(frame.clone());
            frame.says[0] = Said::Key(key, value);
        }
        Fault::ShownLate => frame.visible += 5000,
        Fault::Split => {
            frame.says.insert(0, Said::Report);
            frame.says.insert(0, Said::Key(1 - key, value));
        }
        // The kernel reports no press of a key that is down; an attachment cannot begin with one.
        Fault::Held if value == 1 && life.stamps == Stamps::Kernel => {
            life.held |= 1 << key;
            return;
        }
        Fault::Held => {}
    }
    // What a sender makes up says nothing about the truth.
    frame.odd = frame.stamp != frame.made && life.stamps != Stamps::Kernel;
    life.frames.push(frame);
}

#[test]
fn every_fault_at_every_place_of_every_order_of_small_worlds() {
    let mut all = Count::default();
    let (mut worlds, mut episodes) = (0, 0);
    for events in [&TWO[..], &THREE[..]] {
        let mut seen = Vec::new();
        orders(&mut events.iter().map(|events| events.len()).collect::<Vec<_>>(), &mut Vec::new(), &mut seen);
        let places: Vec<(usize, usize)> = (0..events.len())
            .flat_map(|device| (0..events[device].len()).map(move |n| (device, n)))
            .collect();
        for (fault, (device, n)) in
            FAULTS.into_iter().flat_map(|fault| places.iter().map(move |place| (fault, *place)))
        {
            if fault == Fault::None && (device, n) != (0, 0) {
                continue;
            }
            for (stamps, settle_us, ring_events) in [
                (Stamps::Kernel, 0, 64),
                (Stamps::Kernel, 1, 64),
                (Stamps::Kernel, 60, 64),
                (Stamps::Kernel, 60, 2),
                (Stamps::Kernel, 200, 64),
                (Stamps::Sender, 0, 64),
                (Stamps::Sender, 60, 64),
                (Stamps::Sender, 60, 2),
                (Stamps::Sender, 200, 64),
                (Stamps::Receipt, 60, 64),
            ] {
                let (mut lives, mut stalls) = (Vec::new(), Vec::new());
                for (order, base) in seen.iter().zip((START + EPISODE_US..).step_by(EPISODE_US as usize)) {
                    let (own, stall) = episode(base, events, order, stamps, (fault, device, n));
                    lives.extend(own);
                    stalls.extend(stall.map(|us| (us, 60_000)));
                }
                let commands = Vec::new();
                let script =
                    Script { settle_us, ring_events, reads_max: 64, lives, commands, exact: Some(stalls) };
                let world = World { seed: 1, devices: 0, races: 0, faults: 0 };
                let what = format!(
                    "{fault:?} at event {n} of device {device}, {stamps:?} stamps, W {settle_us}, ring {ring_events}"
                );
                let played = threads::play(world, script).unwrap_or_else(|error| panic!("{what}: {error}"));
                all += verdict::judge(played, false).unwrap_or_else(|error| panic!("{what}: {error}"));
                worlds += 1;
                episodes += seen.len();
            }
        }
    }
    println!("{worlds} worlds, {episodes} episodes: {all:?}");
    let Count { late, stale, recovered, suspect, tied, photos, gaps, stalls, unplugged, ignored, .. } = all;
    let met =
        [late, stale, recovered, suspect, tied, photos, gaps, stalls, unplugged, ignored, all.ring_full];
    assert!(met.into_iter().all(|met| met > 0), "{all:?}");
}
