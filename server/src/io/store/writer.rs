//! The writer thread. In: [`Writer`], the clock, wake-ups. Out: `durable_seq`, health and reports, for the server to look
//! at. Guarantee: waking it costs a system call only while it sleeps, and it sleeps only when there is nothing to do or
//! when the disk has failed and is given a rest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use buzzer_core::io::sys;
use buzzer_core::time::Micros;
use mio::Waker;
use parking_lot::Mutex;

use super::disk::Disk;
use super::log_lock::Held;
use super::log_proof;
use crate::log::Fingerprint;
use crate::log::form::checkpoint::Checkpoint;
use crate::log::store::expiry;
use crate::log::store::writer::{StorageHealth, Turn, Writer};
use crate::record::Fact;

/// Reports that nobody has fetched: an outage makes a handful.
const REPORTS_MAX: usize = 64;

/// How often the segments are looked after while a game is on and nothing comes.
const LOOK: Duration = Duration::from_secs(5);

/// How often it looks whether the directory's lock is there, if it does anything at all.
const LOCK_LOOK_US: Micros = Micros::from_ms(2_000);

/// What the thread tells.
#[derive(Debug, Default)]
struct Told {
    durable_seq: AtomicU64,
    reports: Mutex<Vec<Fact>>,
    health: Mutex<StorageHealth>,
    waker: Mutex<Option<Arc<Waker>>>,
    stop: AtomicBool,
    /// A game is on: the segments are looked after though nothing comes.
    is_watched: AtomicBool,
    /// Old segments may be removed when this record is durable; 0: none.
    expire_at: AtomicU64,
    /// What is to be signed when it is durable: a signature of records that a power cut takes would say that somebody took
    /// them.
    unsigned: Mutex<Option<Checkpoint>>,
}

/// The running thread.
#[derive(Debug)]
pub struct WriterThread {
    told: Arc<Told>,
    thread: JoinHandle<()>,
    ended: Receiver<bool>,
}

/// Starts the thread. `expired`: segments to be removed once [`WriterThread::expire_at`] is durable. `lock`: what it looks after.
///
/// # Errors
/// If there can be no further thread.
pub(crate) fn spawn(
    writer: Writer<Disk, Disk>,
    expired: Vec<String>,
    lock: Arc<Mutex<Held>>,
) -> io::Result<WriterThread> {
    let told = Arc::new(Told::default());
    let (end, ended) = mpsc::channel();
    let shared = Arc::clone(&told);
    let thread = thread::Builder::new().name("writer".into());
    let thread = thread.spawn(move || run(writer, expired, &lock, &shared, &end))?;
    Ok(WriterThread { told, thread, ended })
}

fn run(
    mut writer: Writer<Disk, Disk>,
    mut expired: Vec<String>,
    lock: &Mutex<Held>,
    told: &Told,
    end: &Sender<bool>,
) {
    let mut look_at = sys::now();
    loop {
        // Asked before the turn: what was appended before it was told to stop is in that turn.
        let is_stopping = told.stop.load(Ordering::Acquire);
        let now = sys::now();
        let turn = writer.turn(now);
        publish(&mut writer, told, turn);
        let expire_at = told.expire_at.load(Ordering::Acquire);
        if expire_at > 0 && writer.durable_seq() >= expire_at {
            expire(&mut writer, &std::mem::take(&mut expired));
        }
        sign(&writer, told);
        // At the end once more: the next start finds a journal that is left by it.
        if is_stopping || look_at <= now {
            look_at = now + LOCK_LOOK_US;
            lock.lock().look();
        }
        match turn {
            Turn::Again => {}
            Turn::Idle if is_stopping => {
                let _ = end.send(true);
                return;
            }
            Turn::Idle if told.is_watched.load(Ordering::Acquire) => thread::park_timeout(LOOK),
            Turn::Idle => thread::park(),
            Turn::Wait(_) if is_stopping => {
                // It was tried; what is not durable stays in the journal for the next start.
                let _ = end.send(false);
                return;
            }
            Turn::Wait(until) => thread::park_timeout(Duration::from_micros(until.since(now).as_us())),
        }
    }
}

fn sign(writer: &Writer<Disk, Disk>, told: &Told) {
    let is_durable = |unsigned: &mut Checkpoint| unsigned.seq <= writer.durable_seq();
    let Some(checkpoint) = told.unsigned.lock().take_if(is_durable) else { return };
    // That it cannot be signed is no reason not to play.
    match log_proof::write_checkpoint(writer.dir().path(), &checkpoint) {
        Ok(path) => {
            let Checkpoint { seq, head, .. } = checkpoint;
            ::log::info!("log: {}@{seq}, signed in {}", Fingerprint::of(&head), path.display());
        }
        Err(error) => ::log::warn!("no checkpoint of the log: {error}"),
    }
}

/// Removes old segments, the oldest first: what is left is a log at any time.
fn expire(writer: &mut Writer<Disk, Disk>, expired: &[String]) {
    for name in expired {
        if let Err(error) = expiry::remove(writer.dir(), name) {
            ::log::warn!("{name} is too old and stays: {error}");
            return;
        }
        writer.forget(name);
        ::log::info!("{name} was removed: log.keep_days, log.keep_bytes");
    }
}

fn publish(writer: &mut Writer<Disk, Disk>, told: &Told, turn: Turn) {
    // What was durable before this process is only known to be after the first turn.
    if turn != Turn::Again || !writer.is_failing() {
        told.durable_seq.store(writer.durable_seq(), Ordering::Release);
    }
    *told.health.lock() = writer.health();
    let mut is_new = false;
    while let Some(report) = writer.poll_report() {
        let mut reports = told.reports.lock();
        if reports.len() < REPORTS_MAX {
            reports.push(report);
        }
        is_new = true;
    }
    if is_new && let Some(waker) = &*told.waker.lock() {
        let _ = waker.wake();
    }
}

impl WriterThread {
    /// There is something to write. A system call only if the thread sleeps.
    pub fn wake(&self) {
        self.thread.thread().unpark();
    }

    /// Whether a game is on. Without one the thread sleeps until something comes.
    pub fn watch(&self, is_watched: bool) {
        if self.told.is_watched.swap(is_watched, Ordering::AcqRel) != is_watched {
            self.wake();
        }
    }

    /// The record that says which segments go has this `seq`.
    pub fn expire_at(&self, seq: u64) {
        self.told.expire_at.store(seq, Ordering::Release);
    }

    /// Has this signed when it is durable. What was to be signed before, and is not yet, no longer is.
    pub fn sign_when_durable(&self, unsigned: Checkpoint) {
        *self.told.unsigned.lock() = Some(unsigned);
        self.wake();
    }

    /// Wakes the server when there is a report.
    pub fn wake_server(&self, waker: Arc<Waker>) {
        *self.told.waker.lock() = Some(waker);
    }

    /// The last record that is durable, with all before it.
    pub fn durable_seq(&self) -> u64 {
        self.told.durable_seq.load(Ordering::Acquire)
    }

    /// How it stands.
    pub fn health(&self) -> StorageHealth {
        self.told.health.lock().clone()
    }

    /// What there is to tell. It is asked for on the way of a buzz, so the writer is not waited for: it wakes the server when it
    /// has let go.
    pub fn take_reports(&self) -> Vec<Fact> {
        self.told.reports.try_lock().map(|mut reports| std::mem::take(&mut *reports)).unwrap_or_default()
    }

    /// Has it bring everything up to `last_seq` to the disk and end. False: within `patience` it could not.
    pub fn finish(self, last_seq: u64, patience: Duration) -> bool {
        self.told.stop.store(true, Ordering::Release);
        self.wake();
        // Not joined if it hangs in the kernel: the process must end all the same. All may be durable, and only the signature
        // of it is missing.
        self.ended.recv_timeout(patience).unwrap_or(false) || self.durable_seq() >= last_seq
    }
}
