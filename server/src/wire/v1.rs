//! The seed's WebSocket messages, version 1, to the letter. In: a client's message, and what the mediator says. Out: a [`Request`] or
//! a [`Complaint`], and texts. Guarantee: the keys and their order are the seed's; nothing is added.

use serde::Serialize;
use serde_json::Value;

use super::{Complaint, Wire};
use crate::game::state::News;
use crate::game::{Answer, Request};
use crate::record::pool_id::PoolId;

/// The version.
#[derive(Debug)]
pub struct V1;

impl Wire for V1 {
    fn name(&self) -> &'static str {
        "buzzer.v1"
    }

    fn read(&self, message: Vec<u8>) -> Result<Request, Complaint> {
        parse(message)
    }

    fn news(&self, news: &News) -> String {
        event(news)
    }

    fn answer(&self, answer: &Answer) -> String {
        match answer {
            Answer::Pools(pools) => text(&Response { response: "pools", pools }),
            Answer::Buzzers(pools) => {
                let pools: Vec<_> =
                    pools.iter().map(|(pool, buzzers)| PoolBuzzers { pool, buzzers }).collect();
                text(&Response { response: "buzzers", pools: &pools })
            }
            Answer::Connected(pool, buzzers) => text(&ConnectResult { result: "connect", pool, buzzers }),
            Answer::Refused(message) => error("connect", Some(message), None),
        }
    }

    fn complaint(&self, complaint: &Complaint) -> String {
        match complaint {
            Complaint::Unreadable(raw) => error("invalid_json", None, Some(&String::from_utf8_lossy(raw))),
            Complaint::Unknown(raw) => error("unknown_command", None, Some(&String::from_utf8_lossy(raw))),
            Complaint::InvalidField { field, expected } => {
                error("invalid_data_type", Some(&format!("{field}: expected {expected}")), Some(field))
            }
        }
    }
}

#[derive(Serialize)]
struct ErrorMessage<'a> {
    error: &'a str,
    message: Option<&'a str>,
    cause: Option<&'a str>,
}

#[derive(Serialize)]
struct Event<'a, B: Serialize> {
    event: &'a str,
    pool: &'a PoolId,
    buzzer: B,
}

#[derive(Serialize)]
struct PoolBuzzers<'a> {
    pool: &'a PoolId,
    buzzers: &'a [u16],
}

#[derive(Serialize)]
struct Response<'a, P: Serialize> {
    response: &'a str,
    pools: &'a [P],
}

#[derive(Serialize)]
struct ConnectResult<'a> {
    result: &'a str,
    pool: &'a PoolId,
    buzzers: &'a [u16],
}

fn text(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("messages have string keys only")
}

/// Reads a message. Checked in this order: JSON; an object; exactly one of `list` and `command`; its type; its
/// value; `pool`.
///
/// # Errors
/// [`Complaint`].
pub fn parse(raw: impl Into<Vec<u8>>) -> Result<Request, Complaint> {
    let raw = raw.into();
    match serde_json::from_slice(&raw) {
        Err(_) => Err(Complaint::Unreadable(raw)),
        Ok(message) => request(&message).unwrap_or(Err(Complaint::Unknown(raw))),
    }
}

/// `None`: it is none that is known.
fn request(message: &Value) -> Option<Result<Request, Complaint>> {
    let wrong_type = |field, expected| Some(Err(Complaint::InvalidField { field, expected }));
    let Value::Object(message) = message else { return None };
    let (field, asked) = match (message.get("list"), message.get("command")) {
        (Some(list), None) => ("list", list),
        (None, Some(command)) => ("command", command),
        _ => return None,
    };
    let Value::String(asked) = asked else { return wrong_type(field, "a string") };
    match (field, asked.as_str()) {
        ("list", "buzzers") => Some(Ok(Request::ListBuzzers)),
        ("list", "pools") => Some(Ok(Request::ListPools)),
        ("command", "connect") => match message.get("pool") {
            Some(Value::String(pool)) => Some(Ok(Request::Connect { pool: pool.clone() })),
            _ => wrong_type("pool", "the id of a pool, a string"),
        },
        _ => None,
    }
}

fn error(error: &str, message: Option<&str>, cause: Option<&str>) -> String {
    text(&ErrorMessage { error, message, cause })
}

/// What every client is told.
pub fn event(news: &News) -> String {
    match news {
        News::Buzz { pool, buzzer } => text(&Event { event: "buzz", pool, buzzer }),
        News::Connected { pool, buzzer } => text(&Event { event: "connected", pool, buzzer }),
        News::Disconnected { pool, buzzer } => text(&Event { event: "disconnected", pool, buzzer }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(raw: &str) -> String {
        match parse(raw) {
            Err(complaint) => V1.complaint(&complaint),
            Ok(request) => panic!("{raw} is {request:?}"),
        }
    }

    #[test]
    fn requests_are_read() {
        for (raw, want) in [
            (r#"{"list":"buzzers"}"#, Request::ListBuzzers),
            (r#" { "list" : "pools", "extra": [1] } "#, Request::ListPools),
            (r#"{"pool":"a b","command":"connect"}"#, Request::Connect { pool: "a b".into() }),
        ] {
            assert_eq!(parse(raw), Ok(want));
        }
    }

    #[test]
    fn errors_are_the_seeds_to_the_letter() {
        let invalid_json =
            |cause: &str| format!(r#"{{"error":"invalid_json","message":null,"cause":{cause}}}"#);
        let unknown =
            |cause: &str| format!(r#"{{"error":"unknown_command","message":null,"cause":{cause}}}"#);
        let string = |field: &str| {
            format!(
                r#"{{"error":"invalid_data_type","message":"{field}: expected a string","cause":"{field}"}}"#
            )
        };
        let pool = r#"{"error":"invalid_data_type","message":"pool: expected the id of a pool, a string","cause":"pool"}"#;
        for (raw, want) in [
            ("", invalid_json(r#""""#)),
            (r#"{"list":"#, invalid_json(r#""{\"list\":""#)),
            ("[]", unknown(r#""[]""#)),
            ("null", unknown(r#""null""#)),
            ("{}", unknown(r#""{}""#)),
            (r#"{"list":"x"}"#, unknown(r#""{\"list\":\"x\"}""#)),
            (r#"{"list":"pools","command":1}"#, unknown(r#""{\"list\":\"pools\",\"command\":1}""#)),
            (r#"{"command":"disconnect"}"#, unknown(r#""{\"command\":\"disconnect\"}""#)),
            (r#"{"list":null}"#, string("list")),
            (r#"{"list":1,"pool":1}"#, string("list")),
            (r#"{"command":["connect"]}"#, string("command")),
            (r#"{"command":"connect"}"#, pool.into()),
            (r#"{"command":"connect","pool":null}"#, pool.into()),
            (r#"{"command":"connect","pool":7}"#, pool.into()),
        ] {
            assert_eq!(answer(raw), want);
        }
    }

    #[test]
    fn what_is_no_text_is_no_json() {
        let Err(complaint) = parse(b"{\"list\":\"\xff\"}") else { panic!() };
        let want =
            "{\"error\":\"invalid_json\",\"message\":null,\"cause\":\"{\\\"list\\\":\\\"\u{fffd}\\\"}\"}";
        assert_eq!(V1.complaint(&complaint), want);
    }

    #[test]
    fn messages_are_the_seeds_to_the_letter() {
        let pool: PoolId = "a\"b".parse().unwrap();
        let named = |id: &str| id.parse::<PoolId>().unwrap();
        let told = |news| event(&news);
        for (got, want) in [
            (
                V1.answer(&Answer::Pools(vec![named("x"), named("y")])),
                r#"{"response":"pools","pools":["x","y"]}"#,
            ),
            (
                V1.answer(&Answer::Buzzers(vec![(named("x"), vec![1, 2])])),
                r#"{"response":"buzzers","pools":[{"pool":"x","buzzers":[1,2]}]}"#,
            ),
            (
                V1.answer(&Answer::Connected(named("x"), vec![])),
                r#"{"result":"connect","pool":"x","buzzers":[]}"#,
            ),
            (
                V1.answer(&Answer::Refused("why".into())),
                r#"{"error":"connect","message":"why","cause":null}"#,
            ),
            (
                told(News::Buzz { pool: pool.clone(), buzzer: 3 }),
                r#"{"event":"buzz","pool":"a\"b","buzzer":3}"#,
            ),
            (
                told(News::Connected { pool: pool.clone(), buzzer: 3 }),
                r#"{"event":"connected","pool":"a\"b","buzzer":3}"#,
            ),
            (
                told(News::Disconnected { pool, buzzer: None }),
                r#"{"event":"disconnected","pool":"a\"b","buzzer":null}"#,
            ),
        ] {
            assert_eq!(got, want);
        }
    }
}
