//! The head of an HTTP request. In: the bytes a peer has sent so far and who may connect. Out: nothing yet, or what to
//! answer. Guarantee: a head is at most 8 KiB; what is not understood is answered with the status that says why,
//! never with silence; a browser page from elsewhere cannot open a socket (RFC 6455 section 10.2).
//!
//! The head is parsed here and not by tungstenite's own `accept`, which drops the connection on a failure without an
//! answer, and refuses a client whose first frame arrives together with its head.

use http::{Request, Uri};
use tungstenite::handshake::server::{create_response, write_response};

/// The longest head.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
/// The subprotocol that names the seed's messages.
const PROTOCOL_V1: &str = "buzzer.v1";

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
    /// `GET /`
    Index,
    /// `GET /healthz`
    Health,
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
}

fn refuse(status: &'static str, header: &'static str, message: impl Into<String>) -> Route {
    Route::Refuse(Refusal { status, header, message: message.into() })
}

/// Reads what has come so far.
pub fn route(bytes: &[u8], allowed_origins: &[String]) -> Route {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let head_len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Route::Incomplete,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return refuse("431 Request Header Fields Too Large", "", "at most 8 KiB and 64 headers");
        }
        Err(error) => return refuse("400 Bad Request", "", error.to_string()),
    };
    let (Some(method), Some(path)) = (head.method, head.path) else {
        return refuse("400 Bad Request", "", "no request line");
    };
    if method != "GET" {
        return refuse("405 Method Not Allowed", "Allow: GET\r\n", "only GET is understood");
    }
    let value = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    if !value("upgrade").is_some_and(|upgrade| upgrade.trim().eq_ignore_ascii_case("websocket")) {
        return match path.split('?').next() {
            Some("/") => Route::Index,
            Some("/healthz") => Route::Health,
            _ => refuse("404 Not Found", "", "there are /, /healthz and, on any path, WebSocket"),
        };
    }
    if let Some(origin) = value("origin")
        && !may_connect(origin, value("host").unwrap_or_default(), allowed_origins)
    {
        let message = format!(
            "a page from {origin} may not connect here; to allow it add it to server.allowed_origins in the configuration"
        );
        return refuse("403 Forbidden", "", message);
    }
    upgrade(&head, path, head_len)
}

fn upgrade(head: &httparse::Request<'_, '_>, path: &str, head_len: usize) -> Route {
    let version = if head.version == Some(1) { http::Version::HTTP_11 } else { http::Version::HTTP_10 };
    let mut request = Request::builder().uri(path).version(version);
    for header in head.headers.iter() {
        request = request.header(header.name, header.value);
    }
    let request = match request.body(()) {
        Ok(request) => request,
        Err(error) => return refuse("400 Bad Request", "", error.to_string()),
    };
    let mut response = match create_response(&request) {
        Ok(response) => response,
        Err(error) => {
            let header = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
            return refuse("426 Upgrade Required", header, error.to_string());
        }
    };
    // Exactly one of the offered names may be echoed, or none at all.
    let offers = request.headers().get_all("sec-websocket-protocol");
    let mut offers = offers.iter().filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(','));
    if offers.any(|offer| offer.trim() == PROTOCOL_V1) {
        let name = http::HeaderValue::from_static(PROTOCOL_V1);
        response.headers_mut().insert("sec-websocket-protocol", name);
    }
    let mut bytes = Vec::with_capacity(192);
    match write_response(&mut bytes, &response) {
        Ok(()) => Route::WebSocket { response: bytes, head_len },
        Err(error) => refuse("400 Bad Request", "", error.to_string()),
    }
}

/// A browser always names the page's origin and enforces nothing itself for WebSockets.
fn may_connect(origin: &str, host: &str, allowed: &[String]) -> bool {
    let Some(own) = origin_of(origin) else { return false };
    let same_host = authority(host, own.0).is_some_and(|host| host == (own.1.clone(), own.2));
    same_host || allowed.iter().any(|allowed| origin_of(allowed).as_ref() == Some(&own))
}

/// Scheme, host and port, lower case, the port filled in.
fn origin_of(origin: &str) -> Option<(bool, String, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => false,
        "https" | "wss" => true,
        _ => return None,
    };
    let (host, port) = authority(rest, tls)?;
    Some((tls, host, port))
}

fn authority(text: &str, tls: bool) -> Option<(String, u16)> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Some((authority.host().to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(extra: &str) -> Route {
        let head = format!(
            "GET /any HTTP/1.1\r\nHost: box:7400\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
        );
        let route = route(head.as_bytes(), &["https://quiz.example".into()]);
        if let Route::WebSocket { head_len, .. } = &route {
            assert_eq!(*head_len, head.len());
        }
        route
    }

    fn status(route: Route) -> &'static str {
        match route {
            Route::Refuse(refusal) => refusal.status.split(' ').next().unwrap(),
            Route::WebSocket { .. } => "101",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_handshake_is_rfc_6455s_own_example() {
        let Route::WebSocket { response, .. } = ask("") else { panic!() };
        let response = String::from_utf8(response).unwrap().to_ascii_lowercase();
        assert!(response.starts_with("http/1.1 101 "), "{response}");
        assert!(response.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{response}");
        assert!(!response.contains("sec-websocket-protocol"));
    }

    #[test]
    fn v1_is_echoed_and_other_names_are_passed_over() {
        for (offer, echoed) in [
            ("Sec-WebSocket-Protocol: chat, buzzer.v1\r\n", true),
            ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: buzzer.v1\r\n", true),
            ("Sec-WebSocket-Protocol: Buzzer.V1\r\n", false),
            ("Sec-WebSocket-Protocol: chat\r\n", false),
        ] {
            let Route::WebSocket { response, .. } = ask(offer) else { panic!("{offer}") };
            let response = String::from_utf8(response).unwrap();
            assert_eq!(response.contains("sec-websocket-protocol: buzzer.v1\r\n"), echoed, "{response}");
        }
    }

    #[test]
    fn origins_are_compared_as_a_whole() {
        for (origin, want) in [
            ("http://box:7400", "101"),
            ("http://BOX:7400", "101"),
            ("https://quiz.example", "101"),
            ("https://quiz.example:443", "101"),
            ("http://quiz.example", "403"),
            ("https://quiz.example.evil.example", "403"),
            ("http://box:7401", "403"),
            ("http://box", "403"),
            ("null", "403"),
            ("", "403"),
        ] {
            assert_eq!(status(ask(&format!("Origin: {origin}\r\n"))), want, "{origin}");
        }
    }

    #[test]
    fn what_is_not_understood_is_answered() {
        let head = |text: &str| status(route(text.as_bytes(), &[]));
        assert_eq!(head("POST / HTTP/1.1\r\n\r\n"), "405");
        assert_eq!(head("GET /x HTTP/1.1\r\n\r\n"), "404");
        assert_eq!(head("\x01\x02\r\n\r\n"), "400");
        assert_eq!(head("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"), "426");
        assert_eq!(head(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(9000))), "431");
        assert_eq!(head(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65))), "431");
        assert_eq!(route(b"GET / HT", &[]), Route::Incomplete);
        assert_eq!(route(b"GET /?x=1 HTTP/1.1\r\n\r\n", &[]), Route::Index);
        assert_eq!(route(b"GET /healthz HTTP/1.0\r\n\r\n", &[]), Route::Health);
    }
}
