//! Who is told what, and in which order. In: news for all clients, and frames for one. Out: for each client its next
//! frame. Guarantee: every client gets the news in one and the same order, from the moment it came; a
//! private frame comes after everything that was told before it; the news that are kept are bounded: a client that falls behind by
//! more than that is told that it is lost, and nobody waits for it. Private frames are counted, and bounded by who tells them.
//!
//! News are stored once; the first client of a version that is told them has the frame made, and the others share it. A client is a
//! [`Cursor`] into that ring, so load coalesces by itself, and `head - cursor` is the measure of a slow client.

use std::collections::VecDeque;

use crate::game::ClientId;
use crate::game::state::News;
use crate::wire::Wire;
use crate::wire::outgoing::Outgoing;

/// News that are kept, and that a client may be behind: being behind costs no memory, for each is stored once. It is
/// twice what 64 devices of 32 buzzers make when they are unplugged at once, so a client that reads, and gets no processor
/// meanwhile, is not lost for that.
pub const ENTRIES_MAX: usize = 4096;

/// The shared ring.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    /// The position of `entries[0]`; positions never start again.
    base: u64,
}

#[derive(Debug)]
struct Entry {
    news: News,
    /// By the name of the version.
    frames: Vec<(&'static str, Outgoing)>,
    /// Sorted: it can be everybody, and everybody asks.
    except: Vec<ClientId>,
}

/// How far one client has been told.
#[derive(Debug)]
pub struct Cursor {
    client: ClientId,
    next: u64,
    /// With the position that each follows, and its weight.
    private: VecDeque<(u64, Outgoing, usize)>,
}

/// What a client is told next.
#[derive(Debug)]
pub enum Next {
    /// This.
    Frame(Outgoing),
    /// Nothing.
    Done,
    /// What comes next is no longer kept: end this client.
    Lost,
}

impl Entry {
    fn frame(&mut self, wire: &dyn Wire) -> Outgoing {
        if let Some((_, frame)) = self.frames.iter().find(|(version, _)| *version == wire.name()) {
            return frame.clone();
        }
        let frame = Outgoing::text(&wire.news(&self.news));
        self.frames.reserve_exact(1);
        self.frames.push((wire.name(), frame.clone()));
        frame
    }
}

impl Cursor {
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

impl Outbox {
    /// A client that is told everything from now on.
    pub fn join(&self, client: ClientId) -> Cursor {
        Cursor { client, next: self.head(), private: VecDeque::new() }
    }

    /// The position behind the newest.
    pub fn head(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Tells all clients but `except`.
    pub fn tell_all(&mut self, news: News, mut except: Vec<ClientId>) {
        except.sort_unstable();
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.base += 1;
        }
        self.entries.push_back(Entry { news, frames: Vec::new(), except });
    }

    /// Tells one client, after everything that was told so far. `is_shared`: others hold the same frame.
    pub fn tell(&self, cursor: &mut Cursor, frame: Outgoing, is_shared: bool) {
        let bytes = frame.waiting_bytes(is_shared);
        cursor.private.push_back((self.head(), frame, bytes));
    }

    /// Whether nothing waits for this client.
    pub fn is_told(&self, cursor: &Cursor) -> bool {
        cursor.private.is_empty() && cursor.next == self.head()
    }

    /// Whether this client is further behind than what is kept.
    pub const fn is_lost(&self, cursor: &Cursor) -> bool {
        cursor.next < self.base
    }

    /// The client's next frame, in its version; it counts as told.
    pub fn next(&mut self, cursor: &mut Cursor, wire: &dyn Wire) -> Next {
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
            let Some(entry) = self.entries.get_mut(place) else { return Next::Done };
            cursor.next += 1;
            if entry.except.binary_search(&cursor.client).is_err() {
                return Next::Frame(entry.frame(wire));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::V1;

    fn buzz(buzzer: u16) -> News {
        News::Buzz { pool: "x".parse().unwrap(), buzzer }
    }

    fn bytes(frame: &Outgoing) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        bytes
    }

    fn drain(outbox: &mut Outbox, cursor: &mut Cursor) -> Vec<Vec<u8>> {
        let mut told = Vec::new();
        while let Next::Frame(frame) = outbox.next(cursor, &V1) {
            told.push(bytes(&frame));
        }
        told
    }

    #[test]
    fn all_see_one_order_and_private_frames_keep_their_place() {
        let mut outbox = Outbox::default();
        outbox.tell_all(buzz(0), vec![]);
        let (mut a, mut b) = (outbox.join(ClientId(1)), outbox.join(ClientId(2)));
        outbox.tell_all(buzz(1), vec![]);
        outbox.tell(&mut a, Outgoing::text("result"), false);
        outbox.tell_all(buzz(2), vec![ClientId(1)]);
        outbox.tell_all(buzz(3), vec![]);
        let frame = |buzzer| bytes(&Outgoing::text(&V1.news(&buzz(buzzer))));
        let result = bytes(&Outgoing::text("result"));
        assert_eq!(drain(&mut outbox, &mut a), [frame(1), result, frame(3)]);
        assert_eq!(drain(&mut outbox, &mut b), [frame(1), frame(2), frame(3)]);
        assert!(outbox.is_told(&a) && outbox.is_told(&b));
        assert!(matches!(outbox.next(&mut a, &V1), Next::Done));
    }

    #[test]
    fn a_frame_is_made_once_and_shared() {
        let mut outbox = Outbox::default();
        let mut cursors = [1, 2, 3].map(|id| outbox.join(ClientId(id)));
        outbox.tell_all(buzz(1), vec![]);
        assert_eq!(outbox.entries[0].frames.len(), 0, "nobody was told it yet");
        let frames = cursors.each_mut().map(|cursor| match outbox.next(cursor, &V1) {
            Next::Frame(Outgoing::Frame(frame)) => frame,
            other => panic!("{other:?}"),
        });
        assert!(frames.iter().all(|frame| std::sync::Arc::ptr_eq(frame, &frames[0])));
    }

    #[test]
    fn who_falls_behind_is_lost_and_memory_stays_bounded() {
        let mut outbox = Outbox::default();
        let mut slow = outbox.join(ClientId(1));
        for _ in 0..ENTRIES_MAX {
            outbox.tell_all(buzz(1), vec![]);
        }
        assert!(!outbox.is_lost(&slow));
        outbox.tell_all(buzz(1), vec![]);
        assert!(matches!(outbox.next(&mut slow, &V1), Next::Lost), "by entries");
        assert_eq!(outbox.entries.len(), ENTRIES_MAX);

        let mut greedy = outbox.join(ClientId(3));
        outbox.tell(&mut greedy, Outgoing::text("x"), false);
        outbox.tell(&mut greedy, Outgoing::text("xy"), false);
        let bytes = 2 * size_of::<Outgoing>() + b"__x__xy".len();
        assert_eq!((greedy.has_private(), greedy.private_bytes()), (true, bytes));
        assert!(matches!(outbox.next(&mut greedy, &V1), Next::Frame(_)));
        greedy.forget_private();
        assert_eq!(greedy.private_bytes(), 0);
        assert!(matches!(outbox.next(&mut greedy, &V1), Next::Done));
    }
}
