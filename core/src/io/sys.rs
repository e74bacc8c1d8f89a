//! The system calls that have no safe wrapper elsewhere, and the clock. In: open evdev descriptors, signal numbers. Out:
//! plain values. Guarantee: this is the only file of the workspace with `unsafe`; each block says why it holds.
//!
//! The `evdev` crate keeps these ioctls private (0.13.2, `src/sys.rs`), so they stand here; their numbers are those
//! of `include/uapi/linux/input.h`.
#![allow(unsafe_code, reason = "ioctls that no crate offers safely; nowhere else in the workspace")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::ioctl::{self, IntegerSetter, Setter, Updater, opcode};
use rustix::time::{ClockId, clock_gettime};

use crate::press::decode::RECORD_BYTES;
use crate::press::keys::{KEY_COUNT, KeyBits};
use crate::time::KernelTime;

/// `_IOW('E', 0xa0, int)`
const EVIOCSCLOCKID: ioctl::Opcode = opcode::write::<i32>(b'E', 0xa0);
/// `_IOW('E', 0x90, int)`; the argument is a plain number, not a pointer.
const EVIOCGRAB: ioctl::Opcode = opcode::write::<i32>(b'E', 0x90);
/// `_IOW('E', 0x93, struct input_mask)`
const EVIOCSMASK: ioctl::Opcode = opcode::write::<InputMask>(b'E', 0x93);
/// `_IOR('E', 0x92, struct input_mask)`
const EVIOCGMASK: ioctl::Opcode = opcode::read::<InputMask>(b'E', 0x92);
/// `_IOR('E', 0x18, len)` with len = 96 bytes, one bit per key code.
const EVIOCGKEY: ioctl::Opcode = opcode::read::<[u8; KEY_COUNT / 8]>(b'E', 0x18);

/// `_IOR('E', 0x02, struct input_id)`
const EVIOCGID: ioctl::Opcode = opcode::read::<[u16; 4]>(b'E', 0x02);

const CLOCK_MONOTONIC: i32 = 1;
const EV_SYN_MASK_OF_TYPES: u32 = 0;
const EV_KEY: u32 = 1;

/// `struct input_mask`
#[repr(C)]
struct InputMask {
    kind: u32,
    codes_size: u32,
    codes_ptr: u64,
}

/// Signals that end or stop a process by default and tell a daemon nothing: alarms and timers, user signals, a terminal's word
/// to who is in its background, soft limits, power and I/O notices (`signal(7)`).
pub const STRAY_SIGNALS: [i32; 13] = [
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGPIPE,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGSTKFLT,
];

/// The real-time signals; those below are the C library's own.
pub fn realtime_signals() -> impl Iterator<Item = i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// Has the process ignore a signal. One that cannot be ignored stays as it is.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is a disposition, no function that could run; the call touches no memory of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Whether the process ignores a signal.
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action changes nothing; the old one is written to memory of its type, and read only if the call
    // says that it has written it.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init_ref().sa_sigaction == libc::SIG_IGN
    }
}

/// How often the calling thread has slept, been stopped, or waited for anything else than a processor.
pub fn slept() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: a `rusage` is numbers, for which zeros are a value; the kernel writes one to memory of its size. The call fails
    // only for a bad address or an unknown `who`, and leaves the zeros then.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_nvcsw).unwrap_or(0)
}

// Two longs, two `__u16`, one `__s32`: records of another size would be read as garbage, so a 32-bit build is refused.
const _: () = assert!(size_of::<libc::input_event>() == RECORD_BYTES, "struct input_event has 24 bytes");

/// CLOCK_MONOTONIC, now.
pub fn now() -> KernelTime {
    let now = clock_gettime(ClockId::Monotonic);
    KernelTime::from_us(now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1000)
}

/// Has the kernel stamp this descriptor's events with CLOCK_MONOTONIC. Must come right after open: a queue
/// that is not empty would be flushed (`evdev.c:evdev_set_clk_type`).
///
/// # Errors
/// What the kernel answered; a device that cannot do this must be refused, its order would be a guess.
pub fn set_clock_monotonic(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: EVIOCSCLOCKID reads one int through the pointer that `Setter` makes from the value it holds.
    unsafe { ioctl::ioctl(fd, Setter::<EVIOCSCLOCKID, i32>::new(CLOCK_MONOTONIC)) }.map_err(Into::into)
}

/// Takes the device for this descriptor alone, or lets it go.
///
/// # Errors
/// EBUSY if another program has grabbed it.
pub fn grab(fd: impl AsFd, on: bool) -> io::Result<()> {
    // SAFETY: EVIOCGRAB takes its argument as a number (`evdev_do_ioctl`: `if (p)`); no memory is touched.
    unsafe { ioctl::ioctl(fd, IntegerSetter::<EVIOCGRAB>::new_usize(on.into())) }.map_err(Into::into)
}

/// Has the kernel pass only events of these keys to this descriptor: stick noise and scan codes then cost no
/// wake-up and no room in the client's queue of 63 events.
///
/// # Errors
/// What the kernel answered; the device works without a mask, only less well.
pub fn mask_all_but(fd: impl AsFd, keys: &KeyBits) -> io::Result<()> {
    // The mask over types first (type 0 stands for "which types"), then the one over key codes. Sizes must be
    // multiples of a long (`bits_from_user`): 8 and 96 are.
    let types = 1u64 << EV_KEY;
    set_mask(fd.as_fd(), EV_SYN_MASK_OF_TYPES, &types.to_ne_bytes())?;
    set_mask(fd.as_fd(), EV_KEY, &keys.0)
}

fn set_mask(fd: impl AsFd, kind: u32, codes: &[u8]) -> io::Result<()> {
    let mask = InputMask {
        kind,
        codes_size: u32::try_from(codes.len()).expect("a mask of at most 96 bytes"),
        codes_ptr: codes.as_ptr() as u64,
    };
    // SAFETY: EVIOCSMASK reads `struct input_mask`, whose layout InputMask repeats, and then `codes_size` bytes at
    // `codes_ptr`; `codes` outlives the call.
    unsafe { ioctl::ioctl(fd, Setter::<EVIOCSMASK, InputMask>::new(mask)) }.map_err(Into::into)
}

/// The keys whose events get through to this descriptor. Leaves its queue alone.
///
/// # Errors
/// What the kernel answered.
pub fn key_mask(fd: impl AsFd) -> io::Result<KeyBits> {
    let mut bits = KeyBits::NONE;
    let codes_size = u32::try_from(bits.0.len()).expect("a mask of 96 bytes");
    let mut mask = InputMask { kind: EV_KEY, codes_size, codes_ptr: bits.0.as_mut_ptr() as u64 };
    // SAFETY: EVIOCGMASK reads `struct input_mask`, whose layout InputMask repeats, and writes at most `codes_size` bytes to
    // `codes_ptr`, which are those of `bits`; it is borrowed by nobody else and outlives the call.
    unsafe { ioctl::ioctl(fd, Updater::<EVIOCGMASK, InputMask>::new(&mut mask)) }?;
    Ok(bits)
}

/// Which keys are down. The kernel removes the key events queued for this descriptor in the same step
/// (`evdev_handle_get_val`), so this is for opening and for resynchronising, never for a look in between.
///
/// # Errors
/// ENODEV after an unplug.
pub fn key_state(fd: impl AsFd) -> io::Result<KeyBits> {
    let mut bits = KeyBits::NONE;
    // SAFETY: EVIOCGKEY with this size writes at most 96 bytes to the array that `Updater` borrows.
    unsafe { ioctl::ioctl(fd, Updater::<EVIOCGKEY, [u8; KEY_COUNT / 8]>::new(&mut bits.0)) }?;
    Ok(bits)
}

/// Bus, vendor, product and version of the device behind this descriptor (`struct input_id`: four `__u16`).
///
/// # Errors
/// ENOTTY for what is no input device, ENODEV after an unplug.
pub fn input_id(fd: impl AsFd) -> io::Result<[u16; 4]> {
    let mut id = [0; 4];
    // SAFETY: EVIOCGID writes `struct input_id`, 8 bytes, to the array that `Updater` borrows.
    unsafe { ioctl::ioctl(fd, Updater::<EVIOCGID, [u16; 4]>::new(&mut id)) }?;
    Ok(id)
}

/// Runs the calling thread before all others, below the kernel's interrupt threads (SCHED_FIFO 50 on PREEMPT_RT): a
/// reader above them would run inside the window between stamp and visibility. Threads it starts do not inherit it.
///
/// # Errors
/// EPERM without CAP_SYS_NICE or an RLIMIT_RTPRIO of at least `priority`.
pub fn set_fifo(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: thread 0 is the calling one; the call reads one sched_param through a pointer that outlives it.
    let done = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the pages that `malloc` keeps free back to the kernel (malloc_trim(3)): by itself glibc returns only what lies above the
/// last block in use, and one small block there holds tens of MiB. Takes up to a few ms. Without glibc it does nothing.
pub fn trim_heap() {
    // SAFETY: the call takes no pointer and moves no block that is in use.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The descriptors that this process was started with and that its starter numbered: so many from 3 on (sd_listen_fds(3)).
/// To be asked once, before anything is opened; asked again, there are none.
pub fn handed_over(count: usize) -> Vec<OwnedFd> {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    const FIRST: i32 = 3;
    if IS_TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let numbers = FIRST..FIRST.saturating_add(i32::try_from(count).unwrap_or(0));
    // SAFETY: these numbers are what systemd's protocol gives to this process; nothing in it has opened them, so nobody else
    // owns them, and the swap above gives them out once.
    numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect()
}

/// The number of a descriptor, for mio's `SourceFd`.
pub fn raw(fd: &impl AsFd) -> i32 {
    fd.as_fd().as_raw_fd()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ioctl_numbers_are_those_of_the_header() {
        // Written out by hand from include/uapi/linux/input.h on a 64-bit machine.
        assert_eq!(
            [EVIOCSCLOCKID, EVIOCGRAB, EVIOCSMASK, EVIOCGMASK, EVIOCGKEY, EVIOCGID],
            [0x4004_45a0, 0x4004_4590, 0x4010_4593, 0x8010_4592, 0x8060_4518, 0x8008_4502]
        );
    }

    #[test]
    fn the_clock_moves_forward() {
        let first = now();
        assert!(now() >= first && first > KernelTime::ZERO);
    }
}
