//! Sets `cfg(loom)` for this package alone: a flag for all would build every crate once more.

fn main() {
    println!("cargo::rustc-cfg=loom");
}
