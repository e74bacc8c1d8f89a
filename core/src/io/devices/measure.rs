//! Watching one device's reports. In: an open, unmasked node and an end. Out: the stamps, in a [`Watch`]. Guarantee: it
//! returns at the end at the latest, and at once when the device leaves; it sleeps until a report comes.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::io::Errno;

use crate::device::cadence::Watch;
use crate::io::sys;
use crate::press::decode::{EV_SYN, RECORD_BYTES, Record, SYN_DROPPED, SYN_REPORT};
use crate::time::KernelTime;

/// Why the watching ended early.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The device left.
    #[error("the device vanished while it was being measured: plug it in again, and start again")]
    Vanished,
    /// epoll or read failed.
    #[error("the device cannot be read: {0}")]
    Failed(#[from] io::Error),
}

/// Notes every report that is stamped later than `since` until the clock shows `end`.
///
/// # Errors
/// [`MeasureError`]; `watch` then has what came before.
pub fn watch(
    fd: &OwnedFd,
    since: KernelTime,
    end: KernelTime,
    watch: &mut Watch,
) -> Result<(), MeasureError> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&sys::raw(fd)), Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(1);
    loop {
        drain(fd, |bytes| {
            let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
            records.iter().for_each(|record| note(Record::from_bytes(record), since, watch));
            Ok(())
        })?;
        let left = end.since(sys::now());
        if left.as_us() == 0 {
            return Ok(());
        }
        match poll.poll(&mut events, Some(Duration::from_micros(left.as_us()))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
    }
}

/// Reads what there is, and gives it away piece by piece. `true`: there may be more, for a device that is faster than its
/// reader must hold up nothing else.
pub(super) fn drain(
    fd: &OwnedFd,
    mut give: impl FnMut(&[u8]) -> Result<(), MeasureError>,
) -> Result<bool, MeasureError> {
    const READS_MAX: usize = 64;
    let mut buffer = [0u8; 64 * RECORD_BYTES];
    for _ in 0..READS_MAX {
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) | Err(Errno::NODEV) => return Err(MeasureError::Vanished),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
            Ok(len) => give(&buffer[..len])?,
        }
    }
    Ok(true)
}

fn note(record: Record, since: KernelTime, watch: &mut Watch) {
    match (record.kind, record.code, record.value) {
        // With the value 1 it is autorepeat's, every 33 ms of the kernel's own making (`input_repeat_key`), or one that
        // cuts a report in two.
        (EV_SYN, SYN_REPORT, 0) => {
            let at = KernelTime::from_timeval(record.sec, record.usec);
            at.filter(|at| *at > since).into_iter().for_each(|at| watch.handle_report(at));
        }
        (EV_SYN, SYN_DROPPED, _) => watch.handle_loss(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::press::keys::KeyCode;
    use crate::time::Micros;
    use std::os::unix::net::UnixStream;

    fn pair() -> (OwnedFd, OwnedFd) {
        let (from, to) = UnixStream::pair().unwrap();
        from.set_nonblocking(true).unwrap();
        (from.into(), to.into())
    }

    fn send(to: &OwnedFd, records: &[Record]) {
        let bytes: Vec<u8> = records.iter().flat_map(|record| record.to_bytes()).collect();
        assert_eq!(rustix::io::write(to, &bytes).unwrap(), bytes.len());
    }

    #[test]
    fn reports_are_noted_until_the_end_comes() {
        let (from, to) = pair();
        let at = |ms| KernelTime::ZERO + Micros::from_ms(ms);
        let key = Record::key(at(8), KeyCode::new(30).unwrap(), true);
        let repeat = Record { value: 1, ..Record::report(at(12)) };
        send(&to, &[Record::report(at(4)), key, Record::report(at(8)), repeat, Record::report(at(16))]);
        send(&to, &[Record::dropped(at(20)), Record::report(at(24)), Record::report(at(33))]);
        let mut seen = Watch::default();
        let end = sys::now() + Micros::from_ms(20);
        watch(&from, at(4), end, &mut seen).unwrap();
        assert!(sys::now() >= end, "it waits for more");
        let cadence = seen.cadence();
        assert_eq!((cadence.reports, cadence.intervals), (4, 2));
        assert_eq!(cadence.smallest_us, Some(Micros::from_ms(8)));
    }

    #[test]
    fn a_device_that_leaves_is_told_at_once() {
        let (from, to) = pair();
        send(&to, &[Record::report(KernelTime::from_us(5))]);
        drop(to);
        let mut seen = Watch::default();
        let hour = sys::now() + Micros::from_ms(3_600_000);
        let error = watch(&from, KernelTime::ZERO, hour, &mut seen).unwrap_err();
        assert!(matches!(error, MeasureError::Vanished), "{error}");
        assert_eq!(seen.cadence().reports, 1, "what came before counts");
    }
}
