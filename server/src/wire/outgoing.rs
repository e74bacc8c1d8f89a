//! What a client is to be sent. In: what was told, answered or said on the protocol's own account. Out: a frame's bytes, made when
//! the socket can take them. Guarantee: what waits is what was told or what the client itself sent, never the escapes that a
//! text makes of it, which can be six times as long.

use std::borrow::Cow;
use std::sync::Arc;

use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::wire::frames::encode;
use crate::wire::{Complaint, Wire};

/// The longest reason that a close frame can have.
const REASON_BYTES_MAX: usize = 123;

/// One frame to be.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// The frame of a text. Clients that are told the same share it.
    Frame(Arc<[u8]>),
    /// The answer to what was no request, in this version.
    Complaint(&'static dyn Wire, Box<Complaint>),
    /// The answer to a ping.
    Pong(Vec<u8>),
    /// The end, with the reason.
    Close(CloseCode, Cow<'static, str>),
    /// The answer to a close frame.
    CloseBack(Option<CloseCode>),
}

impl Outgoing {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Frame(frame(text).into())
    }

    /// What it holds for its client alone or, if `is_shared`, beside what others hold as well.
    pub fn waiting_bytes(&self, is_shared: bool) -> usize {
        size_of::<Self>()
            + match self {
                Self::Frame(_) if is_shared => 0,
                Self::Frame(frame) => frame.len(),
                Self::Complaint(_, complaint) => size_of::<Complaint>() + complaint.waiting_bytes(),
                Self::Pong(payload) => payload.len(),
                Self::Close(..) | Self::CloseBack(_) => 0,
            }
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Frame(frame) => out.extend_from_slice(frame),
            Self::Complaint(wire, complaint) => {
                encode(OpCode::Data(Data::Text), wire.complaint(complaint).as_bytes(), out);
            }
            Self::Pong(payload) => encode(OpCode::Control(Control::Pong), payload, out),
            Self::Close(code, reason) => close(Some(*code), reason, out),
            Self::CloseBack(code) => close(*code, "", out),
        }
    }
}

/// The latest answer: one that is equal shares its frame.
#[derive(Debug, Default)]
pub struct Latest(Arc<[u8]>);

impl Latest {
    /// The frame of this text, and whether others may have it.
    pub fn frame(&mut self, text: &str) -> (Outgoing, bool) {
        let frame = frame(text);
        let is_shared = *self.0 == *frame;
        if !is_shared {
            self.0 = frame.into();
        }
        (Outgoing::Frame(Arc::clone(&self.0)), is_shared)
    }
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(text.len() + 4);
    encode(OpCode::Data(Data::Text), text.as_bytes(), &mut frame);
    frame
}

fn close(code: Option<CloseCode>, reason: &str, out: &mut Vec<u8>) {
    let code = code.map(|code| u16::from(code).to_be_bytes());
    let reason = reason.get(..REASON_BYTES_MAX).unwrap_or(reason);
    let payload: Vec<u8> = code.into_iter().flatten().chain(reason.bytes()).collect();
    encode(OpCode::Control(Control::Close), &payload, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::V1;

    fn encoded(outgoing: &Outgoing) -> Vec<u8> {
        let mut bytes = vec![b'-'];
        outgoing.encode(&mut bytes);
        bytes
    }

    #[test]
    fn frames_are_those_of_the_rfc() {
        let long = "x".repeat(126);
        for (outgoing, want) in [
            (Outgoing::text("{}"), b"-\x81\x02{}".to_vec()),
            (Outgoing::text(&long), [b"-\x81\x7e\x00\x7e", long.as_bytes()].concat()),
            (Outgoing::Pong(b"x".to_vec()), b"-\x8a\x01x".to_vec()),
            (Outgoing::Close(CloseCode::Policy, "no".into()), b"-\x88\x04\x03\xf0no".to_vec()),
            (Outgoing::CloseBack(Some(CloseCode::Normal)), b"-\x88\x02\x03\xe8".to_vec()),
            (Outgoing::CloseBack(None), b"-\x88\x00".to_vec()),
        ] {
            assert_eq!(encoded(&outgoing), want, "{outgoing:?}");
        }
        let complaint = Complaint::Unreadable(vec![1]);
        let text = br#"{"error":"invalid_json","message":null,"cause":"\u0001"}"#;
        assert_eq!(encoded(&Outgoing::Complaint(&V1, complaint.into()))[3..], text[..]);
    }

    #[test]
    fn what_waits_is_what_was_sent() {
        let outgoing = Outgoing::Complaint(&V1, Complaint::Unreadable(vec![1; 8192]).into());
        assert!(encoded(&outgoing).len() > 6 * 8192);
        assert!(outgoing.waiting_bytes(false) < 8192 + 256);
    }
}
