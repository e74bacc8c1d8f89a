//! The devices that serve buzzers. In: the configuration, sysfs, udev's notes. Out: one [`DeviceFacts`] each, what is in the way
//! of others, and the pool of each. Guarantee: it is core's survey that decides, the same that a daemon makes.

use buzzer_core::device::assign::Assignment;
use buzzer_core::device::identity::{BUS_BLUETOOTH, BUS_USB, Identity};
use buzzer_core::device::kind;
use buzzer_core::io::devices::survey::{Row, Survey, survey};
use buzzer_core::time::Micros;

use super::{Places, usb};
use crate::config::Config;
use crate::doctor::facts::{DeviceFacts, Missing, Read};
use crate::io::machine::hardware;

/// The devices, and what is in the way of others.
pub(super) fn look(config: &Config, places: &Places) -> Read<(Vec<DeviceFacts>, Vec<String>)> {
    let (sys, input) = (places.sys(""), places.root.join("dev/input"));
    let class = sys.join("class");
    // Without it there is no sysfs, and nobody knows what is plugged in.
    std::fs::metadata(&class).map_err(|error| places.missing(&class, &error))?;
    let Survey { rows, shared } = survey(hardware::claims(config), &sys, &input)
        .map_err(|error| places.missing(&sys.join("class/input"), &error))?;
    let pools = hardware::pools(config);
    let mut devices = Vec::new();
    let warnings = shared.iter().filter(|remark| remark.is_warning);
    let mut strays: Vec<String> = warnings.map(ToString::to_string).collect();
    for row in rows {
        if !matches!(row.verdict, Assignment::Slot(_)) {
            strays.extend(row.trouble);
            continue;
        }
        let pool = hardware::pool_of(&pools, &row);
        devices.push(device(places, row, pool.unwrap_or_else(|| "no pool".to_owned())));
    }
    Ok((devices, strays))
}

fn device(places: &Places, row: Row, pool: String) -> DeviceFacts {
    let identity = &row.identity;
    DeviceFacts {
        ids: (identity.vendor, identity.product),
        pool,
        buzzers: row.buzzers.len(),
        is_keyboard: is_keyboard(identity, row.profile),
        wireless: row.delay.wireless.then(|| radio(identity, row.profile)),
        delay: row.delay,
        first_buzzer: row.buzzers.first().map(|buzzer| buzzer.0),
        interval: interval(identity),
        usb: usb::look(places, &identity.node),
        is_ignored: is_ignored(places, identity),
        trouble: row.trouble,
        node: row.identity.node,
        name: row.identity.name,
    }
}

/// An encoder that poses as a keyboard has a wire for each button: nothing there hides anything.
fn is_keyboard(identity: &Identity, profile: Option<&str>) -> bool {
    kind::types(identity) && profile != Some("ipac-keyboard")
}

/// What makes it a device with a radio.
fn radio(identity: &Identity, profile: Option<&str>) -> &'static str {
    if identity.bus == BUS_BLUETOOTH {
        "Bluetooth"
    } else if profile == Some("buzz-wireless") {
        "a wireless Buzz! set"
    } else {
        "its name or its number says so"
    }
}

/// How often a device is asked, on any controller.
fn interval(identity: &Identity) -> Read<Micros> {
    let missing = |what: &str| Err(Missing(format!("{}: {what}", identity.node)));
    match (identity.bus, identity.endpoint) {
        (BUS_BLUETOOTH, _) => missing("Bluetooth has no fixed interval"),
        (_, Some(endpoint)) if endpoint.is_forced => missing("a parameter of usbhid sets another interval"),
        (_, Some(endpoint)) => Ok(endpoint.poll_us()),
        (BUS_USB, None) => missing("no interrupt endpoint in sysfs"),
        _ => missing("not a USB device"),
    }
}

/// What udev noted of the node (`/run/udev/data/c13:71`); a desktop asks there too.
fn is_ignored(places: &Places, identity: &Identity) -> Read<bool> {
    let dir = places.root.join("run/udev/data");
    std::fs::metadata(&dir).map_err(|error| places.missing(&dir, &error))?;
    let (major, minor) =
        identity.dev.ok_or_else(|| Missing(format!("{}: no device number", identity.node)))?;
    let notes = places.text(&dir.join(format!("c{major}:{minor}"))).unwrap_or_default();
    Ok(notes.lines().any(|line| line == "E:LIBINPUT_IGNORE_DEVICE=1"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Node, Tree};
    use super::*;

    fn defaults() -> Config {
        Config::defaults("/nowhere".into())
    }

    #[test]
    fn a_device_that_serves_is_described() {
        let tree = Tree::new();
        assert!(look(&defaults(), &tree.places).is_err(), "no sysfs");
        tree.write("sys/class/.keep", "");
        assert_eq!(look(&defaults(), &tree.places).unwrap().0.len(), 0);
        tree.plug(&Tree::buzz("event7"), "10ms", "1.5", "on");
        let device = &look(&defaults(), &tree.places).unwrap().0[0];
        assert_eq!((device.node.as_str(), device.pool.as_str()), ("event7", "buzz-wired-1.2"));
        assert_eq!((device.buzzers, device.is_keyboard, device.wireless), (4, false, None));
        assert!(device.trouble.as_ref().unwrap().contains("does not exist"));
        assert_eq!(device.interval.as_ref().unwrap().as_us(), 8000);
        assert!(device.is_ignored.is_err());
        tree.write("dev/input/event7", "");
        tree.write("run/udev/data/c13:71", "E:ID_INPUT=1\nE:LIBINPUT_IGNORE_DEVICE=1\n");
        let device = &look(&defaults(), &tree.places).unwrap().0[0];
        assert_eq!((&device.trouble, &device.is_ignored), (&None, &Ok(true)));
    }

    #[test]
    fn keyboards_and_radio_are_known() {
        let tree = Tree::new();
        let node =
            |node: &'static str, name, ids, bus, keys: &'static str| Node { node, name, ids, bus, keys };
        // Keys 1 to 127.
        let typing = "ffffffffffffffff fffffffffffffffe";
        tree.plug(&node("event7", "Keys", ("1234", "0001"), "0003", typing), "1ms", "12", "on");
        tree.plug(&node("event8", "Acme 2.4G Clicker", ("1234", "0002"), "0005", "fffe"), "1ms", "12", "on");
        tree.plug(&node("event9", "Encoder", ("d209", "0310"), "0003", typing), "1ms", "12", "on");
        let text = "[[pool]]\nid = \"a\"\nmatch = { vendor = \"1234\", product = \"0001\" }\n\
                    [[pool]]\nid = \"b\"\nmatch = { vendor = \"1234\", product = \"0002\" }\n\
                    [[pool]]\nid = \"c\"\nmatch = { vendor = \"d209\" }\n\
                    [[pool]]\nid = \"d\"\nmatch = { vendor = \"9999\" }\n";
        let config = Config::parse(text, "test").unwrap();
        let (devices, _) = look(&config, &tree.places).unwrap();
        let brief: Vec<_> = devices
            .iter()
            .map(|device| {
                (device.pool.as_str(), device.is_keyboard, device.wireless, device.interval.is_ok())
            })
            .collect();
        let want =
            [("a", true, None, true), ("b", false, Some("Bluetooth"), false), ("c", false, None, true)];
        assert_eq!(brief, want);
        let pools = super::super::pools(&config, Some(&devices));
        assert_eq!(pools.iter().map(|pool| pool.found).collect::<Vec<_>>(), [1, 1, 1, 0]);
    }
}
