//! Who is told what in a replay. In: records, clients' requests, the time. Out: [`Output`]s as from the mediator. Guarantee:
//! messages for all are the news of [`State::apply`], as live; a request is answered from the state at this point of the
//! recording and changes nothing. What a client sent behind a `connect` comes when that is answered, as live.
//!
//! A v1 client begins with `connect`, and without its success may give up. So a `connect` of a pool that is not connected yet
//! waits, as live, and gets the outcome that the recording has: success just before the pool's first event, or the error of then.

use std::collections::VecDeque;

use buzzer_core::time::{KernelTime, Micros};

use crate::mediator::Output;
use crate::outbox::ClientId;
use crate::pool_id::PoolId;
use crate::record::{Fact, Record};
use crate::state::{News, State};
use crate::v1::{self, Request};

/// How long a `connect` may take, as live.
const CONNECT_US: Micros = Micros::from_ms(5000);

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
    pending: Vec<Pending>,
    out: VecDeque<Output>,
}

#[derive(Debug)]
struct Pending {
    client: ClientId,
    pool: PoolId,
    deadline: KernelTime,
}

impl Player {
    /// A replay of a recording that tells of these pools.
    pub fn new(pools: Vec<PoolKnown>) -> Self {
        Self { state: State::default(), pools, pending: Vec::new(), out: VecDeque::new() }
    }

    /// The state at this point of the recording.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Player::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<KernelTime> {
        self.pending.iter().map(|pending| pending.deadline).min()
    }

    /// A record from before what is played: it counts for the state, and nobody is told.
    pub fn skip(&mut self, record: &Record) {
        self.state.apply(record, |_| {});
    }

    /// The next record.
    pub fn play(&mut self, record: &Record) {
        let mut news: Vec<News> = Vec::new();
        self.state.apply(record, |item| news.push(item));
        let askers = match &record.fact {
            Fact::Connect { pool, .. } => self.take_pending(|pending| pending.pool == *pool),
            Fact::Refuse { pool, .. } => self.take_pending(|pending| pending.pool.as_str() == *pool),
            _ => Vec::new(),
        };
        // As live: who asked has the result, with all buzzers, in place of the events.
        self.out.extend(news.iter().map(|item| Output::TellAll(v1::event(item), askers.clone())));
        if askers.is_empty() {
            return;
        }
        let answer = match &record.fact {
            Fact::Refuse { message, .. } => v1::connect_error(message),
            Fact::Connect { pool, .. } => self.result(pool),
            _ => return,
        };
        self.answer(&askers, &answer);
    }

    /// The recording is at its end.
    pub fn handle_end(&mut self) {
        let askers = self.take_pending(|_| true);
        self.answer(&askers, &v1::connect_error("the recording has ended"));
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: KernelTime) {
        let askers = self.take_pending(|pending| pending.deadline <= now);
        let text =
            "timed out: the recording connects this pool later; connect again, or replay faster (--speed)";
        self.answer(&askers, &v1::connect_error(text));
    }

    /// A client is gone.
    pub fn handle_client_gone(&mut self, client: ClientId) {
        self.pending.retain(|pending| pending.client != client);
    }

    /// A client sent a message; what it sent before is answered.
    pub fn handle_request(&mut self, client: ClientId, request: Request, now: KernelTime) {
        let answer = match request {
            Request::ListPools => {
                let ids: Vec<&str> = self.pools.iter().map(|pool| pool.id.as_str()).collect();
                v1::pools(&ids)
            }
            Request::ListBuzzers => {
                let connected = self.pools.iter().filter(|pool| self.state.is_connected(&pool.id));
                let pools: Vec<(&str, Vec<u16>)> = connected
                    .map(|pool| (pool.id.as_str(), self.state.buzzers(&pool.id).into_iter().collect()))
                    .filter(|(_, buzzers): &(_, Vec<u16>)| !buzzers.is_empty())
                    .collect();
                v1::buzzers(pools.iter().map(|(pool, buzzers)| (*pool, buzzers.as_slice())))
            }
            Request::Connect { pool } => match self.connect(&pool) {
                Ok(answer) => answer,
                Err(pool) => {
                    self.pending.push(Pending { client, pool, deadline: now + CONNECT_US });
                    return;
                }
            },
        };
        self.out.push_back(Output::Tell(client, answer));
    }

    /// The answer to a `connect`, or the pool whose outcome has to be waited for.
    fn connect(&self, pool: &str) -> Result<String, PoolId> {
        let Some(known) = self.pools.iter().find(|known| known.id.as_str() == pool) else {
            let known: Vec<&str> = self.pools.iter().map(|known| known.id.as_str()).collect();
            let known = if known.is_empty() { "there is none".into() } else { known.join(", ") };
            return Ok(v1::connect_error(&format!("no such pool in this recording; known: {known}")));
        };
        if self.state.is_connected(&known.id) {
            return Ok(self.result(&known.id));
        }
        if known.decided_seq > self.state.seq() {
            return Err(known.id.clone());
        }
        Ok(v1::connect_error(&format!(
            "this is a recording, and pool {pool:?} is connected neither at this point (seq {}) nor later",
            self.state.seq()
        )))
    }

    fn result(&self, pool: &PoolId) -> String {
        let buzzers: Vec<u16> = self.state.buzzers(pool).into_iter().collect();
        v1::connect_result(pool.as_str(), &buzzers)
    }

    fn take_pending(&mut self, mut which: impl FnMut(&Pending) -> bool) -> Vec<ClientId> {
        let taken = self.pending.extract_if(.., |pending| which(pending));
        taken.map(|pending| pending.client).collect()
    }

    /// Answers a `connect`.
    fn answer(&mut self, askers: &[ClientId], answer: &str) {
        self.out.extend(askers.iter().map(|asker| Output::Tell(*asker, answer.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::DeviceDelay;

    const NOW: KernelTime = KernelTime::from_us(1000);

    fn attach() -> Fact {
        Fact::Attach {
            device: 1,
            pool: "desk".parse().unwrap(),
            name: String::new(),
            place: String::new(),
            stamps: "kernel".into(),
            buzzers: vec![1, 2],
            delay: DeviceDelay::default(),
        }
    }

    fn connect() -> Fact {
        Fact::Connect { pool: "desk".parse().unwrap(), by: String::new() }
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
        player.handle_request(ClientId(client), v1::parse(text).unwrap(), NOW);
    }

    /// What was told: to whom (`all`, but not those behind a bang), and what.
    fn told(player: &mut Player) -> Vec<String> {
        let outputs = std::iter::from_fn(|| player.poll_output());
        let told = outputs.map(|output| match output {
            Output::TellAll(text, except) => {
                let except: Vec<String> = except.iter().map(|client| format!("!{}", client.0)).collect();
                format!("all{} {text}", except.concat())
            }
            Output::Tell(client, text) => format!("{} {text}", client.0),
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
        assert_eq!(player.poll_timeout(), None);
        play(&mut player, connect());
        assert_eq!(told(&mut player), [""; 0]);
    }
}
