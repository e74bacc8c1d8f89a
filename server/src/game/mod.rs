//! The quiz, as data. In: requests, records. Out: answers and news. Guarantee: nothing here knows a text of a protocol, a socket or
//! a clock; [`crate::wire`] makes texts of what it gives.

pub mod button;
pub mod connects;
pub mod draw;
pub mod group;
pub mod mediator;
pub mod pace;
pub mod photo;
pub mod pool;
pub mod request;
pub mod settle;
pub mod state;
pub mod sums;

pub use request::{Answer, ClientId, Request};
