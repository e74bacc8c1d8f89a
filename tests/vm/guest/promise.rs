//! What a log owes after a power cut.
//!
//! Enters what a daemon said before the cut, and the log directory; leaves what is missing, as the text of a failure.
//! Nothing that was owed once is ever forgiven.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;

use buzzer_tests::harness::sim_disk::Dice;
use serde_json::Value;

use crate::deadline::{Outcome, Why, ensure};

/// One log, over all its cuts.
#[derive(Debug)]
pub(crate) struct Promise {
    folder: PathBuf,
    /// These lines, byte for byte.
    lines: Vec<u8>,
    /// Bytes behind the last whole line that a start has found, each in a file of its own.
    torn: Vec<Vec<u8>>,
    /// Checkpoints that it said it had signed.
    signed: BTreeSet<PathBuf>,
    /// Names of starts that were seen on the disk or on their way to it: none is used again.
    starts: BTreeSet<String>,
}

impl Promise {
    pub(crate) fn of(folder: PathBuf) -> Self {
        Self { folder, lines: Vec::new(), torn: Vec::new(), signed: BTreeSet::new(), starts: BTreeSet::new() }
    }

    /// How many torn tails there were.
    pub(crate) fn torn(&self) -> usize {
        self.torn.len()
    }

    pub(crate) fn must_have(&mut self, lines: &[u8]) {
        self.lines = lines.to_vec();
    }

    pub(crate) fn signed(&mut self, paths: impl Iterator<Item = String>) {
        self.signed.extend(paths.map(PathBuf::from));
    }

    /// The process has ended, and the kernel still has what it wrote; up to `durable_seq` it was said to be durable. Gives
    /// the last record that was written.
    pub(crate) fn is_written(&mut self, durable_seq: u64) -> Outcome<u64> {
        let written = self.stream()?;
        self.promise(&written, durable_seq)?;
        self.starts.extend(starts(&written)?);
        Ok(last_seq(&written))
    }

    /// The machine is up again, and nothing was started yet. Gives the last record that there is.
    pub(crate) fn is_kept_by_the_disk(&mut self) -> Outcome<u64> {
        let kept = self.stream()?;
        self.is_kept_in(&kept, "on the disk")?;
        for path in &self.signed {
            ensure(path.exists(), || format!("{} is gone", path.display()))?;
        }
        // What was signed must not be missing either, whether it came to say so or not.
        self.promise(&kept, self.signed_seq()?)?;
        Ok(last_seq(&kept))
    }

    /// What was not promised may be there in part: a card writes one block, and not the next. A tail that no start had
    /// the time to put aside is not owed in its old length then.
    pub(crate) fn tear(&mut self, dice: &mut Dice) -> Outcome {
        let kept = self.stream()?;
        let tail = &kept[whole(&kept)..];
        if self.torn.last().is_some_and(|torn| torn == tail)
            && !self.aside()?.iter().any(|aside| aside == tail)
        {
            self.torn.pop();
        }
        let Some(last) = self.segments()?.pop() else { return Ok(()) };
        let len = fs::metadata(&last).why(last.display())?.len();
        let spare = (kept.len() - self.lines.len()).min(usize::try_from(len).why("length")?);
        let cut = dice.below(spare) as u64;
        let file = File::options().write(true).open(&last).why(last.display())?;
        file.set_len(len - cut).and_then(|()| file.sync_all()).why(last.display())
    }

    /// The next start has to put it aside.
    pub(crate) fn notice_torn(&mut self) -> Outcome {
        let kept = self.stream()?;
        let torn = &kept[whole(&kept)..];
        if !torn.is_empty() {
            self.torn.push(torn.to_vec());
        }
        Ok(())
    }

    /// It was started, and all that it has is durable.
    pub(crate) fn is_kept_by_a_start(&self) -> Outcome {
        let stream = self.stream()?;
        self.is_kept_in(&stream, "after the start")?;
        let starts = starts(&stream)?;
        let unique: BTreeSet<&String> = starts.iter().collect();
        let last = starts.last().ok_or("no start in the log")?;
        ensure(unique.len() == starts.len() && !self.starts.contains(last), || {
            format!("{last}: a start of this name was there before")
        })?;
        let aside = self.aside()?;
        self.torn.iter().try_for_each(|torn| {
            ensure(aside.contains(torn), || format!("{} bytes of a torn tail are gone", torn.len()))
        })
    }

    /// What was put aside.
    fn aside(&self) -> Outcome<Vec<Vec<u8>>> {
        let mut files = self.files()?;
        files.retain(|path| path.to_string_lossy().contains(".torn-"));
        files.iter().map(|path| fs::read(path).why(path.display())).collect()
    }

    /// From now on this must be there.
    fn promise(&mut self, stream: &[u8], durable_seq: u64) -> Outcome {
        let promised = lines(stream).take_while(|line| seq(line).is_ok_and(|seq| seq <= durable_seq));
        let promised = &stream[..promised.map(<[u8]>::len).sum()];
        ensure(durable_seq == 0 || last_seq(promised) == durable_seq, || {
            format!(
                "seq {durable_seq} was said to be durable, and there is no more than {}",
                last_seq(promised)
            )
        })?;
        if promised.len() > self.lines.len() {
            self.lines = promised.to_vec();
        }
        Ok(())
    }

    /// The last record of which a checkpoint is on the disk.
    fn signed_seq(&self) -> Outcome<u64> {
        let folder = self.folder.join("checkpoints");
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let texts = names.filter(|name| name.ends_with(".txt"));
        let seqs = texts.map(|name| name.split('-').next().unwrap_or_default().parse().why(&name));
        Ok(seqs.collect::<Outcome<Vec<u64>>>()?.into_iter().max().unwrap_or_default())
    }

    fn is_kept_in(&self, stream: &[u8], when: &str) -> Outcome {
        let equal = stream.iter().zip(&self.lines).take_while(|(kept, promised)| kept == promised).count();
        ensure(equal == self.lines.len(), || {
            format!(
                "{when}: the log was durable up to {}, and is so up to {}: {} of {} bytes",
                last_seq(&self.lines),
                last_seq(&stream[..equal]),
                equal,
                self.lines.len()
            )
        })
    }

    fn files(&self) -> Outcome<Vec<PathBuf>> {
        let log = &self.folder;
        if !log.exists() {
            // The power went before there was one.
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(log).why(log.display())?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        Ok(files)
    }

    pub(crate) fn segments(&self) -> Outcome<Vec<PathBuf>> {
        let mut files = self.files()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        Ok(files)
    }

    fn stream(&self) -> Outcome<Vec<u8>> {
        let segments = self.segments()?;
        let segments = segments.iter().map(|path| fs::read(path).why(path.display()));
        Ok(segments.collect::<Outcome<Vec<_>>>()?.concat())
    }
}

fn lines(stream: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    stream[..whole(stream)].split_inclusive(|byte| *byte == b'\n')
}

/// Where the last whole line ends.
fn whole(stream: &[u8]) -> usize {
    stream.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn seq(line: &[u8]) -> Outcome<u64> {
    buzzer_server::log::form::line::seq_of(line).ok_or_else(|| "a line without a seq".to_owned())
}

fn last_seq(stream: &[u8]) -> u64 {
    lines(stream).next_back().and_then(|line| seq(line).ok()).unwrap_or_default()
}

fn starts(stream: &[u8]) -> Outcome<Vec<String>> {
    let starts = lines(stream).filter(|line| line.windows(14).any(|bytes| bytes == br#""kind":"start""#));
    let name = |line: &[u8]| -> Outcome<String> {
        let record: Value = serde_json::from_slice(line).why("start")?;
        Ok(record["log"].as_str().unwrap_or_default().to_owned())
    };
    starts.map(name).collect()
}
