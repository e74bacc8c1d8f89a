//! The seed's WebSocket messages, version 1, to the letter. In: a client's message. Out: a [`Request`], or
//! the [`Complaint`] that answers it; and the texts of everything the mediator says. Guarantee: the keys and their
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
}

/// Why a message is no request. It keeps the message as it came; a text is made of it when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// It is no JSON text.
    InvalidJson(Vec<u8>),
    /// It is none of those that are known.
    UnknownCommand(Vec<u8>),
    /// A field has the wrong type, or is missing.
    InvalidDataType {
        /// The field.
        field: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
}

impl Complaint {
    /// The error message.
    pub fn text(&self) -> String {
        match self {
            Self::InvalidJson(raw) => error("invalid_json", None, Some(&String::from_utf8_lossy(raw))),
            Self::UnknownCommand(raw) => error("unknown_command", None, Some(&String::from_utf8_lossy(raw))),
            Self::InvalidDataType { field, expected } => {
                error("invalid_data_type", Some(&format!("{field}: expected {expected}")), Some(field))
            }
        }
    }

    /// How long the message is that it keeps.
    pub const fn waiting_bytes(&self) -> usize {
        match self {
            Self::InvalidJson(raw) | Self::UnknownCommand(raw) => raw.capacity(),
            Self::InvalidDataType { .. } => 0,
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

/// Reads a message. Checked in this order: JSON; an object; exactly one of `list` and `command`; its type; its
/// value; `pool`.
///
/// # Errors
/// [`Complaint`].
pub fn parse(raw: impl Into<Vec<u8>>) -> Result<Request, Complaint> {
    let raw = raw.into();
    match serde_json::from_slice(&raw) {
        Err(_) => Err(Complaint::InvalidJson(raw)),
        Ok(message) => request(&message).unwrap_or(Err(Complaint::UnknownCommand(raw))),
    }
}

/// `None`: it is none that is known.
fn request(message: &Value) -> Option<Result<Request, Complaint>> {
    let wrong_type = |field, expected| Some(Err(Complaint::InvalidDataType { field, expected }));
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
            Err(complaint) => complaint.text(),
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
        assert_eq!(complaint.text(), want);
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
