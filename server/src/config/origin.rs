//! Web origins. In: what a person writes, or what a browser sends in `Origin` (RFC 6454). Out: [`Origin`], spelt in one way:
//! lower case, no default port. Guarantee: two spellings of one origin are equal, so they are compared with `==`.

use super::host::{Authority, Host};

/// What an origin looks like, for messages.
pub(super) const EXPECTED: &str =
    r#"scheme://host or scheme://host:port without a path, such as "https://quiz.example", or "null""#;

/// Where a page is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `null`: a page that was opened as a file, or that may not say.
    Null,
    /// A page of the web.
    Web {
        /// `https`, not `http`.
        tls: bool,
        /// Its host.
        host: Host,
        /// Its port, that of the scheme if none was given.
        port: u16,
    },
    /// A page of an application or a browser's extension, such as `capacitor://localhost`: scheme and the rest.
    App(String, String),
}

impl Origin {
    /// Reads an origin; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let tls = match scheme.as_str() {
            "http" => false,
            "https" => true,
            // The host may be absent ("file://") and is no name of DNS; a port has no default.
            _ => {
                let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%+:[]".contains(&byte);
                let is_valid = is_scheme && rest.bytes().all(is_host);
                return is_valid.then(|| Self::App(scheme, rest.to_ascii_lowercase()));
            }
        };
        if rest.ends_with(':') {
            return None;
        }
        let Authority { host, port } = Authority::parse(rest)?;
        Some(Self::Web { tls, host, port: port.unwrap_or(default_port(tls)) })
    }

    /// Whether it is a page of the host and port that a request asks for.
    pub fn is_of(&self, asked: &Authority) -> bool {
        match self {
            Self::Web { tls, host, port } => {
                *host == asked.host && *port == asked.port.unwrap_or(default_port(*tls))
            }
            Self::Null | Self::App(..) => false,
        }
    }
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_origin_are_equal() {
        for (one, other, equal) in [
            ("HTTPS://Quiz.Example:443", "https://quiz.example", true),
            ("https://quiz.example.", "https://quiz.example", true),
            ("http://quiz.example:80", "http://quiz.example", true),
            ("http://quiz.example:443", "https://quiz.example", false),
            ("http://quiz.example:443", "http://quiz.example", false),
            ("http://192.168.1.5:08080", "http://192.168.1.5:8080", true),
            ("http://[0:0::1]:7400", "http://[::1]:7400", true),
            ("Capacitor://localhost", "capacitor://localhost", true),
            ("capacitor://localhost", "ionic://localhost", false),
            ("moz-extension://a_b-c", "moz-extension://a_b-c", true),
            ("chrome-extension://abcdef", "chrome-extension://abcdeg", false),
            ("app://x:80", "app://x", false),
            ("null", "null", true),
            ("null", "file://", false),
        ] {
            let parse = |text| Origin::parse(text).unwrap_or_else(|| panic!("{text} is an origin"));
            assert_eq!(parse(one) == parse(other), equal, "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_origin_is_none() {
        for text in [
            "",
            "*",
            "quiz.example",
            "://host",
            "3d://host",
            "https://",
            "https://:80",
            "https://quiz.example/",
            "https://quiz.example:",
            "https://quiz.example:0",
            "https://quiz.example:+1",
            "https://quiz.example:65536",
            "https://user@quiz.example",
            "https://*.quiz.example",
            "https://b\u{fc}hne.example",
            "https://[::1]x",
            "https://[::1",
            "https://a https://b",
            "app://a/b",
            "app://*",
            "Null",
        ] {
            assert_eq!(Origin::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_page_of_ours_has_the_host_and_port_that_is_asked_for() {
        for (origin, asked, own) in [
            ("http://box:7400", "BOX.:7400", true),
            ("https://quiz.example", "quiz.example", true), // A proxy in front of us speaks TLS.
            ("http://box", "box:80", true),
            ("http://box", "box:7400", false),
            ("http://box:7401", "box:7400", false),
            ("capacitor://localhost", "localhost", false),
            ("null", "localhost", false),
        ] {
            let origin = Origin::parse(origin).unwrap();
            assert_eq!(origin.is_of(&Authority::parse(asked).unwrap()), own, "{origin:?} {asked}");
        }
    }
}
