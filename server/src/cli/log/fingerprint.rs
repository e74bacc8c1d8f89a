//! `buzzerd log fingerprint`. In: a log, perhaps a record. Out: 16 characters to read out, print or write on the score sheet.
//! Guarantee: given only for a log whose chain holds up to there.

use std::io::Write;

use anyhow::anyhow;
use buzzer_server::config::Config;
use buzzer_server::io::machine::host;
use buzzer_server::io::store::log_proof;
use buzzer_server::log::form::checkpoint::Checkpoint;
use buzzer_server::log::{ChainHash, Fingerprint};
use buzzer_server::record::Fact;
use clap::Args;
use serde_json::json;

use super::records::Source;
use crate::cli::stdout::{buffered, unless_unread};
use crate::cli::{Failure, number, stderr};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Read it out or write it on the score sheet after a round: whoever changes one byte of the log up to there, or cuts off its \
end, is found out by

  buzzerd log verify --against 7K3Q-9MZT-2WXA-H04E@1234")]
pub(crate) struct Print {
    #[command(flatten)]
    source: Source,
    /// After this record [default: the last]
    #[arg(long, value_parser = number::whole::<u64>(1..=u64::MAX))]
    seq: Option<u64>,
    /// Also write a checkpoint: a text that says so, signed with the key of the log directory. Only of what is in the
    /// segments: what is in the journal alone could still go with the power
    #[arg(long)]
    sign: bool,
    /// One JSON object, with the whole hash
    #[arg(long)]
    json: bool,
}

impl Print {
    pub(crate) fn run(self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
        let mut records = self.source.open(config)?;
        if self.sign && records.dir.is_none() {
            return Err(Failure::Usage(anyhow!("--sign needs the log directory: its key is there")));
        }
        let first = records.lines.reader.first_seq();
        let (mut log, mut last): (String, Option<(u64, ChainHash)>) = Default::default();
        let mut beyond = None;
        while last.is_none_or(|(last, _)| self.seq != Some(last)) {
            let Some(checked) = records.lines.next()? else { break };
            let line = checked.map_err(|misplaced| {
                anyhow!("{misplaced}; no fingerprint is given of a damaged log (--seq takes one of the part before)")
            })?;
            let (seq, hash) = (line.seq, line.hash);
            let start = (self.sign && line.kind() == Some("start")).then(|| line.record().ok()).flatten();
            if self.sign && records.lines.reader.is_in_journal() {
                beyond = Some(seq);
                break;
            }
            last = Some((seq, hash));
            if let Some(Fact::Start { log: id, .. }) = start.map(|record| record.fact) {
                log = id;
            }
        }
        // A number from there on is in the journal alone or nowhere: neither can be signed.
        if let Some(seq) = beyond.filter(|_| self.seq.is_some() || last.is_none()) {
            return Err(Failure::Failed(anyhow!(
                "from seq {seq} on nothing is on the disk yet, so it cannot be signed: ask again in a moment"
            )));
        }
        let (seq, head) = last.ok_or_else(super::records::empty)?;
        if self.seq.is_some_and(|wanted| wanted != seq) {
            return Err(Failure::Usage(anyhow!("the log has seq {first} to {seq}")));
        }
        let fingerprint = Fingerprint::of(&head);
        let signed = match &records.dir {
            Some(dir) if self.sign => {
                log_proof::keep_segments(dir).map_err(anyhow::Error::from)?;
                let checkpoint = Checkpoint { log: log.clone(), seq, head, wall_us: host::wall_us() };
                let written = log_proof::write_checkpoint(dir, &checkpoint);
                Some(written.map_err(anyhow::Error::from)?.display().to_string())
            }
            _ => None,
        };
        let mut out = buffered();
        let printed = if self.json {
            let (short, head) = (fingerprint.to_string(), head.to_string());
            let object = json!({"seq": seq, "fingerprint": short, "head": head, "checkpoint": signed});
            writeln!(out, "{object}")
        } else {
            writeln!(out, "{fingerprint}@{seq}")
        };
        printed.or_else(unless_unread)?;
        if let Some(path) = signed.filter(|_| !self.json) {
            stderr::say(format_args!("signed: {path}"));
        }
        out.flush().or_else(unless_unread)
    }
}
