//! One window of the log as the answer to a dispute: who was first, by how much, how sure that is. In: records, in the log's
//! order, and what is asked ([`scan`]). Out: a [`Story`], as JSON or as a [`page`]. Guarantee: one pass, bounded memory,
//! and no verdict where evidence is missing.
//!
//! [`scan`] finds the part that is asked about, the [`window`], [`places`] says who came where, [`evidence`] what else
//! happened and what it means, [`uncounted`] who pressed in vain, [`verdict`] who was first, [`story`] joins them.

pub mod chance;
pub mod evidence;
pub mod page;
pub mod places;
pub mod roster;
pub mod scan;
pub mod story;
pub mod uncounted;
pub mod verdict;
pub mod window;
pub mod words;

pub use scan::{GAP_US, Scan};
pub use story::{Chain, Story};
pub use window::{Asked, Damage};

#[cfg(test)]
mod tests;
