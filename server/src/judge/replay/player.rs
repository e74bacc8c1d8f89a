//! Who is told what in a replay. In: records, clients' requests, the time. Out: [`Output`]s as from the mediator. Guarantee:
//! messages for all are the news of [`State::apply`], as live; a request is answered from the state at this point of the
//! recording and changes nothing. What a client sent behind a `connect` comes when that is answered, as live.
//!
//! A v1 client begins with `connect`, and without its success may give up. So a `connect` of a pool that is not connected yet
//! waits, as live, and gets the outcome that the recording has: success just before the pool's first event, or the error of then.

use std::collections::VecDeque;

use buzzer_core::time::KernelTime;

use crate::game::connects::{Connects, Pending};
use crate::game::mediator::Output;
use crate::game::request::names;
use crate::game::state::{News, State};
use crate::game::{Answer, ClientId, Request};
use crate::record::pool_id::PoolId;
use crate::record::{Fact, Record};

/// A pool that the recording tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolKnown {
    /// Its name.
    pub id: PoolId,
    /// The last record that connects it, or says why not; 0: none.
    pub decided_seq: u64,
}

/// The replay's counterpart of the mediator.
#[derive(Debug)]
pub struct Player {
    state: State,
    /// In the order in which the recording names them.
    pools: Vec<PoolKnown>,
    connects: Connects,
    out: VecDeque<Output>,
}

impl Player {
    /// A replay of a recording that tells of these pools.
    pub fn new(pools: Vec<PoolKnown>) -> Self {
        Self { state: State::default(), pools, connects: Connects::default(), out: VecDeque::new() }
    }

    /// The state at this point of the recording.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// The next thing to do, if it may be done now.
    pub fn poll_output_if(&mut self, may: impl FnOnce(&mut Output) -> bool) -> Option<Output> {
        self.out.pop_front_if(may)
    }

    /// How many things there are to do.
    pub fn outputs(&self) -> usize {
        self.out.len()
    }

    /// When [`Player::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<KernelTime> {
        self.connects.due()
    }

    /// A record from before what is played: it counts for the state, and nobody is told.
    pub fn skip(&mut self, record: &Record) {
        self.state.apply(record, |_| {});
    }

    /// The next record.
    pub fn play(&mut self, record: &Record) {
        let mut news: Vec<News> = Vec::new();
        self.state.apply(record, |item| news.push(item));
        let decided = match &record.fact {
            Fact::Connect { pool, .. } => self.connects.take(|pending| pending.pool == *pool),
            Fact::Refuse { pool, .. } => self.connects.take(|pending| pending.pool.as_str() == *pool),
            _ => None,
        };
        let askers = decided.map(|pending| pending.askers).unwrap_or_default();
        // As live: who asked has the result, with all buzzers, in place of the events.
        self.out.extend(news.into_iter().map(|item| Output::TellAll(item, askers.clone())));
        match &record.fact {
            Fact::Refuse { message, .. } => self.answer(&askers, &Answer::Refused(message.clone())),
            Fact::Connect { pool, .. } => self.answer(&askers, &Answer::connected(&self.state, pool)),
            _ => {}
        }
    }

    /// The recording is at its end.
    pub fn handle_end(&mut self) {
        self.refuse("the recording has ended", |_| true);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: KernelTime) {
        let text =
            "timed out: the recording connects this pool later; connect again, or replay faster (--speed)";
        self.refuse(text, |pending| pending.deadline() <= now);
    }

    /// A client is gone.
    pub fn handle_client_gone(&mut self, client: ClientId) {
        self.connects.part(client);
    }

    /// A client's request; what it asked for before is answered.
    pub fn handle_request(&mut self, client: ClientId, by: &str, request: Request, now: KernelTime) {
        let pools = self.pools.iter().map(|pool| &pool.id);
        let answer = match request {
            Request::ListPools => Answer::pools(pools),
            Request::ListBuzzers => Answer::buzzers(&self.state, pools),
            Request::Connect { pool } => match self.pools.iter().find(|known| known.id.as_str() == pool) {
                None => Answer::Refused(format!("no such pool in this recording; known: {}", names(pools))),
                Some(known) if self.state.is_connected(&known.id) => {
                    Answer::connected(&self.state, &known.id)
                }
                Some(known) if known.decided_seq > self.state.seq() => {
                    self.connects.ask(client, by, &known.id, now);
                    return;
                }
                Some(_) => Answer::Refused(format!(
                    "this is a recording, and pool {pool:?} is connected neither at this point (seq {}) nor later",
                    self.state.seq()
                )),
            },
        };
        self.out.push_back(Output::Tell(client, answer));
    }

    fn refuse(&mut self, why: &str, mut which: impl FnMut(&Pending) -> bool) {
        while let Some(pending) = self.connects.take(&mut which) {
            self.answer(&pending.askers, &Answer::Refused(why.to_owned()));
        }
    }

    fn answer(&mut self, askers: &[ClientId], answer: &Answer) {
        self.out.extend(askers.iter().map(|asker| Output::Tell(*asker, answer.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::game::connects::CONNECT_US;
    use crate::record::DeviceDelay;
    use crate::wire::Wire;
    use crate::wire::v1::{self, V1};

    const NOW: KernelTime = KernelTime::from_us(1000);

    fn attach() -> Fact {
        Fact::Attach {
            device: 1,
            pool: "desk".parse().unwrap(),
            name: String::new(),
            place: String::new(),
            stamps: crate::record::Stamps::Kernel,
            buzzers: vec![1, 2],
            delay: DeviceDelay::default(),
        }
    }

    fn connect() -> Fact {
        Fact::Connect { pool: "desk".parse().unwrap(), by: String::new(), asked_us: None }
    }

    fn refuse() -> Fact {
        Fact::Refuse {
            pool: "desk".into(),
            by: String::new(),
            message: "not plugged in".into(),
            times: 1,
            since_us: None,
        }
    }

    fn player(decided_seq: u64) -> Player {
        Player::new(vec![PoolKnown { id: "desk".parse().unwrap(), decided_seq }])
    }

    fn play(player: &mut Player, fact: Fact) {
        let seq = player.state.seq() + 1;
        player.play(&Record { seq, at_us: 0, fact });
    }

    fn ask(player: &mut Player, client: u64, text: &str) {
        player.handle_request(ClientId(client), "somebody", v1::parse(text).unwrap(), NOW);
    }

    /// What was told: to whom (`all`, but not those behind a bang), and what.
    fn told(player: &mut Player) -> Vec<String> {
        let outputs = std::iter::from_fn(|| player.poll_output());
        let told = outputs.map(|output| match output {
            Output::TellAll(news, except) => {
                let except: Vec<String> = except.iter().map(|client| format!("!{}", client.0)).collect();
                format!("all{} {}", except.concat(), V1.news(&news))
            }
            Output::Tell(client, answer) => format!("{} {}", client.0, V1.answer(&answer)),
            other => format!("{other:?}"),
        });
        told.collect()
    }

    const CONNECT: &str = r#"{"command":"connect","pool":"desk"}"#;
    const RESULT: &str = r#"{"result":"connect","pool":"desk","buzzers":[1,2]}"#;

    fn error(message: &str) -> String {
        format!(r#"{{"error":"connect","message":{message:?},"cause":null}}"#)
    }

    #[test]
    fn a_connect_gets_the_outcome_that_was_recorded() {
        let mut player = player(3);
        play(&mut player, attach());
        ask(&mut player, 7, CONNECT);
        ask(&mut player, 8, r#"{"list":"pools"}"#);
        let pools = r#"8 {"response":"pools","pools":["desk"]}"#;
        assert_eq!(told(&mut player), [pools], "it waits, and nobody else");
        play(&mut player, refuse());
        assert_eq!(told(&mut player), [format!("7 {}", error("not plugged in"))]);
        ask(&mut player, 7, CONNECT);
        ask(&mut player, 8, r#"{"list":"buzzers"}"#);
        assert_eq!(told(&mut player), [r#"8 {"response":"buzzers","pools":[]}"#]);
        play(&mut player, connect());
        let connected = |buzzer| format!(r#"all!7 {{"event":"connected","pool":"desk","buzzer":{buzzer}}}"#);
        assert_eq!(told(&mut player), [connected(1), connected(2), format!("7 {RESULT}")]);
        ask(&mut player, 8, CONNECT);
        ask(&mut player, 8, r#"{"list":"buzzers"}"#);
        let buzzers = r#"8 {"response":"buzzers","pools":[{"pool":"desk","buzzers":[1,2]}]}"#;
        assert_eq!(told(&mut player), [format!("8 {RESULT}"), buzzers.into()]);
    }

    #[test]
    fn a_connect_that_the_recording_does_not_decide_is_an_error_that_says_so() {
        let mut player = player(2);
        ask(&mut player, 7, r#"{"command":"connect","pool":"x"}"#);
        assert_eq!(
            told(&mut player),
            [format!("7 {}", error("no such pool in this recording; known: desk"))]
        );
        ask(&mut player, 7, CONNECT);
        assert_eq!(player.poll_timeout(), Some(NOW + CONNECT_US));
        player.handle_timeout(NOW + CONNECT_US);
        assert!(told(&mut player)[0].contains("timed out: the recording connects this pool later"));
        ask(&mut player, 7, CONNECT);
        player.handle_end();
        assert_eq!(told(&mut player), [format!("7 {}", error("the recording has ended"))]);
        play(&mut player, attach());
        play(&mut player, refuse());
        ask(&mut player, 7, CONNECT);
        assert!(told(&mut player)[0].contains("neither at this point (seq 2) nor later"));
    }

    #[test]
    fn a_connect_goes_with_its_client() {
        let mut player = player(9);
        ask(&mut player, 7, CONNECT);
        player.handle_client_gone(ClientId(7));
        play(&mut player, connect());
        assert_eq!(told(&mut player), [""; 0]);
    }
}
