//! How the daemon ends. In: a signal. Out: a close frame for every client, what the reader still has, the `stop` record, the signed
//! end of the log, the disk. Guarantee: no client is waited for beyond 2 s and no reader beyond 3 s; the last record is durable, or the
//! error says that it is not.

use std::io;

use buzzer_core::io::reader::source::ReaderRequest;
use buzzer_core::io::sys;
use buzzer_core::time::{KernelTime, Micros};
use mio::Events;
use sd_notify::NotifyState;
use tungstenite::protocol::frame::coding::CloseCode;

use super::{Daemon, DaemonError, FULL_WAIT};
use crate::io::machine::host;

/// Clients have this long to answer the close frame when the daemon stops.
const STOP_US: Micros = Micros::from_ms(2000);
/// A reader that has not ended by then hangs in the kernel: the log is closed without it.
const READER_END_US: Micros = Micros::from_ms(3000);
impl Daemon {
    /// Begins to end: nobody new, a close frame for everybody.
    pub(super) fn stop(&mut self, now: KernelTime) {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        self.stopping = Some(now + STOP_US);
        self.attachments.close();
        self.peers.end_all(CloseCode::Away, "buzzerd is stopping");
    }

    /// Ends: what the reader still has, the last record, the disk.
    pub(super) fn finish(mut self) -> Result<(), DaemonError> {
        self.hardware.stop();
        self.ask_reader(ReaderRequest::Stop);
        self.wait_for_reader()?;
        self.drain();
        self.mediator.handle_stop(sys::now());
        self.obey(sys::now());
        let last_seq = self.mediator.state().seq();
        self.log.sign_when_durable();
        self.log.finish(last_seq).map_err(DaemonError::NotDurable)
    }

    /// The reader hands over what waits and ends; one that died instead would have ended the process.
    fn wait_for_reader(&mut self) -> Result<(), DaemonError> {
        let mut events = Events::with_capacity(16);
        let until = sys::now() + READER_END_US;
        while !self.reader_thread.is_finished() {
            self.post_waiting();
            self.drain();
            if until <= sys::now() {
                ::log::error!("the reader does not end: what it still holds is not in the log");
                return Ok(());
            }
            if self.ring.may_sleep() {
                match self.poll.poll(&mut events, Some(FULL_WAIT)) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                    _ => self.ring.awake(),
                }
            }
        }
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(event) = self.ring.pop() {
            self.mediator.handle_event(event, host::random);
        }
        self.obey(sys::now());
    }
}
