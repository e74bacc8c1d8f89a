//! What is in the way of a file. In: its path, and what the kernel answered when it was to be made. Out: the directory or the right
//! that is missing, in words. Guarantee: looks, and changes nothing.

use std::io;
use std::path::Path;

use buzzer_core::quote::kernel_words;

/// Why a path could not be made.
pub fn of(path: &Path, error: &io::Error) -> String {
    let said = kernel_words(error);
    let Some((found, missing)) = nearest(path) else { return said };
    let user = rustix::process::geteuid().as_raw();
    let shown = found.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{said}: user {user} may not make or open anything in {shown}")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists if !found.is_dir() => {
            format!("{said}: {shown} is no directory")
        }
        io::ErrorKind::NotFound => {
            format!("{said}: there is no directory {}: make it first", missing.display())
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{said}: {shown} cannot be written to; mount it read-write, or name another place")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{said}: make room where {shown} is, or name another place")
        }
        _ => said,
    }
}

/// The nearest thing above the path that is there, and the first below it that is not.
fn nearest(path: &Path) -> Option<(&Path, &Path)> {
    let mut missing = path;
    for above in path.ancestors().skip(1) {
        if above.exists() {
            return Some((above, missing));
        }
        missing = above;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_or_the_right_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        let error = |kind: io::ErrorKind| io::Error::from(kind);
        for (path, kind, want) in [
            (
                at("a/b/c.sock"),
                io::ErrorKind::NotFound,
                format!("there is no directory {}: make it first", at("a").display()),
            ),
            (
                at("file/log"),
                io::ErrorKind::NotADirectory,
                format!("{} is no directory", at("file").display()),
            ),
            (
                at("log"),
                io::ErrorKind::PermissionDenied,
                format!("may not make or open anything in {}", dir.path().display()),
            ),
        ] {
            let said = of(&path, &error(kind));
            assert!(said.ends_with(&want), "{said}");
        }
        assert_eq!(kernel_words(&io::Error::from_raw_os_error(28)), "No space left on device");
    }
}
