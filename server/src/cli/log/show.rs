//! `buzzerd log show`. In: a log and what one wants to see of it. Out: a line per record, in words with the time of day,
//! or as JSON. Guarantee: what is damaged is told on stderr where it stands, and what can be read behind it is shown.

use std::collections::VecDeque;
use std::io::Write;

use anyhow::anyhow;
use buzzer_core::quote::{Json, Plain, Quoted};
use buzzer_server::config::Config;
use buzzer_server::judge::sentence;
use buzzer_server::log::Line;
use buzzer_server::log::form::strict::Said;
use buzzer_server::record::Fact;
use clap::Args;
use serde_json::{Value, json};

use super::range::{Period, Seqs, Times};
use super::records::{Lines, Source, Step};
use super::time::{self, Zone};
use crate::cli::stdout::{buffered, unless_unread};
use crate::cli::{Failure, number, stderr};

/// Kinds of a later buzzerd that may be asked for.
const UNKNOWN_MAX: usize = 64;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  buzzerd log show --from 19:30 --to 19:45           everything in a quarter of an hour
  buzzerd log show --pool stage --kind press -n 20   the last 20 presses of a pool
  buzzerd log show -f                                what happens now")]
pub(crate) struct Show {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    period: Period,
    /// Records of this pool
    #[arg(long)]
    pool: Option<String>,
    /// Records of this buzzer
    #[arg(long, value_parser = number::whole::<u16>(0..=65535))]
    buzzer: Option<u16>,
    /// Records of this kind: press, draw, attach, connect, gap and so on; may be repeated
    #[arg(long)]
    kind: Vec<String>,
    /// Records with these numbers: 1200, 1200..1300, 1200.. or ..1300
    #[arg(long, value_name = "A..B")]
    seq: Option<Seqs>,
    /// Only the last so many of them
    #[arg(short = 'n', long, value_name = "RECORDS", value_parser = number::whole::<u16>(1..=10_000))]
    last: Option<u16>,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// One JSON object a line: the record, and its time of day as "wall"
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) fn run(self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
        let mut records = self.source.open(config)?;
        let times = Times::new(&self.period)?;
        times.ask_back(&records, false)?;
        let mut out = buffered();
        let mut kept: VecDeque<String> = VecDeque::new();
        let mut keeps = self.last.map(usize::from);
        let (mut shown, mut is_damaged) = (0u64, false);
        // Kinds of a later buzzerd, the first of them.
        let mut unknown: Vec<String> = Vec::new();
        loop {
            while let Some(step) = records.next()? {
                let (line, said, wall_us) = match step {
                    Step::Line(line, Ok(said), wall_us) => (line, said, wall_us),
                    bad => {
                        is_damaged = true;
                        out.flush().or_else(unless_unread)?;
                        stderr::say(format_args!("{}", bad.problem().unwrap_or_default()));
                        continue;
                    }
                };
                if let Said::Unknown(kind) = &said
                    && unknown.len() < UNKNOWN_MAX
                    && !unknown.contains(kind)
                {
                    unknown.push(kind.clone());
                }
                if !self.wants(&line, wall_us, &times) {
                    continue;
                }
                let text = self.text(&line, &said, wall_us, &times.zone);
                shown += 1;
                match keeps {
                    None => writeln!(out, "{text}").or_else(unless_unread)?,
                    Some(last) => {
                        if kept.len() == last {
                            kept.pop_front();
                        }
                        kept.push_back(text);
                    }
                }
            }
            keeps = None;
            self.check_kinds(&unknown)?;
            for text in kept.drain(..) {
                writeln!(out, "{text}").or_else(unless_unread)?;
            }
            out.flush().or_else(unless_unread)?;
            if let Some(remark) = records.lines.reader.take_remark() {
                stderr::say(format_args!("{remark}"));
            }
            if !self.follow {
                break;
            }
            records.lines.reader.wait().map_err(super::records::unreadable)?;
        }
        // Nothing was shown because nothing is there: that is no empty answer.
        let Lines { verifier, .. } = &records.lines;
        if verifier.records() + verifier.faults() == 0 {
            return Err(super::records::empty());
        }
        self.seq.iter().try_for_each(|seqs| seqs.must_be_in(&records))?;
        if shown == 0 {
            stderr::say(format_args!("nothing fits; {}", records.extent(&times.zone)));
        }
        if is_damaged { Err(Failure::Told) } else { Ok(()) }
    }

    /// A kind that neither this buzzerd nor the log knows is a mistake.
    fn check_kinds(&self, unknown: &[String]) -> Result<(), Failure> {
        let is_known = |kind: &&String| Fact::KINDS.contains(&kind.as_str()) || unknown.contains(kind);
        match self.kind.iter().find(|kind| !is_known(kind)) {
            Some(kind) => Err(Failure::Usage(anyhow!(
                "--kind {}: there is no such kind; there are {}",
                Quoted(kind),
                Fact::KINDS.join(", ")
            ))),
            None => Ok(()),
        }
    }

    fn wants(&self, line: &Line<'_>, wall_us: Option<u64>, times: &Times) -> bool {
        if !self.seq.is_none_or(|seqs| seqs.contains(line.seq)) || !times.has(wall_us) {
            return false;
        }
        if self.kind.is_empty() && self.pool.is_none() && self.buzzer.is_none() {
            return true;
        }
        // By its keys, so that kinds of a later buzzerd are found as well.
        let Ok(record) = serde_json::from_slice::<Value>(line.bytes()) else { return false };
        let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
        (self.kind.is_empty() || self.kind.iter().any(|kind| kind == text("kind")))
            && self.pool.as_deref().is_none_or(|pool| pool == text("pool"))
            && self.buzzer.is_none_or(|buzzer| record.get("buzzer") == Some(&json!(buzzer)))
    }

    fn text(&self, line: &Line<'_>, said: &Said, wall_us: Option<u64>, zone: &Zone) -> String {
        if self.json {
            return with_wall(line, wall_us);
        }
        let time = wall_us.map_or_else(|| " ".repeat(26), |wall_us| zone.show(wall_us));
        let said = match said {
            Said::Record(record) => sentence::of(&record.fact),
            Said::Unknown(_) => {
                format!("(not known to this buzzerd) {}", Plain(&String::from_utf8_lossy(line.bytes())))
            }
        };
        format!("{time}  {:>6}  {said}", line.seq)
    }
}

/// The line with its time of day, the other keys as they are; only spelt so that a terminal is safe from them.
pub(super) fn with_wall(line: &Line<'_>, wall_us: Option<u64>) -> String {
    let text = String::from_utf8_lossy(line.bytes());
    let wall = json!(wall_us.and_then(time::utc));
    format!("{{\"wall\":{wall},{}", Json(text.strip_prefix('{').unwrap_or(&text)))
}
