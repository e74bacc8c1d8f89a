//! buzzerd.
fn main() {}
