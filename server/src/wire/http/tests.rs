//! Heads, good and bad, and their status.

use super::*;

fn access() -> Access {
    let origins = ["https://quiz.example", "capacitor://localhost", "moz-extension://a_b-c", "null"];
    Access {
        hosts: vec![Host::parse("quiz.example").unwrap()],
        origins: origins.iter().map(|origin| Origin::parse(origin).unwrap()).collect(),
    }
}

/// A head like that of a browser, in which the lines named are replaced or, by an empty text, left out.
fn head(request: &str, lines: &[(&str, &str)]) -> String {
    let usual = [
        ("Host", "Host: box:7400"),
        ("Connection", "Connection: keep-alive, Upgrade"),
        ("Upgrade", "Upgrade: websocket"),
        ("Version", "Sec-WebSocket-Version: 13"),
        ("Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut head = format!("{request}\r\n");
    for (name, line) in usual {
        let line = lines.iter().find(|(replaced, _)| *replaced == name).map_or(line, |(_, line)| *line);
        head += &if line.is_empty() { String::new() } else { format!("{line}\r\n") };
    }
    let more = lines.iter().filter(|(name, _)| *name == "more");
    more.for_each(|(_, line)| head += &format!("{line}\r\n"));
    head + "\r\n"
}

fn ask(lines: &[(&str, &str)]) -> Route {
    let head = head("GET /any HTTP/1.1", lines);
    let route = route(head.as_bytes(), &access());
    if let Route::WebSocket { head_len, .. } = &route {
        assert_eq!(*head_len, head.len());
    }
    route
}

fn status(route: &Route) -> &str {
    match route {
        Route::Refuse(refusal) => refusal.status.split(' ').next().unwrap(),
        Route::WebSocket { .. } => "101",
        Route::Incomplete => "none",
        Route::Asset(_) | Route::Health(_) => "200",
    }
}

#[test]
fn the_handshake_is_rfc_6455s_own_example() {
    let Route::WebSocket { response, .. } = ask(&[]) else { panic!() };
    let response = String::from_utf8(response).unwrap().to_ascii_lowercase();
    assert!(response.starts_with("http/1.1 101 "), "{response}");
    assert!(response.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{response}");
    assert!(!response.contains("sec-websocket-protocol"));
}

#[test]
fn v1_is_echoed_and_other_names_are_passed_over() {
    for (offer, echoed) in [
        ("Sec-WebSocket-Protocol: chat, buzzer.v1", true),
        ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: buzzer.v1", true),
        ("Sec-WebSocket-Protocol: Buzzer.V1", false),
        ("Sec-WebSocket-Protocol: chat", false),
    ] {
        let Route::WebSocket { response, .. } = ask(&[("more", offer)]) else { panic!("{offer}") };
        let response = String::from_utf8(response).unwrap();
        assert_eq!(response.contains("Sec-WebSocket-Protocol: buzzer.v1\r\n"), echoed, "{response}");
    }
}

#[test]
fn origins_are_compared_as_a_whole() {
    for (origin, want) in [
        ("http://box:7400", "101"),
        ("http://BOX.:7400", "101"),
        ("https://quiz.example", "101"),
        ("https://quiz.example:443", "101"),
        ("capacitor://localhost", "101"),
        ("moz-extension://a_b-c", "101"),
        ("null", "101"),
        ("http://quiz.example", "403"),
        ("https://quiz.example.evil.example", "403"),
        ("http://box:7401", "403"),
        ("http://box", "403"),
        ("ionic://localhost", "403"),
        ("file://", "403"),
        ("", "400"),
        ("box", "400"),
        ("https://quiz.example https://evil.example", "400"),
        ("https://quiz.example/", "400"),
        ("https://quiz.example\r\nOrigin: https://quiz.example", "400"),
    ] {
        assert_eq!(status(&ask(&[("more", &format!("Origin: {origin}"))])), want, "{origin}");
    }
}

#[test]
fn a_name_that_a_page_could_have_is_no_name_of_this_box() {
    for (host, want) in [
        ("127.0.0.1:7400", "101"),
        ("[::1]:7400", "101"),
        ("localhost", "101"),
        ("Buzzer-Box.LOCAL.:7400", "101"),
        ("quiz.example:443", "101"),
        ("rebind.example", "421"),
        ("rebind.example:7400", "421"),
        ("box.local.rebind.example", "421"),
        ("127.0.0.1.rebind.example", "421"),
        ("", "400"),
        ("a b", "400"),
        ("user@box", "400"),
        ("box:7400, box:7400", "400"),
        ("box\r\nHost: box", "400"),
        ("box:99999", "400"),
    ] {
        assert_eq!(status(&ask(&[("Host", &format!("Host: {host}"))])), want, "{host}");
    }
    assert_eq!(status(&ask(&[("Host", "")])), "400");
    let rebound = [("Host", "Host: rebind.example"), ("more", "Origin: http://rebind.example")];
    let Route::Refuse(refusal) = ask(&rebound) else { panic!() };
    assert!(refusal.message.contains("server.allowed_hosts") && refusal.is_notable);
    let head = |text: &str| status(&route(text.as_bytes(), &access())).to_owned();
    assert_eq!(head("GET /healthz HTTP/1.1\r\nHost: rebind.example\r\n\r\n"), "421");
    assert_eq!(head("GET / HTTP/1.0\r\nHost: rebind.example\r\n\r\n"), "421");
    assert_eq!(head("GET / HTTP/1.0\r\n\r\n"), "200");
}

#[test]
fn the_host_of_an_absolute_target_replaces_that_of_the_header() {
    for (target, host, want) in [
        ("http://box:7400/", "x", "101"),
        ("http://box", "rebind.example", "101"),
        ("HTTP://box?x=/", "x", "101"),
        ("ws://box:7400/any", "x", "101"),
        ("http://rebind.example/", "box", "421"),
        ("http:///", "box", "400"),
        ("http://user@box/", "box", "400"),
        ("ftp://box/", "box", "400"),
        ("*", "box", "400"),
        ("box:7400", "box", "400"),
    ] {
        let head = head(&format!("GET {target} HTTP/1.1"), &[("Host", &format!("Host: {host}"))]);
        assert_eq!(status(&route(head.as_bytes(), &access())), want, "{target}");
    }
    let origin = ("more", "Origin: http://box:7400");
    let head = head("GET http://box:7400/ HTTP/1.1", &[("Host", "Host: other"), origin]);
    assert_eq!(status(&route(head.as_bytes(), &Access::default())), "101");
    let health =
        |target: &str| route(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(), &access());
    assert_eq!(health("http://box/healthz?x"), Route::Health(None));
    assert!(matches!(health("http://box"), Route::Asset(page) if page.path == "/"));
}

#[test]
fn an_upgrade_may_be_spelt_in_every_way_that_is_allowed() {
    for (name, line, want) in [
        ("Connection", "Connection: keep-alive\r\nConnection: Upgrade", "101"),
        ("Connection", "connection: keep-alive,upgrade", "101"),
        ("Connection", "Connection: Upgrade , x", "101"),
        ("Connection", "Connection: keep-alive", "426"),
        ("Connection", "Connection: Upgrades", "426"),
        ("Connection", "", "426"),
        ("Upgrade", "Upgrade: websocket, h2c", "101"),
        ("Upgrade", "Upgrade: h2c\r\nUpgrade: WebSocket", "101"),
        ("Upgrade", "Upgrade: websockets", "404"),
        ("Version", "Sec-WebSocket-Version:13", "101"),
        ("Version", "Sec-WebSocket-Version: 8", "426"),
        ("Version", "", "426"),
        ("Version", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13", "400"),
        ("Key", "", "400"),
        ("Key", "Sec-WebSocket-Key: ", "400"),
        ("Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=", "400"),
        ("Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==", "400"),
        ("Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==", "400"),
        (
            "Key",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "400",
        ),
    ] {
        let route = ask(&[(name, line)]);
        assert_eq!(status(&route), want, "{line}");
        if let Route::Refuse(refusal) = route {
            assert_eq!(refusal.header.contains("Sec-WebSocket-Version: 13\r\n"), want == "426", "{line}");
        }
    }
}

#[test]
fn what_is_not_understood_is_answered() {
    let head = |text: &str| status(&route(text.as_bytes(), &Access::default())).to_owned();
    assert_eq!(head("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), "405");
    assert_eq!(head("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"), "405");
    assert_eq!(head("GET /x HTTP/1.1\r\nHost: x\r\n\r\n"), "404");
    assert_eq!(head("HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n"), "404");
    assert_eq!(head("\x01\x02\r\n\r\n"), "400");
    assert_eq!(head("GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n"), "400");
    assert_eq!(head(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(9000))), "431");
    assert_eq!(head(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65))), "431");
    let of = |text: &str| route(text.as_bytes(), &Access::default());
    assert_eq!(of("GET / HT"), Route::Incomplete);
    assert_eq!(of("GET /healthz HTTP/1.0\r\n\r\n"), Route::Health(None));
    assert_eq!(of("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), Route::Health(None));
    assert!(is_head(b"\r\nHEAD / H") && !is_head(b"GET / H") && !is_head(b"HEADS / H"));
}
#[test]
fn pages_are_found_with_their_queries() {
    let Ok(Route::Asset(asset)) = page("/?x=1") else { panic!() };
    assert_eq!(asset.path, "/");
    for (target, want) in [
        ("/healthz?", None),
        ("/healthz?x=buttons", None),
        ("/healthz?buttons", Some((0, 0))),
        ("/healthz?x&buttons=", Some((0, 0))),
        ("/healthz?buttons=17.65535", Some((17, 65535))),
    ] {
        assert_eq!(page(target), Ok(Route::Health(want)), "{target}");
    }
    for target in ["/healthz?buttons=1", "/healthz?buttons=1.65536", "/healthz?buttons=-1.1"] {
        assert_eq!(page(target).unwrap_err().status, "400 Bad Request", "{target}");
    }
    for target in ["/screen.js", "/healthz/", "//", "", "*", "/../server/pages/screen.js"] {
        assert_eq!(page(target).unwrap_err().status, "404 Not Found", "{target}");
    }
}
