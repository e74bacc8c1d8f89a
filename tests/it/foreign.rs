//! A WebSocket client that no one here wrote: Python's `websockets`. In: the daemon and `foreign.py`. Out: the seed's
//! messages as that library read them. Guarantee: without Python or the library a line says that this was left out.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use buzzer_tests::{Home, left_out};
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("foreign.py");

/// A Python that has the library: `$BUZZERD_PYTHON`, the first on the path, or the system's, for which Debian packages it.
fn python() -> Option<String> {
    let chosen = std::env::var("BUZZERD_PYTHON").ok();
    let candidates = chosen.into_iter().chain(["python3".to_owned(), "/usr/bin/python3".to_owned()]);
    let mut troubles = Vec::new();
    for python in candidates {
        let tried = Command::new(&python).args(["-c", "import websockets"]).output();
        match tried {
            Ok(output) if output.status.success() => return Some(python),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                troubles.push(format!("{python}: {}", said.lines().last().unwrap_or("failed")));
            }
            Err(error) => troubles.push(format!("{python}: {error}")),
        }
    }
    left_out("a WebSocket client that no one here wrote", &troubles.join("; "));
    None
}

#[test]
fn a_client_that_no_one_here_wrote_reads_the_buzz_message() {
    let Some(python) = python() else { return };
    let home = Home::desk("debounce_us = 0");
    let daemon = home.serve();
    let mut desk = home.attach(2);
    home.journal().wait_attached(1);
    let mut client = Command::new(python)
        .args(["-c", SCRIPT, &format!("ws://{}/some/path", daemon.address())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it ran before");
    let mut stdin = client.stdin.take().expect("its stdin");
    let mut lines = BufReader::new(client.stdout.take().expect("its stdout")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let mut ask = |text: &str| writeln!(stdin, "{text}").expect("it reads");
    assert_eq!(next(), json!({"subprotocol": "buzzer.v1"}));
    ask(r#"{"list": "pools"}"#);
    assert_eq!(next(), json!({"response": "pools", "pools": ["desk"]}));
    ask(r#"{"command": "connect", "pool": "desk"}"#);
    assert_eq!(next(), json!({"result": "connect", "pool": "desk", "buzzers": [1, 2]}));
    for buzzer in [2, 1, 2] {
        desk.hit(buzzer);
        assert_eq!(next(), json!({"event": "buzz", "pool": "desk", "buzzer": buzzer}));
    }
    ask("nonsense");
    assert_eq!(next(), json!({"error": "invalid_json", "message": null, "cause": "nonsense"}));
    drop(desk);
    assert_eq!(next(), json!({"event": "disconnected", "pool": "desk", "buzzer": null}));
    let ended = daemon.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(next(), json!({"closed": 1001}));
    assert!(client.wait().expect("its status").success());
}
