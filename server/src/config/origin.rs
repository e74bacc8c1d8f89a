//! Web origins. In: what a person writes. Out: what a browser sends in `Origin` (RFC 6454, section 6.2): lower case,
//! no path, no default port. Guarantee: whoever compares the header byte for byte misses no spelling of the same origin.

use std::net::Ipv6Addr;

/// What an origin looks like, for messages.
pub(super) const EXPECTED: &str =
    r#"scheme://host or scheme://host:port without a path, such as "https://quiz.example""#;

/// The origin as a browser spells it; `None` if it is none.
pub(super) fn normalised(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let scheme_valid = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));

    let (host, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), rest)
        }
        None => {
            let (host, rest) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
            (host.to_ascii_lowercase(), rest)
        }
    };
    // A browser sends names beyond ASCII as "xn--…", so that is how they are written here.
    let host_valid =
        host.starts_with('[') || host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if !scheme_valid || !host_valid || host.is_empty() {
        return None;
    }

    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse::<u16>().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
    };
    match (scheme.as_str(), port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => Some(format!("{scheme}://{host}")),
        (_, Some(port)) => Some(format!("{scheme}://{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn an_origin_is_spelt_as_browsers_send_it() {
        for (text, want) in [
            ("https://quiz.example", Some("https://quiz.example")),
            ("HTTPS://Quiz.Example:443", Some("https://quiz.example")),
            ("http://quiz.example:80", Some("http://quiz.example")),
            ("http://quiz.example:443", Some("http://quiz.example:443")),
            ("http://192.168.1.5:08080", Some("http://192.168.1.5:8080")),
            ("http://[0:0::1]:7400", Some("http://[::1]:7400")),
            ("moz-extension://a_b-c", Some("moz-extension://a_b-c")),
            ("https://quiz.example/", None),
            ("https://quiz.example:", None),
            ("https://quiz.example:0", None),
            ("https://quiz.example:+1", None),
            ("https://quiz.example:65536", None),
            ("https://user@quiz.example", None),
            ("https://*.quiz.example", None),
            ("https://b\u{fc}hne.example", None),
            ("https://[::1]x", None),
            ("https://[::1", None),
            ("https://", None),
            ("https://:80", None),
            ("3d://host", None),
            ("://host", None),
            ("quiz.example", None),
            ("*", None),
            ("null", None),
        ] {
            assert_eq!(normalised(text).as_deref(), want, "{text}");
        }
    }
}
