//! How many presses a second arrive, every one of them.
//!
//! In: a server with its clients. Out: presses per second.
//! Guarantees: at most `UNDER_WAY` presses are on their way to the slowest client, so that the rate finds its own
//! level and a frame that is missing is the server's loss, not that of a client that was flooded.

use std::io;

use crate::clock;
use crate::load::Load;
use crate::presser::Presser;

/// Enough that a server which gathers frames can; at 46 bytes each little enough for the smallest socket buffer.
const UNDER_WAY: u64 = 256;

/// No answer for so long: what is under way is lost.
const PATIENCE: u64 = 5 * clock::SECOND;

/// Presses for `span` nanoseconds and waits for the last frame, which counts into the time.
pub(crate) fn rate(load: &mut Load, presser: &mut Presser, span: u64) -> io::Result<f64> {
    let begin = clock::now();
    let first = load.tally.pressed();
    let mut now = begin;
    while now < begin + span {
        let free = load.tally.complete() + UNDER_WAY - load.tally.pressed();
        // Half a window at a time: a write for every single frame that came would measure the presser.
        if free >= UNDER_WAY / 2 {
            let start = load.tally.pressed();
            for _ in 0..free {
                load.tally.press();
            }
            presser.tap(start..start + free)?;
        }
        let half = load.tally.pressed() - UNDER_WAY / 2;
        if !load.take_until(half, PATIENCE)? {
            break;
        }
        now = clock::now();
    }
    let last = load.tally.pressed();
    if !load.take_until(last, PATIENCE)? {
        load.tally.give_up(clock::now());
    }
    let wall = clock::now() - begin;
    Ok((last - first) as f64 * clock::SECOND as f64 / wall as f64)
}
