//! The command line. In: arguments. Out: the command, run. Guarantee: `--help` teaches; a mistake in arguments or
//! configuration is exit code 2 before anything was opened.

mod check;
mod config_file;
mod demo;
mod device;
mod devices;
mod doctor;
mod identify;
mod lines;
mod log;
mod measure;
mod number;
mod package;
mod pair;
mod serve;
pub(crate) mod stderr;
mod stdout;
mod story;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use buzzer_server::config::Config;
use buzzer_server::io::machine::{facts, paths};
use clap::{Parser, Subcommand};

pub(crate) use self::stdout::print;

/// What --version says and -V does not: of a release also from which commit and by which compiler it was built.
const BUILD: &str = match option_env!("BUZZERD_BUILD") {
    Some(build) => build,
    None => env!("CARGO_PKG_VERSION"),
};

/// Who was first? A buzzer mediator
///
/// It reads buzzers from the Linux kernel with the kernel's own time, puts every press into one order, logs it, and tells every
/// screen over WebSocket.
#[derive(Debug, Parser)]
#[command(
    name = "buzzerd",
    version,
    long_version = BUILD,
    max_term_width = 100,
    after_long_help = "\
Try it now:        buzzerd demo
What is plugged in: buzzerd devices
Fit for a match?   buzzerd doctor
Run it:            buzzerd serve            (ws://127.0.0.1:7400/)
What happened?     buzzerd log show

BUZZERD_LOG says how much is told on stderr: off, error, warn, info (if it is not set) or debug.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."
)]
pub(crate) struct Cli {
    /// The configuration
    ///
    /// A TOML file. Without it /etc/buzzerd/buzzerd.toml if that exists, else the defaults: listen on 127.0.0.1:7400, and
    /// every recognised buzzer device is a pool.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the mediator until SIGTERM or Ctrl-C
    Serve(serve::Serve),
    /// Check a configuration, and name every mistake in it; nothing is opened and nothing is started
    Check(check::Check),
    /// Play with four virtual buzzers on this keyboard (keys 1 to 4), through the real daemon
    Demo(demo::Demo),
    /// List input devices and what buzzerd makes of them, or show which handset is which
    ///
    /// Of each device: its pool, what keeps buzzerd from opening it, and how long before its time a press of it was made.
    /// Opens nothing, but with --measure takes one device and watches its reports, and with --measure-pair takes the one or
    /// two that have these buzzers.
    Devices(devices::Devices),
    /// Check this machine before a match: what is fit, what is not, and the command that cures it
    Doctor(doctor::Doctor),
    /// The log: is it whole, what does it say, what does it prove?
    Log(log::Log),
    /// Write the man pages into a directory
    Man(package::Man),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(package::Completions),
    /// Write the addresses of buzzerd.socket, for systemd
    #[command(hide = true)]
    SocketUnit(package::SocketUnit),
}

/// How a command ended badly.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong usage or configuration: exit code 2.
    Usage(anyhow::Error),
    /// It was tried and failed: exit code 1.
    Failed(anyhow::Error),
    /// The same, and the results have said what: exit code 1.
    Told,
    /// Wrong usage or configuration, and it was said what: exit code 2.
    Misused,
    /// Nobody reads the results any more: exit code 0.
    Unread,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

pub(crate) fn run() -> Result<(), Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return answer_to_usage(&answer),
    };
    let config = || load(cli.config.as_deref());
    match cli.command {
        Command::Serve(serve) => serve.run(config()?),
        Command::Check(check) => check.run(cli.config.as_deref()),
        Command::Demo(demo) => demo.run(),
        Command::Devices(devices) => devices.run(&config()?),
        Command::Doctor(doctor) => doctor.run(&config()?),
        Command::Log(log) => log.run(|| load_for_log(cli.config.as_deref())),
        Command::Man(man) => man.run(),
        Command::Completions(completions) => completions.run(),
        Command::SocketUnit(unit) => unit.run(cli.config.as_deref()),
    }
}

/// What clap has to say: help and version are results, the rest is wrong usage.
fn answer_to_usage(answer: &clap::Error) -> Result<(), Failure> {
    let text = answer.render();
    if answer.use_stderr() {
        stderr::print(text.to_string());
        return Err(Failure::Misused);
    }
    stdout::print_own(&if stdout::may_colour() { text.ansi().to_string() } else { text.to_string() })
}

/// The configuration that holds: that of this file, else of the usual place, else the defaults.
fn load(path: Option<&Path>) -> Result<Config, Failure> {
    match path.or_else(configured) {
        Some(path) => read(path),
        None => Ok(Config::defaults(state_dir()?)),
    }
}

/// The configuration's usual place, if it is there.
fn configured<'a>() -> Option<&'a Path> {
    Some(Path::new(paths::CONFIG)).filter(|path| path.exists())
}

/// Reads a configuration, or says every mistake in it.
fn read(path: &Path) -> Result<Config, Failure> {
    let text = config_file::read(path).map_err(Failure::Usage)?;
    let mut config = Config::parse(&text, &path.display().to_string()).map_err(|errors| {
        errors.0.iter().for_each(|error| stderr::say(format_args!("{error}")));
        Failure::Misused
    })?;
    if config.log.dir.is_none() {
        config.log.dir = Some(state_dir()?);
    }
    Ok(config)
}

/// The configuration by which `log` finds a log that nobody named: of the daemon that answers, else where one is installed.
fn load_for_log(path: Option<&Path>) -> Result<Config, Failure> {
    let installed = Path::new(paths::INSTALLED_LOG);
    let mut config = if path.is_none() && !Path::new(paths::CONFIG).exists() && installed.is_dir() {
        Config::defaults(installed.to_owned())
    } else {
        load(path)?
    };
    if path.is_none()
        && let Some(dir) = facts::log_of_daemon(&config.server.listen)
    {
        config.log.dir = Some(dir);
    }
    Ok(config)
}

/// Where state goes.
fn state_dir() -> Result<PathBuf, Failure> {
    paths::state().ok_or_else(|| {
        Failure::Usage(anyhow!(
            "no place for the log: set log.dir in the configuration, or the variable HOME"
        ))
    })
}
