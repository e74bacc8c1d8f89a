//! From the ring to the screens.
