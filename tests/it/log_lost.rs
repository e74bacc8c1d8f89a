//! Segments that somebody removes, replaces or cuts while the daemon writes. In: the log of a running daemon. Out: what it says, and
//! where it goes on. Guarantee checked: what is no longer there is said, nothing is written behind the end of a file that
//! was cut, and another file that bears the name is left alone.

use std::fs;
use std::path::Path;

use buzzer_tests::Home;

/// What is done to a segment, and the words for it.
type Harm = (&'static str, fn(&Path));

const HARMS: &[Harm] = &[
    ("cut short", |path| fs::write(path, "").expect("cut")),
    ("cut short", |path| {
        let bytes = fs::read(path).expect("it");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("cut");
    }),
    ("removed or renamed", |path| fs::remove_file(path).expect("removed")),
    ("removed or renamed", |path| fs::rename(path, path.with_extension("old")).expect("renamed")),
    ("replaced by another file", |path| {
        fs::rename(path, path.with_extension("old")).expect("renamed");
        fs::write(path, "x".repeat(1 << 20)).expect("another");
    }),
    ("gone with its directory", |path| {
        let dir = path.parent().expect("it");
        fs::rename(dir, dir.with_extension("old")).expect("renamed");
    }),
    ("gone with its directory", |path| fs::remove_dir_all(path.parent().expect("it")).expect("removed")),
];

#[test]
fn a_segment_that_somebody_touches_is_said_and_the_log_goes_on_in_a_fresh_one() {
    for &(words, harm) in HARMS {
        for is_asked in [true, false] {
            // A press makes the directory again before anybody looks.
            let words = if is_asked || !words.starts_with("gone") { words } else { "removed or renamed" };
            let home = Home::desk("autoconnect = true\ndebounce_us = 0");
            let mut daemon = home.serve();
            let mut client = daemon.client();
            let mut desk = home.attach(1);
            client.text();
            desk.hit(1);
            client.expect_buzz(1);
            daemon.wait_healthz("durable", |page| page["durable_seq"] == page["seq"]);
            let path = home.journal().segment();
            harm(&path);
            let after = fs::read(&path).ok();
            if is_asked {
                // Nothing is pressed: it is found because somebody asks.
                daemon.wait_healthz(words, |page| {
                    page["storage"].as_str().is_some_and(|text| text.contains(words))
                });
            } else {
                desk.hit(1);
                client.expect_buzz(1);
            }
            daemon.wait_said(words);
            desk.hit(1);
            client.expect_buzz(1);
            let health = daemon.wait_healthz("durable again", |page| {
                page["durable_seq"] == page["seq"]
                    && page["status"] == "ok"
                    && page["storage"].as_str().is_some_and(|text| text.contains(words))
            });
            drop(health);
            drop(client);
            let said = daemon.stop();
            assert_eq!(said.code, Some(0), "{words}");
            assert!(said.stderr.contains("records of seq 1 to "), "{words}: {}", said.stderr);
            assert!(!said.stderr.contains("durable again, and complete"), "{words}: {}", said.stderr);
            if home.journal().dir().join(path.file_name().expect("it")).exists() && after.is_some() {
                assert_eq!(fs::read(&path).ok(), after, "{words}: it is left as it is");
            }
            let all = String::from_utf8_lossy(&home.journal().segment_bytes()).into_owned();
            assert!(all.contains("\"what\":\"lost: "), "{words}: it is a record");
            assert!(!all.contains('\0'), "{words}: no zeros");
        }
    }
}
