//! The quiz, as data. In: requests, records. Out: answers and news. Guarantee: nothing here knows a text of a protocol, a socket or
//! a clock; [`crate::wire`] makes texts of what it gives.

pub mod connects;
pub mod request;

pub use request::{Answer, ClientId, Request};
