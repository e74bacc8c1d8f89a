//! `buzzerd log verify`. In: a log. Out: whether it is whole.

use clap::Args;

use super::records::{Source, Step};
use crate::cli::Failure;
use buzzer_server::config::Config;

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    source: Source,
}

impl Verify {
    pub(crate) fn run(self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
        let mut records = self.source.open(config)?;
        while let Some(step) = records.next()? {
            if let Step::Fault(raw, fault) = step {
                println!("{}: line {}: {fault}", raw.file.display(), raw.number);
                return Err(Failure::Told);
            }
        }
        println!("{} records, whole", records.verifier.records());
        Ok(())
    }
}
