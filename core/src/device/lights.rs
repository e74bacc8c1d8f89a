//! The lights of one device: a bank. In: what somebody wants of a light, and the time. Out: the [`Write`]s that are
//! due. Guarantee: nothing is due while no light blinks and the bank is not kept awake; a thread that was late writes
//! each light once, not once for every blink it missed.
//!
//! A write is a USB control transfer, so the devices thread carries it out. hid-sony sends the whole
//! bank for each light that changes, and nothing for one that does not (`hid-sony.c:sony_led_set_brightness`): to keep
//! a wireless receiver's handsets awake there is [`Write::Bank`], which must reach the device though nothing changed.

use std::collections::{BTreeMap, VecDeque};

use crate::time::{KernelTime, Micros};

/// Wireless handsets fall asleep unless the host talks to them. Console games write the lights about every 2 s, and
/// after 6 s without a write handsets were seen to be gone.
pub const KEEP_AWAKE: Micros = Micros::from_ms(2000);
/// A node appears while its driver's probe still runs (`hid-core.c:hid_connect`: input first, hidraw last, and
/// hid-sony adds its lights behind that): by then it is over.
pub const PROBED: Micros = Micros::from_ms(250);
/// A shorter flash is no flash: two writes closer together may become one in the kernel's queue of light writes
/// (`led-core.c:led_set_brightness_nopm`), and radio takes its time.
pub const FLASH_MIN: Micros = Micros::from_ms(20);

/// What somebody wants of a light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Light {
    /// On, until something else is wanted.
    Set,
    /// Off, until something else is wanted.
    Clear,
    /// On and off so many times, then as it was before. Spans below [`FLASH_MIN`] are lengthened to it; zero times
    /// is not at all.
    Blink {
        /// How long it is on.
        on_us: Micros,
        /// How long it is off.
        off_us: Micros,
        /// How many times it goes on.
        times: u32,
    },
}

/// What is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// This light, on or off.
    Light {
        /// Its number on the device.
        light: u16,
        /// Whether it is to be on.
        on: bool,
    },
    /// The whole bank, as it is.
    Bank,
}

/// The state of a bank.
#[derive(Debug, Default)]
pub struct Bank {
    lights: BTreeMap<u16, Lamp>,
    /// When the next [`Write::Bank`] is due.
    keep_awake: Option<KernelTime>,
    writes: VecDeque<Write>,
}

#[derive(Debug)]
struct Lamp {
    /// What it is when it does not blink.
    steady: bool,
    blink: Option<Blink>,
}

#[derive(Debug)]
struct Blink {
    on: bool,
    /// How often it goes on after this.
    left: u32,
    on_us: Micros,
    off_us: Micros,
    due: KernelTime,
}

impl Bank {
    /// Somebody saw that this light is on or off; what it goes back to after a blink, unless that is known already.
    pub fn handle_seen(&mut self, light: u16, on: bool) {
        self.lights.entry(light).or_insert(Lamp { steady: on, blink: None });
    }

    /// Somebody wants something of a light. It is written in any case: another program may have changed it.
    pub fn handle_light(&mut self, light: u16, request: Light, now: KernelTime) {
        let lamp = self.lights.entry(light).or_insert(Lamp { steady: false, blink: None });
        let on = match request {
            Light::Set | Light::Clear => {
                lamp.blink = None;
                lamp.steady = request == Light::Set;
                lamp.steady
            }
            Light::Blink { times: 0, .. } => {
                lamp.blink = None;
                lamp.steady
            }
            Light::Blink { on_us, off_us, times } => {
                let (on_us, off_us) = (on_us.max(FLASH_MIN), off_us.max(FLASH_MIN));
                lamp.blink = Some(Blink { on: true, left: times - 1, on_us, off_us, due: now + on_us });
                true
            }
        };
        self.writes.push_back(Write::Light { light, on });
    }

    /// From now on the bank is written every [`KEEP_AWAKE`], first after [`PROBED`].
    pub fn keep_awake(&mut self, now: KernelTime) {
        self.keep_awake = Some(now + PROBED);
    }

    /// Nobody needs the handsets awake any more.
    pub fn let_sleep(&mut self) {
        self.keep_awake = None;
    }

    /// The blinking ends: what blinks goes back to what it was. What was set stays set.
    pub fn handle_stop(&mut self) {
        self.keep_awake = None;
        for (light, lamp) in &mut self.lights {
            if lamp.blink.take().is_some() {
                self.writes.push_back(Write::Light { light: *light, on: lamp.steady });
            }
        }
    }

    /// The time is `now`.
    pub fn handle_timeout(&mut self, now: KernelTime) {
        for (light, lamp) in &mut self.lights {
            let Some(blink) = lamp.blink.as_mut().filter(|blink| blink.due <= now) else { continue };
            let on = if blink.on {
                (blink.on, blink.due) = (false, now + blink.off_us);
                // Its last flash is over; the dark before what was there is not waited for.
                if blink.left == 0 {
                    lamp.blink = None;
                    lamp.steady
                } else {
                    false
                }
            } else {
                (blink.on, blink.due, blink.left) = (true, now + blink.on_us, blink.left - 1);
                true
            };
            self.writes.push_back(Write::Light { light: *light, on });
        }
        if self.keep_awake.is_some_and(|due| due <= now) {
            self.keep_awake = Some(now + KEEP_AWAKE);
            self.writes.push_back(Write::Bank);
        }
    }

    /// What is to be written next.
    pub fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    /// When to call [`Self::handle_timeout`]; `None`: not before something is wanted.
    pub fn poll_timeout(&self) -> Option<KernelTime> {
        let blinks = self.lights.values().filter_map(|lamp| lamp.blink.as_ref().map(|blink| blink.due));
        blinks.chain(self.keep_awake).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bank whose clock only the test moves.
    #[derive(Default)]
    struct World {
        bank: Bank,
        now: KernelTime,
    }

    impl World {
        fn want(&mut self, light: u16, request: Light) -> String {
            self.bank.handle_light(light, request, self.now);
            self.pump()
        }

        /// What is due, as `1+ 2- bank`.
        fn pump(&mut self) -> String {
            self.bank.handle_timeout(self.now);
            let writes = std::iter::from_fn(|| self.bank.poll_write()).map(|write| match write {
                Write::Light { light, on } => format!("{light}{}", if on { '+' } else { '-' }),
                Write::Bank => "bank".to_owned(),
            });
            writes.collect::<Vec<_>>().join(" ")
        }

        /// Sleeps as long as the bank says, at most `limit` times: the date in ms and what was written then.
        fn play(&mut self, limit: usize) -> Vec<(u64, String)> {
            let mut played = Vec::new();
            while let Some(due) = self.bank.poll_timeout().filter(|_| played.len() < limit) {
                self.now = due;
                played.push((due.as_us() / 1000, self.pump()));
            }
            played
        }
    }

    fn blink(on_ms: u64, off_ms: u64, times: u32) -> Light {
        Light::Blink { on_us: Micros::from_ms(on_ms), off_us: Micros::from_ms(off_ms), times }
    }

    fn log(entries: &[(u64, &str)]) -> Vec<(u64, String)> {
        entries.iter().map(|(at, writes)| (*at, (*writes).to_owned())).collect()
    }

    #[test]
    fn wishes_are_written_and_nothing_is_due_after() {
        let mut world = World::default();
        for (request, want) in [
            (Light::Set, "2+"),
            (Light::Set, "2+"),
            (Light::Clear, "2-"),
            (blink(100, 100, 0), "2-"),
            (blink(100, 100, 3), "2+"),
            (Light::Clear, "2-"),
        ] {
            assert_eq!(world.want(2, request), want, "{request:?}");
        }
        assert_eq!(world.bank.poll_timeout(), None);
        assert_eq!(world.pump(), "");
    }

    #[test]
    fn a_blink_ends_as_it_began() {
        for (seen, set, end) in [(false, false, "1-"), (false, true, "1+"), (true, false, "1+")] {
            let mut world = World::default();
            world.bank.handle_seen(1, seen);
            if set {
                world.want(1, Light::Set);
            }
            assert_eq!(world.want(1, blink(100, 50, 2)), "1+");
            assert_eq!(world.play(9), log(&[(100, "1-"), (150, "1+"), (250, end)]), "{seen} {set}");
        }
    }

    #[test]
    fn what_was_seen_first_is_not_seen_again() {
        let mut world = World::default();
        world.want(1, Light::Clear);
        world.bank.handle_seen(1, true);
        world.want(1, blink(100, 100, 1));
        assert_eq!(world.play(9), log(&[(100, "1-")]));
    }

    #[test]
    fn lights_blink_for_themselves() {
        let mut world = World::default();
        world.want(1, blink(100, 100, 2));
        world.now = KernelTime::from_us(50_000);
        world.want(4, blink(300, 1, 1));
        assert_eq!(world.play(9), log(&[(100, "1-"), (200, "1+"), (300, "1-"), (350, "4-")]));
    }

    #[test]
    fn flashes_have_a_shortest_length() {
        let mut world = World::default();
        world.want(1, blink(0, 0, 2));
        assert_eq!(world.play(9), log(&[(20, "1-"), (40, "1+"), (60, "1-")]));
    }

    #[test]
    fn being_late_makes_no_burst() {
        let mut world = World::default();
        world.want(1, blink(100, 100, 9));
        world.bank.keep_awake(world.now);
        assert_eq!(world.play(1), log(&[(100, "1-")]));
        world.now = KernelTime::from_us(60_000_000);
        assert_eq!(world.pump(), "1+ bank");
        assert_eq!(world.play(1), log(&[(60_100, "1-")]));
    }

    #[test]
    fn a_bank_is_kept_awake_until_it_may_sleep() {
        let mut world = World::default();
        assert_eq!(world.bank.poll_timeout(), None);
        world.bank.keep_awake(world.now);
        assert_eq!(world.play(3), log(&[(250, "bank"), (2250, "bank"), (4250, "bank")]));
        world.want(3, Light::Set);
        assert_eq!(world.play(1), log(&[(6250, "bank")]), "whatever is wanted");
        world.bank.let_sleep();
        assert_eq!(world.bank.poll_timeout(), None);
    }

    #[test]
    fn the_end_puts_back_what_blinked() {
        let mut world = World::default();
        world.want(1, Light::Set);
        world.want(1, blink(100, 100, 5));
        world.want(2, blink(100, 100, 5));
        world.want(3, Light::Set);
        world.bank.keep_awake(world.now);
        world.pump();
        world.bank.handle_stop();
        assert_eq!((world.pump().as_str(), world.bank.poll_timeout()), ("1+ 2-", None));
    }
}
