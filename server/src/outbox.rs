//! Who is told what, and in which order. In: frames for all clients, and frames for one. Out: for each client its next
//! frame. Guarantee: every client gets the frames for all in one and the same order, from the moment it came; a
//! private frame comes after everything that was told before it; the frames for all are bounded: a client that falls behind by
//! more than that is told that it is lost, and nobody waits for it. Private frames are counted, and bounded by who tells them.
//!
//! A frame for all is stored once. A client is a [`Cursor`] into that ring, so load coalesces by itself, and
//! `head - cursor` is the measure of a slow client. `F` is whatever the shell sends; its clone must be cheap.

use std::collections::VecDeque;

/// Frames for all that are kept, and that a client may be behind: being behind costs no memory, for each is stored once. It is
/// twice what 64 devices of 32 buzzers make when they are unplugged at once, so a client that reads, and gets no processor
/// meanwhile, is not lost for that.
pub const ENTRIES_MAX: usize = 4096;

/// The name of a client; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// The shared ring.
#[derive(Debug)]
pub struct Outbox<F> {
    entries: VecDeque<Entry<F>>,
    /// The position of `entries[0]`; positions never start again.
    base: u64,
}

#[derive(Debug)]
struct Entry<F> {
    frame: F,
    /// Sorted: it can be everybody, and everybody asks.
    except: Vec<ClientId>,
}

/// How far one client has been told.
#[derive(Debug)]
pub struct Cursor<F> {
    client: ClientId,
    next: u64,
    /// With the position that each follows, and its weight.
    private: VecDeque<(u64, F, usize)>,
}

/// What a client is told next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<F> {
    /// This.
    Frame(F),
    /// Nothing.
    Done,
    /// What comes next is no longer kept: end this client.
    Lost,
}

impl<F> Default for Outbox<F> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), base: 0 }
    }
}

impl<F> Cursor<F> {
    /// Whether a private frame waits.
    pub fn has_private(&self) -> bool {
        !self.private.is_empty()
    }

    /// What the private frames that wait weigh together.
    pub fn private_bytes(&self) -> usize {
        self.private.iter().map(|(.., bytes)| bytes).sum()
    }

    /// Drops the private frames that wait.
    pub fn forget_private(&mut self) {
        self.private = VecDeque::new();
    }
}

impl<F: Clone> Outbox<F> {
    /// A client that is told everything from now on.
    pub fn join(&self, client: ClientId) -> Cursor<F> {
        Cursor { client, next: self.head(), private: VecDeque::new() }
    }

    /// The position behind the newest frame.
    pub fn head(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Tells all clients but `except`.
    pub fn tell_all(&mut self, frame: F, mut except: Vec<ClientId>) {
        except.sort_unstable();
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.base += 1;
        }
        self.entries.push_back(Entry { frame, except });
    }

    /// Tells one client, after everything that was told so far, what weighs so many bytes.
    pub fn tell(&self, cursor: &mut Cursor<F>, frame: F, bytes: usize) {
        cursor.private.push_back((self.head(), frame, bytes));
    }

    /// Whether nothing waits for this client.
    pub fn is_told(&self, cursor: &Cursor<F>) -> bool {
        cursor.private.is_empty() && cursor.next == self.head()
    }

    /// Whether this client is further behind than what is kept.
    pub const fn is_lost(&self, cursor: &Cursor<F>) -> bool {
        cursor.next < self.base
    }

    /// The client's next frame; it counts as told.
    pub fn next(&self, cursor: &mut Cursor<F>) -> Next<F> {
        if self.is_lost(cursor) {
            return Next::Lost;
        }
        loop {
            if cursor.private.front().is_some_and(|(after, ..)| *after <= cursor.next)
                && let Some((_, frame, _)) = cursor.private.pop_front()
            {
                if cursor.private.is_empty() {
                    cursor.private = VecDeque::new();
                }
                return Next::Frame(frame);
            }
            let place = usize::try_from(cursor.next - self.base).unwrap_or(usize::MAX);
            let Some(entry) = self.entries.get(place) else { return Next::Done };
            cursor.next += 1;
            if entry.except.binary_search(&cursor.client).is_err() {
                return Next::Frame(entry.frame.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &Outbox<&'static str>, cursor: &mut Cursor<&'static str>) -> Vec<&'static str> {
        let mut told = Vec::new();
        while let Next::Frame(frame) = outbox.next(cursor) {
            told.push(frame);
        }
        told
    }

    #[test]
    fn all_see_one_order_and_private_frames_keep_their_place() {
        let mut outbox = Outbox::default();
        outbox.tell_all("before", vec![]);
        let (mut a, mut b) = (outbox.join(ClientId(1)), outbox.join(ClientId(2)));
        outbox.tell_all("one", vec![]);
        outbox.tell(&mut a, "result", 6);
        outbox.tell_all("connected", vec![ClientId(1)]);
        outbox.tell_all("two", vec![]);
        assert_eq!(drain(&outbox, &mut a), ["one", "result", "two"]);
        assert_eq!(drain(&outbox, &mut b), ["one", "connected", "two"]);
        assert!(outbox.is_told(&a) && outbox.is_told(&b));
        assert_eq!(outbox.next(&mut a), Next::Done);
    }

    #[test]
    fn who_falls_behind_is_lost_and_memory_stays_bounded() {
        let mut outbox = Outbox::default();
        let mut slow = outbox.join(ClientId(1));
        for _ in 0..ENTRIES_MAX {
            outbox.tell_all("x", vec![]);
        }
        assert!(!outbox.is_lost(&slow));
        outbox.tell_all("x", vec![]);
        assert_eq!(outbox.next(&mut slow), Next::Lost, "by entries");
        assert_eq!(outbox.entries.len(), ENTRIES_MAX);

        let mut greedy = outbox.join(ClientId(3));
        outbox.tell(&mut greedy, "x", 7);
        outbox.tell(&mut greedy, "y", 8);
        assert_eq!((greedy.has_private(), greedy.private_bytes()), (true, 15));
        assert_eq!(outbox.next(&mut greedy), Next::Frame("x"));
        greedy.forget_private();
        assert_eq!((greedy.private_bytes(), outbox.next(&mut greedy)), (0, Next::Done));
    }
}
