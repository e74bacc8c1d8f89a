//! From an input device to the ring: the first half of buzzerd.
//!
//! A press enters as `struct input_event` records on a file descriptor and leaves as an [`event::Event`] in the
//! ring. On the way it is decoded ([`decode`]), debounced ([`debounce`]) and put in order with the presses of every
//! other device ([`order`]). What leaves is in kernel-time order; a press may be late, but it is never reordered
//! silently and never dropped silently.
//!
//! Deliberately absent: pools, clients, files. Everything outside [`io`] is pure: time is an argument.

pub mod advice;
pub mod assign;
pub mod cadence;
pub mod catalogue;
pub mod claim;
pub mod debounce;
pub mod decode;
pub mod delay;
pub mod endpoint;
pub mod event;
pub mod identity;
pub mod io;
mod key_names;
pub mod keys;
pub mod kind;
pub mod lights;
pub mod merge;
pub mod order;
pub mod pair;
pub mod profile;
pub mod quote;
pub mod ring;
pub mod roster;
pub mod stamp;
pub mod stream;
pub mod time;
pub mod waits;
pub mod wake;
