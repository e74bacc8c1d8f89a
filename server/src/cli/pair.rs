//! `buzzerd devices --measure-pair`. In: two buzzers by pool and number, and a hand that closes both with one switch. Out: a
//! page or one JSON object ([`page`]). Guarantee: the devices are taken for that time and given back; one that a game uses
//! is left alone; what was pressed until the end, by number, by signal or by an unplugged device, is told.

mod page;
mod reasons;
mod seat;

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use buzzer_core::device::assign::Found;
use buzzer_core::device::claim::{Claims, SlotId};
use buzzer_core::device::pair::{Presses, Side};
use buzzer_core::event::Buzzer;
use buzzer_core::io::devices::evdev_node;
use buzzer_core::io::devices::pair::{Seen, Watched, watch};
use buzzer_core::press::keys::KeyMap;
use buzzer_core::time::Micros;
use buzzer_server::config::Config;
use buzzer_server::counted::counted;
use buzzer_server::io::machine::hardware::{self, INPUT_DIR, SYSFS_ROOT};
use buzzer_server::io::machine::signals;

use self::page::Measured;
use self::seat::Seat;
use super::device::Device;
use super::identify::find;
use super::lines::Lines;
use super::stdout::print_as;
use super::{Failure, measure, number, stderr};

/// How often, unless told otherwise: what is rarer than 1 in 300 is not seen.
pub(super) const TIMES: usize = 300;
/// A line that cannot be written over is said once in so many pairs.
const SAID_EVERY: usize = 25;

/// Measures.
pub(super) fn run(
    config: &Config,
    devices: &[Device],
    names: &[String],
    times: usize,
    is_json: bool,
) -> Result<(), Failure> {
    let [a, b] = parse(names).map_err(Failure::Usage)?;
    if a == b {
        return Err(Failure::Usage(anyhow!("--measure-pair: A and B are one and the same buzzer: name two")));
    }
    let seats = [seat(config, a)?, seat(config, b)?];
    let mut watched = open(config, &seats)?;
    let mut signals = signals::ending().context("a signal handler")?;
    page::call(&seats, times).iter().for_each(|line| stderr::say(format_args!("{line}")));
    let mut measured = Measured::default();
    let mut progress = Progress::new(times);
    let ended = watch(&mut watched, &mut signals, |seen| {
        match seen {
            Seen::Bounce => measured.bounces += 1,
            Seen::Untimed => measured.untimed += 1,
            Seen::Press(buzzer, at) => {
                let side = if buzzer == side_of(Side::A) { Side::A } else { Side::B };
                if !measured.presses.push(side, at) {
                    return ControlFlow::Break(());
                }
                if progress.take(&measured.presses) >= times {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    });
    progress.finish();
    drop(watched);
    let mut lines = Lines::new(config, devices);
    let (text, outcome) = if is_json {
        page::json(&seats, &measured, times)
    } else {
        page::text(&seats, &measured, |seat, line| {
            let row = devices.iter().map(|device| &device.row);
            let mut own = row.filter(|row| row.identity.is_same_instance(&seat.found.identity));
            own.next().map_or_else(String::new, |row| lines.setting(row, seat.entry.as_deref(), line))
        })
    };
    print_as(is_json, &text)?;
    if let Err(error) = ended {
        let nodes = seats.iter().map(|seat| seat.found.identity.node.as_str()).collect::<Vec<_>>();
        return Err(measure::ended(&Path::new(INPUT_DIR).join(nodes.join(" or ")), &error).into());
    }
    // The page says why; a program sees it by the exit code.
    outcome.map(drop).map_err(|_| Failure::Told)
}

/// `POOL A B`, or `POOL:A POOL:B`. An id may have colons itself; behind the last one is the number.
fn parse(names: &[String]) -> Result<[(&str, u16); 2]> {
    match names {
        [pool, a, b] => Ok([(pool, buzzer(a)?), (pool, buzzer(b)?)]),
        [a, b] => Ok([named(a)?, named(b)?]),
        _ => Err(anyhow!("--measure-pair: write POOL A B, or POOL:A POOL:B")),
    }
}

fn named(text: &str) -> Result<(&str, u16)> {
    let (pool, number) = text.rsplit_once(':').with_context(|| {
        format!("--measure-pair: {text:?} is no POOL:BUZZER: write POOL A B, or POOL:A POOL:B")
    })?;
    Ok((pool, buzzer(number)?))
}

fn buzzer(text: &str) -> Result<u16> {
    number::whole::<u16>(0..=65535)(text)
        .map_err(|why| anyhow!("--measure-pair: {text:?} is no buzzer: {why}"))
}

/// What is known of a buzzer.
fn seat(config: &Config, (pool, buzzer): (&str, u16)) -> Result<Seat> {
    let (slot, found) = find(config, Path::new(SYSFS_ROOT), pool, buzzer)?;
    Ok(Seat {
        name: format!("{pool} {buzzer}"),
        pool: pool.to_owned(),
        buzzer,
        entry: entry(config, slot),
        found,
    })
}

/// What the configuration calls the entry of a slot.
fn entry(config: &Config, slot: SlotId) -> Option<String> {
    match hardware::claims(config) {
        Claims::Listed(claims) => Some(claims.into_iter().nth(slot.get() as usize)?.entry),
        Claims::Known { .. } => None,
    }
}

/// A buzzer of the watched devices stands for a side.
const fn side_of(side: Side) -> Buzzer {
    Buzzer(side as u16)
}

/// Takes the device or the two.
fn open(config: &Config, seats: &[Seat; 2]) -> Result<Vec<Watched>> {
    let keys = |seat: &Seat, side| {
        let own = seat.found.keys.pairs().filter(|(_, buzzer)| buzzer.0 == seat.buzzer);
        own.map(|(key, _)| (key, side_of(side))).collect::<Vec<_>>()
    };
    let take = |seat: &Seat, keys: Vec<_>| -> Result<Watched> {
        let Found { identity, .. } = &seat.found;
        let keys = KeyMap::new(keys);
        let open =
            || evdev_node::open(Path::new(INPUT_DIR), Path::new(SYSFS_ROOT), identity, Some(&keys), true);
        let node = measure::take(identity, open)?;
        Ok(Watched::new(node, keys.clone(), debounce_us(config, &seat.pool)))
    };
    let [a, b] = seats;
    let (keys_a, keys_b) = (keys(a, Side::A), keys(b, Side::B));
    if seat::is_one_device(seats) {
        return Ok(vec![take(a, keys_a.into_iter().chain(keys_b).collect())?]);
    }
    Ok(vec![take(a, keys_a)?, take(b, keys_b)?])
}

fn debounce_us(config: &Config, pool: &str) -> Micros {
    let own = config.pools.iter().find(|spec| spec.id.as_str() == pool);
    own.map_or(config.order.debounce_us, |spec| spec.debounce_us)
}

/// How far it is, on stderr.
struct Progress {
    times: usize,
    /// Pairs when it spoke last.
    said: usize,
    is_turned: bool,
    overwrites: bool,
}

impl Progress {
    fn new(times: usize) -> Self {
        Self { times, said: 0, is_turned: false, overwrites: stderr::may_overwrite() }
    }

    /// There was one more press; gives the number of pairs.
    fn take(&mut self, presses: &Presses) -> usize {
        let pairing = presses.pairing();
        let count = pairing.count();
        let text = page::progress(&pairing, self.times);
        if self.overwrites {
            stderr::print(format!("\r\x1b[K{text} ..."));
        } else if count >= self.said + SAID_EVERY {
            stderr::say(format_args!("{text} ..."));
            self.said = count;
        }
        if !self.is_turned && count * 2 >= self.times && count < self.times {
            self.is_turned = true;
            self.finish();
            let half = counted(count as u64, "pair");
            stderr::say(format_args!(
                "{half}: turn the plank round now, and go on (a switch stays as it is)"
            ));
        }
        count
    }

    /// What follows begins on a line of its own.
    fn finish(&self) {
        if self.overwrites {
            stderr::print("\r\x1b[K".to_owned());
        }
        stderr::flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_buzzers_are_named_by_one_pool_or_by_each_its_own() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (text, want) in [
            ("stage 1 2", Ok([("stage", 1), ("stage", 2)])),
            ("stage:1 desk:65535", Ok([("stage", 1), ("desk", 65_535)])),
            ("a:b:1 a:b:2", Ok([("a:b", 1), ("a:b", 2)])),
            ("a:b 1 2", Ok([("a:b", 1), ("a:b", 2)])),
            ("stage 1", Err("\"stage\" is no POOL:BUZZER: write POOL A B, or POOL:A POOL:B")),
            ("stage one 2", Err("\"one\" is no buzzer: expected a whole number from 0 to 65535")),
            ("stage:1 desk:", Err("\"\" is no buzzer")),
            ("stage 1 65536", Err("\"65536\" is no buzzer")),
        ] {
            match (parse(&names(text)), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
    }

    #[test]
    fn the_entry_of_a_slot_is_named_as_the_configuration_has_it() {
        const CONFIG: &str = r#"
[[pool]]
id = "table"
socket = "/run/table"
[[pool]]
id = "stage"
match.name = "c"
[[pool]]
id = "desk"
device = [{ match.name = "a", buzzers.1 = 28 }, { match.name = "b", buzzers.2 = 28 }]
"#;
        let config = Config::parse(CONFIG, "test.toml").unwrap();
        let entries = [0, 1, 2, 3].map(|slot| entry(&config, SlotId::new(slot)));
        let want =
            [Some("pool \"stage\""), Some("pool \"desk\", device 1"), Some("pool \"desk\", device 2"), None];
        assert_eq!(entries.each_ref().map(Option::as_deref), want);
        assert_eq!(entry(&Config::defaults("/tmp".into()), SlotId::new(0)), None);
    }
}
