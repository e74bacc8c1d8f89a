//! `/healthz`, read back. In: an HTTP response as text. Out: [`HealthFacts`]. Guarantee: what is not a page of buzzerd's is
//! `None`; a number that is not there stays unknown and does not become 0.

use serde_json::Value;

use super::facts::{ButtonFacts, HealthFacts, PoolHealth};

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
