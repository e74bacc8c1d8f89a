//! Hosts, as a `Host` header or an origin names them. In: text. Out: [`Host`] and [`Authority`], spelt in one way: lower case,
//! no final dot, addresses as addresses. Guarantee: two spellings of one host are equal, so they are compared with `==`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What a host looks like, for messages.
pub(super) const EXPECTED: &str = r#"a host name or an IP address, without a port, such as "quiz.example""#;
/// The longest name that DNS has.
const NAME_BYTES_MAX: usize = 253;
/// Names below these belong to the network at hand: nobody can register them, so no page from elsewhere has one.
const LOCAL: [&str; 5] = ["local", "lan", "home", "internal", "home.arpa"];

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An IP literal.
    Ip(IpAddr),
    /// A name, lower case, without a final dot.
    Name(String),
}

/// A host and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port, if it was given.
    pub port: Option<u16>,
}

impl Host {
    /// A host without a port; an IPv6 address with or without brackets. `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Ip(address));
        }
        Authority::parse(text).filter(|authority| authority.port.is_none()).map(|authority| authority.host)
    }

    /// Whether no page of the open network can have this host: an address, a name of a single label, or one that nobody can
    /// register.
    pub fn is_local(&self) -> bool {
        let Self::Name(name) = self else { return true };
        let is_below = |domain| name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        !name.contains('.') || LOCAL.iter().any(|domain| is_below(*domain))
    }

    fn name(text: &str) -> Option<Self> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        // A browser sends names beyond ASCII as "xn--…", so that is how they are written here.
        (name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label))
            .then(|| name.parse().map_or_else(|_| Self::Name(name.to_ascii_lowercase()), Self::Ip))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Authority {
    /// `host`, `host:port`, `[address]` or `[address]:port`. `None` if it is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                // The zone of a link-local address means something to its sender only.
                let address = address.split_once('%').map_or(address, |(address, _)| address);
                (Host::Ip(address.parse::<Ipv6Addr>().ok()?.into()), rest)
            }
            None => {
                let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
                (Host::name(host)?, rest)
            }
        };
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return None,
            Some("") => None,
            Some(digits) => Some(port(digits)?),
        };
        Some(Self { host, port })
    }
}

fn port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_are_equal() {
        for (one, other) in [
            ("Quiz.Example", "quiz.example"),
            ("quiz.example.", "quiz.example"),
            ("[::1]", "::1"),
            ("[0:0::1]", "::1"),
            ("[fe80::1%eth0]", "fe80::1"),
            ("192.168.1.5.", "192.168.1.5"),
        ] {
            assert!(Host::parse(one).is_some(), "{one}");
            assert_eq!(Host::parse(one), Host::parse(other), "{one}");
        }
        let authority = |text: &str| Authority::parse(text);
        assert_eq!(authority("BOX.:07400"), authority("box:7400"));
        assert_eq!(authority("box:"), authority("box"));
        assert_ne!(authority("box:7401"), authority("box:7400"));
    }

    #[test]
    fn what_is_no_host_is_none() {
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "box:7400",
            "a b",
            "user@box",
            "b\u{fc}hne.example",
            "[::1",
            "[::1]x",
            "[box]",
            "*.quiz.example",
            "http://box",
            "box/",
            "box:x",
            "[::1]:1",
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
        for text in
            ["box:65536", "box:+1", "box:0", "box:1:2", "::1", "::1:7400", "a, b", "box:74 00", ":7400"]
        {
            assert_eq!(Authority::parse(text), None, "{text:?}");
        }
        assert_eq!(Host::parse(&"a".repeat(254)), None);
    }

    #[test]
    fn names_that_nobody_can_register_are_local() {
        for (host, local) in [
            ("127.0.0.1", true),
            ("8.8.8.8", true),
            ("[2001:db8::1]", true),
            ("localhost", true),
            ("BUZZER-BOX", true),
            ("box.local", true),
            ("a.b.LAN.", true),
            ("box.home", true),
            ("box.internal", true),
            ("box.home.arpa", true),
            ("box.arpa", false),
            ("quiz.example", false),
            ("box.local.evil.example", false),
            ("boxlocal.example", false),
            ("evil-local.example", false),
            ("127.0.0.1.evil.example", false),
        ] {
            assert_eq!(Host::parse(host).unwrap().is_local(), local, "{host}");
        }
    }
}
