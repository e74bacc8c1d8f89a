//! A quiz on the installed box: a hub, a hall behind another network, lights.
//!
//! Enters a made-up hub that stays plugged in; leaves what a client in the hall was told. Guarantee: the client is in a network
//! namespace of its own, so that its frames go over an interface.

use std::cell::RefCell;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::deadline::{Outcome, Why, ensure, same, until};
use crate::machine::{CONFIG, configure, pid, run};
use crate::roles::Role;
use crate::uhid::{Hid, Lights, RED};

/// The box as the hall sees it.
const BOX: &str = "192.168.77.1:7400";
/// Of nobody's private network (RFC 5737).
const STRANGE: &str = "203.0.113.1";

/// What an evening has in its configuration.
const EVENING: &str = r#"
[[pool]]
id = "stage"
match = { vendor = "054c", product = "1000" }
autoconnect = true

[[pool]]
id = "other"
match = { vendor = "054c", product = "0002" }
autoconnect = true

[[pool]]
id = "table"
socket = "/run/buzzerd/table.sock"
"#;

thread_local! {
    static HUB: RefCell<Option<Rc<RefCell<Hid>>>> = const { RefCell::new(None) };
}

/// The hub: plugged in once, and then there until the power goes.
fn plugged() -> Outcome<Rc<RefCell<Hid>>> {
    HUB.with_borrow_mut(|hub| {
        if hub.is_none() {
            *hub = Some(Rc::new(RefCell::new(Hid::plug_buzz(0x1000)?)));
        }
        hub.clone().ok_or_else(|| "no hub".to_owned())
    })
}

/// See [`plugged`].
pub(crate) fn hub() -> Outcome<Hub> {
    Ok(Hub(plugged()?))
}

/// The hub, for who presses.
#[derive(Debug)]
pub(crate) struct Hub(Rc<RefCell<Hid>>);

impl Hub {
    pub(crate) fn node(&self) -> std::path::PathBuf {
        self.0.borrow().node().to_owned()
    }

    /// Presses the red button of a handset, 1 to 4.
    pub(crate) fn press(&self, handset: u8) -> Outcome {
        self.0.borrow_mut().buzz_report(&[(handset - 1, RED)])
    }

    /// Lets all go.
    pub(crate) fn release(&self) -> Outcome {
        self.0.borrow_mut().buzz_report(&[])
    }
}

/// Without a line of configuration: who connects finds it, and is told.
pub(crate) fn hub_becomes_a_pool() -> Outcome {
    let hub = hub()?;
    let mut client = Role::begin("env", "client 127.0.0.1:7400")?;
    let pools = client.line()?;
    let connected: Value = serde_json::from_str(&client.line()?).why("an answer")?;
    ensure(
        connected["result"] == "connect" && connected["buzzers"].as_array().is_some_and(|all| all.len() == 4),
        || format!("{pools}; {connected}"),
    )?;
    buzzes(&hub, &mut client, 3)
}

/// A press is told to this client.
fn buzzes(hub: &Hub, client: &mut Role, handset: u8) -> Outcome {
    hub.press(handset)?;
    let told = client.line()?;
    hub.release()?;
    ensure(told.contains(r#""event":"buzz""#) && told.contains(&format!(r#""buzzer":{handset}"#)), || told)
}

/// The two lines of the configuration that say so are changed as they say, and the hall is in.
pub(crate) fn hall_is_opened() -> Outcome {
    run("ip netns add hall && ip link add box type veth peer name hall netns hall \
         && ip address add 192.168.77.1/24 dev box && ip address add 203.0.113.1/24 dev box && ip link set box up \
         && ip -n hall address add 192.168.77.2/24 dev hall && ip -n hall address add 203.0.113.2/24 dev hall \
         && ip -n hall link set hall up && ip -n hall link set lo up")?;
    let shipped = fs::read_to_string(CONFIG).why(CONFIG)?;
    let (closed, open) =
        ("\nlisten = [\"127.0.0.1:7400\"]\n", "\n# listen = [\"0.0.0.0:7400\", \"[::]:7400\"]\n");
    ensure(shipped.contains(closed) && shipped.contains(open), || "the file does not show how".to_owned())?;
    let opened = shipped.replace(closed, "\n").replace(open, &open.replace("# ", ""));
    configure(&format!("{}{EVENING}", opened.replace("[log]", "cpu_dma_latency_us = 20\n[log]")))?;
    let listening = run("systemctl show -p Listen --value buzzerd.socket")?;
    ensure(listening.contains("0.0.0.0:7400") && listening.contains("[::]:7400"), || listening)?;
    let hub = hub()?;
    let mut client = Role::begin("ip netns exec hall", &format!("client {BOX}"))?;
    let pools = client.line()?;
    ensure(pools.contains("stage"), || pools)?;
    ensure(client.line()?.contains(r#""result":"connect""#), || "it cannot connect".to_owned())?;
    buzzes(&hub, &mut client, 2)
}

/// A network with public addresses is not answered.
pub(crate) fn strange_networks_get_no_answer() -> Outcome {
    let code = format!("ip netns exec hall timeout 3 sh -c 'exec 3<>/dev/tcp/{STRANGE}/7400' ");
    // Debian's sh has no /dev/tcp, bash has.
    let (answered, _) = crate::machine::try_run(&code.replace(" sh -c", " bash -c"))?;
    let near: SocketAddr = BOX.parse().why(BOX)?;
    TcpStream::connect_timeout(&near, Duration::from_secs(10))
        .why("the private address of the same interface")?;
    ensure(!answered, || format!("{STRANGE} is answered"))
}

/// The wireless hub is kept awake through hidraw, and processors are asked to stay awake.
pub(crate) fn lights_and_latency_work_in_the_sandbox() -> Outcome {
    let hub = plugged()?;
    hub.borrow().next_lights("a report that keeps the handsets awake", |lights| {
        matches!(lights, Lights::Output(_))
    })?;
    let said = run("buzzerd devices --identify stage 1 --seconds 1")?;
    hub.borrow()
        .next_lights("a handset that is lit", |lights| match lights {
            Lights::Set(bytes) | Lights::Output(bytes) => bytes.contains(&0xff),
        })
        .map_err(|why| format!("{why}: {said}"))?;
    let open = run(&format!("ls -l /proc/{}/fd", pid()?))?;
    ensure(open.contains("/dev/cpu_dma_latency"), || format!("the latency is not asked for: {open}"))?;
    let asked = until("an answer to /healthz", crate::machine::healthz)?;
    same("its status", &asked["status"], &Value::from("ok"))
}
