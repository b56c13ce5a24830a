//! Answers of servers to checks, chosen by libFuzzer: `cargo xtask fuzz checks`. The first byte chooses the check. The tests run
//! its corpus through the same function.
#![no_main]

use lb_userspace::health::holds;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| holds::any(input));
