//! `buzzerd log verify`. In: a log, and what was noted of it before. Out: whether it is whole, or the first line that is not
//! the one that was written. Guarantee: exit code 0 only if every line, every checkpoint and everything that it was to be
//! compared with holds.

use buzzer_core::quote::kernel_words;
use buzzer_server::counted::counted;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use buzzer_core::io::sys;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::config::Config;
use buzzer_server::io::store::log_proof;
use buzzer_server::judge::audit::{Audit, Discrepancy};
use buzzer_server::log::form::fingerprint::spoken;
use buzzer_server::log::form::strict::{self, Said};
use buzzer_server::log::form::verify::lost_from_start;
use buzzer_server::log::{Line, Verifier};
use buzzer_server::record::Fact;
use clap::Args;

use super::claim::{Claim, Token};
use super::records::{Lines, Source};
use super::verdict::Verdict;
use crate::cli::stdout::print_json;
use crate::cli::{Failure, number, print, stderr};

/// How often somebody who waits is told how far it is.
const PROGRESS_US: Micros = Micros::from_ms(500);
/// Records between two looks at the clock.
const PROGRESS_RECORDS: u64 = 0x4000;

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    source: Source,
    /// Compare with what left the box before: a fingerprint (7K3Q-9MZT-2WXA-H04E@1234, the number may be left out), a hash
    /// (64 hex digits), or the file of a checkpoint. It finds what was cut off at the end, too
    #[arg(long, value_name = "FINGERPRINT|FILE")]
    against: Vec<String>,
    /// Whose signatures hold: a public key or allowed_signers file that you have from elsewhere [default: key.pub of the log
    /// directory, which whoever changed the log could have changed as well]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The log begins with this record, because older segments are kept elsewhere
    #[arg(long, value_name = "SEQ", value_parser = number::whole::<u64>(1..=u64::MAX))]
    begins: Option<u64>,
    /// Also fold the records, and derive every verdict again: draws, photo finishes, marks, who was connected
    #[arg(long)]
    replay: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
        let mut records = self.source.open(config)?;
        let expected_begin = self.begins.unwrap_or(1);
        let begins = self.begins.unwrap_or_else(|| records.lines.reader.first_seq());
        records.lines.verifier = Verifier::from_seq(begins);
        let mut claims = self.claims(records.dir.as_deref())?;
        let mut verdict = Verdict { begins, expected_begin, ..Verdict::default() };
        let mut checkpoints = self.checkpoints(records.dir.as_deref(), &mut verdict)?;
        self.read(&mut records.lines, &mut verdict, &mut claims, &mut checkpoints)?;
        verdict.take(records);
        if verdict.records == 0 && verdict.faults.all == 0 && verdict.partial.is_none() {
            return Err(super::records::empty());
        }
        // What a log without its beginning does not have cannot be compared.
        let known = |claim: &Claim| claim.seq.is_none_or(|seq| seq >= verdict.begins);
        if let Some(claim) = claims.iter().find(|claim| !known(claim)) {
            let seq = claim.seq.unwrap_or_default();
            return Err(Failure::Usage(anyhow!(
                "{}: it is about seq {seq}, and this log begins with seq {}: name the older segments too",
                claim.what,
                verdict.begins
            )));
        }
        verdict.checkpoints = checkpoints.into_values().flatten().filter(known).collect();
        verdict.claims = claims;
        match self.json {
            true => print_json(&format!("{}\n", verdict.json()))?,
            false => print(&verdict.to_string())?,
        }
        if verdict.is_good() { Ok(()) } else { Err(Failure::Told) }
    }

    fn read(
        &self,
        lines: &mut Lines,
        verdict: &mut Verdict,
        claims: &mut [Claim],
        checkpoints: &mut BTreeMap<u64, Vec<Claim>>,
    ) -> Result<(), Failure> {
        let mut progress = Progress::new();
        let mut audit = self.replay.then(Audit::default);
        let mut found: Vec<Discrepancy> = Vec::new();
        let mut first = Vec::new();
        while let Some(checked) = lines.next()? {
            let line = match checked {
                Ok(line) => line,
                Err(misplaced) => {
                    verdict.faults.add(misplaced.to_string());
                    continue;
                }
            };
            if let Some(audit) = &mut audit {
                match strict::read(&line) {
                    Ok(Said::Record(record)) => audit.take(&record, &mut found),
                    Ok(Said::Unknown(kind)) => {
                        verdict.unknown(line.seq, &kind);
                        audit.pass_over(line.seq);
                    }
                    Err(why) => {
                        found.push(Discrepancy { seq: line.seq, what: why.to_string() });
                        audit.pass_over(line.seq);
                    }
                }
            }
            if line.seq == verdict.begins {
                if self.begins.is_none() && lost_from_start(&line).is_some() {
                    // Nothing of what was before is elsewhere.
                    verdict.begins = 1;
                }
                first = line.bytes().to_vec();
            } else if line.kind() == Some("expired") && follows_expired(&line, &first) {
                verdict.is_expired = true;
            }
            claims.iter_mut().for_each(|claim| claim.look(&line));
            if let Some(claims) = checkpoints.get_mut(&line.seq) {
                claims.iter_mut().for_each(|claim| claim.look(&line));
            }
            if let Some((from, to)) = line.loss().filter(|(from, to)| from <= to) {
                let about = checkpoints.range_mut(from..=to);
                about.flat_map(|(_, claims)| claims).for_each(|claim| claim.look(&line));
            }
            found.drain(..).for_each(|found| verdict.discrepancies.add(found.to_string()));
            progress.take(line.seq);
        }
        progress.finish();
        verdict.derived = audit.map(|audit| audit.derived());
        Ok(())
    }

    fn public_key(&self, dir: Option<&Path>) -> Result<ssh_key::PublicKey, Failure> {
        let key = match (&self.key, dir) {
            (Some(path), _) => log_proof::public_key(path),
            (None, Some(dir)) => log_proof::public_key_of(dir),
            (None, None) => {
                return Err(Failure::Usage(anyhow!(
                    "whose signature? name the box's public key with --key FILE"
                )));
            }
        };
        key.map_err(|error| Failure::Usage(error.into()))
    }

    fn claims(&self, dir: Option<&Path>) -> Result<Vec<Claim>, Failure> {
        let mut claims = Vec::new();
        for text in &self.against {
            let path = Path::new(text);
            if path.is_file() {
                // Its key is beside the directory of checkpoints that it lies in, if the log that is checked has none.
                let beside = path.parent().and_then(Path::parent);
                let has_key = |dir: &&Path| dir.join(log_proof::PUBLIC_KEY_NAME).exists();
                let key = self.public_key(dir.filter(has_key).or(beside))?;
                let checkpoint = log_proof::read_checkpoint(path, &key);
                claims.push(Claim::of(text.clone(), &checkpoint.map_err(anyhow::Error::from)?));
            } else if let Ok(head) = text.parse() {
                claims.push(Claim::new(format!("hash {text}"), None, Token::Whole(head)));
            } else {
                let (fingerprint, seq) = spoken(text).map_err(|error| {
                    Failure::Usage(anyhow!("--against {text}: {error}; nor is it the file of a checkpoint"))
                })?;
                let what = format!("fingerprint {text}");
                claims.push(Claim::new(what, seq, Token::Short(fingerprint)));
            }
        }
        Ok(claims)
    }

    /// The checkpoints of the log directory, by the record that they are about.
    fn checkpoints(
        &self,
        dir: Option<&Path>,
        verdict: &mut Verdict,
    ) -> Result<BTreeMap<u64, Vec<Claim>>, Failure> {
        let mut checkpoints: BTreeMap<u64, Vec<Claim>> = BTreeMap::new();
        let Some(dir) = dir else { return Ok(checkpoints) };
        let paths = log_proof::checkpoints(dir).map_err(|error| Failure::Usage(error.into()))?;
        if paths.is_empty() {
            return Ok(checkpoints);
        }
        let key = match (&self.key, log_proof::public_key_of(dir)) {
            (Some(_), _) => self.public_key(Some(dir))?,
            (None, Ok(key)) => key,
            // The chain is checked all the same.
            (None, Err(error)) => {
                verdict.bad_checkpoints.push(format!(
                    "{} cannot be checked: {} (if you have the box's public key: --key FILE)",
                    counted(paths.len() as u64, "checkpoint"),
                    kernel_words(&error)
                ));
                return Ok(checkpoints);
            }
        };
        verdict.key = Some(key.fingerprint(ssh_key::HashAlg::Sha256).to_string());
        for path in paths {
            match log_proof::read_checkpoint(&path, &key) {
                Ok(checkpoint) => {
                    let claim = Claim::of(path.display().to_string(), &checkpoint);
                    checkpoints.entry(checkpoint.seq).or_default().push(claim);
                }
                Err(error) => verdict.bad_checkpoints.push(kernel_words(&error)),
            }
        }
        Ok(checkpoints)
    }
}

/// Whether an `expired` record says what the first line that is left follows from, and it does.
fn follows_expired(line: &Line<'_>, first: &[u8]) -> bool {
    let (Ok(record), Ok(first)) = (line.record(), Line::parse(first)) else { return false };
    let Fact::Expired { last_seq, last_hash, .. } = record.fact else { return false };
    // The first line that is left may be one that names what is lost.
    last_seq.checked_add(1).is_some_and(|due| first.is_next(due))
        && last_hash.parse().is_ok_and(|head| first.follows(&head))
}

/// Says how far it is, on a terminal.
struct Progress {
    due: Option<KernelTime>,
    told: bool,
}

impl Progress {
    fn new() -> Self {
        Self { due: stderr::may_overwrite().then(|| sys::now() + PROGRESS_US), told: false }
    }

    fn take(&mut self, seq: u64) {
        if !seq.is_multiple_of(PROGRESS_RECORDS) {
            return;
        }
        let Some(due) = &mut self.due else { return };
        let now = sys::now();
        if *due <= now {
            *due = now + PROGRESS_US;
            self.told = true;
            stderr::print(format!("\rchecked up to seq {seq}"));
        }
    }

    fn finish(&self) {
        if self.told {
            stderr::print("\r\x1b[K".to_owned());
            // The verdict begins on a line of its own.
            stderr::flush();
        }
    }
}
