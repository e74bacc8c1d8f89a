//! `buzzerd doctor`. In: the machine, the configuration, and the daemon if one runs. Out: one page for people, or one
//! JSON object a line. Guarantee: opens no device, so it may run beside a game; what fails is exit code 1.

use buzzer_server::config::Config;
use buzzer_server::doctor::{self, CheckLevel, page};
use buzzer_server::io::machine::facts::{self, Places};
use clap::Args;
use serde_json::json;

use super::{Failure, stdout};

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// One JSON object a line: check, verdict (ok, unknown, warn, fail), found, why, cure
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(self, config: &Config) -> Result<(), Failure> {
        let findings = doctor::diagnose(&facts::gather(config, &Places::of_this_machine()));
        if self.json {
            let lines: Vec<String> = findings.iter().map(|finding| format!("{}\n", json!(finding))).collect();
            stdout::print_json(&lines.concat())?;
        } else {
            let colour = stdout::may_colour();
            stdout::print_own(&page::text(&findings, colour))?;
        }
        if doctor::worst(&findings) == CheckLevel::Fail { Err(Failure::Told) } else { Ok(()) }
    }
}
