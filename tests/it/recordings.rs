//! What real devices say. In: the reports of six devices, written down here from recordings: times, keys, values; noise only
//! by its amount. Source: github.com/whot/evemu-devices at 3fa3058 (Red Hat, MIT licence). Out: the presses that each must
//! yield, found in the recordings by hand. Guarantee: nothing outside this file is needed.

use buzzer_core::event::{Buzzer, DeviceId, EventKind, Flags};
use buzzer_core::press::decode::Record;
use buzzer_core::press::keys::{KeyBits, KeyCode, KeyMap};
use buzzer_core::press::stamp::Stamps;
use buzzer_core::press::stream::{Stream, StreamOptions};
use buzzer_core::time::{KernelTime, Micros};
use buzzer_tests::harness::clock::Still;
use buzzer_tests::{Attachment, Home};

/// The time and value of its SYN_REPORT, and the keys before that with their values.
type Report = (u64, i32, &'static [(u16, i32)]);
/// A press: the time of its SYN_REPORT in µs, and its key code.
type Press = (u64, u16);

struct Recording {
    device: &'static str,
    /// From when to when a stick was noisy.
    noise: Option<(u64, u64)>,
    reports: &'static [Report],
    presses: &'static [Press],
}

const RECORDINGS: [Recording; 6] = [
    // Begins with the release of Enter, whose press was never seen; autorepeat of the left Ctrl is no press, and
    // its reports have the value 1.
    Recording {
        device: "Logitech K400 Plus keyboard",
        noise: None,
        reports: &[
            (1, 0, &[(28, 0)]),
            (11_228_233, 0, &[(29, 1)]),
            (11_476_442, 1, &[(29, 2)]),
            (11_509_776, 1, &[(29, 2)]),
            (11_543_110, 1, &[(29, 2)]),
            (11_576_222, 0, &[(46, 1)]),
        ],
        presses: &[(11_228_233, 29), (11_576_222, 46)],
    },
    // The same beginning.
    Recording {
        device: "ThinkPad Compact keyboard",
        noise: None,
        reports: &[(1, 0, &[(28, 0)]), (1_399_994, 0, &[(29, 1)]), (1_560_031, 0, &[(46, 1)])],
        presses: &[(1_399_994, 29), (1_560_031, 46)],
    },
    // One press in the noise of a stick, which made 232 reports.
    Recording {
        device: "Mad Catz Xbox 360 pad",
        noise: Some((1, 3_484_125)),
        reports: &[(1_464_057, 0, &[(305, 1)]), (1_564_079, 0, &[(305, 0)])],
        presses: &[(1_464_057, 305)],
    },
    // Press and release in one report, six times; the release of one key and the press of another in one.
    Recording {
        device: "Plantronics headset",
        noise: None,
        reports: &[
            (1_345_610_846_343_515, 0, &[(258, 1)]),
            (1_345_610_847_095_514, 0, &[(257, 1), (257, 0)]),
            (1_345_610_847_799_530, 0, &[(256, 1), (256, 0)]),
            (1_345_610_848_599_524, 0, &[(258, 0), (259, 1), (259, 0)]),
            (1_345_610_849_599_541, 0, &[(259, 1), (259, 0)]),
            (1_345_610_850_247_542, 0, &[(256, 1), (256, 0)]),
            (1_345_610_850_943_546, 0, &[(257, 1), (257, 0)]),
            (1_345_610_851_599_546, 0, &[(258, 1)]),
        ],
        presses: &[
            (1_345_610_846_343_515, 258),
            (1_345_610_847_095_514, 257),
            (1_345_610_847_799_530, 256),
            (1_345_610_848_599_524, 259),
            (1_345_610_849_599_541, 259),
            (1_345_610_850_247_542, 256),
            (1_345_610_850_943_546, 257),
            (1_345_610_851_599_546, 258),
        ],
    },
    Recording {
        device: "Wacom Express Key Remote",
        noise: None,
        reports: &[(59_987, 0, &[(309, 1)]), (179_974, 0, &[(309, 0)])],
        presses: &[(59_987, 309)],
    },
    // Several buttons, one after the other.
    Recording {
        device: "Wacom Intuos4 pad",
        noise: None,
        reports: &[
            (1_337_931_263_406_520, 0, &[(257, 1)]),
            (1_337_931_263_554_501, 0, &[(257, 0)]),
            (1_337_931_264_478_496, 0, &[(258, 1)]),
            (1_337_931_264_630_510, 0, &[(258, 0)]),
            (1_337_931_266_054_500, 0, &[(259, 1)]),
            (1_337_931_266_182_498, 0, &[(259, 0)]),
            (1_337_931_267_106_493, 0, &[(260, 1)]),
            (1_337_931_267_230_476, 0, &[(260, 0)]),
            (1_337_931_268_182_428, 0, &[(261, 1)]),
            (1_337_931_268_330_471, 0, &[(261, 0)]),
            (1_337_931_269_130_464, 0, &[(262, 1)]),
            (1_337_931_269_230_462, 0, &[(262, 0)]),
            (1_337_931_269_958_462, 0, &[(263, 1)]),
            (1_337_931_270_082_456, 0, &[(263, 0)]),
            (1_337_931_271_134_401, 0, &[(264, 1)]),
            (1_337_931_271_282_451, 0, &[(264, 0)]),
        ],
        presses: &[
            (1_337_931_263_406_520, 257),
            (1_337_931_264_478_496, 258),
            (1_337_931_266_054_500, 259),
            (1_337_931_267_106_493, 260),
            (1_337_931_268_182_428, 261),
            (1_337_931_269_130_464, 262),
            (1_337_931_269_958_462, 263),
            (1_337_931_271_134_401, 264),
        ],
    },
];

impl Recording {
    fn records(&self) -> Vec<Record> {
        let noise = self.noise.into_iter().flat_map(|(from, to)| (from..to).step_by(15_000));
        // EV_ABS, ABS_X: one position in each report.
        let noise =
            noise.map(|us| (us, [Record { kind: 3, code: 0, value: us as i32, ..at(us) }, at(us)].to_vec()));
        let reports = self.reports.iter().map(|(us, value, keys)| {
            let keys =
                keys.iter().map(|(code, value)| Record { kind: 1, code: *code, value: *value, ..at(*us) });
            (*us, keys.chain([Record { value: *value, ..at(*us) }]).collect())
        });
        let mut all: Vec<(u64, Vec<Record>)> = noise.chain(reports).collect();
        all.sort_by_key(|(us, _)| *us);
        all.into_iter().flat_map(|(_, records)| records).collect()
    }
}

fn at(us: u64) -> Record {
    Record::report(KernelTime::from_us(us))
}

fn every_key() -> KeyMap {
    KeyMap::new((0..0x300).filter_map(KeyCode::new).map(|key| (key, Buzzer(key.get()))))
}

#[test]
fn each_recording_yields_its_presses() {
    for recording in RECORDINGS {
        let (name, presses, records) = (recording.device, recording.presses, recording.records());
        let mut stream = Stream::new(&StreamOptions {
            device: DeviceId::new(1),
            stamps: Stamps::Kernel,
            since: KernelTime::ZERO,
            drained: KernelTime::ZERO,
            keys: every_key(),
            held: KeyBits::NONE,
            debounce_us: Micros::from_us(15_000),
            settle_us: Micros::from_us(2000),
        });
        let mut told: Vec<Press> = Vec::new();
        for record in records {
            let now = KernelTime::from_timeval(record.sec, record.usec).expect("a time");
            let fed = stream.feed(&record.to_bytes(), &Still(now), &mut |event| match event.kind {
                EventKind::Press { buzzer, flags, .. } => {
                    assert_eq!(flags, Flags::NONE, "{name}");
                    told.push((event.at.as_us(), buzzer.0));
                }
                EventKind::Release { .. } => {}
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
    for recording in RECORDINGS {
        let (name, presses, records) = (recording.device, recording.presses, recording.records());
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
