//! Why `buzzerd devices --measure-pair` has no line. In: the reason, the seats. Out: words, with what to do. Guarantee: pure.

use buzzer_core::device::pair::lines::{self, GAP_US_MIN, NoLine};
use buzzer_core::device::pair::{PAIRS_MIN, Spread};
use buzzer_server::config::DELAY_US_MAX;

use super::seat::{Seat, us_as_ms};

/// Whether another one's delay can be found beside it.
pub(super) fn is_known(seat: &Seat) -> bool {
    lines::margins_us(&seat.found.delay, &seat.found.delay).is_some()
}

/// Why, and what to do.
pub(super) fn words(why: NoLine, seats: &[Seat; 2], spread: Option<&Spread>) -> String {
    let [a, b] = seats;
    match why {
        NoLine::TooFew => format!("at least {PAIRS_MIN} pairs are needed. Start again and go on for longer"),
        NoLine::TooFast => format!(
            "the strokes came less than {} ms after each other, so which presses belong together is not sure. Start again, \
             about once a second",
            GAP_US_MIN / 1000
        ),
        NoLine::Unsure => "too many presses have no sure partner. See that each stroke closes both buttons once, and start again"
            .to_owned(),
        NoLine::TooFar => format!(
            "a difference of {} ms is too long for strokes that come so fast: which presses belong together is not sure. Start \
             again, more slowly",
            us_as_ms(spread.map_or(0, Spread::greatest_us))
        ),
        NoLine::NoPoll => "how often its device is polled is not known, and without that a scan_us changes nothing".to_owned(),
        NoLine::Forced => "a parameter of usbhid (jspoll, kbpoll, mousepoll) may have it polled otherwise than it asks. Take it \
                           away, plug the device in again, and start again"
            .to_owned(),
        NoLine::Unknown if is_known(b) => format!(
            "the delay of {} is not known, but that of {} is: measure the other way round, with {} first",
            a.name, b.name, b.name
        ),
        NoLine::Unknown => format!(
            "the delay of {} is not known either. Take as A a device whose model was measured (`buzzerd devices` says \"was \
             measured\") or whose delay_us is configured",
            a.name
        ),
        NoLine::Contradiction => format!(
            "{} was told so much earlier that the delay of {} ({} to {} us) cannot be true",
            b.name,
            a.name,
            a.found.delay.us.min_us.as_us(),
            a.found.delay.us.max_us.as_us()
        ),
        NoLine::TooLong => format!("a delay above {} us cannot be configured", DELAY_US_MAX.as_us()),
    }
}
