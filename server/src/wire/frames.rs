//! WebSocket frames (RFC 6455 section 5), as a server reads and writes them. In: the bytes of a client, in pieces of any size.
//! Out: its messages and control frames, or the fault that ends it; and the bytes of frames for it. Guarantee: a message has
//! at most [`MESSAGE_BYTES_MAX`] in any number of fragments; what is kept is what has come of the frame and the message that
//! are not complete, and nothing else.
//!
//! Not tungstenite's own socket: that keeps the largest buffers it ever had for every client, copies each frame for each
//! client, and answers a close frame before what was asked ahead of it.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The longest message from a client.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// The longest frame that can be part of one, header included.
pub const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 14;
/// The longest payload of a control frame.
const CONTROL_BYTES_MAX: u64 = 125;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A text message, or a binary one: the seed knows no kinds of frames.
    Message(Vec<u8>),
    /// A ping with its payload.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// A close frame, and the code that answers it.
    Close(Option<CloseCode>),
}

/// What a client did wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// A message is too long.
    #[error("a message may have at most 8 KiB")]
    TooLong,
    /// A text message is none.
    #[error("text must be UTF-8")]
    NotUtf8,
    /// The protocol is not kept.
    #[error("{0}")]
    Protocol(String),
}

impl FrameFault {
    /// The close code that says so (RFC 6455 section 7.4.1).
    pub const fn code(&self) -> CloseCode {
        match self {
            Self::TooLong => CloseCode::Size,
            Self::NotUtf8 => CloseCode::Invalid,
            Self::Protocol(_) => CloseCode::Protocol,
        }
    }
}

fn protocol(text: &str) -> FrameFault {
    FrameFault::Protocol(text.to_owned())
}

/// The incoming side of one client.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// What is before this place of `bytes` is done with.
    done: usize,
    /// The message whose last fragment has not come: whether it is text, and its fragments.
    message: Option<(bool, Vec<u8>)>,
}

impl Decoder {
    /// Takes what the client sent next.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes it keeps.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.capacity() + self.message.as_ref().map_or(0, |(_, message)| message.capacity())
    }

    /// What has come completely next.
    ///
    /// # Errors
    /// [`FrameFault`]: nothing that comes after it has a meaning.
    pub fn next_item(&mut self) -> Result<Option<Item>, FrameFault> {
        loop {
            let mut cursor = Cursor::new(&self.bytes[self.done..]);
            let parsed = FrameHeader::parse(&mut cursor).map_err(|error| protocol(&error.to_string()))?;
            let start = self.done + usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            let Some((header, len)) = parsed else {
                self.tidy();
                return Ok(None);
            };
            let mask = self.check(&header, len)?;
            let end = start + usize::try_from(len).unwrap_or(usize::MAX);
            let Some(payload) = self.bytes.get(start..end) else {
                self.tidy();
                return Ok(None);
            };
            let payload: Vec<u8> =
                payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            self.done = end;
            if let Some(item) = self.take(&header, payload)? {
                return Ok(Some(item));
            }
        }
    }

    /// Whether a frame may have this header and this length now; its mask.
    fn check(&self, header: &FrameHeader, len: u64) -> Result<[u8; 4], FrameFault> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(protocol("a reserved bit is set"));
        }
        let mask = header.mask.ok_or_else(|| protocol("a client's frame must be masked"))?;
        match header.opcode {
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                return Err(protocol("an opcode is unknown"));
            }
            OpCode::Control(_) if !header.is_final => return Err(protocol("a control frame is fragmented")),
            OpCode::Control(_) if len > CONTROL_BYTES_MAX => {
                return Err(protocol("a control frame is too long"));
            }
            OpCode::Control(_) => return Ok(mask),
            OpCode::Data(Data::Continue) if self.message.is_none() => {
                return Err(protocol("a fragment continues nothing"));
            }
            OpCode::Data(Data::Text | Data::Binary) if self.message.is_some() => {
                return Err(protocol("a message begins inside another"));
            }
            OpCode::Data(_) => {}
        }
        let before = self.message.as_ref().map_or(0, |(_, message)| message.len());
        if len > (MESSAGE_BYTES_MAX - before) as u64 {
            return Err(FrameFault::TooLong);
        }
        Ok(mask)
    }

    fn take(&mut self, header: &FrameHeader, payload: Vec<u8>) -> Result<Option<Item>, FrameFault> {
        let is_text = match header.opcode {
            OpCode::Control(Control::Ping) => return Ok(Some(Item::Ping(payload))),
            OpCode::Control(Control::Close) => {
                return close_code(&payload).map(|code| Some(Item::Close(code)));
            }
            OpCode::Control(_) => return Ok(Some(Item::Pong)),
            OpCode::Data(data) => data == Data::Text,
        };
        let (is_text, message) = match self.message.take() {
            None => (is_text, payload),
            Some((is_text, mut message)) => {
                message.extend_from_slice(&payload);
                (is_text, message)
            }
        };
        if !header.is_final {
            self.message = Some((is_text, message));
            return Ok(None);
        }
        if is_text && std::str::from_utf8(&message).is_err() {
            return Err(FrameFault::NotUtf8);
        }
        Ok(Some(Item::Message(message)))
    }

    /// Forgets what is done with.
    fn tidy(&mut self) {
        self.bytes.drain(..self.done);
        self.done = 0;
        if self.bytes.capacity() > 2 * self.bytes.len() {
            self.bytes.shrink_to_fit();
        }
    }
}

/// The code that answers a close frame: its own, if it may have one.
fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, FrameFault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(protocol("half a close code")) };
    };
    let code = CloseCode::from(u16::from_be_bytes(*code));
    if !code.is_allowed() {
        return Err(protocol("a close code that nobody may send"));
    }
    std::str::from_utf8(reason).map_err(|_| FrameFault::NotUtf8)?;
    Ok(Some(code))
}

/// Appends a frame of the server.
pub fn encode(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    // Writing into a vector cannot fail.
    let _ = header.format(payload.len() as u64, out);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's frame under a mask.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0xfe];
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        if payload.len() < 126 {
            bytes = vec![first, 0x80 | payload.len() as u8];
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Everything that comes of bytes that arrive in pieces of this size.
    fn decoded(bytes: &[u8], piece: usize) -> (Vec<Item>, Option<FrameFault>) {
        let (mut decoder, mut items) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            decoder.feed(piece);
            loop {
                match decoder.next_item() {
                    Ok(Some(item)) => items.push(item),
                    Ok(None) => break,
                    Err(fault) => return (items, Some(fault)),
                }
            }
        }
        assert!(!items.is_empty() || decoder.waiting_bytes() >= bytes.len());
        (items, None)
    }

    #[test]
    fn messages_come_whole_however_they_are_sent() {
        let bytes = [
            frame(0x81, b"one"),
            frame(0x01, b"t"),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, b"wo"),
            frame(0x82, &[0xff]),
            frame(0x8a, b""),
            frame(0x88, &[&1000_u16.to_be_bytes()[..], b"bye"].concat()),
        ]
        .concat();
        let want = [
            Item::Message(b"one".to_vec()),
            Item::Ping(b"ping".to_vec()),
            Item::Message(b"two".to_vec()),
            Item::Message(vec![0xff]),
            Item::Pong,
            Item::Close(Some(CloseCode::Normal)),
        ];
        for piece in 1..bytes.len() {
            let (items, fault) = decoded(&bytes, piece);
            assert_eq!((items.as_slice(), fault), (&want[..], None), "{piece}");
        }
    }

    #[test]
    fn nothing_is_kept_between_messages() {
        let mut decoder = Decoder::default();
        decoder.feed(&frame(0x81, &[b' '; MESSAGE_BYTES_MAX]));
        assert!(matches!(decoder.next_item(), Ok(Some(Item::Message(_)))));
        assert_eq!(decoder.next_item(), Ok(None));
        assert_eq!(decoder.waiting_bytes(), 0);
    }

    #[test]
    fn a_fault_has_its_code() {
        let half = frame(0x01, &[b' '; MESSAGE_BYTES_MAX / 2 + 1]);
        let rest = frame(0x80, &[b' '; MESSAGE_BYTES_MAX / 2]);
        for (bytes, code) in [
            (frame(0x81, &[b' '; MESSAGE_BYTES_MAX + 1]), CloseCode::Size),
            ([half, rest].concat(), CloseCode::Size),
            ([&[0x82, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat(), CloseCode::Size),
            (frame(0x81, b"\xc3"), CloseCode::Invalid),
            (frame(0x88, b"\x03\xe8\xff"), CloseCode::Invalid),
            (frame(0x88, b"\x03"), CloseCode::Protocol),
            (frame(0x88, b"\x03\xed"), CloseCode::Protocol),
            (frame(0x83, b""), CloseCode::Protocol),
            (frame(0x8b, b""), CloseCode::Protocol),
            (frame(0xc1, b""), CloseCode::Protocol),
            (frame(0x80, b""), CloseCode::Protocol),
            (frame(0x09, b""), CloseCode::Protocol),
            (frame(0x89, &[0; 126]), CloseCode::Protocol),
            ([frame(0x01, b""), frame(0x81, b"")].concat(), CloseCode::Protocol),
            (vec![0x81, 0x02, b'{', b'}'], CloseCode::Protocol),
        ] {
            let (items, fault) = decoded(&bytes, 3);
            assert_eq!((items, fault.map(|fault| fault.code())), (vec![], Some(code)), "{:?}", &bytes[..2]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1_usize..40) {
            let mut decoder = Decoder::default();
            for piece in bytes.chunks(piece) {
                decoder.feed(piece);
                while let Ok(Some(_)) = decoder.next_item() {}
            }
        }
    }
}
