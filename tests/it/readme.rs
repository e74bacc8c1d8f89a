//! What README tells a teacher, held against what the program does. In: README.md, the table of models, devices and
//! presses made up for each line. Out: pass or fail. Guarantee: every figure on how slow hardware is, and how far apart
//! two presses must be, is the product's own: at the lead in README the order is certain, just below it is not.

use buzzer_core::device::catalogue;
use buzzer_core::device::catalogue::CATALOGUE;
use buzzer_core::device::delay::chance::{Odds, chance_permille};
use buzzer_core::device::delay::models;
use buzzer_core::device::delay::models::{Model, Standing};
use buzzer_core::device::delay::{Configured, Delay, Span};
use buzzer_core::device::endpoint::Endpoint;
use buzzer_core::device::identity::{BUS_USB, Identity};
use buzzer_core::press::keys::KeyBits;
use buzzer_core::time::Micros;
use buzzer_server::config::VirtualStamps;
use buzzer_server::game::photo::{Press, Sureness};
use buzzer_server::game::state::State;
use buzzer_server::record::Rival;
use buzzer_server::record::{DeviceDelay, Fact, Flags, Record, Stamps};
use buzzer_tests::harness::log_command::{log_command, written};

const README: &str = include_str!("../../README.md");

/// The cells of the row of a table that begins with this cell.
fn row(first: &str) -> Vec<&'static str> {
    let mut rows = README.lines().filter(|line| line.starts_with(&format!("| {first} |")));
    let row = rows.next().unwrap_or_else(|| panic!("README has no row {first:?}"));
    assert_eq!(rows.next(), None, "{first:?} stands twice");
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// To a tenth of a millisecond.
fn ms(us: u32) -> String {
    format!("{:.1}", f64::from(us) / 1000.0)
}

/// Upwards, so that what is promised holds.
fn ms_at_least(us: u64) -> String {
    let tenths = us.div_ceil(100);
    match tenths % 10 {
        0 => format!("{} ms", tenths / 10),
        tenth => format!("{}.{tenth} ms", tenths / 10),
    }
}

fn device(ids: (u16, u16), name: &str, configured: Configured) -> (String, Delay) {
    polled(ids, name, "10ms", configured)
}

fn polled(ids: (u16, u16), name: &str, asked: &str, configured: Configured) -> (String, Delay) {
    let identity = Identity {
        node: String::new(),
        instance: 1,
        dev: None,
        name: name.to_owned(),
        phys: String::new(),
        uniq: String::new(),
        bus: BUS_USB,
        vendor: ids.0,
        product: ids.1,
        version: 0,
        keys: KeyBits::NONE,
        inhibited: false,
        endpoint: Endpoint::parse(asked, "", "12", "xhci_hcd"),
    };
    (name.to_owned(), Delay::of(&identity, configured))
}

/// One that is polled as it asks.
fn of_model(name: &str) -> (String, Delay) {
    let named = |row: &&catalogue::Hardware| row.model.as_ref().is_some_and(|model| model.name == name);
    let row = CATALOGUE.iter().find(named).expect("a measured model");
    let model = row.model.as_ref().expect("a measured model");
    let asked = model.asked_us.map(|us| format!("{}ms", us / 1000)).unwrap_or_default();
    polled((row.vendor, *row.products.start()), name, &asked, Configured::default())
}

fn configured(name: &str, delay_us: Option<[u64; 2]>, scan_us: Option<u64>) -> (String, Delay) {
    let span = |[min, max]: [u64; 2]| Span::new(Micros::from_us(min), Micros::from_us(max));
    let configured = Configured { delay_us: delay_us.map(span), scan_us: scan_us.map(Micros::from_us) };
    device((0x1209, 0x0001), name, configured)
}

fn program(name: &str, stamps: VirtualStamps) -> (String, Delay) {
    (name.to_owned(), stamps.delay())
}

/// The smallest lead from which A before B is certain, by the records that a daemon would make; `None`: they are one
/// device.
fn certain_from_us(a: &(String, Delay), b: Option<&(String, Delay)>) -> u64 {
    let mut state = State::default();
    let mut seq = 0;
    let mut attach = |state: &mut State, number: u32, (name, delay): &(String, Delay)| {
        seq += 1;
        let fact = Fact::Attach {
            device: number,
            pool: "desk".parse().expect("an id"),
            name: name.clone(),
            place: String::new(),
            stamps: Stamps::Kernel,
            buzzers: vec![1],
            delay: DeviceDelay::from(delay),
        };
        state.apply(&Record { seq, at_us: 0, fact }, |_| {});
    };
    attach(&mut state, 1, a);
    if let Some(b) = b {
        attach(&mut state, 2, b);
    }
    let press = |device: u32, at_us: u64| {
        let delay = state.delay(device);
        Press { at_us, device, frame: 0, delay, own_us: [delay.min_us, delay.max_us], curve: None }
    };
    let first = press(1, 1_000_000);
    let is_certain = |lead_us: &u64| {
        first.before(&press(1 + u32::from(b.is_some()), 1_000_000 + lead_us)) == Sureness::Certain
    };
    // Presses of one stamp are a tie.
    let from_us = (1..2_000_000).find(is_certain).expect("a lead");
    assert!((from_us..from_us + 500_000).step_by(997).all(|lead_us| is_certain(&lead_us)));
    from_us
}

fn of_two(a: &(String, Delay), b: &(String, Delay)) -> String {
    ms_at_least(certain_from_us(a, Some(b)))
}

fn of_one(device: &(String, Delay)) -> String {
    ms_at_least(certain_from_us(device, None))
}

/// What is certain from when for two of a model, which is the same for two buttons of one.
fn of_model_us(model: &Model) -> u64 {
    let device = of_model(model.name);
    let us = certain_from_us(&device, Some(&device));
    assert_eq!(us, certain_from_us(&device, None), "{}", model.name);
    us
}

#[test]
fn the_table_of_models_is_the_products() {
    for model in catalogue::models() {
        let own = [model.curve.min_us(), model.curve.median_us(), model.curve.max_us()].map(ms);
        let forced = model.curve.forced_us.map(|us| us.map(ms).join(" / ")).unwrap_or_default();
        let certain = ms_at_least(of_model_us(model));
        let want = [model.name, &own[0], &own[1], &own[2], &forced, certain.trim_end_matches(" ms")];
        assert_eq!(row(model.name), want, "| {} |", want.join(" | "));
    }
    let listed = README.lines().skip_while(|line| !line.starts_with("| model | least")).skip(2);
    assert_eq!(listed.take_while(|line| line.starts_with('|')).count(), catalogue::models().count());
    let is_shared = |model: &Model| model.standing == Standing::Shared;
    let shared: Vec<bool> = catalogue::models().map(is_shared).collect();
    assert!(shared[..3].iter().all(|one| *one) && !shared[3..].contains(&true), "the first three");
    assert!(README.contains(&format!("({} ms)", ms(models::SLOWEST_WIRED_PAD_US))));
    let whole_ms = |us: u32| (us + 500) / 1000;
    let [slowest, widest] = [models::SLOWEST_MEASURED_US, models::WIDEST_MEASURED_US].map(whole_ms);
    assert!(README.contains(&format!("the slowest takes {slowest} ms, the widest {widest}.")));
}

#[test]
fn a_teacher_is_told_the_leads_that_are_certain() {
    let unmeasured = |name| device((0x054c, 0x0002), name, Configured::default());
    let radio = |name| device((0x054c, 0x1000), name, Configured::default());
    let (hub, other, wireless) = (unmeasured("hub"), unmeasured("another"), radio("hub"));
    let measured: Vec<u64> = catalogue::models().map(of_model_us).collect();
    let range = |us: Option<&u64>| ms_at_least(*us.expect("a model"));
    let (least, most) = (range(measured.iter().min()), range(measured.iter().max()));
    let (isku, k120) = (of_model("Roccat Isku FX"), of_model("Logitech K120"));
    let scanned = configured("encoder", None, Some(2_000));
    let known = |name| configured(name, Some([6_000, 16_000]), None);
    let (receipt, sender) = (VirtualStamps::Receipt, VirtualStamps::Sender);
    let programs = |stamps| certain_from_us(&program("a", stamps), Some(&program("b", stamps)));
    assert_eq!((programs(receipt), programs(sender)), (1_000, 1));
    for at_once in [program("a", receipt), configured("pad", None, Some(0))] {
        assert_eq!(certain_from_us(&at_once, None), 1, "one report apart");
    }
    assert_eq!(of_two(&known("a"), &known("a")), of_two(&known("a"), &known("b")));
    for (buttons, want) in [
        (
            "of one program (an attachment to a virtual pool), or of one device with `scan_us = 0`",
            "one report apart".to_owned(),
        ),
        (
            "of two programs",
            "little more than 1 ms, and what they take to notice a press; `stamps = \"sender\"`: one µs"
                .to_owned(),
        ),
        (
            "handsets of one wired Buzz! hub; keys of one keyboard or encoder that nobody has measured",
            of_one(&hub),
        ),
        ("on two devices of one model that nobody has measured", of_two(&hub, &hub)),
        ("on two devices of two models that nobody has measured", of_two(&hub, &other)),
        (
            "of wireless Buzz! sets or other radios that nobody has measured",
            format!("{} of one model, {} of two", of_two(&wireless, &wireless), of_two(&hub, &wireless)),
        ),
        (
            "of one device that was measured, or on two of its model",
            format!("{} to {most}: the table's last column", least.trim_end_matches(" ms")),
        ),
        (
            "on two models that were measured",
            format!(
                "B's max - A's min: an Isku FX before a K120 {}, a K120 before an Isku FX {}",
                of_two(&isku, &k120),
                of_two(&k120, &isku)
            ),
        ),
        ("on one device of which you know the scan: `scan_us = 2000`, polled every 8 ms", of_one(&scanned)),
        (
            "on devices of which you measured the delay: `delay_us = [6000, 16000]` for both",
            of_two(&known("a"), &known("b")),
        ),
    ] {
        assert_eq!(row(buttons), [buttons, want.as_str()]);
    }
}

#[test]
fn what_to_buy_has_the_margins_of_the_table() {
    let margin = |name| {
        let model = catalogue::model(name).expect("a measured model");
        model.delay_us(None).1 - model.curve.max_us()
    };
    let (own, radio) = (margin("Logitech K120"), margin("Logitech G700 by radio"));
    assert_eq!((own, radio), (5_000, 12_000), "README says so");
    let published_us = 1_320;
    let line = format!("delay_us = [0, {}]", published_us + own);
    assert!(README.contains(&format!("`{line}`")), "{line}");
    let median = |name| of_model(name).1.median_us().expect("a median").as_us();
    let (k120, isku) = (median("Logitech K120"), median("Roccat Isku FX"));
    let ahead = ms(u32::try_from(k120 - isku).expect("less"));
    assert!(
        README.contains(&format!("the same {} ms; beside an Isku FX the K120 loses {ahead} ms", k120 / 1000))
    );
}

#[test]
fn the_steps_and_the_example_are_what_explain_says() {
    let mut steps: Vec<String> = (1..=500)
        .filter_map(|chance| match Odds::of_permille(chance) {
            Odds::OneIn(many) => Some(many.to_string()),
            _ => None,
        })
        .collect();
    steps.dedup();
    steps.reverse();
    assert!(README.contains(&format!("(about 1 in {}, or very unlikely)", steps.join(", "))), "{steps:?}");

    // A race between an encoder and two keyboards, written as a daemon would.
    let pool = || "stage".parse().expect("an id");
    let (encoder, k120) = (of_model("DragonRise arcade encoder").1, of_model("Logitech K120").1);
    let started = Fact::Start {
        log: format!("{:032}", 1),
        boot: format!("{:032}", 1),
        version: "0.1.0".to_owned(),
        // 2026-11-24 07:25:00 UTC
        wall_us: 1_795_505_100_000_000,
        settle_us: 2000,
        realtime: true,
    };
    let mut facts = vec![
        (1_000_000, started),
        (1_000_000, Fact::Connect { pool: pool(), by: "autoconnect".to_owned(), asked_us: None }),
    ];
    let names = ["DragonRise Inc. Generic USB Joystick", "Logitech USB Keyboard", "Logitech USB Keyboard"];
    let seats = [(1_u16, &encoder), (2, &k120), (3, &k120)];
    for ((number, delay), name) in seats.into_iter().zip(names) {
        let fact = Fact::Attach {
            device: number.into(),
            pool: pool(),
            name: name.to_owned(),
            place: format!("usb-0000:00:14.0-{number}/input0"),
            stamps: Stamps::Kernel,
            buzzers: vec![number],
            delay: DeviceDelay::from(delay),
        };
        facts.push((1_000_000, fact));
    }
    let us = |us: Micros| us.as_us().cast_signed();
    let curve = |delay: &Delay| &delay.curve.expect("measured at its own interval").quantiles_us;
    let chance = chance_permille(curve(&encoder), curve(&k120), 6_120);
    for ((number, delay), after_us) in seats.into_iter().zip([0, 6_120, 104_220]) {
        let at_us = 3_600_919 + after_us;
        let rival = Rival { seq: 6, chance_permille: Some(chance) };
        let fact = Fact::Press {
            pool: pool(),
            buzzer: number,
            device: number.into(),
            delay_us: [us(delay.us.min_us), us(delay.us.max_us)],
            final_at_us: at_us + encoder.us.max_us.as_us() - delay.us.min_us.as_us(),
            flags: Flags::default(),
            photo: if number == 2 { vec![rival] } else { Vec::new() },
            photo_more: false,
            tie: None,
            frame: 0,
        };
        facts.push((at_us, fact));
    }
    facts.push((7_600_919, Fact::Stop {}));
    let log = written(&facts);
    let verified = log_command(&["verify", "--replay"], log.path()).output().expect("buzzerd runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let mut explain = log_command(&["explain", "--seq", "6..8"], log.path());
    let output = explain.env("TZ", "<+01>-1").output().expect("buzzerd runs");
    let page = String::from_utf8(output.stdout).expect("text");
    let example = page.split("\nWho was there").next().expect("a page").trim_end();
    assert!(README.contains(&format!("```\n{example}\n```\n")), "{example}");
}
