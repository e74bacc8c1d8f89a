//! Who may ask, and how. In: heads as proxies, applications, browsers and hostile pages send them. Out: their status. Guarantee:
//! a page that has its own name point to this box reaches nothing; what the configuration allows is let in.

use buzzer_tests::harness::raw::{Raw, UPGRADE};
use buzzer_tests::{Client, Daemon, Home};

const CONFIG: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\nallowed_hosts = [\"Quiz.Example.\"]\n\
    allowed_origins = [\"capacitor://localhost\", \"moz-extension://a_b-c\", \"chrome-extension://abc\", \"null\"]\n\
    [log]\ndir = \"$DIR/log\"\n";

fn answer(daemon: &Daemon, request: &str) -> (String, String) {
    let mut raw = daemon.raw();
    raw.send(request.as_bytes());
    let head = raw.head();
    let body = if head.starts_with("HTTP/1.1 101 ") { Vec::new() } else { raw.rest() };
    (head, String::from_utf8(body).unwrap())
}

fn upgrade(host: &str, more: &str) -> String {
    UPGRADE.replace("Host: localhost\r\n", &format!("Host: {host}\r\n{more}"))
}

#[test]
fn a_page_that_has_its_name_point_here_reaches_nothing() {
    let home = Home::with_config(CONFIG);
    let mut daemon = home.serve();
    for request in [
        upgrade("rebind.example", "Origin: http://rebind.example\r\n"),
        upgrade("rebind.example", ""),
        "GET /healthz HTTP/1.1\r\nHost: rebind.example\r\n\r\n".to_owned(),
        "GET http://rebind.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
    ] {
        let (head, body) = answer(&daemon, &request);
        assert!(head.starts_with("HTTP/1.1 421 "), "{request}\n{head}");
        assert!(body.contains("rebind.example") && body.contains("server.allowed_hosts"), "{body}");
    }
    daemon.wait_said("server.allowed_hosts");
    for host in ["quiz.example:443", "QUIZ.example.", "localhost:7400", "[::1]:7400", "box.local", "10.1.2.3"]
    {
        let (head, _) = answer(&daemon, &upgrade(host, ""));
        assert!(head.starts_with("HTTP/1.1 101 "), "{host}\n{head}");
    }
}

#[test]
fn what_the_configuration_allows_the_handshake_honours() {
    let home = Home::with_config(CONFIG);
    let daemon = home.serve();
    for (origin, status) in [
        ("capacitor://localhost", 101),
        ("moz-extension://a_b-c", 101),
        ("chrome-extension://abc", 101),
        ("null", 101),
        ("ionic://localhost", 403),
        ("https://quiz.example", 403),
    ] {
        let found = match Client::open_with(daemon.address(), "/", &[("origin", origin)]) {
            Ok(_) => 101,
            Err(response) => response.status().as_u16(),
        };
        assert_eq!(found, status, "{origin}");
    }
}

#[test]
fn every_head_has_the_status_that_says_what_is_wrong() {
    let home = Home::with_config(CONFIG);
    let daemon = home.serve();
    let replaced = |line: &str, by: &str| {
        assert!(UPGRADE.contains(line));
        UPGRADE.replace(line, by)
    };
    for (request, status) in [
        (upgrade("localhost", "Host: localhost\r\n"), "400"),
        (upgrade("localhost", "Origin: null\r\nOrigin: null\r\n"), "400"),
        (upgrade("localhost", "Origin: nonsense\r\n"), "400"),
        (upgrade("", ""), "400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "200"),
        (replaced("dGhlIHNhbXBsZSBub25jZQ==", "short"), "400"),
        (replaced("Version: 13", "Version: 12"), "426"),
        (replaced("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"), "101"),
        (replaced("Upgrade: websocket", "Upgrade: websocket, h2c"), "101"),
        (replaced("GET /", "GET http://127.0.0.1:1/"), "101"),
    ] {
        let (head, _) = answer(&daemon, &request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{head}");
        assert_eq!(head.contains("Sec-WebSocket-Version: 13\r\n"), status == "426", "{head}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let home = Home::with_config(CONFIG);
    let daemon = home.serve();
    let length = |head: &str| {
        let line = head.lines().find(|line| line.starts_with("Content-Length: ")).expect("a length");
        line.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
    };
    for path in ["/", "/healthz", "/nowhere"] {
        let ask = |method: &str| answer(&daemon, &format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let ((get, body), (head, none)) = (ask("GET"), ask("HEAD"));
        assert_eq!(get.lines().next(), head.lines().next());
        assert_eq!((length(&get), none.len()), (body.len(), 0), "{path}");
        assert!(length(&head) > 0);
    }
}

#[test]
fn a_binary_frame_with_text_is_read_as_text() {
    let home = Home::with_config(CONFIG);
    let daemon = home.serve();
    let mut raw = Raw::websocket(daemon.address());
    raw.send(&buzzer_tests::harness::raw::masked(0x82, br#"{"list":"pools"}"#));
    assert_eq!(raw.frame(), (0x81, br#"{"response":"pools","pools":[]}"#.to_vec()));
    raw.send(&buzzer_tests::harness::raw::masked(0x82, b"\xff"));
    let cause = "{\"error\":\"invalid_json\",\"message\":null,\"cause\":\"\u{fffd}\"}";
    assert_eq!(raw.frame(), (0x81, cause.as_bytes().to_vec()));
}
