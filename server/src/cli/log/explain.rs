//! `buzzerd log explain`. In: a log and a window of it. Out: who was first, by how much, how sure that is, and what else happened,
//! as a page or as one JSON object. Guarantee: exit code 0 only with a verdict on a log without damage.

use anyhow::{Context, anyhow};
use buzzer_core::io::sys;
use buzzer_server::config::Config;
use buzzer_server::io::machine::host;
use buzzer_server::judge::explain::window::Found;
use buzzer_server::judge::explain::{Asked, Chain, Damage, GAP_US, Scan, Story, page};
use buzzer_server::log::form::strict::Said;
use buzzer_server::log::{ChainHash, Fingerprint};
use clap::Args;

use super::range::{Period, Seqs, Times};
use super::records::{Misplaced, Records, Source, Step};
use crate::cli::stdout::print_json;
use crate::cli::{Failure, number, print, stderr};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Without further options it explains the last race: from the first press after a quiet gap to the last before the next.

The last race          buzzerd log explain
The one with seq 1234  buzzerd log explain --around 1234
These records          buzzerd log explain --seq 1200..1300

Nobody is named first if evidence is missing: damage, lost events, a device that went with unread presses, a restart
or two boots in the window. What is known is shown all the same.

Exit codes: 0 a verdict, 1 no verdict or the log is damaged, 2 wrong usage, or not a log, of a newer version, empty or
unreadable.")]
pub(crate) struct Explain {
    #[command(flatten)]
    source: Source,
    /// The race that this record belongs to; its number, as in the log and in `log show`
    #[arg(long, value_name = "SEQ", value_parser = number::whole::<u64>(1..=u64::MAX), conflicts_with_all = ["from", "to"])]
    around: Option<u64>,
    /// Exactly these records: 1200..1300, 1200.. or ..1300
    #[arg(long, value_name = "A..B", conflicts_with_all = ["around", "from", "to"])]
    seq: Option<Seqs>,
    #[command(flatten)]
    period: Period,
    /// A race begins with the first press after so many seconds without one. Nobody hits on for longer once it shows
    /// who was first, and the next question takes longer to read
    #[arg(long, value_name = "SECONDS", value_parser = seconds_us, default_value = "3")]
    gap: u64,
    /// One JSON object instead of a page
    #[arg(long)]
    json: bool,
}

/// Seconds, as µs: 1 ms to an hour.
fn seconds_us(text: &str) -> Result<u64, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.001..=3600.0).contains(seconds));
    seconds.map(|seconds| (seconds * 1e6) as u64).ok_or_else(|| "expected 0.001 to 3600 seconds".to_owned())
}

impl Explain {
    pub(crate) fn run(self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
        debug_assert_eq!(GAP_US, 3_000_000, "the default of --gap");
        let times = Times::new(&self.period)?;
        let zone = times.zone.clone();
        let mut records = self.source.open(config)?;
        times.ask_back(&records, true)?;
        let is_part = times.is_limited() || self.seq.is_some();
        let asked = match (self.around, self.seq) {
            (Some(seq), _) => Asked::Around(seq),
            (None, Some(seqs)) => Asked::Seqs(seqs.first, seqs.last),
            (None, None) if is_part => Asked::Span(times.into_spans()),
            (None, None) => Asked::LastRace,
        };
        let (found, chain) = scan(&mut records, Scan::new(asked, self.gap))?;
        let Some((first, last)) = found.seqs else {
            return Err(nothing(&found));
        };
        if let Some(seq) = self.around
            && !(first..=last).contains(&seq)
        {
            return Err(Failure::Usage(anyhow!(
                "seq {seq} is not in this log, which holds seq {first} to {last}"
            )));
        }
        self.seq.iter().try_for_each(|seqs| seqs.must_be_in(&records))?;
        if is_part && found.window.is_none() {
            stderr::say(format_args!("nothing fits; {}", records.extent(&zone)));
        }
        let here =
            found.origin.as_ref().is_some_and(|origin| host::boot_id().is_ok_and(|boot| boot == origin.boot));
        let is_damaged = found.damages_count > 0;
        let story = Story::tell(found, chain, here.then(|| sys::now().as_us()));
        if self.json {
            print_json(&format!("{}\n", serde_json::to_string(&story).context("the story as JSON")?))?;
        } else {
            print(&page::text(&story, zone.get()))?;
        }
        if story.verdict.is_some() && !is_damaged { Ok(()) } else { Err(Failure::Told) }
    }
}

/// One pass over the whole log.
fn scan(records: &mut Records, mut scan: Scan) -> Result<(Found, Chain), Failure> {
    let (mut chain, mut head) = (Chain::default(), ChainHash::START);
    while let Some(step) = records.next()? {
        match step {
            Step::Line(line, said, _) => {
                chain.see(line.seq);
                head = line.hash;
                match said {
                    Ok(Said::Record(record)) => scan.feed(record),
                    Ok(Said::Unknown(kind)) => scan.unknown(line.seq, kind),
                    Err(why) => {
                        let place = format!("seq {}", line.seq);
                        scan.damage(Damage { place, why: why.to_string(), after_seq: line.seq - 1 });
                    }
                }
            }
            Step::Misplaced(Misplaced { raw, fault }) => {
                let why = fault.wrong.to_string();
                scan.damage(Damage { place: raw.to_string(), why, after_seq: chain.seq });
            }
        }
    }
    let reader = &mut records.lines.reader;
    chain.hash = head.to_string();
    chain.fingerprint = Fingerprint::of(&head).to_string();
    chain.incomplete_bytes = reader.partial().map_or(0, |partial| partial.bytes.len() as u64);
    chain.is_written = reader.is_written();
    if let Some(remark) = reader.take_remark() {
        log::warn!("{remark}");
    }
    Ok((scan.finish(), chain))
}

/// There is not one record.
fn nothing(found: &Found) -> Failure {
    let damage = found.damages.first();
    damage.map_or_else(super::records::empty, |damage| {
        Failure::Usage(anyhow!("{}: {}; nothing here can be read as a log", damage.place, damage.why))
    })
}
