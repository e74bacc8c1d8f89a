//! Where systemd and XDG put things. In: the environment. Out: directories. Guarantee: nothing is made; of several that systemd
//! joins by colons (systemd.exec(5)) the first counts, and what is no absolute path is none.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The configuration, if nobody names another.
pub const CONFIG: &str = "/etc/buzzerd/buzzerd.toml";
/// The log of the service that is installed.
pub const INSTALLED_LOG: &str = "/var/lib/buzzerd";
/// The runtime directory of the service that is installed.
pub const INSTALLED_RUNTIME: &str = "/run/buzzerd";

fn var(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The first of the directories that systemd gives.
fn given(name: &str) -> Option<PathBuf> {
    let all = var(name)?.into_os_string();
    let first = all.as_bytes().split(|byte| *byte == b':').next()?;
    Some(OsStr::from_bytes(first).into())
}

/// For short-lived files: systemd's RuntimeDirectory, else the session's.
pub fn runtime() -> Option<PathBuf> {
    given("RUNTIME_DIRECTORY").or_else(|| Some(var("XDG_RUNTIME_DIR")?.join("buzzerd")))
}

/// For what stays: systemd's StateDirectory, else the XDG base directory.
pub fn state() -> Option<PathBuf> {
    let base = || var("XDG_STATE_HOME").or_else(|| Some(var("HOME")?.join(".local/state")));
    given("STATE_DIRECTORY").or_else(|| Some(base()?.join("buzzerd")))
}
