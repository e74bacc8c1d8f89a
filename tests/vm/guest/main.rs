//! The test program of the virtual machine: `vm-guest BUZZERD [NAME]`, started by `tests/vm/run`.
//!
//! Enters: the built `buzzerd`, and the beginning of the names of the cases to run (all, if none is given).
//! Leaves: `ok NAME` or `not ok NAME: why`, a count, and the exit status 0 if all passed, else 1.
//! Guarantees: each case has its own devices, daemon and log, so that one failure explains itself. The cases `kernel_*`
//! come first and need no `buzzerd`.

mod deadline;
mod kernel;
mod node;
mod uhid;
mod uinput;

use std::process::ExitCode;

use deadline::Outcome;

type Case = (&'static str, fn() -> Outcome);

const KERNEL: &[Case] = &[
    ("kernel_uinput_presses_arrive", kernel::uinput_presses_arrive),
    ("kernel_hid_sony_has_the_hub", kernel::hid_sony_has_the_hub),
    ("kernel_keyboard_repeats", kernel::keyboard_repeats),
    ("kernel_replug_reuses_the_node", kernel::replug_reuses_the_node),
    ("kernel_full_queue_is_dropped", kernel::full_queue_is_dropped),
];

fn main() -> ExitCode {
    let only = std::env::args().nth(2).unwrap_or_default();
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in KERNEL.iter().filter(|(name, _)| name.starts_with(&only)) {
        match case() {
            Ok(()) => {
                passed += 1;
                println!("ok {name}");
            }
            Err(why) => {
                failed += 1;
                println!("not ok {name}: {why}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    // A name that fits nothing must not look like success.
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
