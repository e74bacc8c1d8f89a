//! Eight contestants at once: how long until the host has all eight?
//!
//! In: a server with its clients. Out: nanoseconds, one per burst.
//! Guarantees: the eight presses go in with one write. The host is the first client, which connected the pool; its
//! socket is looked at between those of the others, as it would be on a machine of its own, so that the measure is
//! the server's choice of whom to serve first and not this program's.

use std::io;

use crate::clock::{self, MS, SECOND};
use crate::load::Load;
use crate::presser::Presser;
use crate::stats::Random;

const AT_ONCE: u64 = 8;
const PATIENCE: u64 = 5 * SECOND;

pub(crate) fn run(
    load: &mut Load,
    presser: &mut Presser,
    random: &mut Random,
    times: u64,
) -> io::Result<Vec<u64>> {
    load.host_between = true;
    let mut all = Vec::new();
    for _ in 0..times {
        clock::sleep(2 * MS + random.below(MS));
        let first = load.tally.pressed();
        for _ in 0..AT_ONCE {
            load.tally.press();
        }
        let begin = clock::now();
        presser.tap(first..first + AT_ONCE)?;
        if load.take_until(first + AT_ONCE, PATIENCE)? {
            all.push(load.tally.arrival(first + AT_ONCE - 1).host - begin);
        } else {
            load.tally.give_up(clock::now());
        }
    }
    load.host_between = false;
    Ok(all)
}
