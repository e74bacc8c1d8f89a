//! A line read as strictly as LOG.md draws it. In: a line that stands in its place. Out: its record, or a kind that is not known
//! here. Guarantee: no key comes twice, every number is an integer from -2^63 to 2^64 - 1, and a kind that is known here has the
//! keys and types of that kind; so two readers of one line never see two records.

use std::fmt;

use buzzer_core::quote::Quoted;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::log::Line;
use crate::record::{Fact, Record};

/// What a line says.
#[allow(clippy::large_enum_variant, reason = "one at a time is there, and it is nearly always a record")]
#[derive(Debug)]
pub enum Said {
    /// A record.
    Record(Record),
    /// A record of this kind, which a later buzzerd added.
    Unknown(String),
}

/// Why nobody can say what a line says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// Reads a line.
///
/// # Errors
/// [`Unreadable`].
pub fn read(line: &Line<'_>) -> Result<Said, Unreadable> {
    let form = |why: &str| Unreadable(format!("it cannot be read as a record: {why}"));
    let bad = |error: serde_json::Error| form(&plain(&error.to_string()));
    let mut json = serde_json::Deserializer::from_slice(line.bytes());
    Integers.deserialize(&mut json).and_then(|()| json.end()).map_err(bad)?;
    let Outer { kind: Some(kind), at_us: Some(_) } = serde_json::from_slice(line.bytes()).map_err(bad)?
    else {
        return Err(form("it has no kind, or no time"));
    };
    match line.record() {
        Ok(record) => Ok(Said::Record(record)),
        Err(_) if !Fact::KINDS.contains(&&*kind) => Ok(Said::Unknown(kind)),
        Err(error) => {
            let why = plain(&error.to_string());
            Err(Unreadable(format!("it says that it is of kind {kind}, and cannot be read as one: {why}")))
        }
    }
}

/// What the parser says, without the words of its language and a place that is not the reader's.
fn plain(text: &str) -> String {
    let text = text.split(" at line ").next().unwrap_or_default();
    let types = [
        ("u8", "an integer"),
        ("u16", "an integer up to 65535"),
        ("u32", "an integer up to 4294967295"),
        ("u64", "an integer"),
        ("i32", "an integer"),
        ("i64", "an integer"),
        ("a boolean", "true or false"),
        ("a sequence", "a list"),
    ];
    match types.iter().find(|(word, _)| text.ends_with(&format!("expected {word}"))) {
        Some((word, plain)) => format!("{}{plain}", &text[..text.len() - word.len()]),
        None => text.to_owned(),
    }
}

/// The keys of the line that every record has.
#[derive(Deserialize)]
struct Outer {
    kind: Option<String>,
    at_us: Option<u64>,
}

/// A value whose numbers are integers and whose keys come once, at any depth.
#[derive(Clone, Copy)]
struct Integers;

impl<'de> DeserializeSeed<'de> for Integers {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Integers {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer from -2^63 to 2^64 - 1")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Self)?;
            if keys.contains(&key) {
                return Err(de::Error::custom(format!("the key {} comes twice", Quoted(&key))));
            }
            keys.push(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::ChainHash;

    fn said(rest: &str) -> Result<Said, String> {
        let body = [br#"{"v":1,"seq":7"#, rest.as_bytes()].concat();
        said_of(&body)
    }

    fn said_of(body: &[u8]) -> Result<Said, String> {
        let hash = ChainHash::START.of_next(body);
        let line = [body, br#","h":""#, hash.as_str().as_bytes(), br#""}"#].concat();
        read(&Line::parse(&line).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_kinds_are_those_of_the_vocabulary() {
        // `unknown variant ``, expected one of `start`, `attach`, …`
        let error = serde_json::from_str::<Fact>(r#"{"kind":""}"#).unwrap_err().to_string();
        let mut read: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        let mut named = Fact::KINDS.to_vec();
        read.sort_unstable();
        named.sort_unstable();
        assert_eq!(named, read);
    }

    #[test]
    fn what_is_known_is_read_and_what_was_added_later_is_passed_over() {
        for rest in [
            r#","at_us":5,"kind":"ring_full","waiting_max":9"#,
            r#","at_us":5,"kind":"ring_full","waiting_max":9,"new":[{"a":[1,null,true,"x"]}]"#,
            r#","kind":"ring_full","waiting_max":9,"at_us":5"#,
        ] {
            assert!(matches!(said(rest), Ok(Said::Record(record)) if record.at_us == 5), "{rest}");
        }
        let press = r#","at_us":5,"kind":"press","pool":"a","buzzer":1,"device":1,"final_at_us":48"#;
        let found = said(&format!("{press},\"delay_us\":[-43,1000]"));
        let is_read = |record: &Record| matches!(record.fact, Fact::Press { delay_us: [-43, 1000], .. });
        assert!(matches!(&found, Ok(Said::Record(record)) if is_read(record)), "{found:?}");
        let found = said(r#","at_us":5,"kind":"round","question":{"number":4}"#);
        assert!(matches!(found, Ok(Said::Unknown(kind)) if kind == "round"));
    }

    #[test]
    fn a_line_of_a_known_kind_that_cannot_be_read_is_no_unknown_kind() {
        for (rest, why) in [
            (
                r#","at_us":5,"kind":"lost","first_seq":1"#,
                "kind lost, and cannot be read as one: missing field `last_seq`",
            ),
            (r#","at_us":5,"kind":"ring_full","waiting_max":"9""#, "expected an integer up to 4294967295"),
            (r#","at_us":5,"kind":"ring_full","waiting_max":4294967296"#, "kind ring_full"),
            (
                r#","at_us":5,"kind":"ring_full","waiting_max":9.0"#,
                "expected an integer from -2^63 to 2^64 - 1",
            ),
            (r#","at_us":5,"kind":"ring_full","waiting_max":9e0"#, "expected an integer"),
            (r#","at_us":5,"kind":"ring_full","waiting_max":-9"#, "integer `-9`, expected an integer up to"),
            (r#","at_us":-5,"kind":"ring_full","waiting_max":9"#, "integer `-5`, expected an integer"),
            (r#","at_us":5,"kind":"round","x":-0"#, "expected an integer"),
            (r#","at_us":5,"kind":"round","x":-9223372036854775809"#, "expected an integer"),
            (r#","at_us":5.0,"kind":"ring_full","waiting_max":9"#, "expected an integer"),
            (
                r#","at_us":5,"kind":"ring_full","waiting_max":9,"waiting_max":8"#,
                r#"the key "waiting_max" comes twice"#,
            ),
            (r#","at_us":5,"kind":"ring_full","waiting_max":9,"seq":8"#, r#"the key "seq" comes twice"#),
            (r#","at_us":5,"kind":"ring_full","waiting_max":9,"at_us":8"#, r#"the key "at_us" comes twice"#),
            (
                r#","at_us":5,"kind":"ring_full","waiting_max":9,"kind":"stop""#,
                r#"the key "kind" comes twice"#,
            ),
            (r#","at_us":5,"kind":"ring_full","waiting_max":9,"v":1"#, r#"the key "v" comes twice"#),
            (r#","at_us":5,"kind":"ring_full","waiting_max":9,"h":"""#, r#"the key "h" comes twice"#),
            (
                r#","at_us":5,"kind":"ring_full","waiting_max":9,"x":{"a":1,"\u0061":2}"#,
                r#"the key "a" comes twice"#,
            ),
            (r#","at_us":5,"kind":"ring_full","waiting_max":9,"x":[0.5]"#, "expected an integer"),
            // Of a kind that is not known here too.
            (r#","at_us":5,"kind":"round","x":0.5"#, "expected an integer"),
            (r#","at_us":5,"kind":"round","x":1,"x":1"#, "comes twice"),
            (r#","at_us":5,"kind":5"#, "expected a string"),
            (r#","at_us":5"#, "no kind"),
            (r#","kind":"stop""#, "no time"),
            (r#","at_us":5,"kind":"stop",x"#, "cannot be read"),
            (r#","at_us":5,"kind":"stop"}{"a":1"#, "cannot be read"),
            (r#","at_us":5,"kind":"press","pool":"","buzzer":1,"device":1"#, "kind press"),
        ] {
            let found = said(rest).map(|_| ()).expect_err(rest);
            assert!(found.contains(why), "{rest}: {found}");
        }
        let found = said_of(b"{\"v\":1,\"seq\":7,\"at_us\":5,\"kind\":\"stop\",\"x\":\"\xff\"");
        assert!(found.is_err(), "it is not UTF-8");
    }
}
