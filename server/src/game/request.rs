//! What clients ask for and what they are answered. In: the state and the names of pools. Out: values. Guarantee: no protocol is in
//! them, so the live mediator and a replay give the same answers to clients of every version.

use crate::game::state::State;
use crate::record::pool_id::PoolId;

/// The name of a client; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The buzzers of connected pools.
    ListBuzzers,
    /// The available pools.
    ListPools,
    /// To connect a pool.
    Connect {
        /// The pool, as it was sent.
        pool: String,
    },
}

/// What one client is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The available pools.
    Pools(Vec<PoolId>),
    /// The connected pools that have buzzers, with their buzzers, ascending.
    Buzzers(Vec<(PoolId, Vec<u16>)>),
    /// A pool is connected, with these buzzers, ascending.
    Connected(PoolId, Vec<u16>),
    /// A pool cannot be connected: why, in words for people, as in the log.
    Refused(String),
}

impl Answer {
    /// The answer to [`Request::ListPools`], of those that are available.
    pub fn pools<'a>(available: impl Iterator<Item = &'a PoolId>) -> Self {
        Self::Pools(available.cloned().collect())
    }

    /// The answer to [`Request::ListBuzzers`], of all pools that there are.
    pub fn buzzers<'a>(state: &State, pools: impl Iterator<Item = &'a PoolId>) -> Self {
        let connected = pools.filter(|pool| state.is_connected(pool));
        let served = connected.map(|pool| (pool.clone(), buzzers(state, pool)));
        Self::Buzzers(served.filter(|(_, buzzers)| !buzzers.is_empty()).collect())
    }

    /// The answer to [`Request::Connect`] of a pool that is connected.
    pub fn connected(state: &State, pool: &PoolId) -> Self {
        Self::Connected(pool.clone(), buzzers(state, pool))
    }
}

fn buzzers(state: &State, pool: &PoolId) -> Vec<u16> {
    state.buzzers(pool).into_iter().collect()
}

/// The names of these pools, for a sentence.
pub fn names<'a>(pools: impl Iterator<Item = &'a PoolId>) -> String {
    let names: Vec<&str> = pools.map(PoolId::as_str).collect();
    if names.is_empty() { "there is none".to_owned() } else { names.join(", ") }
}
