//! Evenings that never took place. In: a seed. Out: the log that the real mediator makes of random races: ties and photo
//! finishes, late presses, bounce, gaps, unplugged and held buttons, refused clients, restarts and new boots. Guarantee:
//! the same seed gives the same log, as long as one likes, and everything in it was decided by the code under test.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind, Flags, Gone};
use buzzer_core::merge::order::Command;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::game::ClientId;
use buzzer_server::game::mediator::{Announced, Mediator, Output};
use buzzer_server::game::pool::PoolSpec;
use buzzer_server::game::state::State;
use buzzer_server::log::{self, ChainHash, SegmentName};
use buzzer_server::record::{DeviceDelay, Fact};
use buzzer_server::wire::v1;

const POOLS: [&str; 3] = ["stage", "left desk", "table"];
/// A whole number of lines has so many bytes at most, like a segment of a daemon.
const SEGMENT_BYTES: usize = 8 << 20;

/// A command takes its place at once: nothing is before it.
pub fn place(mediator: &mut Mediator, Command { id, at, .. }: Command) {
    let kind = EventKind::Command { id, moved_us: 0 };
    mediator.handle_event(Event { at, device: DeviceId::NONE, more: false, kind }, || [0; 8]);
}

/// A session.
#[derive(Debug)]
pub struct Session {
    mediator: Mediator,
    now_us: u64,
    random: u64,
    /// Of the die that says what happens next; 22 of them are no race.
    sides: u64,
    boot: u64,
    /// The devices that are attached: number, stamps, buzzers.
    devices: Vec<(u32, &'static str, u16)>,
    next_device: u32,
    /// Buttons that are down.
    down: Vec<(u32, u16)>,
    head: ChainHash,
    lines: Vec<u8>,
}

impl Session {
    /// The session with this seed, three pools connected.
    pub fn new(seed: u64) -> Self {
        Self::with_sides(seed, 400)
    }

    /// A session in which something other than a race happens every second time.
    pub fn eventful(seed: u64) -> Self {
        Self::with_sides(seed, 44)
    }

    fn with_sides(seed: u64, sides: u64) -> Self {
        let mut session = Self {
            sides,
            mediator: mediator(State::default(), 1, 1, 1_000_000),
            now_us: 1_000_000,
            random: seed,
            boot: 1,
            devices: Vec::new(),
            next_device: 1,
            down: Vec::new(),
            head: ChainHash::START,
            lines: Vec::new(),
        };
        session.begin();
        session
    }

    /// Appends at least so many records to `lines`.
    pub fn play(&mut self, records: u64, lines: &mut Vec<u8>) {
        let until = self.mediator.state().seq() + records;
        self.take(lines);
        while self.mediator.state().seq() < until {
            self.now_us += self.below(400_000);
            match self.below(self.sides) {
                0 => self.restart(),
                1 => self.sit(),
                2..4 => self.replug(),
                4..8 => self.client(),
                8 => self.degraded(),
                9..22 => self.integrity(),
                _ => self.race(),
            }
            self.mediator.handle_timeout(KernelTime::from_us(self.now_us));
            self.take(lines);
        }
    }

    /// Writes a log directory of so many records, and gives its segments.
    pub fn write(mut self, dir: &Path, records: u64) -> io::Result<Vec<PathBuf>> {
        let (mut made, mut segments, mut lines) = (0, Vec::new(), Vec::new());
        while made < records {
            lines.clear();
            let first_seq = made + 1;
            while lines.len() < SEGMENT_BYTES - 64 * 1024 && made < records {
                let (before, start) = (lines.len(), made);
                self.play(100.min(records - made), &mut lines);
                // The last records of a session may be more than were asked for.
                made = self.mediator.state().seq();
                assert!(lines.len() > before && made > start);
            }
            let number = u32::try_from(segments.len() + 1).expect("few segments");
            let path = dir.join(SegmentName { number, first_seq }.to_string());
            std::fs::File::create(&path)?.write_all(&lines)?;
            segments.push(path);
        }
        Ok(segments)
    }

    fn take(&mut self, lines: &mut Vec<u8>) {
        self.flush();
        lines.append(&mut self.lines);
    }

    fn flush(&mut self) {
        while let Some(output) = self.mediator.poll_output() {
            match output {
                Output::Record(record) => log::encode(&record, &mut self.head, &mut self.lines),
                Output::Command(command) => place(&mut self.mediator, command),
                _ => {}
            }
        }
    }

    /// SplitMix64.
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64);
        from[usize::try_from(at).expect("an index")]
    }

    fn begin(&mut self) {
        for (pool, stamps, buzzers) in
            [(0, "kernel", 4), (1, "kernel", 2), (1, "kernel", 2), (2, "receipt", 3)]
        {
            self.attach(pool, stamps, buzzers);
        }
        for pool in POOLS {
            let request =
                v1::parse(format!(r#"{{"command":"connect","pool":"{pool}"}}"#)).expect("a request");
            let now = KernelTime::from_us(self.now_us);
            self.mediator.handle_request(ClientId(1), "127.0.0.1:40000", request, now);
        }
    }

    fn attach(&mut self, pool: usize, stamps: &'static str, buzzers: u16) {
        let device = self.next_device;
        self.next_device += 1;
        let announced = Announced {
            pool: POOLS[pool].parse().expect("a pool"),
            name: format!("box \"{device}\", \u{fc}"),
            place: format!("usb-1.{device}/input0 event{device}"),
            stamps: stamps.into(),
            buzzers: (1..=buzzers).collect(),
            delay: DeviceDelay {
                delay_us: [0, [8000, 1000, 4000, 0][pool]],
                delay_basis: "configured".into(),
                scan_us: (stamps != "kernel").then_some(0),
                ..DeviceDelay::default()
            },
            curve: None,
        };
        self.mediator.handle_announced(device, announced);
        self.event(device, EventKind::Attached, false);
        self.devices.push((device, stamps, buzzers));
        if self.below(8) == 0 {
            let buzzer = 1 + u16::try_from(self.below(buzzers.into())).expect("small");
            self.event(device, EventKind::Held { buzzer: Buzzer(buzzer) }, false);
            self.down.push((device, buzzer));
        }
    }

    fn event(&mut self, device: u32, kind: EventKind, more: bool) {
        self.event_at(self.now_us, device, kind, more);
    }

    fn event_at(&mut self, at_us: u64, device: u32, kind: EventKind, more: bool) {
        let seed = self.below(u64::MAX).to_be_bytes();
        let event = Event { at: KernelTime::from_us(at_us), device: DeviceId::new(device), more, kind };
        self.mediator.handle_event(event, || seed);
    }

    /// A few presses close to each other, some of one stamp, and later their releases.
    fn race(&mut self) {
        let mut groups = 1 + self.below(4);
        while groups > 0 {
            groups -= 1;
            self.now_us += 1 + self.below(6_000);
            let mut presses = Vec::new();
            for _ in 0..[1, 1, 1, 1, 2, 3][usize::try_from(self.below(6)).expect("small")] {
                let devices = self.devices.clone();
                let (device, stamps, buzzers) = self.pick(&devices);
                let buzzer = 1 + u16::try_from(self.below(buzzers.into())).expect("small");
                if !self.down.contains(&(device, buzzer)) {
                    self.down.push((device, buzzer));
                    presses.push((device, stamps, buzzer));
                }
            }
            // A device's own events stay in the order of its stream.
            presses.sort_by_key(|(device, _, _)| *device);
            let late = self.below(60) == 0;
            let (mut rank, mut before) = (0, 0);
            for (at, (device, stamps, buzzer)) in presses.iter().enumerate() {
                rank = if before == *device && *stamps == "receipt" { rank + 1 } else { 0 };
                before = *device;
                let mut flags = Flags::NONE;
                if late {
                    flags = flags.with(Flags::LATE);
                } else if self.below(80) == 0 {
                    flags = flags.with(self.pick(&[Flags::STALE_STAMP, Flags::RECOVERED, Flags::SUSPECT]));
                }
                // A receipt has come at a time that nobody saw: mostly up to 1 ms before its stamp, or a little after it.
                let (back_us, early_us) = match (flags.is_without_stamp(), *stamps) {
                    (true, _) => (700, 0),
                    (false, "receipt") => (if self.now_us.is_multiple_of(9) { 71_000 } else { 1000 }, 40),
                    (false, _) => (0, 0),
                };
                let kind = EventKind::Press { buzzer: Buzzer(*buzzer), rank, flags, back_us, early_us };
                let at_us = if late { self.now_us - 5000 } else { self.now_us };
                self.event_at(at_us, *device, kind, at + 1 < presses.len());
            }
        }
        for (device, buzzer) in std::mem::take(&mut self.down) {
            if self.below(40) == 0 {
                self.down.push((device, buzzer));
                continue;
            }
            self.now_us += 20_000 + self.below(30_000);
            self.event(device, EventKind::Release { buzzer: Buzzer(buzzer) }, false);
        }
    }

    /// Somebody sits on a button.
    fn sit(&mut self) {
        let devices = self.devices.clone();
        let (device, _, _) = self.pick(&devices);
        if !self.down.contains(&(device, 1)) {
            self.down.push((device, 1));
            let flags = Flags::NONE;
            self.event(
                device,
                EventKind::Press { buzzer: Buzzer(1), rank: 0, flags, back_us: 0, early_us: 0 },
                false,
            );
            self.now_us += 11_000_000;
        }
    }

    fn integrity(&mut self) {
        let devices = self.devices.clone();
        let (device, _, _) = self.pick(&devices);
        let kind = match self.below(7) {
            0 => EventKind::Gap { since: KernelTime::from_us(self.now_us - 900) },
            1 => EventKind::ReaderStall { late_us: 4200 },
            2 => EventKind::RingFull { waiting_max: 17 },
            3 => EventKind::HeapFull { full_us: 1900 },
            4 => {
                // A contact that chatters, so that one of its sums is large enough.
                for _ in 0..40 {
                    self.event(device, EventKind::Ignored { buzzer: Buzzer(1), down: true }, false);
                }
                return;
            }
            5 => EventKind::StaleStamp { stamp: KernelTime::from_us(7) },
            _ => EventKind::Ignored { buzzer: Buzzer(1), down: false },
        };
        self.event(device, kind, false);
    }

    fn degraded(&mut self) {
        let now = KernelTime::from_us(self.now_us);
        self.mediator.handle_degraded("realtime", "Operation not permitted (os error 1)".to_owned(), now);
    }

    fn client(&mut self) {
        let text = self.pick(&[
            r#"{"command":"connect","pool":"nowhere"}"#,
            r#"{"command":"connect","pool":"stage"}"#,
            r#"{"list":"pools"}"#,
        ]);
        let now = KernelTime::from_us(self.now_us);
        self.mediator.handle_request(ClientId(2), "[::1]:40001", v1::parse(text).expect("a request"), now);
    }

    fn replug(&mut self) {
        let at = usize::try_from(self.below(self.devices.len() as u64)).expect("an index");
        let (device, stamps, buzzers) = self.devices.remove(at);
        self.down.retain(|(of, _)| *of != device);
        let pool = self.mediator.state().pool_of(device).expect("it is attached").clone();
        let gone = self.pick(&[Gone::Unplugged, Gone::Closed, Gone::Released, Gone::Failed(5)]);
        self.event(device, EventKind::Detached(gone), false);
        self.now_us += 1_500_000;
        let pool = POOLS.iter().position(|name| *name == pool.as_str()).expect("one of ours");
        self.attach(pool, stamps, buzzers);
    }

    /// The daemon ends, asked or not, and starts again; sometimes the machine does.
    fn restart(&mut self) {
        let end = KernelTime::from_us(self.now_us);
        if self.below(2) == 0 {
            self.mediator.handle_stop(end);
        }
        self.flush();
        let state = self.mediator.state().clone();
        self.now_us += Micros::from_ms(700).as_us();
        if self.below(3) == 0 {
            self.boot += 1;
            self.now_us = 9_000_000;
        }
        let id = self.below(u64::MAX);
        self.mediator = mediator(state, self.boot, id, self.now_us);
        self.devices.clear();
        self.down.clear();
        self.next_device = 1;
        self.begin();
    }
}

fn mediator(state: State, boot: u64, id: u64, now_us: u64) -> Mediator {
    let spec = |pool: &str| PoolSpec { id: pool.parse().expect("a pool"), autoconnect: false, slots: None };
    let start = Fact::Start {
        log: format!("{id:032x}"),
        boot: format!("{boot:032x}"),
        version: "0.1.0".to_owned(),
        wall_us: 1_790_000_000_000_000 + boot * 86_400_000_000 + now_us,
        settle_us: 2000,
        realtime: true,
    };
    Mediator::new(state, POOLS.map(spec).to_vec(), start, KernelTime::from_us(now_us))
}
