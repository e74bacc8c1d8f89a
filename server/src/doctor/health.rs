//! `/healthz`, read back. In: an HTTP response as text. Out: [`HealthFacts`]. Guarantee: what is not a page of buzzerd's is
//! `None`; a number that is not there stays unknown and does not become 0.

use std::path::PathBuf;

use serde::Deserialize;

/// `/healthz`. What an older or newer daemon does not say is `None`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct HealthFacts {
    /// `ok`, or what is not.
    pub status: String,
    /// The last record. Other programs have a `/healthz` with a status too; no other counts records.
    pub seq: u64,
    /// Its log directory.
    pub log: Option<PathBuf>,
    /// Whether another program file lies where its own came from.
    #[serde(default)]
    pub restart_pending: bool,
    /// `ok`, or what is wrong with the log's storage.
    pub storage: Option<String>,
    /// Presses handed over.
    pub presses: Option<u64>,
    /// Presses that came later than the settle window allows.
    pub late: Option<u64>,
    /// How old the oldest of them was when it was read.
    pub late_us_max: Option<u64>,
    /// Presses whose stamp could not be true.
    pub stale_stamps: Option<u64>,
    /// Times the kernel lost events.
    pub gaps: Option<u64>,
    /// Times the ring was full.
    pub ring_full: Option<u64>,
    /// Times the reader stopped reading.
    pub heap_full: Option<u64>,
    /// The settle window in use, and the one that would have fitted.
    pub settle_us: Option<u64>,
    /// `None`: nothing was late, or it does not say.
    pub settle_us_advised: Option<u64>,
    /// Its pools.
    #[serde(default)]
    pub pools: Vec<PoolHealth>,
    /// Its buttons, counted.
    #[serde(default)]
    pub button_sums: ButtonCounts,
    /// Those of them that somebody should look at; there may be more than are named.
    #[serde(default)]
    pub troubled: Vec<TroubledButton>,
}

/// A pool, as the daemon has it.
#[derive(Clone, Debug, Deserialize)]
pub struct PoolHealth {
    /// Its name.
    #[serde(rename = "pool")]
    pub id: String,
    /// Devices or attachments that serve it.
    pub devices: usize,
    /// Whether it is wanted and nobody serves it.
    #[serde(rename = "waiting")]
    pub is_waiting: bool,
}

/// How many buttons the daemon has.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct ButtonCounts {
    /// All.
    pub all: usize,
    /// Those that were not pressed since their device was connected.
    pub unheard: usize,
}

/// A button in trouble.
#[derive(Clone, Debug, Deserialize)]
pub struct TroubledButton {
    /// Its pool.
    pub pool: String,
    /// Its number.
    pub buzzer: u16,
    /// For how long it has been down; `None`: it is up.
    pub held_us: Option<u64>,
    /// It has been down for so long that nobody holds it.
    pub stuck: bool,
}

impl HealthFacts {
    /// The page in a whole response of any status: 503 says that the log does not take records.
    pub fn parse(response: &str) -> Option<Self> {
        let (head, body) = response.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.").then(|| serde_json::from_str(body).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_nothing_else() {
        let page = "HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\n\
                    {\"status\":\"log failing\",\"seq\":3,\"log\":\"/l\",\"storage\":\"full\",\"late\":2}\n";
        let health = HealthFacts::parse(page).unwrap();
        assert_eq!((health.status.as_str(), health.late, health.gaps), ("log failing", Some(2), None));
        assert_eq!(health.log.as_deref(), Some("/l".as_ref()));
        let page = "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\",\"seq\":1,\"settle_us\":7,\"pools\":[\
                    {\"pool\":\"a\",\"devices\":2,\"waiting\":false},{\"pool\":\"b\",\"devices\":0,\"waiting\":true}],\
                    \"button_sums\":{\"all\":700,\"unheard\":3,\"x\":1},\
                    \"troubled\":[{\"pool\":\"a\",\"buzzer\":9,\"held_us\":5,\"stuck\":false}]}";
        let health = HealthFacts::parse(page).unwrap();
        let pools: Vec<_> = health.pools.iter().map(|pool| (pool.devices, pool.is_waiting)).collect();
        assert_eq!((health.settle_us, pools), (Some(7), vec![(2, false), (0, true)]));
        assert_eq!((health.button_sums.all, health.button_sums.unheard), (700, 3));
        let troubled: Vec<_> = health.troubled.iter().map(|button| (button.buzzer, button.held_us)).collect();
        assert_eq!(troubled, [(9, Some(5))]);
        for other in [
            "",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}",
            "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\",\"seq\":\"1\"}",
            "HTTP/1.1 404 Not Found\r\n\r\nnothing",
            "SSH-2.0-x\r\n\r\n{\"status\":\"ok\",\"seq\":1}",
        ] {
            assert!(HealthFacts::parse(other).is_none(), "{other:?}");
        }
    }
}
