//! The configuration as the log keeps it. In: [`Config`]. Out: `key = value` texts of all that the order of presses depends
//! on, with the values that hold. Guarantee: no text is longer than [`SETTING_CHARS_MAX`] characters, so that the code that puts them
//! into records can keep lines short.

use buzzer_core::device::claim::Match;
use buzzer_core::device::delay::Span;
use buzzer_core::quote::Toml;

use super::{Config, DeviceEntry, PoolSource, VirtualStamps};

/// Longer texts are cut, and end in `…`.
pub const SETTING_CHARS_MAX: usize = 500;

/// All of them, in the order of the file.
pub fn settings(config: &Config) -> Vec<String> {
    let mut settings = Vec::new();
    let mut set = |key: String, value: String| settings.push(cut(format!("{key} = {value}")));
    set("order.settle_us".to_owned(), config.order.settle_us.as_us().to_string());
    set("order.debounce_us".to_owned(), config.order.debounce_us.as_us().to_string());
    for (pool, number) in config.pools.iter().zip(1..) {
        let pool_key = format!("pool[{number}]");
        set(format!("{pool_key}.id"), Toml(pool.id.as_str()).to_string());
        set(format!("{pool_key}.autoconnect"), pool.autoconnect.to_string());
        set(format!("{pool_key}.debounce_us"), pool.debounce_us.as_us().to_string());
        match &pool.source {
            PoolSource::Virtual { socket, stamps, delay } => {
                set(format!("{pool_key}.socket"), Toml(&socket.display().to_string()).to_string());
                let stamps = match stamps {
                    VirtualStamps::Receipt => "\"receipt\"",
                    VirtualStamps::Sender => "\"sender\"",
                };
                set(format!("{pool_key}.stamps"), stamps.to_owned());
                set(format!("{pool_key}.delay_us"), span(delay.us));
                if let Some(scan_us) = delay.scan_us {
                    set(format!("{pool_key}.scan_us"), scan_us.as_us().to_string());
                }
            }
            PoolSource::Hardware(entries) => {
                for (entry, number) in entries.iter().zip(1..) {
                    device(&format!("{pool_key}.device[{number}]"), entry, &mut set);
                }
            }
        }
    }
    settings
}

fn device(key: &str, entry: &DeviceEntry, set: &mut impl FnMut(String, String)) {
    let DeviceEntry { matcher, buzzers, delay } = entry;
    let Match { vendor, product, name, phys, uniq } = matcher;
    for (part, id) in [("vendor", vendor), ("product", product)] {
        if let Some(id) = id {
            set(format!("{key}.match.{part}"), format!("\"{id:04x}\""));
        }
    }
    for (part, text) in [("name", name), ("phys", phys), ("uniq", uniq)] {
        if let Some(text) = text {
            set(format!("{key}.match.{part}"), Toml(text.pattern()).to_string());
        }
    }
    for (code, buzzer) in buzzers.iter().flatten() {
        set(format!("{key}.buzzers.{}", buzzer.0), format!("\"{code}\""));
    }
    if let Some(delay_us) = delay.delay_us {
        set(format!("{key}.delay_us"), span(delay_us));
    }
    if let Some(scan_us) = delay.scan_us {
        set(format!("{key}.scan_us"), scan_us.as_us().to_string());
    }
}

fn span(us: Span) -> String {
    format!("[{}, {}]", us.min_us.as_us(), us.max_us.as_us())
}

fn cut(text: String) -> String {
    match text.char_indices().nth(SETTING_CHARS_MAX - 1) {
        Some((at, _)) if at < text.len() => format!("{}…", &text[..at]),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_example_that_order_depends_on_is_there() {
        let config = Config::parse(super::super::EXAMPLE, "example").unwrap();
        let settings = settings(&config);
        for want in [
            "order.settle_us = 2000",
            "order.debounce_us = 15000",
            "pool[1].id = \"stage\"",
            "pool[1].autoconnect = true",
            "pool[1].device[1].match.vendor = \"054c\"",
            "pool[1].device[1].buzzers.2 = \"BTN_TRIGGER_HAPPY6\"",
            "pool[2].device[2].match.phys = \"usb-*-1.2/*\"",
            "pool[3].stamps = \"receipt\"",
            "pool[3].delay_us = [0, 1000]",
        ] {
            assert!(settings.iter().any(|setting| setting == want), "{want}: {settings:#?}");
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(cut("x".repeat(9999)).chars().count(), SETTING_CHARS_MAX);
        assert_eq!(cut("x".repeat(SETTING_CHARS_MAX - 1)).chars().count(), SETTING_CHARS_MAX - 1);
    }
}
