//! `buzzerd check`. In: a configuration. Out: what it says in short, or every mistake in it. Guarantee: nothing is opened but
//! the file; exit code 0 only for a configuration with which `buzzerd serve` gets to opening its log.

use std::path::{Path, PathBuf};

use buzzer_core::quote::listed;
use buzzer_server::config::{Config, PoolSource};
use buzzer_server::counted::counted;
use clap::Args;

use super::{Failure, configured, load, print, read};

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The file [default: that of --config, else /etc/buzzerd/buzzerd.toml]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Check {
    pub(crate) fn run(self, config: Option<&Path>) -> Result<(), Failure> {
        let Some(path) = self.file.as_deref().or(config).or_else(configured) else {
            return print(&format!(
                "no configuration is there, so the defaults hold: {}\n",
                says(&load(None)?)
            ));
        };
        print(&format!("{}: valid: {}\n", path.display(), says(&read(path)?)))
    }
}

fn says(config: &Config) -> String {
    let pools = match config.pools.as_slice() {
        [] => "every recognised buzzer device is a pool".to_owned(),
        pools => {
            let is_virtual = |source: &PoolSource| matches!(source, PoolSource::Virtual { .. });
            let count = pools.iter().filter(|pool| is_virtual(&pool.source)).count();
            format!("{} ({count} virtual)", counted(pools.len() as u64, "pool"))
        }
    };
    let dir = config.log.dir.as_deref().unwrap_or(Path::new("")).display();
    format!("listens on {}; log in {dir}; {pools}", listed(&config.server.listen))
}
