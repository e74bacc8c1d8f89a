//! The screen: one page, its script, its style sheet and its icon, as they lie in `server/pages/`. In: the path of a request.
//! Out: the file with its headers. Guarantee: a name with a hash never has another content, so a browser may keep it for
//! ever; `/` is asked for anew each time and names the others; no page loads anything from elsewhere, runs a script that is
//! not in its file, or can be put into a frame.

use std::borrow::Cow;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// What every page may do: load its own script, style sheet and icon, and talk to where it came from.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'\r\n\
    X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n";
const KEEP: &str = "Cache-Control: public, max-age=31536000, immutable\r\n";
const ASK: &str = "Cache-Control: no-cache\r\n";
/// Bytes of the hash in a name.
const HASH_BYTES: usize = 6;

const HTML: &str = include_str!("../../pages/screen.html");
/// What `HTML` names: the name before the hash, the ending, the type, the content.
const PARTS: [(&str, &str, &str, &[u8]); 3] = [
    ("screen", "js", "text/javascript; charset=utf-8", include_bytes!("../../pages/screen.js")),
    ("screen", "css", "text/css; charset=utf-8", include_bytes!("../../pages/screen.css")),
    ("icon", "svg", "image/svg+xml", include_bytes!("../../pages/icon.svg")),
];

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(assets);

/// A file for a browser.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its path, which begins with `/`.
    pub path: String,
    /// Its type.
    pub kind: &'static str,
    /// Further header lines, each with CRLF.
    pub headers: String,
    /// Its content.
    pub body: Cow<'static, [u8]>,
}

/// The file at this path.
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

fn assets() -> Vec<Asset> {
    let mut html = HTML.to_owned();
    let mut assets = Vec::with_capacity(PARTS.len() + 1);
    for (name, ending, kind, body) in PARTS {
        let hash: String =
            Sha256::digest(body).iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let path = format!("/{name}-{hash}.{ending}");
        html = html.replace(&format!("\"/{name}.{ending}\""), &format!("\"{path}\""));
        assets.push(Asset { path, kind, headers: format!("{KEEP}{POLICY}"), body: body.into() });
    }
    let headers = format!("{ASK}{POLICY}");
    let (path, kind) = ("/".to_owned(), "text/html; charset=utf-8");
    assets.push(Asset { path, kind, headers, body: html.into_bytes().into() });
    assets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_its_parts_by_their_hashes() {
        let page = find("/").expect("the page");
        let text = std::str::from_utf8(&page.body).unwrap();
        assert!(page.headers.contains("no-cache") && page.headers.contains("default-src 'none'"));
        let parts: Vec<_> = ASSETS.iter().filter(|asset| asset.path != "/").collect();
        assert_eq!(parts.len(), PARTS.len());
        for part in parts {
            assert!(text.contains(&format!("\"{}\"", part.path)), "{} is named", part.path);
            assert!(part.headers.contains("immutable") && part.headers.contains("default-src 'none'"));
            assert_eq!(find(&part.path), Some(part));
        }
        for plain in ["\"/screen.js\"", "\"/screen.css\"", "\"/icon.svg\"", "style=", "onclick=", "://"] {
            assert!(!text.contains(plain), "{plain}");
        }
        assert_eq!(find("/screen.js"), None);
    }
}
