//! `struct input_event` of a 64-bit kernel, and the buttons that the measurement presses.
//!
//! In: a key, its value, a stamp. Out: 24 bytes, and back.
//! Guarantees: floor and presser speak of the same bytes, in the machine's byte order.

use crate::clock::{MS, SECOND};

pub(crate) const SIZE: usize = 24;

/// BTN_TRIGGER_HAPPY1, the first of the codes that a Buzz! hub sends.
pub(crate) const FIRST_KEY: u16 = 704;

/// Buzzers that are pressed in turn, so that a lost, doubled or reordered frame shows: v1 frames carry no number.
pub(crate) const BUZZERS: u64 = 16;

const EV_SYN: u16 = 0;
const EV_KEY: u16 = 1;

/// The one edge that a record can tell this benchmark about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Down(u16),
    Report,
    Other,
}

/// Buzzer (1 to `BUZZERS`) of the n-th press.
pub(crate) fn buzzer_of(press: u64) -> u64 {
    press % BUZZERS + 1
}

/// The key that makes `buzzer`.
pub(crate) fn key_of(buzzer: u64) -> u16 {
    FIRST_KEY + (buzzer - 1) as u16
}

/// One edge of `key` and the report that makes it count.
pub(crate) fn put_edge(out: &mut Vec<u8>, key: u16, down: bool, at: u64) {
    put(out, EV_KEY, key, i32::from(down), at);
    put(out, EV_SYN, 0, 0, at);
}

fn put(out: &mut Vec<u8>, kind: u16, code: u16, value: i32, at: u64) {
    out.extend_from_slice(&((at / SECOND) as i64).to_ne_bytes());
    out.extend_from_slice(&((at % SECOND / (MS / 1000)) as i64).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&code.to_ne_bytes());
    out.extend_from_slice(&value.to_ne_bytes());
}

/// `record` is `SIZE` bytes long.
pub(crate) fn edge(record: &[u8]) -> Edge {
    let short = |at: usize| u16::from_ne_bytes([record[at], record[at + 1]]);
    let value = i32::from_ne_bytes([record[20], record[21], record[22], record[23]]);
    match (short(16), short(18), value) {
        (EV_SYN, 0, _) => Edge::Report,
        (EV_KEY, code, 1) => Edge::Down(code),
        _ => Edge::Other,
    }
}
