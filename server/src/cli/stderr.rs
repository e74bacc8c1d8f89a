//! Messages for people, on stderr. In: the `log` macros' records, final errors, panics. Out: lines, written by a thread of its
//! own with plain writes; under systemd with the priority that the journal reads. Guarantee: who says something waits for
//! no terminal, pipe, disk or journald, however these behave; neither does the end of the process, beyond [`END`].

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;
use std::{fmt, thread};

use buzzer_core::io::sys;
use buzzer_core::quote::Quoted;
use buzzer_server::diagnostics::{CallSite, Diagnostics, Form};
use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};

/// The process's end waits so long for what is still to be written.
const END: Duration = Duration::from_secs(1);
/// A panic waits so long for the queue, which its own thread may hold.
const PANIC_LOCK: Duration = Duration::from_millis(100);

static STDERR: OnceLock<Stderr> = OnceLock::new();

#[derive(Debug)]
struct Stderr {
    shared: Mutex<Shared>,
    /// There is something to write, or everything is written.
    changed: Condvar,
}

#[derive(Debug)]
struct Shared {
    diagnostics: Diagnostics,
    is_writing: bool,
}

/// Starts it. `BUZZERD_LOG` may be `off`, `error`, `warn`, `info` (default) or `debug`.
pub(crate) fn install() {
    let form = if is_journal() { Form::Journal } else { Form::Words };
    let shared = Shared { diagnostics: Diagnostics::new(form), is_writing: false };
    let stderr = STDERR.get_or_init(|| Stderr { shared: Mutex::new(shared), changed: Condvar::new() });
    // Without a thread the end of the process writes what there is.
    let _: io::Result<_> = thread::Builder::new().name("stderr".into()).spawn(|| stderr.run());
    std::panic::set_hook(Box::new(|panic| stderr.panicked(panic)));
    if log::set_logger(stderr).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    let Some(asked) = std::env::var_os("BUZZERD_LOG") else { return };
    let asked = asked.to_string_lossy();
    match asked.parse() {
        Ok(level) => log::set_max_level(level),
        Err(_) => log::warn!(
            "BUZZERD_LOG is {}, which is none of off, error, warn, info and debug: it is taken as info",
            Quoted(&asked)
        ),
    }
}

/// Prints a line as it is, at any level.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    with(|diagnostics| diagnostics.push_line(&line.to_string()));
}

/// Says text of our own making, of several lines or of none.
pub(crate) fn print(text: String) {
    with(|diagnostics| diagnostics.push(text));
}

/// Waits until all is written, but not for long: what is printed next on stdout stands behind it.
pub(crate) fn flush() {
    if let Some(stderr) = STDERR.get() {
        stderr.wait_written(&mut stderr.shared.lock());
    }
}

/// Whether stderr is a terminal on which a line can be written over.
pub(crate) fn may_overwrite() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// From now on strangers can make it speak.
pub(crate) fn limit_repeats() {
    with(Diagnostics::limit_repeats);
}

/// The end of the process: waits until all is written, but not for long.
pub(crate) fn end() {
    let Some(stderr) = STDERR.get() else { return };
    let mut shared = stderr.shared.lock();
    shared.diagnostics.finish();
    stderr.wait_written(&mut shared);
}

fn with(what: impl FnOnce(&mut Diagnostics)) {
    if let Some(stderr) = STDERR.get() {
        what(&mut stderr.shared.lock().diagnostics);
        stderr.changed.notify_all();
    }
}

/// Whether journald reads this very stderr (`systemd.exec(5)`, JOURNAL_STREAM): a child's stderr may be another one.
fn is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Some((device, inode)) = stream.split_once(':') else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

impl Stderr {
    fn run(&self) {
        let mut is_torn = false;
        let mut shared = self.shared.lock();
        loop {
            let now = sys::now();
            let Some(line) = shared.diagnostics.next_line(now) else {
                self.changed.notify_all();
                match shared.diagnostics.due() {
                    None => self.changed.wait(&mut shared),
                    Some(due) => {
                        let wait = Duration::from_micros(due.since(now).as_us());
                        self.changed.wait_for(&mut shared, wait);
                    }
                }
                continue;
            };
            shared.is_writing = true;
            drop(shared);
            // What was cut off in its middle does not run into the next line.
            let text = if is_torn { format!("\n{}", line.text) } else { line.text.clone() };
            let written = write_all(io::stderr(), text.as_bytes());
            is_torn = written.as_ref().is_err_and(|(_, bytes)| *bytes > 0 || is_torn);
            shared = self.shared.lock();
            shared.is_writing = false;
            shared.diagnostics.written(&line, written.is_ok());
        }
    }

    /// Waits for the thread; if there is none, or it is stuck in a write, not for long.
    fn wait_written(&self, shared: &mut parking_lot::MutexGuard<'_, Shared>) {
        self.changed.notify_all();
        let until = sys::now() + buzzer_core::time::Micros::from_us(END.as_micros() as u64);
        while shared.is_writing || !shared.diagnostics.is_empty() {
            let left = Duration::from_micros(until.since(sys::now()).as_us());
            if left.is_zero() {
                return;
            }
            self.changed.wait_for(shared, left);
        }
    }

    /// A panic ends the process; it must not wait for stderr before, nor panic again.
    fn panicked(&self, panic: &PanicHookInfo<'_>) {
        let Some(mut shared) = self.shared.try_lock_for(PANIC_LOCK) else { return };
        shared.diagnostics.push_line(&panic.to_string());
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            backtrace.to_string().lines().for_each(|line| shared.diagnostics.push_line(line));
        }
        self.wait_written(&mut shared);
    }
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries have to say is theirs.
        metadata.target().starts_with("buzz")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let file = record.file_static().unwrap_or_default();
        let place = CallSite { file, line: record.line().unwrap_or(0), target: record.target().to_owned() };
        self.shared.lock().diagnostics.say(sys::now(), record.level(), place, *record.args());
        self.changed.notify_all();
    }

    fn flush(&self) {}
}

/// Writes all of it, with plain writes: waits where a descriptor that others have made non-blocking takes nothing now.
///
/// # Errors
/// What the kernel answered, and how many bytes it had taken by then.
pub(super) fn write_all(fd: impl AsFd, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
    let mut at = 0;
    while at < bytes.len() {
        match rustix::io::write(&fd, &bytes[at..]) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), at)),
            Ok(count) => at += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                if let Err(error) = poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None)
                    && error != rustix::io::Errno::INTR
                {
                    return Err((error.into(), at));
                }
            }
            Err(error) => return Err((error.into(), at)),
        }
    }
    Ok(())
}
