//! What happens in a world, drawn from its seed. In: a [`World`], which is a seed and how much of it to play. Out:
//! [`Script`]: the rules of the world and the [`Life`] of every device, frame by frame, with the truth beside what the
//! kernel says. Guarantee: nothing of the program under test takes part, so the script is what an oracle may believe.

use std::fmt;
use std::str::FromStr;

use buzzer_core::merge::order::Command;
use buzzer_core::press::stamp::Stamps;
use buzzer_core::time::KernelTime;

use super::dice::Dice;

/// When the devices are opened, µs.
pub(crate) const START: u64 = 1_000_000;
/// Keys of one device at most.
pub(crate) const KEYS_MAX: u16 = 6;

/// Kinds of fault; a world has any of them.
pub(crate) mod fault {
    pub(crate) const SHOWN_LATE: u32 = 1;
    pub(crate) const STALL: u32 = 1 << 1;
    pub(crate) const STEAL: u32 = 1 << 2;
    pub(crate) const FOREIGN_CLOCK: u32 = 1 << 3;
    pub(crate) const BOUNCE: u32 = 1 << 4;
    pub(crate) const REPEAT: u32 = 1 << 5;
    pub(crate) const HELD: u32 = 1 << 6;
    pub(crate) const UNPLUG: u32 = 1 << 7;
    pub(crate) const STORM: u32 = 1 << 8;
    pub(crate) const GARBAGE: u32 = 1 << 9;
    pub(crate) const ODD_STAMP: u32 = 1 << 10;
    pub(crate) const SPLIT: u32 = 1 << 11;
    pub(crate) const SLOW_SERVER: u32 = 1 << 12;
    /// Programs send many records right behind their greeting.
    pub(crate) const AHEAD: u32 = 1 << 13;
    /// Senders say many times that nothing happened.
    pub(crate) const IDLE: u32 = 1 << 14;
    /// Senders say many presses with one stamp.
    pub(crate) const STILL: u32 = 1 << 15;
    /// The reader is stopped: it knows that, and not for how long.
    pub(crate) const STOP: u32 = 1 << 16;
    /// The server lets go of devices that have more to say.
    pub(crate) const LET_GO: u32 = 1 << 17;
    /// Reads end within a report.
    pub(crate) const CUT: u32 = 1 << 18;
    /// More events than the reader's memory holds; only where it is asked for, because it takes 32 768 of them.
    pub(crate) const FLOOD: u32 = 1 << 19;
    pub(crate) const COUNT: u32 = 20;
    pub(crate) const MOST: u32 = FLOOD - 1;
}

/// A world: its seed, and how much of it is played. Written `seed:devices:races:faults`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) devices: u64,
    pub(crate) races: u64,
    pub(crate) faults: u32,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, [0, 0, 0]);
        let faults = match dice.below(8) {
            0 => 0,
            1 => fault::MOST,
            // Each fault in about every third world, so that they meet in all combinations.
            _ => (0..fault::COUNT - 1).map(|bit| u32::from(dice.one_in(3)) << bit).sum(),
        };
        Self { seed, devices: dice.between(8, 16), races: dice.between(20, 80), faults }
    }

    pub(crate) const fn has(&self, fault: u32) -> bool {
        self.faults & fault != 0
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{:#x}", self.seed, self.devices, self.races, self.faults)
    }
}

impl FromStr for World {
    type Err = String;

    /// A seed alone is the whole world.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?}: expected seed or seed:devices:races:faults");
        let number = |part: &str| match part.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).map_err(|_| bad()),
            None => part.parse().map_err(|_| bad()),
        };
        let parts = text.split(':').map(number).collect::<Result<Vec<u64>, String>>()?;
        match parts[..] {
            [seed] => Ok(Self::new(seed)),
            [seed, devices, races, faults] => {
                Ok(Self { seed, devices, races, faults: u32::try_from(faults).map_err(|_| bad())? })
            }
            _ => Err(bad()),
        }
    }
}

/// What a device says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A key (from 0) and the record's value.
    Key(u16, i32),
    Report,
    Dropped,
    /// A record that no input device would write.
    Nonsense,
}

/// One frame of a device, with the truth about it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// When the contact moved: within the device's delay before `made`.
    pub(crate) physical: u64,
    /// When the kernel (or the sender) took note of it.
    pub(crate) made: u64,
    /// What the frame carries.
    pub(crate) stamp: u64,
    /// When it can be read.
    pub(crate) visible: u64,
    /// The sender made the stamp up: if it is believed, nothing is known about `physical`.
    pub(crate) odd: bool,
    pub(crate) says: Vec<Said>,
}

impl Frame {
    /// One that nothing delays.
    fn at_once(us: u64, says: Vec<Said>) -> Self {
        Self { physical: us, made: us, stamp: us, visible: us, odd: false, says }
    }
}

/// So many hits of a key, all of them when this frame was made.
fn hits(frame: &Frame, key: u16, count: u64) -> Vec<Frame> {
    let edge = |value| Frame { says: vec![Said::Key(key, value), Said::Report], ..frame.clone() };
    (0..count).flat_map(|_| [edge(1), edge(0)]).collect()
}

/// How a device goes, unless it stays to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Unplugged,
    Closed,
    /// Closed inside of a record.
    Cut,
    /// The server has the reader let go of it.
    LetGo,
}

/// How long before its stamp a press was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delay {
    /// The interval that the program is told.
    pub(crate) us: [u64; 2],
    /// What it is told of the width, the scan and the polls.
    pub(crate) width_us: Option<u64>,
    pub(crate) scan_us: Option<u64>,
    pub(crate) poll_us: Option<u64>,
    /// Devices of one model have one true interval, which the program is not told.
    pub(crate) model: Option<u64>,
}

impl Delay {
    pub(crate) fn own_order_if(is: bool) -> Self {
        Self { scan_us: is.then_some(0), ..Self::default() }
    }

    /// A true delay.
    fn draw(&self, dice: &mut Dice) -> u64 {
        let [min, max] = self.us;
        let width = self.width_us.unwrap_or(max - min);
        let free = max - min - width;
        let base = min + self.model.map_or(0, |model| free * (model % 4) / 3);
        base + dice.below(width + 1)
    }
}

/// What a device of the table has.
fn delay(stamps: Stamps, dice: &mut Dice) -> Delay {
    let plain = Delay::own_order_if(stamps != Stamps::Kernel);
    let us = dice.pick(&[[0, 0], [0, 0], [0, 1000], [3000, 4000], [0, 9000], [5000, 9000], [9000, 18_000]]);
    if stamps != Stamps::Kernel || dice.one_in(2) {
        return Delay { us, ..plain };
    }
    // A model that nobody has measured, or one whose scan is known too.
    let (width_us, model) = (Some(5000), Some(dice.below(4)));
    let scan_us = dice.one_in(2).then_some(2000);
    Delay { us: [0, 18_000], width_us, scan_us, poll_us: Some(3000), model }
}

/// A device from its opening to its end.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) slot: u64,
    pub(crate) stamps: Stamps,
    pub(crate) pool: &'static str,
    pub(crate) delay: Delay,
    pub(crate) debounce_us: u64,
    /// The number of its first key; the others follow.
    pub(crate) first_buzzer: u16,
    pub(crate) keys: u16,
    pub(crate) since: u64,
    /// When the reader is given it.
    pub(crate) handed: u64,
    /// The keys that the kernel knows to be down at `since`, a bit each.
    pub(crate) held: u16,
    pub(crate) frames: Vec<Frame>,
    pub(crate) end: Option<(u64, End)>,
    /// Records that the kernel keeps for a reader (`evdev_compute_buffer_size`, less one).
    pub(crate) queue_max: usize,
}

/// A world as it will be.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) settle_us: u64,
    pub(crate) ring_events: usize,
    pub(crate) reads_max: usize,
    pub(crate) lives: Vec<Life>,
    /// Commands and timers, each with when it is posted.
    pub(crate) commands: Vec<(u64, Command)>,
    /// Every thread wakes in one µs, but for the reader after these times: it stalls for so long, once each.
    pub(crate) exact: Option<Vec<(u64, u64)>>,
}

/// An edge of a key, or a repeat: when, which, value.
type Edge = (u64, u16, i32);

pub(crate) fn write(world: World) -> Script {
    let mut dice = Dice::new(world.seed, [1, 0, 0]);
    let settle_us = dice.pick(&[0, 1, 100, 500, 2000, 2000, 2000, 5000, 20_000]);
    let slow = world.has(fault::SLOW_SERVER);
    let ring_events = if slow { dice.pick(&[1, 2, 5, 16, 64]) } else { dice.pick(&[16, 256, 4096]) };
    let reads_max = dice.pick(&[1, 2, 64, 64]);
    let races = races(world, &mut dice);
    let lives = (0..world.devices).flat_map(|slot| lives(world, slot, settle_us, &races)).collect();
    let commands = commands(world, &races);
    Script { settle_us, ring_events, reads_max, lives, commands, exact: None }
}

/// What the host asks for, around the races; often the very µs of a press.
fn commands(world: World, races: &[u64]) -> Vec<(u64, Command)> {
    let mut dice = Dice::new(world.seed, [8, 0, 0]);
    let mut commands = Vec::new();
    for (id, race) in (0..).zip(races) {
        let asked = race + dice.pick(&[0, 1, 100, 2000, 50_000]);
        let (posted, is_timer) = (asked + dice.pick(&[0, 3, 40, 9000]), dice.one_in(2));
        let at = KernelTime::from_us(asked + if is_timer { dice.pick(&[0, 500, 30_000]) } else { 0 });
        commands.push((posted, Command { id, at, is_timer }));
    }
    commands
}

/// When the races begin.
fn races(world: World, dice: &mut Dice) -> Vec<u64> {
    let mut at = START + 30_000;
    let mut races = Vec::new();
    for _ in 0..world.races {
        races.push(at);
        at += match dice.below(10) {
            0..2 => dice.between(1000, 8000),
            2..9 => dice.between(20_000, 120_000),
            _ => dice.between(200_000, 900_000),
        };
    }
    races
}

/// The same place on the table, from one plug to the next.
fn lives(world: World, slot: u64, settle_us: u64, races: &[u64]) -> Vec<Life> {
    let mut dice = Dice::new(world.seed, [2, slot, 0]);
    let stamps =
        dice.pick(&[Stamps::Kernel, Stamps::Kernel, Stamps::Kernel, Stamps::Sender, Stamps::Receipt]);
    let floods = world.has(fault::FLOOD);
    // What a socket holds waits there; the kernel would drop most of a flood.
    let stamps = if floods && !slot.is_multiple_of(4) { Stamps::Sender } else { stamps };
    let keys = dice.between(1, KEYS_MAX.into()) as u16;
    // Some share their numbers with the device before: two witnesses of one buzzer.
    let number = if dice.one_in(6) { slot / 2 * 2 } else { slot };
    let mut life = Life {
        slot,
        stamps,
        pool: dice.pick(&["desk", "desk", "desk", "hall", "hall", "spare"]),
        delay: delay(stamps, &mut dice),
        debounce_us: if floods { 0 } else { dice.pick(&[0, 5000, 15_000]) },
        first_buzzer: 1 + number as u16 * KEYS_MAX,
        keys,
        since: START,
        handed: START,
        held: 0,
        frames: Vec::new(),
        end: None,
        queue_max: dice.pick(&[63, 63, 63, 127, 15]),
    };
    let edges = edges(world, slot, &life, races);
    let mut lives = Vec::new();
    let mut from = START;
    let last = races.last().map_or(START, |last| last + 400_000);
    loop {
        life.since = from;
        life.handed = from + dice.pick(&[0, 5, 50, 3000]);
        if world.has(fault::AHEAD) && dice.one_in(2) {
            life.handed = from + 3000;
        }
        let ends = world.has(fault::UNPLUG) || world.has(fault::LET_GO);
        let until = if ends && dice.one_in(3) && from < last {
            dice.between(from + 20_000, last + 20_000)
        } else {
            u64::MAX
        };
        let end = match (stamps, dice.below(3)) {
            (_, n) if world.has(fault::LET_GO) && (n > 0 || !world.has(fault::UNPLUG)) => End::LetGo,
            (Stamps::Kernel, _) => End::Unplugged,
            (_, 0) => End::Cut,
            _ => End::Closed,
        };
        life.end = (until != u64::MAX).then_some((until, end));
        let cut = dice.next();
        live(world, &mut life, settle_us, &edges, until, cut);
        lives.push(life.clone());
        if until > last {
            return lives;
        }
        from = until + dice.pick(&[200, 5000, 60_000]);
    }
}

/// What the fingers do at one place, by time; each edge changes its key.
fn edges(world: World, slot: u64, life: &Life, races: &[u64]) -> Vec<Edge> {
    let mut wild: Vec<Edge> = Vec::new();
    for (race, begin) in races.iter().enumerate() {
        let mut dice = Dice::new(world.seed, [3, slot, race as u64]);
        if dice.one_in(3) {
            continue;
        }
        // Often the very same µs as others, or nearly.
        let offset = if dice.one_in(2) { dice.pick(&[0, 0, 0, 1, 2, 5, 100, 101]) } else { dice.below(9000) };
        let at = begin + offset;
        let fingers = if dice.one_in(4) { dice.between(1, life.keys.into()) } else { 1 };
        for _ in 0..fingers {
            let key = dice.below(life.keys.into()) as u16;
            let hold = match dice.below(20) {
                0 => dice.between(300_000, 700_000),
                1..4 => dice.between(1, 3000),
                _ => dice.between(15_000, 90_000),
            };
            wild.extend([(at, key, 1), (at + hold, key, 0)]);
            if world.has(fault::BOUNCE) && dice.one_in(4) {
                let mut bounce = at;
                for value in [0, 1, 0, 1].into_iter().take(dice.pick(&[2, 4])) {
                    bounce += dice.between(20, 2500);
                    wild.push((bounce, key, value));
                }
                wild.extend([(at + hold + 300, key, 1), (at + hold + 900, key, 0)]);
            }
            if world.has(fault::REPEAT) && life.stamps != Stamps::Receipt {
                let repeats = (0..).map(|n| at + 250_000 + 33_000 * n).take_while(|us| *us < at + hold);
                wild.extend(repeats.map(|us| (us, key, 2)));
            }
            if world.has(fault::STORM) && dice.one_in(40) {
                let mut us = at;
                for n in 0..dice.between(30, 150) {
                    us += dice.between(5, 120);
                    wild.push((us, key, (n % 2) as i32));
                }
            }
        }
    }
    if world.has(fault::FLOOD) {
        let mut dice = Dice::new(world.seed, [4, slot, 0]);
        let mut us = START + 40_000;
        for _ in 0..48_000 / world.devices {
            us += dice.between(2, 60);
            let key = dice.below(life.keys.into()) as u16;
            wild.extend([(us, key, 1), (us + 1, key, 0)]);
        }
    }
    wild.sort_by_key(|(us, key, value)| (*us, *key, *value != 0));
    let mut down = 0u16;
    wild.retain(|(_, key, value)| {
        let is_down = down >> key & 1 == 1;
        let moves = match value {
            2 => is_down,
            value => is_down != (*value == 1),
        };
        if moves && *value != 2 {
            down ^= 1 << key;
        }
        moves
    });
    wild
}

/// Fills in the frames of a life that ends at `until`.
fn live(world: World, life: &mut Life, settle_us: u64, edges: &[Edge], until: u64, cut: u64) {
    let mut dice = Dice::new(cut, [5, life.slot, life.since]);
    life.frames.clear();
    let before = edges.iter().filter(|(us, _, value)| *us < life.since && *value != 2);
    let mut fingers = before.fold(0u16, |down, (_, key, _)| down ^ 1 << key);
    let is_kernel = life.stamps == Stamps::Kernel;
    // Whether the kernel knows of a key that is down depends on whether somebody else had the device open before.
    let knows = world.has(fault::HELD) && dice.one_in(2);
    life.held = if is_kernel && knows { fingers } else { 0 };
    let mut known = life.held;
    let mut foreign = None;
    let mut last = (life.since, life.since); // Stamp and visibility of the frame before.
    if world.has(fault::AHEAD) && !is_kernel {
        for us in 1..dice.between(1, 120) {
            let made = life.since + us;
            let frame = Frame { physical: made - life.delay.us[0], ..Frame::at_once(made, vec![]) };
            life.frames.extend(hits(&frame, 0, 1));
            last = (frame.stamp, frame.visible);
        }
    }
    let mut reports = edges.iter().filter(|(us, ..)| (life.since + 1..until).contains(us)).peekable();
    while let Some((us, key, value)) = reports.next() {
        let mut says = Vec::new();
        if *value == 2 {
            if known >> key & 1 == 0 {
                continue;
            }
            says.push(Said::Key(*key, 2));
        } else {
            fingers ^= 1 << key;
            while reports.peek().is_some_and(|(next, _, value)| next == us && *value != 2) {
                fingers ^= 1 << reports.next().map_or(0, |(_, key, _)| *key);
            }
            // A report has the state of all keys: one held since before the kernel knew shows up with the first.
            let moved = known ^ fingers;
            says.extend((0..life.keys).filter(|key| moved >> key & 1 == 1).map(|key| {
                let down = fingers >> key & 1 == 1;
                Said::Key(key, i32::from(down))
            }));
            known = fingers;
        }
        let delay = match dice.below(40) {
            0..28 => dice.below(20),
            28..37 => dice.below(settle_us + 1),
            37 => settle_us,
            _ if world.has(fault::SHOWN_LATE) => settle_us + dice.between(1, 9000),
            _ => 0,
        };
        let mut frame = Frame { physical: 0, made: *us, stamp: *us, visible: us + delay, odd: false, says };
        if is_kernel {
            // The device's lock is held from stamp to visibility, so its next report is stamped after that.
            frame.made = last.1.max(*us);
            frame.visible = frame.made + delay;
            if foreign.is_none() && world.has(fault::FOREIGN_CLOCK) && dice.one_in(25) {
                // Another program set its clock since the last frame, or before this life.
                foreign =
                    Some(dice.between(last.1.saturating_sub(u64::from(life.frames.is_empty())), frame.made));
            }
            frame.stamp = foreign.take().unwrap_or(frame.made);
        } else {
            frame.visible = frame.visible.max(last.1);
            if world.has(fault::ODD_STAMP) && dice.one_in(20) {
                // Such a stamp says nothing; what is known is when it was written.
                (frame.made, frame.odd) = (frame.visible, true);
                frame.stamp = match dice.below(3) {
                    0 => frame.visible + dice.between(200_000, 900_000),
                    1 => last.0,
                    _ => last.0.saturating_sub(dice.between(1, 90_000)),
                };
            }
        }
        if frame.visible >= until {
            break;
        }
        frame.physical = frame.made - life.delay.draw(&mut dice);
        last = (frame.stamp, frame.visible);
        // The kernel cuts a report after 8 values (`input_event_dispose`), each key with its scan code.
        let cut = if world.has(fault::SPLIT) && is_kernel { dice.pick(&[1, 2, 4]) } else { frame.says.len() };
        let mut parts = frame.says.chunks(cut.max(1)).map(<[Said]>::to_vec).collect::<Vec<_>>();
        for says in &mut parts {
            says.push(Said::Report);
        }
        life.frames.extend(parts.into_iter().map(|says| Frame { says, ..frame.clone() }));
        if life.stamps == Stamps::Sender && !frame.odd {
            if world.has(fault::IDLE) && dice.one_in(40) {
                let idle = Frame { says: vec![Said::Report], ..frame.clone() };
                life.frames.extend(std::iter::repeat_n(idle, dice.between(100, 3000) as usize));
            }
            if world.has(fault::STILL) && dice.one_in(40) {
                let up = (0..life.keys).find(|key| known >> key & 1 == 0);
                life.frames.extend(up.into_iter().flat_map(|key| hits(&frame, key, dice.between(1, 400))));
            }
        }
        if !is_kernel && world.has(fault::GARBAGE) {
            let says = match dice.below(60) {
                0 => vec![Said::Nonsense],
                1 => {
                    known = 0; // It starts over with all keys up.
                    vec![Said::Dropped, Said::Report]
                }
                _ => continue,
            };
            life.frames.push(Frame { says, ..frame });
        }
    }
}
