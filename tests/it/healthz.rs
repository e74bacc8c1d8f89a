//! `/healthz`, asked as a script would. In: daemons with many buttons and pools. Out: the page. Guarantee: it has a bound,
//! and what does not fit is found on the pages of `/healthz?buttons`.

use std::collections::BTreeSet;
use std::fs;

use buzzer_server::record::Fact;
use buzzer_tests::harness::attachment::key;
use buzzer_tests::{Attachment, Daemon, Home};
use serde_json::{Value, json};

fn page(daemon: &Daemon, path: &str) -> (usize, Value) {
    let (head, body) = daemon.get(path);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    (body.len(), serde_json::from_str(&body).unwrap_or_else(|error| panic!("{body}: {error}")))
}

/// Attaches a pad with as many keys as there can be, to buzzers from `first` on.
fn pad(home: &Home, first: u16) -> (Attachment, u16) {
    let keys: Vec<_> = (1..=60).map(|nth| (key(nth), first + nth)).collect();
    (Attachment::open_keys(&home.socket("desk"), "pad", keys.into_iter()), 60)
}

#[test]
fn the_page_is_small_with_any_number_of_buttons_and_the_others_are_on_pages_of_their_own() {
    let home = Home::desk("debounce_us = 0");
    let daemon = home.serve();
    let mut client = daemon.desk();
    let mut pads: Vec<_> = (0..18).map(|nth| pad(&home, 100 * nth)).collect();
    home.journal().wait_attached(pads.len());
    let all: usize = pads.iter().map(|(_, keys)| usize::from(*keys)).sum();
    for (pad, keys) in &mut pads {
        (1..=*keys).for_each(|buzzer| pad.press(buzzer));
    }
    let mut buzzes = 0;
    while buzzes < all {
        buzzes += usize::from(client.json()["event"] == "buzz");
    }
    let (bytes, health) = page(&daemon, "/healthz");
    assert!(bytes < 4096, "{bytes}");
    assert_eq!(
        health["button_sums"],
        json!({"all": all, "proved": 0, "held": all, "stuck": 0, "chattering": 0, "unheard": 0})
    );
    let troubled = health["troubled"].as_array().expect("a list");
    assert!((8..all).contains(&troubled.len()), "{health}");
    assert!(troubled.iter().all(|button| button["pool"] == "desk" && button["held_us"].is_u64()), "{health}");
    assert_eq!(health.get("buttons"), None);

    let mut seen = BTreeSet::new();
    let mut path = "/healthz?buttons".to_owned();
    loop {
        let (bytes, health) = page(&daemon, &path);
        assert!(bytes < 100 * 1024, "{bytes}");
        let buttons = health["buttons"].as_array().expect("a list");
        assert!(buttons.iter().all(|button| button["held"] == true && button["proved"] == false));
        seen.extend(buttons.iter().map(|button| button["buzzer"].as_u64().expect("a number")));
        let Some(next) = health["next"].as_str() else { break };
        path = format!("/healthz?buttons={next}");
    }
    assert_eq!(seen.len(), all);

    // Somebody who prepares the match asks too.
    let config = fs::read_to_string(home.config()).expect("the configuration");
    fs::write(home.config(), config.replace("127.0.0.1:0", &daemon.address().to_string())).expect("a file");
    let doctor = home.command(&["doctor", "--json"]).stdout(std::process::Stdio::piped()).output();
    let said = String::from_utf8(doctor.expect("it runs").stdout).expect("text");
    let of_daemon = said.lines().find(|line| line.contains(r#""check":"daemon""#)).expect("a finding");
    assert!(of_daemon.contains(r#""verdict":"ok""#), "{of_daemon}");
}

#[test]
fn the_page_is_small_with_any_number_of_pools() {
    let pools = |nth| format!("[[pool]]\nid = '{}{nth:03}'\nsocket = \"$DIR/{nth}.sock\"\n", "\"".repeat(50));
    let home = Home::new(&(0..100).map(pools).collect::<String>());
    let daemon = home.serve();
    let (bytes, health) = page(&daemon, "/healthz");
    assert!(bytes < 4096, "{bytes}");
    assert_eq!(health["pool_count"], 100);
    let listed = health["pools"].as_array().expect("a list").len();
    assert!((8..100).contains(&listed), "{health}");
}

#[test]
fn a_pool_that_is_wanted_and_has_nothing_waits() {
    let home = Home::desk("autoconnect = true");
    let daemon = home.serve();
    assert_eq!(page(&daemon, "/healthz").1["pools"][0]["waiting"], true);
    let _desk = home.attach(1);
    home.journal().wait_attached(1);
    assert_eq!(page(&daemon, "/healthz").1["pools"][0]["waiting"], false);
}

#[test]
fn a_held_button_is_named_until_it_is_released() {
    let home = Home::desk("debounce_us = 0");
    let daemon = home.serve();
    let mut client = daemon.desk();
    let mut desk = home.attach(2);
    client.text();
    client.text();
    desk.press(2);
    client.expect_buzz(2);
    let (_, health) = page(&daemon, "/healthz");
    assert_eq!(health["troubled"][0]["buzzer"], 2, "{health}");
    assert_eq!(health["button_sums"]["unheard"], 1, "{health}");
    desk.release(2);
    home.journal().wait_for("release", |fact| matches!(fact, Fact::Release { .. }));
    assert_eq!(page(&daemon, "/healthz").1["troubled"], json!([]));
}

#[test]
fn the_screen_comes_with_its_parts_and_forbids_everything_else() {
    let home = Home::desk("");
    let mut daemon = home.serve();
    daemon.wait_said(&format!("screen: http://{}/", daemon.address()));
    let (head, html) = daemon.get("/");
    assert!(head.contains("Cache-Control: no-cache\r\n"), "{head}");
    let parts: Vec<_> = html.split('"').filter(|text| text.starts_with('/')).collect();
    assert_eq!(parts.len(), 3, "{html}");
    for path in parts {
        let (head, body) = daemon.get(path);
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("immutable"), "{path}: {head}");
        for header in ["Content-Security-Policy: default-src 'none'; ", "X-Content-Type-Options: nosniff\r\n"]
        {
            assert!(head.contains(header), "{path}: {head}");
        }
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{path}: {head}");
    }
}
