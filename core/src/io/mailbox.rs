//! A bounded mailbox between two threads. In: messages from any thread. Out: the same messages, in order, on the
//! one thread whose mio [`Waker`] it holds. Guarantee: posting never blocks, a full box gives the letter back,
//! and the receiver is woken once per run of letters, never too few times (the lock orders post and collect).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use mio::Waker;
use parking_lot::Mutex;

/// The posting end; clone it for every thread that posts.
#[derive(Debug)]
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    letters: Mutex<VecDeque<T>>,
    letters_max: usize,
    waker: Arc<Waker>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// Why a letter was not taken; it comes back.
#[derive(Debug)]
pub struct Full<T>(pub T);

impl<T> Mailbox<T> {
    /// A box for at most `letters_max` letters whose reader is woken by `waker`.
    pub fn new(letters_max: usize, waker: Arc<Waker>) -> Self {
        let letters = Mutex::new(VecDeque::with_capacity(letters_max.min(64)));
        Self { shared: Arc::new(Shared { letters, letters_max, waker }) }
    }

    /// Posts a letter.
    ///
    /// # Errors
    /// [`Full`] with the letter when `letters_max` are waiting: the reader is stuck or gone.
    pub fn post(&self, letter: T) -> Result<(), Full<T>> {
        let mut letters = self.shared.letters.lock();
        if letters.len() >= self.shared.letters_max {
            return Err(Full(letter));
        }
        letters.push_back(letter);
        let first = letters.len() == 1;
        drop(letters);
        if first {
            // An eventfd write that could fail only if its counter were full, which is a pending wake-up too.
            let _: io::Result<()> = self.shared.waker.wake();
        }
        Ok(())
    }

    /// Wakes the receiver without a letter.
    pub fn knock(&self) {
        // See `post`.
        let _: io::Result<()> = self.shared.waker.wake();
    }

    /// Takes every letter that is there. Only the thread that owns the waker calls this.
    pub fn collect(&self) -> VecDeque<T> {
        std::mem::take(&mut *self.shared.letters.lock())
    }

    /// Takes the first letter if it `may` be taken. Only the thread that owns the waker calls this; it is not woken again
    /// for what it leaves here.
    pub fn take_if(&self, may: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut letters = self.shared.letters.lock();
        letters.front().is_some_and(may).then(|| letters.pop_front()).flatten()
    }

    /// Whether no letter is there.
    pub fn is_empty(&self) -> bool {
        self.shared.letters.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};

    #[test]
    fn a_full_box_gives_the_letter_back_and_the_reader_is_woken() {
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mailbox = Mailbox::new(2, waker);
        mailbox.post(1).unwrap();
        mailbox.post(2).unwrap();
        assert_eq!(mailbox.post(3).unwrap_err().0, 3);
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, None).unwrap();
        assert_eq!(mailbox.collect(), [1, 2]);
        mailbox.post(4).unwrap();
        poll.poll(&mut events, None).unwrap();
        mailbox.post(5).unwrap();
        assert_eq!(mailbox.take_if(|letter| *letter == 5), None, "4 is the first");
        assert_eq!(mailbox.take_if(|letter| *letter == 4), Some(4));
        assert_eq!(mailbox.collect(), [5]);
        assert!(mailbox.is_empty());
    }
}
