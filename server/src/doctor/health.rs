//! `/healthz`, read back. In: an HTTP response as text. Out: [`HealthFacts`]. Guarantee: what is not a page of buzzerd's is
//! `None`; a number that is not there stays unknown and does not become 0.

use std::path::PathBuf;

use serde_json::Value;

/// `/healthz`. What an older or newer daemon does not say is `None`.
#[derive(Clone, Debug, Default)]
pub struct HealthFacts {
    /// `ok`, or what is not.
    pub status: String,
    /// Its log directory.
    pub log: Option<PathBuf>,
    /// Whether another program file lies where its own came from.
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
    pub pools: Vec<PoolHealth>,
    /// Its buttons.
    pub buttons: ButtonFacts,
}

/// A pool, as the daemon has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolHealth {
    /// Its name.
    pub id: String,
    /// Devices or attachments that serve it.
    pub devices: usize,
    /// Whether it is wanted and nobody serves it.
    pub is_waiting: bool,
}

/// Buttons that somebody should look at, as `stage 3`; there may be more than are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ButtonFacts {
    /// All that the daemon has.
    pub all: usize,
    /// Down for so long that nobody holds them.
    pub stuck: Vec<String>,
    /// Down now.
    pub held: Vec<String>,
    /// How many were not pressed since their device was connected.
    pub unheard: usize,
}

impl HealthFacts {
    /// The page in a whole response of any status: 503 says that the log does not take records.
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
            restart_pending: page.get("restart_pending") == Some(&Value::Bool(true)),
            storage: page.get("storage").and_then(Value::as_str).map(Into::into),
            presses: number("presses"),
            late: number("late"),
            late_us_max: number("late_us_max"),
            stale_stamps: number("stale_stamps"),
            gaps: number("gaps"),
            ring_full: number("ring_full"),
            heap_full: number("heap_full"),
            settle_us: number("settle_us"),
            settle_us_advised: number("settle_us_advised"),
            pools: list(&page, "pools").filter_map(pool).collect(),
            buttons: buttons(&page),
        })
    }
}

fn list<'a>(page: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    page.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn pool(page: &Value) -> Option<PoolHealth> {
    Some(PoolHealth {
        id: page.get("pool")?.as_str()?.to_owned(),
        devices: page.get("devices").and_then(Value::as_u64).unwrap_or(0) as usize,
        is_waiting: page.get("waiting") == Some(&Value::Bool(true)),
    })
}

/// From the list of all buttons, or from that of those in trouble and the sums, whichever the page has.
fn buttons(page: &Value) -> ButtonFacts {
    let all = || list(page, "buttons").chain(list(page, "troubled"));
    let is = |button: &Value, key: &str| button.get(key) == Some(&Value::Bool(true));
    let is_held = |button: &Value| is(button, "held") || button.get("held_us").is_some_and(Value::is_u64);
    let named = |wanted: &dyn Fn(&Value) -> bool| -> Vec<String> {
        let name =
            |button: &Value| Some(format!("{} {}", button["pool"].as_str()?, button["buzzer"].as_u64()?));
        let mut names: Vec<String> = all().filter(|button| wanted(button)).filter_map(name).collect();
        names.dedup();
        names
    };
    let sum = |key: &str| page["button_sums"][key].as_u64().map(|number| number as usize);
    let is_unheard = |button: &&Value| button.get("not_heard_us").is_some_and(Value::is_null);
    ButtonFacts {
        all: sum("all").unwrap_or_else(|| list(page, "buttons").count()),
        stuck: named(&|button| is(button, "stuck")),
        held: named(&|button| is_held(button) && !is(button, "stuck")),
        unheard: sum("unheard").unwrap_or_else(|| list(page, "buttons").filter(is_unheard).count()),
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
                    \"buttons\":[{\"pool\":\"a\",\"buzzer\":1,\"held\":true,\"stuck\":true,\"not_heard_us\":5},\
                    {\"pool\":\"a\",\"buzzer\":2,\"held\":true,\"stuck\":false,\"not_heard_us\":null}]}";
        let health = HealthFacts::parse(page).unwrap();
        let pools: Vec<_> = health.pools.iter().map(|pool| (pool.devices, pool.is_waiting)).collect();
        assert_eq!((health.settle_us, pools), (Some(7), vec![(2, false), (0, true)]));
        let ButtonFacts { all, stuck, held, unheard } = health.buttons;
        assert_eq!((all, stuck, held, unheard), (2, vec!["a 1".to_owned()], vec!["a 2".to_owned()], 1));
        let page = "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\",\"seq\":1,\"button_sums\":{\"all\":700,\"unheard\":3},\
                    \"troubled\":[{\"pool\":\"a\",\"buzzer\":9,\"held_us\":5,\"stuck\":false}]}";
        let ButtonFacts { all, held, unheard, .. } = HealthFacts::parse(page).unwrap().buttons;
        assert_eq!((all, held, unheard), (700, vec!["a 9".to_owned()], 3));
        for other in [
            "",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}",
            "HTTP/1.1 404 Not Found\r\n\r\nnothing",
            "SSH-2.0-x\r\n\r\n{\"status\":\"ok\",\"seq\":1}",
        ] {
            assert!(HealthFacts::parse(other).is_none(), "{other:?}");
        }
    }
}
