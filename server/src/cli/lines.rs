//! Lines for the configuration, as `buzzerd devices` prints them. In: what is to be said of devices. Out: text to copy.
//! Guarantee: each line stands alone and parses as it is printed; no id is told twice or has a pool already.

use std::collections::BTreeSet;
use std::fmt::Write;

use buzzer_core::assign::remarks::{Advice, Place, Remark};
use buzzer_core::claim::{Match, exact_match};
use buzzer_core::identity::Identity;
use buzzer_server::config::Config;

use super::devices::{Device, Row};

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
                // One of several in a list stands in braces.
                let how = if entry.contains(", device ") {
                    ", before its closing brace and behind a comma"
                } else {
                    ""
                };
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
