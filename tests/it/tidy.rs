//! The rules of ARCHITECTURE.md that a machine can check. In: the sources of core and server. Out: the file and line
//! that breaks one. Guarantee: what is pure stays pure, `unsafe` stays in one file, every file begins with its story.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(package: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(package).join("src");
    let mut folders = vec![root];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 10, "{package}: the sources were not found");
    found
}

/// Code without comments and without the tests at its end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or("")));
    lines.take_while(|(_, line)| !line.contains("#[cfg(test)]") && !line.contains("#[cfg(all(test"))
}

fn forbid(package: &str, in_pure: bool, banned: &[&str], why: &str) {
    for (path, text) in sources(package) {
        let is_shell =
            path.components().any(|part| ["io", "cli"].iter().any(|shell| part.as_os_str() == *shell))
                || path.file_name().is_some_and(|name| name == "main.rs");
        if in_pure && is_shell || path.ends_with("tests.rs") {
            continue;
        }
        for (at, line) in code(&text) {
            if let Some(word) = banned.iter().find(|word| line.contains(**word)) {
                panic!("{}:{at}: {word}: {why}", path.display());
            }
        }
    }
}

#[test]
fn what_is_pure_stays_pure() {
    // Addresses of `std::net` are values like any other; sockets are not.
    let impure = [
        "std::fs",
        "TcpStream",
        "TcpListener",
        "UnixStream",
        "UnixListener",
        "std::thread",
        "std::time::",
        "std::os::",
        "mio::",
        "rustix::",
        "inotify::",
        "getrandom",
        "crate::io",
        "buzzer_core::io",
    ];
    forbid("core", true, &impure, "outside io/ there is no clock, descriptor or thread");
    forbid("server", true, &impure, "outside io/ there is no clock, descriptor or thread");
}

#[test]
fn layers_look_one_way() {
    forbid("core", false, &["buzzer_server", "tungstenite", "serde"], "core knows nothing of the server");
    forbid("server", true, &["anyhow"], "typed errors up to the command line");
}

#[test]
fn unsafe_is_in_one_file() {
    for package in ["core", "server"] {
        for (path, text) in sources(package) {
            if !path.ends_with("io/sys.rs") {
                let unsafe_line = code(&text).find(|(_, line)| line.contains("unsafe"));
                assert!(unsafe_line.is_none(), "{}: {unsafe_line:?}", path.display());
            }
        }
    }
}

#[test]
fn every_file_begins_with_its_story() {
    for package in ["core", "server"] {
        for (path, text) in sources(package) {
            assert!(text.starts_with("//! "), "{}: the first line must say what the file is", path.display());
        }
    }
}
