//! Many who come at once, and those who never finish. In: half heads, more connections than descriptors, goodbyes and misuse.
//! Out: who is let in, and what each is told last. Guarantee: nobody who asks properly is locked out by those who do not.

use std::io::Read;
use std::net::TcpStream;

use buzzer_tests::harness::raw::{Raw, UPGRADE, masked};
use buzzer_tests::{Attachment, Client, Home, PATIENCE};

const LIST: &str = r#"{"list":"pools"}"#;
const POOLS: &str = r#"{"response":"pools","pools":["desk"]}"#;

#[test]
fn half_heads_lock_nobody_out() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut half: Vec<Raw> = (0..400)
        .map(|_| {
            let mut raw = daemon.raw();
            raw.send(b"GET / HTTP/1.1\r\nHost: lo");
            raw
        })
        .collect();
    for _ in 0..40 {
        assert_eq!(daemon.client().ask(LIST), POOLS);
        assert!(daemon.try_healthz().is_some());
    }
    // The oldest went, and were told why; the newest are still welcome.
    let rest = String::from_utf8(half[0].rest()).unwrap();
    assert!(rest.starts_with("HTTP/1.1 503 "), "{rest}");
    let last = half.last_mut().unwrap();
    last.send(UPGRADE.strip_prefix("GET / HTTP/1.1\r\nHost: lo").unwrap().as_bytes());
    assert!(last.head().starts_with("HTTP/1.1 101 "));
}

/// With 40 descriptors, some 20 of which are the daemon's own.
#[test]
fn those_who_wait_are_accepted_when_a_descriptor_is_free() {
    let mut home = Home::desk("");
    home.set_wrapper(&["prlimit", "--nofile=96"]);
    let mut daemon = home.serve();
    let mut clients: Vec<TcpStream> =
        (0..120).map(|_| TcpStream::connect(daemon.address()).expect("the kernel takes it")).collect();
    daemon.wait_said("none can be accepted");
    let waiting = clients.split_off(119);
    // It is the last in the queue of the kernel, and has said nothing: nobody looks because of it.
    drop(clients);
    let mut last = waiting.into_iter().next().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut last, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    // And the log has had its descriptors all the time: without them it answers 503.
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn attachments_that_wait_are_accepted_when_a_descriptor_is_free() {
    let mut home = Home::desk("autoconnect = true");
    home.set_wrapper(&["prlimit", "--nofile=96"]);
    let mut daemon = home.serve();
    let waiting: Vec<Attachment> = (0..60).map(|_| Attachment::connect(&home.socket("desk"))).collect();
    daemon.wait_said("none can be accepted");
    drop(waiting);
    let mut desk = home.attach(1);
    desk.hit(1);
    home.journal().wait_presses(1);
}

/// More than there is room for: those who say nothing, and those who say nonsense and go.
#[test]
fn who_greets_is_attached_beside_those_who_do_not() {
    let home = Home::desk("autoconnect = true");
    let _daemon = home.serve();
    let socket = home.socket("desk");
    let _silent: Vec<Attachment> = (0..600).map(|_| Attachment::connect(&socket)).collect();
    for _ in 0..600 {
        Attachment::connect(&socket).try_send(b"nonsense\n");
    }
    let mut desk = home.attach(1);
    desk.hit(1);
    home.journal().wait_presses(1);
}

#[test]
fn long_greetings_have_one_bound_together() {
    let home = Home::desk("autoconnect = true");
    let daemon = home.serve();
    let socket = home.socket("desk");
    let long = vec![b' '; 60 << 10];
    let mut greeting: Vec<Attachment> = (0..60).map(|_| Attachment::connect(&socket)).collect();
    let refused = greeting.iter_mut().filter_map(|attachment| {
        let taken = attachment.try_send(&long);
        daemon.wait_healthz("a turn", |_| true);
        (!taken || attachment.is_closed()).then_some(())
    });
    assert!(refused.count() > 0, "{} KiB of greetings are kept", 60 * 60);
    let mut desk = home.attach(1);
    desk.hit(1);
    home.journal().wait_presses(1);
}

#[test]
fn a_request_and_a_goodbye_in_one_segment_are_both_answered() {
    let home = Home::desk("");
    let daemon = home.serve();
    let requests = masked(0x81, LIST.as_bytes()).repeat(5);
    let goodbye = masked(0x88, &1000_u16.to_be_bytes());
    for bytes in [[requests.clone(), goodbye.clone()].concat(), [&requests[..], &goodbye, &requests].concat()]
    {
        let mut raw = Raw::websocket(daemon.address());
        raw.send(&bytes);
        for _ in 0..5 {
            assert_eq!(raw.frame(), (0x81, POOLS.into()));
        }
        assert_eq!(raw.frame(), (0x88, vec![3, 0xe8]));
        assert!(raw.rest().is_empty());
    }
    // Also with the head, and by one who says no goodbye but sends no more.
    let mut raw = daemon.raw();
    raw.send(&[UPGRADE.as_bytes(), &requests, &goodbye].concat());
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.frame(), (0x81, POOLS.into()));
}

/// What it sends behind its fault is more than a socket's buffer: unread, it would become a reset that overtakes the code.
#[test]
fn a_reset_does_not_overtake_the_close_code() {
    let home = Home::desk("");
    let daemon = home.serve();
    for _ in 0..20 {
        let mut raw = Raw::websocket(daemon.address());
        raw.send(&masked(0x81, &[b' '; 8193]));
        raw.send(&vec![0; 400_000]);
        assert_eq!(raw.close_code(), 1009);
        raw.finish();
        assert!(raw.rest().is_empty());
    }
}

#[test]
fn who_asks_too_often_is_ended_and_nobody_else() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut other = daemon.client();
    let mut raw = Raw::websocket(daemon.address());
    raw.send(&masked(0x81, LIST.as_bytes()).repeat(300));
    let mut answers = 0;
    let code = loop {
        match raw.frame() {
            (0x88, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            frame => assert_eq!(frame, (0x81, POOLS.into())),
        }
        answers += 1;
    };
    assert_eq!(code, 1008);
    assert!((100..300).contains(&answers), "{answers}");
    assert_eq!(other.ask(LIST), POOLS);
    // As many at once as anybody may.
    let mut polite: Client = daemon.client();
    (0..100).for_each(|_| assert_eq!(polite.ask(LIST), POOLS));
}

#[test]
fn a_peer_that_never_ends_its_end_is_dropped() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut raw = Raw::websocket(daemon.address());
    raw.send(&masked(0x83, b""));
    daemon.wait_healthz("it is told so, and dropped", |page| page["clients"] == 0);
    assert_eq!(raw.close_code(), 1002);
}
