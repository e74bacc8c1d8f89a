//! The event log beside SQLite: `cargo bench -p buzzer-benches --bench log`.
//!
//! In: nothing but options. Out: one table on stdout, progress on stderr.
//! Guarantees: both do the same job on the same records, in one run, taking turns round by round; it reports and judges
//! no time. Only a wrong answer makes it fail.
//!
//! The log is what a made evening gives ([`buzzer_tests::Session`]). The [`append`] jobs keep its first records, alone and in
//! groups; the [`whole`] jobs read all of it. SQLite's side is in [`sqlite`]: a table, the same SHA-256 chain over its
//! rows, and the indexes that the questions need. Where SQLite can answer without looking at what was asked to be
//! proved, there is a line for each: the answer alone, and with the chain computed again, as `buzzerd` does.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

mod append;
mod options;
mod sheet;
mod sqlite;
mod whole;

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use buzzer_benches::{clock, machine};
use buzzer_server::record::Record;
use options::Options;
use sheet::{Sheet, Unit};
use tempfile::TempDir;
use whole::Evening;

/// Records to a commit, and how many commits a round has.
const GROUPS: [(usize, usize); 3] = [(1, 300), (100, 100), (1000, 20)];
/// Records a round that are appended one by one without a sync.
const BUZZES: usize = 20_000;

fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--help") {
        println!("{}", options::HELP);
        return ExitCode::SUCCESS;
    }
    let options = Options::parse().and_then(|options| options.check().map(|()| options));
    match options.map(|options| table(&options)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("{message}\n{}", options::HELP);
            ExitCode::from(2)
        }
    }
}

fn table(options: &Options) -> io::Result<()> {
    let buzzerd = machine::buzzerd()?;
    let begin = clock::now();
    fs::create_dir_all(&options.dir)?;
    let disk = temporary(&options.dir)?;
    // Stands in for the runtime directory that systemd makes: memory, where there is some.
    let shm = Path::new("/dev/shm");
    let memory = if shm.is_dir() {
        shm
    } else {
        eprintln!("no /dev/shm: memory is a disk");
        &options.dir
    };
    eprintln!("making the logs and the databases");
    let long = Evening::make(disk.path().join("long"), options.records)?;
    let race = Evening::make(disk.path().join("race"), options.race)?;
    let records = long.first(BUZZES)?;
    let mut sheet = Sheet::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}: append", options.rounds);
        append(&mut sheet, &records, disk.path(), memory)?;
        eprintln!("round {round} of {}: {} records", options.rounds, long.records);
        whole(&mut sheet, &long, &race, &buzzerd, memory)?;
    }
    let command: String =
        env::args().skip(1).filter(|word| word != "--bench").map(|word| format!(" {word}")).collect();
    let dashes = if command.is_empty() { "" } else { " --" };
    println!("{}; SQLite {}", machine::describe(), rusqlite::version());
    println!(
        "cargo bench -p buzzer-benches --bench log{dashes}{command}   ({} rounds, {} s)\n",
        options.rounds,
        (clock::now() - begin) / clock::SECOND
    );
    sheet.print();
    Ok(())
}

fn append(sheet: &mut Sheet, records: &[Record], disk: &Path, memory: &Path) -> io::Result<()> {
    for (together, commits) in GROUPS {
        let (on_disk, in_memory) = (temporary(disk)?, temporary(memory)?);
        let records = &records[..together * commits];
        let [ours, its] = append::group_commit(records, together, on_disk.path(), in_memory.path())?;
        let (name, unit) = match together {
            1 => ("append one record, durable".to_owned(), Unit::Micros(commits as u64)),
            _ => (format!("append, {together} records a sync"), Unit::PerSecond(records.len() as u64)),
        };
        sheet.add(&name, unit, ours, Some(its));
    }
    let each = Unit::Nanos(records.len() as u64);
    for (place, name) in [(memory, "in memory"), (disk, "on the disk")] {
        let [ours, its] = append::buzz_path(records, temporary(place)?.path())?;
        sheet.add(&format!("on the way of a buzz, journal {name}, no sync"), each, ours, Some(its));
    }
    let [line, hash] = append::line_and_hash(records)?;
    sheet.add("  of which the line, its hash included", each, line, None);
    sheet.add("  of which the hash", each, hash, None);
    Ok(())
}

fn whole(sheet: &mut Sheet, long: &Evening, race: &Evening, buzzerd: &Path, memory: &Path) -> io::Result<()> {
    let rate = Unit::PerSecond(long.records);
    let [ours, check, chain] = long.verify(buzzerd)?;
    let name = "verify: beside integrity_check and the chain";
    sheet.add(name, rate, ours, Some(check + chain)).goal(1e6, Some(1.5e6));
    sheet.add("verify: beside the chain alone", rate, ours, Some(chain));
    sheet.add("verify --replay", rate, long.replay(buzzerd)?, None).goal(250e3, Some(500e3));
    let [ours, fold, chain] = long.recover(temporary(memory)?.path())?;
    let goal = 1000.0 * (long.records as f64 / 1e6).max(1.0);
    let name = format!("recover {} records: beside the chain and the fold", long.records);
    sheet.add(&name, Unit::Millis, ours, Some(fold + chain)).goal(goal, None);
    sheet.add("recover: beside the fold of rows as they are", Unit::Millis, ours, Some(fold));
    let [ours, query, chain] = race.explain(buzzerd)?;
    let name = format!("explain a race of {} records: beside chain and query", race.records);
    sheet.add(&name, Unit::Millis, ours, Some(query + chain)).goal(1000.0, None);
    sheet.add("explain: beside the query, rows as they are", Unit::Millis, ours, Some(query));
    Ok(())
}

fn temporary(place: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("buzzer-bench-").tempdir_in(place)
}
