//! Any bytes as a log. In: what libFuzzer thinks of, and what our own changes of it make. Out: a crash where a promise is broken.
//! Guarantee: the promises are those of `buzzer_tests::harness::spoilt`, the same as in the test suite.

#![no_main]

use std::alloc::System;
use std::cell::RefCell;

use alloc_tracker::Allocator;
use buzzer_tests::harness::sim_disk::Dice;
use buzzer_tests::harness::spoilt::{Bench, spoil};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

thread_local! {
    static BENCH: Bench = Bench::default();
    /// The input before this one, to splice with.
    static OTHER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fuzz_target!(|input: &[u8]| {
    BENCH.with(|bench| bench.check(input));
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Bytes alone seldom make another log; whole lines alone never make nonsense.
    if seed.is_multiple_of(3) {
        return fuzzer_mutate(data, size, max_size);
    }
    let input = data[..size].to_vec();
    let other = OTHER.with(|other| other.replace(input.clone()));
    let mut spoilt = spoil(&input, &other, &mut Dice(seed.into()));
    spoilt.truncate(max_size);
    data[..spoilt.len()].copy_from_slice(&spoilt);
    spoilt.len()
});
