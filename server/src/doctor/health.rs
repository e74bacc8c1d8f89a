//! `/healthz`, read back. In: an HTTP response as text. Out: [`Health`]. Guarantee: what is not a page of buzzerd's is
//! `None`; a number that is not there stays unknown and does not become 0.

use serde_json::Value;

use super::facts::Health;

impl Health {
    /// The page in a whole response, whatever its status: 503 says that the log does not take records.
    pub fn parse(response: &str) -> Option<Self> {
        let (head, body) = response.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.").then_some(())?;
        let page: Value = serde_json::from_str(body).ok()?;
        let number = |key: &str| page.get(key).and_then(Value::as_u64);
        // Other programs have a /healthz with a status too; no other counts records.
        number("seq")?;
        Some(Self {
            status: page.get("status")?.as_str()?.to_owned(),
            log: page.get("log").and_then(Value::as_str).map(Into::into),
            storage: page.get("storage").and_then(Value::as_str).map(Into::into),
            presses: number("presses"),
            late: number("late"),
            late_us_max: number("late_us_max"),
            stale_stamps: number("stale_stamps"),
            gaps: number("gaps"),
            ring_full: number("ring_full"),
            heap_full: number("heap_full"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_nothing_else() {
        let page = "HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\n\
                    {\"status\":\"log failing\",\"seq\":3,\"log\":\"/l\",\"storage\":\"full\",\"late\":2}\n";
        let health = Health::parse(page).unwrap();
        assert_eq!((health.status.as_str(), health.late, health.gaps), ("log failing", Some(2), None));
        assert_eq!(health.log.as_deref(), Some("/l".as_ref()));
        for other in [
            "",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}",
            "HTTP/1.1 404 Not Found\r\n\r\nnothing",
            "SSH-2.0-x\r\n\r\n{\"status\":\"ok\",\"seq\":1}",
        ] {
            assert!(Health::parse(other).is_none(), "{other:?}");
        }
    }
}
