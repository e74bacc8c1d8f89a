//! End-to-end and simulation tests, one binary. In: the real `buzzerd`, or its two crates. Out: pass, fail, or a line
//! that says what was left out. Guarantee: loopback only; no test depends on another or on the speed of the machine.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

mod bad_input;
mod campaign;
mod commands;
mod crash;
mod crowd;
mod devices;
mod diagnostics;
mod doctor;
mod faults;
mod floods;
mod foreign;
mod golden;
mod greed;
mod healthz;
mod host;
mod log_audit;
mod log_disk;
mod log_explain;
mod log_export;
mod log_faults;
mod log_proof;
mod log_refusals;
mod log_replay;
mod log_show;
mod log_spoilt;
mod log_strays;
mod log_syncs;
mod log_verifiers;
mod log_verify;
mod memory;
mod pools;
mod protocol;
mod reader;
mod recordings;
mod restart;
mod signals;
mod simulation;
mod slow;
mod stdout;
mod tidy;
mod ties;
mod v1;
mod websocket;
mod window;
