//! What a log proves: who was first and how sure that is, derived anew from its records alone.

pub mod audit;
pub mod explain;
pub mod replay;
pub mod sentence;
pub mod span;
pub mod wall;
