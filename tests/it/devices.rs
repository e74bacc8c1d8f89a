//! Devices that nobody has, and what is said of them. In: made-up machines (`tests/devices`), configurations. Out: what
//! `devices`, `doctor` and the daemon say, and what becomes of it when their advice is followed. Guarantee: every line is
//! taken from the output as a person would copy it. Needs root for a private mount namespace, and says where it has none.

use std::fs;
use std::process::{Output, Stdio};

use buzzer_tests::{Home, Machine};
use serde_json::Value;

/// A home on a made-up machine. `None`: left out, and said.
fn home(test: &str, devices: &str, config: &str) -> Option<(Machine, Home)> {
    let machine = Machine::new(test, devices)?;
    let mut home = Home::new(config);
    home.set_wrapper(&machine.wrapper());
    Some((machine, home))
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    home.command(arguments).stdout(Stdio::piped()).output().expect("buzzerd runs")
}

fn devices(home: &Home) -> String {
    let output = run(home, &["devices"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// One object per device, in the order of the nodes.
fn rows(home: &Home) -> Vec<Value> {
    let output = run(home, &["devices", "--json"]);
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The pool of each device.
fn pools(home: &Home) -> Vec<String> {
    rows(home).iter().map(|row| row["pool"].as_str().unwrap_or("-").to_owned()).collect()
}

fn pool(id: &str, rest: &str) -> String {
    format!("[[pool]]\nid = \"{id}\"\n{rest}\n")
}

/// Writes a line in place of the one with the same key in the pool with this id.
fn rewrite(home: &Home, id: &str, line: &str) {
    let config = fs::read_to_string(home.config()).expect("the configuration");
    let mark = format!("id = \"{id}\"\n");
    let (before, after) = config.split_once(&mark).expect("the pool");
    let (own, rest) = after
        .split_once("[[pool]]")
        .map_or((after, String::new()), |(own, rest)| (own, format!("[[pool]]{rest}")));
    let key = line.split(" =").next().expect("a key");
    let kept: Vec<&str> = own.lines().filter(|own| !own.starts_with(&format!("{key} ="))).collect();
    fs::write(home.config(), format!("{before}{mark}{line}\n{}\n{rest}", kept.join("\n"))).expect("written");
}

fn append(home: &Home, text: &str) {
    let config = fs::read_to_string(home.config()).expect("the configuration");
    fs::write(home.config(), format!("{config}\n{text}")).expect("written");
}

/// What is printed below lines that end so, indented deeper, up to a blank line or the next of its kind.
fn blocks(page: &str, head: &str) -> Vec<String> {
    let lines: Vec<&str> = page.lines().collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let at = lines.iter().enumerate().filter(|(_, line)| line.ends_with(head));
    let block = |(index, line): (usize, &&str)| {
        let own =
            lines[index + 1..].iter().take_while(|below| !below.is_empty() && depth(below) > depth(line));
        own.map(|line| line.trim()).collect::<Vec<_>>().join("\n")
    };
    at.map(block).collect()
}

#[test]
fn the_node_that_sends_is_taken_and_another_can_be_chosen() {
    const STOMP: &str = "match = { vendor = \"0c45\", product = \"7403\" }";
    let test = "the_node_that_sends_is_taken_and_another_can_be_chosen";
    // The keyboard has the last of the nodes: the first one would be the pad.
    for rest in [STOMP.to_owned(), format!("{STOMP}\nbuzzers = {{ \"1\" = \"KEY_A\" }}")] {
        let Some((_machine, home)) = home(test, "pedal", &pool("pedal", &rest)) else { return };
        let page = devices(&home);
        assert_eq!(pools(&home)[..3], ["-", "-", "pedal"], "{page}");
        assert_eq!(page.matches("uses another part of this unit, event5").count(), 2, "{page}");
        assert!(!page.contains("! "), "nothing is in the way: {page}");
        assert_eq!(page.matches(STOMP).count(), 0, "that is there already: {page}");
    }
    // The board that nobody knows, whose nodes differ in nothing but their keys.
    let any = "match = { vendor = \"1209\", product = \"beef\" }";
    for (config, id, node, first) in
        [(pool("a", STOMP), "a", 3, 5), (pool("a", STOMP), "a", 4, 5), (pool("b", any), "b", 6, 8)]
    {
        let Some((_machine, home)) = home(test, "pedal", &config) else { return };
        let page = devices(&home);
        assert_eq!(rows(&home)[first - 3]["pool"], id, "{page}");
        let [line] = &blocks(&page, &format!("to use event{node} instead, write in pool \"{id}\":"))[..]
        else {
            panic!("{page}")
        };
        rewrite(&home, id, line);
        assert_eq!(rows(&home)[node - 3]["pool"], id, "{line}\n{}", devices(&home));
    }
}

#[test]
fn players_at_one_place_are_ambiguous_until_each_has_an_entry() {
    let one = pool("one", "match = { vendor = \"16c0\", product = \"05e1\" }");
    let test = "players_at_one_place_are_ambiguous_until_each_has_an_entry";
    let Some((_machine, home)) = home(test, "players", &one) else { return };
    let page = devices(&home);
    assert_eq!(page.matches("ambiguous").count(), 2, "{page}");
    for block in blocks(&page, "Add:") {
        append(&home, &block);
    }
    let page = devices(&home);
    assert!(!page.contains("ambiguous") && !page.contains("! "), "{page}");
    assert!(page.contains("in the order of their nodes"), "{page}");
    assert!(!pools(&home).contains(&"-".to_owned()), "{page}");
}

#[test]
fn radio_buttons_are_told_by_their_addresses() {
    let one = pool("one", "match = { vendor = \"2717\" }");
    let test = "radio_buttons_are_told_by_their_addresses";
    let Some((_machine, home)) = home(test, "radio", &one) else { return };
    let page = devices(&home);
    assert_eq!(page.matches("ambiguous").count(), 2, "{page}");
    let lines = blocks(&page, "to use event5 instead, write in pool \"one\":");
    assert_eq!(lines, [r#"match = { vendor = "2717", product = "32b9", uniq = "e8:07:bf:00:00:0c" }"#]);
    rewrite(&home, "one", &lines[0]);
    let page = devices(&home);
    assert_eq!(pools(&home), ["-", "-", "one"], "{page}");
    assert!(!page.contains("! "), "{page}");
    // The daemon and doctor say the same as long as it is so.
    rewrite(&home, "one", "match = { vendor = \"2717\" }");
    let mut daemon = home.serve();
    let said = daemon.wait_said("to use event5 instead");
    assert!(said.contains(&format!("write `{}` in pool \"one\"", lines[0])), "{said}");
    let doctor = String::from_utf8(run(&home, &["doctor"]).stdout).expect("text");
    assert!(
        doctor.contains("-> match = { vendor = \"2717\", product = \"32b9\", uniq = \"e8:07"),
        "{doctor}"
    );
}

#[test]
fn a_pad_has_all_its_buttons_and_a_number_pad_no_lock() {
    let test = "a_pad_has_all_its_buttons_and_a_number_pad_no_lock";
    let all: String = ["0016", "0017", "0018"]
        .iter()
        .map(|product| pool(product, &format!("match = {{ vendor = \"1209\", product = \"{product}\" }}")))
        .collect();
    let Some((_machine, home)) = home(test, "pads", &all) else { return };
    let rows = rows(&home);
    let count = |index: usize| rows[index]["buzzers"].as_array().expect("a list").len();
    assert_eq!((count(0), count(1), count(2)), (24, 15, 18), "{rows:#?}");
    assert_eq!(rows[2]["left_out"], serde_json::json!(["KEY_NUMLOCK"]));
    assert_eq!(rows[1]["left_out"].as_array().expect("a list").len(), 111);
    assert_eq!(rows[3]["profile"], Value::Null, "a lighting controller");
    let page = devices(&home);
    assert!(page.contains("unless `buzzers` names them: KEY_NUMLOCK\n"), "{page}");
    fs::write(home.config(), "").expect("written");
    assert_eq!(
        pools(&home)[1..],
        ["-", "-", "-"],
        "what types, and what nobody can press, is not taken unasked"
    );
}

#[test]
fn no_name_reaches_the_terminal_raw_and_every_name_can_be_copied() {
    let test = "no_name_reaches_the_terminal_raw_and_every_name_can_be_copied";
    let Some((_machine, home)) = home(test, "hostile", &pool("a", "match = { product = \"0009\" }")) else {
        return;
    };
    let page = devices(&home);
    let is_raw = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!page.contains(is_raw), "{page:?}");
    assert!(page.contains("event3  \"Blank  \"\n"), "{page}");
    let found = blocks(&page, "(the id is yours to choose):");
    assert_eq!(found.len(), 4, "{page}");
    for block in found {
        append(&home, &block);
    }
    let page = devices(&home);
    assert!(!pools(&home).contains(&"-".to_owned()) && !page.contains("! "), "{page}");
    let ended = home.serve().stop();
    assert!(!ended.stderr.contains(is_raw), "{:?}", ended.stderr);
    assert_eq!(ended.stderr.matches(": has event").count(), 4, "{}", ended.stderr);
    for arguments in
        [&["devices", "--json"][..], &["doctor"], &["doctor", "--json"], &["log", "show"], &["log", "export"]]
    {
        let output = run(&home, arguments);
        let said = String::from_utf8(output.stdout).expect("text").replace("\r\n", "\n");
        assert!(!said.is_empty() && !said.contains(is_raw), "{arguments:?}: {said:?}");
    }
}

#[test]
fn equal_entries_are_made_certain_by_the_lines_that_are_told() {
    let test = "equal_entries_are_made_certain_by_the_lines_that_are_told";
    let hub = "match = { vendor = \"054c\", product = \"0002\" }";
    let both = pool("left", hub) + &pool("right", hub);
    let Some((machine, home)) = home(test, "hubs", &both) else { return };
    let mut daemon = home.serve();
    let said = daemon.wait_said("only the order of the nodes decides");
    assert!(
        said.contains("in pool \"left\" to give it event3") && said.contains("in pool \"right\""),
        "{said}"
    );
    drop(daemon);
    let page = devices(&home);
    for id in ["left", "right"] {
        let [line] = &blocks(&page, &format!(", write in pool \"{id}\":"))[..] else { panic!("{page}") };
        rewrite(&home, id, line);
    }
    assert!(!devices(&home).contains("only the order"), "{}", devices(&home));
    assert_eq!(pools(&home), ["left", "right"]);
    machine.reverse();
    assert_eq!(pools(&home), ["right", "left"], "the same hub, whatever its node");
}

/// Follows every line that is told in place of an entry's, each alone: the node that it is told for serves then, and no
/// other one fits as well. Then adds every entry that is told. How many lines of the first kind there were; `None`: left out.
fn follow_all(test: &str, machine: &str, entry: &str) -> Option<usize> {
    let (_machine, home) = home(test, machine, &pool("p", entry))?;
    let config = fs::read_to_string(home.config()).expect("the configuration");
    let page = devices(&home);
    let lines: Vec<&str> = page.lines().map(str::trim).collect();
    let told = lines.windows(2).filter_map(|pair| {
        let effect = pair[0].strip_suffix(", write in pool \"p\":")?;
        Some((effect.split(' ').find(|word| word.starts_with("event"))?, pair[1]))
    });
    let told: Vec<(&str, &str)> = told.collect();
    for (node, line) in &told {
        fs::write(home.config(), &config).expect("written");
        rewrite(&home, "p", line);
        let after = devices(&home);
        let serves =
            |row: &Value| row["node"].as_str().is_some_and(|at| at.ends_with(node)) && row["pool"] == "p";
        assert!(rows(&home).iter().any(serves), "{machine}: {entry}: {line} is for {node}\n{after}");
        assert!(!after.contains("ambiguous"), "{machine}: {entry}: {line}\n{after}");
    }
    fs::write(home.config(), &config).expect("written");
    let added: Vec<String> =
        [": equal entries share such devices in the order of their nodes. Add:", "yours to choose):"]
            .iter()
            .flat_map(|head| blocks(&page, head))
            .collect();
    added.iter().for_each(|block| append(&home, block));
    let after = devices(&home);
    let unused =
        rows(&home).iter().any(|row| row["not_used"].as_str().is_some_and(|why| why.contains("no [[pool]]")));
    assert!(!unused, "{machine}: {entry}: each has an entry now\n{after}");
    Some(told.len())
}

#[test]
fn every_line_that_is_told_does_what_is_said_of_it() {
    let test = "every_line_that_is_told_does_what_is_said_of_it";
    let model = |ids: &str| {
        let (vendor, product) = ids.split_once(':').expect("vendor:product");
        format!("match = {{ vendor = \"{vendor}\", product = \"{product}\" }}")
    };
    let with = |ids: &str, key: &str| format!("{}\nbuzzers = {{ \"1\" = \"{key}\" }}", model(ids));
    for (machine, entry, lines) in [
        // A keyboard with media keys, two receivers, a keyboard that poses as all there is, a number pad.
        ("desks", model("04d9:a0cd"), 2),
        ("desks", with("04d9:a0cd", "KEY_SLEEP"), 0),
        ("desks", model("046d:c52b"), 5),
        ("desks", with("046d:c52b", "BTN_LEFT"), 2),
        ("desks", "match = { name = \"Wireless Receiver\" }".to_owned(), 3),
        ("desks", model("1532:0226"), 3),
        ("desks", with("1532:0226", "KEY_A"), 2),
        ("desks", model("1c4f:0002"), 1),
        // What is paired with one receiver, pads with a touch pad by cable and by radio, buttons without an address.
        ("radios", model("046d:4013"), 4),
        ("radios", model("1915:1025"), 2),
        ("radios", model("054c:09cc"), 5),
        ("radios", model("248a:8266"), 1),
        // Hubs in hubs of two controllers, serial numbers that are none, pedals, lighting controllers.
        ("ports", model("1a86:e026"), 6),
        ("ports", model("0079:0006"), 6),
        ("ports", model("3553:b001"), 4),
        // Names, places and serial numbers that differ in what nobody sees.
        ("names", model("1209:0200"), 8),
        ("names", model("1209:0300"), 3),
    ] {
        let Some(told) = follow_all(test, machine, &entry) else { return };
        assert_eq!(told, lines, "{machine}: {entry}");
    }
}

#[test]
fn what_is_paired_with_one_receiver_is_several_players() {
    let test = "what_is_paired_with_one_receiver_is_several_players";
    let one = pool("one", "match = { vendor = \"1915\" }");
    let Some((_machine, home)) = home(test, "radios", &one) else { return };
    let page = devices(&home);
    assert_eq!(page.matches("ambiguous").count(), 1, "{page}");
    assert!(!page.contains("another part"), "{page}");
}

#[test]
fn lighting_is_no_buzzer() {
    let test = "lighting_is_no_buzzer";
    let Some((_machine, home)) = home(test, "ports", "") else { return };
    let of = |vendor: &str| {
        let rows = rows(&home);
        rows.iter().filter(|row| row["vendor"] == vendor && !row["pool"].is_null()).count()
    };
    assert_eq!(["0b05", "048d", "1462"].map(of), [0, 0, 0], "{}", devices(&home));
    assert_eq!(of("0079"), 4, "{}", devices(&home));
}

#[test]
fn a_pool_without_its_device_is_said_to_wait() {
    let away = pool("away", "match = { name = \"Nobody's\" }\nautoconnect = true");
    let idle = pool("idle", "match = { name = \"Nobody's\" }");
    let home = Home::new(&(away + &idle));
    let mut daemon = home.serve();
    daemon.wait_said("pool away: waits for a device that fits match = { name = \"Nobody's\" }");
    let page = daemon.wait_healthz("pools", |page| page["pools"].is_array());
    let waiting: Vec<_> = (0..2).map(|index| page["pools"][index]["waiting"].clone()).collect();
    assert_eq!(waiting, [Value::Bool(true), Value::Bool(false)], "{page}");
}

#[test]
fn a_pair_that_cannot_be_measured_is_refused_with_the_reason() {
    let pools = pool("hub", "match = { vendor = \"054c\", product = \"0002\" }")
        + &pool("away", "match = { vendor = \"ffff\" }")
        + &pool("table", "socket = \"/run/table.sock\"");
    let test = "a_pair_that_cannot_be_measured_is_refused_with_the_reason";
    let Some((_machine, home)) = home(test, "hubs", &pools) else { return };
    for (arguments, code, want) in [
        (&["hub", "1", "1"][..], 2, "one and the same buzzer"),
        (&["hub:1", "hub:1"], 2, "one and the same buzzer"),
        (&["hub", "1"], 2, "\"hub\" is no POOL:BUZZER"),
        (&["hub", "1", "x"], 2, "\"x\" is no buzzer: expected a whole number"),
        (&["hub", "1", "9"], 1, "has no buzzer 9 plugged in; it has 1, 2, 3, 4"),
        (&["hub:1", "away:1"], 1, "its device is not plugged in"),
        (&["hub:1", "table:1"], 1, "is virtual"),
        (&["hub:1", "nobody:1"], 1, "no such pool: \"nobody\""),
        (&["hub", "1", "2", "--times", "99"], 2, "expected a whole number from 100 to 1000"),
        (&["hub", "1", "2", "--seconds", "9"], 2, "cannot be used with"),
        (&["hub", "1", "2", "--measure"], 2, "cannot be used with"),
    ] {
        let output = run(&home, &[&["devices", "--measure-pair"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(want), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let times = run(&home, &["devices", "--times", "300"]);
    assert_eq!(times.status.code(), Some(2), "{}", String::from_utf8_lossy(&times.stderr));
}
