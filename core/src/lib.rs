//! From an input device to the ring.
