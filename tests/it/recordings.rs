//! Recordings of real devices. In: event streams in evemu's text format, from `../shared/recordings` beside the
//! repository or `$BUZZERD_RECORDINGS`. Out: the presses that each must yield, written down here by hand from the files.
//! Guarantee: where the folder is missing the tests say that they were left out.

use std::path::PathBuf;

use buzzer_core::decode::Record;
use buzzer_core::event::{Buzzer, DeviceId, Flags, Kind};
use buzzer_core::keys::{KeyBits, KeyCode, KeyMap};
use buzzer_core::stamp::Stamps;
use buzzer_core::stream::{Stream, StreamOptions};
use buzzer_core::time::{KernelTime, Micros};
use buzzer_tests::harness::clock::Still;
use buzzer_tests::{Attachment, Home, left_out};

/// A press: the time of its SYN_REPORT in µs, and its key code.
type Press = (u64, u16);

const RECORDINGS: [(&str, &[Press]); 6] = [
    // Starts with the release of Enter, whose press was never seen; autorepeat of the left Ctrl is none.
    ("logitech-k400-keyboard.events", &[(11_228_233, 29), (11_576_222, 46)]),
    ("thinkpad-compact-keyboard.events", &[(1_399_994, 29), (1_560_031, 46)]),
    // Stick noise every 8 ms around one press.
    ("madcatz-xbox360-pad.events", &[(1_464_057, 305)]),
    // Press and release in one frame, six times; the release of one key and another's press in one frame.
    (
        "plantronics-buttons.events",
        &[
            (1_345_610_846_343_515, 258),
            (1_345_610_847_095_514, 257),
            (1_345_610_847_799_530, 256),
            (1_345_610_848_599_524, 259),
            (1_345_610_849_599_541, 259),
            (1_345_610_850_247_542, 256),
            (1_345_610_850_943_546, 257),
            (1_345_610_851_599_546, 258),
        ],
    ),
    ("wacom-express-key-remote.events", &[(59_987, 309)]),
    // Several buttons, one after the other.
    (
        "wacom-intuos4-pad-buttons.events",
        &[
            (1_337_931_263_406_520, 257),
            (1_337_931_264_478_496, 258),
            (1_337_931_266_054_500, 259),
            (1_337_931_267_106_493, 260),
            (1_337_931_268_182_428, 261),
            (1_337_931_269_130_464, 262),
            (1_337_931_269_958_462, 263),
            (1_337_931_271_134_401, 264),
        ],
    ),
];

/// The records of a recording; `None`, visibly, if it is not there.
fn recording(name: &str) -> Option<Vec<Record>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    let folder = std::env::var_os("BUZZERD_RECORDINGS").map_or(root, PathBuf::from);
    match std::fs::read_to_string(folder.join(name)) {
        Ok(text) => Some(text.lines().filter_map(|line| line.strip_prefix("E: ")).map(record).collect()),
        Err(error) => {
            left_out(&format!("recording {name}"), &format!("{}: {error}", folder.display()));
            None
        }
    }
}

/// `sec.usec type code value`, type and code in hex.
fn record(line: &str) -> Record {
    let mut words = line.split_whitespace();
    let mut word = || words.next().expect("four words");
    let (sec, usec) = word().split_once('.').expect("a time");
    Record {
        sec: sec.parse().expect("seconds"),
        usec: usec.parse().expect("microseconds"),
        kind: u16::from_str_radix(word(), 16).expect("a type"),
        code: u16::from_str_radix(word(), 16).expect("a code"),
        value: word().parse().expect("a value"),
    }
}

fn every_key() -> KeyMap {
    KeyMap::new((0..0x300).filter_map(KeyCode::new).map(|key| (key, Buzzer(key.get()))))
}

#[test]
fn each_recording_yields_its_presses() {
    for (name, presses) in RECORDINGS {
        let Some(records) = recording(name) else { continue };
        let mut stream = Stream::new(&StreamOptions {
            device: DeviceId::new(1),
            stamps: Stamps::Kernel,
            since: KernelTime::ZERO,
            keys: every_key(),
            held: KeyBits::NONE,
            debounce_us: Micros::from_us(15_000),
            settle_us: Micros::from_us(2000),
        });
        let mut told: Vec<Press> = Vec::new();
        for record in records {
            let now = KernelTime::from_timeval(record.sec, record.usec).expect("a time");
            let fed = stream.feed(&record.to_bytes(), &Still(now), &mut |event| match event.kind {
                Kind::Press { buzzer, flags, .. } => {
                    assert_eq!(flags, Flags::NONE, "{name}");
                    told.push((event.at.as_us(), buzzer.0));
                }
                Kind::Release { .. } => {}
                other => panic!("{name}: {other:?}"),
            });
            assert_eq!(fed, Ok(()), "{name}");
        }
        assert_eq!(told, presses, "{name}");
    }
}

#[test]
fn each_recording_played_to_the_daemon_is_told_press_by_press() {
    // Played at once, presses of one key come closer than any bounce.
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let daemon = home.serve();
    let mut client = daemon.client();
    for (name, presses) in RECORDINGS {
        let Some(records) = recording(name) else { continue };
        let mut device = Attachment::connect(&home.socket("desk"));
        let mut buzzers: Vec<u16> = presses.iter().map(|(_, code)| *code).collect();
        buzzers.sort_unstable();
        buzzers.dedup();
        let pairs: Vec<_> = buzzers.iter().map(|code| format!("\"{code}\":{code}")).collect();
        device.send(format!("{{\"name\":\"{name}\",\"buzzers\":{{{}}}}}\n", pairs.join(",")).as_bytes());
        assert_eq!(device.line(), r#"{"ok":true}"#);
        device.records(&records);
        drop(device);
        let event =
            |event: &str, buzzer: u16| format!(r#"{{"event":"{event}","pool":"desk","buzzer":{buzzer}}}"#);
        buzzers.iter().for_each(|buzzer| client.expect(&event("connected", *buzzer)));
        presses.iter().for_each(|(_, code)| client.expect(&event("buzz", *code)));
        client.expect(r#"{"event":"disconnected","pool":"desk","buzzer":null}"#);
    }
}
