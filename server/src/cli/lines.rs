//! Lines for the configuration, as `buzzerd devices` prints them. In: what is to be said of devices. Out: text to copy.
//! Guarantee: each line stands alone and parses as it is printed; no id is told twice or has a pool already.

use std::collections::BTreeSet;
use std::fmt::Write;

use buzzer_core::device::advice::exact_match;
use buzzer_core::device::assign::remarks::{Advice, Place, Remark};
use buzzer_core::device::claim::Match;
use buzzer_core::device::identity::Identity;
use buzzer_server::config::Config;

use super::device::{Device, Row};

/// What was told so far.
pub(super) struct Lines<'a> {
    devices: &'a [Device],
    /// Without configuration every known device is a pool; the first `[[pool]]` ends that.
    is_configured: bool,
    ids: BTreeSet<String>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(config: &Config, devices: &'a [Device]) -> Self {
        let ids = config.pools.iter().map(|pool| pool.id.to_string()).collect();
        Self { devices, is_configured: !config.pools.is_empty(), ids }
    }

    /// The lines of a remark, each below what it brings about.
    pub(super) fn of(&mut self, remark: &Remark, indent: &str) -> String {
        let mut out = String::new();
        for Advice { place, line, effect } in &remark.advice {
            // Writing to memory cannot fail.
            let _ = match place {
                Place::Entry(_, entry) => {
                    writeln!(out, "{indent}{effect}, write in {entry}:\n{indent}    {line}")
                }
                Place::New => writeln!(out, "{indent}{effect}. Add:")
                    .map(|()| out.push_str(&self.pool("more", line, indent))),
            };
        }
        out
    }

    /// The pool that a device which nobody asks for would be.
    pub(super) fn using(&mut self, row: &Row) -> String {
        let (head, matcher) = ("    to use it, write in the configuration", self.only(row));
        self.block(row, head, &matcher)
    }

    /// A line for the device of a row, which serves a slot; `entry`: the configuration's, where it has one.
    pub(super) fn setting(&mut self, row: &Row, entry: Option<&str>, line: &str) -> String {
        let key = line.split(' ').next().unwrap_or_default();
        match entry {
            None => {
                let lines = format!("{}\n{line}", self.only(row));
                self.block(row, "    to have it counted, write in the configuration", &lines)
            }
            Some(entry) => {
                // One of several in a list has a number, and stands in braces.
                let is_listed = !entry.ends_with('"');
                let how = if is_listed { ", before its closing brace and behind a comma" } else { "" };
                format!(
                    "    to have it counted, write in {entry}{how} (in place of the {key} that is there, if one is):\n        {line}\n"
                )
            }
        }
    }

    /// What matches this device and no other one.
    fn only(&self, row: &Row) -> String {
        let others: Vec<&Identity> = self
            .devices
            .iter()
            .map(|device| &device.row.identity)
            .filter(|other| !other.is_same_instance(&row.identity))
            .collect();
        let matcher: Match = exact_match(&row.identity, &others);
        matcher.to_string()
    }

    fn block(&mut self, row: &Row, head: &str, lines: &str) -> String {
        let rest = if !self.is_configured && self.devices.iter().any(|device| device.pool.is_some()) {
            ", and such a [[pool]] for each of the others too, which then are no pools by themselves"
        } else {
            ""
        };
        let id = row.profile.unwrap_or("mine");
        format!("{head} (the id is yours to choose){rest}:\n{}", self.pool(id, lines, "    "))
    }

    fn pool(&mut self, id: &str, lines: &str, indent: &str) -> String {
        let numbered = (2..).map(|number| format!("{id}-{number}"));
        let mut free = std::iter::once(id.to_owned()).chain(numbered).filter(|id| !self.ids.contains(id));
        let id = free.next().unwrap_or_default();
        self.ids.insert(id.clone());
        let lines = lines.replace('\n', &format!("\n{indent}    "));
        format!("{indent}    [[pool]]\n{indent}    id = \"{id}\"\n{indent}    {lines}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::device::tests::device;

    /// What is printed below the line that says where to write it.
    fn block(text: &str) -> String {
        text.lines().skip(1).map(|line| format!("{}\n", line.trim())).collect()
    }

    fn delays(config: &Config) -> Vec<Option<u64>> {
        let buzzer_server::config::PoolSource::Hardware(entries) = &config.pools[0].source else {
            panic!("virtual")
        };
        entries.iter().map(|entry| entry.delay.delay_us.map(|us| us.max_us.as_us())).collect()
    }

    #[test]
    fn a_line_for_a_device_is_a_valid_configuration_where_it_is_said_to_stand() {
        const LINE: &str = "delay_us = [100, 2000]";
        let devices = [device("event1", Some("pad-1.1"), 8, "a"), device("event2", Some("pad-1.2"), 8, "b")];
        let of = |config: &str, entry: Option<&str>| {
            let config = Config::parse(config, "test.toml").unwrap();
            Lines::new(&config, &devices).setting(&devices[0].row, entry, LINE)
        };
        // Without pools: one that matches this device alone.
        let text = of("", None);
        assert!(text.contains("such a [[pool]] for each of the others too"), "{text}");
        let made = Config::parse(&block(&text), "test.toml").unwrap();
        assert_eq!((made.pools.len(), delays(&made)), (1, vec![Some(2000)]), "{text}");
        // The pool of one device.
        let one = "[[pool]]\nid = \"a, device 1\"\nmatch = { name = \"a\" }\n";
        let text = of(one, Some("pool \"a, device 1\""));
        assert!(!text.contains("brace"), "{text}");
        assert_eq!(delays(&Config::parse(&format!("{one}{}", block(&text)), "").unwrap()), [Some(2000)]);
        // One of several.
        let several = "[[pool]]\nid = \"a\"\ndevice = [{ match.name = \"a\", buzzers.1 = 28 }, { match.name = \"b\", buzzers.2 = 28 }]";
        let text = of(several, Some("pool \"a\", device 2"));
        assert!(
            text.contains("in pool \"a\", device 2, before its closing brace and behind a comma"),
            "{text}"
        );
        let written = several.replace("28 }]", &format!("28, {} }}]", block(&text).trim()));
        assert_eq!(delays(&Config::parse(&written, "").unwrap()), [None, Some(2000)]);
    }
}
