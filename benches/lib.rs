//! The bench crate has no library; see `table/main.rs` and `micro/main.rs`.
