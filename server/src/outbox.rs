//! Who is told what, and in which order. In: frames for all clients, and frames for one. Out: for each client its next
//! frame. Guarantee: every client gets the frames for all in one and the same order, from the moment it came; a
//! private frame comes after everything that was told before it; memory is bounded: a client that falls behind by
//! more than the bounds is told that it is lost, and nobody waits for it.
//!
//! A frame for all is stored once. A client is a [`Cursor`] into that ring, so load coalesces by itself, and
//! `head - cursor` is the measure of a slow client. `F` is whatever the shell sends; its clone must be cheap.

use std::collections::VecDeque;

/// Frames for all that are kept, and that a client may be behind: being behind costs no memory, for each is stored once. It is
/// twice what 64 devices of 32 buzzers make when they are unplugged at once, so a client that reads, and gets no processor
/// meanwhile, is not lost for that.
pub const ENTRIES_MAX: usize = 4096;
/// Bytes that may wait for one client alone.
pub const PRIVATE_BYTES_MAX: u64 = 64 * 1024;

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
    except: Vec<ClientId>,
}

/// How far one client has been told.
#[derive(Debug)]
pub struct Cursor<F> {
    client: ClientId,
    next: u64,
    private: VecDeque<(u64, F)>,
    private_bytes: u64,
}

/// What a client is told next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<F> {
    /// This.
    Frame(F),
    /// Nothing.
    Done,
    /// More than the bounds allow has piled up: end this client.
    Lost,
}

impl<F> Default for Outbox<F> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), base: 0 }
    }
}

impl<F: Clone + AsRef<[u8]>> Outbox<F> {
    /// A client that is told everything from now on.
    pub fn join(&self, client: ClientId) -> Cursor<F> {
        Cursor { client, next: self.head(), private: VecDeque::new(), private_bytes: 0 }
    }

    /// The position behind the newest frame.
    pub fn head(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Tells all clients but `except`.
    pub fn tell_all(&mut self, frame: F, except: Vec<ClientId>) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.base += 1;
        }
        self.entries.push_back(Entry { frame, except });
    }

    /// Tells one client, after everything that was told so far.
    pub fn tell(&self, cursor: &mut Cursor<F>, frame: F) {
        cursor.private_bytes += frame.as_ref().len() as u64;
        cursor.private.push_back((self.head(), frame));
    }

    /// Whether nothing waits for this client.
    pub fn is_told(&self, cursor: &Cursor<F>) -> bool {
        cursor.private.is_empty() && cursor.next == self.head()
    }

    /// Whether more waits for this client than the bounds allow.
    pub const fn is_lost(&self, cursor: &Cursor<F>) -> bool {
        cursor.next < self.base || cursor.private_bytes > PRIVATE_BYTES_MAX
    }

    /// The client's next frame; it counts as told.
    pub fn next(&self, cursor: &mut Cursor<F>) -> Next<F> {
        if self.is_lost(cursor) {
            return Next::Lost;
        }
        loop {
            if cursor.private.front().is_some_and(|(after, _)| *after <= cursor.next)
                && let Some((_, frame)) = cursor.private.pop_front()
            {
                cursor.private_bytes -= frame.as_ref().len() as u64;
                return Next::Frame(frame);
            }
            let place = usize::try_from(cursor.next - self.base).unwrap_or(usize::MAX);
            let Some(entry) = self.entries.get(place) else { return Next::Done };
            cursor.next += 1;
            if !entry.except.contains(&cursor.client) {
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
        outbox.tell(&mut a, "result");
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

        let long = "0123456789abcdef".repeat(64).leak();
        let mut greedy = outbox.join(ClientId(3));
        for _ in 0..=PRIVATE_BYTES_MAX / 1024 {
            outbox.tell(&mut greedy, long);
        }
        assert_eq!(outbox.next(&mut greedy), Next::Lost, "by answers");
    }
}
