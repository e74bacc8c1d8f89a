//! `buzzerd devices`. In: sysfs and the configuration. Out: a table for people, or one JSON object a line. Guarantee:
//! opens no device, so it may run beside a game; only `--measure` and `--measure-pair` do ([`super::measure`],
//! [`super::pair`]). `--identify` is in [`identify`].

use std::fmt::{self, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use buzzer_core::device::assign::Assignment;
use buzzer_core::device::assign::remarks::Remark;
use buzzer_core::device::delay::fairness::Fairness;
use buzzer_core::device::identity::Identity;
use buzzer_core::io::devices::survey::{Survey, survey};
use buzzer_core::quote::{Plain, Toml};
use buzzer_core::time::Micros;
use buzzer_server::config::Config;
use buzzer_server::io::machine::hardware::{self, INPUT_DIR, SYSFS_ROOT};
use buzzer_server::judge::explain::words::list;
use clap::Args;
use serde_json::json;

use super::device::{Device, Row};
use super::lines::Lines;
use super::stdout::print_as;
use super::{Failure, identify, measure, number, pair, stderr};

#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Take one device (event7, or the id of its pool; the only one, if left out), watch its reports, and say how often they
    /// come: the period at which it is polled, not how long before its time a press was made. Stop buzzerd before
    #[arg(long, value_name = "NODE or POOL", num_args = 0..=1)]
    measure: Option<Option<String>>,
    /// Measure two buttons that one switch closes, again and again: POOL A B, or POOL:A POOL:B of two pools. Stop buzzerd
    /// before
    ///
    /// Lay a stiff plank across both buttons and press it down in its middle about once a second, half of the times with the
    /// plank turned round; or close both with one switch of two poles. Two buttons of one device: by how much either is ahead
    /// that should not be, and a scan_us line. Two devices: by how much one is slower, whether the seats are fair, and from
    /// A's known delay the delay_us line of B. Ends by itself or with Ctrl-C; 100 pairs are the fewest for a line.
    #[arg(
        long,
        num_args = 2..=3,
        value_names = ["POOL", "A", "B"],
        conflicts_with_all = ["measure", "identify", "seconds"]
    )]
    measure_pair: Option<Vec<String>>,
    /// With --measure-pair: end after so many pairs [default: 300]
    #[arg(long, value_name = "N", requires = "measure_pair", value_parser = number::whole::<u16>(100..=1000))]
    times: Option<u16>,
    /// Blink the light of this buzzer instead; works beside a running daemon
    #[arg(long, num_args = 2, value_names = ["POOL", "BUZZER"], conflicts_with_all = ["json", "measure"])]
    identify: Option<Vec<String>>,
    /// Measure (10 if left out) or blink (5) for so many seconds
    #[arg(long, value_name = "N", value_parser = number::whole::<u16>(1..=600))]
    seconds: Option<u16>,
}

impl Devices {
    pub(crate) fn run(self, config: &Config) -> Result<(), Failure> {
        if self.seconds.is_some() && self.measure.is_none() && self.identify.is_none() {
            return Err(Failure::Usage(anyhow!("--seconds goes with --measure or --identify")));
        }
        need_sysfs(Path::new(SYSFS_ROOT))?;
        if let Some([pool, buzzer]) = self.identify.as_deref() {
            let buzzer_number = number::whole::<u16>(0..=65535)(buzzer);
            let number = buzzer_number
                .map_err(|why| Failure::Usage(anyhow!("--identify: BUZZER is {buzzer:?}: {why}")))?;
            return identify::run(config, pool, number, self.seconds.unwrap_or(5).into());
        }
        let seen = survey(hardware::claims(config), Path::new(SYSFS_ROOT), Path::new(INPUT_DIR));
        let Survey { rows, shared } =
            seen.context("the devices cannot be listed: check that sysfs is mounted and readable")?;
        let specs = hardware::pools(config);
        let devices: Vec<_> =
            rows.into_iter().map(|row| Device { pool: hardware::pool_of(&specs, &row), row }).collect();
        if let Some(target) = self.measure {
            return measure::run(config, &devices, target.as_deref(), self.seconds.unwrap_or(10), self.json);
        }
        if let Some(names) = self.measure_pair {
            let times = self.times.map_or(pair::TIMES, usize::from);
            return pair::run(config, &devices, &names, times, self.json);
        }
        if devices.is_empty() && !self.json {
            stderr::say(format_args!(
                "no input device with buttons is plugged in. Plug one in and ask again; a virtual machine or a container \
                 has to be given it (the USB device; {INPUT_DIR} and {SYSFS_ROOT})"
            ));
        }
        let mut text = String::new();
        let mut lines = Lines::new(config, &devices);
        for Device { row, pool } in &devices {
            let pool = pool.as_deref();
            // Writing to memory cannot fail.
            let _ = if self.json {
                write_json(&mut text, row, pool)
            } else {
                write_text(&mut text, row, pool, &mut lines)
            };
        }
        if !self.json {
            text.extend(shared.iter().map(|remark| said(remark, &mut lines) + "\n"));
            text.extend(unlike(&devices).map(|warning| warning + "\n"));
        }
        print_as(self.json, &text)
    }
}

/// Without sysfs the list would be empty, which is another thing than no device.
fn need_sysfs(root: &Path) -> anyhow::Result<()> {
    let root_shown = root.display();
    anyhow::ensure!(
        root.join("class").is_dir(),
        "the devices cannot be listed, because {root_shown}/class is not there: mount sysfs (mount -t sysfs sysfs \
         {root_shown}), or have the container see that of the machine"
    );
    Ok(())
}

/// Who plays on the slower device is first less often than told, so those that differ are named.
fn unlike(devices: &[Device]) -> Option<String> {
    let playing: Vec<_> =
        devices.iter().filter(|device| device.pool.is_some()).map(|device| &device.row).collect();
    let named: Vec<_> = playing.iter().map(|row| (row.identity.name.as_str(), &row.delay)).collect();
    let node = |place: usize| &playing[place].identity.node;
    match Fairness::of(&named) {
        Fairness::Equal => None,
        Fairness::Unequal { quick, slow } => {
            let one = |(place, us): (usize, Micros)| format!("{} {} us", node(place), us.as_us());
            Some(format!(
                "! The devices are unequal (half of the presses take less than: {}, {}): who has the slower one is told to be \
                 late, though the press was not. Give all players of one match the same model",
                one(quick),
                one(slow)
            ))
        }
        Fairness::Unknown { unmeasured, other } => Some(format!(
            "Whether the devices are equal is not known: nobody has measured {}, and {} is another kind. Measure one \
             against the other (--measure-pair), or give all players of one match the same model",
            node(unmeasured),
            node(other)
        )),
    }
}

fn write_text(out: &mut String, row: &Row, pool: Option<&str>, lines: &mut Lines<'_>) -> fmt::Result {
    let Identity { node, name, vendor, product, phys, uniq, .. } = &row.identity;
    let text = |text: &str| if text.is_empty() { "none".to_owned() } else { Toml(text).to_string() };
    writeln!(out, "{node}  {}", Toml(name))?;
    let uniq = if uniq.is_empty() { String::new() } else { format!("   uniq {}", Toml(uniq)) };
    let (phys, profile) = (text(phys), row.profile.unwrap_or("none"));
    writeln!(out, "    ids {vendor:04x}:{product:04x}   phys {phys}{uniq}   profile {profile}")?;
    let is_warning = row.remark.as_ref().is_some_and(|remark| remark.is_warning);
    match pool {
        Some(pool) => {
            let numbers: Vec<u16> = row.buzzers.iter().map(|buzzer| buzzer.0).collect();
            writeln!(out, "    pool {}, buzzers {}", Toml(pool), list(&numbers))?;
        }
        None if is_warning => writeln!(out, "    ! not used: {}", why_unused(row))?,
        None => writeln!(out, "    not used: {}", why_unused(row))?,
    }
    if !row.left_out.is_empty() {
        writeln!(out, "    no buzzers, unless `buzzers` names them: {}", left_out(row))?;
    }
    writeln!(out, "    {}", row.delay)?;
    match (&row.remark, &row.trouble) {
        (Some(remark), _) => out.push_str(&lines.of(remark, "    ")),
        (None, Some(trouble)) => writeln!(out, "    ! {}", Plain(trouble))?,
        (None, None) => {}
    }
    if matches!(row.verdict, Assignment::Unclaimed) {
        out.push_str(&lines.using(row));
    }
    writeln!(out)
}

fn why_unused(row: &Row) -> String {
    match (&row.remark, row.profile) {
        (Some(remark), _) => remark.text.clone(),
        (None, Some(_)) => "no [[pool]] matches it".to_owned(),
        (None, None) => "no [[pool]] matches it, and it is no known buzzer".to_owned(),
    }
}

/// The first of them, and how many more.
fn left_out(row: &Row) -> String {
    const SHOWN: usize = 8;
    let names: Vec<_> = row.left_out.iter().take(SHOWN).map(ToString::to_string).collect();
    match row.left_out.len() - names.len() {
        0 => names.join(" "),
        more => format!("{} and {more} more", names.join(" ")),
    }
}

/// What is to be said of several devices.
fn said(remark: &Remark, lines: &mut Lines<'_>) -> String {
    let mark = if remark.is_warning { "! " } else { "" };
    format!("{mark}{}\n{}", remark.text, lines.of(remark, ""))
}

fn write_json(out: &mut String, row: &Row, pool: Option<&str>) -> fmt::Result {
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
        "not_used": pool.is_none().then(|| why_unused(row)),
        "buzzers": row.buzzers.iter().map(|buzzer| buzzer.0).collect::<Vec<_>>(),
        "left_out": row.left_out.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "delay_us": [row.delay.us.min_us.as_us(), row.delay.us.max_us.as_us()],
        "median_us": row.delay.median_us().map(Micros::as_us),
        "delay_basis": row.delay.basis.name(),
        "width_us": row.delay.width_us.as_us(),
        "scan_us": row.delay.scan_us.map(Micros::as_us),
        "poll_us": row.delay.poll_us.map(Micros::as_us),
        "wireless": row.delay.wireless,
        "ambiguous": matches!(row.verdict, Assignment::Ambiguous(_)),
        "trouble": row.trouble,
        "advice": row.remark.iter().flat_map(|remark| &remark.advice).map(|advice| &advice.line).collect::<Vec<_>>(),
    });
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::device::tests::device;
    use buzzer_core::device::delay::{Configured, Span};

    #[test]
    fn no_sysfs_is_said_with_its_cure() {
        let dir = tempfile::tempdir().unwrap();
        let error = need_sysfs(dir.path()).unwrap_err().to_string();
        assert!(error.contains("/class is not there: mount sysfs"), "{error}");
        std::fs::create_dir(dir.path().join("class")).unwrap();
        need_sysfs(dir.path()).unwrap();
    }

    #[test]
    fn unequal_devices_of_pools_are_pointed_out() {
        let takes = |node, pool, us| {
            let mut device = device(node, pool, 8, "pad");
            let us = Some(Span::new(Micros::from_us(us), Micros::from_us(us + 2_000)));
            device.row.delay = device.row.delay.configured(Configured { delay_us: us, scan_us: None });
            device
        };
        let quick = || takes("event1", Some("a"), 0);
        let slow = || takes("event2", Some("b"), 5_001);
        let unmeasured = |node, name| device(node, Some("c"), 8, name);
        for (devices, want) in [
            (vec![], None),
            (vec![quick()], None),
            (vec![quick(), takes("event2", Some("a"), 5_000), takes("event9", None, 90_000)], None),
            (
                vec![slow(), quick()],
                Some("unequal (half of the presses take less than: event1 1000 us, event2 6001 us)"),
            ),
            (vec![unmeasured("event3", "pad"), unmeasured("event4", "pad")], None),
            (
                vec![quick(), unmeasured("event3", "pad")],
                Some("nobody has measured event3, and event1 is another kind"),
            ),
            (
                vec![unmeasured("event3", "pad"), unmeasured("event4", "2.4G pad")],
                Some("nobody has measured event3, and event4 is another kind"),
            ),
        ] {
            let got = unlike(&devices);
            match want {
                Some(want) => assert!(got.as_deref().unwrap().contains(want), "{got:?}"),
                None => assert_eq!(got, None),
            }
        }
    }
}
