//! Every `connect` that waits for its outcome. In: who asks for which pool, and the time. Out: those that are decided. Guarantee: all
//! who ask for a pool while its outcome is open are one, with one outcome and one deadline; each is taken once.

use buzzer_core::time::{KernelTime, Micros};

use super::ClientId;
use crate::record::pool_id::PoolId;

/// How long a `connect` may take.
pub const CONNECT_US: Micros = Micros::from_ms(5000);

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub struct Connects {
    pending: Vec<Pending>,
}

/// One of them.
#[derive(Debug)]
pub struct Pending {
    /// The pool.
    pub pool: PoolId,
    /// Who asked first, as the log names it.
    pub by: String,
    /// Who is to be answered.
    pub askers: Vec<ClientId>,
    /// When that was.
    pub asked: KernelTime,
}

impl Pending {
    /// When its time is up.
    pub fn deadline(&self) -> KernelTime {
        self.asked + CONNECT_US
    }
}

impl Connects {
    /// When the time of the first is up.
    pub fn due(&self) -> Option<KernelTime> {
        self.pending.iter().map(Pending::deadline).min()
    }

    /// Whether one of this pool is open.
    pub fn is_under_way(&self, pool: &PoolId) -> bool {
        self.pending.iter().any(|pending| pending.pool == *pool)
    }

    /// A client asks for a pool: whether nobody had.
    pub fn ask(&mut self, client: ClientId, by: &str, pool: &PoolId, asked: KernelTime) -> bool {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.pool == *pool) {
            pending.askers.push(client);
            return false;
        }
        let (pool, by, askers) = (pool.clone(), by.to_owned(), vec![client]);
        self.pending.push(Pending { pool, by, askers, asked });
        true
    }

    /// A client is gone. What it asked for goes on.
    pub fn part(&mut self, client: ClientId) {
        self.pending.iter_mut().for_each(|pending| pending.askers.retain(|asker| *asker != client));
    }

    /// Takes the oldest that is decided.
    pub fn take(&mut self, is_decided: impl FnMut(&Pending) -> bool) -> Option<Pending> {
        self.pending.iter().position(is_decided).map(|place| self.pending.remove(place))
    }
}
