//! End-to-end and simulation tests, one binary. In: the real `buzzerd`, or its two crates. Out: pass, fail, or a line
//! that says what was left out. Guarantee: loopback only; no test depends on another or on the speed of the machine.

mod bad_input;
mod crash;
mod doctor;
mod foreign;
mod load;
mod log_disk;
mod log_faults;
mod pools;
mod reader;
mod recordings;
mod restart;
mod simulation;
mod tidy;
mod v1;
mod websocket;
