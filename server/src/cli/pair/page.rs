//! What `buzzerd devices --measure-pair` says. In: the two seats and the presses that were seen. Out: the call to begin,
//! progress, a page for people or one JSON object, and why there is no line. Guarantee: pure; text and JSON say the same, and a
//! line only where [`lines`] has one.

use std::fmt::{self, Write};

use buzzer_core::device::delay::fairness::UNEQUAL;
use buzzer_core::device::delay::{Delay, Span};
use buzzer_core::device::pair::lines::{self, GAP_US_MIN, NoLine};
use buzzer_core::device::pair::{PAIRS_MIN, PERCENTS, Pairing, Presses, Side, Spread};
use buzzer_core::time::Micros;
use buzzer_server::config::DELAY_US_MAX;
use buzzer_server::counted::counted;
use buzzer_server::io::machine::hardware::INPUT_DIR;
use buzzer_server::judge::explain::words::in_ms;
use serde_json::{Value, json};

use super::reasons::{is_known, words};
use super::seat::{Seat, is_one_device, us_as_ms};

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) presses: Presses,
    pub(super) bounces: usize,
    pub(super) untimed: usize,
}

/// What can be configured.
enum Line {
    Scan(Micros),
    Delay(Span),
}

/// What it comes to.
struct Outcome {
    pairing: Pairing,
    spread: Option<Spread>,
    line: Result<Line, NoLine>,
    /// Whether the pairs can be trusted, line or not.
    trusted: Result<(), NoLine>,
}

impl fmt::Display for Line {
    /// As the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scan(us) => write!(f, "scan_us = {}", us.as_us()),
            Self::Delay(us) => write!(f, "delay_us = [{}, {}]", us.min_us.as_us(), us.max_us.as_us()),
        }
    }
}

/// What to do, line by line.
pub(super) fn call(seats: &[Seat; 2], times: usize) -> [String; 2] {
    let [a, b] = seats;
    let devices = match is_one_device(seats) {
        true => format!("two buttons of {}", a.found.identity.describe()),
        false => format!("{} and {}", a.found.identity.describe(), b.found.identity.describe()),
    };
    [
        format!("{} and {}: {devices}", a.name, b.name),
        format!(
            "close both at once, {times} times, about once a second: lay a stiff plank across both buttons and press it down in \
             its middle, or use one switch of two poles. Ctrl-C ends it early; fewer than {PAIRS_MIN} pairs give no line"
        ),
    ]
}

/// How far it is.
pub(super) fn progress(pairing: &Pairing, times: usize) -> String {
    let mut text = format!("{} of {times}", pairing.count());
    let unsure = pairing.alone[0] + pairing.alone[1] + pairing.unclear;
    // The latest press waits for its partner.
    if unsure > 1 {
        let _ = write!(text, ", {} without a sure partner", counted(unsure as u64, "press"));
    }
    if pairing.count() > 2 && pairing.gap_us.is_some_and(|us| us < GAP_US_MIN) {
        text.push_str(", too fast: hit at most three times a second");
    }
    text
}

fn outcome(seats: &[Seat; 2], measured: &Measured) -> Outcome {
    let [a, b] = seats.each_ref().map(|seat| &seat.found);
    let pairing = measured.presses.pairing();
    let trusted = lines::trusted(&pairing);
    let line = trusted.as_ref().map_err(|why| *why).and_then(|spread| match is_one_device(seats) {
        true => {
            let is_forced = a.identity.endpoint.is_some_and(|endpoint| endpoint.is_forced);
            lines::scan_us(spread, &a.delay, is_forced).map(Line::Scan)
        }
        false => lines::delay_us(spread, &a.delay, &b.delay, DELAY_US_MAX).map(Line::Delay),
    });
    Outcome { spread: pairing.spread(), pairing, line, trusted: trusted.map(drop) }
}

/// The page; `setting`: where a line of a seat's device is to be written, with the line. With it, whether something was
/// measured.
pub(super) fn text(
    seats: &[Seat; 2],
    measured: &Measured,
    setting: impl FnOnce(&Seat, &str) -> String,
) -> (String, Result<(), NoLine>) {
    let outcome = outcome(seats, measured);
    let [a, b] = seats;
    let Pairing { alone, unclear, .. } = outcome.pairing;
    let what = if is_one_device(seats) { "one device" } else { "two devices" };
    let pairs = counted(outcome.pairing.count() as u64, "pair");
    // Writing to memory cannot fail.
    let mut out = format!("{} and {}, {what}: {pairs}\n", a.name, b.name);
    let _ = writeln!(
        out,
        "    Not among them: {} of {} and {} of {} without a partner, {} with more than one; {}; {} without a sure time",
        counted(alone[0] as u64, "press"),
        a.name,
        alone[1],
        b.name,
        unclear,
        counted(measured.bounces as u64, "bounce"),
        measured.untimed,
    );
    if let Some(spread) = &outcome.spread {
        table(&mut out, seats, spread);
        match is_one_device(seats) {
            true => one_device(&mut out, seats, spread),
            false => two_devices(&mut out, seats, spread),
        }
    }
    match &outcome.line {
        Ok(line) => {
            let seat = if is_one_device(seats) { a } else { b };
            out.push_str(&line_means(seats, line));
            out.push_str(&setting(seat, &line.to_string()));
        }
        Err(why) => {
            let _ = writeln!(
                out,
                "    No line for the configuration: {}",
                words(*why, seats, outcome.spread.as_ref())
            );
        }
    }
    (out, outcome.trusted)
}

fn table(out: &mut String, seats: &[Seat; 2], spread: &Spread) {
    let [a, b] = seats;
    let name = |percent| match percent {
        0 => "least".to_owned(),
        50 => "median".to_owned(),
        100 => "most".to_owned(),
        percent => format!("{percent} %"),
    };
    let row = |cells: [String; 7]| cells.map(|cell| format!("{cell:>10}")).concat();
    let [first, second] = spread.halves_us.map(in_ms);
    let _ = writeln!(
        out,
        "    The stamp of {} without that of {}, ms (above 0: {} is told first):\n    {}\n    {}\n    Median of the first half {first}, of the second {second}: a plank that is turned round between and closed one \
         first shows here",
        b.name,
        a.name,
        a.name,
        row(PERCENTS.map(name)),
        row(spread.quantiles_us.map(in_ms)),
    );
}

fn one_device(out: &mut String, seats: &[Seat; 2], spread: &Spread) {
    let [a, b] = seats;
    let _ = writeln!(
        out,
        "    In one report: {} of {} ({} %). Greatest lead of {} {} ms, of {} {} ms, though both were closed at once",
        spread.equal,
        spread.pairs,
        spread.equal * 100 / spread.pairs.max(1),
        a.name,
        us_as_ms(spread.lead_us(Side::A)),
        b.name,
        us_as_ms(spread.lead_us(Side::B)),
    );
}

fn two_devices(out: &mut String, seats: &[Seat; 2], spread: &Spread) {
    let [a, b] = seats;
    let median = us_as_ms(spread.median_us().unsigned_abs());
    let (first, second) = if spread.median_us() < 0 { (b, a) } else { (a, b) };
    let fair_ms = UNEQUAL.as_us() / 1000;
    let (verdict, cure) = match lines::is_fair(spread) {
        true => ("The seats are fair to each other", ""),
        false => ("! The seats are not fair", ". Give both the same model"),
    };
    let _ = writeln!(
        out,
        "    {verdict}: of one moment {} is told {median} ms before {} (median; up to {fair_ms} ms is called fair){cure}",
        first.name, second.name
    );
    if !is_known(a) && is_twin(seats) {
        let width = us_as_ms(a.found.delay.width_us.as_us());
        let _ = writeln!(
            out,
            "    Both are one model that nobody has measured: their order is certain from a lead of {width} ms on. That these two \
             differed by at most {} ms has no key of its own: measure each beside a device whose delay is known, and write \
             both delay_us",
            us_as_ms(spread.greatest_us())
        );
    }
}

/// Whether what is the same in both cancels.
fn is_twin([a, b]: &[Seat; 2]) -> bool {
    let Delay { model, poll_us, .. } = a.found.delay;
    let other = &b.found;
    model.is_some()
        && (model, poll_us) == (other.delay.model, other.delay.poll_us)
        && a.found.identity.name == other.identity.name
}

/// What a line brings about.
fn line_means(seats: &[Seat; 2], line: &Line) -> String {
    let [a, b] = seats;
    let delay = &a.found.delay;
    let scan_us = match line {
        Line::Scan(us) => us.as_us(),
        Line::Delay(_) => {
            let [min, max] = [delay.us.min_us, delay.us.max_us].map(|us| us_as_ms(us.as_us()));
            let margins = match lines::margins_us(delay, &b.found.delay) {
                None | Some((0, 0)) => String::new(),
                Some((below, above)) => format!(
                    ", with {} ms less and {} ms more for what so few presses do not show",
                    below / 1000,
                    above / 1000
                ),
            };
            return format!(
                "    The delay of {} is that of {}, {min} to {max} ms, and the difference{margins}\n",
                b.name, a.name
            );
        }
    };
    let with = delay.poll_us.map_or(0, Micros::as_us) + scan_us;
    let mut text = format!(
        "    Their order is certain from a lead of {} ms on with this line; now it is from {} ms on\n",
        us_as_ms(with),
        us_as_ms(border_us(delay))
    );
    let all = a.found.keys.buzzers().len();
    if all > 2 {
        let _ = writeln!(
            text,
            "    ! That is so for these two. The device has {all} buzzers, and it may look at others farther apart: measure every \
             pair that plays, and write the greatest scan_us of all"
        );
    }
    text
}

/// From which lead on the order of two buttons of this device is certain.
fn border_us(delay: &Delay) -> u64 {
    match (delay.scan_us, delay.poll_us) {
        (Some(Micros::ZERO), _) => 0,
        (Some(scan_us), Some(poll_us)) => scan_us.as_us() + poll_us.as_us(),
        _ => delay.width_us.as_us(),
    }
}

/// One object; with it, whether something was measured.
pub(super) fn json(seats: &[Seat; 2], measured: &Measured, times: usize) -> (String, Result<(), NoLine>) {
    let outcome = outcome(seats, measured);
    let seat = |seat: &Seat, alone: usize| {
        json!({
            "pool": seat.pool,
            "buzzer": seat.buzzer,
            "node": format!("{INPUT_DIR}/{}", seat.found.identity.node),
            "name": seat.found.identity.name,
            "delay_us": [seat.found.delay.us.min_us.as_us(), seat.found.delay.us.max_us.as_us()],
            "delay_basis": seat.found.delay.basis.name(),
            "alone": alone,
        })
    };
    let [a, b] = seats;
    let spread = outcome.spread.as_ref();
    let is_one = is_one_device(seats);
    let of_two = |value: Option<Value>| value.filter(|_| !is_one);
    let target = if is_one { a } else { b };
    let line = json!({
        "a": seat(a, outcome.pairing.alone[0]),
        "b": seat(b, outcome.pairing.alone[1]),
        "one_device": is_one,
        "times": times,
        "pairs": outcome.pairing.count(),
        "unclear": outcome.pairing.unclear,
        "bounces": measured.bounces,
        "untimed": measured.untimed,
        "gap_us": outcome.pairing.gap_us,
        "window_us": outcome.pairing.window_us,
        "percent": PERCENTS,
        "difference_us": spread.map(|spread| spread.quantiles_us),
        "mean_us": spread.map(|spread| spread.mean_us),
        "half_medians_us": spread.map(|spread| spread.halves_us),
        "equal": spread.map(|spread| spread.equal),
        "fair": of_two(spread.map(|spread| lines::is_fair(spread).into())),
        "line": outcome.line.as_ref().ok().map(ToString::to_string),
        "line_pool": outcome.line.as_ref().ok().map(|_| &target.pool),
        "line_entry": outcome.line.as_ref().ok().and(target.entry.as_ref()),
        "no_line": outcome.line.as_ref().err().map(|why| words(*why, seats, outcome.spread.as_ref())),
    });
    (format!("{line}\n"), outcome.trusted)
}

#[cfg(test)]
mod tests;
