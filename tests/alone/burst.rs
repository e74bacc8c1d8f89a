//! A burst, longer than sockets can hold. In: an unplug of 64 devices at once. Out: every message. Guarantee: a client that
//! reads is not dropped for what comes faster than it can be sent. One that is given no processor may be, and rightly.

use buzzer_tests::harness::attachment::key;
use buzzer_tests::{Attachment, Home};

use crate::alone;

#[test]
fn a_burst_of_two_thousand_messages_loses_no_client_that_reads() {
    // 64 attachments of 32 buzzers go at once: 2 016 messages of 55 bytes, one after the other, and one for the last.
    const DEVICES: u16 = 64;
    const KEYS: u16 = 32;
    let _alone = alone();
    let home = Home::desk("");
    let daemon = home.serve();
    let socket = home.socket("desk");
    let devices: Vec<_> = (0..DEVICES)
        .map(|device| {
            let keys = (1..=KEYS).map(|n| (key(n), device * KEYS + n));
            Attachment::open_keys(&socket, "device", keys)
        })
        .collect();
    home.journal().wait_attached(devices.len());
    let mut clients = [daemon.desk(), daemon.client()];
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                for _ in 1..DEVICES {
                    for _ in 0..KEYS {
                        let text = client.text();
                        assert!(text.starts_with(r#"{"event":"disconnected""#), "{text}");
                    }
                }
                client.expect(r#"{"event":"disconnected","pool":"desk","buzzer":null}"#);
            });
        }
        drop(devices);
    });
}
