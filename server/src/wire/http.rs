//! The head of an HTTP request. In: the bytes a peer has sent so far and who may connect. Out: nothing yet, or what to
//! answer. Guarantee: a head is at most 8 KiB; what is not understood is answered with the status that says why,
//! never with silence; a browser page from elsewhere cannot open a socket (RFC 6455 section 10.2), also if it has its own
//! name point to this box.
//!
//! The head is parsed here and not by tungstenite's own `accept`, which drops the connection on a failure without an
//! answer, and refuses a client whose first frame arrives together with its head.

#[cfg(test)]
mod tests;

use buzzer_core::quote::Quoted;
use tungstenite::handshake::derive_accept_key;

use crate::config::{Authority, Host, Origin};
use crate::game::button::ButtonId;
use crate::wire::pages;
use crate::wire::pages::Asset;

/// The longest head.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
/// The subprotocol that names the seed's messages.
const PROTOCOL_V1: &str = "buzzer.v1";

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Hosts that a request may name, beside those that no page from elsewhere can have.
    pub hosts: Vec<Host>,
    /// Origins whose pages may connect, beside our own.
    pub origins: Vec<Origin>,
}

/// What the bytes ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// The head is not complete yet.
    Incomplete,
    /// A WebSocket: send `response`, then speak frames; `head_len` bytes were the head.
    WebSocket {
        /// The 101 response.
        response: Vec<u8>,
        /// How many bytes the head took.
        head_len: usize,
    },
    /// A file for a browser.
    Asset(&'static Asset),
    /// `/healthz`, and from which button on buttons are asked for.
    Health(Option<ButtonId>),
    /// Anything else: a status, a header to go with it, and words for a person.
    Refuse(Refusal),
}

/// An answer that says no.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status code and reason.
    pub status: &'static str,
    /// A header line that belongs to it, with CRLF, or nothing.
    pub header: &'static str,
    /// For a person.
    pub message: String,
    /// Whether who runs this box should hear of it, for the configuration can change it.
    pub is_notable: bool,
}

/// A refusal that concerns its peer only.
pub fn refusal(status: &'static str, header: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, header, message: message.into(), is_notable: false }
}

fn bad(message: impl Into<String>) -> Refusal {
    refusal("400 Bad Request", "", message)
}

/// Whether a head, complete or not, asks for an answer without its body.
pub fn is_head(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"HEAD ")
}

/// Reads what has come so far.
pub fn route(bytes: &[u8], access: &Access) -> Route {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let head_len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Route::Incomplete,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            let status = "431 Request Header Fields Too Large";
            return Route::Refuse(refusal(status, "", "at most 8 KiB and 64 headers"));
        }
        Err(error) => return Route::Refuse(bad(error.to_string())),
    };
    routed(&Head(head), head_len, access).unwrap_or_else(Route::Refuse)
}

fn routed(head: &Head<'_, '_>, head_len: usize, access: &Access) -> Result<Route, Refusal> {
    let is_get = head.0.method == Some("GET");
    if !is_get && head.0.method != Some("HEAD") {
        return Err(refusal(
            "405 Method Not Allowed",
            "Allow: GET, HEAD\r\n",
            "only GET and HEAD are understood",
        ));
    }
    let (path, asked) = head.target()?;
    if let Some(asked) =
        asked.as_ref().filter(|asked| !(asked.host.is_local() || access.hosts.contains(&asked.host)))
    {
        let message = format!(
            "this box is not known as {}; if it is meant to be, add that name to server.allowed_hosts in the configuration",
            asked.host
        );
        return Err(Refusal { is_notable: true, ..refusal("421 Misdirected Request", "", message) });
    }
    let origin = head.origin()?;
    if !(is_get && head.lists("upgrade", "websocket")) {
        return page(path);
    }
    let is_ours = |origin: &Origin| asked.as_ref().is_some_and(|asked| origin.is_of(asked));
    if let Some((text, origin)) = origin
        && !is_ours(&origin)
        && !access.origins.contains(&origin)
    {
        let message = format!(
            "a page from {} may not connect here; to allow it add it to server.allowed_origins in the configuration",
            Quoted(text)
        );
        return Err(Refusal { is_notable: true, ..refusal("403 Forbidden", "", message) });
    }
    Ok(Route::WebSocket { response: head.upgrade()?, head_len })
}

/// What is at this path, without an upgrade.
fn page(target: &str) -> Result<Route, Refusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path == "/healthz" {
        return health(query);
    }
    let missing = || refusal("404 Not Found", "", "there are /, /healthz and, on any path, WebSocket");
    pages::find(path).map(Route::Asset).ok_or_else(missing)
}

/// `buttons` asks for buttons, `buttons=DEVICE.BUZZER` for those from this one on; other words are passed over.
fn health(query: &str) -> Result<Route, Refusal> {
    let mut words = query.split('&').map(|word| word.split_once('=').unwrap_or((word, "")));
    let Some((_, first)) = words.find(|(word, _)| *word == "buttons") else { return Ok(Route::Health(None)) };
    if first.is_empty() {
        return Ok(Route::Health(Some((0, 0))));
    }
    let number = first
        .split_once('.')
        .and_then(|(device, buzzer)| Some((device.parse::<u32>().ok()?, buzzer.parse::<u16>().ok()?)));
    let unknown = || bad("behind buttons= stands what `next` of the page before it says");
    number.map(|first| Route::Health(Some(first))).ok_or_else(unknown)
}

/// A complete head.
struct Head<'h, 'b>(httparse::Request<'h, 'b>);

impl<'b> Head<'_, 'b> {
    fn values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.0
            .headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The value of a header that may stand there once.
    fn single(&self, name: &str) -> Result<Option<&'b str>, Refusal> {
        let mut values = self.values(name);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(bad(format!("{name} is there twice")));
        }
        let text = std::str::from_utf8(value).map_err(|_| bad(format!("{name} is no text")))?;
        Ok(Some(text.trim_ascii()))
    }

    /// The parts of a list over one or several lines (RFC 9110 section 5.3).
    fn parts(&self, name: &str) -> impl Iterator<Item = &'b str> {
        self.values(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|list| list.split(','))
            .map(str::trim_ascii)
    }

    fn lists(&self, name: &str, wanted: &str) -> bool {
        self.parts(name).any(|part| part.eq_ignore_ascii_case(wanted))
    }

    /// The path, and the host that is asked for: that of an absolute target, else that of `Host` (RFC 9112 section 3.2). Only
    /// a head of HTTP/1.0 may do without.
    fn target(&self) -> Result<(&'b str, Option<Authority>), Refusal> {
        let host = self.single("host")?;
        if host.is_none() && self.0.version != Some(0) {
            return Err(bad("Host is missing"));
        }
        let target = self.0.path.unwrap_or_default();
        let (path, host) = match target.split_once("://") {
            _ if target.starts_with('/') => (target, host),
            Some((scheme, rest))
                if ["http", "https", "ws", "wss"].iter().any(|it| scheme.eq_ignore_ascii_case(it)) =>
            {
                let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (if path.is_empty() { "/" } else { path }, Some(host))
            }
            _ => return Err(bad("the target is no path")),
        };
        let parse = |host| Authority::parse(host).ok_or_else(|| bad(format!("{} is no host", Quoted(host))));
        Ok((path, host.map(parse).transpose()?))
    }

    /// The origin of the page that asks, as it was sent and as it is understood. A browser always names it, and enforces
    /// nothing itself for WebSockets.
    fn origin(&self) -> Result<Option<(&'b str, Origin)>, Refusal> {
        let Some(text) = self.single("origin")? else { return Ok(None) };
        let origin = Origin::parse(text).ok_or_else(|| bad(format!("{} is no origin", Quoted(text))))?;
        Ok(Some((text, origin)))
    }

    /// The 101 response (RFC 6455 section 4.2.2).
    fn upgrade(&self) -> Result<Vec<u8>, Refusal> {
        const REQUIRED: &str = "426 Upgrade Required";
        const VERSION: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        if self.0.version == Some(0) {
            return Err(bad("WebSocket needs HTTP/1.1"));
        }
        if !self.lists("connection", "upgrade") {
            let message = "Connection does not list Upgrade; a proxy in between may have removed it";
            return Err(refusal(REQUIRED, VERSION, message));
        }
        if self.single("sec-websocket-version")? != Some("13") {
            return Err(refusal(REQUIRED, VERSION, "only version 13 of WebSocket is spoken here"));
        }
        let key = self.single("sec-websocket-key")?.unwrap_or_default();
        if !is_key(key) {
            return Err(bad("Sec-WebSocket-Key is not the base64 of 16 bytes"));
        }
        // Exactly one of the offered names may be echoed, or none at all.
        let is_v1 = self.parts("sec-websocket-protocol").any(|offer| offer == PROTOCOL_V1);
        let protocol =
            if is_v1 { format!("Sec-WebSocket-Protocol: {PROTOCOL_V1}\r\n") } else { String::new() };
        let accept = derive_accept_key(key.as_bytes());
        Ok(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
        )
        .into_bytes())
    }
}

/// Whether it is the base64 of 16 bytes: 22 digits, of which the last has two bits, and two signs of padding.
fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==").filter(|digits| digits.len() == 22) else { return false };
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
        && digits.ends_with(['A', 'Q', 'g', 'w'])
}
