//! What the mediator says, done. In: its outputs. Out: lines of the log, frames for clients, requests to the reader and the
//! hardware. Guarantee: every record is in the log before anything that follows from it is told.

use buzzer_core::event::DeviceId;
use buzzer_core::io::reader::Lacks;
use buzzer_core::io::reader::source::ReaderRequest;
use buzzer_core::quote::kernel_words;
use buzzer_core::time::KernelTime;

use super::{Daemon, EVENTS_MAX};
use crate::game::mediator::Output;
use crate::record::{Class, Fact};

/// What is done in one go: everybody may have asked for the same.
const OUTPUTS_MAX: usize = 1024;

impl Daemon {
    /// Takes what the mediator says: records for the log, the rest in its order. Whether some pool's devices may be others
    /// now.
    fn take_outputs(&mut self) -> bool {
        let mut changed = false;
        while let Some(output) = self.mediator.poll_output() {
            match output {
                Output::Record(record) => {
                    changed |= matches!(record.fact.class(), Class::Pools | Class::Devices);
                    self.records.push(record);
                }
                // It says nothing yet, and what comes behind it waits for it.
                Output::Command(command) => self.unposted_commands.push_back(command),
                output => self.told.push_back(output),
            }
        }
        changed
    }

    /// Says what the reader has to do without: on stderr for now, in the log for later.
    pub(super) fn tell_lacks(&mut self, lacks: &Lacks, now: KernelTime) {
        if let Some(error) = &lacks.realtime {
            ::log::warn!(
                "the reader has no real-time priority ({error}): order is not touched, delays may grow under load; \
                 under systemd set LimitRTPRIO=20, by hand run as root or with `ulimit -r 20`"
            );
        }
        let all = [
            ("realtime", &lacks.realtime),
            ("timer_slack", &lacks.timer_slack),
            ("run_delay", &lacks.run_delay),
        ];
        for (what, error) in all {
            if let Some(error) = error {
                self.mediator.handle_degraded(what, kernel_words(&error), now);
            }
        }
    }

    /// Does what the mediator says: first every record into the log, then the rest in its order.
    /// A burst is told in parts, each after every client had its turn: a few events can make thousands of messages, more
    /// than may wait for a client that reads as fast as it can.
    pub(super) fn obey(&mut self, now: KernelTime) {
        let burst = !self.told.is_empty();
        self.log_all(now);
        self.post_waiting();
        if burst && !self.peers.all_served() {
            return;
        }
        let (mut all, mut done) = (0, 0);
        while all < EVENTS_MAX && done < OUTPUTS_MAX {
            let Some(output) = self.told.pop_front() else { break };
            done += 1;
            match output {
                Output::TellAll(news, except) => {
                    self.peers.tell_all(news, except);
                    all += 1;
                }
                Output::Tell(client, answer) => self.peers.tell(client, &answer),
                Output::Detach(device) => {
                    self.ask_reader(ReaderRequest::Detach(DeviceId::new(device)));
                }
                Output::Want(_) | Output::Unwant(_) | Output::Ended(_) => self.hardware.obey(&output),
                Output::Record(_) | Output::Command(_) => {}
            }
        }
        if all > 0 {
            self.peers.queue_all();
        }
    }

    /// Appends all records, and those that the log itself gives reason for.
    fn log_all(&mut self, now: KernelTime) {
        loop {
            if self.take_outputs()
                && let Err(reason) = self.cpu_latency.follow(self.mediator.state().is_played())
            {
                ::log::warn!(
                    "the processors may sleep deeply while a pool is connected ({reason}): presses may be stamped later by what \
                     waking takes"
                );
                self.mediator.handle_degraded("cpu_dma_latency", reason, now);
                self.take_outputs();
            }
            let hole = self.log.hole();
            self.log.append(&self.records);
            let is_due = !self.records.is_empty() && self.clock.is_due(now);
            self.records.clear();
            // Each can give reason for another, but not for itself: its kind of news is told by then.
            if let Some(hole) = hole.and_then(|_| self.log.hole()) {
                let lost = Fact::Lost { first_seq: hole.first_seq, last_seq: self.mediator.state().seq() };
                self.mediator.handle_note(lost, now);
                if let Some(Output::Record(lost)) = self.mediator.poll_output() {
                    self.log.end_hole(&lost);
                }
                continue;
            }
            if is_due {
                let (at, anchor) = self.clock.anchor();
                self.mediator.handle_note(anchor, at);
                continue;
            }
            let news = self.log.news();
            if news.is_empty() {
                return;
            }
            news.into_iter().for_each(|fact| self.mediator.handle_note(fact, now));
        }
    }
}
