//! What tests send through the packet path, and what they know of what must come out.
//!
//! [`packet`] describes frames, [`oracle`] sums them up, [`world`] is the network that they travel. [`worlds`] makes other
//! tables of it and changes them, [`traffic`] makes frames without end, [`holds`] says what must be true of each, and [`fuzz`]
//! does all of it with bytes from elsewhere. A crate of its own, without the rest of the harness, so that a fuzzer builds it
//! in seconds.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that meets these has failed"
)]

pub mod oracle;
pub mod packet;
pub mod world;

pub mod random;
pub mod worlds;
pub mod traffic;
pub mod holds;
pub mod fuzz;
