//! Does the reader go first, and do interrupts still go before it? In: rights, the running reader, the kernel, interrupt
//! threads. Out: findings on real-time priority and on interrupts. Guarantee: the reader of a running daemon is looked at
//! itself; only without one the rights of this account stand in for it.

use buzzer_core::quote::listed;

use super::Finding;
use super::facts::{DeviceFacts, Facts, Irq, Kernel, Processes, Read, Realtime};

/// What the reader asks for (`core/src/io/reader.rs`).
const PRIORITY: u32 = 20;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let devices = facts.devices.as_deref().unwrap_or_default();
    let mut findings = vec![priority(&facts.realtime)];
    findings.extend(interrupts(&facts.kernel, devices, &facts.processes));
    findings
}

fn priority(realtime: &Read<Realtime>) -> Finding {
    const CHECK: &str = "real-time priority";
    const WHY: &str = "Without it a busy computer tells buzzes late and may lose some in a flood; their order does \
                       not suffer.";
    Finding::of(CHECK, realtime, WHY, |realtime| match realtime.reader {
        Some((_, 0)) => {
            let finding = Finding::warn(CHECK, "the running daemon's reader has none", WHY);
            finding.cure("LimitRTPRIO=20 in [Service] of the unit, or `ulimit -r 20` before buzzerd serve")
        }
        Some((_, priority)) => {
            Finding::ok(CHECK, format!("the running daemon's reader has priority {priority}"), WHY)
        }
        None if realtime.is_capable || realtime.limit >= u64::from(PRIORITY) => {
            let found = format!("this account may give the reader priority {PRIORITY}");
            Finding::ok(CHECK, found, "A service has rights of its own: see its unit file.")
        }
        None => {
            let found =
                format!("this account may take {} at most, the reader asks for {PRIORITY}", realtime.limit);
            let finding = Finding::warn(CHECK, found, WHY);
            finding.cure("LimitRTPRIO=20 in [Service] of the unit, or as root: ulimit -r 20")
        }
    })
}

/// On PREEMPT_RT a press is stamped and shown by threads (50 unless changed) that may be interrupted in between by
/// anything above them.
fn interrupts(
    kernel: &Read<Kernel>,
    devices: &[DeviceFacts],
    processes: &Read<Processes>,
) -> Option<Finding> {
    const CHECK: &str = "interrupts";
    const WHY: &str = "On a real-time kernel interrupts are threads; one that waits behind other work stamps presses \
                       late.";
    let kernel = kernel.as_ref().ok()?;
    let mut irqs: Vec<&Irq> =
        devices.iter().filter_map(|device| device.usb.as_ref()).flat_map(|usb| &usb.irqs).collect();
    irqs.sort_by_key(|irq| irq.number);
    irqs.dedup();
    if !kernel.is_realtime {
        if irqs.is_empty() {
            return None;
        }
        let why = "On a stock kernel an interrupt goes before every program, so nothing is to be set.";
        return Some(Finding::ok(CHECK, format!("USB: {}", places(&irqs)), why));
    }
    let processes = match processes {
        Ok(processes) => processes,
        Err(missing) => return Some(Finding::unknown(CHECK, missing, WHY)),
    };
    let threads: Vec<_> = processes
        .irq_threads
        .iter()
        .filter(|thread| irqs.iter().any(|irq| irq.number == thread.irq))
        .collect();
    if threads.is_empty() {
        let missing = super::Missing(if irqs.is_empty() {
            "no interrupt of a buzzer's USB controller is known".to_owned()
        } else {
            format!("no thread is seen for {}", places(&irqs))
        });
        return Some(Finding::unknown(CHECK, &missing, WHY));
    }
    let low: Vec<_> = threads.iter().filter(|thread| thread.priority <= PRIORITY).collect();
    if low.is_empty() {
        let lowest = threads.iter().map(|thread| thread.priority).min().unwrap_or_default();
        let found = format!("USB: {}, priority {lowest}, the reader {PRIORITY}", places(&irqs));
        return Some(Finding::ok(CHECK, found, WHY));
    }
    let found = listed(low.iter().map(|low| format!("IRQ {} has priority {}", low.irq, low.priority)));
    let cure: Vec<_> = low.iter().map(|thread| format!("sudo chrt -f -p 50 {}", thread.pid)).collect();
    Some(Finding::warn(CHECK, format!("{found}, the reader {PRIORITY}"), WHY).cure(cure.join(" && ")))
}

/// `IRQ 128 on CPU 2`; a controller may have dozens of lines, of which people want to see a few.
fn places(irqs: &[&Irq]) -> String {
    const SHOWN: usize = 4;
    let mut places: Vec<_> =
        irqs.iter().take(SHOWN).map(|irq| format!("IRQ {} on CPU {}", irq.number, irq.cpus)).collect();
    if irqs.len() > SHOWN {
        places.push(format!("{} more", irqs.len() - SHOWN));
    }
    places.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::CheckLevel::{Ok as Fine, Unknown, Warn};
    use super::super::facts::tests::{hub, missing};
    use super::super::facts::{IrqThread, Sight};
    use super::*;

    #[test]
    fn the_reader_itself_counts_before_the_rights_of_an_account() {
        for (reader, limit, is_capable, want) in [
            (Some((9, 20)), 0, false, Fine),
            (Some((9, 0)), 99, true, Warn),
            (None, 20, false, Fine),
            (None, 0, true, Fine),
            (None, 19, false, Warn),
        ] {
            let finding = priority(&Ok(Realtime { reader, limit, is_capable }));
            assert_eq!((finding.verdict, finding.cure.is_some()), (want, want == Warn), "{finding:?}");
        }
        assert_eq!(priority(&missing()).verdict, Unknown);
    }

    #[test]
    fn interrupt_threads_stay_above_the_reader() {
        let kernel = |is_realtime| Ok(Kernel { release: "6.12".to_owned(), is_realtime });
        let threads = |list: &[(u32, u32)]| {
            let irq_threads =
                list.iter().map(|(irq, priority)| IrqThread { pid: 77, irq: *irq, priority: *priority });
            Ok(Processes {
                sight: Sight::All,
                holders: vec![],
                desktop: None,
                irq_threads: irq_threads.collect(),
            })
        };
        let devices = [hub("event7")];
        for (is_realtime, processes, want) in [
            (false, threads(&[]), Fine),
            (true, threads(&[(128, 50)]), Fine),
            (true, threads(&[(128, 20)]), Warn),
            (true, threads(&[(128, 0)]), Warn),
            // Somebody else's interrupt.
            (true, threads(&[(5, 1), (128, 50)]), Fine),
            (true, threads(&[(5, 1)]), Unknown),
            (true, missing(), Unknown),
        ] {
            let finding = interrupts(&kernel(is_realtime), &devices, &processes).unwrap();
            assert_eq!(finding.verdict, want, "{finding:?}");
        }
        let low = interrupts(&kernel(true), &devices, &threads(&[(128, 1)])).unwrap();
        assert_eq!(low.cure.as_deref(), Some("sudo chrt -f -p 50 77"));
        assert_eq!(interrupts(&kernel(false), &[], &missing()), None);
        assert_eq!(interrupts(&missing(), &devices, &missing()), None, "the kernel's own line says so");
    }

    #[test]
    fn many_lines_are_a_few_words() {
        let irqs: Vec<_> = (1..=6).map(|number| Irq { number, cpus: "0".to_owned() }).collect();
        let irqs: Vec<_> = irqs.iter().collect();
        assert_eq!(places(&irqs[..1]), "IRQ 1 on CPU 0");
        assert!(places(&irqs).ends_with("IRQ 4 on CPU 0, 2 more"));
    }
}
