//! `buzzerd log show`. In: a log and what one wants to see of it. Out: a line per record, in words with the time of day,
//! or as JSON. Guarantee: what is damaged is told on stderr where it stands, and what can be read behind it is shown.

use std::collections::VecDeque;
use std::io::Write;

use anyhow::anyhow;
use buzzer_core::quote::{Json, Plain, Quoted};
use buzzer_server::config::Config;
use buzzer_server::judge::sentence;
use buzzer_server::judge::wall::WallClock;
use buzzer_server::log::Line;
use buzzer_server::log::form::strict::kinds;
use buzzer_server::record::Record;
use clap::Args;
use serde_json::{Value, json};

use super::range::{Extent, Seqs, Times};
use super::records::{Records, Source, Step};
use super::time::{self, Moment, Zone};
use crate::cli::stdout::{buffered, unless_unread};
use crate::cli::{Failure, number, stderr};

/// Records that are kept back to show the last ones.
const LAST_MAX: usize = 10_000;
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
    /// From this time on: 19:30, 19:30:05.25, "2026-11-24 19:30" or 2026-11-24T18:30:00Z; without a date: on every day
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    from: Option<Moment>,
    /// Until this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    to: Option<Moment>,
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
    /// Times in UTC instead of this computer's zone
    #[arg(long)]
    utc: bool,
    /// One JSON object a line: the record, and its time of day as "wall"
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) fn run(mut self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
        let mut records = self.source.open(config)?;
        let (zone, mut wall) = (Zone::new(self.utc), WallClock::default());
        let times = Times::new(zone.clone(), self.from.take(), self.to.take())?;
        times.iter().try_for_each(|times| times.ask_back(&records, false))?;
        let mut out = buffered();
        let mut kept: VecDeque<String> = VecDeque::new();
        let mut keeps = self.last.map(usize::from);
        let mut is_damaged = false;
        let mut seen = Seen::default();
        loop {
            while let Some(step) = records.next()? {
                let (line, record, wall_us) = match step {
                    Step::Record(record, line) => {
                        wall.take(&record);
                        let wall_us = wall.wall_us(record.at_us);
                        (line, Some(record), wall_us)
                    }
                    Step::Unknown(line, _) => {
                        let wall_us = line.at_us().and_then(|at_us| wall.wall_us(at_us));
                        (line, None, wall_us)
                    }
                    Step::Unread(_) => continue,
                    bad @ (Step::Unreadable(..) | Step::Fault(..)) => {
                        is_damaged = true;
                        out.flush().or_else(unless_unread)?;
                        stderr::say(format_args!("{}", bad.problem().unwrap_or_default()));
                        continue;
                    }
                };
                seen.take(line.kind().unwrap_or_default(), wall_us);
                if !self.wants(&line, wall_us, times.as_ref()) {
                    continue;
                }
                let text = self.text(&line, record.as_ref(), wall_us, &zone);
                seen.shown += 1;
                match keeps {
                    None => writeln!(out, "{text}").or_else(unless_unread)?,
                    Some(last) => {
                        if kept.len() == last.min(LAST_MAX) {
                            kept.pop_front();
                        }
                        kept.push_back(text);
                    }
                }
            }
            keeps = None;
            self.check_kinds(&seen)?;
            for text in kept.drain(..) {
                writeln!(out, "{text}").or_else(unless_unread)?;
            }
            out.flush().or_else(unless_unread)?;
            if let Some(remark) = records.reader.take_remark() {
                stderr::say(format_args!("{remark}"));
            }
            if !self.follow {
                break;
            }
            records.reader.wait().map_err(super::records::unreadable)?;
        }
        self.check_range(&records)?;
        if seen.shown == 0 {
            stderr::say(format_args!("nothing fits; {}", seen.extent.text(records.seqs(), &zone)));
        }
        if is_damaged { Err(Failure::Told) } else { Ok(()) }
    }

    /// A kind that neither this buzzerd nor the log knows is a mistake.
    fn check_kinds(&self, seen: &Seen) -> Result<(), Failure> {
        let is_known = |kind: &&String| kinds().contains(kind) || seen.unknown.contains(*kind);
        match self.kind.iter().find(|kind| !is_known(kind)) {
            Some(kind) => Err(Failure::Usage(anyhow!(
                "--kind {}: there is no such kind; there are {}",
                Quoted(kind),
                kinds().join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// Nothing was shown because nothing is there: that is no empty answer.
    fn check_range(&self, records: &Records) -> Result<(), Failure> {
        let (first, last) = records.seqs();
        if records.verifier.records() + records.verifier.faults() == 0 {
            return Err(super::records::empty());
        }
        match self.seq {
            Some(seqs) if seqs.first > last || seqs.last < first => {
                Err(Failure::Usage(anyhow!("the log has seq {first} to {last}")))
            }
            _ => Ok(()),
        }
    }

    fn wants(&self, line: &Line<'_>, wall_us: Option<u64>, times: Option<&Times>) -> bool {
        if self.seq.is_some_and(|seqs| !seqs.contains(line.seq)) {
            return false;
        }
        let is_in = |times: &Times| wall_us.is_some_and(|wall_us| times.place(wall_us).is_eq());
        if !times.is_none_or(is_in) {
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

    fn text(&self, line: &Line<'_>, record: Option<&Record>, wall_us: Option<u64>, zone: &Zone) -> String {
        if self.json {
            return with_wall(line, wall_us);
        }
        let time = wall_us.map_or_else(|| " ".repeat(26), |wall_us| zone.show(wall_us));
        let said = match record {
            Some(record) => sentence::of(&record.fact),
            None => {
                format!("(not known to this buzzerd) {}", Plain(&String::from_utf8_lossy(line.bytes())))
            }
        };
        format!("{time}  {:>6}  {said}", line.seq)
    }
}

/// What was met in a log.
#[derive(Debug, Default)]
struct Seen {
    shown: u64,
    extent: Extent,
    /// Kinds of a later buzzerd, the first of them.
    unknown: Vec<String>,
}

impl Seen {
    fn take(&mut self, kind: &str, wall_us: Option<u64>) {
        self.extent.take(wall_us);
        if self.unknown.len() < UNKNOWN_MAX
            && !kinds().iter().any(|known| known == kind)
            && !self.unknown.iter().any(|known| known == kind)
        {
            self.unknown.push(kind.to_owned());
        }
    }
}

/// The line with its time of day, the other keys as they are; only spelt so that a terminal is safe from them.
pub(super) fn with_wall(line: &Line<'_>, wall_us: Option<u64>) -> String {
    let text = String::from_utf8_lossy(line.bytes());
    let wall = json!(wall_us.and_then(time::utc));
    format!("{{\"wall\":{wall},{}", Json(text.strip_prefix('{').unwrap_or(&text)))
}
