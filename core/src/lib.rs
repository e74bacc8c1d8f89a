//! From an input device to the ring: the first half of buzzerd.
//!
//! A press enters as `struct input_event` records on a file descriptor and leaves as an [`event::Event`] in the
//! ring. On the way it is decoded ([`press::decode`]), debounced ([`press::debounce`]) and put in order with the presses of every
//! other device ([`merge::order`]). What leaves is in kernel-time order; a press may be late, but it is never reordered
//! silently and never dropped silently.
//!
//! Deliberately absent: pools, clients, files. Everything outside [`io`] is pure: time is an argument.

pub mod device;
pub mod event;
pub mod io;
pub mod merge;
pub mod press;
pub mod quote;
pub mod time;
