//! When to wake a sleeping consumer. In: "I published" from one producer, "I am going to sleep" from one consumer.
//! Out: whether a wake-up must be sent, or sleep must be put off. Guarantee: no wake-up is lost, so the consumer needs
//! no polling timeout; and none is sent while it is busy.
//!
//! This is Dekker's pattern: each side writes its own word, then reads the other's. The ring itself orders only
//! acquire/release, which lets both sides read the old value, so both fences are needed. Checked under loom
//! (`cargo test -p buzzer-loom`).

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// The consumer's word: it sleeps, or is about to.
#[derive(Debug)]
pub struct Doorbell {
    sleeping: AtomicBool,
}

impl Default for Doorbell {
    fn default() -> Self {
        Self { sleeping: AtomicBool::new(false) }
    }
}

impl Doorbell {
    /// Consumer: may I sleep? `is_empty` looks at what the producer publishes. If `false`, there is work.
    pub fn may_sleep(&self, is_empty: impl FnOnce() -> bool) -> bool {
        // A swap, not a store: it also takes note of the producer's last swap, which loom (0.7) does not order before
        // a plain store although the memory model does. It costs nothing next to the sleep.
        self.sleeping.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if is_empty() {
            return true;
        }
        self.awake();
        false
    }

    /// Consumer: it is awake.
    pub fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Producer, after publishing: must I wake the consumer? At most one `true` per sleep.
    pub fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::AcqRel)
    }
}

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Notify};
    use loom::thread;

    /// Two publishes, a consumer that sleeps whenever it may. A lost wake-up is a deadlock, which loom reports.
    /// `Notify` keeps a notification that nobody waits for, as an eventfd does.
    #[test]
    fn no_wake_up_is_lost() {
        loom::model(|| {
            let bell = Arc::new(Doorbell::default());
            let published = Arc::new(AtomicUsize::new(0));
            let eventfd = Arc::new(Notify::new());
            let producer = {
                let (bell, published, eventfd) = (bell.clone(), published.clone(), eventfd.clone());
                thread::spawn(move || {
                    for n in 1..=2 {
                        published.store(n, Ordering::Release);
                        if bell.must_ring() {
                            eventfd.notify();
                        }
                    }
                })
            };
            let mut taken = 0;
            while taken < 2 {
                if bell.may_sleep(|| published.load(Ordering::Acquire) == taken) {
                    eventfd.wait();
                    bell.awake();
                }
                taken = published.load(Ordering::Acquire);
            }
            producer.join().unwrap();
        });
    }
}
