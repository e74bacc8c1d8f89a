//! `buzzerd log replay`. In: a log. Out: its events over WebSocket, at the pace they had or another. Guarantee: nothing is served
//! before all of it was read once and found whole.

use std::net::SocketAddr;

use anyhow::anyhow;
use buzzer_server::config::Config;
use buzzer_server::counted::counted;
use buzzer_server::io::machine::signals;
use buzzer_server::io::replay::{Options, Replay as Served};
use buzzer_server::judge::replay::{Player, PoolKnown, Speed};
use buzzer_server::judge::span::{Spans, Where};
use buzzer_server::log::Line;
use buzzer_server::log::form::strict::Said;
use buzzer_server::record::pool_id::PoolId;
use buzzer_server::record::{Fact, Record};
use clap::Args;

use super::range::{Period, Seqs, Times};
use super::records::{Records, Source, Step};
use crate::cli::{Failure, number, stderr};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Once more, for a screen    buzzerd log replay --listen 127.0.0.1:7401
Only one race, slowly      buzzerd log replay --listen 127.0.0.1:7401 --seq 1200..1240 --speed 0.1
What was at half past      buzzerd log replay --listen 127.0.0.1:7401 --from 19:30 --to 19:45
As fast as it is read      buzzerd log replay --listen 127.0.0.1:7401 --speed max

It waits for a first client and ends with a close frame (code 1000) after the last event. Clients speak with it as with
buzzerd (protocol v1). `list pools` names the pools of the recording; `connect` gets the outcome that was recorded, and
waits up to 5 s for it. Nothing is opened and nothing is logged.

Exit codes: 0 played to the end or stopped, 1 the log is damaged or it failed, 2 wrong usage, or not a log.")]
pub(crate) struct Replay {
    #[command(flatten)]
    source: Source,
    /// Where to listen, for example 127.0.0.1:7401; port 0: any free one
    #[arg(long, value_name = "ADDRESS", value_parser = number::address)]
    listen: SocketAddr,
    /// How fast: 1 as it was, 2 twice as fast; max (or 0): as fast as clients read, and nobody is dropped for being slow
    #[arg(long, value_name = "X", default_value = "1")]
    speed: Speed,
    /// Only these records: 1200, 1200..1300, 1200.. or ..1300; what was before them is known, and not told
    #[arg(long, value_name = "A..B", conflicts_with_all = ["from", "to"])]
    seq: Option<Seqs>,
    #[command(flatten)]
    period: Period,
    /// Begin without waiting for a client
    #[arg(long)]
    now: bool,
}

/// What the first pass over the log finds.
#[derive(Debug, Default)]
struct Known {
    pools: Vec<PoolKnown>,
    seqs: Option<(u64, u64)>,
    /// How many are in the range.
    records: u64,
}

impl Replay {
    pub(crate) fn run(self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
        let mut records = self.source.open(config)?;
        let times = Times::new(&self.period)?;
        let (zone, mut extent) = (times.zone.clone(), String::new());
        let mut seqs = self.seq.unwrap_or(Seqs::ALL);
        if times.is_limited() {
            times.ask_back(&records, true)?;
            // Of an empty or a damaged log there is something else to be said.
            seqs = find(&mut records, times.into_spans())?.unwrap_or(Seqs::NONE);
            extent = records.extent(&zone);
            records = records.again()?;
        }
        let known = survey(&mut records, seqs)?;
        let Some((first, last)) = known.seqs else {
            return Err(super::records::empty());
        };
        if known.records == 0 {
            return Err(Failure::Usage(if seqs == Seqs::NONE {
                anyhow!("--from, --to: the log has nothing of that time; {extent}")
            } else {
                anyhow!("--seq: the log holds seq {first} to {last}")
            }));
        }
        let mut player = Player::new(known.pools);
        let last = seqs.last.min(last);
        let mut played = played(records.again()?, last);
        // What was before them.
        let mut next = None;
        for record in &mut played {
            let record = record?;
            if record.seq >= seqs.first {
                next = Some(Ok(record));
                break;
            }
            player.skip(&record);
        }
        let options = Options { speed: self.speed, at_once: self.now, last_seq: last };
        let records = next.into_iter().chain(played);
        signals::ignore_strays();
        stderr::limit_repeats();
        let replay = Served::start(self.listen, player, records, options).map_err(failed)?;
        if let Some(address) = replay.address() {
            log::info!(
                "replay: {}, seq {} to {}",
                counted(known.records, "record"),
                seqs.first.max(first),
                options.last_seq
            );
            log::info!(
                "listening: ws://{address}/{}",
                if self.now { "" } else { " (begins with the first client)" }
            );
        }
        replay.run().map_err(failed)
    }
}

fn failed(error: buzzer_server::io::replay::ReplayError<Failure>) -> Failure {
    use buzzer_server::io::replay::ReplayError;
    match error {
        ReplayError::Read(failure) => failure,
        ReplayError::Listen(error) => Failure::Failed(error.into()),
        ReplayError::Kernel(error) => Failure::Failed(error.into()),
    }
}

/// The records of a span of time; of several the last. Where the log is damaged is looked at later.
fn find(records: &mut Records, mut spans: Spans) -> Result<Option<Seqs>, Failure> {
    let mut found = None;
    while let Some(step) = records.next()? {
        let Step::Line(Line { seq, .. }, Ok(Said::Record(_)), Some(wall_us)) = step else { continue };
        match spans.see(wall_us) {
            Where::Begins => found = Some(Seqs { first: seq, last: seq }),
            Where::In => found = found.map(|seqs: Seqs| Seqs { last: seq, ..seqs }),
            Where::Behind | Where::Out => {}
        }
    }
    Ok(found)
}

/// The first pass: is it whole, and which pools are there?
fn survey(records: &mut Records, range: Seqs) -> Result<Known, Failure> {
    let mut known = Known::default();
    while let Some(step) = records.next()? {
        let (seq, said) = match step {
            Step::Line(line, Ok(said), _) => (line.seq, said),
            bad => {
                let last = known.seqs.map_or(0, |(_, last)| last);
                if last >= range.last {
                    // It stands behind the range.
                    continue;
                }
                return Err(Failure::Failed(anyhow!(
                    "{}; only a whole log is replayed, up to there with --seq ..{last}",
                    bad.problem().unwrap_or_default()
                )));
            }
        };
        if let Said::Record(record) = said
            && seq <= range.last
        {
            known.see(&record);
        }
        known.seqs = Some((known.seqs.map_or(seq, |(first, _)| first), seq));
        known.records += u64::from(range.contains(seq));
    }
    Ok(known)
}

impl Known {
    fn see(&mut self, record: &Record) {
        let (pool, decides): (Option<PoolId>, bool) = match &record.fact {
            Fact::Attach { pool, .. } => (Some(pool.clone()), false),
            Fact::Connect { pool, .. } => (Some(pool.clone()), true),
            // A client may have asked for what is no pool.
            Fact::Refuse { pool, .. } => {
                (pool.parse().ok().filter(|pool| self.pools.iter().any(|known| known.id == *pool)), true)
            }
            _ => return,
        };
        let Some(pool) = pool else { return };
        let at = self.pools.iter().position(|known| known.id == pool).unwrap_or_else(|| {
            self.pools.push(PoolKnown { id: pool, decided_seq: 0 });
            self.pools.len() - 1
        });
        if decides {
            self.pools[at].decided_seq = record.seq;
        }
    }
}

/// The second pass: the records up to the end of the range. Nothing behind it is looked at: it may be damaged.
fn played(mut records: Records, last: u64) -> impl Iterator<Item = Result<Record, Failure>> {
    let mut is_over = false;
    std::iter::from_fn(move || {
        while !is_over {
            match records.next().transpose()? {
                Ok(Step::Line(line, Ok(said), _)) => {
                    is_over = line.seq >= last;
                    // A record of an unknown kind has no news for anybody.
                    if let Said::Record(record) = said {
                        return Some(Ok(record));
                    }
                }
                Ok(bad) => return Some(Err(Failure::Failed(anyhow!(bad.problem().unwrap_or_default())))),
                Err(failure) => return Some(Err(failure)),
            }
        }
        None
    })
}
