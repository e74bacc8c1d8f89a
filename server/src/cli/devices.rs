//! `buzzerd devices`. In: sysfs and the configuration. Out: a table for people, or one JSON object a line. Guarantee:
//! opens no device, so it may run beside a game. `--identify` is in [`identify`].

use std::path::Path;

use anyhow::Context;
use buzzer_core::assign::Verdict;
use buzzer_core::claim::SlotId;
use buzzer_core::io::survey::{Row, survey};
use buzzer_server::config::Config;
use buzzer_server::io::hardware::{self, INPUT_DIR, SYSFS_ROOT};
use buzzer_server::pool_id::PoolId;
use clap::Args;
use serde_json::json;

use super::{Failure, identify};

#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Blink the light of this buzzer instead; works beside a running daemon
    #[arg(long, num_args = 2, value_names = ["POOL", "BUZZER"], conflicts_with = "json")]
    identify: Option<Vec<String>>,
    /// How long the light blinks
    #[arg(long, value_name = "N", default_value_t = 5, requires = "identify",
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
}

impl Devices {
    pub(crate) fn run(self, config: &Config) -> Result<(), Failure> {
        if let Some([pool, buzzer]) = self.identify.as_deref() {
            let number = buzzer.parse().with_context(|| format!("BUZZER is a number, not {buzzer:?}"));
            let number = number.map_err(Failure::Usage)?;
            return Ok(identify::run(config, pool, number, self.seconds)?);
        }
        let rows = survey(hardware::claims(config), Path::new(SYSFS_ROOT), Path::new(INPUT_DIR));
        let rows = rows.context("the devices cannot be listed")?;
        let specs = hardware::pools(config);
        let pool_of = |slot: SlotId| -> Option<PoolId> {
            specs
                .iter()
                .find(|spec| spec.slots.iter().flatten().any(|own| *own == slot))
                .map(|spec| spec.id.clone())
        };
        if rows.is_empty() && !self.json {
            eprintln!("No input device with buttons is plugged in.");
        }
        for row in &rows {
            let pool = match &row.verdict {
                Verdict::Slot(slot) => {
                    pool_of(*slot).map(|pool| pool.to_string()).or_else(|| row.label.clone())
                }
                _ => None,
            };
            if self.json { print_json(row, pool.as_deref()) } else { print_text(row, pool.as_deref()) }
        }
        Ok(())
    }
}

fn print_text(row: &Row, pool: Option<&str>) {
    let identity = &row.identity;
    println!("{}  {}", identity.node, identity.name);
    println!(
        "    ids {:04x}:{:04x}   phys {}{}   profile {}",
        identity.vendor,
        identity.product,
        if identity.phys.is_empty() { "none" } else { &identity.phys },
        if identity.uniq.is_empty() { String::new() } else { format!("   uniq {}", identity.uniq) },
        row.profile.unwrap_or("none"),
    );
    match (pool, &row.verdict) {
        (Some(pool), _) => println!("    pool {pool:?}, buzzers {}", numbers(row)),
        (None, Verdict::Ambiguous(_)) => println!("    ambiguous: add phys"),
        (None, _) => println!("    no pool: the configuration does not name it, and it is no known buzzer"),
    }
    if let Some(trouble) = &row.trouble {
        println!("    ! {trouble}");
    }
    println!();
}

/// `1 to 4`, or the numbers one by one.
fn numbers(row: &Row) -> String {
    let numbers: Vec<u16> = row.buzzers.iter().map(|buzzer| buzzer.0).collect();
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) if usize::from(last - first) + 1 == numbers.len() && first != last => {
            format!("{first} to {last}")
        }
        _ => numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn print_json(row: &Row, pool: Option<&str>) {
    let identity = &row.identity;
    let line = json!({
        "node": format!("{INPUT_DIR}/{}", identity.node),
        "name": identity.name,
        "vendor": format!("{:04x}", identity.vendor),
        "product": format!("{:04x}", identity.product),
        "phys": identity.phys,
        "uniq": identity.uniq,
        "profile": row.profile,
        "pool": pool,
        "buzzers": row.buzzers.iter().map(|buzzer| buzzer.0).collect::<Vec<_>>(),
        "ambiguous": matches!(row.verdict, Verdict::Ambiguous(_)),
        "trouble": row.trouble,
    });
    println!("{line}");
}
