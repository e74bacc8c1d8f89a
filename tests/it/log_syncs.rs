//! Each sync, cut and reservation of the log by itself, where the campaigns of `log_disk` would not miss it: one that
//! takes the call away sees a test fail. In: disks that are simulated, or real. Out: what is there after the power was cut.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::io::store::disk::Disk;
use buzzer_server::io::store::log_proof::{CHECKPOINTS_NAME, KEY_NAME, PUBLIC_KEY_NAME, SIGNERS_NAME};
use buzzer_server::log::store::journal;
use buzzer_server::log::store::journal::{FILE_NAMES, JournalLimits};
use buzzer_server::log::store::recovery;
use buzzer_server::log::store::segments::{Resume, Segments};
use buzzer_server::log::store::storage::{Directory, File, write_all};
use buzzer_server::log::store::writer::{Turn, Writer};
use buzzer_server::log::{ChainHash, SegmentName, encode};
use buzzer_server::record::{Fact, Record};
use buzzer_tests::harness::daemon::binary;
use buzzer_tests::harness::sim_disk::{Faults, SimDir};
use buzzer_tests::{Home, left_out};

const HEADER: &[u8] = b"{\"v\":1,\"journal\":\"0\",\"boot\":\"0\"}\n";
const SEGMENT_BYTES: u64 = 1 << 20;
const NOW: KernelTime = KernelTime::from_us(1);
/// What a simulated cut takes is a matter of luck.
const SEEDS: u64 = 50;

fn record(seq: u64) -> Record {
    Record {
        seq,
        at_us: seq,
        fact: Fact::Connect { pool: "stage".parse().unwrap(), by: "x".repeat(300), asked_us: None },
    }
}

/// These records, as lines.
fn lines(records: u64) -> Vec<u8> {
    let (mut head, mut lines) = (ChainHash::START, Vec::new());
    (1..=records).for_each(|seq| encode(&record(seq), &mut head, &mut lines));
    lines
}

fn stream(dir: &SimDir) -> Vec<u8> {
    let mut names: Vec<SegmentName> = dir.list().unwrap().iter().filter_map(SegmentName::of).collect();
    names.sort_unstable();
    names.iter().flat_map(|name| dir.content(&name.to_string())).collect()
}

/// A file that an earlier process has written, and not brought to the disk.
fn leave(dir: &SimDir, name: &str, bytes: &[u8]) {
    write_all(&dir.create(name).unwrap(), 0, bytes).unwrap();
}

#[test]
fn what_a_failed_sync_has_left_twice_goes_when_it_is_durable_elsewhere() {
    let (mut cut, mut removed) = (0, 0);
    for seed in 0..SEEDS {
        let (dir, runtime) = (SimDir::new(seed), SimDir::new(seed));
        let (mut journal, feed) =
            journal::open(runtime, HEADER.to_vec(), Vec::new(), ChainHash::START, JournalLimits::default());
        let segments = Segments::new(dir.clone(), 0, SEGMENT_BYTES, None);
        let mut writer = Writer::new(feed, segments, 0);
        for seq in 1..=6 {
            journal.append(&[record(seq)]);
            dir.set_faults(Faults { sync: 500, ..Faults::default() });
            writer.turn(NOW);
            dir.set_faults(Faults::default());
            let before = dir.list().unwrap();
            let later = NOW + Micros::from_ms(seq * 60_000);
            while writer.turn(later) == Turn::Again {}
            assert_eq!(writer.durable_seq(), seq);
            removed +=
                usize::from(before.iter().any(|name| !dir.list().unwrap().contains(name) && name != "spare"));
        }
        cut += dir.list().unwrap().len() - 1;
        assert_eq!(stream(&dir), lines(6), "seed {seed}: every line once");
    }
    assert!(cut > 0 && removed > 0, "{cut} segments, {removed} removed");
}

#[test]
fn what_an_earlier_process_did_not_sync_is_durable_before_it_is_said_to_be() {
    for seed in 0..SEEDS {
        let (dir, runtime) = (SimDir::new(seed), SimDir::new(seed));
        leave(&dir, "000001-1.jsonl", &lines(20));
        // Not even the journal can be made, so that nothing is written a second time.
        runtime.set_faults(Faults { write: 1000, names: 1000, ..Faults::default() });
        let found = recovery::recover(&dir, &runtime, HEADER, &Vec::new).unwrap();
        let (_, feed) =
            journal::open(runtime, HEADER.to_vec(), found.journal, found.head, JournalLimits::default());
        let segments = Segments::new(dir.clone(), found.number, SEGMENT_BYTES, found.resume);
        let mut writer = Writer::new(feed, segments, found.durable_seq);
        while writer.turn(NOW) == Turn::Again {}
        assert_eq!(writer.durable_seq(), 20);
        dir.cut_power();
        assert_eq!(stream(&dir), lines(20), "seed {seed}");
    }
}

/// A damaged log goes on in a new segment; what the old one has must not be lost for that.
#[test]
fn a_segment_that_is_not_gone_on_with_is_durable_after_the_start() {
    let mut damaged = lines(20);
    damaged[500] ^= 1;
    for seed in 0..SEEDS {
        for is_named in [false, true] {
            let (dir, runtime) = (SimDir::new(seed), SimDir::new(seed));
            leave(&dir, "000001-1.jsonl", &damaged);
            if is_named {
                // The kernel could not write it, and believes that it has.
                dir.sync().unwrap();
                dir.set_faults(Faults { sync: 1000, ..Faults::default() });
                dir.open("000001-1.jsonl").unwrap().sync().unwrap_err();
                dir.set_faults(Faults::default());
            } else {
                dir.open("000001-1.jsonl").unwrap().sync().unwrap();
            }
            let found = recovery::recover(&dir, &runtime, HEADER, &Vec::new).unwrap();
            assert!(found.resume.is_none() && matches!(found.notes[..], [Fact::Damage { .. }]));
            dir.cut_power();
            assert_eq!(stream(&dir), damaged, "seed {seed}");
        }
    }
}

#[test]
fn a_journal_file_that_is_done_with_takes_no_memory() {
    let (dir, runtime) = (SimDir::new(1), SimDir::new(2));
    let limits = JournalLimits { turn: 2_000, ..JournalLimits::default() };
    let (mut journal, feed) =
        journal::open(runtime.clone(), HEADER.to_vec(), Vec::new(), ChainHash::START, limits);
    let segments = Segments::new(dir, 0, SEGMENT_BYTES, None);
    let mut writer = Writer::new(feed, segments, 0);
    // The disk stalls, and is well again: both files were long, and are used further.
    (1..=100).for_each(|seq| journal.append(&[record(seq)]));
    while writer.turn(NOW) == Turn::Again {}
    for seq in 101..=120 {
        journal.append(&[record(seq)]);
        while writer.turn(NOW) == Turn::Again {}
    }
    let held: usize = FILE_NAMES.iter().map(|name| runtime.content(name).len()).sum();
    assert!(held < 10_000, "{held} bytes for what is durable");
}

#[test]
fn half_a_line_in_the_journal_is_cut_before_the_next_one_is_written() {
    let (dir, runtime) = (SimDir::new(1), SimDir::new(2));
    let header = HEADER.to_vec();
    // Of an earlier process: longer than what comes next.
    let long = Record {
        seq: 3,
        at_us: 3,
        fact: Fact::Connect { pool: "stage".parse().unwrap(), by: "x".repeat(900), asked_us: None },
    };
    let (mut head, mut torn) = (ChainHash::START, Vec::new());
    (1..=2).for_each(|seq| encode(&record(seq), &mut head, &mut torn));
    encode(&long, &mut head, &mut torn);
    torn.truncate(torn.len() - 20);
    leave(&runtime, FILE_NAMES[0], &[HEADER, &torn].concat());
    let found = recovery::recover(&dir, &runtime, HEADER, &Vec::new).unwrap();
    assert_eq!(found.state.seq(), 2);
    let (mut journal, _feed) =
        journal::open(runtime.clone(), header, found.journal, found.head, JournalLimits::default());
    journal.append(&[record(3)]);
    assert_eq!(runtime.content(FILE_NAMES[0]), [HEADER, &lines(3)].concat());
    // Of this one: there is room for a part of it.
    runtime.set_room(runtime.content(FILE_NAMES[0]).len() + 100);
    journal.append(&[record(4)]);
    assert_eq!(runtime.content(FILE_NAMES[0]), [HEADER, &lines(3)].concat());
}

#[test]
fn what_the_journal_holds_once_more_is_all_that_is_in_its_file() {
    let (dir, runtime) = (SimDir::new(1), SimDir::new(2));
    let all = lines(22);
    let place = lines(20).len();
    leave(&dir, "000001-1.jsonl", &all[..place]);
    leave(&dir, "000002-21.jsonl", &all[place..]);
    leave(&runtime, FILE_NAMES[0], &[HEADER, &all[..place]].concat());
    let found = recovery::recover(&dir, &runtime, HEADER, &Vec::new).unwrap();
    assert_eq!(found.notes, []);
    assert_eq!(runtime.content(FILE_NAMES[0]), [HEADER, &all[place..]].concat());
}

#[test]
fn room_is_set_aside_in_a_segment_that_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path()).unwrap();
    let name = SegmentName::of("000001-1.jsonl").unwrap();
    let file = disk.create(&name.to_string()).unwrap();
    if file.reserve(4096).is_err() {
        return left_out("room in a segment", "this file system sets none aside");
    }
    let segments = Segments::new(disk, 1, SEGMENT_BYTES, Some(Resume { name, file, len: 0 }));
    let found = std::fs::metadata(folder.path().join(name.to_string())).unwrap();
    assert_eq!(found.len(), 0);
    assert!(found.blocks() * 512 >= SEGMENT_BYTES, "{} blocks; {}", found.blocks(), segments.file_name());
}

#[test]
fn a_lock_says_nothing_of_an_earlier_process() {
    let home = Home::desk("autoconnect = true");
    let log = home.journal().dir().to_owned();
    std::fs::create_dir_all(&log).unwrap();
    std::fs::write(log.join("lock"), "1\n/nowhere\n".repeat(100)).unwrap();
    let daemon = home.serve();
    let words = std::fs::read_to_string(log.join("lock")).unwrap();
    assert_eq!(words.lines().next(), Some(&*daemon.pid().to_string()));
    assert_eq!(words.lines().count(), 3, "{words}");
    assert_eq!(daemon.stop().code, Some(0));
}

/// The calls with which this program has the disk keep data and names, in their order.
fn kept(arguments: &[&str], log: &Path) -> Option<Vec<String>> {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "-e", "trace=fdatasync,fsync,rename,mkdir", "-o", "/dev/stderr"]);
    let output =
        traced.arg(binary()).args(arguments).arg(log).env_remove("RUNTIME_DIRECTORY").output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = String::from_utf8(output.stderr).expect("text");
    // `1234  fdatasync(3</log/000001-1.jsonl>) = 0`, `1234  rename("/log/key.new", "/log/key") = 0`.
    let call = |line: &str| {
        let (call, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
        let path = match call {
            "rename" => rest.split('"').nth(3)?,
            "mkdir" => rest.split('"').nth(1)?,
            _ => rest.split(['<', '>']).nth(1)?,
        };
        let name = Path::new(path).file_name()?.to_str()?;
        // A checkpoint is named after what it says.
        let name = name.find(".txt").map_or(name, |at| &name[at..]);
        Some(format!("{call} {name}"))
    };
    Some(trace.lines().filter_map(call).collect())
}

#[test]
fn a_checkpoint_has_a_name_only_when_the_disk_has_all_that_it_stands_for() {
    let home = Home::desk("autoconnect = true");
    home.serve().stop();
    let dir = home.journal().dir().to_owned();
    // As if nothing had ever been signed.
    std::fs::remove_dir_all(dir.join(CHECKPOINTS_NAME)).unwrap();
    for name in [KEY_NAME, PUBLIC_KEY_NAME, SIGNERS_NAME] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    let sign = ["log", "fingerprint", "--sign"];
    let Some(first) = kept(&sign, &dir) else {
        return left_out("what a checkpoint keeps, and when", "strace is not installed");
    };
    let log = ["fdatasync 000001-1.jsonl", "fsync log"];
    let key = [
        "fdatasync key.new",
        "rename key",
        "fdatasync key.pub.new",
        "rename key.pub",
        "fdatasync allowed_signers.new",
        "rename allowed_signers",
        "fsync log",
    ];
    let checkpoint = [
        "mkdir checkpoints",
        "fsync log",
        "fdatasync .txt.sig.new",
        "rename .txt.sig",
        "fdatasync .txt.new",
        "rename .txt",
        "fsync checkpoints",
    ];
    assert_eq!(first, [&log[..], &key, &checkpoint].concat());
    // It stands: nothing is signed a second time.
    assert_eq!(kept(&sign, &dir).unwrap(), log);
}
