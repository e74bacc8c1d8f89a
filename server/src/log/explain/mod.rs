//! One window of the log as the answer to a dispute: who was first, by how much, how sure that is. In: records, in the log's
//! order, and what is asked ([`window`]). Out: a [`Story`], as JSON or as a [`page`]. Guarantee: one pass, bounded memory,
//! and no verdict where evidence is missing.
//!
//! [`window`] finds the part that is asked about, [`places`] says who came where, [`evidence`] what else happened and what it
//! means, [`story`] joins them to a verdict.

pub mod evidence;
pub mod page;
pub mod places;
pub mod roster;
pub mod story;
pub mod window;
pub mod words;

pub use story::{Chain, Story};
pub use window::{Asked, Damage, GAP_US, Scan};

#[cfg(test)]
mod tests;
