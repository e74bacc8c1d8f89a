//! The seed's WebSocket messages, version 1, to the letter. In: the text of a client's message. Out: a [`Request`], or
//! the error message that answers it; and the texts of everything the mediator says. Guarantee: the keys and their
//! order are the seed's; nothing is added.

use serde::Serialize;
use serde_json::Value;

use crate::state::News;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `{"list":"buzzers"}`
    ListBuzzers,
    /// `{"list":"pools"}`
    ListPools,
    /// `{"command":"connect","pool":…}`
    Connect {
        /// The pool, as it was sent.
        pool: String,
    },
    /// It was no request; this is the answer.
    Bad {
        /// The error message.
        answer: String,
    },
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
    pool: &'a str,
    buzzer: B,
}

#[derive(Serialize)]
struct PoolBuzzers<'a> {
    pool: &'a str,
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
    pool: &'a str,
    buzzers: &'a [u16],
}

fn text(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("messages have string keys only")
}

/// Reads a text message. Checked in this order: JSON; an object; exactly one of `list` and `command`; its type; its
/// value; `pool`.
pub fn parse(raw: &str) -> Request {
    let unknown = || Request::Bad { answer: error("unknown_command", None, Some(raw)) };
    let wrong_type = |field: &str, expected: &str| {
        let message = format!("{field}: expected {expected}");
        Request::Bad { answer: error("invalid_data_type", Some(&message), Some(field)) }
    };
    let Ok(message) = serde_json::from_str::<Value>(raw) else { return bad_json(raw) };
    let Value::Object(message) = message else { return unknown() };
    let (field, asked) = match (message.get("list"), message.get("command")) {
        (Some(list), None) => ("list", list),
        (None, Some(command)) => ("command", command),
        _ => return unknown(),
    };
    let Value::String(asked) = asked else { return wrong_type(field, "a string") };
    match (field, asked.as_str()) {
        ("list", "buzzers") => Request::ListBuzzers,
        ("list", "pools") => Request::ListPools,
        ("command", "connect") => match message.get("pool") {
            Some(Value::String(pool)) => Request::Connect { pool: pool.clone() },
            _ => wrong_type("pool", "the id of a pool, a string"),
        },
        _ => unknown(),
    }
}

/// The answer to what is no JSON text, a binary message among it.
pub fn bad_json(raw: &str) -> Request {
    Request::Bad { answer: error("invalid_json", None, Some(raw)) }
}

fn error(error: &str, message: Option<&str>, cause: Option<&str>) -> String {
    text(&ErrorMessage { error, message, cause })
}

/// The error `connect`.
pub fn connect_error(message: &str) -> String {
    error("connect", Some(message), None)
}

/// The success of `connect`.
pub fn connect_result(pool: &str, buzzers: &[u16]) -> String {
    text(&ConnectResult { result: "connect", pool, buzzers })
}

/// The answer to `list pools`.
pub fn pools(pools: &[&str]) -> String {
    text(&Response { response: "pools", pools })
}

/// The answer to `list buzzers`.
pub fn buzzers<'a>(pools: impl Iterator<Item = (&'a str, &'a [u16])>) -> String {
    let pools: Vec<_> = pools.map(|(pool, buzzers)| PoolBuzzers { pool, buzzers }).collect();
    text(&Response { response: "buzzers", pools: &pools })
}

/// What every client is told.
pub fn event(news: &News) -> String {
    match news {
        News::Buzz { pool, buzzer } => text(&Event { event: "buzz", pool: pool.as_str(), buzzer }),
        News::Connected { pool, buzzer } => text(&Event { event: "connected", pool: pool.as_str(), buzzer }),
        News::Disconnected { pool, buzzer } => {
            text(&Event { event: "disconnected", pool: pool.as_str(), buzzer })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(raw: &str) -> String {
        match parse(raw) {
            Request::Bad { answer } => answer,
            request => panic!("{raw} is {request:?}"),
        }
    }

    #[test]
    fn requests_are_read() {
        for (raw, want) in [
            (r#"{"list":"buzzers"}"#, Request::ListBuzzers),
            (r#" { "list" : "pools", "extra": [1] } "#, Request::ListPools),
            (r#"{"pool":"a b","command":"connect"}"#, Request::Connect { pool: "a b".into() }),
        ] {
            assert_eq!(parse(raw), want);
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
    fn messages_are_the_seeds_to_the_letter() {
        let pool: crate::pool_id::PoolId = "a\"b".parse().unwrap();
        let told = |news| event(&news);
        for (got, want) in [
            (pools(&["x", "y"]), r#"{"response":"pools","pools":["x","y"]}"#),
            (
                buzzers([("x", &[1, 2][..])].into_iter()),
                r#"{"response":"buzzers","pools":[{"pool":"x","buzzers":[1,2]}]}"#,
            ),
            (connect_result("x", &[]), r#"{"result":"connect","pool":"x","buzzers":[]}"#),
            (connect_error("why"), r#"{"error":"connect","message":"why","cause":null}"#),
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
