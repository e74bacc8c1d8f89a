//! See main.
fn main() {}
