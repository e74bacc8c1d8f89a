//! What the tests share: starting `buzzerd`, attaching virtual buzzers, reading frames.
