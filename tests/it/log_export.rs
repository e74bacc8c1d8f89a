//! `buzzerd log export`, read by somebody else. In: the log of a real daemon with names that break tables. Out: the same records
//! through Python's csv and json modules, and a directory that is checked with foreign tools alone. Guarantee: each value of
//! each record is compared.

use std::fs;
use std::path::Path;
use std::process::Command;

use buzzer_core::quote::Plain;
use buzzer_tests::{Attachment, Home, left_out, log};
use serde_json::{Map, Value};

/// What a spreadsheet, a shell and a JSON reader stumble over.
const NAME: &str = "=cmd,\"quoted\"; ü'x'";

fn session() -> Home {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let daemon = home.serve();
    let mut client = daemon.client();
    // Text that a client chose is in the log.
    let refused = client.ask(r#"{"command":"connect","pool":"=1+1,\"\r\nx"}"#);
    assert!(refused.contains("error"), "{refused}");
    let mut desk = Attachment::open(&home.socket("desk"), NAME, &[1, 2, 3]);
    home.journal().wait_attached(1);
    for buzzer in [1, 2, 3, 1] {
        desk.hit(buzzer);
    }
    home.journal().wait_until("presses", |records| {
        (records.iter().filter(|record| format!("{record:?}").contains("Press")).count() >= 4).then_some(())
    });
    daemon.stop();
    home
}

/// The lines of the log, as they are.
fn lines(home: &Home) -> Vec<Map<String, Value>> {
    let bytes = home.journal().bytes();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()
}

/// What this Python program makes of a text, as JSON.
fn python(program: &str, text: &str) -> Option<Value> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("text");
    fs::write(&path, text).expect("a file");
    let output = Command::new("python3").args(["-c", program]).arg(&path).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            left_out("Python reads an export", &format!("python3: {error}"));
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[test]
fn a_table_has_every_value_of_every_record_for_a_foreign_reader() {
    let home = session();
    let table = log(&["export", "--format", "csv"], home.journal().dir()).good();
    assert_eq!(table, log(&["export"], home.journal().dir()).good(), "csv is the default");
    let program = "import csv, json, sys\n\
        print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8'), strict=True))))";
    let Some(rows) = python(program, &table) else { return };
    let (rows, lines) = (rows.as_array().expect("rows").clone(), lines(&home));
    assert_eq!(rows.len(), lines.len());
    let shown = log(&["show", "--json"], home.journal().dir()).lines();
    let (mut log_id, mut boot) = (String::new(), String::new());
    for ((row, line), shown) in rows.iter().zip(&lines).zip(&shown) {
        if line["kind"] == "start" {
            (log_id, boot) =
                (line["log"].as_str().expect("text").into(), line["boot"].as_str().expect("text").into());
        }
        let cell = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{name} in {row}"));
        assert_eq!((cell("log"), cell("boot")), (&*log_id, &*boot));
        assert_eq!(cell("wall"), shown["wall"]);
        // What has no column of its own is in the last one.
        let mut more: Map<String, Value> = match cell("more") {
            "" => Map::new(),
            more => serde_json::from_str(more).expect("JSON"),
        };
        for (key, value) in line.iter().filter(|(key, _)| *key != "v" && *key != "h") {
            let Some(value) =
                more.remove(key).map_or(Some(value), |found| (found != *value).then_some(value))
            else {
                continue;
            };
            let text = match value {
                // What begins a line, or a terminal would obey, is escaped.
                Value::String(text) => Plain(text).to_string(),
                Value::Array(items) => {
                    let text = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                    items.iter().map(text).collect::<Vec<_>>().join(" ")
                }
                value => value.to_string(),
            };
            // A name that a spreadsheet would compute has a mark before it.
            assert_eq!(
                cell(key).trim_start_matches('\''),
                text.trim_start_matches('\''),
                "{key} of {line:?}"
            );
        }
        assert_eq!(more, Map::new(), "nothing is made up");
    }
    let name = Value::from(NAME);
    assert!(lines.iter().any(|line| line["kind"] == "attach" && line["name"] == name));
    assert!(lines.iter().any(|line| line["kind"] == "refuse" && line["pool"] == "=1+1,\"\r\nx"));
}

#[test]
fn json_is_one_array_of_the_lines_with_their_times() {
    let home = session();
    let text = log(&["export", "--format", "json"], home.journal().dir()).good();
    let program = "import json, sys; print(json.dumps(json.load(open(sys.argv[1], encoding='utf-8'))))";
    let Some(array) = python(program, &text) else { return };
    let mut array: Vec<Map<String, Value>> = serde_json::from_value(array).expect("an array");
    assert!(array.iter_mut().all(|record| record.remove("wall").is_some_and(|wall| wall.is_string())));
    assert_eq!(array, lines(&home));
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    let mut files: Vec<_> = entries
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            (entry.file_name().into_string().expect("a text"), fs::read(entry.path()).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_directory_for_somebody_else_is_the_log_itself_and_has_no_secret() {
    let home = session();
    let dir = &home.journal().dir().to_owned();
    let to = home.path().join("export");
    let export = || log(&["export", "--dir", &to.display().to_string()], dir);
    export().good();
    let found = files(&to);
    let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
    let want = ["README.txt", "allowed_signers", "key.pub", "log.csv", "log.json", "log.jsonl", "verify.py"];
    assert_eq!(names, want);
    assert_eq!(fs::read(to.join("log.jsonl")).expect("the log"), home.journal().segment_bytes());
    assert_eq!(found[3].1, log(&["export"], dir).good().into_bytes());
    assert_eq!(found[4].1, log(&["export", "--format", "json"], dir).good().into_bytes());
    let names_in = |dir: &Path| files(dir).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names_in(&to.join("checkpoints")), names_in(&dir.join("checkpoints")));
    let secret = fs::read_to_string(dir.join("key")).expect("the key");
    let secret = secret.lines().nth(1).expect("a line of it");
    assert!(!found.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(secret)));
    // It is a log like any other.
    log(&["verify", "--replay"], &to).good();
    assert_eq!(log(&["fingerprint"], &to), log(&["fingerprint"], dir));
    // Nothing is written over.
    fs::write(to.join("README.txt"), "mine").expect("a file");
    export().refused(2, "it is there already; name a new directory");
    assert_eq!(fs::read(to.join("README.txt")).expect("it"), b"mine");
}

#[test]
fn a_damaged_log_is_exported_with_its_damage() {
    let home = session();
    let mut bytes = home.journal().bytes();
    let second = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 30;
    bytes[second] ^= 1;
    fs::write(home.journal().segment(), &bytes).expect("the segment");
    let to = home.path().join("export");
    let said = log(&["export", "--dir", &to.display().to_string()], home.journal().dir());
    said.refused(1, "line 2: ");
    assert_eq!(fs::read(to.join("log.jsonl")).expect("the log"), bytes, "byte for byte");
    log(&["verify"], &to).refused(1, "line 2: ");
    // An empty log leaves nothing behind.
    let (empty, to) = (home.path().join("000001-1.jsonl"), home.path().join("none"));
    fs::write(&empty, "").expect("a file");
    log(&["export", "--dir", &to.display().to_string()], &empty).refused(2, "the log is empty");
    assert!(!to.exists());
}
