//! The command line, as people type it. In: right and wrong arguments, files that are no configuration. Out: short help, plain
//! words, every mistake at once. Guarantee: no message has a word of Rust in it.

use std::path::Path;
use std::process::Output;

use buzzer_tests::Home;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn run(arguments: &[&str]) -> Output {
    Home::new("").command(arguments).stdout(std::process::Stdio::piped()).output().expect("buzzerd runs")
}

fn assert_plain(said: &str) {
    for word in [
        "u16",
        "u64",
        "i64",
        "invalid digit",
        "InvalidInput",
        "Utf8Error",
        "None",
        "Some(",
        "os error",
        "\\\"",
    ] {
        assert!(!said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_wrong_value_is_refused_in_plain_words() {
    for (arguments, want) in [
        (&["log", "show", "--buzzer", "x"][..], "expected a whole number from 0 to 65535"),
        (&["log", "show", "--buzzer", "65536"], "expected a whole number from 0 to 65535"),
        (&["log", "show", "-n", "0"], "expected a whole number from 1 to 10000"),
        (&["log", "show", "--seq", "b"], "expected a seq like 1200"),
        (&["log", "explain", "--around", "first"], "expected a whole number from 1 on"),
        (&["log", "explain", "--gap", "long"], "expected 0.001 to 3600 seconds"),
        (&["log", "verify", "--begins", "0"], "expected a whole number from 1 on"),
        (&["log", "fingerprint", "--seq", "x"], "expected a whole number from 1 on"),
        (&["log", "replay", "--listen", "localhost"], "expected an IP address with its port"),
        (&["demo", "--seconds", "1.5"], "expected a whole number from 0 to"),
        (&["devices", "--seconds", "0"], "expected a whole number from 1 to 600"),
    ] {
        let output = run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(want), "{arguments:?}: {said}");
        assert_plain(&said);
    }
}

#[test]
fn help_is_short_with_h_and_has_no_backslash() {
    for command in [
        &[][..],
        &["serve"],
        &["check"],
        &["demo"],
        &["devices"],
        &["doctor"],
        &["log"],
        &["log", "show"],
        &["log", "explain"],
    ] {
        let short = text(&run(&[command, &["-h"]].concat()).stdout);
        let long = text(&run(&[command, &["--help"]].concat()).stdout);
        assert!(short.len() <= long.len() && !short.is_empty(), "{command:?}");
        assert!(short.lines().count() <= 36, "{command:?}: {} lines", short.lines().count());
        assert!(short.lines().chain(long.lines()).all(|line| line.chars().count() <= 100), "{command:?}");
        assert_plain(&long);
    }
    assert!(text(&run(&["--help"]).stdout).contains("BUZZERD_LOG"));
}

#[test]
fn check_names_every_mistake_and_passes_what_serve_takes() {
    let home = Home::desk("autoconnect = true");
    let check = |home: &Home| {
        let output = home.command(&["check"]).stdout(std::process::Stdio::piped()).output().expect("it runs");
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = check(&home);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.contains("buzzerd.toml: valid: listens on 127.0.0.1:0; ")
            && out.contains("; 1 pool (1 virtual)\n"),
        "{out}"
    );
    assert!(!home.path().join("log").exists() && !home.socket("desk").exists(), "nothing is opened");
    let wrong = "[server]\nlsten = 1\n[order]\nsettle_us = -1\n[[pool]]\nid = \"\"\nsocket = \"x\"\n";
    let home = Home::with_config(wrong);
    for command in ["check", "serve"] {
        let output = home.command(&[command]).output().expect("it runs");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let places: Vec<&str> = said.lines().filter_map(|line| line.split("buzzerd.toml:").nth(1)).collect();
        let want = ["2: server.lsten: ", "4: order.settle_us: ", "6: pool[1].id: ", "7: pool[1].socket: "];
        assert_eq!(places.len(), want.len(), "{said}");
        assert!(places.iter().zip(want).all(|(place, want)| place.starts_with(want)), "{said}");
        assert_plain(&said);
    }
}

#[test]
fn what_is_no_configuration_is_named_and_never_waited_for() {
    let home = Home::new("");
    let at = |name: &str| home.path().join(name).display().to_string();
    std::fs::write(at("latin1"), b"[server]\n# B\xfchne\n").unwrap();
    std::fs::write(at("huge"), vec![b'#'; 2 << 20]).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(at("fifo")).status().expect("mkfifo");
    assert!(made.success());
    for (file, want) in [
        (at("latin1"), "latin1:2: it is not UTF-8 behind 3 bytes of this line"),
        (at("huge"), "longer than 1 MiB"),
        (at("folder"), "it is a directory, expected a file"),
        (at("fifo"), "it is a pipe, expected a file"),
        ("/dev/zero".to_owned(), "it is a device, expected a file"),
        (at("missing"), "missing: cannot be read"),
    ] {
        for arguments in [&["check", &file][..], &["serve", "--config", &file]] {
            let output = std::process::Command::new(buzzer_tests::harness::daemon::binary())
                .args(arguments)
                .output()
                .unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains(want), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn what_cannot_be_made_says_which_directory_is_missing() {
    let home = Home::new("[[pool]]\nid = \"desk\"\nsocket = \"$DIR/a/b/desk.sock\"\n");
    let ended = home.refused();
    let want = format!("there is no directory {}: make it first", home.path().join("a").display());
    assert!(ended.code == Some(1) && ended.stderr.contains(&want), "{}", ended.stderr);
    let home = Home::with_config("[server]\nlisten = [\"203.0.113.7:7400\"]\n[log]\ndir = \"$DIR/log\"\n");
    let ended = home.refused();
    let want = "no interface of this machine has 203.0.113.7";
    assert!(ended.code == Some(1) && ended.stderr.contains(want), "{}", ended.stderr);
    let home =
        Home::with_config("[server]\nlisten = [\"127.0.0.1:0\"]\n[log]\ndir = \"$DIR/buzzerd.toml/log\"\n");
    let ended = home.refused();
    let want = format!("{} is no directory", Path::new(&home.config()).display());
    assert!(ended.code == Some(1) && ended.stderr.contains(&want), "{}", ended.stderr);
    assert_plain(&ended.stderr);
}
