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

/// What of a file is code: comments, texts and tests are blanks in it, so lines keep their numbers.
fn code(text: &str) -> String {
    without_tests(without_texts(text))
}

fn without_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => raw(rest),
            'b' if rest.starts_with("br\"") || rest.starts_with("br#") => 1 + raw(&rest[1..]),
            '\'' => letter(rest),
            // A word whole, so that its end is not taken for the beginning of a raw text.
            _ if is_word(first) => rest.find(|next| !is_word(next)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(token.max(first.len_utf8()));
        let is_text = token.len() > 1 && !is_word(first) || token.contains('"');
        code.extend(token.chars().map(|of| if is_text && of != '\n' { ' ' } else { of }));
        rest = behind;
    }
    code
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// How long the text in quotes is.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, letter)| {
        let ends = *letter == '"' && !escaped;
        escaped = *letter == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// How long the raw text is; of `r#name`, which is none, the first letter.
fn raw(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 1;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[2 + hashes..].find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len())
}

/// How long the letter in quotes is; of a lifetime, its quote.
fn letter(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match (letters.next(), letters.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            text[escaped + 1..].find('\'').map_or(1, |end| escaped + 1 + end + 1)
        }
        (_, Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// Takes every item out that is for tests only, as far as its last brace or its semicolon.
fn without_tests(mut code: String) -> String {
    let begin = |code: &str| code.find("#[cfg(test)]").or_else(|| code.find("#[cfg(all(test"));
    while let Some(begin) = begin(&code) {
        let mut depth = 0;
        let end = code[begin..].find(|letter| {
            depth +=
                i32::from(matches!(letter, '{' | '(' | '[')) - i32::from(matches!(letter, '}' | ')' | ']'));
            depth == 0 && matches!(letter, '}' | ';')
        });
        let end = end.map_or(code.len(), |end| begin + end + 1);
        let blank: String = code[begin..end].chars().map(|of| if of == '\n' { of } else { ' ' }).collect();
        code.replace_range(begin..end, &blank);
    }
    code
}

/// Lines of code with their numbers.
fn lines(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().map(|(at, line)| (at + 1, line))
}

fn forbid(package: &str, in_pure: bool, banned: &[&str], why: &str) {
    for (path, text) in sources(package) {
        let is_shell =
            path.components().any(|part| ["io", "cli"].iter().any(|shell| part.as_os_str() == *shell))
                || path.file_name().is_some_and(|name| name == "main.rs");
        if in_pure && is_shell || path.ends_with("tests.rs") {
            continue;
        }
        for (at, line) in lines(&code(&text)) {
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

/// Which rooms of its crate a room may take from; `io` and `cli` may take from all.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("core", "press", &["event", "quote", "time"]),
    ("core", "merge", &["event", "press", "time"]),
    ("core", "device", &["event", "press", "quote", "time"]),
    ("server", "record", &[]),
    ("server", "game", &["record"]),
    ("server", "config", &["game", "record"]),
    ("server", "wire", &["config", "game", "record"]),
    ("server", "log", &["game", "record"]),
    ("server", "judge", &["game", "log", "record", "wire"]),
    ("server", "doctor", &["config", "game", "judge", "log", "record"]),
];

#[test]
fn a_room_takes_only_from_those_below() {
    for (package, room, below) in ROOMS {
        let mut files = 0;
        for (path, text) in sources(package) {
            let place = path.to_string_lossy().into_owned();
            let is_inside = place.contains(&format!("/{package}/src/{room}/"))
                || place.ends_with(&format!("/{package}/src/{room}.rs"));
            files += usize::from(is_inside);
            let is_test = place.contains("/tests/") || place.ends_with("/tests.rs");
            for (at, line) in lines(&code(&text)).filter(|_| is_inside && !is_test) {
                for behind in line.split("crate::").skip(1) {
                    let other = behind.split(|letter| !is_word(letter)).next().unwrap_or_default();
                    // Words for a number are for all.
                    let may = other == *room || other == "counted" || below.contains(&other);
                    assert!(may, "{place}:{at}: {room} takes from {other}");
                }
            }
        }
        assert!(files > 0, "{package} has no room {room}");
    }
}

#[test]
fn a_public_type_has_its_name_once() {
    for package in ["core", "server"] {
        let mut names: Vec<(String, PathBuf)> = Vec::new();
        for (path, text) in sources(package) {
            for (_, line) in lines(&code(&text)) {
                let mut words = line.split(|letter| !is_word(letter)).filter(|word| !word.is_empty());
                let is_type = line.trim_start().starts_with("pub ")
                    && words.next() == Some("pub")
                    && words
                        .next()
                        .is_some_and(|word| ["struct", "enum", "trait", "type", "union"].contains(&word));
                if let Some(name) = words.next().filter(|_| is_type) {
                    let other = names.iter().find(|(of, _)| of == name);
                    assert!(other.is_none(), "{name}: {} and {}", path.display(), other.unwrap().1.display());
                    names.push((name.to_owned(), path.clone()));
                }
            }
        }
        assert!(names.len() > 50, "{package}: the types were not found");
    }
}

#[test]
fn unsafe_is_in_one_file() {
    for package in ["core", "server"] {
        for (path, text) in sources(package) {
            if !path.ends_with("io/sys.rs") {
                let code = code(&text);
                let mut words = lines(&code)
                    .flat_map(|(at, line)| line.split(|letter| !is_word(letter)).map(move |word| (at, word)));
                let found = words.find(|(_, word)| *word == "unsafe");
                assert!(found.is_none(), "{}: {found:?}", path.display());
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

#[test]
fn files_are_looked_at_as_a_whole() {
    for package in ["core", "server"] {
        for (path, text) in sources(package) {
            let all = without_texts(&text);
            assert_eq!(all.lines().count(), text.lines().count(), "{}", path.display());
            let count = |code: &str| code.lines().filter(|line| !line.trim().is_empty()).count();
            let (seen, all) = (count(&without_tests(all.clone())), count(&all));
            // Two lines say that its tests are a file of their own.
            let has_tests = text.contains("mod tests {");
            assert!(has_tests || (seen + 2) * 10 >= all * 9, "{}: {seen} of {all} lines", path.display());
        }
    }
}

#[test]
fn only_tests_and_texts_are_left_out_of_the_code() {
    let text = r###"
#[cfg(test)]
mod tests;
use a::b; // unsafe
fn f<'a>(x: &'a str) -> char { "std::fs // \" }"; r#"mio::{"#; '"'; '{' }
#[cfg(test)]
#[derive(Debug)]
pub(crate) mod tests { fn g() { unsafe { } } }
#[cfg(test)]
fn h(x: [u8; 3]) -> bool { true }
fn last() { '\''; '}'; /* { */ rustix::now() }
"###;
    let code = code(text);
    for gone in ["unsafe", "std::fs", "mio", "mod", "fn g", "fn h", "derive"] {
        assert!(!code.contains(gone), "{gone}: {code}");
    }
    for kept in ["use a::b;", "fn f<'a>(x: &'a str) -> char {", "fn last() {", "rustix::now()"] {
        assert!(code.contains(kept), "{kept}: {code}");
    }
}
