//! `server/PROTOCOL.md`, example by example. In: the document. Out: each of its messages sent to, or told by, a real daemon.
//! Guarantee: no message of the document is left out, and no kind of message of version 1 is missing from it.

use std::collections::BTreeMap;

use buzzer_tests::{Attachment, Client, Home};

const DOCUMENT: &str = include_str!("../../server/PROTOCOL.md");

/// The lines of all blocks marked `v1`.
fn examples() -> Vec<&'static str> {
    let blocks = DOCUMENT.split("\n```v1\n").skip(1);
    blocks.flat_map(|rest| rest.split("\n```").next().expect("an end").lines()).collect()
}

/// The box of the examples.
struct Scene {
    home: Home,
    pads: BTreeMap<String, Attachment>,
    attached: usize,
}

impl Scene {
    /// `desk: buzzers 1 2 are plugged in`, `desk: buzzers 1 2 are unplugged`, `desk: buzzer 1 is pressed`.
    fn act(&mut self, action: &str) {
        let (pool, what) = action.split_once(": ").expect("a pool");
        if let Some(buzzer) = what.strip_prefix("buzzer ").and_then(|rest| rest.strip_suffix(" is pressed")) {
            let has = |name: &String| name.split(' ').skip(1).any(|number| number == buzzer);
            let pad = self.pads.iter_mut().find(|(name, _)| name.starts_with(pool) && has(name));
            return pad.expect("a pad").1.hit(buzzer.parse().expect("a number"));
        }
        let what = what.strip_prefix("buzzers ").expect("buzzers");
        if let Some(numbers) = what.strip_suffix(" are plugged in") {
            let buzzers: Vec<u16> =
                numbers.split(' ').map(|number| number.parse().expect("a number")).collect();
            let pad = Attachment::open(&self.home.socket(pool), "pad", &buzzers);
            self.attached += 1;
            self.home.journal().wait_attached(self.attached);
            self.pads.insert(format!("{pool} {numbers}"), pad);
        } else if let Some(numbers) = what.strip_suffix(" are unplugged") {
            self.pads.remove(&format!("{pool} {numbers}")).expect("it is plugged in");
        } else {
            panic!("{action}");
        }
    }
}

#[test]
fn every_example_is_what_a_daemon_says() {
    let pool = |id| format!("[[pool]]\nid = \"{id}\"\nsocket = \"$DIR/{id}.sock\"\n");
    let home = Home::new(&(pool("desk") + &pool("table")));
    let daemon = home.serve();
    let (mut client, mut other) = (daemon.client(), daemon.client());
    // Both are clients before anything is told.
    let known = |client: &mut Client| client.ask(r#"{"list":"pools"}"#);
    assert_eq!(known(&mut client), known(&mut other));
    let mut scene = Scene { home, pads: BTreeMap::new(), attached: 0 };
    let mut sent = 0;
    for line in examples() {
        if let Some(action) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            scene.act(action);
        } else if let Some(request) = line.strip_prefix("> ") {
            client.send(request);
            sent += 1;
        } else if let Some(told) = line.strip_prefix("<< ") {
            assert_eq!(other.text(), told, "told to others");
        } else {
            let told = line.strip_prefix("< ").unwrap_or_else(|| panic!("{line:?} is no example"));
            assert_eq!(client.text(), told, "told to the client");
        }
    }
    assert!(sent > 10, "{sent} requests");
    client.expect_nothing();
    other.expect_nothing();
}

#[test]
fn every_kind_of_message_has_an_example() {
    for kind in [
        r#"> {"list":"pools"}"#,
        r#"> {"list":"buzzers"}"#,
        r#"> {"command":"connect","#,
        r#"< {"response":"pools","#,
        r#"< {"response":"buzzers","#,
        r#"< {"result":"connect","#,
        r#"< {"event":"buzz","#,
        r#"< {"event":"connected","#,
        r#"< {"event":"disconnected","pool":"desk","buzzer":5}"#,
        r#"< {"event":"disconnected","pool":"desk","buzzer":null}"#,
        r#"< {"error":"connect","#,
        r#"< {"error":"invalid_json","#,
        r#"< {"error":"unknown_command","#,
        r#"< {"error":"invalid_data_type","#,
    ] {
        assert!(examples().iter().any(|line| line.starts_with(kind)), "{kind}");
    }
}
