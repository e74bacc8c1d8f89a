//! Who writes a log, and what an earlier process left of a journal elsewhere. In: log directories in which somebody removed, replaced
//! or planted files. Out: what real daemons say and do. Guarantee: as in `main.rs`.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use buzzer_tests::Home;
use buzzer_tests::harness::journal::records;

#[test]
fn two_daemons_never_write_one_log_also_when_the_lock_was_removed() {
    for replace in [false, true] {
        let home = Home::desk("autoconnect = true");
        let mut daemon = home.serve();
        let lock = home.journal().dir().join("lock");
        fs::remove_file(&lock).expect("the lock goes");
        if replace {
            fs::write(&lock, "1\n").expect("another one");
        }
        let ended = home.refused();
        assert!(ended.stderr.contains("another buzzerd"), "{}", ended.stderr);
        daemon.assert_alive();
        assert_eq!(daemon.stop().code, Some(0));
    }
}

#[test]
fn a_lock_that_somebody_touches_is_put_back_and_said_once() {
    let plants: &[(&str, Touch)] = &[
        ("removed or replaced", |path| fs::remove_file(path).expect("it goes")),
        ("removed or replaced", |path| {
            fs::remove_file(path).expect("it goes");
            fs::write(path, "1\n").expect("another");
        }),
        ("removed or replaced", |path| {
            fs::remove_file(path).expect("it goes");
            symlink("/dev/null", path).expect("a link");
        }),
        ("removed or replaced", |path| {
            fs::remove_file(path).expect("it goes");
            assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
        }),
        ("written over", |path| fs::write(path, "1\n").expect("it")),
        ("gone with its directory", |path| {
            let dir = path.parent().expect("it");
            fs::rename(dir, dir.with_extension("old")).expect("renamed");
            fs::create_dir(dir).expect("another");
        }),
    ];
    for (words, touch) in plants {
        let home = Home::desk("autoconnect = true");
        let daemon = home.serve();
        let lock = home.journal().dir().join("lock");
        let before = fs::read_to_string(&lock).expect("the lock");
        touch(&lock);
        daemon.wait_healthz("the lock", |_| {
            lock.symlink_metadata().is_ok_and(|found| found.is_file())
                && fs::read_to_string(&lock).is_ok_and(|found| found == before)
        });
        let ended = home.refused();
        let pid = format!("another buzzerd (pid {})", daemon.pid());
        assert!(ended.stderr.contains(&pid), "{words}: {}", ended.stderr);
        let said = daemon.stop();
        assert_eq!(said.code, Some(0), "{words}: {}", said.stderr);
        let sentence = format!("/lock: it was {words} while this buzzerd has it; it is put back");
        assert_eq!(said.stderr.matches(&sentence).count(), 1, "{words}: {}", said.stderr);
        assert_eq!(said.stderr.matches("is put back").count(), 1, "{words}: {}", said.stderr);
        let after = fs::read_to_string(&lock).expect("the lock");
        assert_eq!(after.lines().count(), 1, "{words}: after a good end the pid alone: {after}");
        assert!(before.starts_with(&after), "{words}");
    }
}

/// What is done to the lock.
type Touch = fn(&std::path::Path);

/// What a stranger puts where the lock should be, and how.
type Plant = (&'static str, fn(&std::path::Path));

#[test]
fn a_lock_that_is_no_file_is_named_and_neither_followed_nor_waited_for() {
    let plants: &[Plant] = &[
        ("a link", |path| {
            let victim = path.with_file_name("victim");
            fs::write(&victim, "mine").expect("it");
            symlink(victim, path).expect("a link");
        }),
        ("second name", |path| {
            let victim = path.with_file_name("victim");
            fs::write(&victim, "mine").expect("it");
            fs::hard_link(victim, path).expect("a link");
        }),
        ("a folder", |path| fs::create_dir(path).expect("a folder")),
        ("a FIFO", |path| assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success())),
        ("a socket", |path| drop(UnixListener::bind(path).expect("a socket"))),
    ];
    for (what, plant) in plants {
        let home = Home::desk("autoconnect = true");
        fs::create_dir_all(home.journal().dir()).expect("the directory");
        plant(&home.journal().dir().join("lock"));
        let ended = home.refused();
        assert!(
            ended.stderr.contains(what) || ended.stderr.contains("directory"),
            "{what}: {}",
            ended.stderr
        );
        assert!(ended.stderr.contains("/lock"), "{what}: {}", ended.stderr);
        if let Ok(victim) = fs::read_to_string(home.journal().dir().join("victim")) {
            assert_eq!(victim, "mine", "{what}");
        }
    }
}

#[test]
fn the_journal_that_the_lock_names_is_brought_in_wherever_this_start_has_its_own() {
    let home = Home::desk("autoconnect = true\ndebounce_us = 0");
    let daemon = home.serve();
    let mut desk = home.attach(1);
    home.journal().wait_attached(1);
    (0..20).for_each(|_| desk.hit(1));
    home.journal().wait_presses(20);
    daemon.kill();
    // As if the disk had taken only the first lines: the rest is in the journal, which lies elsewhere now.
    let (journal, segment) = (home.journal().runtime(), home.journal().segment());
    let all = fs::read(&segment).expect("the segment");
    let lines: Vec<&[u8]> = all.split_inclusive(|byte| *byte == b'\n').collect();
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&journal, &elsewhere).expect("moved");
    fs::write(&segment, lines[..5].concat()).expect("cut");
    let lock = home.journal().dir().join("lock");
    let words = fs::read_to_string(&lock).expect("it");
    fs::write(&lock, words.replace(&journal.display().to_string(), &elsewhere.display().to_string()))
        .expect("it");
    assert_eq!(home.serve().stop().code, Some(0));
    let found = home.journal().segment_bytes();
    assert!(found.starts_with(&all), "every line that was told is there");
    assert!(!elsewhere.exists(), "and in the segments");
    assert_eq!(home.journal().segment_presses().len(), 20);
}

#[test]
fn a_journal_that_cannot_be_read_is_said() {
    for zeros in [false, true] {
        let home = Home::desk("autoconnect = true");
        home.serve().kill();
        let journal = home.journal().runtime();
        if zeros {
            for name in ["0.journal", "1.journal"] {
                fs::write(journal.join(name), [0; 4096]).expect("zeros");
            }
        } else {
            let lock = home.journal().dir().join("lock");
            let words = fs::read_to_string(&lock).expect("it");
            fs::write(&lock, words.replace(&journal.display().to_string(), "/proc/nowhere")).expect("it");
        }
        let daemon = home.serve();
        let health = daemon.try_healthz().expect("health");
        assert!(health["storage"].as_str().is_some_and(|text| text.contains("journal not read")), "{health}");
        let said = daemon.stop();
        assert!(said.stderr.contains("journal not read"), "{}", said.stderr);
        let all = String::from_utf8(home.journal().segment_bytes()).expect("text");
        assert!(all.contains("journal not read"), "it is a record");
        assert!(!records(all.as_bytes()).is_empty());
    }
}

#[test]
fn a_key_that_is_missing_or_does_not_fit_is_said_at_start_and_signs_nothing() {
    for (what, words) in [
        ("key", "the key is missing"),
        ("key.pub", "key.pub was missing"),
        ("both", "cannot be checked"),
        ("other", "not its public key"),
    ] {
        let home = Home::desk("autoconnect = true");
        let daemon = home.serve();
        home.journal().wait_checkpoints(1);
        assert_eq!(daemon.stop().code, Some(0));
        let dir = home.journal().dir().to_owned();
        let remove = |name: &str| fs::remove_file(dir.join(name)).expect("it goes");
        match what {
            "both" => ["key", "key.pub"].into_iter().for_each(remove),
            "other" => {
                let other = Home::desk("autoconnect = true");
                let daemon = other.serve();
                other.journal().wait_checkpoints(1);
                assert_eq!(daemon.stop().code, Some(0));
                fs::copy(other.journal().dir().join("key.pub"), dir.join("key.pub")).expect("copied");
            }
            name => remove(name),
        }
        let daemon = home.serve();
        let health = daemon.try_healthz().expect("health");
        let said = daemon.stop().stderr;
        assert!(said.contains(words), "{what}: {said}");
        assert!(health["storage"].as_str().is_some_and(|text| text.contains(words)), "{what}: {health}");
    }
}
