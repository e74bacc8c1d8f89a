//! HTTP and WebSocket as a foreign program may use or misuse them. In: heads and frames, good and bad. Out: answers
//! and close codes. Guarantee: every misuse ends the one who does it; a client beside it is served before and after.

use std::thread;

use buzzer_tests::harness::client::connected;
use buzzer_tests::harness::raw::{Raw, UPGRADE, masked};
use buzzer_tests::{Attachment, Client, Daemon, Home};
use serde_json::Value;
use tungstenite::Message;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

const LIST: &str = r#"{"list":"pools"}"#;
const POOLS: &str = r#"{"response":"pools","pools":["desk"]}"#;

fn get(daemon: &Daemon, request: &str) -> (String, String) {
    let mut raw = daemon.raw();
    raw.send(request.as_bytes());
    let answer = String::from_utf8(raw.rest()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn any_path_is_a_websocket_and_v1_is_echoed_if_asked_for() {
    let home = Home::desk("");
    let daemon = home.serve();
    for (path, offer, echoed) in [
        ("/", None, None),
        ("/ws", Some("buzzer.v1"), Some("buzzer.v1")),
        ("/a/b?c=d%20e", Some("chat, buzzer.v1"), Some("buzzer.v1")),
        ("/healthz", Some("buzzer.v1,chat"), Some("buzzer.v1")),
    ] {
        let headers: Vec<_> = offer.iter().map(|offer| ("sec-websocket-protocol", *offer)).collect();
        let (mut client, response) = Client::open_with(daemon.address(), path, &headers).unwrap();
        let echo = response.headers().get("sec-websocket-protocol").map(|name| name.to_str().unwrap());
        assert_eq!(echo, echoed, "{path}");
        assert_eq!(client.ask(LIST), POOLS);
    }
}

#[test]
fn a_page_from_elsewhere_is_refused_and_the_journal_says_how_to_allow_it() {
    let config = "[server]\nlisten = [\"127.0.0.1:0\"]\nallowed_origins = [\"https://quiz.example\"]\n\
                  [log]\ndir = \"$DIR/log\"\n[[pool]]\nid = \"desk\"\nsocket = \"$DIR/desk.sock\"\n";
    let home = Home::with_config(config);
    let mut daemon = home.serve();
    let own = format!("http://{}", daemon.address());
    for origin in [own.as_str(), "https://quiz.example", "https://quiz.example:443"] {
        let (mut client, _) = Client::open_with(daemon.address(), "/", &[("origin", origin)]).unwrap();
        assert_eq!(client.ask(LIST), POOLS, "{origin}");
    }
    for origin in ["http://evil.example", "https://quiz.example.evil.example", "null", "http://127.0.0.1"] {
        let response = Client::open_with(daemon.address(), "/", &[("origin", origin)]).unwrap_err();
        assert_eq!(response.status(), 403, "{origin}");
        let body = String::from_utf8(response.body().clone().unwrap()).unwrap();
        assert!(body.contains("server.allowed_origins") && body.contains(origin), "{body}");
        daemon.wait_said("server.allowed_origins");
    }
}

#[test]
fn pages_and_refusals_have_their_status() {
    let home = Home::desk("autoconnect = true");
    let daemon = home.serve();
    let _desk = home.attach(2);
    home.journal().wait_attached(1);
    let (head, body) = get(&daemon, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["clients"], 0);
    assert_eq!(
        health["pools"],
        serde_json::json!([{"pool": "desk", "available": true, "connected": true, "waiting": false, "buzzers": 2, "devices": 1}])
    );
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "405"),
        ("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", "426"),
        (&UPGRADE.replace("Version: 13", "Version: 8"), "426"),
        ("hello\r\n\r\n", "400"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", "400"), // A browser that tries https.
        (&long, "431"),
    ] {
        let (head, _) = get(&daemon, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{head}");
    }
    assert_eq!(daemon.client().ask(LIST), POOLS);
}

#[test]
fn the_first_frames_may_come_with_the_head() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut raw = daemon.raw();
    raw.send(&[UPGRADE.as_bytes(), &masked(0x81, LIST.as_bytes()), &masked(0x81, LIST.as_bytes())].concat());
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    assert_eq!([raw.frame(), raw.frame()], [(0x81, POOLS.into()), (0x81, POOLS.into())]);
}

#[test]
fn a_client_may_be_as_slow_as_it_likes_with_its_own_message() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut raw = daemon.raw();
    for byte in [UPGRADE.as_bytes(), &masked(0x81, LIST.as_bytes())].concat() {
        raw.send(&[byte]);
    }
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.frame(), (0x81, POOLS.into()));
}

/// Each misuse, sent to a fresh connection while another client watches.
#[test]
fn each_misuse_ends_its_client_only_with_the_code_of_the_rfc() {
    const SIZE: u16 = 1009;
    const UTF8: u16 = 1007;
    const PROTOCOL: u16 = 1002;
    let home = Home::desk("debounce_us = 0");
    let mut daemon = home.serve();
    let mut other = daemon.desk();
    let mut desk = home.attach(1);
    other.expect(&connected(1));
    let fragment = |first: u8| masked(first, &[b' '; 5000]);
    let unmasked = [&[0x81, LIST.len() as u8][..], LIST.as_bytes()].concat();
    for (what, bytes, code) in [
        ("a message of 8 KiB and a byte", masked(0x81, &[b' '; 8193]), SIZE),
        ("two fragments of together 10 kB", [fragment(0x01), fragment(0x80)].concat(), SIZE),
        ("a binary message of 100 kB", masked(0x82, &[0; 100_000]), SIZE),
        ("a header that announces 2^62 bytes", [&[0x82, 0xff, 0x40][..], &[0; 7], &[0; 4]].concat(), SIZE),
        ("text that is no UTF-8", masked(0x81, b"\"\xff\""), UTF8),
        ("text that ends inside a character", masked(0x81, b"\xc3"), UTF8),
        ("a frame without a mask", unmasked, PROTOCOL),
        ("an unknown opcode", masked(0x83, b""), PROTOCOL),
        ("a reserved bit, as deflate would set it", masked(0xc1, b"{}"), PROTOCOL),
        ("a continuation of nothing", masked(0x80, b"{}"), PROTOCOL),
        ("a new message inside another", [masked(0x01, b"{"), masked(0x81, b"{}")].concat(), PROTOCOL),
        ("a ping of 126 bytes", masked(0x89, &[0; 126]), PROTOCOL),
        ("a ping in pieces", masked(0x09, b""), PROTOCOL),
        ("bytes that are no frames", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), PROTOCOL),
    ] {
        let mut raw = Raw::websocket(daemon.address());
        raw.send(&bytes);
        println!("{what}"); // Seen only if no close frame comes.
        assert_eq!(raw.close_code(), code, "{what}");
        desk.hit(1);
        other.expect_buzz(1);
        daemon.assert_alive();
    }
    // One that has been told so and goes on for ever.
    let mut raw = Raw::websocket(daemon.address());
    raw.send(&masked(0x83, b""));
    raw.send_until_refused(&[0; 4096]);
    desk.hit(1);
    other.expect_buzz(1);
    // Exactly 8 KiB are allowed.
    let padded = format!("{LIST:8192}");
    assert_eq!(other.ask(&padded), POOLS);
}

#[test]
fn who_leaves_without_a_word_is_forgotten() {
    let home = Home::desk("debounce_us = 0");
    let mut daemon = home.serve();
    let mut other = daemon.desk();
    let mut desk = home.attach(1);
    other.expect(&connected(1));
    for bytes in [&b""[..], b"GET / HT", UPGRADE.as_bytes()] {
        for _ in 0..20 {
            let mut raw = daemon.raw();
            raw.send(bytes);
        }
    }
    for _ in 0..20 {
        let mut raw = Raw::websocket(daemon.address());
        raw.send(&masked(0x81, LIST.as_bytes())[..7]);
    }
    desk.hit(1);
    other.expect_buzz(1);
    daemon.assert_alive();
}

#[test]
fn a_goodbye_is_answered() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut client = daemon.client();
    client.send_message(Message::Close(Some(tungstenite::protocol::CloseFrame {
        code: CloseCode::Normal,
        reason: "enough".into(),
    })));
    assert_eq!(client.close_frame().code, CloseCode::Normal);
    assert!(client.rest().is_empty());
    let mut raw = Raw::websocket(daemon.address());
    raw.send(&masked(0x88, b""));
    assert_eq!(raw.frame(), (0x88, vec![]));
    assert!(raw.rest().is_empty());
}

#[test]
fn a_flood_of_pings_and_requests_disturbs_nobody() {
    let home = Home::desk("debounce_us = 0");
    let daemon = home.serve();
    let mut other = daemon.desk();
    let mut desk = home.attach(1);
    other.expect(&connected(1));
    let mut flood = Raw::websocket(daemon.address());
    let batch = [masked(0x89, b"x"), masked(0x81, LIST.as_bytes())].concat().repeat(200);
    thread::scope(|scope| {
        // It never reads an answer, so the daemon gives it up.
        scope.spawn(move || flood.send_until_refused(&batch));
        for _ in 0..50 {
            desk.hit(1);
            other.expect_buzz(1);
        }
    });
    other.expect_nothing();
}

#[test]
fn more_clients_than_one_turn_serves_all_see_one_order() {
    const CLIENTS: usize = 200;
    const HITS: usize = 100;
    let home = Home::desk("debounce_us = 0");
    let daemon = home.serve();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| daemon.client()).collect();
    assert_eq!(
        clients[0].ask(r#"{"command":"connect","pool":"desk"}"#),
        r#"{"result":"connect","pool":"desk","buzzers":[]}"#
    );
    let socket = home.socket("desk");
    let mut desks: Vec<_> = (1..=4).map(|n| Attachment::open(&socket, "desk", &[n])).collect();
    home.journal().wait_attached(4);
    thread::scope(|scope| {
        for (desk, buzzer) in desks.iter_mut().zip(1..) {
            scope.spawn(move || (0..HITS).for_each(|_| desk.hit(buzzer)));
        }
    });
    let read = |client: &mut Client| -> Vec<String> { (0..4 + 4 * HITS).map(|_| client.text()).collect() };
    let first = read(&mut clients[0]);
    for client in &mut clients[1..] {
        assert_eq!(read(client), first);
    }
    let logged = home.journal().presses();
    let told: Vec<u16> = first[4..]
        .iter()
        .map(|text| {
            let message: Value = serde_json::from_str(text).unwrap();
            assert_eq!(message["event"], "buzz");
            message["buzzer"].as_u64().unwrap() as u16
        })
        .collect();
    assert_eq!(told, logged);
    for client in &mut clients {
        client.expect_nothing();
    }
}

#[test]
fn a_fragmented_message_has_the_same_bound_as_a_whole_one() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut client = daemon.client();
    let piece = |bytes: &[u8], opcode, last| Frame::message(bytes.to_vec(), OpCode::Data(opcode), last);
    let padded = format!("{LIST:8192}");
    let (first, second) = padded.as_bytes().split_at(4096);
    client.send_frame(piece(first, Data::Text, false));
    client.send_frame(piece(second, Data::Continue, true));
    client.expect(POOLS);
    client.send_frame(piece(first, Data::Text, false));
    client.send_frame(piece(second, Data::Continue, false));
    client.send_frame(piece(b" ", Data::Continue, true));
    let frame = client.close_frame();
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Size, "a message may have at most 8 KiB"));
}
