//! The mediator, output by output. In: what the shell would call. Out: every output, in order, records and texts
//! written out. Guarantee: a message is never before the record it follows from; [`Rig::take`] looks at all of them.

use buzzer_core::event::{Buzzer, DeviceId, Flags, Garbage, Gone};

use super::*;
use crate::record::{DeviceDelay, Stamps};
use crate::wire::Wire;
use crate::wire::v1::{self, V1};

mod flood;

const STAGE: SlotId = SlotId::new(1);
const LEFT: SlotId = SlotId::new(2);
const RIGHT: SlotId = SlotId::new(3);
const A: ClientId = ClientId(1);
const B: ClientId = ClientId(2);
const C: ClientId = ClientId(3);

/// A mediator with a pool `stage` of one device, `duo` of two and `table`, which is virtual.
struct Rig {
    mediator: Mediator,
    now: KernelTime,
}

/// An output, short: what a test compares.
fn short(output: Output) -> String {
    match output {
        Output::Record(record) => format!("record {}", fact(&record.fact)),
        Output::TellAll(news, except) => {
            let except: Vec<_> = except.iter().map(|client| client.0).collect();
            format!("all but {except:?} {}", V1.news(&news))
        }
        Output::Tell(client, answer) => format!("{} {}", client.0, V1.answer(&answer)),
        Output::Want(slot) => format!("want {slot}"),
        Output::Unwant(slot) => format!("unwant {slot}"),
        Output::Ended(device) => format!("ended {device}"),
        Output::Detach(device) => format!("detach {device}"),
        Output::Command(Command { id, at, .. }) => format!("command {id} at {at}"),
    }
}

fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Start { .. } => "start".into(),
        Fact::Attach { device, pool, .. } => format!("attach {device} {pool}"),
        Fact::Detach { device, reason, certain, .. } => format!("detach {device} {reason} {certain}"),
        Fact::Connect { pool, by, asked_us: None } => format!("connect {pool} by {by}"),
        Fact::Connect { pool, by, asked_us: Some(us) } => format!("connect {pool} by {by}, asked {us}"),
        Fact::Disconnect { pool, by } => format!("disconnect {pool} by {by}"),
        Fact::Refuse { pool, by, message, times: 1, .. } => format!("refuse {pool} by {by}: {message}"),
        Fact::Refuse { pool, by, times, .. } => format!("refuse {pool} by {by} {times} times"),
        Fact::Draw { presses, .. } => format!("draw of {presses}"),
        Fact::Press { buzzer, tie, flags, .. } => {
            format!("press {buzzer} {tie:?} {:?}", flags.names().collect::<Vec<_>>())
        }
        Fact::Release { buzzer, .. } => format!("release {buzzer}"),
        Fact::Proved { buzzer, .. } => format!("proved {buzzer}"),
        Fact::Ignored { buzzer, edges, others: 0, .. } => format!("ignored {buzzer} {edges}"),
        Fact::Ignored { buzzer, edges, others, .. } => format!("ignored {buzzer} and {others} more {edges}"),
        Fact::Uncounted { buzzer, presses, reason, others: 0, .. } => {
            format!("uncounted {buzzer} {presses} {reason}")
        }
        Fact::Uncounted { buzzer, presses, others, .. } => {
            format!("uncounted {buzzer} and {others} more {presses}")
        }
        Fact::Gap { device, .. } => format!("gap {device}"),
        Fact::RingFull { waiting_max } => format!("ring full {waiting_max}"),
        Fact::ReaderStall { device, late_us, .. } => format!("reader stall {device} {late_us}"),
        Fact::Held { buzzer, .. } => format!("held {buzzer}"),
        Fact::Stuck { buzzer, .. } => format!("stuck {buzzer}"),
        Fact::HeapFull { full_us } => format!("heap full {full_us}"),
        Fact::Late { press, behind_us, .. } => format!("late {press} {behind_us}"),
        Fact::StaleStamp { stamp_us, times: 1, .. } => format!("stale stamp {stamp_us}"),
        Fact::StaleStamp { stamp_us, times, .. } => format!("stale stamp {stamp_us} {times} times"),
        Fact::Chattering { buzzer, .. } => format!("chattering {buzzer}"),
        Fact::Degraded { what, reason } => format!("degraded {what} {reason}"),
        other => format!("{other:?}"),
    }
}

impl Rig {
    fn new() -> Self {
        Self::after(State::default(), false)
    }

    fn after(state: State, autoconnect: bool) -> Self {
        let spec = |id: &str, slots: Option<&[SlotId]>| PoolSpec {
            id: id.parse().unwrap(),
            autoconnect,
            slots: slots.map(<[_]>::to_vec),
        };
        Self::with(
            state,
            vec![spec("stage", Some(&[STAGE])), spec("duo", Some(&[LEFT, RIGHT])), spec("table", None)],
        )
    }

    fn with(state: State, specs: Vec<PoolSpec>) -> Self {
        let (log, version) = (String::new(), String::new());
        let start =
            Fact::Start { log, boot: "boot".into(), version, wall_us: 0, settle_us: 0, realtime: false };
        let now = KernelTime::from_us(1_000_000);
        Self { mediator: Mediator::new(state, specs, start, now), now }
    }

    /// A rig whose start is over.
    fn started() -> Self {
        let mut rig = Self::new();
        rig.take();
        rig
    }

    /// Everything there is to do, in order. Numbers are dense. Commands take their places at once.
    fn take(&mut self) -> Vec<String> {
        let mut taken = Vec::new();
        while let Some(output) = self.mediator.poll_output() {
            if let Output::Command(command) = output {
                self.place(command.id, command.at);
                continue;
            }
            if let Output::Record(record) = &output {
                assert!(record.seq <= self.mediator.state().seq());
            }
            taken.push(short(output));
        }
        taken
    }

    /// The place of a command or timer comes.
    fn place(&mut self, id: u64, at: KernelTime) {
        let kind = EventKind::Command { id, moved_us: 0 };
        self.mediator.handle_event(Event { at, device: DeviceId::NONE, more: false, kind }, || [7; 8]);
    }

    fn ask(&mut self, client: ClientId, text: &str) -> Vec<String> {
        self.mediator.handle_request(client, "somebody", v1::parse(text).unwrap(), self.now);
        self.take()
    }

    fn connect(&mut self, client: ClientId, pool: &str) -> Vec<String> {
        self.ask(client, &format!(r#"{{"command":"connect","pool":"{pool}"}}"#))
    }

    fn event(&mut self, device: u32, kind: EventKind) -> Vec<String> {
        let event = Event { at: self.now, device: DeviceId::new(device), more: false, kind };
        self.mediator.handle_event(event, || [7; 8]);
        self.take()
    }

    fn announced(pool: &str, buzzers: &[u16]) -> Announced {
        Announced {
            pool: pool.parse().unwrap(),
            name: "name".into(),
            place: "place".into(),
            stamps: Stamps::Kernel,
            buzzers: buzzers.to_vec(),
            delay: DeviceDelay::default(),
            curve: None,
        }
    }

    fn open(&mut self, slot: SlotId, device: u32, pool: &str, buzzers: &[u16]) -> Vec<String> {
        self.mediator.handle_opened(slot, device, Self::announced(pool, buzzers));
        assert_eq!(self.take(), [""; 0], "valid only with its first event");
        self.event(device, EventKind::Attached)
    }

    fn attach(&mut self, device: u32, buzzers: &[u16]) -> Vec<String> {
        self.mediator.handle_announced(device, Self::announced("table", buzzers));
        self.event(device, EventKind::Attached)
    }

    fn pass(&mut self, us: u64) -> Vec<String> {
        self.now = self.now + Micros::from_us(us);
        self.mediator.handle_timeout(self.now);
        self.take()
    }
}

fn press(buzzer: u16) -> EventKind {
    EventKind::Press { buzzer: Buzzer(buzzer), rank: 0, flags: Flags::NONE, back_us: 0, early_us: 0 }
}

const CONNECTED_STAGE: &str = r#"{"result":"connect","pool":"stage","buzzers":[1,2]}"#;
const POOLS: &str = r#"{"response":"pools","pools":["stage","table"]}"#;

#[test]
fn a_connect_is_answered_when_its_device_is_read_and_nobody_else_waits() {
    let mut rig = Rig::started();
    rig.mediator.handle_present(STAGE, None, rig.now);
    assert_eq!(rig.connect(A, "stage"), [format!("want {STAGE}")]);
    assert_eq!(rig.connect(B, "stage"), [""; 0], "the same attempt");
    assert_eq!(rig.ask(C, r#"{"list":"pools"}"#), [format!("3 {POOLS}")], "others do not wait");
    let outputs = rig.open(STAGE, 9, "stage", &[1, 2]);
    assert_eq!(
        outputs,
        [
            "record attach 9 stage".into(),
            "record connect stage by somebody".into(),
            r#"all but [1, 2] {"event":"connected","pool":"stage","buzzer":1}"#.into(),
            r#"all but [1, 2] {"event":"connected","pool":"stage","buzzer":2}"#.into(),
            format!("1 {CONNECTED_STAGE}"),
            format!("2 {CONNECTED_STAGE}"),
        ]
    );
    assert_eq!(rig.mediator.poll_timeout(), None);
    assert_eq!(
        rig.connect(C, "stage"),
        [format!("3 {CONNECTED_STAGE}")],
        "connected already: it succeeds again, and is news to nobody"
    );
}

#[test]
fn after_5_s_a_connect_has_failed_and_leaves_no_wish() {
    let mut rig = Rig::started();
    rig.mediator.handle_present(STAGE, None, rig.now);
    rig.connect(A, "stage");
    assert_eq!(rig.mediator.poll_timeout(), Some(rig.now + Micros::from_ms(5000)));
    assert_eq!(rig.pass(4_999_999), [""; 0]);
    assert_eq!(
        rig.pass(1),
        [
            "record refuse stage by somebody: timed out".into(),
            r#"1 {"error":"connect","message":"timed out","cause":null}"#.into(),
            format!("unwant {STAGE}"),
        ]
    );
    assert_eq!(rig.mediator.poll_timeout(), None);
    // What comes now comes too late, and its presses count for nothing.
    assert_eq!(rig.open(STAGE, 9, "stage", &[1]), ["record attach 9 stage", "detach 9"]);
    assert_eq!(rig.event(9, press(1)), [""; 0]);
    assert_eq!(
        rig.event(9, EventKind::Detached(Gone::Released)),
        ["record uncounted 1 1 not_connected", "record detach 9 released true", "ended 9"]
    );
}

#[test]
fn presses_of_a_pool_that_is_not_connected_are_summed_and_told_to_nobody() {
    let mut rig = Rig::started();
    assert_eq!(rig.open(STAGE, 9, "stage", &[1, 2]), ["record attach 9 stage", "detach 9"]);
    for buzzer in [1, 2, 1, 1] {
        assert_eq!(rig.event(9, press(buzzer)), [""; 0]);
    }
    assert_eq!(rig.pass(999_999), [""; 0]);
    assert_eq!(
        rig.pass(1),
        ["record uncounted 1 3 not_connected", "record uncounted 2 1 not_connected"],
        "one record a second and button"
    );
    assert_eq!(rig.mediator.poll_timeout(), None);
}

#[test]
fn a_connect_counts_from_its_place_and_says_when_it_was_asked_for() {
    let mut rig = Rig::started();
    rig.attach(1, &[4]);
    let asked = rig.now;
    let request = v1::parse(r#"{"command":"connect","pool":"table"}"#).unwrap();
    rig.mediator.handle_request(A, "somebody", request, asked);
    let Some(Output::Command(command)) = rig.mediator.poll_output() else { panic!("a command") };
    assert_eq!((command.at, command.is_timer), (asked, false));
    // Other clients are answered meanwhile, and what leaves before it is not counted.
    assert_eq!(rig.ask(B, r#"{"list":"buzzers"}"#), [r#"2 {"response":"buzzers","pools":[]}"#]);
    rig.now = rig.now + Micros::from_us(70);
    assert_eq!(rig.event(1, press(4)), [""; 0]);
    rig.place(command.id, rig.now);
    assert_eq!(
        rig.take()[..],
        [
            format!("record connect table by somebody, asked {}", asked.as_us()),
            r#"all but [1] {"event":"connected","pool":"table","buzzer":4}"#.into(),
            r#"1 {"result":"connect","pool":"table","buzzers":[4]}"#.into(),
        ]
    );
    assert_eq!(rig.event(1, press(4))[0], "record press 4 None []");
    rig.place(command.id, rig.now);
    assert_eq!(rig.take(), [""; 0], "a number counts once");
}

#[test]
fn a_command_that_does_not_come_back_is_timed_out_and_then_passed_over() {
    let mut rig = Rig::started();
    let request = v1::parse(r#"{"command":"connect","pool":"table"}"#).unwrap();
    rig.mediator.handle_request(A, "somebody", request, rig.now);
    let Some(Output::Command(command)) = rig.mediator.poll_output() else { panic!("a command") };
    assert_eq!(rig.mediator.poll_timeout(), Some(rig.now + Micros::from_ms(5000)));
    assert_eq!(rig.pass(4_999_999), [""; 0]);
    let refused = [
        "record refuse table by somebody: timed out",
        r#"1 {"error":"connect","message":"timed out","cause":null}"#,
    ];
    assert_eq!(rig.pass(1), refused);
    rig.place(command.id, rig.now);
    assert_eq!(rig.take(), [""; 0]);
    let timer = EventKind::Timer { id: 77, moved_us: 0 };
    assert_eq!(rig.event(1, timer), [""; 0], "one that was cancelled");
}

#[test]
fn a_pool_of_which_nothing_more_opens_is_connected_in_a_place_that_it_asks_for() {
    let mut rig = Rig::started();
    let asked = rig.now;
    for slot in [LEFT, RIGHT] {
        rig.mediator.handle_present(slot, None, rig.now);
    }
    rig.connect(A, "duo");
    rig.open(LEFT, 9, "duo", &[1]);
    rig.mediator.handle_failed(RIGHT, "busy".into(), rig.now);
    let Some(Output::Command(command)) = rig.mediator.poll_output() else { panic!("a command") };
    assert_eq!(rig.take(), [""; 0], "a press that is older may be on its way");
    rig.now = rig.now + Micros::from_us(1);
    assert_eq!(rig.event(9, press(1)), [""; 0]);
    rig.place(command.id, rig.now);
    assert_eq!(rig.take()[0], format!("record connect duo by somebody, asked {}", asked.as_us()));
    assert_eq!(rig.event(9, press(1))[0], "record press 1 None []");
}

#[test]
fn a_device_that_cannot_be_opened_says_why() {
    let mut rig = Rig::started();
    rig.mediator.handle_present(STAGE, None, rig.now);
    rig.connect(A, "stage");
    rig.mediator.handle_failed(STAGE, "no permission".into(), rig.now);
    assert_eq!(
        rig.take(),
        [
            "record refuse stage by somebody: no permission".into(),
            r#"1 {"error":"connect","message":"no permission","cause":null}"#.into(),
            format!("unwant {STAGE}"),
        ]
    );
    assert_eq!(rig.connect(A, "stage"), [format!("want {STAGE}")], "asked again, it is tried again");
}

#[test]
fn a_device_that_goes_while_it_is_opened_ends_the_connect() {
    let mut rig = Rig::started();
    rig.mediator.handle_present(STAGE, None, rig.now);
    rig.connect(A, "stage");
    rig.mediator.handle_absent(STAGE, rig.now);
    let message = r#"pool \"stage\" is configured, but its device is not plugged in"#;
    assert_eq!(rig.take()[1], format!(r#"1 {{"error":"connect","message":"{message}","cause":null}}"#));
    assert_eq!(
        rig.connect(A, "stage"),
        [format!(r#"1 {{"error":"connect","message":"{message}","cause":null}}"#)],
        "at once, and summed in the log"
    );
}

#[test]
fn a_pool_of_which_one_device_opens_is_connected_and_the_other_may_follow() {
    let mut rig = Rig::started();
    rig.mediator.handle_present(LEFT, None, rig.now);
    rig.mediator.handle_present(RIGHT, None, rig.now);
    assert_eq!(rig.connect(A, "duo"), [format!("want {LEFT}"), format!("want {RIGHT}")]);
    assert_eq!(rig.open(LEFT, 9, "duo", &[1]), ["record attach 9 duo"], "the other is still undecided");
    rig.mediator.handle_failed(RIGHT, "busy".into(), rig.now);
    let outputs = rig.take();
    assert_eq!(outputs.last().unwrap(), r#"1 {"result":"connect","pool":"duo","buzzers":[1]}"#);
    assert_eq!(
        rig.open(RIGHT, 10, "duo", &[2]),
        ["record attach 10 duo", r#"all but [] {"event":"connected","pool":"duo","buzzer":2}"#]
    );
    assert_eq!(
        rig.event(9, EventKind::Detached(Gone::Unplugged)),
        [
            "record detach 9 unplugged false",
            r#"all but [] {"event":"disconnected","pool":"duo","buzzer":1}"#,
            "ended 9"
        ]
    );
    assert_eq!(
        rig.event(10, EventKind::Detached(Gone::Unplugged)),
        [
            "record detach 10 unplugged false",
            r#"all but [] {"event":"disconnected","pool":"duo","buzzer":null}"#,
            "ended 10"
        ]
    );
    // It stays wanted: what comes back is connected without anybody asking.
    assert_eq!(
        rig.open(LEFT, 11, "duo", &[1]),
        ["record attach 11 duo", r#"all but [] {"event":"connected","pool":"duo","buzzer":1}"#]
    );
}

#[test]
fn who_leaves_gets_no_answer_but_the_connect_goes_on() {
    let mut rig = Rig::started();
    rig.mediator.handle_present(STAGE, None, rig.now);
    rig.connect(A, "stage");
    rig.mediator.handle_client_gone(A);
    assert_eq!(
        rig.open(STAGE, 9, "stage", &[1]),
        [
            "record attach 9 stage",
            "record connect stage by somebody",
            r#"all but [] {"event":"connected","pool":"stage","buzzer":1}"#
        ]
    );
}

#[test]
fn a_result_comes_before_any_buzz_and_a_press_before_the_connect_is_none() {
    let mut rig = Rig::started();
    assert_eq!(rig.attach(1, &[4]), ["record attach 1 table"]);
    assert_eq!(rig.event(1, press(4)), [""; 0]);
    assert_eq!(
        rig.connect(A, "table"),
        [
            "record connect table by somebody",
            r#"all but [1] {"event":"connected","pool":"table","buzzer":4}"#,
            r#"1 {"result":"connect","pool":"table","buzzers":[4]}"#
        ]
    );
    assert_eq!(
        rig.event(1, press(4)),
        ["record press 4 None []", r#"all but [] {"event":"buzz","pool":"table","buzzer":4}"#]
    );
    let release = EventKind::Release { buzzer: Buzzer(4) };
    assert_eq!(rig.event(1, release), ["record release 4", "record proved 4"]);
    assert_eq!(rig.event(77, press(4)), [""; 0], "a device that nobody knows");
}

#[test]
fn a_tie_is_drawn_and_its_draw_is_logged_before_its_presses() {
    let mut rig = Rig::started();
    rig.attach(1, &[1]);
    rig.attach(2, &[2]);
    rig.connect(A, "table");
    let event = |device: u32, more, buzzer| Event {
        at: rig.now,
        device: DeviceId::new(device),
        more,
        kind: press(buzzer),
    };
    let (first, second) = (event(1, true, 1), event(2, false, 2));
    rig.mediator.handle_event(first, || panic!("the group is not complete"));
    assert_eq!(rig.take(), [""; 0]);
    rig.mediator.handle_event(second, || [0; 8]);
    let outputs = rig.take();
    let draw = rig.mediator.state().seq() - 2;
    assert_eq!(outputs[0], "record draw of 2");
    let expected: Vec<u16> = {
        let entrant = |buzzer: u16| crate::game::draw::Entrant {
            pool: "table".parse().unwrap(),
            buzzer,
            device: buzzer.into(),
            frame: 0,
        };
        crate::game::draw::order([0; 8], &[entrant(1), entrant(2)])
            .into_iter()
            .map(|at| at as u16 + 1)
            .collect()
    };
    for (place, buzzer) in expected.into_iter().enumerate() {
        assert_eq!(outputs[1 + 2 * place], format!("record press {buzzer} Some({draw}) []"));
        assert!(outputs[2 + 2 * place].ends_with(&format!("\"buzzer\":{buzzer}}}")));
    }
}

#[test]
fn ignored_edges_are_summed_for_a_second() {
    let mut rig = Rig::started();
    rig.attach(1, &[1, 2]);
    rig.connect(A, "table");
    let start = rig.now;
    for _ in 0..3 {
        assert_eq!(rig.event(1, EventKind::Ignored { buzzer: Buzzer(1), down: false }), [""; 0]);
        rig.now = rig.now + Micros::from_us(10);
    }
    assert_eq!(rig.mediator.poll_timeout(), Some(start + Micros::from_ms(1000)));
    assert_eq!(rig.pass(900_000), [""; 0]);
    assert_eq!(rig.pass(100_000), ["record ignored 1 3"]);
    assert_eq!(rig.mediator.poll_timeout(), None);
    // Earlier if its device goes, or the process.
    rig.event(1, EventKind::Ignored { buzzer: Buzzer(1), down: false });
    rig.event(1, EventKind::Ignored { buzzer: Buzzer(2), down: false });
    let outputs = rig.event(1, EventKind::Detached(Gone::Garbage(Garbage::Time)));
    assert_eq!(outputs[..2], ["record ignored 1 1", "record ignored 2 1"]);
    assert!(outputs[2].starts_with("record detach 1 garbage: "), "{outputs:?}");
    rig.attach(2, &[1]);
    rig.event(2, EventKind::Ignored { buzzer: Buzzer(1), down: false });
    rig.mediator.handle_stop(rig.now);
    let outputs = rig.take();
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    assert_eq!(outputs[0], "record ignored 1 1");
}

#[test]
fn gaps_and_a_full_ring_leave_records_and_no_message() {
    let mut rig = Rig::started();
    rig.attach(1, &[1]);
    assert_eq!(rig.event(1, EventKind::Gap { since: rig.now }), [""; 0], "of a pool that does not count");
    rig.connect(A, "table");
    assert_eq!(rig.event(1, EventKind::Gap { since: rig.now }), ["record gap 1"]);
    assert_eq!(rig.event(1, EventKind::ReaderStall { late_us: 70_000 }), ["record reader stall 1 70000"]);
    assert_eq!(rig.event(1, EventKind::RingFull { waiting_max: 8 }), ["record ring full 8"]);
    assert_eq!(rig.event(9, EventKind::HeapFull { full_us: 7 }), ["record heap full 7"], "whoever it was");
    rig.mediator.handle_degraded("realtime", "EPERM".into(), rig.now);
    assert_eq!(rig.take(), ["record degraded realtime EPERM"]);
}

#[test]
fn late_presses_say_behind_all_presses_of_their_stamp_by_how_much_they_were_late() {
    let mut rig = Rig::started();
    rig.attach(1, &[1]);
    rig.attach(2, &[2]);
    rig.connect(A, "table");
    rig.now = rig.now + Micros::from_us(1000);
    rig.event(1, press(1));
    // With a receipt stamp, as any may be written before it: that makes it no later.
    let late =
        EventKind::Press { buzzer: Buzzer(0), rank: 0, flags: Flags::LATE, back_us: 1000, early_us: 9 };
    let with = |buzzer| match late {
        EventKind::Press { rank, flags, back_us, early_us, .. } => {
            EventKind::Press { buzzer: Buzzer(buzzer), rank, flags, back_us, early_us }
        }
        other => other,
    };
    let at = rig.now - Micros::from_us(300);
    let seq = rig.mediator.state().seq();
    for (device, more) in [(1, true), (2, false)] {
        let kind = with(device as u16);
        rig.mediator.handle_event(Event { at, device: DeviceId::new(device), more, kind }, || [0; 8]);
    }
    let records: Vec<_> = rig.take().into_iter().filter(|output| output.starts_with("record")).collect();
    assert_eq!(records[0], "record draw of 2");
    assert!(records[1].starts_with("record press") && records[2].starts_with("record press"), "{records:?}");
    assert_eq!(
        records[3..],
        [format!("record late {} 300", seq + 2), format!("record late {} 300", seq + 3)]
    );
    let outputs = rig.event(1, with(1));
    assert_eq!(
        outputs.last().unwrap(),
        &format!("record late {} 0", seq + 6),
        "of the same stamp as the latest"
    );
    assert_eq!(
        rig.event(1, EventKind::StaleStamp { stamp: KernelTime::from_us(5) }),
        ["record stale stamp 5"]
    );
}

#[test]
fn a_key_held_at_the_connect_is_recorded_gets_stuck_and_proves_nothing_by_its_release() {
    let mut rig = Rig::started();
    rig.attach(1, &[1]);
    assert_eq!(
        rig.event(1, EventKind::Held { buzzer: Buzzer(1) }),
        ["record held 1"],
        "before its pool is connected"
    );
    rig.connect(A, "table");
    assert_eq!(rig.pass(9_999_999), [""; 0]);
    assert_eq!(rig.mediator.poll_timeout(), Some(rig.now + Micros::from_us(1)));
    assert_eq!(rig.pass(1), ["record stuck 1"]);
    let release = EventKind::Release { buzzer: Buzzer(1) };
    assert_eq!(rig.event(1, release), ["record release 1"], "not seen going down: not proved");
    rig.event(1, press(1));
    assert_eq!(rig.event(1, release), ["record release 1", "record proved 1"]);
}

#[test]
fn a_delay_is_that_of_the_device_and_of_what_was_not_seen_and_the_first_is_open_until_the_slowest_device() {
    let mut rig = Rig::started();
    for (device, delay_us) in [(1, [200, 500]), (2, [0, 9000])] {
        let delay = DeviceDelay { delay_us, ..DeviceDelay::default() };
        let announced = Announced { delay, ..Rig::announced("table", &[device as u16]) };
        rig.mediator.handle_announced(device, announced);
        rig.event(device, EventKind::Attached);
    }
    rig.connect(A, "table");
    let at_us = rig.now.as_us();
    let recovered =
        EventKind::Press { buzzer: Buzzer(1), rank: 0, flags: Flags::RECOVERED, back_us: 4000, early_us: 0 };
    rig.mediator
        .handle_event(Event { at: rig.now, device: DeviceId::new(1), more: false, kind: recovered }, || {
            [0; 8]
        });
    let Some(Output::Record(record)) = rig.mediator.poll_output() else { panic!("a record") };
    let Fact::Press { delay_us, final_at_us, .. } = record.fact else { panic!("{record:?}") };
    assert_eq!((delay_us, final_at_us), ([200, 4500], at_us + 8800));
}

#[test]
fn a_button_chatters_from_its_32nd_bounce_in_a_second_until_it_is_sound() {
    let mut rig = Rig::started();
    rig.attach(1, &[1]);
    rig.connect(A, "table");
    let second = |rig: &mut Rig, edges: u32, down| {
        for _ in 0..edges {
            rig.event(1, EventKind::Ignored { buzzer: Buzzer(1), down });
        }
        rig.pass(1_000_000)
    };
    assert_eq!(second(&mut rig, 31, false), ["record ignored 1 31"]);
    assert_eq!(second(&mut rig, 32, false), ["record ignored 1 32", "record chattering 1"]);
    assert_eq!(second(&mut rig, 99, true), ["record ignored 1 99"], "said once");
    let button = |rig: &Rig| rig.mediator.state().buttons().get((1, 1)).unwrap().clone();
    assert!(button(&rig).held_since_us.is_some(), "it bounced and stayed down");
    rig.event(1, press(1));
    assert!(button(&rig).chattering, "it has just bounced");
    rig.event(1, EventKind::Release { buzzer: Buzzer(1) });
    rig.pass(9_999_999);
    rig.event(1, press(1));
    assert_eq!((button(&rig).chattering, button(&rig).ignored_edges), (false, 162));
    assert_eq!(second(&mut rig, 32, true), ["record ignored 1 32", "record chattering 1"], "again");
}

#[test]
fn what_was_connected_or_always_is_is_opened_at_the_start() {
    let mut rig = Rig::after(State::default(), true);
    assert_eq!(
        rig.take(),
        [
            "record start".into(),
            "record connect stage by autoconnect".into(),
            format!("want {STAGE}"),
            "record connect duo by autoconnect".into(),
            format!("want {LEFT}"),
            format!("want {RIGHT}"),
            "record connect table by autoconnect".into(),
        ]
    );
    // A later start in the same boot goes on from the log, without a word from the configuration.
    let mut rig = Rig::after(rig.mediator.state().clone(), false);
    assert_eq!(
        rig.take(),
        ["record start".to_owned(), format!("want {STAGE}"), format!("want {LEFT}"), format!("want {RIGHT}"),]
    );
    rig.mediator.handle_present(STAGE, None, rig.now);
    assert_eq!(
        rig.open(STAGE, 1, "stage", &[1]),
        ["record attach 1 stage", r#"all but [] {"event":"connected","pool":"stage","buzzer":1}"#]
    );
}

#[test]
fn a_pool_that_the_configuration_has_no_more_is_disconnected_at_the_start() {
    let mut state = State::default();
    let boot = "boot".to_owned();
    let (log, version) = (String::new(), String::new());
    let start = Fact::Start { log, boot, version, wall_us: 0, settle_us: 0, realtime: false };
    let connect =
        |pool: &str| Fact::Connect { pool: pool.parse().unwrap(), by: String::new(), asked_us: None };
    let facts = [start, connect("old"), connect("stage"), connect("buzz-wired-1.2")];
    for (fact, seq) in facts.into_iter().zip(1..) {
        state.apply(&Record { seq, at_us: 0, fact }, |_| {});
    }
    let mut rig = Rig::after(state.clone(), false);
    let gone =
        ["record disconnect buzz-wired-1.2 by configuration", "record disconnect old by configuration"];
    assert_eq!(rig.take(), ["record start", gone[0], gone[1], &format!("want {STAGE}")]);
    let mut rig = Rig::after(rig.mediator.state().clone(), false);
    assert_eq!(rig.take(), ["record start".to_owned(), format!("want {STAGE}")], "once");
    // Where no pool is configured, every recognised device is one, and may only be unplugged.
    let mut rig = Rig::with(state, Vec::new());
    assert_eq!(
        rig.take(),
        [
            "record start",
            "record disconnect old by configuration",
            "record disconnect stage by configuration"
        ]
    );
    let wired: PoolId = "buzz-wired-1.2".parse().unwrap();
    assert!(rig.mediator.state().is_connected(&wired));
    let slot = SlotId::new(9);
    let spec = PoolSpec { id: wired, autoconnect: false, slots: Some(vec![slot]) };
    rig.mediator.handle_present(slot, Some(spec), rig.now);
    assert_eq!(rig.take(), [format!("want {slot}")], "it is wanted still");
}

#[test]
fn a_pool_without_configuration_appears_with_its_device() {
    let mut rig = Rig::started();
    let slot = SlotId::new(9);
    let spec = PoolSpec { id: "buzz@1-2".parse().unwrap(), autoconnect: false, slots: Some(vec![slot]) };
    rig.mediator.handle_present(slot, Some(spec.clone()), rig.now);
    let with = r#"1 {"response":"pools","pools":["table","buzz@1-2"]}"#;
    assert_eq!(rig.ask(A, r#"{"list":"pools"}"#), [with]);
    rig.mediator.handle_absent(slot, rig.now);
    assert_eq!(rig.ask(A, r#"{"list":"pools"}"#), [r#"1 {"response":"pools","pools":["table"]}"#]);
    rig.mediator.handle_present(slot, Some(spec), rig.now);
    assert_eq!(rig.ask(A, r#"{"list":"pools"}"#), [with], "once, not twice");
}

#[test]
fn a_long_pool_name_is_cut_in_the_log_and_not_in_the_answer_to_others() {
    let mut rig = Rig::started();
    let name = "ä".repeat(100);
    let outputs = rig.connect(A, &name);
    assert_eq!(
        outputs[0],
        format!("record refuse {} by somebody: no such pool; known: stage, duo, table", "ä".repeat(64))
    );
}
