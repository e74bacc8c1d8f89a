//! `buzzerd doctor`, run. In: homes with and without a daemon. Out: its page, its lines of JSON, its exit code. Guarantee:
//! nothing is asserted of the machine that the test runs on but what the test itself brought about.

use std::fs;
use std::process::Stdio;

use buzzer_core::device::catalogue;
use buzzer_tests::{Home, Machine};
use serde_json::Value;

/// Hardware that nobody has.
const NOWHERE: &str = "[[pool]]\nid = \"stage\"\nmatch = { name = \"no device has this name\" }\n";

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn doctor(home: &Home, arguments: &[&str]) -> Run {
    let mut all = vec!["doctor"];
    all.extend(arguments);
    let output = home.command(&all).stdout(Stdio::piped()).output().expect("buzzerd runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn line<'a>(lines: &'a [Value], check: &str) -> &'a Value {
    lines.iter().find(|line| line["check"] == check).unwrap_or_else(|| panic!("no {check} in {lines:?}"))
}

#[test]
fn missing_hardware_is_exit_code_1_and_said_on_the_page() {
    let home = Home::new(NOWHERE);
    let run = doctor(&home, &[]);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    assert_eq!(run.stderr, "", "the page has said it");
    assert!(
        run.stdout.contains("FAIL  buzzers             pool stage has 0 of its 1 device\n"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("\n                          -> buzzerd devices\n"), "{}", run.stdout);
    assert!(!run.stdout.contains('\x1b'), "no colour without a terminal");
    let last = run.stdout.lines().last().expect("a last line");
    assert!(last.starts_with("Not ready for a match: 1 failed, "), "{last}");
    assert!(!home.path().join("log").exists(), "nothing is made");
}

#[test]
fn every_line_of_json_has_every_field() {
    let home = Home::new(NOWHERE);
    let run = doctor(&home, &["--json"]);
    assert_eq!(run.code, Some(1));
    for line in lines(&run) {
        let is_text = |key: &str| line[key].as_str().is_some_and(|text| !text.is_empty());
        assert!(["check", "found", "why"].into_iter().all(is_text), "{line}");
        let verdict = line["verdict"].as_str().expect("a verdict");
        assert!(["ok", "unknown", "warn", "fail"].contains(&verdict), "{line}");
        assert!(line["cure"].is_string() || line["cure"].is_null(), "{line}");
        assert_eq!(line["verdict"] == "fail", line["check"] == "buzzers", "{line}");
    }
}

#[test]
fn a_running_daemon_is_asked_and_its_log_left_alone() {
    let home = Home::desk("autoconnect = true");
    let daemon = home.serve();
    // Now the port is known; a daemon in the field has a fixed one.
    let config = fs::read_to_string(home.config()).expect("the configuration");
    let address = daemon.address().to_string();
    fs::write(home.config(), config.replace("127.0.0.1:0", &address)).expect("the configuration");
    let before = home.journal().bytes();
    let run = doctor(&home, &["--json"]);
    let lines = lines(&run);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let asked = line(&lines, "daemon");
    assert_eq!(asked["verdict"], "ok", "{asked}");
    assert!(
        asked["found"].as_str().expect("text").starts_with(&format!("running on {address}, ok")),
        "{asked}"
    );
    for check in ["presses so far", "buzzers", "log directory", "settle window"] {
        assert_eq!(line(&lines, check)["verdict"], "ok", "{lines:?}");
    }
    assert_ne!(line(&lines, "sync latency")["verdict"], "unknown", "{lines:?}");
    assert_eq!(home.journal().bytes(), before);
    let names = fs::read_dir(home.path().join("log")).expect("the log directory");
    let names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".doctor")), "{names:?}");

    daemon.stop();
    let run = doctor(&home, &["--json"]);
    assert_eq!(run.code, Some(0), "no daemon is no failure: {}", run.stdout);
    assert_eq!(line(&self::lines(&run), "daemon")["verdict"], "unknown");
}

#[test]
fn what_the_daemon_knows_of_pools_and_buttons_is_a_finding() {
    let home = Home::desk("autoconnect = true");
    let daemon = home.serve();
    let config = fs::read_to_string(home.config()).expect("the configuration");
    let address = daemon.address().to_string();
    fs::write(home.config(), config.replace("127.0.0.1:0", &address)).expect("the configuration");
    daemon.wait_healthz("a pool that waits", |page| page["pools"][0]["waiting"] == true);
    let found = lines(&doctor(&home, &["--json"]));
    let attachments = line(&found, "attachments");
    assert_eq!(
        (&attachments["verdict"], &attachments["found"]),
        (&"warn".into(), &"nobody is attached to desk".into())
    );

    let mut desk = home.attach(2);
    daemon.wait_healthz("a pool that has buttons", |page| page["button_sums"]["all"] == 2);
    let found = lines(&doctor(&home, &["--json"]));
    assert!(!found.iter().any(|line| line["check"] == "attachments"), "{found:?}");
    let unheard = line(&found, "not heard yet");
    assert_eq!(unheard["verdict"], "unknown", "{unheard}");
    assert!(unheard["found"].as_str().is_some_and(|found| found.starts_with("2 of 2")), "{unheard}");

    desk.press(1);
    daemon.wait_healthz("a button that is held", |page| page["button_sums"]["held"] == 1);
    let found = lines(&doctor(&home, &["--json"]));
    assert_eq!(line(&found, "held buttons")["verdict"], "warn", "{found:?}");
    desk.release(1);
    desk.hit(2);
    daemon.wait_healthz("buttons that were heard", |page| page["button_sums"]["unheard"] == 0);
    let found = lines(&doctor(&home, &["--json"]));
    assert!(
        !found.iter().any(|line| line["check"] == "not heard yet" || line["check"] == "held buttons"),
        "{found:?}"
    );
}

#[test]
fn a_device_that_the_daemon_cannot_open_is_a_pool_that_waits() {
    let test = "a_device_that_the_daemon_cannot_open_is_a_pool_that_waits";
    // The made-up nodes can be looked at and not opened.
    let Some(machine) = Machine::new(test, "hubs") else { return };
    let hub = "match = { vendor = \"054c\", product = \"0002\", phys = \"*-1/*\" }";
    let mut home = Home::new(&format!("[[pool]]\nid = \"stage\"\nautoconnect = true\n{hub}\n"));
    home.set_wrapper(&machine.wrapper());
    let daemon = home.serve();
    let config = fs::read_to_string(home.config()).expect("the configuration");
    let address = daemon.address().to_string();
    fs::write(home.config(), config.replace("127.0.0.1:0", &address)).expect("the configuration");
    daemon.wait_healthz("a pool that waits", |page| page["pools"][0]["waiting"] == true);
    let run = doctor(&home, &["--json"]);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    let found = lines(&run);
    let waiting = line(&found, "waiting pools");
    assert_eq!(
        (&waiting["verdict"], &waiting["found"]),
        (&"fail".into(), &"stage waits".into()),
        "{waiting}"
    );
}

#[test]
fn unequal_devices_of_one_pool_are_no_match_for_each_other() {
    let test = "unequal_devices_of_one_pool_are_no_match_for_each_other";
    let Some(machine) = Machine::new(test, "measured") else { return };
    let device = |port: u8, key: &str, rest: &str| {
        format!("{{ match.phys = \"*-{port}/*\", buzzers = {{ \"{port}\" = \"{key}\" }}{rest} }}")
    };
    let key = |port| device(port, "KEY_A", "");
    let button = |port| device(port, "BTN_TRIGGER", "");
    let pool = |id: &str, devices: &[String]| {
        format!("[[pool]]\nid = \"{id}\"\ndevice = [{}]\n", devices.join(", "))
    };
    let takes = |name: &str, node: &str| {
        let model = catalogue::model(name).expect("a measured model");
        format!("{node}: {} ms", f64::from(model.curve.median_us()) / 1000.0)
    };
    let figures =
        format!("{}, {}", takes("Roccat Isku FX", "event5 (a)"), takes("Logitech K120", "event3 (a)"));
    let of_two_pools = figures.replace("event3 (a)", "event3 (b)");
    let one_is_said = device(5, "BTN_TRIGGER", ", delay_us = [10000, 30000]");
    let pair = |to: &str| Some(format!("buzzerd devices --measure-pair {to}"));
    let same_model = || Some("Give every player of one match the same model".to_owned());
    for (config, verdict, found, cure) in [
        (pool("a", &[key(1), key(2)]), "ok", "2 devices", None),
        (pool("a", &[key(1), key(3)]), "fail", figures.as_str(), same_model()),
        (pool("b", &[key(1)]) + &pool("a", &[key(3)]), "warn", &of_two_pools, same_model()),
        (pool("a", &[key(1), button(4)]), "ok", "2 devices", None),
        (pool("a", &[key(1), one_is_said]), "ok", "2 devices", None),
        (pool("a", &[key(1), button(5)]), "warn", "nobody has measured event7 (a)", pair("a 1 5")),
        (
            pool("b", &[key(1)]) + &pool("a", &[button(5)]),
            "warn",
            "event3 (b) is another kind",
            pair("b:1 a:5"),
        ),
    ] {
        let mut home = Home::new(&config);
        home.set_wrapper(&machine.wrapper());
        let run = doctor(&home, &["--json"]);
        let found_lines = lines(&run);
        let equal = line(&found_lines, "equal devices");
        assert_eq!(equal["verdict"], verdict, "{config}{equal}");
        assert!(equal["found"].as_str().expect("text").contains(found), "{found}: {equal}");
        assert_eq!(equal["cure"].as_str(), cure.as_deref());
        let no_other_fails = found_lines.iter().all(|line| line["verdict"] != "fail" || line == equal);
        assert!(no_other_fails, "{found_lines:?}");
        assert_eq!(run.code, Some(i32::from(verdict == "fail")), "{config}");
        // `devices` has the same opinion.
        let page = home.command(&["devices"]).stdout(Stdio::piped()).output().expect("buzzerd runs");
        let page = String::from_utf8(page.stdout).expect("text");
        let said =
            (page.contains("! The devices are unequal"), page.contains("Whether the devices are equal"));
        assert_eq!(said, (cure == same_model(), verdict == "warn" && cure != same_model()), "{page}");
    }
}

#[test]
fn wrong_usage_and_wrong_configuration_are_exit_code_2() {
    let home = Home::new("");
    assert_eq!(doctor(&home, &["--loud"]).code, Some(2));
    fs::write(home.config(), "[order]\nsettle = 1\n").expect("the configuration");
    let run = doctor(&home, &[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("buzzerd.toml:2"), "{}", run.stderr);
}
