//! Which press has reached whom.
//!
//! In: presses as they are made, frames as they arrive. Out: for each press the time of its first and its last client;
//! how many frames were lost or astray.
//! Guarantees: every frame is matched to its press by the order of that client's stream and checked by its buzzer
//! number; a frame too few, too many or out of turn is counted, never passed over.

use crate::record::{BUZZERS, buzzer_of};

/// Presses that can be under way at once.
pub(crate) const WINDOW: u64 = 1024;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    arrived: usize,
    first: u64,
    host: u64,
    last: u64,
}

/// Absolute times of one press: its first client, client number 0, its last client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) first: u64,
    pub(crate) host: u64,
    pub(crate) last: u64,
}

#[derive(Debug)]
pub(crate) struct Tally {
    /// Presses that each client has seen, or can no longer see.
    seen: Vec<u64>,
    slots: Vec<Slot>,
    pressed: u64,
    complete: u64,
    pub(crate) lost: u64,
    /// Doubled, reordered, or of no press at all.
    pub(crate) astray: u64,
}

impl Tally {
    pub(crate) fn new(clients: usize) -> Self {
        let slots = vec![Slot::default(); WINDOW as usize];
        Self { seen: vec![0; clients], slots, pressed: 0, complete: 0, lost: 0, astray: 0 }
    }

    /// The number of the press that is about to be made.
    pub(crate) fn press(&mut self) -> u64 {
        let press = self.pressed;
        assert!(press - self.complete < WINDOW, "a slot is used again before its press is complete");
        self.slots[(press % WINDOW) as usize] = Slot::default();
        self.pressed += 1;
        press
    }

    pub(crate) fn pressed(&self) -> u64 {
        self.pressed
    }

    /// Presses that every client has; all before it are complete, too.
    pub(crate) fn complete(&self) -> u64 {
        self.complete
    }

    /// Valid until `WINDOW` presses later.
    pub(crate) fn arrival(&self, press: u64) -> Arrival {
        let slot = &self.slots[(press % WINDOW) as usize];
        Arrival { first: slot.first, host: slot.host, last: slot.last }
    }

    /// `client` has got a frame that names `buzzer`.
    pub(crate) fn frame(&mut self, client: usize, buzzer: u64, now: u64) {
        let press = self.seen[client];
        let ahead = (buzzer + BUZZERS - buzzer_of(press)) % BUZZERS;
        if press + ahead >= self.pressed || ahead > BUZZERS / 2 || buzzer == 0 || buzzer > BUZZERS {
            self.astray += 1;
            return;
        }
        self.lost += ahead;
        for passed in press..=press + ahead {
            self.arrive(client, passed, now);
        }
    }

    /// Nobody waits any longer: what has not come is lost.
    pub(crate) fn give_up(&mut self, now: u64) {
        for client in 0..self.seen.len() {
            for press in self.seen[client]..self.pressed {
                self.lost += 1;
                self.arrive(client, press, now);
            }
        }
    }

    fn arrive(&mut self, client: usize, press: u64, now: u64) {
        self.seen[client] = press + 1;
        let slot = &mut self.slots[(press % WINDOW) as usize];
        if slot.arrived == 0 {
            slot.first = now;
        }
        if client == 0 {
            slot.host = now;
        }
        slot.last = now;
        slot.arrived += 1;
        while self.complete < self.pressed
            && self.slots[(self.complete % WINDOW) as usize].arrived == self.seen.len()
        {
            self.complete += 1;
        }
    }
}
