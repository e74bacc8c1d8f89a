//! A second protocol beside the seed's. In: words instead of JSON, through the real session, outbox, mediator and replay. Out: what
//! its clients and those of v1 are sent. Guarantee: it is this file alone; nothing in the game or the session knows of it.

use buzzer_core::device::claim::SlotId;
use buzzer_core::event::{Buzzer, DeviceId, Event, EventKind, Flags};
use buzzer_core::time::KernelTime;
use buzzer_server::game::mediator::{Announced, Mediator, Output};
use buzzer_server::game::pool::PoolSpec;
use buzzer_server::game::state::{News, State};
use buzzer_server::game::{Answer, ClientId, Request};
use buzzer_server::judge::replay::{Player, PoolKnown};
use buzzer_server::record::{DeviceDelay, Fact, Record, Stamps};
use buzzer_server::wire::outbox::{Next, Outbox};
use buzzer_server::wire::outgoing::{Latest, Outgoing};
use buzzer_server::wire::session::{Heard, Session};
use buzzer_server::wire::v1::V1;
use buzzer_server::wire::{Complaint, Wire};
use buzzer_tests::harness::session::place;

const NOW: KernelTime = KernelTime::from_us(1_000_000);
const SLOT: SlotId = SlotId::new(1);

#[derive(Debug)]
struct Words;

impl Wire for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn read(&self, message: Vec<u8>) -> Result<Request, Complaint> {
        let Ok(text) = std::str::from_utf8(&message) else { return Err(Complaint::Unreadable(message)) };
        match text.split_once(' ') {
            Some(("connect", pool)) => Ok(Request::Connect { pool: pool.to_owned() }),
            None if text == "pools" => Ok(Request::ListPools),
            None if text == "buzzers" => Ok(Request::ListBuzzers),
            _ => Err(Complaint::Unknown(message)),
        }
    }

    fn news(&self, news: &News) -> String {
        match news {
            News::Buzz { pool, buzzer } => format!("buzz {pool} {buzzer}"),
            News::Connected { pool, buzzer } => format!("there {pool} {buzzer}"),
            News::Disconnected { pool, buzzer } => format!("gone {pool} {buzzer:?}"),
        }
    }

    fn answer(&self, answer: &Answer) -> String {
        match answer {
            Answer::Pools(pools) => format!("pools {pools:?}"),
            Answer::Buzzers(pools) => format!("buzzers {pools:?}"),
            Answer::Connected(pool, buzzers) => format!("connected {pool} {buzzers:?}"),
            Answer::Refused(message) => format!("refused: {message}"),
        }
    }

    fn complaint(&self, complaint: &Complaint) -> String {
        format!("what? {}", complaint.waiting_bytes())
    }
}

/// Clients 1 and 2 speak words, client 3 speaks v1.
struct Room {
    outbox: Outbox,
    latest: Latest,
    sessions: Vec<Session>,
    records: Vec<Record>,
}

impl Room {
    fn new() -> Self {
        let outbox = Outbox::default();
        let wires: [&'static dyn Wire; 3] = [&Words, &Words, &V1];
        let sessions = wires.iter().zip(1..).map(|(wire, id)| Session::new(ClientId(id), *wire, &outbox));
        let sessions = sessions.collect();
        Self { outbox, latest: Latest::default(), sessions, records: Vec::new() }
    }

    /// What this client asks for now.
    fn ask(&mut self, client: usize, text: &str) -> Option<Request> {
        match self.sessions[client - 1].hear(text.into(), &self.outbox) {
            Heard::Request(request) => Some(request),
            Heard::Complaint | Heard::Parked => None,
            Heard::Full => panic!("{text}"),
        }
    }

    /// What the mediator says; commands take their places at once.
    fn obey(&mut self, mediator: &mut Mediator) {
        let mut outputs = Vec::new();
        while let Some(output) = mediator.poll_output() {
            match output {
                Output::Command(command) => place(mediator, command),
                output => outputs.push(output),
            }
        }
        self.take(outputs);
    }

    fn take(&mut self, outputs: impl IntoIterator<Item = Output>) {
        for output in outputs {
            match output {
                Output::Record(record) => self.records.push(record),
                Output::TellAll(news, except) => self.outbox.tell_all(news, except),
                Output::Tell(ClientId(id), answer) => {
                    let session = &mut self.sessions[usize::try_from(id).unwrap() - 1];
                    session.answer(&answer, &mut self.latest, &self.outbox);
                }
                Output::Want(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn told(&mut self, client: usize) -> Vec<String> {
        let frames = std::iter::from_fn(|| match self.sessions[client - 1].next(&mut self.outbox) {
            Next::Frame(frame) => Some(text(&frame)),
            Next::Done => None,
            Next::Lost => panic!("{client}"),
        });
        frames.collect()
    }
}

/// The payload of a short frame.
fn text(frame: &Outgoing) -> String {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    String::from_utf8(bytes.split_off(2)).unwrap()
}

fn event(kind: EventKind) -> Event {
    Event { at: NOW, device: DeviceId::new(9), more: false, kind }
}

#[test]
fn a_second_protocol_is_one_file_and_shares_the_session_live_and_in_a_replay() {
    let pool: buzzer_server::record::pool_id::PoolId = "desk".parse().unwrap();
    let (log, boot, version) = (String::new(), "boot".to_owned(), String::new());
    let start = Fact::Start { log, boot, version, wall_us: 0, settle_us: 0, realtime: false };
    let spec = PoolSpec { id: pool.clone(), autoconnect: false, slots: Some(vec![SLOT]) };
    let mut mediator = Mediator::new(State::default(), vec![spec], start, NOW);
    mediator.handle_present(SLOT, None, NOW);
    let mut room = Room::new();

    let request = room.ask(1, "connect desk").expect("a request");
    mediator.handle_request(ClientId(1), "somebody", request, NOW);
    room.obey(&mut mediator);
    assert_eq!(room.ask(1, "buzzers"), None, "it waits behind the connect");
    assert_eq!((room.ask(2, "hello"), room.ask(3, "hello")), (None, None));
    let announced = Announced {
        pool: pool.clone(),
        name: String::new(),
        place: String::new(),
        stamps: Stamps::Kernel,
        buzzers: vec![7],
        delay: DeviceDelay::default(),
        curve: None,
    };
    mediator.handle_opened(SLOT, 9, announced);
    mediator.handle_event(event(EventKind::Attached), || [0; 8]);
    room.obey(&mut mediator);
    let Some(Heard::Request(request)) = room.sessions[0].hear_parked(&room.outbox) else { panic!() };
    mediator.handle_request(ClientId(1), "somebody", request, NOW);
    let press = EventKind::Press { buzzer: Buzzer(7), rank: 0, flags: Flags::NONE, back_us: 0, early_us: 0 };
    mediator.handle_event(event(press), || [0; 8]);
    room.obey(&mut mediator);
    assert_eq!(room.told(1), ["connected desk [7]", "buzzers [(\"desk\", [7])]", "buzz desk 7"]);
    assert_eq!(room.told(2), ["what? 5", "there desk 7", "buzz desk 7"]);
    assert_eq!(
        room.told(3),
        [
            r#"{"error":"invalid_json","message":null,"cause":"hello"}"#,
            r#"{"event":"connected","pool":"desk","buzzer":7}"#,
            r#"{"event":"buzz","pool":"desk","buzzer":7}"#,
        ]
    );

    let records = room.records;
    let connect = records.iter().find(|record| matches!(record.fact, Fact::Connect { .. })).unwrap();
    let mut player = Player::new(vec![PoolKnown { id: pool, decided_seq: connect.seq }]);
    let mut room = Room::new();
    for client in [1, 3] {
        let text = if client == 1 { "connect desk" } else { r#"{"command":"connect","pool":"desk"}"# };
        let request = room.ask(client, text).expect("a request");
        player.handle_request(ClientId(client as u64), "somebody", request, NOW);
    }
    records.iter().for_each(|record| player.play(record));
    room.take(std::iter::from_fn(|| player.poll_output()));
    assert_eq!(room.told(1), ["connected desk [7]", "buzz desk 7"]);
    assert_eq!(room.told(2), ["there desk 7", "buzz desk 7"]);
    let result = r#"{"result":"connect","pool":"desk","buzzers":[7]}"#;
    assert_eq!(room.told(3), [result, r#"{"event":"buzz","pool":"desk","buzzer":7}"#]);
}
