//! The configuration. In: TOML text. Out: [`Config`], or every reason not to start, each a [`ConfigError`] with file,
//! line and key. Guarantee: a `Config` that came from here is valid: ids, sockets and numbers are unique, ranges are
//! kept, every key is a key. No file is read here and no name is resolved.
//!
//! What the fields of the file mean is written in [`EXAMPLE`].

mod document;
mod host;
mod origin;
mod pools;
pub mod settings;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use buzzer_core::device::claim::Match;
use buzzer_core::device::delay::{Configured, Delay};
use buzzer_core::event::Buzzer;
use buzzer_core::press::keys::KeyCode;
use buzzer_core::time::Micros;

use self::document::{Place, Refusal, Table};
pub use self::host::{Authority, Host};
pub use self::origin::Origin;
pub use crate::record::pool_id::PoolId;

/// A commented configuration that parses.
pub const EXAMPLE: &str = include_str!("../example.toml");

/// Where the daemon listens unless told otherwise: this machine only.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7400));
/// W, unless told otherwise.
pub const SETTLE_US_DEFAULT: Micros = Micros::from_us(2_000);
/// The longest W. Every press waits for it, and above a tenth of a second a lamp no longer belongs to its press.
pub const SETTLE_US_MAX: Micros = Micros::from_us(100_000);
/// How long a contact must have been open, unless told otherwise.
pub const DEBOUNCE_US_DEFAULT: Micros = Micros::from_us(15_000);
/// The longest debounce: a hand that hits again after a second means it.
pub const DEBOUNCE_US_MAX: Micros = Micros::from_us(1_000_000);
/// The longest delay that can be configured: who is a second late was not first.
pub const DELAY_US_MAX: Micros = Micros::from_us(1_000_000);
/// The longest wake-up that can be asked for; no processor sleeps deeper.
pub const CPU_DMA_LATENCY_US_MAX: Micros = Micros::from_us(10_000);
/// The least that `log.keep_bytes` can ask for: two segments.
pub const KEEP_BYTES_MIN: u64 = 16 << 20;
/// The largest number that TOML has.
const NUMBER_MAX: u64 = i64::MAX.cast_unsigned();
/// The longest socket path: `sun_path` has 108 bytes, one of them the final zero (`include/uapi/linux/un.h`).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The network.
    pub server: ServerConfig,
    /// The event log.
    pub log: LogConfig,
    /// The order of presses.
    pub order: OrderConfig,
    /// Pools in the order of the file. Empty: every recognised buzzer device is a pool.
    pub pools: Vec<PoolConfig>,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Addresses to listen on; never empty, none twice (port 0, any free one, may repeat).
    pub listen: Vec<SocketAddr>,
    /// Further hosts that requests may name.
    pub allowed_hosts: Vec<Host>,
    /// Further origins whose pages may connect.
    pub allowed_origins: Vec<Origin>,
    /// How long a processor may take to wake up while a pool with buzzers is connected, at most
    /// [`CPU_DMA_LATENCY_US_MAX`]. `None`: as the machine likes.
    pub cpu_dma_latency_us: Option<Micros>,
}

/// Earlier versions had this key.
const SECOND_DIR_REFUSED: &str = "no longer supported, a log has one directory: remove this line; if .jsonl files are in a \
     folder below that directory, move them into log.dir first";

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Directory of the log, absolute. `None`: the file does not say.
    pub dir: Option<PathBuf>,
    /// Segments that were last written so many days ago may be removed.
    pub keep_days: Option<u64>,
    /// The oldest segments may be removed beyond so many bytes.
    pub keep_bytes: Option<u64>,
}

/// `[order]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderConfig {
    /// The settle window W, at most [`SETTLE_US_MAX`].
    pub settle_us: Micros,
    /// Debounce of everything that does not set its own, but of pools with receipt stamps; at most [`DEBOUNCE_US_MAX`].
    pub debounce_us: Micros,
}

/// One `[[pool]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Its name, unique.
    pub id: PoolId,
    /// Whether it connects without a client asking.
    pub autoconnect: bool,
    /// Its own debounce or, where it sets none, that of `[order]`; with receipt stamps: or none.
    pub debounce_us: Micros,
    /// Where its buzzers come from.
    pub source: PoolSource,
}

/// Where the buzzers of a pool come from.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolSource {
    /// Devices of this machine, never none: one for `match`, as many as listed for `device`.
    Hardware(Vec<DeviceEntry>),
    /// Other programs, over a Unix socket.
    Virtual {
        /// Absolute, at most [`SOCKET_PATH_BYTES_MAX`] bytes, unique among the pools.
        socket: PathBuf,
        /// Whose time counts.
        stamps: VirtualStamps,
        /// How long before its stamp a press was made, at most [`DELAY_US_MAX`].
        delay: Delay,
    },
}

/// Whose time counts in a virtual pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VirtualStamps {
    /// That of the mediator when it reads.
    #[default]
    Receipt,
    /// That in the records.
    Sender,
}

impl VirtualStamps {
    /// How long before its stamp a press was made, unless told otherwise: with receipt stamps the reader's own delay;
    /// a sender says what its stamps are worth, and says nothing if they are exact.
    pub fn delay(self) -> Delay {
        match self {
            Self::Receipt => Delay::of_receipt(),
            Self::Sender => Delay::of_program(),
        }
    }
}

/// One physical device of a hardware pool.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceEntry {
    /// Which one; something is asked for.
    pub matcher: Match,
    /// Its keys and their buzzers, by number: no key twice, no number twice in the pool. `None`: the profile of known
    /// hardware, else every key; only where it is the pool's one device.
    pub buzzers: Option<Vec<(KeyCode, Buzzer)>>,
    /// How long before its stamp a press was made, at most [`DELAY_US_MAX`]: its own or, where it sets none, that of the
    /// pool; nothing: as the hardware tells.
    pub delay: Configured,
}

/// Why a configuration is refused: every mistake in it, in the order of the file; never none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {key}{}{message}", if .key.is_empty() { "" } else { ": " })]
pub struct ConfigError {
    /// The file, as it was named to [`Config::parse`].
    pub file: String,
    /// The line, counted from 1; for a missing key that of the table it is missing from.
    pub line: usize,
    /// The key's path: `pool[2].buzzers.1` is in the second `[[pool]]`. Empty where the text is no TOML.
    pub key: String,
    /// What was found and what was expected.
    pub message: String,
}

impl Config {
    /// What holds without a file.
    pub fn defaults(state_dir: PathBuf) -> Self {
        Self {
            server: ServerConfig {
                listen: vec![LISTEN_DEFAULT],
                allowed_hosts: Vec::new(),
                allowed_origins: Vec::new(),
                cpu_dma_latency_us: None,
            },
            log: LogConfig { dir: Some(state_dir), keep_days: None, keep_bytes: None },
            order: OrderConfig { settle_us: SETTLE_US_DEFAULT, debounce_us: DEBOUNCE_US_DEFAULT },
            pools: Vec::new(),
        }
    }

    /// Reads a configuration; `file` is its name in errors.
    ///
    /// # Errors
    /// [`ConfigErrors`]: the daemon must not start with this text.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigErrors> {
        let error = |refusal: Refusal| ConfigError {
            file: file.to_owned(),
            line: document::line_of(text, refusal.at),
            key: refusal.key,
            message: refusal.message,
        };
        document::judge(text, config)
            .map_err(|refusals| ConfigErrors(refusals.into_iter().map(error).collect()))
    }
}

fn config(root: &Table<'_>) -> Result<Config, Refusal> {
    root.only(&["server", "log", "order", "pool"])?;
    let server = server(&root.section("server")?)?;
    let log = log(&root.section("log")?)?;
    let order = order(&root.section("order")?)?;
    let pools = match root.get("pool") {
        Some(place) => pools::pools(&place, order.debounce_us)?,
        None => Vec::new(),
    };
    Ok(Config { server, log, order, pools })
}

fn server(table: &Table<'_>) -> Result<ServerConfig, Refusal> {
    table.only(&["listen", "allowed_hosts", "allowed_origins", "cpu_dma_latency_us"])?;
    let listen = match table.get("listen") {
        Some(place) => listen(&place)?,
        None => vec![LISTEN_DEFAULT],
    };
    let hosts = r#"a list of hosts such as ["quiz.example"]"#;
    let allowed_hosts = parsed_list(table, "allowed_hosts", hosts, host::EXPECTED, Host::parse)?;
    let origins = r#"a list of origins such as ["https://quiz.example"]"#;
    let allowed_origins = parsed_list(table, "allowed_origins", origins, origin::EXPECTED, Origin::parse)?;
    let cpu_dma_latency_us = micros(table, "cpu_dma_latency_us", CPU_DMA_LATENCY_US_MAX)?;
    Ok(ServerConfig { listen, allowed_hosts, allowed_origins, cpu_dma_latency_us })
}

/// A list of texts that `parse` accepts; empty where there is no such key.
fn parsed_list<T>(
    table: &Table<'_>,
    name: &str,
    expected: &str,
    expected_each: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Refusal> {
    let Some(list) = table.get(name) else { return Ok(Vec::new()) };
    list.list(expected)?.iter().map(|place| place.parsed(expected_each, &parse)).collect()
}

fn listen(place: &Place<'_>) -> Result<Vec<SocketAddr>, Refusal> {
    let mut listen: Vec<SocketAddr> = Vec::new();
    for place in place.filled_list(r#"a list of addresses such as ["127.0.0.1:7400"]"#)? {
        const EXPECTED: &str = r#"an IP address with its port, such as "127.0.0.1:7400" or "[::]:7400""#;
        let address = place.parsed(EXPECTED, |text| text.parse::<SocketAddr>().ok())?;
        // Refused here with its line, rather than at the second bind with "address in use".
        if address.port() != 0 && listen.contains(&address) {
            return Err(place.expected("each address once"));
        }
        listen.push(address);
    }
    Ok(listen)
}

fn log(table: &Table<'_>) -> Result<LogConfig, Refusal> {
    if let Some(place) = table.get("second_dir") {
        return Err(place.refuse(SECOND_DIR_REFUSED.to_owned()));
    }
    table.only(&["dir", "keep_days", "keep_bytes"])?;
    let dir = table.get("dir").map(|place| absolute_path(&place, "the absolute path of a directory"));
    let number =
        |name, least, unit| table.get(name).map(|place| place.number(least..=NUMBER_MAX, unit)).transpose();
    let (keep_days, keep_bytes) =
        (number("keep_days", 1, "days")?, number("keep_bytes", KEEP_BYTES_MIN, "bytes")?);
    Ok(LogConfig { dir: dir.transpose()?, keep_days, keep_bytes })
}

fn order(table: &Table<'_>) -> Result<OrderConfig, Refusal> {
    table.only(&["settle_us", "debounce_us"])?;
    Ok(OrderConfig {
        settle_us: micros(table, "settle_us", SETTLE_US_MAX)?.unwrap_or(SETTLE_US_DEFAULT),
        debounce_us: micros(table, "debounce_us", DEBOUNCE_US_MAX)?.unwrap_or(DEBOUNCE_US_DEFAULT),
    })
}

fn micros(table: &Table<'_>, name: &str, max: Micros) -> Result<Option<Micros>, Refusal> {
    let number = table.get(name).map(|place| place.number(0..=max.as_us(), "microseconds"));
    Ok(number.transpose()?.map(Micros::from_us))
}

/// An absolute path: a relative one would depend on where the daemon was started.
fn absolute_path(place: &Place<'_>, expected: &str) -> Result<PathBuf, Refusal> {
    let path = |text: &str| (text.starts_with('/') && !text.contains('\0')).then(|| PathBuf::from(text));
    place.parsed(expected, path)
}
