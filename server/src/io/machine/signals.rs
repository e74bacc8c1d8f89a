//! Signals. In: what the kernel delivers to the process. Out: [`Signals`] of those that end it in good order. Guarantee: SIGTERM
//! and SIGINT always do; SIGHUP and SIGQUIT do unless they were ignored at the start of the process, as under `nohup`; what a
//! terminal, a limit or a stranger may send besides ends and stops nothing, SIGKILL, SIGSTOP and Ctrl-Z apart.

use std::io;

use buzzer_core::io::sys;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

/// Takes the signals that end the process.
///
/// # Errors
/// What the kernel answered.
pub fn ending() -> io::Result<Signals> {
    let asked = [SIGHUP, SIGQUIT].into_iter().filter(|signal| !sys::is_ignored(*signal));
    Signals::new(asked.chain([SIGTERM, SIGINT]))
}

/// For a process that is to outlast its terminal and every limit that is not a wall: a write to a terminal in the background
/// goes through, one beyond a file's size limit fails and is told like a full disk, an alarm means nothing.
pub fn ignore_strays() {
    sys::STRAY_SIGNALS.into_iter().for_each(sys::ignore);
    sys::realtime_signals().for_each(sys::ignore);
}
