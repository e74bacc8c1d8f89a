//! Everything below may make a system call; nothing outside this folder may.

pub mod devices;
pub mod mailbox;
pub mod reader;
pub mod sys;
