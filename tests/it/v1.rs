//! The seed's messages against the running daemon. In: what a client may send. Out: what it must be answered, byte
//! for byte. Guarantee: the expected texts are written out here, not made with the code under test.

use buzzer_tests::harness::client::{buzz, connected};
use buzzer_tests::{Attachment, Client, Home};
use tungstenite::Message;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

const TWO_POOLS: &str = "[[pool]]\nid = \"desk\"\nsocket = \"$DIR/desk.sock\"\n\
                         [[pool]]\nid = \"a \\\"b\\\"\"\nsocket = \"$DIR/other.sock\"\n";

#[test]
fn a_game_from_the_first_question_to_the_last_buzz() {
    let home = Home::new(TWO_POOLS);
    let daemon = home.serve();
    let mut host = daemon.client();
    let mut screen = daemon.client();
    screen.expect_nothing();
    assert_eq!(host.ask(r#"{"list":"pools"}"#), r#"{"response":"pools","pools":["desk","a \"b\""]}"#);
    assert_eq!(host.ask(r#"{"list":"buzzers"}"#), r#"{"response":"buzzers","pools":[]}"#);
    host.send(r#"{"command":"connect","pool":"desk"}"#);
    host.expect(r#"{"result":"connect","pool":"desk","buzzers":[]}"#);
    assert_eq!(host.ask(r#"{"list":"buzzers"}"#), r#"{"response":"buzzers","pools":[]}"#, "none attached");

    let mut desk = Attachment::open(&home.socket("desk"), "desk", &[3, 1, 2]);
    for client in [&mut host, &mut screen] {
        for buzzer in [1, 2, 3] {
            client.expect(&connected(buzzer));
        }
    }
    let buzzers = r#"{"response":"buzzers","pools":[{"pool":"desk","buzzers":[1,2,3]}]}"#;
    assert_eq!(host.ask(r#"{"list":"buzzers"}"#), buzzers);
    assert_eq!(screen.ask(r#"{"list":"buzzers"}"#), buzzers);

    for buzzer in [2, 1, 3] {
        desk.press(buzzer);
        host.expect(&format!(r#"{{"event":"buzz","pool":"desk","buzzer":{buzzer}}}"#));
        screen.expect(&buzz(buzzer));
        desk.release(buzzer);
    }
    drop(desk);
    for client in [&mut host, &mut screen] {
        client.expect(r#"{"event":"disconnected","pool":"desk","buzzer":null}"#);
    }
    assert_eq!(host.ask(r#"{"list":"buzzers"}"#), r#"{"response":"buzzers","pools":[]}"#);
    assert_eq!(host.ask(r#"{"list":"pools"}"#), r#"{"response":"pools","pools":["desk","a \"b\""]}"#);
}

#[test]
fn every_error_row_byte_for_byte() {
    let home = Home::new(TWO_POOLS);
    let daemon = home.serve();
    let mut client = daemon.client();
    let list = r#"{"error":"invalid_data_type","message":"list: expected a string","cause":"list"}"#;
    let command = r#"{"error":"invalid_data_type","message":"command: expected a string","cause":"command"}"#;
    let pool = r#"{"error":"invalid_data_type","message":"pool: expected the id of a pool, a string","cause":"pool"}"#;
    for (message, want) in [
        // invalid_json: null, and the message.
        ("", r#"{"error":"invalid_json","message":null,"cause":""}"#),
        ("hello", r#"{"error":"invalid_json","message":null,"cause":"hello"}"#),
        (r#"{"list":"pools""#, r#"{"error":"invalid_json","message":null,"cause":"{\"list\":\"pools\""}"#),
        ("{}{}", r#"{"error":"invalid_json","message":null,"cause":"{}{}"}"#),
        ("{'list':'pools'}", r#"{"error":"invalid_json","message":null,"cause":"{'list':'pools'}"}"#),
        ("\u{1}\u{e4}\n", r#"{"error":"invalid_json","message":null,"cause":"\u0001ä\n"}"#),
        // unknown_command: null, and the message.
        ("7", r#"{"error":"unknown_command","message":null,"cause":"7"}"#),
        (r#""pools""#, r#"{"error":"unknown_command","message":null,"cause":"\"pools\""}"#),
        ("[]", r#"{"error":"unknown_command","message":null,"cause":"[]"}"#),
        ("null", r#"{"error":"unknown_command","message":null,"cause":"null"}"#),
        (" {} ", r#"{"error":"unknown_command","message":null,"cause":" {} "}"#),
        (
            r#"{"list":"devices"}"#,
            r#"{"error":"unknown_command","message":null,"cause":"{\"list\":\"devices\"}"}"#,
        ),
        (
            r#"{"List":"pools"}"#,
            r#"{"error":"unknown_command","message":null,"cause":"{\"List\":\"pools\"}"}"#,
        ),
        (
            r#"{"list":"pools","command":"connect"}"#,
            r#"{"error":"unknown_command","message":null,"cause":"{\"list\":\"pools\",\"command\":\"connect\"}"}"#,
        ),
        (
            r#"{"command":"disconnect","pool":"desk"}"#,
            r#"{"error":"unknown_command","message":null,"cause":"{\"command\":\"disconnect\",\"pool\":\"desk\"}"}"#,
        ),
        (r#"{"command":""}"#, r#"{"error":"unknown_command","message":null,"cause":"{\"command\":\"\"}"}"#),
        // invalid_data_type: what was expected, and the field.
        (r#"{"list":1}"#, list),
        (r#"{"list":null}"#, list),
        (r#"{"list":["pools"]}"#, list),
        (r#"{"command":true}"#, command),
        (r#"{"command":null,"pool":7}"#, command),
        (r#"{"command":{"connect":"desk"}}"#, command),
        (r#"{"command":"connect"}"#, pool),
        (r#"{"command":"connect","pool":null}"#, pool),
        (r#"{"command":"connect","pool":1}"#, pool),
        (r#"{"command":"connect","pool":["desk"]}"#, pool),
        // connect: what is wrong, and null.
        (
            r#"{"command":"connect","pool":"stage"}"#,
            r#"{"error":"connect","message":"no such pool; known: desk, a \"b\"","cause":null}"#,
        ),
        (
            r#"{"command":"connect","pool":""}"#,
            r#"{"error":"connect","message":"no such pool; known: desk, a \"b\"","cause":null}"#,
        ),
        (
            r#"{"command":"connect","pool":"Desk"}"#,
            r#"{"error":"connect","message":"no such pool; known: desk, a \"b\"","cause":null}"#,
        ),
        // What is right beside all that.
        (r#"{"extra":{"deep":[1]},"list":"pools"}"#, r#"{"response":"pools","pools":["desk","a \"b\""]}"#),
        (r#"{"list":"pools","pool":7}"#, r#"{"response":"pools","pools":["desk","a \"b\""]}"#),
        ("\t{\"li\\u0073t\" :\n\"pools\"}\n", r#"{"response":"pools","pools":["desk","a \"b\""]}"#),
        (
            r#"{"pool":"a \"b\"","command":"connect"}"#,
            r#"{"result":"connect","pool":"a \"b\"","buzzers":[]}"#,
        ),
    ] {
        client.send(message);
        assert_eq!(client.text(), want, "for {message}");
    }
}

#[test]
fn a_pool_that_is_configured_but_not_there_cannot_be_connected() {
    let home = Home::new("[[pool]]\nid = \"stage\"\nmatch = { uniq = \"no device has this\" }\n");
    let daemon = home.serve();
    let mut client = daemon.client();
    assert_eq!(client.ask(r#"{"list":"pools"}"#), r#"{"response":"pools","pools":[]}"#);
    let answer = client.ask(r#"{"command":"connect","pool":"stage"}"#);
    let want = r#"{"error":"connect","message":"pool \"stage\" is configured, but its device is not plugged in","cause":null}"#;
    assert_eq!(answer, want);
}

#[test]
fn binary_messages_are_read_as_text_and_quoted_as_text() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut client = daemon.client();
    for (bytes, cause) in
        [(&br#"{"list":"#[..], r#"{\"list\":"#), (b"", ""), (b"a\xffb\xc3", "a\u{fffd}b\u{fffd}")]
    {
        client.send_message(Message::binary(bytes.to_vec()));
        client.expect(&format!(r#"{{"error":"invalid_json","message":null,"cause":"{cause}"}}"#));
    }
    client.send_message(Message::binary(br#"{"list":"pools"}"#.to_vec()));
    client.expect(r#"{"response":"pools","pools":["desk"]}"#);
    client.expect_nothing();
}

#[test]
fn a_message_may_come_in_pieces_with_pings_between() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut client = daemon.client();
    let message = "{\"list\":\"pools\",\"ä\":1}".as_bytes();
    // Every cut, also inside of a character.
    for cut in 0..=message.len() {
        let (first, second) = message.split_at(cut);
        let piece = |bytes: &[u8], opcode, last| Frame::message(bytes.to_vec(), OpCode::Data(opcode), last);
        client.send_frame(piece(first, Data::Text, false));
        client.send_message(Message::Ping("between".into()));
        client.send_frame(piece(b"", Data::Continue, false));
        client.send_frame(piece(second, Data::Continue, true));
        match client.message() {
            Ok(Message::Pong(echo)) => assert_eq!(&echo[..], b"between"),
            other => panic!("a pong, not {other:?}"),
        }
        client.expect(r#"{"response":"pools","pools":["desk"]}"#);
    }
}

#[test]
fn pings_are_answered_and_pongs_are_not() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut client = daemon.client();
    client.send_message(Message::Pong("unasked".into()));
    for payload in ["", "x", &"y".repeat(125)] {
        client.send_message(Message::Ping(payload.to_owned().into()));
        match client.message() {
            Ok(Message::Pong(echo)) => assert_eq!(&echo[..], payload.as_bytes()),
            other => panic!("a pong, not {other:?}"),
        }
    }
    client.expect_nothing();
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut client = daemon.client();
    let requests = [
        (r#"{"list":"pools"}"#, r#"{"response":"pools","pools":["desk"]}"#),
        (r#"{"command":"connect","pool":"desk"}"#, r#"{"result":"connect","pool":"desk","buzzers":[]}"#),
        (
            r#"{"command":"connect","pool":"x"}"#,
            r#"{"error":"connect","message":"no such pool; known: desk","cause":null}"#,
        ),
        ("?", r#"{"error":"invalid_json","message":null,"cause":"?"}"#),
        (r#"{"list":"buzzers"}"#, r#"{"response":"buzzers","pools":[]}"#),
    ];
    const ROUNDS: usize = 20; // As many as a client may send at once.
    for (request, _) in requests.iter().cycle().take(ROUNDS * requests.len()) {
        client.send(request);
    }
    for (request, answer) in requests.iter().cycle().take(ROUNDS * requests.len()) {
        assert_eq!(client.text(), *answer, "for {request}");
    }
}

#[test]
fn two_clients_at_once_are_told_the_same_and_answered_apart() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut one = daemon.client();
    let mut two = daemon.client();
    two.expect_nothing();
    let mut desk = home.attach(2);
    home.journal().wait_attached(1);
    one.send(r#"{"command":"connect","pool":"desk"}"#);
    one.expect(r#"{"result":"connect","pool":"desk","buzzers":[1,2]}"#);
    two.expect(&connected(1));
    two.expect(&connected(2));
    desk.press(1);
    one.expect_buzz(1);
    two.expect_buzz(1);
    two.send(r#"{"command":"connect","pool":"desk"}"#);
    two.expect(r#"{"result":"connect","pool":"desk","buzzers":[1,2]}"#);
    desk.press(2);
    one.expect_buzz(2);
    two.expect_buzz(2);
    one.expect_nothing();
    two.expect_nothing();
    one.close();
    desk.release(1);
    desk.release(2);
    let mut late = daemon.client();
    late.expect_nothing();
    assert_eq!(
        late.ask(r#"{"list":"buzzers"}"#),
        r#"{"response":"buzzers","pools":[{"pool":"desk","buzzers":[1,2]}]}"#,
        "connected by another, who is gone"
    );
    two.expect_nothing();
}

#[test]
fn a_pool_is_connected_again_as_often_as_anyone_asks() {
    let home = Home::desk("");
    let daemon = home.serve();
    let mut one = daemon.desk();
    let _desk = home.attach(1);
    one.expect(&connected(1));
    let mut two: Vec<Client> = (0..3).map(|_| daemon.client()).collect();
    for client in two.iter_mut().chain([&mut one]) {
        client.send(r#"{"command":"connect","pool":"desk"}"#);
        client.expect(r#"{"result":"connect","pool":"desk","buzzers":[1]}"#);
    }
    for client in two.iter_mut().chain([&mut one]) {
        client.expect_nothing();
    }
}
