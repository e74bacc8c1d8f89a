//! Everything below may make a system call; nothing outside this folder may.

pub mod devices;
pub mod endpoint;
pub mod evdev_node;
pub mod hotplug;
pub mod lamps;
pub mod leds;
pub mod mailbox;
pub mod measure;
pub mod pair;
pub mod permission;
pub mod reader;
pub mod reader_stats;
pub mod run_delay;
pub mod source;
pub mod survey;
pub mod sys;
pub mod sysfs;
pub mod timer;
