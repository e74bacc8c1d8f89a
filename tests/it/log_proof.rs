//! Proof for somebody who has no buzzerd. In: the directory of a real daemon, python3, sha256sum and ssh-keygen. Out: the same
//! answers as from buzzerd. Guarantee: what is run is what LOG.md prints, with no other program of ours within reach.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use buzzer_server::io::store::log_proof;
use buzzer_server::log::{Fingerprint, Line};
use buzzer_tests::harness::verifiers::printed_verifier;
use buzzer_tests::{Home, left_out, log};
use serde_json::{Value, json};

const LOG_MD: &str = include_str!("../../server/LOG.md");

fn session(presses: u16) -> Home {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let daemon = home.serve();
    let mut desk = home.attach(3);
    home.journal().wait_attached(1);
    for n in 0..presses {
        desk.hit(1 + n % 3);
    }
    home.journal().wait_presses(presses.into());
    // One that is not signed by the end is not signed any more.
    home.journal().wait_checkpoints(1);
    daemon.stop();
    home
}

/// The fingerprint of each record, by LOG.md: the first 80 bits of its hash.
fn fingerprints(home: &Home) -> Vec<(Fingerprint, String)> {
    let bytes = home.journal().bytes();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let hash = |line| Line::parse(line).expect("a line").hash;
    lines.map(hash).map(|hash| (Fingerprint::of(&hash), hash.to_string())).collect()
}

#[test]
fn a_fingerprint_is_that_of_its_record() {
    let home = session(6);
    let dir = &home.journal().dir().to_owned();
    let want = fingerprints(&home);
    for (seq, (fingerprint, hash)) in (1..).zip(&want) {
        let number = seq.to_string();
        let said = log(&["fingerprint", "--seq", &number], dir).good();
        assert_eq!(said, format!("{fingerprint}@{seq}\n"));
        let said = log(&["fingerprint", "--seq", &number, "--json"], dir).good();
        let want =
            json!({"seq": seq, "fingerprint": fingerprint.to_string(), "head": hash, "checkpoint": null});
        assert_eq!(serde_json::from_str::<Value>(&said).expect("JSON"), want);
    }
    let last = want.len();
    assert_eq!(log(&["fingerprint"], dir).good(), format!("{}@{last}\n", want[last - 1].0));
    let beyond = format!("the log has seq 1 to {last}");
    for (seq, words) in [("0", "expected a whole number from 1 on"), (&(last + 1).to_string(), &beyond)] {
        log(&["fingerprint", "--seq", seq], dir).refused(2, words);
    }
    log(&["fingerprint", "--sign"], &home.journal().segment()).refused(2, "--sign needs the log directory");
    // Of what is damaged there is none, of the part before it there is.
    let mut bytes = home.journal().bytes();
    let third = bytes.split_inclusive(|byte| *byte == b'\n').take(3).map(<[u8]>::len).sum::<usize>() - 20;
    bytes[third] = if bytes[third] == b'0' { b'1' } else { b'0' };
    fs::write(home.journal().segment(), bytes).expect("the segment");
    log(&["fingerprint"], dir).refused(1, "line 3: ");
    assert_eq!(log(&["fingerprint", "--seq", "2"], dir).good(), format!("{}@2\n", want[1].0));
}

/// A directory whose programs are these alone.
fn only(tools: &[&str]) -> Result<tempfile::TempDir, String> {
    let dir = tempfile::tempdir().expect("a directory");
    for tool in tools {
        // Where Python is a script that looks for one, the one that it finds.
        let ask = match *tool {
            "python3" => "python3 -c 'import sys; print(sys.executable)'".to_owned(),
            tool => format!("command -v {tool}"),
        };
        let found = Command::new("sh").args(["-c", &ask]).output().expect("a shell");
        let path = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
        if !path.is_absolute() {
            return Err(format!("{tool} is not here"));
        }
        symlink(path, dir.path().join(tool)).expect("a link");
    }
    Ok(dir)
}

const TOOLS: [&str; 11] =
    ["python3", "sha256sum", "ssh-keygen", "sh", "cat", "wc", "head", "tail", "grep", "sed", "cut"];

#[test]
fn what_is_in_the_journal_alone_is_not_signed() {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let daemon = home.serve();
    let mut desk = home.attach(1);
    home.journal().wait_attached(1);
    desk.hit(1);
    home.journal().wait_presses(1);
    daemon.kill();
    // The last line has not come to the segment; the journal has it still.
    let segment = home.journal().segment();
    let lines = fs::read(&segment).expect("the segment");
    let whole = lines.trim_ascii_end();
    let end = whole.iter().rposition(|byte| *byte == b'\n').expect("two lines") + 1;
    fs::write(&segment, &lines[..end]).expect("the segment");
    let dir = home.journal().dir().to_owned();
    let last = Line::parse(&whole[end..]).expect("a line").seq;
    let (_, newest) = fingerprints(&home).pop().expect("a record");
    let said = log(&["fingerprint", "--json"], &dir).good();
    assert!(said.contains(&newest), "without a signature the journal counts: {said}");
    let said = log(&["fingerprint", "--sign"], &dir);
    let seq = said.stdout.trim().rsplit('@').next().expect("a seq");
    assert_eq!((said.code, seq.parse()), (0, Ok(last - 1)), "{}", said.stderr);
    log(&["fingerprint", "--sign", "--seq", &last.to_string()], &dir)
        .refused(1, "on nothing is on the disk yet");
}

#[test]
fn checkpoints_are_signed_at_start_at_the_end_and_on_demand_as_ssh_keygen_wants_it() {
    let home = session(4);
    let dir = home.journal().dir().to_owned();
    // On demand, also beside a daemon: which begins with one of its own.
    let daemon = home.serve();
    let mut desk = home.attach(1);
    home.journal().wait_attached(2);
    desk.hit(1);
    home.journal().wait_presses(5);
    home.journal().wait_checkpoints(3);
    let said = log(&["fingerprint", "--sign"], &dir);
    let (_, path) = said.stderr.split_once("signed: ").expect("where it is");
    assert_eq!(log(&["fingerprint", "--sign"], &dir), said, "what was said about a record stands");
    let on_demand = fs::read_to_string(path.trim()).expect("the checkpoint");
    let (fingerprint, seq) = said.stdout.trim().split_once('@').expect("a seq");
    assert!(on_demand.contains(&format!("\nseq: {seq}\n")), "{on_demand}");
    assert!(on_demand.ends_with(&format!("\nfingerprint: {fingerprint}\n")), "{on_demand}");
    // A crash says nothing more.
    daemon.kill();
    let checkpoints = log_proof::checkpoints(&dir).expect("checkpoints");
    assert_eq!(checkpoints.len(), 4, "start, end, start, on demand: {checkpoints:?}");
    assert_eq!(fs::metadata(dir.join("key")).expect("the key").permissions().mode() & 0o777, 0o600);
    let tools = match only(&TOOLS) {
        Ok(tools) => tools,
        Err(why) => return left_out("ssh-keygen on checkpoints", &why),
    };
    let verify = |text: &Path, signature: &Path, signers: &Path, namespace: &str| {
        let mut command = Command::new(tools.path().join("ssh-keygen"));
        command.args(["-Y", "verify", "-I", "buzzerd", "-n", namespace, "-f"]).arg(signers);
        command.arg("-s").arg(signature).stdin(Stdio::from(fs::File::open(text).expect("the text")));
        let output = command.output().expect("ssh-keygen runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let signers = dir.join("allowed_signers");
    for text in &checkpoints {
        let signature = log_proof::signature_of(text);
        let (good, said) = verify(text, &signature, &signers, "buzzerd-checkpoint");
        assert!(good && said.contains("Good \"buzzerd-checkpoint\" signature"), "{said}");
        // Another text, another purpose, another box.
        let changed = home.path().join("changed");
        fs::write(&changed, fs::read_to_string(text).expect("it").replace("seq: ", "seq: 1"))
            .expect("a file");
        assert!(!verify(&changed, &signature, &signers, "buzzerd-checkpoint").0);
        assert!(!verify(text, &signature, &signers, "file").0);
        let other = session(1);
        let foreign = other.journal().dir().join("allowed_signers");
        assert!(!verify(text, &signature, &foreign, "buzzerd-checkpoint").0);
    }
}

/// A stranger: a copy of the log directory, what LOG.md prints, and none of our programs.
struct Stranger {
    dir: tempfile::TempDir,
    tools: tempfile::TempDir,
}

impl Stranger {
    fn of(home: &Home) -> Result<Self, String> {
        let (dir, tools) = (tempfile::tempdir().expect("a directory"), only(&TOOLS)?);
        let log = dir.path().join("log");
        fs::create_dir_all(log.join("checkpoints")).expect("a directory");
        let copy = |from: &Path, to: PathBuf| assert!(fs::copy(from, to).is_ok());
        for segment in home.journal().segments() {
            copy(&segment, log.join(segment.file_name().expect("a name")));
        }
        copy(&home.journal().dir().join("allowed_signers"), log.join("allowed_signers"));
        for text in log_proof::checkpoints(home.journal().dir()).expect("checkpoints") {
            let to = log.join("checkpoints").join(text.file_name().expect("a name"));
            copy(&log_proof::signature_of(&text), log_proof::signature_of(&to));
            copy(&text, to);
        }
        fs::write(log.join("verify.py"), printed_verifier()).expect("the verifier");
        Ok(Self { dir, tools })
    }

    /// Runs the step with this number, as LOG.md prints it; whether it succeeded, and what it said.
    fn step(&self, number: usize) -> (bool, String) {
        let heading = format!("\n**{number}. ");
        let section = LOG_MD.split(&heading).nth(1).expect("a step").split("\n**").next().expect("it");
        let commands: String = section
            .split("```sh\n")
            .skip(1)
            .map(|part| part.split("```").next().unwrap_or_default())
            .collect();
        let commands = commands.replace("/tmp/", &format!("{}/", self.dir.path().display()));
        let output = Command::new(self.tools.path().join("sh"))
            .args(["-e", "-c", &commands])
            .current_dir(self.dir.path().join("log"))
            .env_clear()
            .env("PATH", self.tools.path())
            .output()
            .expect("a shell");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}

#[test]
fn a_stranger_with_three_programs_checks_a_daemons_log() {
    let home = session(12);
    let stranger = match Stranger::of(&home) {
        Ok(stranger) => stranger,
        Err(why) => return left_out("the stranger of LOG.md", &why),
    };
    let want = fingerprints(&home);
    let last = want.len();
    assert!(last > 20, "{last} records");
    let good = |number| {
        let (good, said) = stranger.step(number);
        assert!(good, "step {number}: {said}");
        said
    };
    assert_eq!(good(1).split(' ').next(), Some(&*last.to_string()));
    assert!(good(2).ends_with(&log(&["fingerprint"], home.journal().dir()).good()));
    assert!(good(3).ends_with(&format!("{}@20\n", want[19].0)), "as noted when the log was shorter");
    let said = good(4);
    assert_eq!(said.matches("Good \"buzzerd-checkpoint\" signature for buzzerd").count(), 2, "{said}");
    assert_eq!(said.lines().filter(|line| *line == "1").count(), 2, "{said}");
    let said = good(5);
    assert_eq!(said.matches(&want[4].1).count(), 2, "{said}");
    let said = good(6);
    let draws: Vec<&str> = said.lines().map(|line| &line[..4]).collect();
    let want =
        ["03d4", "3fed", "022c", "83a0", "1e45", "78bb", "3cfb", "ac2b", "6a00", "5be1", "f931", "2f4b"];
    assert_eq!(draws, want);
}

#[test]
fn a_stranger_finds_what_somebody_changed() {
    let home = session(12);
    let stranger = match Stranger::of(&home) {
        Ok(stranger) => stranger,
        Err(why) => return left_out("the stranger of LOG.md", &why),
    };
    let noted = fingerprints(&home)[19].0.to_string();
    let path = stranger.dir.path().join("log/000001-1.jsonl");
    let text = fs::read_to_string(&path).expect("the log");
    let spoil = |text: &str| {
        fs::write(&path, text).expect("the log");
        assert!(stranger.step(1).0);
    };
    // A press of another buzzer.
    let (at, press) =
        text.lines().enumerate().find(|(_, line)| line.contains(r#""kind":"press""#)).expect("a press");
    let other = press.replace(r#""buzzer":1,"#, r#""buzzer":2,"#);
    assert_ne!(press, other);
    spoil(&text.replace(press, &other));
    let (good, said) = stranger.step(2);
    let place = format!("./000001-1.jsonl: line {}: it was changed or moved", at + 1);
    assert!(!good && said.starts_with(&place), "{said}");
    // The end cut off: only what was noted tells, and the checkpoint of the end.
    let cut: String = text.split_inclusive('\n').take(19).collect();
    spoil(&cut);
    let (good, said) = stranger.step(2);
    assert!(!good && said.starts_with("checkpoints: one is about seq "), "{said}");
    assert!(!stranger.step(3).1.contains(&noted));
    let (good, said) = stranger.step(4);
    assert!(!good || said.lines().any(|line| line == "0"), "{said}");
}
