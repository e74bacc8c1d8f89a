//! How much a log grows by what strangers do. In: clients, programs at a virtual pool's socket, real daemons. Out: the records
//! that this makes. Guarantee: each flood is as long as it takes to be far beyond the bound that is checked.

use buzzer_core::io::sys;
use buzzer_core::time::KernelTime;
use buzzer_server::record::{Fact, Flag};
use buzzer_tests::harness::attachment::{frame, key};
use buzzer_tests::{Attachment, Client, Home, log};

const NOWHERE: &str = r#"{"command":"connect","pool":"nowhere"}"#;

#[test]
fn connects_that_are_refused_or_change_nothing_make_no_log_of_their_own() {
    let home = Home::desk("");
    let daemon = home.serve();
    let started = sys::now();
    let mut asked = 0;
    // Each client comes from a port of its own.
    for _ in 0..40 {
        let mut client = daemon.client();
        for _ in 0..20 {
            assert!(client.ask(NOWHERE).contains("no such pool"));
            assert!(client.ask(r#"{"command":"connect","pool":"desk"}"#).contains(r#""result""#));
            asked += 1;
        }
        client.close();
    }
    let seconds = sys::now().since(started).as_us() / 1_000_000 + 1;
    daemon.stop();
    let records = home.journal().records();
    let connects = records.iter().filter(|record| matches!(record.fact, Fact::Connect { .. }));
    assert_eq!(connects.count(), 1);
    let refused: Vec<u32> = records
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Refuse { times, .. } => Some(*times),
            _ => None,
        })
        .collect();
    assert!(refused.len() as u64 <= seconds + 2, "{} in {seconds} s", refused.len());
    assert_eq!(refused.iter().sum::<u32>(), asked, "each is counted");
    log(&["verify", "--replay"], home.journal().dir()).good();
}

#[test]
fn a_sender_with_wrong_stamps_has_a_record_a_second_and_every_press_its_flag() {
    let home = Home::desk("stamps = \"sender\"\ndebounce_us = 0\nautoconnect = true");
    let daemon = home.serve();
    let mut desk = home.attach(1);
    home.journal().wait_attached(1);
    let started = sys::now();
    let old = KernelTime::from_us(1);
    for n in 0..2000 {
        desk.send(&frame(old, key(1), n % 2 == 0));
    }
    let flagged = home.journal().wait_until("presses", |records| {
        let presses = records.iter().filter_map(|record| match &record.fact {
            Fact::Press { flags, .. } => Some(flags.has(&Flag::StaleStamp)),
            _ => None,
        });
        let presses: Vec<bool> = presses.collect();
        (presses.len() == 1000).then_some(presses)
    });
    assert!(flagged.iter().all(|is| *is));
    desk.finish();
    desk.wait_closed();
    daemon.stop();
    let seconds = sys::now().since(started).as_us() / 1_000_000 + 1;
    let stale: Vec<u32> = home
        .journal()
        .records()
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::StaleStamp { times, .. } => Some(*times),
            _ => None,
        })
        .collect();
    assert!(stale.len() as u64 <= seconds + 2, "{} in {seconds} s", stale.len());
    assert_eq!(stale.iter().sum::<u32>(), 2000, "each is counted");
    log(&["verify", "--replay"], home.journal().dir()).good();
}

#[test]
fn a_pool_that_left_the_configuration_is_disconnected_by_a_record() {
    let home = Home::desk("");
    let daemon = home.serve();
    let client: Client = daemon.desk();
    daemon.stop();
    drop(client);
    let config = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), config.replace("id = \"desk\"", "id = \"other\"")).unwrap();
    let daemon = home.serve();
    let mut client = daemon.client();
    assert_eq!(client.ask(r#"{"list":"pools"}"#), r#"{"response":"pools","pools":["other"]}"#);
    client.expect_nothing();
    daemon.stop();
    // Named again, it has to be asked for again.
    std::fs::write(home.config(), config).unwrap();
    let daemon = home.serve();
    let mut desk = home.attach(1);
    home.journal().wait_attached(1);
    desk.hit(1);
    let uncounted = |fact: &Fact| matches!(fact, Fact::Uncounted { presses: 1, .. });
    home.journal().wait_for("a press that does not count", uncounted);
    daemon.stop();
    let records = home.journal().records();
    let disconnects: Vec<_> =
        records.iter().filter(|record| matches!(record.fact, Fact::Disconnect { .. })).collect();
    assert!(
        matches!(&disconnects[..], [record] if matches!(&record.fact, Fact::Disconnect { pool, by }
            if pool.as_str() == "desk" && by == "configuration")),
        "{disconnects:?}"
    );
    let shown = log(&["show"], home.journal().dir()).good();
    assert!(shown.contains("desk: disconnected, the configuration has it no more"), "{shown}");
    log(&["verify", "--replay"], home.journal().dir()).good();
}

#[test]
fn a_program_that_attaches_and_leaves_without_end_is_told_to_wait() {
    let home = Home::desk("autoconnect = true");
    let daemon = home.serve();
    let mut desk = home.attach(1);
    let started = sys::now();
    // 700 buzzers make an `attach` record of 4 KiB.
    let keys: Vec<String> = (1..700).map(|key| format!("\"{key}\":{}", 60_000 + key)).collect();
    let greeting = format!("{{\"name\":\"flood\",\"buzzers\":{{{}}}}}\n", keys.join(","));
    let mut attached: u64 = 0;
    for _ in 0..300 {
        let mut flood = Attachment::connect(&home.socket("desk"));
        flood.send(greeting.as_bytes());
        attached += u64::from(flood.line() == r#"{"ok":true}"#);
    }
    let seconds = sys::now().since(started).as_us() / 1_000_000 + 1;
    // Of 1 024 at once, and 2 a second, each takes 22.
    assert!(attached <= (1024 + 2 * seconds) / 22 + 1, "{attached} in {seconds} s");
    desk.hit(1);
    home.journal().wait_presses(1);
    daemon.stop();
}
