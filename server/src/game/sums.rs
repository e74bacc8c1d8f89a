//! What is too much to be told one by one. In: what somebody outside can cause as often as they like, each with a key (a
//! button, a device, a peer). Out: their sums. Guarantee: of one key at most one in [`SUM_US`] is told, and of all keys
//! together no more than the [`Pace`] allows; what waits is one sum a key, and its count, so nothing is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

use buzzer_core::time::{KernelTime, Micros};

use crate::game::pace::Pace;

/// Things are summed for so long.
pub const SUM_US: Micros = Micros::from_ms(1000);
/// Keys of which it is known when they were last told. More than the pace lets through in [`SUM_US`].
const TOLD_MAX: usize = 1024;

/// The sums of all keys.
#[derive(Debug)]
pub struct Sums<K, P> {
    sums: BTreeMap<K, Sum<P>>,
    due: BTreeSet<(KernelTime, K)>,
    /// When a key was last told, for those where that matters.
    told: BTreeMap<K, KernelTime>,
    pace: Pace,
    /// Of one key, one in so long.
    each_us: Micros,
}

/// What happened of one key.
#[derive(Clone, Debug)]
pub struct Sum<P> {
    /// How often.
    pub times: u32,
    /// When first.
    pub since: KernelTime,
    /// When last.
    pub last: KernelTime,
    /// What it was.
    pub what: P,
    /// Keys whose sums are in this one.
    pub others: u32,
    due: KernelTime,
}

impl<K: Ord + Clone, P> Sums<K, P> {
    /// Nothing yet, told at this pace.
    pub const fn new(pace: Pace) -> Self {
        Self { sums: BTreeMap::new(), due: BTreeSet::new(), told: BTreeMap::new(), pace, each_us: SUM_US }
    }

    /// The same, with no more of one key than of all.
    pub fn of_one_key(pace: Pace) -> Self {
        let mut sums = Self::new(pace);
        sums.each_us = Micros::ZERO;
        sums
    }

    /// Whether this one may be told at once, and needs not be added.
    pub fn may_tell(&mut self, key: &K, at: KernelTime) -> bool {
        let is_new = self.told.get(key).is_none_or(|told| *told + self.each_us <= at);
        let may = is_new && !self.sums.contains_key(key) && self.pace.take(at);
        if may {
            self.set_told(key.clone(), at);
        }
        may
    }

    /// Adds one. `join` makes one of what was and what comes.
    pub fn add(&mut self, key: K, at: KernelTime, what: P, join: impl FnOnce(&mut P, P)) {
        if let Some(sum) = self.sums.get_mut(&key) {
            sum.times = sum.times.saturating_add(1);
            sum.last = sum.last.max(at);
            join(&mut sum.what, what);
            return;
        }
        // A sender can let its stamps stand still: a second since the last sum counts, not since its stamp.
        let due = self.told.get(&key).map_or(at, |told| at.max(*told)) + SUM_US;
        self.due.insert((due, key.clone()));
        self.sums.insert(key, Sum { times: 1, since: at, last: at, what, others: 0, due });
    }

    /// When [`Sums::take_due`] will have something to give.
    pub fn next_due(&self) -> Option<KernelTime> {
        self.due.first().map(|(due, _)| (*due).max(self.pace.may_at()))
    }

    /// Takes those that may be told now, the oldest first.
    pub fn take_due(&mut self, now: KernelTime) -> Vec<(K, Sum<P>)> {
        let mut taken = Vec::new();
        while self.due.first().is_some_and(|(due, _)| *due <= now) && self.pace.take(now) {
            let Some((_, key)) = self.due.pop_first() else { break };
            let Some(sum) = self.sums.remove(&key) else { continue };
            self.set_told(key.clone(), now);
            taken.push((key, sum));
        }
        taken
    }

    /// Takes all of these keys, in their order, because they will have no more.
    pub fn take_every(&mut self, keys: impl RangeBounds<K>, now: KernelTime) -> Vec<Sum<P>> {
        let taken: Vec<(K, Sum<P>)> = self.sums.extract_if(keys, |_, _| true).collect();
        let forget = |(key, sum): (K, Sum<P>)| {
            self.due.remove(&(sum.due, key.clone()));
            self.told.remove(&key);
            self.pace.charge(now, 1);
            sum
        };
        taken.into_iter().map(forget).collect()
    }

    /// Takes all of these keys likewise; beyond the pace the last one that is given has all the others in it.
    pub fn take_all(
        &mut self,
        keys: impl RangeBounds<K>,
        now: KernelTime,
        join: impl Fn(&mut P, P),
    ) -> Vec<(K, Sum<P>)> {
        let mut taken: Vec<(K, Sum<P>)> = Vec::new();
        for (key, sum) in self.sums.extract_if(keys, |_, _| true) {
            self.due.remove(&(sum.due, key.clone()));
            self.told.remove(&key);
            match taken.last_mut() {
                Some((_, last)) if !self.pace.take(now) => last.join(sum, &join),
                Some(_) => taken.push((key, sum)),
                None => {
                    self.pace.charge(now, 1);
                    taken.push((key, sum));
                }
            }
        }
        taken
    }

    /// Sums that wait.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Whether one of this key waits.
    pub fn has(&self, key: &K) -> bool {
        self.sums.contains_key(key)
    }

    fn set_told(&mut self, key: K, at: KernelTime) {
        if self.told.len() >= TOLD_MAX {
            self.told.retain(|_, told| at < *told + SUM_US);
        }
        if self.told.len() < TOLD_MAX {
            self.told.insert(key, at);
        }
    }
}

impl<P> Sum<P> {
    fn join(&mut self, other: Self, join: impl Fn(&mut P, P)) {
        self.times = self.times.saturating_add(other.times);
        self.since = self.since.min(other.since);
        self.last = self.last.max(other.last);
        self.others = self.others.saturating_add(1);
        join(&mut self.what, other.what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> KernelTime {
        KernelTime::from_us(1000 * ms)
    }

    fn sums(burst: u32) -> Sums<(u32, u16), u64> {
        Sums::new(Pace::new(burst, Micros::from_ms(250)))
    }

    /// Adds one, and gives whether it was told at once.
    fn happen(sums: &mut Sums<(u32, u16), u64>, key: (u32, u16), ms: u64, what: u64) -> bool {
        let told = sums.may_tell(&key, at(ms));
        if !told {
            sums.add(key, at(ms), what, |most, new| *most = (*most).max(new));
        }
        told
    }

    #[test]
    fn of_one_key_one_in_a_second_is_told_and_nothing_is_left_out() {
        let mut sums = sums(64);
        let (mut told, mut counted) = (0, 0);
        for ms in 5000..15_000 {
            let first = u32::from(happen(&mut sums, (1, 1), ms, 7));
            let due = sums.take_due(at(ms));
            told += first + u32::try_from(due.len()).unwrap();
            counted += first + due.iter().map(|(_, sum)| sum.times).sum::<u32>();
        }
        let rest = sums.take_all(.., at(15_000), |_, _| {});
        assert_eq!((told, rest.len()), (10, 1));
        assert_eq!(counted + rest[0].1.times, 10_000);
    }

    #[test]
    fn stamps_that_stand_still_make_no_more() {
        let mut sums = sums(64);
        let mut told = 0;
        for now in 5000..15_000 {
            told += usize::from(happen(&mut sums, (1, 1), 5000, 7)) + sums.take_due(at(now)).len();
        }
        assert_eq!(told, 10);
    }

    #[test]
    fn of_many_keys_no_more_than_the_pace_allows_and_the_oldest_first() {
        let mut sums = sums(8);
        let mut told = Vec::new();
        for ms in 5000..15_000 {
            for buzzer in 0..100 {
                told.extend(happen(&mut sums, (1, buzzer), ms, 7).then_some(buzzer));
            }
            assert!(sums.next_due().is_some_and(|due| due > at(ms) || !sums.take_due(at(ms)).is_empty()));
        }
        let rest = sums.take_all((1, 0)..=(1, 3), at(15_000), |_, _| {});
        assert_eq!(told, [0, 1, 2, 3, 4, 5, 6, 7], "the burst");
        assert!(rest.len() < 4 && rest.iter().map(|(_, sum)| sum.others).sum::<u32>() > 0, "{rest:?}");
        assert_eq!(sums.len(), 100 - 4);
        assert_eq!(sums.due.len(), sums.len());
    }
}
