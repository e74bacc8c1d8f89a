//! A recorded log as if it were live. In: its records, clients' requests, the time. Out: the same messages as then, in the same
//! order, at the recorded pace or a multiple of it. Guarantee: pure, and through the live server's own fold and messages, so
//! the same log gives the same bytes on every run; nothing is recorded, and no client changes what was.

pub mod clock;
pub mod player;

pub use clock::{ReplayClock, Speed};
pub use player::{Player, PoolKnown};
