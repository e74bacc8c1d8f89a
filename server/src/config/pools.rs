//! The pools of a configuration. In: the list under `pool`. Out: [`PoolConfig`]s. Guarantee: ids and sockets are unique,
//! a pool has one kind of source and only the keys of that kind, a number is in a pool once and a key in a device once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use buzzer_core::device::claim::{Glob, Match};
use buzzer_core::device::delay::{Configured, Span};
use buzzer_core::device::identity::parse_id;
use buzzer_core::event::Buzzer;
use buzzer_core::press::keys::{KeyCode, UnknownKey};
use buzzer_core::time::Micros;

use super::document::{self, Place, Refusal, Table};
use super::{DEBOUNCE_US_MAX, DELAY_US_MAX, SOCKET_PATH_BYTES_MAX, absolute_path, micros};
use super::{DeviceEntry, PoolConfig, PoolId, PoolSource, VirtualStamps};

/// Every `[[pool]]`; `debounce_us` is for those that set none and whose presses have stamps of their own.
pub(super) fn pools(place: &Place<'_>, debounce_us: Micros) -> Result<Vec<PoolConfig>, Refusal> {
    let mut pools = Vec::new();
    let mut ids: BTreeMap<PoolId, String> = BTreeMap::new();
    let mut sockets: BTreeMap<PathBuf, String> = BTreeMap::new();
    for place in place.list("a list: write [[pool]], in double brackets")? {
        let table = place.table("a table [[pool]]")?;
        let pool = pool(&table, debounce_us)?;
        if let Some(first) = ids.insert(pool.id.clone(), place.key.clone()) {
            let id = table.need("id", "")?;
            return Err(id.expected(&format!("an id of its own: this one is that of {first}")));
        }
        if let PoolSource::Virtual { socket, .. } = &pool.source
            && let Some(first) = sockets.insert(socket.clone(), place.key.clone())
        {
            let socket = table.need("socket", "")?;
            return Err(socket.expected(&format!("a path of its own: this one is that of {first}")));
        }
        pools.push(pool);
    }
    Ok(pools)
}

fn pool(table: &Table<'_>, debounce_us: Micros) -> Result<PoolConfig, Refusal> {
    const KEYS: [&str; 11] = [
        "id",
        "match",
        "buzzers",
        "device",
        "socket",
        "stamps",
        "debounce_us",
        "delay_us",
        "scan_us",
        "uncertainty_us",
        "autoconnect",
    ];
    table.only(&KEYS)?;
    const ID: &str = "a pool id of 1 to 64 printable ASCII characters";
    let id = match table.is_out("id") {
        true => table.key.parse().map_err(|_| table.refuse("a table that cannot be named"))?,
        false => table.need("id", ID)?.parsed(ID, |text| text.parse().ok())?,
    };
    let autoconnect = table.get("autoconnect").map_or(Ok(false), |place| place.boolean())?;
    let own_us = micros(table, "debounce_us", DEBOUNCE_US_MAX)?;
    let source = source(table)?;
    // What is read together has one time there, so a debounce that nobody asked for would eat presses.
    let is_receipt = matches!(source, PoolSource::Virtual { stamps: VirtualStamps::Receipt, .. });
    let default_us = if is_receipt { Micros::ZERO } else { debounce_us };
    Ok(PoolConfig { id, autoconnect, debounce_us: own_us.unwrap_or(default_us), source })
}

fn source(table: &Table<'_>) -> Result<PoolSource, Refusal> {
    const KINDS: [&str; 3] = ["match", "device", "socket"];
    let kinds: Vec<_> = table.entries().into_iter().filter(|(name, _)| KINDS.contains(name)).collect();
    let [(kind, place)] = kinds.as_slice() else {
        return Err(match kinds.as_slice() {
            [] if KINDS.iter().any(|name| table.is_out(name)) => {
                let buzzers = table.get("buzzers");
                buzzers.map(|place| buzzer_keys(&place, &mut BTreeMap::new())).transpose()?;
                return Ok(PoolSource::Hardware(Vec::new()));
            }
            [(first, _), (second, place), ..] => place.refuse(format!(
                "found {second} beside {first}, expected exactly one of match, device and socket in a pool"
            )),
            _ => table.refuse("found none of match, device and socket, expected exactly one of them"),
        });
    };
    let delay = delay(table)?;
    if *kind == "socket" {
        refuse_key(table, "buzzers", "each attachment to the socket says which buzzers it has")?;
        return virtual_source(place, table.get("stamps"), delay);
    }
    refuse_key(table, "stamps", "only a pool with a socket has it: hardware is stamped by the kernel")?;
    let mut numbers = BTreeMap::new();
    if *kind == "match" {
        let device = device(place, table.get("buzzers"), delay, &mut numbers)?;
        return Ok(PoolSource::Hardware(vec![device]));
    }
    refuse_key(table, "buzzers", "each entry of device has its own")?;
    let entries =
        place.filled_list("a list of devices such as [ { match = { phys = \"usb-*-1.1/*\" } } ]")?;
    let devices = entries.iter().map(|place| {
        let entry = place.table("a device such as { match = { phys = \"usb-*-1.1/*\" } }")?;
        entry.only(&["match", "buzzers", "delay_us", "scan_us", "uncertainty_us"])?;
        let buzzers = match entries.len() {
            1 => entry.get("buzzers"),
            // Two devices that both bring a profile would both be buzzers 1 to 4.
            _ => Some(entry.need("buzzers", "it in each of several devices: no number may be there twice")?),
        };
        let own = self::delay(&entry)?;
        let own =
            Configured { delay_us: own.delay_us.or(delay.delay_us), scan_us: own.scan_us.or(delay.scan_us) };
        device(&entry.need("match", MATCH)?, buzzers, own, &mut numbers)
    });
    Ok(PoolSource::Hardware(devices.collect::<Result<_, _>>()?))
}

fn refuse_key(table: &Table<'_>, name: &str, why: &str) -> Result<(), Refusal> {
    match table.get(name) {
        Some(place) => Err(place.refuse(format!("found {name}, expected none here: {why}"))),
        None => Ok(()),
    }
}

/// How long before its stamp a press was made, and the scan time.
fn delay(table: &Table<'_>) -> Result<Configured, Refusal> {
    const EXPECTED: &str = "the shortest and the longest delay in microseconds, such as [2000, 14000]";
    if let Some(old) = table.get("uncertainty_us") {
        let us =
            old.whole().filter(|us| *us <= DELAY_US_MAX.as_us()).map_or("N".to_owned(), |us| us.to_string());
        return Err(old.refuse(format!(
            "uncertainty_us is no more, a delay has a shortest and a longest value: write delay_us = [0, {us}]"
        )));
    }
    let ends = |place: Place<'_>| {
        let ends: Vec<Micros> = place
            .list(EXPECTED)?
            .iter()
            .map(|end| Ok(Micros::from_us(end.number(0..=DELAY_US_MAX.as_us(), "microseconds")?)))
            .collect::<Result<_, Refusal>>()?;
        match *ends {
            [min_us, max_us] if min_us <= max_us => Ok(Span::new(min_us, max_us)),
            _ => Err(place.expected(EXPECTED)),
        }
    };
    Ok(Configured {
        delay_us: table.get("delay_us").map(ends).transpose()?,
        scan_us: micros(table, "scan_us", DELAY_US_MAX)?,
    })
}

fn virtual_source(
    place: &Place<'_>,
    stamps: Option<Place<'_>>,
    configured: Configured,
) -> Result<PoolSource, Refusal> {
    const SOCKET: &str = "the absolute path of a socket, at most 107 bytes";
    let stamps = match stamps {
        None => VirtualStamps::default(),
        Some(place) => place.parsed(r#""receipt" or "sender""#, |text| match text {
            "receipt" => Some(VirtualStamps::Receipt),
            "sender" => Some(VirtualStamps::Sender),
            _ => None,
        })?,
    };
    let socket = absolute_path(place, SOCKET)?;
    let text = place.text(SOCKET)?;
    if text.len() > SOCKET_PATH_BYTES_MAX || text.ends_with('/') || Path::new(text).file_name().is_none() {
        return Err(place.expected(SOCKET));
    }
    Ok(PoolSource::Virtual { socket, stamps, delay: stamps.delay().configured(configured) })
}

const MATCH: &str = "a table with at least one of vendor, product, name, phys, uniq";

fn device(
    matcher: &Place<'_>,
    buzzers: Option<Place<'_>>,
    delay: Configured,
    numbers: &mut BTreeMap<Buzzer, String>,
) -> Result<DeviceEntry, Refusal> {
    let table = matcher.table(MATCH)?;
    table.only(&["vendor", "product", "name", "phys", "uniq"])?;
    let asked = Match {
        vendor: usb_id(&table, "vendor")?,
        product: usb_id(&table, "product")?,
        name: glob(&table, "name")?,
        phys: glob(&table, "phys")?,
        uniq: glob(&table, "uniq")?,
    };
    let buzzers = buzzers.map(|place| buzzer_keys(&place, numbers)).transpose()?;
    if asked.is_empty() {
        return Err(matcher.expected(MATCH));
    }
    Ok(DeviceEntry { matcher: asked, buzzers, delay })
}

fn usb_id(table: &Table<'_>, name: &str) -> Result<Option<u16>, Refusal> {
    // Four digits, as `lsusb` prints them. A bare number would be read as decimal, which no one means.
    let id = |text: &str| parse_id(text).filter(|_| text.len() == 4);
    table.get(name).map(|place| place.parsed(r#"four hex digits in quotes, such as "054c""#, id)).transpose()
}

fn glob(table: &Table<'_>, name: &str) -> Result<Option<Glob>, Refusal> {
    // An empty one would fit just the devices that have no such text, which are most.
    let glob = |text: &str| (!text.is_empty()).then(|| Glob::new(text));
    let expected = "a text that is not empty, in which * and ? stand for anything";
    table.get(name).map(|place| place.parsed(expected, glob)).transpose()
}

/// `{ "1" = "KEY_ENTER" }`. `numbers` are those of the pool so far, with the paths of their keys.
fn buzzer_keys(
    place: &Place<'_>,
    numbers: &mut BTreeMap<Buzzer, String>,
) -> Result<Vec<(KeyCode, Buzzer)>, Refusal> {
    const EXPECTED: &str = r#"a table of buzzer numbers and keys, such as { "1" = "KEY_ENTER" }"#;
    let entries = place.table(EXPECTED)?.entries();
    if entries.is_empty() {
        return Err(place.expected(EXPECTED));
    }
    let mut keys: BTreeMap<KeyCode, String> = BTreeMap::new();
    let mut pairs = Vec::with_capacity(entries.len());
    for (name, place) in entries {
        let Some(buzzer) = buzzer_number(name) else {
            let found = document::quoted(name);
            return Err(place.refuse(format!("found {found}, expected a buzzer number from 0 to 65535")));
        };
        if let Some(first) = numbers.insert(buzzer, place.key.clone()) {
            return Err(place.refuse(format!(
                "found buzzer {buzzer} again, expected each number once in a pool: {first} has it"
            )));
        }
        let key = key_code(&place)?;
        if let Some(first) = keys.insert(key, place.key.clone()) {
            return Err(place
                .refuse(format!("found {key} again, expected each key once in a device: {first} has it")));
        }
        pairs.push((key, buzzer));
    }
    pairs.sort_by_key(|(_, buzzer)| *buzzer);
    Ok(pairs)
}

fn buzzer_number(name: &str) -> Option<Buzzer> {
    // `parse` alone would take "+1".
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| name.parse().ok().map(Buzzer))?
}

/// A key by name, or by code with or without quotes.
fn key_code(place: &Place<'_>) -> Result<KeyCode, Refusal> {
    const EXPECTED: &str =
        "the name of a key such as KEY_ENTER or BTN_TRIGGER_HAPPY1, or a code from 0 to 767";
    if let Some(code) = place.whole() {
        return u16::try_from(code).ok().and_then(KeyCode::new).ok_or_else(|| place.expected(EXPECTED));
    }
    let text = place.text(EXPECTED)?;
    text.parse().map_err(|_: UnknownKey| {
        let hint = document::did_you_mean(text, KeyCode::names());
        place.refuse(format!("{} is no key: expected {EXPECTED}{hint}", document::quoted(text)))
    })
}
