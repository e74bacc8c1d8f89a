//! What the configuration accepts, and every reason to refuse one: text in, (line, key, message) out.

use std::path::Path;

use proptest::prelude::*;

use buzzer_core::device::claim::Glob;
use buzzer_core::device::delay::Span;

use super::*;

fn parsed(text: &str) -> Config {
    Config::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refusals(text: &str) -> Vec<ConfigError> {
    match Config::parse(text, "test.toml") {
        Err(errors) => errors.0,
        Ok(config) => panic!("accepted:\n{text}\n{config:?}"),
    }
}

/// The first mistake.
fn refused(text: &str) -> ConfigError {
    refusals(text).into_iter().next().expect("a mistake")
}

fn id(text: &str) -> PoolId {
    text.parse().unwrap()
}

fn pairs(pairs: &[(&str, u16)]) -> Option<Vec<(KeyCode, Buzzer)>> {
    Some(pairs.iter().map(|(key, number)| (key.parse().unwrap(), Buzzer(*number))).collect())
}

#[test]
fn the_example_parses() {
    let desk = |phys: &str, number| DeviceEntry {
        matcher: Match { phys: Some(Glob::new(phys)), ..Match::default() },
        buzzers: pairs(&[("KEY_ENTER", number)]),
        delay: Configured::default(),
    };
    let pool = |name, autoconnect, source| PoolConfig {
        id: id(name),
        autoconnect,
        // Receipt stamps have no debounce that nobody asked for.
        debounce_us: if name == "table" { Micros::ZERO } else { Micros::from_us(15_000) },
        source,
    };
    let stage = DeviceEntry {
        matcher: Match { vendor: Some(0x054c), product: Some(2), ..Match::default() },
        buzzers: pairs(&[("BTN_TRIGGER_HAPPY1", 1), ("BTN_TRIGGER_HAPPY6", 2)]),
        delay: Configured::default(),
    };
    let desk = vec![desk("usb-*-1.1/*", 1), desk("usb-*-1.2/*", 2)];
    let table = PoolSource::Virtual {
        socket: "/run/buzzerd/table.sock".into(),
        stamps: VirtualStamps::Receipt,
        delay: Delay::of_receipt(),
    };
    let expected = Config {
        pools: vec![
            pool("stage", true, PoolSource::Hardware(vec![stage])),
            pool("desk", false, PoolSource::Hardware(desk)),
            pool("table", false, table),
        ],
        ..Config::defaults("/var/lib/buzzerd".into())
    };
    assert_eq!(parsed(EXAMPLE), expected);
}

#[test]
fn a_pool_with_receipt_stamps_has_only_the_debounce_that_it_sets_itself() {
    for (stamps, order_us, own, want_us) in [
        ("", 20_000, "", 0),
        ("stamps = \"receipt\"\n", 20_000, "debounce_us = 7\n", 7),
        ("stamps = \"sender\"\n", 20_000, "", 20_000),
        ("stamps = \"sender\"\n", 20_000, "debounce_us = 0\n", 0),
    ] {
        let text = format!(
            "[order]\ndebounce_us = {order_us}\n[[pool]]\nid = \"a\"\nsocket = \"/run/a.sock\"\n{stamps}{own}"
        );
        assert_eq!(parsed(&text).pools[0].debounce_us, Micros::from_us(want_us), "{text}");
    }
}

#[test]
fn the_example_shows_every_key() {
    // What the parser lists when it meets a key it does not know is what there is to document.
    for text in ["x = 1", "[server]\nx = 1", "[log]\nx = 1", "[order]\nx = 1", "[[pool]]\nx = 1"] {
        let errors = refusals(text);
        let (_, known) =
            errors.iter().find_map(|error| error.message.split_once("expected one of ")).unwrap();
        // The key of old is known so that its refusal says what to write instead.
        for key in known.split(", ").filter(|key| *key != "uncertainty_us") {
            assert!(EXAMPLE.contains(key), "{key}");
        }
    }
}

#[test]
fn an_empty_file_says_what_no_file_says_but_for_the_directory() {
    let no_file = Config::defaults("/state".into());
    assert_eq!(no_file.log.dir.as_deref(), Some(Path::new("/state")));
    assert_eq!(no_file.server.listen, ["127.0.0.1:7400".parse().unwrap()]);
    assert_eq!(no_file.server.cpu_dma_latency_us, None, "off unless asked for");
    assert_eq!((no_file.order.settle_us.as_us(), no_file.order.debounce_us.as_us()), (2000, 15_000));
    assert_eq!(no_file.pools, []);
    for text in ["", "# nothing\n", "pool = []", "[server]\n[log]\n[order]\n"] {
        assert_eq!(
            parsed(text),
            Config { log: LogConfig { dir: None, ..no_file.log.clone() }, ..no_file.clone() },
            "{text}"
        );
    }
}

#[test]
fn everything_that_can_be_said_is_heard() {
    let config = parsed(
        r#"
[[pool]]
id = "a"
debounce_us = 0
match.vendor = "ABcd"
match.product = "0000"
match.name = "Buzz*"
match.uniq = "?"
"#,
    );
    let PoolSource::Hardware(devices) = &config.pools[0].source else { panic!("{config:?}") };
    let matcher = Match {
        vendor: Some(0xabcd),
        product: Some(0),
        name: Some(Glob::new("Buzz*")),
        phys: None,
        uniq: Some(Glob::new("?")),
    };
    assert_eq!(*devices, [DeviceEntry { matcher, buzzers: None, delay: Configured::default() }]);
    assert_eq!(config.pools[0].debounce_us, Micros::ZERO);

    let config = parsed(
        r#"
[server]
listen = ["0.0.0.0:0", "0.0.0.0:0", "[::1]:7400"]
allowed_hosts = ["Quiz.Example.", "[::1]"]
allowed_origins = ["HTTPS://Quiz.Example:443", "null", "capacitor://localhost"]
cpu_dma_latency_us = 0
[log]
dir = "/srv/log"
[order]
settle_us = 100_000
debounce_us = 1_000_000
[[pool]]
id = "b"
socket = "/run/b"
stamps = "sender"
[[pool]]
id = "c"
[[pool.device]]
match.phys = "usb-*"
buzzers = { 65535 = 767, 0 = 0x1c, 9 = "704" }
"#,
    );
    let listen: Vec<_> = config.server.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["0.0.0.0:0", "0.0.0.0:0", "[::1]:7400"]);
    let hosts = ["quiz.example", "::1"].map(|host| Host::parse(host).unwrap());
    assert_eq!(config.server.allowed_hosts, hosts);
    let origins = ["https://quiz.example", "null", "capacitor://localhost"];
    assert_eq!(config.server.allowed_origins, origins.map(|origin| Origin::parse(origin).unwrap()));
    assert_eq!(config.server.cpu_dma_latency_us, Some(Micros::ZERO));
    assert_eq!(config.log.dir.as_deref(), Some(Path::new("/srv/log")));
    assert_eq!((config.order.settle_us, config.order.debounce_us), (SETTLE_US_MAX, DEBOUNCE_US_MAX));
    assert_eq!(config.pools[0].debounce_us, DEBOUNCE_US_MAX);
    assert_eq!(
        config.pools[0].source,
        PoolSource::Virtual {
            socket: "/run/b".into(),
            stamps: VirtualStamps::Sender,
            delay: Delay::of_program(),
        }
    );
    let PoolSource::Hardware(devices) = &config.pools[1].source else { panic!("{config:?}") };
    assert_eq!(devices[0].buzzers, pairs(&[("KEY_ENTER", 0), ("704", 9), ("767", 65_535)]));
}

#[test]
fn a_delay_is_the_devices_or_the_pools_or_unknown() {
    let config = parsed(
        r#"
[[pool]]
id = "match"
match.name = "a"
delay_us = [5, 1_000_000]
scan_us = 4000
[[pool]]
id = "device"
delay_us = [5, 5]
device = [
    { match.name = "b", buzzers.1 = 28 },
    { match.name = "c", buzzers.2 = 28, delay_us = [0, 0] },
]
[[pool]]
id = "socket"
socket = "/run/a"
stamps = "sender"
delay_us = [0, 300]
"#,
    );
    let of_pool = |pool: &PoolConfig| match &pool.source {
        PoolSource::Hardware(devices) => devices.iter().map(|device| device.delay.delay_us).collect(),
        PoolSource::Virtual { delay, .. } => vec![Some(delay.us)],
    };
    let got: Vec<_> = config.pools.iter().map(of_pool).collect();
    let some = |min, max| Some(Span::new(Micros::from_us(min), Micros::from_us(max)));
    assert_eq!(got, [vec![some(5, 1_000_000)], vec![some(5, 5), some(0, 0)], vec![some(0, 300)]]);
}

#[test]
fn an_error_reads_as_a_compiler_says_it() {
    let text = "[[pool]]\nid = \"a\"\nmatch.name = \"*\"\nbuzzers.1 = \"KEY_ENTR\"\n";
    assert_eq!(
        refused(text).to_string(),
        "test.toml:4: pool[1].buzzers.1: \"KEY_ENTR\" is no key: expected the name of a key such as KEY_ENTER or \
         BTN_TRIGGER_HAPPY1, or a code from 0 to 767; did you mean KEY_ENTER?"
    );
    assert_eq!(
        refused("\n[server]\nlistn = []").to_string(),
        "test.toml:3: server.listn: unknown key \"listn\": expected one of listen, allowed_hosts, allowed_origins, cpu_dma_latency_us; did you mean \
         listen?"
    );
    assert_eq!(
        refused("listen").to_string(),
        "test.toml:1: key with no value, expected `=`, found the end of the file"
    );
}

/// A pool that is fine but for what is added to it.
const HARDWARE: &str = "[[pool]]\nid = \"a\"\nmatch = { phys = \"*\" }\n";
const VIRTUAL: &str = "[[pool]]\nid = \"a\"\nsocket = \"/run/a\"\n";
const DEVICE: &str = "[[pool]]\nid = \"a\"\n";

/// Checks rows of (text, line, key, part of the message), each text after `head`.
fn check(head: &str, rows: &[(&str, usize, &str, &str)]) {
    for (text, line, key, part) in rows {
        let text = format!("{head}{text}");
        let errors = refusals(&text);
        let error = errors.iter().find(|error| (error.line, error.key.as_str()) == (*line, *key));
        let error = error.unwrap_or_else(|| panic!("{line}: {key}: {errors:?}\n{text}"));
        assert!(error.message.contains(part), "{error}\n{text}");
        assert_eq!(error.file, "test.toml");
    }
}

#[test]
fn what_is_no_toml_is_refused() {
    check(
        "",
        &[
            ("a = 1\nlisten", 2, "", "expected `=`, found the end of the file"),
            ("a =\n", 1, "", "found the end of the line"),
            ("[server]\nlisten = 1\nlisten = 2", 3, "", "duplicate key, found \"listen\""),
            ("[log]\n[server]\n[log]", 3, "", "duplicate key, found \"log\""),
            (
                "[[pool]]\nmatch.vendor = 054c",
                2,
                "",
                "must be quoted, expected literal string, found \"054c\"",
            ),
            ("[[pool]\nid = \"a\"", 1, "", "unclosed array table"),
        ],
    );
}

#[test]
fn a_key_nobody_knows_is_refused() {
    check(
        "",
        &[
            (
                "log.dir = \"/x\"\nx = 1",
                2,
                "x",
                "unknown key \"x\": expected one of server, log, order, pool",
            ),
            ("[sever]\n", 1, "sever", "did you mean server?"),
            ("[[pools]]\n", 1, "pools", "did you mean pool?"),
            ("[server]\nport = 1", 2, "server.port", "expected one of listen, allowed_hosts"),
            ("[server]\n\"a\\nb\" = 1\nport = 1", 2, "server.\"a\\nb\"", "unknown key \"a\\nb\""),
            (
                "[log]\nDIR = \"/x\"",
                2,
                "log.DIR",
                "expected one of dir, keep_days, keep_bytes; did you mean dir?",
            ),
            ("[log]\nkeep_days = 0", 2, "log.keep_days", "found the number 0"),
            ("[log]\nkeep_bytes = 1000", 2, "log.keep_bytes", "found the number 1000"),
            (
                "[log]\ndir = \"/x\"\nsecond_dir = \"/y\"",
                3,
                "log.second_dir",
                "no longer supported, a log has one directory",
            ),
            ("[order]\nsettle_ms = 2", 2, "order.settle_ms", "did you mean settle_us?"),
        ],
    );
    check(
        HARDWARE,
        &[
            ("name = \"x\"", 4, "pool[1].name", "expected one of id, match, buzzers, device, socket, stamps"),
            ("auto_connect = true", 4, "pool[1].auto_connect", "did you mean autoconnect?"),
        ],
    );
    check(
        DEVICE,
        &[
            ("match = { vender = \"054c\" }", 3, "pool[1].match.vender", "did you mean vendor?"),
            ("\ndevice = [{\nmatc = 1 }]", 5, "pool[1].device[1].matc", "did you mean match?"),
        ],
    );
}

#[test]
fn a_key_of_the_wrong_type_is_refused() {
    check(
        "",
        &[
            ("server = 1", 1, "server", "found the number 1, expected a table [server]"),
            ("[[log]]", 1, "log", "found a list, expected a table [log]"),
            ("order = []", 1, "order", "found an empty list, expected a table [order]"),
            ("[pool]\nid = \"a\"", 1, "pool", "found a table, expected a list: write [[pool]]"),
            ("pool = [\n1]", 2, "pool[1]", "found the number 1, expected a table [[pool]]"),
            (
                "[server]\nlisten = \"[::]:1\"",
                2,
                "server.listen",
                "found \"[::]:1\", expected a list of addresses",
            ),
            (
                "[server]\nlisten = [\n7400]",
                3,
                "server.listen[1]",
                "found the number 7400, expected an IP address",
            ),
            ("[server]\nallowed_origins = \"x\"", 2, "server.allowed_origins", "expected a list of origins"),
            (
                "[server]\nallowed_origins = [{}]",
                2,
                "server.allowed_origins[1]",
                "found an empty table, expected",
            ),
            ("[log]\ndir = true", 2, "log.dir", "found true, expected the absolute path"),
            (
                "[order]\nsettle_us = \"2000\"",
                2,
                "order.settle_us",
                "found \"2000\", expected a whole number",
            ),
            (
                "[order]\nsettle_us = 2e3",
                2,
                "order.settle_us",
                "found the number 2e3, expected a whole number",
            ),
            (
                "[order]\ndebounce_us = 2020-01-01",
                2,
                "order.debounce_us",
                "found the date or time 2020-01-01",
            ),
            ("[[pool]]\nid = 1", 2, "pool[1].id", "found the number 1, expected a pool id"),
        ],
    );
    check(
        HARDWARE,
        &[
            ("autoconnect = \"yes\"", 4, "pool[1].autoconnect", "found \"yes\", expected true or false"),
            ("buzzers = [1]", 4, "pool[1].buzzers", "found a list, expected a table of buzzer numbers"),
            ("buzzers.1 = true", 4, "pool[1].buzzers.1", "found true, expected the name of a key"),
        ],
    );
    check(VIRTUAL, &[("stamps = 1", 4, "pool[1].stamps", "expected \"receipt\" or \"sender\"")]);
    check(
        DEVICE,
        &[
            (
                "match = \"x\"",
                3,
                "pool[1].match",
                "found \"x\", expected a table with at least one of vendor",
            ),
            (
                "match.vendor = 1356",
                3,
                "pool[1].match.vendor",
                "found the number 1356, expected four hex digits",
            ),
            ("match.name = 1", 3, "pool[1].match.name", "found the number 1, expected a text"),
            (
                "device = { match.name = \"x\" }",
                3,
                "pool[1].device",
                "found a table, expected a list of devices",
            ),
            ("device = [\"x\"]", 3, "pool[1].device[1]", "found \"x\", expected a device such as"),
            ("socket = 1", 3, "pool[1].socket", "found the number 1, expected the absolute path of a socket"),
        ],
    );
}

#[test]
fn a_value_out_of_range_is_refused() {
    let long = format!("log.dir = \"{}\"", "x".repeat(500));
    check(
        "",
        &[
            (
                "[server]\nlisten = []",
                2,
                "server.listen",
                "found an empty list, expected a list of addresses",
            ),
            (
                "[server]\nlisten = [\"x:1\"]",
                2,
                "server.listen[1]",
                "found \"x:1\", expected an IP address with its",
            ),
            ("[server]\nlisten = [\"[::]\"]", 2, "server.listen[1]", "expected an IP address with its port"),
            (
                "[server]\nlisten = [\"[::]:1\",\n\"[0::]:1\"]",
                3,
                "server.listen[2]",
                "expected each address once",
            ),
            (
                "[server]\nallowed_hosts = [\n\"quiz.example:80\"]",
                3,
                "server.allowed_hosts[1]",
                "without a port",
            ),
            (
                "[server]\nallowed_origins = [\n\"http://x/\"]",
                3,
                "server.allowed_origins[1]",
                "without a path",
            ),
            (
                "[log]\ndir = \"log\"",
                2,
                "log.dir",
                "found \"log\", expected the absolute path of a directory",
            ),
            ("[log]\ndir = \"\"", 2, "log.dir", "found \"\", expected the absolute path"),
            ("[log]\ndir = \"/a\\u0000\"", 2, "log.dir", "found \"/a\\u{0}\", expected the absolute path"),
            (&long, 1, "log.dir", "xx\"… (500 bytes), expected the absolute path"),
            (
                "[server]\ncpu_dma_latency_us = 10001",
                2,
                "server.cpu_dma_latency_us",
                "of microseconds from 0 to 10000",
            ),
            ("[order]\nsettle_us = 100001", 2, "order.settle_us", "of microseconds from 0 to 100000"),
            ("[order]\nsettle_us = -1", 2, "order.settle_us", "found the number -1, expected a whole number"),
            ("[order]\ndebounce_us = 1000001", 2, "order.debounce_us", "of microseconds from 0 to 1000000"),
            (
                "[order]\nsettle_us = 99999999999999999999",
                2,
                "order.settle_us",
                "found the number 99999999999999999999",
            ),
            ("[[pool]]\nid = \"\"", 2, "pool[1].id", "found \"\", expected a pool id of 1 to 64 printable"),
            ("[[pool]]\nid = \"a\\tb\"", 2, "pool[1].id", "found \"a\\tb\", expected a pool id"),
        ],
    );
    check(
        HARDWARE,
        &[
            ("debounce_us = 1000001", 4, "pool[1].debounce_us", "of microseconds from 0 to 1000000"),
            ("delay_us = [0, 1000001]", 4, "pool[1].delay_us[2]", "of microseconds from 0 to 1000000"),
            ("delay_us = [2, 1]", 4, "pool[1].delay_us", "expected the shortest and the longest delay"),
            ("delay_us = 5", 4, "pool[1].delay_us", "expected the shortest and the longest delay"),
            ("scan_us = -1", 4, "pool[1].scan_us", "found the number -1, expected a whole number"),
            ("uncertainty_us = 19000", 4, "pool[1].uncertainty_us", "write delay_us = [0, 19000]"),
            (
                "buzzers = {}",
                4,
                "pool[1].buzzers",
                "found an empty table, expected a table of buzzer numbers",
            ),
            (
                "buzzers.65536 = 1",
                4,
                "pool[1].buzzers.65536",
                "found \"65536\", expected a buzzer number from 0",
            ),
            (
                "buzzers.-1 = 1",
                4,
                "pool[1].buzzers.-1",
                "found \"-1\", expected a buzzer number from 0 to 65535",
            ),
            ("buzzers.\"+1\" = 1", 4, "pool[1].buzzers.\"+1\"", "found \"+1\", expected a buzzer number"),
            ("buzzers.\"\" = 1", 4, "pool[1].buzzers.\"\"", "found \"\", expected a buzzer number"),
            (
                "buzzers.1 = \"key_entr\"",
                4,
                "pool[1].buzzers.1",
                "is no key: expected the name of a key such as",
            ),
            ("buzzers.1 = \"768\"", 4, "pool[1].buzzers.1", "\"768\" is no key"),
            ("buzzers.1 = 768", 4, "pool[1].buzzers.1", "found the number 768, expected the name of a key"),
            (
                "buzzers.1 = 65564",
                4,
                "pool[1].buzzers.1",
                "found the number 65564, expected the name of a key",
            ),
            ("buzzers.1 = -1", 4, "pool[1].buzzers.1", "found the number -1, expected the name of a key"),
        ],
    );
    let path_of_108 = format!("socket = \"/{}\"", "x".repeat(107));
    check(
        DEVICE,
        &[
            ("match = {}", 3, "pool[1].match", "found an empty table, expected a table with at least one of"),
            ("match.vendor = \"54c\"", 3, "pool[1].match.vendor", "found \"54c\", expected four hex digits"),
            ("match.vendor = \"0x54\"", 3, "pool[1].match.vendor", "expected four hex digits in quotes"),
            (
                "match.product = \"+002\"",
                3,
                "pool[1].match.product",
                "found \"+002\", expected four hex digits",
            ),
            ("match.uniq = \"\"", 3, "pool[1].match.uniq", "found \"\", expected a text that is not empty"),
            ("device = []", 3, "pool[1].device", "found an empty list, expected a list of devices"),
            ("device = [{}]", 3, "pool[1].device[1].match", "missing, expected a table with at least one of"),
            (
                "device = [{ match = {} }]",
                3,
                "pool[1].device[1].match",
                "found an empty table, expected a table",
            ),
            (
                "socket = \"run/a\"",
                3,
                "pool[1].socket",
                "found \"run/a\", expected the absolute path of a socket",
            ),
            ("socket = \"@a\"", 3, "pool[1].socket", "expected the absolute path of a socket"),
            ("socket = \"/run/\"", 3, "pool[1].socket", "expected the absolute path of a socket"),
            ("socket = \"/run/..\"", 3, "pool[1].socket", "expected the absolute path of a socket"),
            (&path_of_108, 3, "pool[1].socket", "at most 107 bytes"),
        ],
    );
    parsed(&format!("{DEVICE}{}", path_of_108.replacen('x', "", 1)));
    check(VIRTUAL, &[("stamps = \"kernel\"", 4, "pool[1].stamps", "expected \"receipt\" or \"sender\"")]);
}

#[test]
fn what_must_be_unique_is_refused_the_second_time() {
    check(
        HARDWARE,
        &[
            (
                "[[pool]]\nid = \"a\"\nsocket = \"/b\"",
                5,
                "pool[2].id",
                "found \"a\", expected an id of its own: this one is that of pool[1]",
            ),
            (
                "buzzers = { 1 = \"KEY_A\", 01 = \"KEY_B\" }",
                4,
                "pool[1].buzzers.01",
                "found buzzer 1 again, expected each number once in a pool: pool[1].buzzers.1 has it",
            ),
            (
                "buzzers.2 = \"KEY_ENTER\"\nbuzzers.1 = 28",
                5,
                "pool[1].buzzers.1",
                "found KEY_ENTER again, expected each key once in a device: pool[1].buzzers.2 has it",
            ),
        ],
    );
    check(
        VIRTUAL,
        &[(
            "[[pool]]\nid = \"b\"\nsocket = \"/run//./a\"",
            6,
            "pool[2].socket",
            "expected a path of its own: this one is that of pool[1]",
        )],
    );
    check(
        DEVICE,
        &[(
            "device = [\n{ match.phys = \"1\", buzzers.7 = \"KEY_A\" },\n{ match.phys = \"2\", buzzers.7 = \"KEY_A\" } ]",
            5,
            "pool[1].device[2].buzzers.7",
            "found buzzer 7 again, expected each number once in a pool: pool[1].device[1].buzzers.7 has it",
        )],
    );
    // Another pool, another number 7; another device, another KEY_A.
    parsed(
        "[[pool]]\nid = \"a\"\nmatch.name = \"*\"\nbuzzers.7 = 1\n[[pool]]\nid = \"b\"\ndevice = [\n\
         { match.phys = \"1\", buzzers.7 = 1 }, { match.phys = \"2\", buzzers.8 = 1 } ]",
    );
}

#[test]
fn what_does_not_go_together_is_refused() {
    let one_source = "expected exactly one of match, device and socket";
    check(
        "",
        &[
            ("\n[[pool]]\nautoconnect = true", 2, "pool[1].id", "missing, expected a pool id of 1 to 64"),
            (
                "\n[[pool]]\nid = \"a\"",
                2,
                "pool[1]",
                "found none of match, device and socket, expected exactly one",
            ),
        ],
    );
    check(
        HARDWARE,
        &[
            ("socket = \"/x\"", 4, "pool[1].socket", one_source),
            ("device = []", 4, "pool[1].device", "found device beside match"),
            (
                "stamps = \"receipt\"",
                4,
                "pool[1].stamps",
                "found stamps, expected none here: only a pool with a socket",
            ),
        ],
    );
    check(
        VIRTUAL,
        &[
            ("match.name = \"x\"", 4, "pool[1].match", one_source),
            ("buzzers.1 = 1", 4, "pool[1].buzzers", "found buzzers, expected none here: each attachment"),
        ],
    );
    check(
        DEVICE,
        &[
            (
                "device = [{ match.name = \"x\" }]\nsocket = \"/x\"\nmatch = 1",
                4,
                "pool[1].socket",
                "found socket beside device",
            ),
            (
                "device = [{ match.name = \"x\" }]\nbuzzers.1 = 1",
                4,
                "pool[1].buzzers",
                "each entry of device has its own",
            ),
            (
                "device = [{ match.name = \"x\" }]\nstamps = 1",
                4,
                "pool[1].stamps",
                "found stamps, expected none here",
            ),
            (
                "device = [{ match.name = \"x\", buzzers.1 = 1 },\n{ match.name = \"y\" }]",
                4,
                "pool[1].device[2].buzzers",
                "missing, expected it in each of several devices",
            ),
        ],
    );
}

/// What [`Config`] promises to its users.
fn assert_valid(config: &Config) {
    fn unique<T: Ord>(items: impl Iterator<Item = T>) -> bool {
        let mut items: Vec<T> = items.collect();
        items.sort();
        items.windows(2).all(|pair| pair[0] != pair[1])
    }
    assert!(!config.server.listen.is_empty());
    assert!(config.order.settle_us <= SETTLE_US_MAX && config.order.debounce_us <= DEBOUNCE_US_MAX);
    assert!(unique(config.pools.iter().map(|pool| &pool.id)));
    for pool in &config.pools {
        assert!(pool.debounce_us <= DEBOUNCE_US_MAX);
        let devices = match &pool.source {
            PoolSource::Hardware(devices) => devices,
            PoolSource::Virtual { delay, .. } => {
                assert!(delay.us.max_us <= DELAY_US_MAX);
                continue;
            }
        };
        assert!(devices.iter().flat_map(|device| device.delay.delay_us).all(|us| us.max_us <= DELAY_US_MAX));
        assert!(!devices.is_empty());
        assert!(devices.iter().all(|device| device.matcher != Match::default()));
        assert!(devices.len() == 1 || devices.iter().all(|device| device.buzzers.is_some()));
        assert!(unique(
            devices.iter().filter_map(|d| d.buzzers.as_ref()).flatten().map(|(_, number)| number)
        ));
    }
}

fn check_any(text: &str) {
    match Config::parse(text, "any.toml") {
        Ok(config) => assert_valid(&config),
        Err(errors) => {
            assert!(!errors.0.is_empty());
            for error in &errors.0 {
                assert!((1..=text.lines().count() + 1).contains(&error.line), "{error}");
                assert!(error.to_string().len() < 2000, "{error}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        check_any(&text);
    }

    // Random text is hardly ever TOML; the example with a piece taken out or moved mostly is.
    #[test]
    fn no_edit_of_the_example_panics(
        cut in 0..EXAMPLE.len(),
        bytes in 0..200_usize,
        to in 0..EXAMPLE.len(),
        typed in r#"|[0-9]|[\[\]{}="\n.#a-zé-]{1,4}"#,
        moved in any::<bool>(),
    ) {
        // The example is ASCII, so every byte is a character.
        let piece = &EXAMPLE[cut..(cut + bytes).min(EXAMPLE.len())];
        let mut text = EXAMPLE.replacen(piece, "", 1);
        let to = to.min(text.len());
        text.insert_str(to, &typed);
        if moved {
            text.insert_str(to, piece);
        }
        check_any(&text);
    }
}

#[test]
fn deep_and_long_texts_are_refused_without_a_crash() {
    for piece in ["[", "{a=", "a."] {
        refused(&format!("a = {}", piece.repeat(100_000)));
        refused(&format!("[{}]", piece.repeat(100_000)));
    }
    check_any(&format!("{} = 1", "a.".repeat(50) + "a"));
    check_any(&format!("{} = 1", "a".repeat(100_000)));
    check_any(&format!("order.settle_us = {}", "9".repeat(100_000)));
}

#[test]
fn every_mistake_is_named_at_once_and_none_that_follows_from_another() {
    for (text, want) in [
        (
            "[server]\nlisten = [\"127.0.0.1\", \"x\"]\nlsten = 1\n[order]\nsettle_us = -1\ndebounce_us = \"a\"\n[sever]\n",
            &[
                (2, "server.listen[1]"),
                (2, "server.listen[2]"),
                (3, "server.lsten"),
                (5, "order.settle_us"),
                (6, "order.debounce_us"),
                (7, "sever"),
            ][..],
        ),
        // A pool without an id is one mistake, what else is wrong in it another one, and the next pool is read all the same.
        (
            "[[pool]]\nsocket = \"x\"\n[[pool]]\nid = \"a\"\nmatch = { vendor = 54 }\nbuzzers = { x = 1, 2 = \"KEY_NO\" }\n",
            &[
                (1, "pool[1].id"),
                (2, "pool[1].socket"),
                (5, "pool[2].match.vendor"),
                (6, "pool[2].buzzers.x"),
                (6, "pool[2].buzzers.2"),
            ],
        ),
        // The bad socket is the mistake; that without it there is no source at all is none.
        ("[[pool]]\nid = \"a\"\nsocket = 3\n", &[(3, "pool[1].socket")]),
        (
            "[[pool]]\nid = \"a\"\nsocket = \"/a\"\nstamps = \"x\"\nautoconnect = 1\n",
            &[(4, "pool[1].stamps"), (5, "pool[1].autoconnect")],
        ),
        ("pool = 3\nserver = 4\n", &[(1, "pool"), (2, "server")]),
        ("[server\nlisten = [\n", &[(1, "")]),
    ] {
        let Err(errors) = Config::parse(text, "test.toml") else { panic!("{text}") };
        let found: Vec<_> = errors.0.iter().map(|error| (error.line, error.key.as_str())).collect();
        let found = if want == [(1, "")] { &found[..1] } else { &found[..] };
        assert_eq!(found, want, "{text}\n{errors}");
    }
    // However many there are, the answer has an end.
    let many: String = (0..500).map(|n| format!("k{n} = 1\n")).collect();
    let errors = Config::parse(&many, "test.toml").unwrap_err();
    assert_eq!(errors.0.len(), 50);
}
