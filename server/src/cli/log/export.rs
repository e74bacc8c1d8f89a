//! `buzzerd log export`. In: a log. Out: CSV or JSON on stdout, or a directory with both, the log itself, its checkpoints and
//! what it takes to check them with python3, sha256sum and ssh-keygen. Guarantee: `log.jsonl` is the log, byte for byte;
//! nothing that is there already is written over.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use buzzer_core::quote::{Json, Plain};
use buzzer_server::config::Config;
use buzzer_server::counted::counted;
use buzzer_server::io::store::log_proof;
use buzzer_server::log::Line;
use buzzer_server::log::form::strict::Said;
use buzzer_server::record::{Fact, Record};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::range::{Period, Seqs, Times};
use super::records::{Misplaced, Source, Step};
use super::show::with_wall;
use super::time;
use crate::cli::stdout::{buffered, unless_unread};
use crate::cli::{Failure, stderr};

/// The verifier that needs nothing but Python.
const VERIFY_PY: &str = include_str!("../../log/verify.py");
const README: &str = include_str!("export.txt");
/// Keys with a column of their own; what else a record has is in the last one.
const COLUMNS: [&str; 11] =
    ["seq", "at_us", "kind", "pool", "buzzer", "device", "delay_us", "final_at_us", "flags", "photo", "tie"];

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    source: Source,
    /// What to print; with --dir the directory gets both
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Into this new directory: log.jsonl (the log itself), log.csv, log.json, the checkpoints with their key, verify.py, and
    /// README.txt, which says how to check it all without buzzerd
    #[arg(long, value_name = "DIR", conflicts_with_all = ["from", "to", "seq"])]
    dir: Option<PathBuf>,
    #[command(flatten)]
    period: Period,
    /// Print records with these numbers: 1200, 1200..1300, 1200.. or ..1300
    #[arg(long, value_name = "A..B")]
    seq: Option<Seqs>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A table for a spreadsheet
    Csv,
    /// An array of all records, each with its time of day
    Json,
}

/// Where the parts go.
struct Sinks {
    csv: Option<Box<dyn Write>>,
    json: Option<Box<dyn Write>>,
    lines: Option<Box<dyn Write>>,
    records: u64,
}

impl Export {
    pub(crate) fn run(self, config: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
        let times = Times::new(&self.period)?;
        let mut records = self.source.open(config)?;
        if records.is_empty()? {
            return Err(super::records::empty());
        }
        times.ask_back(&records, false)?;
        let mut sinks = match &self.dir {
            Some(dir) => Sinks::in_dir(dir)?,
            None => Sinks::on_stdout(self.format),
        };
        let (mut start, mut is_damaged) = ((String::new(), String::new()), false);
        sinks.begin().or_else(unless_unread)?;
        while let Some(step) = records.next()? {
            if let Some(problem) = step.problem() {
                is_damaged = true;
                stderr::say(format_args!("{problem}"));
            }
            match step {
                Step::Misplaced(Misplaced { raw, .. }) => sinks.copy(&raw.bytes, raw.whole),
                Step::Line(line, said, wall_us) => {
                    if let Ok(Said::Record(Record { fact: Fact::Start { log, boot, .. }, .. })) = said {
                        start = (log, boot);
                    }
                    let is_asked = self.seq.is_none_or(|seqs| seqs.contains(line.seq)) && times.has(wall_us);
                    if is_asked { sinks.take(&line, wall_us, &start) } else { Ok(()) }
                }
            }
            .or_else(unless_unread)?;
        }
        sinks.end().or_else(unless_unread)?;
        if let Some(remark) = records.lines.reader.take_remark() {
            stderr::say(format_args!("{remark}"));
        }
        if sinks.records == 0 {
            stderr::say(format_args!("nothing fits; {}", records.extent(&times.zone)));
        }
        if let Some(dir) = &self.dir {
            write_new(&dir.join("verify.py"), VERIFY_PY.as_bytes())?;
            write_new(&dir.join("README.txt"), README.as_bytes())?;
            if let Some(from) = &records.dir {
                copy_proof(from, dir)?;
            }
            stderr::say(format_args!(
                "{} in {}; README.txt says how to check them",
                counted(sinks.records, "record"),
                dir.display()
            ));
        }
        if is_damaged { Err(Failure::Told) } else { Ok(()) }
    }
}

impl Sinks {
    fn on_stdout(format: Format) -> Self {
        let out: Option<Box<dyn Write>> = Some(Box::new(buffered()));
        match format {
            Format::Csv => Self { csv: out, json: None, lines: None, records: 0 },
            Format::Json => Self { csv: None, json: out, lines: None, records: 0 },
        }
    }

    fn in_dir(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir(dir).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::Usage(anyhow!("{}: it is there already; name a new directory", dir.display()))
            }
            _ => Failure::Failed(anyhow!("{}: cannot be made: {error}", dir.display())),
        })?;
        let sink = |name: &str| -> Result<Option<Box<dyn Write>>, Failure> {
            let path = dir.join(name);
            let file =
                File::create_new(&path).with_context(|| format!("{}: cannot be made", path.display()))?;
            Ok(Some(Box::new(BufWriter::with_capacity(256 * 1024, file))))
        };
        Ok(Self { csv: sink("log.csv")?, json: sink("log.json")?, lines: sink("log.jsonl")?, records: 0 })
    }

    fn begin(&mut self) -> io::Result<()> {
        if let Some(csv) = &mut self.csv {
            write!(csv, "wall,log,boot,{},more\r\n", COLUMNS.join(","))?;
        }
        if let Some(json) = &mut self.json {
            json.write_all(b"[")?;
        }
        Ok(())
    }

    fn take(&mut self, line: &Line<'_>, wall_us: Option<u64>, start: &(String, String)) -> io::Result<()> {
        self.copy(line.bytes(), true)?;
        if let Some(csv) = &mut self.csv {
            csv.write_all(row(line, wall_us, start).as_bytes())?;
        }
        if let Some(json) = &mut self.json {
            let comma = if self.records == 0 { "\n" } else { ",\n" };
            write!(json, "{comma}{}", with_wall(line, wall_us))?;
        }
        self.records += 1;
        Ok(())
    }

    /// The line as it is, good or not.
    fn copy(&mut self, bytes: &[u8], whole: bool) -> io::Result<()> {
        let Some(lines) = &mut self.lines else { return Ok(()) };
        lines.write_all(bytes)?;
        if whole { lines.write_all(b"\n") } else { Ok(()) }
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some(json) = &mut self.json {
            json.write_all(b"\n]\n")?;
        }
        let sinks = [&mut self.csv, &mut self.json, &mut self.lines];
        sinks.into_iter().flatten().try_for_each(|sink| sink.flush())
    }
}

/// A row of the table: RFC 4180.
fn row(line: &Line<'_>, wall_us: Option<u64>, (log, boot): &(String, String)) -> String {
    let mut record: Map<String, Value> = serde_json::from_slice(line.bytes()).unwrap_or_default();
    let mut cells = vec![wall_us.and_then(time::utc).unwrap_or_default(), log.clone(), boot.clone()];
    cells.extend(COLUMNS.map(|column| match record.remove(column) {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(Value::Array(items)) => {
            let items =
                items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            items.collect::<Vec<_>>().join(" ")
        }
        Some(value) => value.to_string(),
    }));
    record.retain(|key, _| key != "v" && key != "h");
    cells.push(if record.is_empty() {
        String::new()
    } else {
        Json(&Value::Object(record).to_string()).to_string()
    });
    let mut row = cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
    row.push_str("\r\n");
    row
}

/// A cell, without what moves a cursor, begins a line or turns the direction of reading. A spreadsheet takes what begins with
/// one of these for a formula. The log itself has the text as it was.
fn quoted(cell: &str) -> String {
    let cell = &Plain(cell).to_string();
    let guard = if cell.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if cell.contains([',', '"']) {
        format!("\"{guard}{}\"", cell.replace('"', "\"\""))
    } else {
        format!("{guard}{cell}")
    }
}

/// Key and checkpoints, as far as there are any. The private key stays where it is.
fn copy_proof(from: &Path, to: &Path) -> Result<(), Failure> {
    let copy = |from: &Path, to: &Path| -> Result<(), Failure> {
        let bytes = fs::read(from).with_context(|| format!("{}: cannot be read", from.display()))?;
        write_new(to, &bytes)
    };
    for name in [log_proof::PUBLIC_KEY_NAME, log_proof::SIGNERS_NAME] {
        if from.join(name).exists() {
            copy(&from.join(name), &to.join(name))?;
        }
    }
    let checkpoints = log_proof::checkpoints(from).map_err(anyhow::Error::from)?;
    if checkpoints.is_empty() {
        return Ok(());
    }
    let dir = to.join(log_proof::CHECKPOINTS_NAME);
    fs::create_dir(&dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    for text in checkpoints {
        for path in [log_proof::signature_of(&text), text] {
            let Some(name) = path.file_name() else { continue };
            copy(&path, &dir.join(name))?;
        }
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(bytes));
    written.with_context(|| format!("{}: cannot be written", path.display())).map_err(Failure::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_no_second_cell() {
        for (cell, want) in [
            ("stage", "stage"),
            ("left, right", "\"left, right\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("-1,2", "\"'-1,2\""),
            ("two\nlines", "two\\nlines"),
            ("\u{1b}[2J\u{202e}", "\\u{1b}[2J\\u{202e}"),
        ] {
            assert_eq!(quoted(cell), want);
        }
    }
}
