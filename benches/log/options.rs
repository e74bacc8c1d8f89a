//! What the command line asks for.
//!
//! In: the arguments after `cargo bench -p buzzer-benches --bench log --`. Out: how much is done, how often, where.
//! Guarantees: an argument that is not known is an error that names it; the default run takes about two minutes.

use std::env;
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
The event log beside SQLite (WAL, synchronous=FULL) doing the same job, in one run, taking turns round by round.

cargo bench -p buzzer-benches --bench log -- [OPTIONS]
  --records 1000000    length of the log that is verified and recovered
  --race 100000        length of the log of which a race is explained
  --rounds 5           rounds; best time and median ratio of them are told
  --dir DIR            where the files go, on the disk to be measured [default: the target directory]; about 600 MB
  --quick              a tenth of the records, two rounds
$BUZZERD names another daemon than the one of this workspace. The table is on stdout, progress on stderr.";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) records: u64,
    pub(crate) race: u64,
    pub(crate) rounds: usize,
    pub(crate) dir: PathBuf,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, String> {
        let mut options = Self {
            records: 1_000_000,
            race: 100_000,
            rounds: 5,
            // /tmp is memory on many machines, and a sync of memory costs nothing.
            dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--records" => options.records = number(&value()?)?,
                "--race" => options.race = number(&value()?)?,
                "--rounds" => options.rounds = number(&value()?)? as usize,
                "--dir" => options.dir = value()?.into(),
                "--quick" => (options.records, options.race, options.rounds) = (100_000, 100_000, 2),
                // Cargo adds it.
                "--bench" => {}
                _ => return Err(format!("{argument}: not known")),
            }
        }
        Ok(options)
    }
}

/// Less is no log to measure: some jobs leave the last thousands of records in the journal.
const RECORDS_MIN: u64 = 50_000;

fn number(word: &str) -> Result<u64, String> {
    word.parse().ok().filter(|&number| number > 0).ok_or(format!("{word}: a number above 0 is expected"))
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), String> {
        let least = self.records.min(self.race);
        if least < RECORDS_MIN { Err(format!("{least}: at least {RECORDS_MIN} records")) } else { Ok(()) }
    }
}
