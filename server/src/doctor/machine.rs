//! What stamps presses, and how promptly. In: clock source, kernel, idle states. Out: findings on each. Guarantee: none of
//! them fails a box; the order stands on stamps, and these only say how good stamps are here.

use buzzer_core::time::Micros;

use super::Finding;
use super::facts::{Clock, Facts, Kernel, Read};
use super::fairness::ms;

/// Counters of the processor itself, or of a hypervisor's page: read in tens of ns, the same on every core.
const GOOD_CLOCKS: [&str; 7] = [
    "tsc",
    "arch_sys_counter",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "riscv_clocksource",
    "timebase",
    "tod",
];
/// Far away or coarse: reading them takes µs, and `jiffies` knows nothing below a few ms.
const POOR_CLOCKS: [&str; 4] = ["hpet", "acpi_pm", "jiffies", "refined-jiffies"];
/// A stamp is taken after the processor woke up; a ms is what people can argue about.
const WAKE_US_MAX: Micros = Micros::from_us(1000);

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    vec![
        clock(&facts.clock),
        kernel(&facts.kernel, &facts.is_virtual),
        idle(&facts.idle, facts.cpu_dma_latency_us),
    ]
}

fn clock(clock: &Read<Clock>) -> Finding {
    const CHECK: &str = "clock source";
    Finding::of(CHECK, clock, "It tells how fine the times of presses are.", |clock| {
        let current = clock.current.as_str();
        if GOOD_CLOCKS.contains(&current) {
            return Finding::ok(CHECK, current, "Fine enough for presses that are 1 µs apart.");
        }
        let better =
            GOOD_CLOCKS.iter().find(|good| clock.available.iter().any(|available| available == *good));
        let cure = match better {
            Some(better) => {
                format!(
                    "echo {better} | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource"
                )
            }
            None => {
                "sudo dmesg | grep -i -e clocksource -e tsc    (the kernel says why it has no better one)"
                    .into()
            }
        };
        let why = if POOR_CLOCKS.contains(&current) {
            "The kernel reads this clock slowly or coarsely, which blurs the times of presses."
        } else {
            "This clock is not one that buzzerd knows to be fine and equal on every processor."
        };
        Finding::warn(CHECK, current, why).cure(cure)
    })
}

fn kernel(kernel: &Read<Kernel>, is_virtual: &Read<bool>) -> Finding {
    const CHECK: &str = "kernel";
    const WHY: &str = "Stock and real-time kernels need different settle windows.";
    Finding::of(CHECK, kernel, WHY, |kernel| {
        let flavour = if kernel.is_realtime { "real-time (PREEMPT_RT)" } else { "stock" };
        let found = format!("{}, {flavour}", kernel.release);
        match is_virtual {
            Ok(true) => {
                let why = "A virtual machine can be paused between a press and its stamp; use a real one for a match.";
                Finding::warn(CHECK, format!("{found}, virtual machine"), why)
                    .cure("Run buzzerd on the hardware itself")
            }
            Ok(false) => Finding::ok(CHECK, found, "buzzerd runs on either kind."),
            Err(missing) => {
                let why =
                    format!("{found}; whether it is a virtual machine, which can be paused, is not known.");
                Finding::unknown(CHECK, missing, why)
            }
        }
    })
}

fn idle(idle: &Read<Option<(String, Micros)>>, asked_us: Option<Micros>) -> Finding {
    const CHECK: &str = "processor sleep";
    const WHY: &str = "A sleeping processor must wake before it can stamp a press.";
    Finding::of(CHECK, idle, WHY, |deepest| {
        let Some((name, wake)) = deepest else {
            return Finding::ok(CHECK, "the kernel uses no deep states", WHY);
        };
        let found = format!("{name}, wakes within {}", ms(*wake));
        if let Some(asked) = asked_us.filter(|asked| asked < wake) {
            let found = format!("{found}; {} while a pool is connected", ms(asked));
            return Finding::ok(
                CHECK,
                found,
                "server.cpu_dma_latency_us asks for it; the log says if it is refused.",
            );
        }
        if *wake <= WAKE_US_MAX {
            return Finding::ok(CHECK, found, WHY);
        }
        Finding::warn(CHECK, found, WHY)
            .cure("[server] cpu_dma_latency_us = 200    (then restart the daemon)")
    })
}

#[cfg(test)]
mod tests {
    use super::super::CheckLevel::{Ok as Fine, Unknown, Warn};
    use super::super::facts::tests::missing;
    use super::*;

    #[test]
    fn clocks_are_judged_by_what_they_are() {
        let source = |current: &str, available: &[&str]| {
            let available = available.iter().map(|name| (*name).to_owned()).collect();
            Ok(Clock { current: current.to_owned(), available })
        };
        for (clock_source, want, cure) in [
            (source("tsc", &["tsc", "hpet"]), Fine, ""),
            (source("arch_sys_counter", &["arch_sys_counter"]), Fine, ""),
            (source("hpet", &["tsc", "hpet", "acpi_pm"]), Warn, "echo tsc | sudo tee"),
            (source("acpi_pm", &["acpi_pm"]), Warn, "sudo dmesg"),
            (source("jiffies", &[]), Warn, "sudo dmesg"),
            (source("new-thing", &[]), Warn, "sudo dmesg"),
            (missing(), Unknown, ""),
        ] {
            let finding = clock(&clock_source);
            assert_eq!(finding.verdict, want, "{finding:?}");
            assert!(finding.cure.unwrap_or_default().starts_with(cure));
        }
    }

    #[test]
    fn the_kernel_is_named_with_its_kind() {
        let of = |is_realtime| Ok(Kernel { release: "6.12.1".to_owned(), is_realtime });
        for (is_realtime, is_virtual, want, text) in [
            (false, Ok(false), Fine, "6.12.1, stock"),
            (true, Ok(false), Fine, "6.12.1, real-time (PREEMPT_RT)"),
            (false, Ok(true), Warn, "6.12.1, stock, virtual machine"),
            (false, missing(), Unknown, "cannot be read: /proc/x: permission denied"),
        ] {
            let finding = kernel(&of(is_realtime), &is_virtual);
            assert_eq!((finding.verdict, finding.found.as_str()), (want, text));
        }
        assert_eq!(kernel(&missing(), &Ok(false)).verdict, Unknown);
    }

    #[test]
    fn sleep_that_takes_a_millisecond_to_end_is_told() {
        let state = |us| Ok(Some(("C10".to_owned(), Micros::from_us(us))));
        for (states, want) in
            [(state(890), Fine), (state(1001), Warn), (Ok(None), Fine), (missing(), Unknown)]
        {
            assert_eq!(idle(&states, None).verdict, want);
            assert_ne!(idle(&states, Some(Micros::from_us(20))).verdict, Warn, "it is asked for");
        }
    }
}
