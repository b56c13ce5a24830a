//! Worlds and packets through the packet path, chosen by libFuzzer: `cargo xtask fuzz packets`. The tests run its corpus
//! through the same function.
#![no_main]

use lb_tests_traffic::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = fuzz::bytes(input) {
        panic!("{broken}");
    }
});
