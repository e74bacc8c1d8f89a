//! Which device is which, which of its keys are buzzers, and how long before its stamp a press was made.

pub mod advice;
pub mod assign;
pub mod cadence;
pub mod catalogue;
pub mod claim;
pub mod delay;
pub mod endpoint;
pub mod identity;
pub mod kept;
pub mod kind;
pub mod lights;
pub mod pair;
pub mod profile;
pub mod roster;
