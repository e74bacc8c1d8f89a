//! `buzzerd log verify` and the Python program of LOG.md on the same directories. In: logs of real sessions, and what somebody, a
//! disk or an editor could make of them. Out: one verdict of both, and the same first line. Guarantee: what is said to be
//! spoilt here is a log first; the text that LOG.md prints is what runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use buzzer_server::log::{ChainHash, Line, SegmentName};
use buzzer_tests::harness::sim_disk::Dice;
use buzzer_tests::harness::spoilt::{files, spoil};
use buzzer_tests::harness::verifiers::{both, no_python};
use buzzer_tests::{Session, is_slow, left_out, log};

/// Lines of a session, with their newlines.
fn lines(seed: u64, count: u64) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    Session::new(seed).play(count, &mut bytes);
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn name(number: u32, first_seq: u64) -> String {
    SegmentName { number, first_seq }.to_string()
}

/// Writes three segments, of which the second begins with seq 21 and the third with seq 41.
fn write_log(dir: &Path, lines: &[Vec<u8>]) {
    for (number, from, to) in [(1, 0, 20), (2, 20, 40), (3, 40, lines.len())] {
        fs::write(dir.join(name(number, from as u64 + 1)), lines[from..to].concat()).expect("a segment");
    }
}

/// The same lines with a chain of their own, `change` applied to each body.
fn forged(lines: &[Vec<u8>], change: impl Fn(usize, &str) -> String) -> Vec<u8> {
    let mut head = ChainHash::START;
    let line = |(at, line): (usize, &Vec<u8>)| {
        let (body, _) = Line::body_and_hash(line.trim_ascii_end()).expect("a line");
        let body = change(at, std::str::from_utf8(body).expect("text"));
        head = head.of_next(body.as_bytes());
        format!("{body},\"h\":\"{head}\"}}\n").into_bytes()
    };
    lines.iter().enumerate().flat_map(line).collect()
}

/// What is done to the log of [`write_log`].
type Spoil<'a> = Box<dyn Fn(&Path) + 'a>;

/// What it is, how it is done, whether it is whole all the same, and the file and line that both must name.
type Case<'a> = (&'static str, Spoil<'a>, bool, Option<(&'static str, u64)>);

fn append(dir: &Path, file: &str, bytes: &[u8]) {
    let path = dir.join(file);
    let old = fs::read(&path).unwrap_or_default();
    fs::write(path, [&old, bytes].concat()).expect("a file");
}

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().is_ok_and(|status| status.success()), "{program}");
}

#[test]
fn both_verifiers_say_the_same_of_every_directory() {
    if let Some(why) = no_python() {
        return left_out("two verifiers on one directory", &why);
    }
    let lines = lines(5, 60);
    let first = lines[..20].concat();
    let doctored = forged(&lines[..20], |_, body| body.replace("\"buzzer\":1", "\"buzzer\":2"));
    assert_ne!(first, doctored);
    let write = |file: &'static str, bytes: Vec<u8>| -> Spoil<'_> {
        Box::new(move |dir| fs::write(dir.join(file), &bytes).expect("a file"))
    };
    let add = |file: &'static str, bytes: &'static [u8]| -> Spoil<'_> {
        Box::new(move |dir| append(dir, file, bytes))
    };
    let in_second = |what: fn(&[u8]) -> Vec<u8>| write("000002-21.jsonl", what(&lines[20..40].concat()));
    let crlf = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\n', "\r\n").into_bytes();
    let third = "000003-41.jsonl";
    // What is done, whether it is whole all the same, and the file and line that both must name.
    let cases: Vec<Case<'_>> = vec![
        ("nothing", Box::new(|_| ()), true, None),
        // A file of its own, called like a segment.
        ("a copy of the first", write("000004-1.jsonl", first.clone()), false, Some(("000004-1.jsonl", 1))),
        ("a doctored copy", write("000004-1.jsonl", doctored), false, Some(("000004-1.jsonl", 1))),
        ("its first lines", write("000004-1.jsonl", lines[..3].concat()), false, Some(("000004-1.jsonl", 1))),
        (
            "a copy of the end",
            write("000004-41.jsonl", lines[40..].concat()),
            false,
            Some(("000004-41.jsonl", 1)),
        ),
        ("all once more", write("000004-1.jsonl", lines.concat()), false, Some(("000004-1.jsonl", 1))),
        (
            "the same name's number",
            write("000003-1.jsonl", first.clone()),
            false,
            Some(("000003-1.jsonl", 1)),
        ),
        ("between", write("000002-1.jsonl", first.clone()), false, None),
        (
            "the whole behind itself",
            write("000002-21.jsonl", lines[..40].concat()),
            false,
            Some(("000002-21.jsonl", 1)),
        ),
        (
            "another number in its name",
            Box::new(|dir| {
                fs::rename(dir.join("000003-41.jsonl"), dir.join("000003-42.jsonl")).expect("a file");
            }),
            false,
            Some(("000003-42.jsonl", 1)),
        ),
        ("an empty one", write("000004-61.jsonl", vec![]), false, None),
        (
            "a directory",
            Box::new(|dir| fs::create_dir(dir.join("000004-61.jsonl")).expect("it")),
            false,
            None,
        ),
        (
            "a link",
            Box::new(|dir| {
                std::os::unix::fs::symlink("000001-1.jsonl", dir.join("000004-1.jsonl")).expect("a link");
            }),
            false,
            None,
        ),
        (
            "a pipe",
            Box::new(|dir| run("mkfifo", &[&dir.join("000004-1.jsonl").display().to_string()])),
            false,
            None,
        ),
        // A file that a person takes for one.
        ("log.jsonl", write("log.jsonl", first.clone()), false, None),
        ("hidden", write(".000004-1.jsonl", first.clone()), false, None),
        ("in large letters", write("000004-1.JSONL", first.clone()), false, None),
        ("seven digits", write("0000004-61.jsonl", b"x\n".to_vec()), false, None),
        ("a million", write("1000000-61.jsonl", b"x\n".to_vec()), false, None),
        ("number 0", write("000000-1.jsonl", first.clone()), false, None),
        ("a zero more", write("000004-061.jsonl", b"x\n".to_vec()), false, None),
        ("empty and strange", write("x.jsonl", vec![]), false, None),
        (
            "a pipe called otherwise",
            Box::new(|dir| run("mkfifo", &[&dir.join("x.jsonl").display().to_string()])),
            false,
            None,
        ),
        // Any other file.
        ("a letter", write("notes.txt", b"hello\n".to_vec()), true, None),
        ("an editor's copy", write("000001-1.jsonl~", first.clone()), true, None),
        ("what was set aside", write("000004-1.jsonl.aside-1", first.clone()), true, None),
        // Bytes in a segment.
        ("behind the last line", add(third, b"x"), false, Some((third, lines.len() as u64 - 39))),
        ("a NUL behind all", add(third, b"\0"), false, Some((third, lines.len() as u64 - 39))),
        ("a line behind all", add(third, b"x\n"), false, Some((third, lines.len() as u64 - 39))),
        ("behind a middle segment", add("000002-21.jsonl", b"x"), false, None),
        ("a blank line at the end", add(third, b"\n"), true, None),
        ("two blank lines at the end", add(third, b"\n\n"), false, Some((third, lines.len() as u64 - 39))),
        ("a blank in the last line", add(third, b" \n"), false, Some((third, lines.len() as u64 - 39))),
        ("a blank line in the middle", add("000002-21.jsonl", b"\n"), false, Some(("000002-21.jsonl", 21))),
        (
            "a blank line first",
            in_second(|bytes| [b"\n", bytes].concat()),
            false,
            Some(("000002-21.jsonl", 1)),
        ),
        (
            "a blank before a line",
            in_second(|bytes| [b" ", bytes].concat()),
            false,
            Some(("000002-21.jsonl", 1)),
        ),
        (
            "a NUL before a line",
            in_second(|bytes| [b"\0", bytes].concat()),
            false,
            Some(("000002-21.jsonl", 1)),
        ),
        (
            "a byte order mark",
            in_second(|bytes| [b"\xef\xbb\xbf", bytes].concat()),
            false,
            Some(("000002-21.jsonl", 1)),
        ),
        (
            "CRLF",
            write("000002-21.jsonl", crlf(&lines[20..40].concat())),
            false,
            Some(("000002-21.jsonl", 1)),
        ),
        (
            "CR",
            in_second(|bytes| String::from_utf8_lossy(bytes).replace('\n', "\r").into_bytes()),
            false,
            Some(("000002-21.jsonl", 1)),
        ),
        (
            "no last newline",
            write(third, lines[40..].concat()[..lines[40..].concat().len() - 1].to_vec()),
            false,
            None,
        ),
        (
            "a long line",
            in_second(|bytes| [&[b'x'; 9000][..], b"\n", bytes].concat()),
            false,
            Some(("000002-21.jsonl", 1)),
        ),
        (
            "zeros over a page",
            in_second(|bytes| [&[0; 512][..], &bytes[512..]].concat()),
            false,
            Some(("000002-21.jsonl", 1)),
        ),
        // Segments that are gone.
        (
            "the first is gone",
            Box::new(|dir| fs::remove_file(dir.join("000001-1.jsonl")).expect("it")),
            false,
            None,
        ),
        (
            "the second is gone",
            Box::new(|dir| fs::remove_file(dir.join("000002-21.jsonl")).expect("it")),
            false,
            Some((third, 1)),
        ),
        ("the last is gone", Box::new(move |dir| fs::remove_file(dir.join(third)).expect("it")), true, None),
    ];
    for (what, spoil, is_whole, line) in cases {
        let dir = tempfile::tempdir().expect("a directory");
        write_log(dir.path(), &lines);
        spoil(dir.path());
        let [ours, theirs] = both(dir.path());
        let said = format!("{what}:\n{}\n{}", ours.said, theirs.said);
        assert_eq!((ours.is_good, theirs.is_good), (is_whole, is_whole), "{said}");
        if let Some((file, number)) = line {
            let line = Some((file.to_owned(), number));
            assert_eq!((&ours.line, &theirs.line), (&line, &line), "{said}");
        }
    }
}

#[test]
fn a_chain_that_was_made_anew_is_one_log_or_none_to_both() {
    if let Some(why) = no_python() {
        return left_out("two verifiers on one chain", &why);
    }
    let lines = lines(7, 30);
    let at = |want: usize, with: &'static str| {
        move |at: usize, body: &str| if at == want { with.to_owned() } else { body.to_owned() }
    };
    let lost = |rest: &str, jump: u64| {
        let rest = rest.to_owned();
        forged(&lines, move |at, body| {
            let seq = at as u64 + 1;
            let (number, behind) = body.split_once("\"at_us\"").expect("a time");
            match at {
                ..9 => body.to_owned(),
                9 => format!(r#"{{"v":1,"seq":{},{rest}"#, seq + jump),
                _ => format!(
                    "{}\"at_us\"{behind}",
                    number.replace(&seq.to_string(), &(seq + jump).to_string())
                ),
            }
        })
    };
    let cases: Vec<(&str, Vec<u8>, bool)> = vec![
        ("as it was", forged(&lines, |_, body| body.to_owned()), true),
        (
            "a kind of later",
            forged(&lines, at(9, r#"{"v":1,"seq":10,"at_us":5,"kind":"new","x":{"y":[]}"#)),
            true,
        ),
        ("what is not UTF-8 is the chain's no business", forged(&lines, at(9, r#"{"v":1,"seq":10,x"#)), true),
        ("a key less than the form has", forged(&lines, at(9, r#"{"v":1,"seq":10"#)), true),
        ("a seq that goes on", forged(&lines, at(9, r#"{"v":1,"seq":10x,"at_us":5"#)), false),
        ("a blank", forged(&lines, at(9, r#"{"v":1, "seq":10,"at_us":5"#)), false),
        ("a leading zero", forged(&lines, at(9, r#"{"v":1,"seq":010,"at_us":5"#)), false),
        ("a sign", forged(&lines, at(9, r#"{"v":1,"seq":+10,"at_us":5"#)), false),
        ("a point", forged(&lines, at(9, r#"{"v":1,"seq":10.0,"at_us":5"#)), false),
        ("another order", forged(&lines, at(9, r#"{"seq":10,"v":1,"at_us":5"#)), false),
        ("another version", forged(&lines, at(9, r#"{"v":2,"seq":10,"at_us":5"#)), false),
        ("a loss", lost(r#""at_us":5,"kind":"lost","first_seq":10,"last_seq":14"#, 5), true),
        (
            "a loss with more keys",
            lost(r#""at_us":5,"kind":"lost","first_seq":10,"last_seq":14,"x":1"#, 5),
            true,
        ),
        ("a loss of one", lost(r#""at_us":5,"kind":"lost","first_seq":10,"last_seq":10"#, 1), true),
        ("a loss of fewer", lost(r#""at_us":5,"kind":"lost","first_seq":11,"last_seq":14"#, 5), false),
        ("a loss of what is there", lost(r#""at_us":5,"kind":"lost","first_seq":9,"last_seq":14"#, 5), false),
        ("a jump that is too far", lost(r#""at_us":5,"kind":"lost","first_seq":10,"last_seq":13"#, 5), false),
        (
            "a jump that is too short",
            lost(r#""at_us":5,"kind":"lost","first_seq":10,"last_seq":15"#, 5),
            false,
        ),
        ("a jump that nothing names", lost(r#""at_us":5,"kind":"stop""#, 5), false),
        (
            "in another kind",
            lost(r#""at_us":5,"kind":"new","x":{"kind":"lost","first_seq":10,"last_seq":14}"#, 5),
            false,
        ),
        (
            "behind another key",
            lost(r#""at_us":5,"x":1,"kind":"lost","first_seq":10,"last_seq":14"#, 5),
            false,
        ),
        ("keys in another order", lost(r#""kind":"lost","first_seq":10,"last_seq":14,"at_us":5"#, 5), false),
        ("keys changed", lost(r#""at_us":5,"kind":"lost","last_seq":14,"first_seq":10"#, 5), false),
        (
            "a key twice",
            lost(r#""at_us":5,"kind":"lost","first_seq":9,"last_seq":14,"first_seq":10"#, 5),
            false,
        ),
        ("a float", lost(r#""at_us":5,"kind":"lost","first_seq":10.0,"last_seq":14"#, 5), false),
        ("a zero before", lost(r#""at_us":5,"kind":"lost","first_seq":010,"last_seq":14"#, 5), false),
        ("a text", lost(r#""at_us":5,"kind":"lost","first_seq":"10","last_seq":14"#, 5), false),
        ("no time", lost(r#""kind":"lost","first_seq":10,"last_seq":14"#, 5), false),
        (
            "a time that is no number",
            lost(r#""at_us":99999999999999999999,"kind":"lost","first_seq":10,"last_seq":14"#, 5),
            false,
        ),
        (
            "beyond the last number",
            lost(
                r#""at_us":5,"kind":"lost","first_seq":10,"last_seq":9223372036854775807"#,
                i64::MAX as u64 - 9,
            ),
            false,
        ),
        (
            "more than a number has",
            lost(r#""at_us":5,"kind":"lost","first_seq":10,"last_seq":99999999999999999999999999"#, 5),
            false,
        ),
    ];
    for (what, bytes, is_whole) in cases {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(name(1, 1)), &bytes).expect("a segment");
        let [ours, theirs] = both(dir.path());
        let said = format!("{what}:\n{}\n{}", ours.said, theirs.said);
        assert_eq!((ours.is_good, theirs.is_good), (is_whole, is_whole), "{said}");
        assert_eq!(ours.line, theirs.line, "{said}");
    }
}

/// Older segments were removed, and a record says so: in both ways, and forged.
#[test]
fn a_log_without_its_beginning_follows_from_what_its_record_says() {
    if let Some(why) = no_python() {
        return left_out("two verifiers on a log without its beginning", &why);
    }
    let lines = lines(7, 30);
    let hash = |at: usize| Line::parse(lines[at].trim_ascii_end()).expect("a line").hash;
    for (what, last_seq, last_hash, is_whole) in [
        ("as it is", 10, hash(9), true),
        ("of another record", 9, hash(8), false),
        ("of another hash", 10, hash(8), false),
    ] {
        let seq = lines.len() + 1;
        let body = format!(
            r#"{{"v":1,"seq":{seq},"at_us":9,"kind":"expired","first_segment":"000001-1.jsonl","last_segment":"000001-1.jsonl","last_seq":{last_seq},"last_hash":"{last_hash}""#
        );
        let head = hash(lines.len() - 1).of_next(body.as_bytes());
        let line = format!("{body},\"h\":\"{head}\"}}\n");
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(name(2, 11)), [lines[10..].concat(), line.into_bytes()].concat())
            .expect("a segment");
        let [ours, theirs] = both(dir.path());
        assert_eq!(
            (ours.is_good, theirs.is_good),
            (is_whole, is_whole),
            "{what}:\n{}\n{}",
            ours.said,
            theirs.said
        );
    }
}

#[test]
fn both_say_the_same_of_what_the_suite_spoils() {
    if let Some(why) = no_python() {
        return left_out("two verifiers on spoilt logs", &why);
    }
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut seeds: Vec<_> =
        fs::read_dir(seeds).expect("the seeds").map(|entry| entry.expect("it").path()).collect();
    seeds.sort();
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|path| fs::read(path).expect("a seed")).collect();
    let times = if is_slow() { 5_000 } else { 60 };
    let (mut good, mut bad) = (0, 0);
    for n in 0..times {
        let mut dice = Dice(n);
        let mut input = seeds[n as usize % seeds.len()].clone();
        for _ in 0..dice.below(3) {
            let other = &seeds[dice.below(seeds.len())];
            input = spoil(&input, other, &mut dice);
        }
        let dir = tempfile::tempdir().expect("a directory");
        // Of a journal, which has no place in a copy of the directory, Python knows nothing.
        for (name, bytes) in files(&input).iter().filter(|(name, _)| name.ends_with(".jsonl")) {
            fs::write(dir.path().join(name), bytes).expect("a file");
        }
        let [ours, theirs] = both(dir.path());
        assert_eq!(ours.is_good, theirs.is_good, "Dice({n}):\n{}\n{}", ours.said, theirs.said);
        *if ours.is_good { &mut good } else { &mut bad } += 1;
    }
    assert!(good > 5 && bad > 10, "{good} whole, {bad} not");
}

#[test]
fn what_an_editor_did_is_said_in_these_words() {
    let lines = lines(5, 60);
    let text = String::from_utf8(lines.concat()).expect("text");
    for (text, words) in [
        (text.replace('\n', "\r\n"), "its line ends were changed (CRLF instead of LF)"),
        (text.replace('\n', "\r"), "its line ends were changed (CR instead of LF)"),
        (format!("\u{feff}{text}"), "it begins with a byte order mark (BOM)"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        for file in [name(1, 1), "log.jsonl".to_owned()] {
            let path = dir.path().join(file);
            fs::write(&path, &text).expect("a file");
            log(&["verify"], dir.path()).refused(1, words);
            log(&["verify"], &path).refused(1, words);
            fs::remove_file(path).expect("it");
        }
    }
    // A blank line behind everything touches nothing that is read.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(name(1, 1));
    fs::write(&path, &text).expect("a file");
    let commands: [&[&str]; 5] =
        [&["explain"], &["show"], &["export"], &["fingerprint"], &["verify", "--replay", "--json"]];
    let before: Vec<_> = commands.iter().map(|command| log(command, dir.path())).collect();
    fs::write(&path, text + "\n").expect("a file");
    for (command, before) in commands.iter().zip(before) {
        assert_eq!(log(command, dir.path()), before, "{command:?}");
    }
    let page = log(&["verify"], dir.path()).good();
    assert!(page.contains("a blank line behind everything"), "{page}");
}

#[test]
fn every_other_file_is_named_and_nothing_else_is() {
    let dir = tempfile::tempdir().expect("a directory");
    write_log(dir.path(), &lines(5, 60));
    for name in ["lock", "key.pub", "000003-41.jsonl.torn-2", "spare"] {
        fs::write(dir.path().join(name), "").expect("a file");
    }
    let page = log(&["verify"], dir.path()).good();
    assert!(!page.contains("also here"), "{page}");
    fs::write(dir.path().join("a\u{1b}[2J.txt"), "").expect("a file");
    let page = log(&["verify"], dir.path()).good();
    assert!(page.contains(r#"also here, and no part of the log: "a\u{1b}[2J.txt""#), "{page}");
    let log_md = include_str!("../../server/LOG.md");
    for name in buzzer_server::log::form::names::KNOWN {
        assert!(log_md.contains(&format!("`{name}")), "LOG.md does not list {name}");
    }
}
