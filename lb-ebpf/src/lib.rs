//! The packet path: what happens to one packet, from wire to wire. One source for the kernel program and for the host.
//!
//! The modules stand in the order in which a packet meets them. Start reading at [`path`]. What can be done to a packet is
//! the trait [`Packet`], what can be known is the trait [`Tables`]; the kernel's implementations lie beside `main.rs`, those
//! of the tests in `testing.rs`.
//!
//! Rules of this crate, because the verifier must follow every path and each packet pays for every instruction:
//! - no loop without a small constant bound, no indexing, no division, nothing that can panic;
//! - first find out everything, then write: a packet that is passed on to the host is as it came;
//! - no copies of more than a few words, no zero-filled buffers: they become calls of `memcpy` and `memset`.
#![no_std]

pub mod packet;
pub mod tables;
pub mod outcome;
pub mod path;
pub mod parse;
pub mod vip;
pub mod select;
pub mod transmit;
pub mod rewrite;
pub mod cold;
pub mod checksum;
#[cfg(feature = "testing")]
pub mod testing;

pub use outcome::Verdict;
pub use packet::Packet;
pub use path::{Step, run, step, steps};
pub use tables::{Shared, Stage, Tables, Touch};
