//! The settle window that fits what was seen. In: how late presses came. Out: the window to configure, and the warning that
//! names it. Guarantee: advice only, the window in use never moves by itself (two evenings with one configuration have one
//! rule); `buzzerd doctor`, `/healthz` and the running daemon's warning give the same value.

use buzzer_core::time::{KernelTime, Micros};

/// Above this a lamp no longer feels like the press's own.
pub const FIT_US_MAX: Micros = Micros::from_ms(20);
/// What was seen is not the worst that there is.
const MARGIN: u64 = 4;
/// A warning is given at most this often.
const WARN_US: Micros = Micros::from_ms(60_000);

/// The window that fits when a press left `late_us_max` after its stamp; `None` if none was late.
pub fn fit(late_us_max: Micros) -> Option<Micros> {
    let fit = Micros::from_us(late_us_max.as_us().saturating_mul(MARGIN)).min(FIT_US_MAX);
    (fit > Micros::ZERO).then_some(fit)
}

/// The line of the configuration that sets it.
pub fn line(settle_us: Micros) -> String {
    format!("[order] settle_us = {}", settle_us.as_us())
}

/// Warns of late presses, not too often.
#[derive(Clone, Copy, Debug, Default)]
pub struct LateWarning {
    /// When it last warned, and how many late presses there were by then.
    warned: Option<(KernelTime, u64)>,
}

impl LateWarning {
    /// What to say, if anything. `late`: late presses since the start, `late_us_max`: the greatest age of one.
    pub fn check(
        &mut self,
        late: u64,
        late_us_max: Micros,
        settle_us: Micros,
        now: KernelTime,
    ) -> Option<String> {
        let before = match self.warned {
            Some((at, before)) if late == before || now.since(at) < WARN_US => return None,
            None if late == 0 => return None,
            Some((_, before)) => before,
            None => 0,
        };
        self.warned = Some((now, late));
        let presses = match late - before {
            1 => "a press came to light".to_owned(),
            several => format!("{several} presses came to light"),
        };
        let cure = match fit(late_us_max) {
            Some(fit) if fit > settle_us => {
                format!("if that happens again, write in the configuration {} and restart", line(fit))
            }
            _ => {
                "the settle window is long enough already: `buzzerd doctor` says what else this machine needs"
                    .to_owned()
            }
        };
        Some(format!(
            "{presses} only after later ones had been told (up to {} us after its stamp, the settle window is {} us): told \
             at once and marked late, what had been told stays; {cure}",
            late_us_max.as_us(),
            settle_us.as_us(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Micros {
        Micros::from_us(us)
    }

    #[test]
    fn the_window_is_four_times_what_was_seen_up_to_20_ms() {
        for (seen, want) in [(0, None), (1, Some(4)), (2500, Some(10_000)), (90_000, Some(20_000))] {
            assert_eq!(fit(us(seen)).map(Micros::as_us), want);
        }
    }

    #[test]
    fn late_presses_are_told_once_a_minute_with_the_line_to_write() {
        let mut warning = LateWarning::default();
        let mut check = |late, seen, minute: u64| {
            warning.check(late, us(seen), us(2000), KernelTime::from_us(minute * 60_000_000))
        };
        assert_eq!(check(0, 0, 1), None);
        let text = check(1, 3100, 2).unwrap();
        assert!(text.starts_with("a press came to light only after later ones"), "{text}");
        assert!(text.contains("[order] settle_us = 12400 and restart"), "{text}");
        assert_eq!(check(5, 3100, 2), None, "within the minute");
        let text = check(5, 3100, 3).unwrap();
        assert!(text.starts_with("4 presses"), "{text}");
        assert_eq!(check(5, 3100, 9), None, "nothing new");
        let text = check(6, 400, 10).unwrap();
        assert!(text.contains("long enough already"), "{text}");
    }
}
