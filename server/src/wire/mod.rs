//! Text, outside the game. In: news and answers, and the messages of clients. Out: texts, and requests. Guarantee: one file for each
//! version of the protocol ([`v1`]), each a [`Wire`]; who speaks which is known to its [`session`] alone.

pub mod admission;
pub mod frames;
pub mod http;
pub mod outbox;
pub mod outgoing;
pub mod pages;
pub mod session;
pub mod v1;

use std::fmt::Debug;

use crate::game::state::News;
use crate::game::{Answer, Request};

/// One version of the protocol.
pub trait Wire: Debug + Sync {
    /// Its name, which no other version has.
    fn name(&self) -> &'static str;

    /// Reads a message.
    ///
    /// # Errors
    /// [`Complaint`].
    fn read(&self, message: Vec<u8>) -> Result<Request, Complaint>;

    /// What every client is told.
    fn news(&self, news: &News) -> String;

    /// The answer to a request.
    fn answer(&self, answer: &Answer) -> String;

    /// The answer to what was no request.
    fn complaint(&self, complaint: &Complaint) -> String;
}

/// Why a message is no request. It keeps the message as it came; a text is made of it when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// It cannot be read.
    Unreadable(Vec<u8>),
    /// It is none of those that are known.
    Unknown(Vec<u8>),
    /// A field has the wrong type, or is missing.
    InvalidField {
        /// The field.
        field: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
}

impl Complaint {
    /// How long the message is that it keeps.
    pub const fn waiting_bytes(&self) -> usize {
        match self {
            Self::Unreadable(raw) | Self::Unknown(raw) => raw.capacity(),
            Self::InvalidField { .. } => 0,
        }
    }
}
