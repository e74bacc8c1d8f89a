//! What somebody outside does as often as they can. In: floods of requests and events. Out: how many records they make. Guarantee:
//! each kind has its bound, and what is in no record of its own is in a count.

use super::*;
use crate::game::mediator::notes::MANY_PEERS;

/// All records, until everything that waits was told.
struct Flood {
    rig: Rig,
    facts: Vec<Fact>,
}

impl Flood {
    fn new() -> Self {
        Self { rig: Rig::started(), facts: Vec::new() }
    }

    fn collect(&mut self) {
        while let Some(output) = self.rig.mediator.poll_output() {
            match output {
                Output::Record(record) => self.facts.push(record.fact),
                Output::Command(command) => self.rig.place(command.id, command.at),
                _ => {}
            }
        }
    }

    /// So much time passes, and what is due meanwhile is told when it is.
    fn pass(&mut self, us: u64) {
        self.rig.now = self.rig.now + Micros::from_us(us);
        if self.rig.mediator.poll_timeout().is_some_and(|due| due <= self.rig.now) {
            self.rig.mediator.handle_timeout(self.rig.now);
        }
        self.collect();
    }

    fn connect(&mut self, by: &str, pool: &str) {
        let request = v1::parse(format!(r#"{{"command":"connect","pool":"{pool}"}}"#)).unwrap();
        self.rig.mediator.handle_request(A, by, request, self.rig.now);
        self.collect();
    }

    fn event(&mut self, device: u32, kind: EventKind) {
        let event = Event { at: self.rig.now, device: DeviceId::new(device), more: false, kind };
        self.rig.mediator.handle_event(event, || [7; 8]);
        self.collect();
    }

    fn stop(mut self) -> Vec<Fact> {
        self.rig.mediator.handle_stop(self.rig.now);
        self.collect();
        self.facts
    }
}

fn refusals(facts: &[Fact]) -> (usize, u32) {
    let times = facts.iter().filter_map(|fact| match fact {
        Fact::Refuse { times, .. } => Some(*times),
        _ => None,
    });
    (times.clone().count(), times.sum())
}

#[test]
fn what_one_peer_is_refused_is_one_record_a_second_whatever_its_ports_are() {
    for address in ["192.0.2.7", "[2001:db8:1:2::PORT]", "[::ffff:192.0.2.7]"] {
        let mut flood = Flood::new();
        for number in 0..10_000u32 {
            let address = address.replace("PORT", &format!("{number:x}"));
            flood.connect(&format!("{address}:{}", 1024 + number), "nowhere");
            flood.pass(1000);
        }
        let (records, times) = refusals(&flood.stop());
        assert!((10..=11).contains(&records), "{records}");
        assert_eq!(times, 10_000, "{address}");
    }
}

#[test]
fn what_a_crowd_is_refused_is_bounded_over_all_and_counted() {
    let mut flood = Flood::new();
    for number in 0..20_000u32 {
        flood.connect(&format!("10.0.{}.{}:99", number / 256 % 32, number % 256), "nowhere");
        flood.pass(500);
    }
    let facts = flood.stop();
    let (records, times) = refusals(&facts);
    assert_eq!(times, 20_000);
    // The burst, two a second, and at the end what waits.
    assert!((64..=64 + 20 + 65).contains(&records), "{records}");
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Refuse { by, .. } if by == MANY_PEERS)));
}

#[test]
fn a_connect_that_changes_nothing_makes_no_record() {
    let mut flood = Flood::new();
    for _ in 0..100 {
        flood.connect("192.0.2.7:1", "table");
    }
    assert_eq!(flood.facts.len(), 1, "{:?}", flood.facts);
}

#[test]
fn trouble_of_a_device_is_one_record_a_second_and_kind_and_none_is_left_out() {
    let mut flood = Flood::new();
    for device in 1..=40 {
        flood.rig.attach(device, &[1]);
    }
    flood.connect("somebody", "table");
    let before = flood.facts.len();
    let begin = flood.rig.now;
    for _ in 0..4000 {
        for device in 1..=40 {
            flood.event(device, EventKind::StaleStamp { stamp: KernelTime::from_us(5) });
            flood.event(device, EventKind::ReaderStall { late_us: 7 });
            flood.event(device, EventKind::Gap { since: flood.rig.now - Micros::from_us(10) });
        }
        flood.event(1, EventKind::RingFull { waiting_max: 3 });
        flood.event(1, EventKind::HeapFull { full_us: 5 });
        flood.pass(1000);
    }
    let during = flood.facts.len() - before;
    assert!(during <= 64 + 4 * 8 + 1, "{during}");
    let facts = flood.stop();
    let (mut stale, mut stalls, mut first_gap) = (0, 0, u64::MAX);
    for fact in &facts {
        match fact {
            Fact::StaleStamp { times, since_us, .. } => {
                assert_eq!(since_us.is_some(), *times > 1);
                stale += times;
            }
            Fact::ReaderStall { times, late_us: 7, .. } => stalls += times,
            Fact::Gap { since_us, .. } => first_gap = first_gap.min(*since_us),
            _ => {}
        }
    }
    assert_eq!((stale, stalls, first_gap), (160_000, 160_000, begin.as_us() - 10));
}

#[test]
fn a_gap_that_is_summed_spans_all_that_may_be_missing() {
    let mut flood = Flood::new();
    flood.rig.attach(1, &[1]);
    flood.connect("somebody", "table");
    let gap = |flood: &mut Flood| {
        let since = flood.rig.now - Micros::from_us(10);
        flood.event(1, EventKind::Gap { since });
        flood.pass(100_000);
    };
    (0..3).for_each(|_| gap(&mut flood));
    flood.pass(1_000_000);
    let gaps: Vec<u64> = flood
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Gap { since_us, .. } => Some(*since_us),
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [999_990, 1_099_990], "the second begins with the second gap and ends with the third");
}

#[test]
fn buttons_without_number_make_no_records_without_number() {
    let buzzers: Vec<u16> = (0..768).collect();
    let mut flood = Flood::new();
    for device in 1..=16 {
        flood.rig.attach(device, &buzzers);
    }
    for _ in 0..10 {
        for device in 1..=16 {
            for buzzer in &buzzers {
                flood.event(device, press(*buzzer));
            }
        }
        flood.pass(1_000_000);
    }
    assert!(flood.facts.len() <= 64 + 80 + 1, "{}", flood.facts.len());
    // Who attaches and goes again and again has a record or two for what it did.
    let before = flood.facts.len();
    for device in 1..=16 {
        flood.event(device, EventKind::Detached(Gone::Closed));
    }
    assert!(flood.facts.len() <= before + 2 * 16 + 10, "{}", flood.facts.len() - before);
    let (mut presses, mut others) = (0, 0);
    for fact in &flood.facts {
        if let Fact::Uncounted { presses: count, others: more, .. } = fact {
            presses += count;
            others += more;
        }
    }
    assert_eq!(presses, 10 * 16 * 768);
    assert!(others > 10_000, "{others}");
}

#[test]
fn a_clock_that_is_set_in_a_loop_and_a_disk_that_comes_and_goes_are_summed() {
    let mut flood = Flood::new();
    for n in 0..10_000 {
        let anchor = Fact::Anchor { wall_us: n, bracket_us: 1, synced: None };
        flood.rig.mediator.handle_note(anchor, flood.rig.now);
        let (what, file, done) = ("sync".to_owned(), "x".to_owned(), "again".to_owned());
        let storage = Fact::Storage { what, errno: Some(5), file, first_seq: n, last_seq: n + 1, done };
        flood.rig.mediator.handle_note(storage, flood.rig.now);
        flood.pass(1000);
    }
    let facts = flood.stop();
    let anchors = facts.iter().filter(|fact| matches!(fact, Fact::Anchor { .. })).count();
    let storage = facts.iter().filter(|fact| matches!(fact, Fact::Storage { .. })).count();
    assert!(anchors <= 11 && (32..=32 + 11).contains(&storage), "{anchors} {storage}");
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Anchor { wall_us: 9999, .. })), "the last holds");
}
