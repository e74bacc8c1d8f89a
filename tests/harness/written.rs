//! Presses whose moment is known. In: hits, each between two readings of the clock, and the records that they made. Out: the
//! first record that says what is untrue. Guarantee: judged by the clock alone, with no code of the program; a hit lies
//! somewhere between its two readings, so nothing is called untrue that may be true.

use std::collections::BTreeMap;

use buzzer_core::io::sys;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::record::{Fact, Record};
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec};

use super::attachment::Attachment;

/// A hypervisor can take a processor for a while, and nothing in the machine counts how long a thread lost by it: an attempt
/// that fails while that happened proves nothing.
const ATTEMPTS: usize = 4;

/// A hit, and when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The buzzer; no other pool has this number.
    pub buzzer: u16,
    /// Not before this.
    pub from: KernelTime,
    /// Not after that.
    pub to: KernelTime,
}

/// What was judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judged {
    /// Presses whose interval is that of their pool.
    pub usual: u64,
    /// Wider ones.
    pub wide: u64,
    /// Pairs of devices of which the order was called certain.
    pub certain: u64,
    /// Those in a photo finish.
    pub photos: u64,
    /// `reader_stall`: how often.
    pub stalls: u64,
}

/// A press as the log has it, with its hit.
struct Told<'a> {
    seq: u64,
    device: u32,
    written: Written,
    photo: BTreeMap<u64, Option<u16>>,
    photo_more: bool,
    record: &'a Record,
}

/// Hits a buzzer.
pub fn hit(attachment: &mut Attachment, buzzer: u16) -> Written {
    let from = sys::now();
    attachment.hit(buzzer);
    Written { buzzer, from, to: sys::now() }
}

/// The pace of who presses; no test waits for an effect with it.
pub fn pause(us: u64) {
    let us = (sys::now() + Micros::from_us(us)).as_us().cast_signed();
    let time = Timespec { tv_sec: us / 1_000_000, tv_nsec: us % 1_000_000 * 1000 };
    clock_nanosleep_absolute(ClockId::Monotonic, &time).expect("a time");
}

/// Numbers from a seed.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What a hypervisor has taken from all processors, in ticks of 10 ms.
fn stolen() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse().ok()).unwrap_or(0)
}

/// Has `attempt` prove something; once more if a hypervisor meddled.
///
/// # Panics
/// If it does not.
pub fn proved(mut attempt: impl FnMut() -> Result<Judged, String>) -> Judged {
    for _ in 1..ATTEMPTS {
        let before = stolen();
        match attempt() {
            Ok(judged) => {
                println!("{judged:?}");
                return judged;
            }
            Err(why) if stolen() > before => println!("a hypervisor took a processor meanwhile: {why}"),
            Err(why) => panic!("{why}"),
        }
    }
    attempt().expect("all attempts have failed")
}

/// Judges all presses of a log. `usual_us`: the pools' own interval.
///
/// # Errors
/// What is untrue.
pub fn judge(records: &[Record], written: &[Written], usual_us: [i64; 2]) -> Result<Judged, String> {
    let mut hits: BTreeMap<u16, std::vec::IntoIter<Written>> = BTreeMap::new();
    for buzzer in written.iter().map(|written| written.buzzer) {
        let own: Vec<Written> = written.iter().copied().filter(|written| written.buzzer == buzzer).collect();
        hits.entry(buzzer).or_insert_with(|| own.into_iter());
    }
    let (mut judged, mut told) = (Judged::default(), Vec::new());
    for record in records {
        match &record.fact {
            Fact::ReaderStall { times, .. } => judged.stalls += u64::from(*times),
            Fact::Press { buzzer, device, photo, photo_more, delay_us, .. } => {
                let hit = hits.get_mut(buzzer).and_then(Iterator::next);
                let written = hit.ok_or_else(|| format!("nobody hit it: {record:?}"))?;
                let made_us = delay_us.map(|us| record.at_us.cast_signed() - us);
                let [from, to] = [written.from, written.to].map(|time| time.as_us().cast_signed());
                if made_us[1] > to || made_us[0] < from {
                    return Err(format!("made between {from} and {to}, told {made_us:?}: {record:?}"));
                }
                // A few µs pass between the reader's clock and its read.
                let is_wide = delay_us[1] > usual_us[1] || delay_us[0] < usual_us[0] - 1000;
                *(if is_wide { &mut judged.wide } else { &mut judged.usual }) += 1;
                let photo = photo.iter().map(|rival| (rival.seq, rival.chance_permille)).collect();
                let (seq, device, photo_more) = (record.seq, *device, *photo_more);
                told.push(Told { seq, device, written, photo, photo_more, record });
            }
            _ => {}
        }
    }
    if let Some((buzzer, _)) = hits.iter_mut().find(|(_, left)| left.len() > 0) {
        return Err(format!("a hit of {buzzer} was not told"));
    }
    for (at, later) in told.iter().enumerate() {
        told[..at].iter().try_for_each(|first| pair(first, later, &mut judged))?;
    }
    Ok(judged)
}

fn pair(first: &Told<'_>, later: &Told<'_>, judged: &mut Judged) -> Result<(), String> {
    let (first_wins, later_wins) = match later.photo.get(&first.seq) {
        Some(Some(1000)) => (false, true),
        Some(_) => (true, true),
        None if later.photo_more && first.device != later.device => (true, true),
        None => (true, false),
    };
    *(if first_wins && later_wins { &mut judged.photos } else { &mut judged.certain }) += 1;
    let (one, other) = (first.written, later.written);
    let is_wrong = (!later_wins && other.to < one.from) || (!first_wins && one.to < other.from);
    match is_wrong {
        false => Ok(()),
        true => Err(format!("certain, and wrong: {one:?} {:?}; {other:?} {:?}", first.record, later.record)),
    }
}
