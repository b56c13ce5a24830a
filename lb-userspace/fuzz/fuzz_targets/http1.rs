//! Messages of HTTP/1, chosen by libFuzzer: `cargo xtask fuzz http1`. The tests run its corpus through the same function.
#![no_main]
#![expect(dead_code, reason = "the codec alone is here, and not what uses it")]

use libfuzzer_sys::fuzz_target;

/// What the codec needs of the model.
mod model {
    /// As the daemon has it.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub(crate) enum HeaderCase {
        #[default]
        Lower,
        AsSent,
    }
}

/// The codec's own files: it is no part of what the daemon's crate shows.
#[path = "../../src/l7"]
mod l7 {
    pub(crate) mod message;
    pub(crate) mod http1;
}

#[path = "../../src/l7/http1/holds.rs"]
mod holds;

fuzz_target!(|input: &[u8]| holds::any(input));
